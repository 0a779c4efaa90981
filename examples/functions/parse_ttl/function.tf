variable "ttl" {
  type    = string
  default = "90m"

  validation {
    condition     = provider::dynvm::parse_ttl(var.ttl) <= provider::dynvm::parse_ttl("12h")
    error_message = "No test runs longer than 12 hours."
  }
}
