# A web server that installs itself: cloud-init reads what to do from a config drive, and the apply ends when the server answers.

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

locals {
  user_data = {
    packages = ["nginx"]
    write_files = [{
      path    = "/var/www/html/index.html"
      content = "made by cloud-init\n"
    }]
  }
}

resource "dynvm_server" "web" {
  name = "web"
  os   = "debian12"
  ttl  = "2h"

  user_data   = "#cloud-config\n${yamlencode(local.user_data)}"
  ready_ports = [22, 80]
  timeouts    = { ip = "10m" } # the packages, too
}

output "url" {
  value = "http://${dynvm_server.web.ip_address}/"
}
