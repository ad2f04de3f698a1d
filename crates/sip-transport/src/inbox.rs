//! What the transports tell their user.

use std::sync::Arc;

use sip::{Flow, Message, TransactionId};
use tokio::sync::mpsc;

use crate::PeerIdentity;

/// What happened on the network.
#[expect(clippy::large_enum_variant, reason = "nearly every one is a message")]
#[derive(Clone, PartialEq, Debug)]
pub enum Inbound {
    /// A message that [`sip::receive`] accepted. (Faulty requests were answered, faulty responses dropped.)
    Message {
        /// How it came, and how to answer it.
        flow: Flow,
        /// The message, its Vias as they came.
        message: Message,
        /// Whose certificate the peer proved to have by mutual TLS.
        identity: Option<Arc<PeerIdentity>>,
    },
    /// A message could not be sent. Give it to
    /// [`TransactionLayer::handle_transport_error`](sip::TransactionLayer::handle_transport_error). If nobody takes them, the oldest
    /// failures are kept, and the timers of the others say the same later.
    SendFailed {
        /// Of [`sip::Transmit::transaction`].
        transaction: TransactionId,
    },
    /// A connection is gone; after the last message that came over it. Comes once for each connection that was made.
    FlowClosed {
        /// The connection. Its number is never used again.
        flow: Flow,
    },
}

/// The receiving end. Dropping it closes all sockets.
pub struct Inbox {
    pub(crate) messages: mpsc::Receiver<Inbound>,
    pub(crate) failures: mpsc::Receiver<Inbound>,
}

impl Inbox {
    /// What comes next, failures first. Cancel-safe. `None` after the last [`Transports`](crate::Transports) is gone.
    pub async fn recv(&mut self) -> Option<Inbound> {
        tokio::select! {
            biased;
            Some(failure) = self.failures.recv() => Some(failure),
            message = self.messages.recv() => message,
        }
    }
}
