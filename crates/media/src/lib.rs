//! What a worker does with one batch of datagrams: transports, keying, latching, flows.

pub mod handshake;
mod shard;

pub use shard::{Shard, ShardConfig, ShardCounters};
