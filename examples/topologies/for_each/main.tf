# A test topology from a map: one server per role, each with its own size.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "roles" {
  description = "Role -> operating system and size."
  type = map(object({
    os         = string
    cpus       = optional(number)
    memory_mib = optional(number)
  }))
  default = {
    client  = { os = "debian12" }
    server  = { os = "ubuntu22", cpus = 4, memory_mib = 4096 }
    witness = { os = "debian12" }
  }
}

resource "dynvm_server" "node" {
  for_each = var.roles

  name       = "node-${each.key}"
  os         = each.value.os
  cpus       = each.value.cpus
  memory_mib = each.value.memory_mib
  ttl        = "1h"
  tags       = ["topology", each.key]
}

output "inventory" {
  value = { for role, server in dynvm_server.node : role => server.ip_address }
}
