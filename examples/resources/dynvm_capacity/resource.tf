# Room for three servers, before anything is installed or tested; the apply fails at once, or waits for ten minutes at most.
resource "dynvm_capacity" "nodes" {
  servers = 3
  os      = "debian12"
  ttl     = "2h"

  timeouts = {
    create = "10m"
  }
}

resource "dynvm_server" "node" {
  count       = 3
  name        = "node-${count.index}"
  os          = "debian12"
  ttl         = "90m"
  capacity_id = dynvm_capacity.nodes.id
}
