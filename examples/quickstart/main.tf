# Two web servers and a database, on whichever pool has most room. `terraform destroy` leaves nothing behind.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "pools" {
  description = "The pools to use: XenServer or XCP-ng, each with its address, login and certificate fingerprints."
  type = map(object({
    url          = string
    username     = string
    password     = string
    fingerprints = optional(list(string))
  }))
  sensitive = true
}

provider "dynvm" {
  pools = {
    for name, pool in var.pools : name => {
      url       = pool.url
      username  = pool.username
      password  = pool.password
      tls       = { fingerprints = pool.fingerprints }
      templates = { debian12 = "tmpl-debian12", ubuntu22 = "tmpl-ubuntu22" }
    }
  }
  default_ttl = "2h"
}

resource "dynvm_server" "web" {
  count = 2

  name = "web-${count.index + 1}"
  os   = "debian12"
  tags = ["quickstart", "web"]
}

resource "dynvm_server" "db" {
  name       = "db"
  os         = "ubuntu22"
  cpus       = 4
  memory_mib = 8192
  ttl        = "90m"
  tags       = ["quickstart", "db"]
}

output "servers" {
  description = "Where each server is, and until when."
  value = {
    for server in concat(dynvm_server.web, [dynvm_server.db]) : server.name => {
      pool       = server.pool
      ip_address = server.ip_address
      expires_at = server.expires_at
    }
  }
}
