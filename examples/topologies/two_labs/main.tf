# One server in each of two labs that are two provider configurations: the same module code serves a staging and a production lab.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "staging" {
  description = "The staging lab's pools."
  type = map(object({
    url          = string
    username     = string
    password     = string
    fingerprints = optional(list(string))
  }))
  sensitive = true
}

variable "production" {
  description = "The production lab's pools."
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
    for name, pool in var.staging : name => {
      url       = pool.url
      username  = pool.username
      password  = pool.password
      tls       = { fingerprints = pool.fingerprints }
      templates = { debian12 = "tmpl-debian12" }
    }
  }
}

provider "dynvm" {
  alias = "production"
  pools = {
    for name, pool in var.production : name => {
      url       = pool.url
      username  = pool.username
      password  = pool.password
      tls       = { fingerprints = pool.fingerprints }
      templates = { debian12 = "tmpl-debian12" }
    }
  }
}

resource "dynvm_server" "staging" {
  name = "canary"
  os   = "debian12"
  ttl  = "30m"
}

resource "dynvm_server" "production" {
  provider = dynvm.production

  name = "canary"
  os   = "debian12"
  ttl  = "30m"
}
