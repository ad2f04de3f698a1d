//! What a worker does with one batch of datagrams: transports, keying, latching, flows. No I/O, no thread, no clock.
//!
//! # Contract
//! A [`Shard`] is driven by one thread:
//! * [`Shard::open_transport`], [`Shard::apply`] and [`Shard::remove`] carry out the session's commands;
//! * [`Shard::handle_batch`] takes each received batch and marks what leaves of it; send the batch, then take batches from
//!   [`Shard::poll_transmit`] and send them until there is none;
//! * [`Shard::handle_handshake`] takes what handshake threads have to say, [`Shard::handle_timeout`] is called at
//!   [`Shard::poll_timeout`];
//! * after any of these, [`Shard::poll_handshake`], [`Shard::poll_event`], [`Shard::poll_close`] and
//!   [`Shard::poll_traffic_class`] are taken until they are empty, and [`Shard::poll_transmit`] as above.
//!
//! Packets that could not be authenticated are given out by [`Shard::poll_evidence`] for [`examine::examine`], and
//! what that finds comes back by [`Shard::handle_finding`]; a caller may leave all of it out.
//!
//! Nothing the network sends is an error: every datagram ends in one [`control::Verdict`], and each is counted.
//!
//! # A datagram's way
//! ```text
//! admit ── STUN answered, DTLS to its handshake thread, source of media judged
//! open ─── SRTP of the whole batch: replay, tag, commit, decrypt
//! accept ─ latch, consent, stream, flow; RTCP translated and filtered
//! leave ── egress index, SRTP of the whole batch, route
//! ```
//!
//! # Sending
//! The right to send from a port is private to one module, beside the SRTP context. What leaves a secure leg is what
//! that module has encrypted, a STUN message or a DTLS record; there is no other way.

mod branch;
mod egress;
pub mod examine;
pub mod handshake;
mod latch;
mod path;
mod ports;
mod quality;
mod queue;
mod rebase;
mod reported;
mod round_trip;
mod route;
mod samples;
mod shard;
mod streams;
mod transport;

pub use shard::{Shard, ShardConfig, ShardCounters};
