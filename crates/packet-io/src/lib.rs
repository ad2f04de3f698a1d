//! Backends that move datagrams: [`Mmsg`] on UDP sockets, and [`SimNetwork`] with its [`Sim`] in memory for tests.
//!
//! The only home of sockets on the media path, and of what else of the operating system a worker needs (processors,
//! priorities, descriptors). `unsafe` lives in `sys.rs` alone.

mod mmsg;
mod pace;
pub mod sim;
mod socket_name;
mod sys;

pub use mmsg::{Mmsg, MmsgConfig};
pub use sim::{Dependence, Faults, NatBehaviour, Sim, SimHost, SimNat, SimNetwork};
pub use sys::{allowed_cpus, lower_priority, pin_to_cpu, raise_descriptor_limit};
