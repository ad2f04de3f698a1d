//! Benchmarks of the relay.
