data "dynvm_servers" "nightly" {
  managed    = true
  name_regex = "^nightly-"
}

output "nightly_addresses" {
  value = { for server in data.dynvm_servers.nightly.servers : server.name => server.ip_address }
}
