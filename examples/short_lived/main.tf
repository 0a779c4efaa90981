# A server for a moment: nobody destroys it, the reaper collects it when its ttl has passed.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "pools" {
  description = "The pools to use, as for the quickstart."
  type = map(object({
    url          = string
    username     = string
    password     = string
    fingerprints = optional(list(string))
  }))
  sensitive = true
}

variable "ttl" {
  description = "How long the server lives."
  type        = string
  default     = "10s"
}

variable "history" {
  description = "Where it is written down, as in the reaper's configuration; null for nowhere."
  type        = string
  default     = null
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
  owner   = "ci/moment"
  history = var.history
}

resource "dynvm_server" "moment" {
  name = "moment"
  os   = "debian12"
  ttl  = var.ttl
}

output "expires_at" {
  value = dynvm_server.moment.expires_at
}
