//! Serves a provider over Terraform's plugin protocol 6.
