//! The control link: a Unix socket between the two halves when they are two processes.
//!
//! The socket file has mode 0600, and either side looks at the other's credentials: it must run under the same user, or
//! be root. The messages are those of [`control::frame`]; keys are among them, so every buffer is wiped.

mod connection;
mod server;

pub use connection::{Connection, LinkError};
pub use server::{ControlLink, ControlLinkConfig};
