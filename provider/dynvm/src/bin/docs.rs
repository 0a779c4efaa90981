//! The reference pages.
fn main() {}
