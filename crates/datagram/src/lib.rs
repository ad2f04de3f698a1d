//! The batch of datagrams and the [`Backend`] trait: all that the packet core knows of the network.
//!
//! A worker's loop is: [`Backend::wait`], [`Backend::receive`] into a [`Batch`], let the core rewrite the
//! datagrams in place and mark those that leave with [`Datagram::transmit`], [`Backend::send`]. The core cannot tell
//! which backend runs.
//!
//! A socket is written to only through a [`SendRight`], which [`Backend::bind`] hands out once per port and which
//! nobody can copy. Whoever owns it decides what leaves: the transport of a secure leg keeps it beside its SRTP
//! context and lends it to nothing but the function that encrypts.

mod backend;
mod batch;

pub use backend::{Backend, Capabilities, ReceiveReport, SendReport, Wake};
pub use batch::{BATCH_CAPACITY, Batch, Datagram, MAX_DATAGRAM, PortId, SLOT_SIZE, SendRight, TAIL_ROOM};
