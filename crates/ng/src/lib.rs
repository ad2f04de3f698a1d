//! rtpengine's control protocol: bytes to session requests and back. No socket, no clock.
//!
//! A message is `<cookie> SP <dictionary>`, the dictionary in bencode or JSON; the reply carries the same cookie in the
//! same encoding. [`Server::handle_message`] takes a message and says what becomes of it: a [`Request`](session::Request)
//! for the session, or a reply at once, or nothing. What the session answers goes to [`Server::handle_reply`], which
//! makes the replies to send. Every request that went to the session must be answered once; one that is not ends at
//! [`Server::poll_timeout`] with an error. On UDP a datagram is a message; [`StreamDecoder`] takes messages out of a TCP
//! stream.
//!
//! A request for the session that comes again, byte for byte, from whomever, is not carried out again: it gets the reply
//! of the first, when that is there. What needs no session is answered anew each time, and no such flood can drive out
//! the replies that are kept.
//!
//! Keys and flags may be written with `-`, space or `_`. What asks for something that this relay does not do is answered by
//! an error that names it; what makes no difference to the call is ignored and logged once. What this crate refuses is a
//! [`Fault`]: the same words in reply and log, its label in the metric.

pub mod bencode;
mod cookies;
mod counters;
mod fault;
mod frame;
pub mod json;
mod keys;
mod options;
mod peer;
mod reply;
mod request;
mod server;
mod stream;
mod value;

pub use counters::{CommandName, CommandResult, Counters};
pub use fault::Fault;
pub use frame::{Encoding, Frame, MAX_COOKIE};
pub use peer::{MAX_STREAM_MESSAGE, Peer};
pub use server::{Outcome, Outgoing, Server, ServerConfig};
pub use stream::{StreamDecoder, StreamError};
pub use value::{Dictionary, Value};
