# A review environment that lives as long as somebody works on it: each run of the pipeline starts its lease anew, in place. When the runs end, it expires.

terraform {
  required_providers {
    dynvm = { source = "dynvm/dynvm" }
  }
}

variable "run" {
  description = "Identifies the run of the pipeline. Another value renews; applying the same run again, after a failure, does not."
  type        = string
  default     = "1"
}

resource "dynvm_server" "review" {
  name = "review-app"
  os   = "debian12"
  ttl  = "8h"

  renew_triggers = { run = var.run }
}

output "address" {
  value = dynvm_server.review.ip_address
}

output "expires_at" {
  value = dynvm_server.review.expires_at
}
