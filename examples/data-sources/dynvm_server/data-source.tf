data "dynvm_server" "shared" {
  name = "shared-mirror"
  pool = "lab1"
}

output "mirror_address" {
  value = data.dynvm_server.shared.ip_address
}
