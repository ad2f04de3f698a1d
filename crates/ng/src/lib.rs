//! rtpengine's control protocol: bytes to session requests and back. No socket, no clock.
//!
//! A message is `<cookie> SP <dictionary>`, the dictionary in bencode or JSON; the reply carries the same cookie in the
//! same encoding. [`Server::handle_datagram`] takes a datagram and says what becomes of it: a [`Request`](session::Request)
//! for the session, or a reply at once, or nothing. What the session answers goes to [`Server::handle_reply`], which
//! makes the datagrams to send. Every request that went to the session must be answered exactly once.
//!
//! A request that comes again, byte for byte, from whatever address, is not carried out again: it gets the reply of the
//! first, when that is there.
//!
//! Keys and flags may be written with `-`, space or `_`. What asks for something that this relay does not do is answered by
//! an error that names it; what makes no difference to the call is ignored and logged once.

pub mod bencode;
mod cookies;
mod counters;
mod frame;
pub mod json;
mod keys;
mod options;
mod reply;
mod request;
mod server;
mod value;

pub use counters::{CommandName, CommandResult, Counters};
pub use frame::{Encoding, Frame, MAX_COOKIE};
pub use server::{Datagram, Outcome, Server, ServerConfig};
pub use value::{Dictionary, Value};
