//! The media half: workers, their shards and timers, handshake threads.
//!
//! [`Pump::start`] gives every worker a thread with one [`Backend`](datagram::Backend) and one
//! [`Shard`](media::Shard), and starts the handshake threads that all workers share. [`Pump::send`] hands a
//! [`Command`](control::Command) to a worker; what comes of it arrives on the channel of [`Notice`]s.
//!
//! A worker's turn is: wait; read the clock; take commands and what the handshake threads have to say; receive, let the
//! shard work and send, batch by batch; let due timers act; publish the counters. Nothing in it is done once per packet
//! but what the shard does.
//!
//! Where the signalling half is another process, a [`ControlLink`] stands between it and the pump.
//!
//! # What happens when something breaks
//! * A port that cannot be bound: [`Event::Refused`](control::Event::Refused), and no port of that `Open` stays bound.
//! * A session that does not take its notices: workers stop taking commands, so [`Pump::send`] answers
//!   [`SendError::Busy`]; media goes on.
//! * A handshake thread that cannot keep up: datagrams wait in the shard's bounded queue, and beyond it end as
//!   [`Verdict::QueueFull`](control::Verdict::QueueFull).
//! * A panic or a broken backend ends that worker, its ports and its calls, and is told by [`Notice::WorkerFailed`].
//! * A signalling half in another process that goes away: calls go on, those without media end by themselves, and the one
//!   that comes next gets a snapshot.
//! * Packets that cannot be authenticated: a few of them go to a thread of the lowest priority, which tries what might be
//!   wrong with them. When it cannot keep up they are dropped; nothing depends on it.
//! * A panic on a handshake thread fails the associations that it held; the thread goes on with new ones.

mod counters;
mod examiner;
mod handshakes;
mod link;
mod pump;
mod worker;

pub use counters::{BATCH_BUCKETS, WorkerCounters, WorkerReport};
pub use link::{Connection, ControlLink, ControlLinkConfig, LinkError};
pub use pump::{BackendFactory, Notice, Pump, PumpConfig, SendError, StartError};
