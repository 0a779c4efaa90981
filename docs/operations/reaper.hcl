# Configuration of dynvm-reaper: /etc/dynvm/reaper.hcl. Only `pools` is required; every other line shows what it may be.
# `systemctl reload dynvm-reaper` (SIGHUP) reads it again. `dynvm-reaper doctor --config FILE` tries it without changing anything.
# Values are literal: no variables, no functions. A relative path counts from the folder of this file.

# The same object as in the provider's configuration. What only the provider needs (templates, storage, ...) may stand here too.
pools = {
  lab1 = {
    # Any host of the pool: the coordinator is found from it. Or urls = [...]: members that are tried in turn.
    url      = "https://10.1.0.11"
    username = "root"
    # A file that holds the password and nothing else, and that only the reaper's user can read. Without it, and without `password`,
    # the variable DYNVM_PASSWORD_LAB1 is asked.
    password_file = "lab1.password"
    # Certificates are verified. For self-signed ones: a fingerprint for each host, as `dynvm-reaper doctor` prints them.
    tls = {
      fingerprints = [
        "sha256:1F:0C:5D:7B:90:22:AE:41:6B:3A:D8:F4:75:E9:0B:C6:58:9D:24:71:B3:EF:06:4C:8A:17:D2:95:3E:60:AB:C8",
        "sha256:82:E4:19:6F:3D:A7:50:BC:0E:D1:68:2B:F9:47:93:5A:C0:7E:14:B6:8D:23:F5:4A:E8:31:9C:06:D7:5B:A2:70",
      ]
    }
  }
  lab2 = {
    url           = "https://xen21.lab.example"
    username      = "dynvm@lab.example"
    password_file = "lab2.password"
    tls           = { ca_file = "lab-ca.pem" }
  }
}

# How long after its expiry a server stays. Default 0s: it is gone within seconds.
grace = "0s"

# Leases longer than this are reported, never shortened. Default: none are.
max_ttl = "7d"

# The most deletions of a cycle in a pool; what is beyond waits for the next one, oldest first. Default 50.
max_deletions = 50

# Whose servers may be deleted: globs over the owner that a server carries. Default: everybody's.
owners = ["*"]

# Where /healthz, /readyz and /metrics are served. They ask for no password: keep them on loopback, or behind what does.
listen = "127.0.0.1:9471"

# Where rows about servers that are gone are kept: sqlite:///path, postgres://..., jsonl:///path, or "none".
# Default: the file history.db in state_dir.
history = "sqlite:///var/lib/dynvm/history.db"

# What must be remembered between runs: clocks, failures, quarantine, acknowledgements. Default /var/lib/dynvm.
state_dir = "/var/lib/dynvm"
