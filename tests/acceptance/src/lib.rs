//! The built binaries under the real terraform.
