resource "dynvm_server" "build" {
  name = "build-agent"
  os   = "debian12"
  ttl  = "90m"

  timeouts = {
    create = "10m"
    ip     = "3m"
  }
}

output "address" {
  value = dynvm_server.build.ip_address
}
