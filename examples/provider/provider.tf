terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "xen_password" {
  type      = string
  sensitive = true
}

provider "dynvm" {
  pools = {
    lab1 = {
      url       = "https://10.1.0.11"
      username  = "root"
      password  = var.xen_password
      tls       = { fingerprints = ["sha256:3A:5C:0E:71:9D:24:B8:46:0F:9B:E2:57:C1:6D:83:AA:14:F0:92:6B:38:D5:7E:C9:41:AF:60:1D:85:B3:2E:F7"] }
      templates = { centos7 = "tmpl-cnt7.7", debian12 = "tmpl-debian12" }
    }
  }
  default_ttl = "4h"
}
