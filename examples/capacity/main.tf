# How many more servers of one kind fit now, and what is in the way of more.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "pools" {
  description = "The pools to look at."
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
      templates = { debian12 = "tmpl-debian12" }
    }
  }
}

data "dynvm_capacity" "debian" {
  os = "debian12"
}

data "dynvm_servers" "ours" {
  managed = true
}

output "capacity" {
  value = {
    available = data.dynvm_capacity.debian.available
    pools = {
      for pool in data.dynvm_capacity.debian.pools : pool.pool => {
        available  = pool.available
        limited_by = pool.limited_by
      }
    }
    managed_servers = length(data.dynvm_servers.ours.servers)
  }
}
