latencies {
  vdi_copy_ms_per_gib = 500
}
pool "lab1" {
  host "xen11" {
    cpus       = 32
    memory_gib = 128
  }
  host "xen12" {
    cpus       = 32
    memory_gib = 128
  }
  sr "ssd" {
    type     = "nfs"
    size_gib = 4000
    shared   = true
    default  = true
  }
  sr "hdd" {
    type     = "nfs"
    size_gib = 1000
    shared   = true
  }
  network "lab-net" {
    bridge = "xenbr0"
    device = "eth0"
    cidr   = "10.1.0.0/16"
  }
  template "tmpl-debian12" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    networks   = ["lab-net"]
    guest {
      boot_seconds = 6
      dhcp_seconds = 0
      os_version   = "Debian GNU/Linux 12 (bookworm)"
    }
  }
  template "tmpl-silent" {
    cpus       = 2
    memory_mib = 2048
    disks_gib  = [20]
    networks   = ["lab-net"]
    guest {
      never = true
    }
  }
  vm "foreign" {
    count    = 2
    template = "tmpl-debian12"
    running  = true
  }
}
