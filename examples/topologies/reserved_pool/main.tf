# One pool is kept for those who need it: with labels, it takes only servers that ask for one of them.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "pools" {
  description = "The pools to use."
  type = map(object({
    url          = string
    username     = string
    password     = string
    fingerprints = optional(list(string))
  }))
  sensitive = true
}

variable "gpu_pool" {
  description = "The pool whose hosts have graphics cards."
  type        = string
  default     = "lab2"
}

provider "dynvm" {
  pools = {
    for name, pool in var.pools : name => {
      url       = pool.url
      username  = pool.username
      password  = pool.password
      tls       = { fingerprints = pool.fingerprints }
      templates = { debian12 = "tmpl-debian12" }
      labels    = name == var.gpu_pool ? ["gpu"] : []
    }
  }
}

resource "dynvm_server" "trainer" {
  name        = "trainer"
  os          = "debian12"
  pool_labels = ["gpu"]
}

resource "dynvm_server" "web" {
  name = "web"
  os   = "debian12"
}

# How many more servers fit that ask for a graphics card.
data "dynvm_capacity" "gpu" {
  os          = "debian12"
  pool_labels = ["gpu"]
}
