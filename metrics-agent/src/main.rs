//! The `zerohop-agent` command.
fn main() {}
