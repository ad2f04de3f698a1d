//! SIP's sockets: UDP, TCP, TLS, WS and WSS (RFC 3261 §18, RFC 7118), and where a request goes (RFC 3263).
//!
//! # Contract
//!
//! [`Transports::bind`] binds everything or nothing and gives two ends: [`Transports`] to send with, cheap to clone, and the
//! [`Inbox`], to be read in a loop beside the timers of a [`sip::TransactionLayer`] or [`sip::UserAgent`]:
//!
//! * [`Inbound::Message`] goes to `handle_message`, [`Inbound::SendFailed`] to `handle_transport_error`. Faulty requests are
//!   already answered, keep-alives too; received and rport are the transaction layer's affair.
//! * What `poll_transmit` gives goes to [`Transports::send`]. It never waits: it queues, or fails with an [`Inbound::SendFailed`].
//! * A request of ours outside a dialog goes to a [`sip::Target`] of [`Transports::locate`], which knows what certificate the
//!   server must show; [`Failover`] says when to try the next. A request to a peer that connected to us, such as a browser, goes to
//!   [`Transports::target_on`] its flow.
//!
//! # Connections
//!
//! A flow's `connection` is one connection, or one *destination*: a peer that [`Transports::target`] was asked for. Sending to a
//! destination uses the connection to it that is open, or opens one. A connection from outside is used for requests only under
//! its own number, or after mutual TLS and `alias` in the Via (RFC 5923). A response to a connection that is gone goes by another to
//! the address that it came from and the port of its Via (RFC 3261 §18.2.2), if it was TCP or TLS.
//! A request larger than [`MAX_DATAGRAM`] goes to a UDP target by TCP, and by UDP if that is refused (RFC 3261 §18.1.1).
//!
//! TLS servers are verified against the domain that was asked for, clients' identities are read by [`PeerIdentity`] (RFC 5922).
//!
//! # Strangers
//!
//! Whatever a peer can cost is bounded by [`TransportLimits`] and counted in [`Stats`]. Handshakes run beside all else, have
//! their time and their number.

mod accept;
mod admission;
mod config;
mod connection;
mod dial;
pub mod fuzz;
mod hub;
mod inbox;
mod locate;
mod stats;
mod stream;
mod table;
mod tls;
mod transports;
mod udp;
mod via;
mod web;
mod websocket;

pub use config::{BoundListener, Listener, TransportConfig, TransportLimits};
pub use inbox::{Inbound, Inbox};
pub use locate::{
    Answer, Failover, Hop, LocateError, LocatorConfig, Naptr, Outcome, Question, RecordKind, Search, Security, Srv,
    Step,
};
pub use stats::{Refusal, Stats, TRANSPORTS};
pub use tls::{ClientAuth, Identity, PeerIdentity, Roots, TlsConfig, TlsError};
pub use transports::{BindError, Transports};
pub use udp::MAX_DATAGRAM;
pub use web::{Page, WebConfig};
