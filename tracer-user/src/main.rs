//! The `geophone` binary.

fn main() {}
