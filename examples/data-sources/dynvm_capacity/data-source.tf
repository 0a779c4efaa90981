data "dynvm_capacity" "large" {
  os         = "debian12"
  cpus       = 8
  memory_mib = 16384
}

output "large_servers_that_fit" {
  value = data.dynvm_capacity.large.available
}
