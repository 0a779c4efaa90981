# `terraform query` shows them; with `-generate-config-out=servers.tf` it writes the blocks that import them.
list "dynvm_server" "unmanaged" {
  provider         = dynvm
  include_resource = true

  config {
    managed     = false
    power_state = "running"
    name_regex  = "^build-"
  }
}
