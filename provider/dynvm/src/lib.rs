//! The Terraform provider: resources, data sources and configuration.
