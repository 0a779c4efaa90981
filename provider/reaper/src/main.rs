//! The binary `dynvm-reaper`.

fn main() {}
