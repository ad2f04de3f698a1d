//! The server: wiring, listeners, configuration, command line.
fn main() {}
