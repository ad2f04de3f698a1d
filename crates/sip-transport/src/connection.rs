//! One connection, whatever carries it: its queue, and what becomes of what is left in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sip::{Flow, Message, Transmit};
use tokio::sync::mpsc;

use crate::hub::{Hub, Slot};
use crate::table::{Connection, Key};
use crate::{Inbound, PeerIdentity, Refusal};

/// A message on its way out.
pub(crate) struct Outgoing {
    pub(crate) transmit: Transmit,
    /// The same request for UDP, if no connection can be made.
    pub(crate) datagram: Option<Transmit>,
    /// It was in the queue of a connection that ended.
    pub(crate) is_second_try: bool,
}

impl Outgoing {
    pub(crate) fn new(transmit: Transmit) -> Self {
        Self { transmit, datagram: None, is_second_try: false }
    }
}

/// What a connection has to write.
pub(crate) enum Item {
    Message(Box<Outgoing>),
    /// The answer to a keep-alive.
    Pong,
    /// The answer to what cannot be understood; then the connection ends.
    Last(Vec<u8>),
}

impl Item {
    /// The answer to a faulty request, of which nobody waits to hear.
    pub(crate) fn answer(flow: Flow, bytes: Vec<u8>) -> Self {
        Self::Message(Box::new(Outgoing::new(Transmit { flow, bytes, transaction: None })))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Message(outgoing) => &outgoing.transmit.bytes,
            Self::Pong => b"\r\n",
            Self::Last(bytes) => bytes,
        }
    }
}

/// Bounded in items and bytes.
#[derive(Clone)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Item>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

pub(crate) struct Drain {
    receiver: mpsc::Receiver<Item>,
    bytes: Arc<AtomicUsize>,
}

pub(crate) fn queue(items: usize, max_bytes: usize) -> (Queue, Drain) {
    let (sender, receiver) = mpsc::channel(items.clamp(1, 1 << 20));
    let bytes = Arc::new(AtomicUsize::new(0));
    (Queue { sender, bytes: bytes.clone(), max_bytes }, Drain { receiver, bytes })
}

/// Why an item was not queued.
pub(crate) enum Unqueued {
    Full(Item),
    Closed(Item),
}

impl Queue {
    pub(crate) fn push(&self, item: Item) -> Result<(), Unqueued> {
        let length = item.bytes().len();
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        // One message is let in whatever its length.
        if before > 0 && before + length > self.max_bytes {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            return Err(Unqueued::Full(item));
        }
        self.sender.try_send(item).map_err(|error| {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(item) => Unqueued::Full(item),
                mpsc::error::TrySendError::Closed(item) => Unqueued::Closed(item),
            }
        })
    }
}

impl Drain {
    pub(crate) async fn next(&mut self) -> Option<Item> {
        let item = self.receiver.recv().await?;
        self.bytes.fetch_sub(item.bytes().len(), Ordering::Relaxed);
        Some(item)
    }

    /// Takes no more and gives what is left.
    pub(crate) async fn close(mut self) -> Vec<Outgoing> {
        self.receiver.close();
        let mut left = Vec::new();
        while let Some(item) = self.receiver.recv().await {
            if let Item::Message(outgoing) = item {
                left.push(*outgoing);
            }
        }
        left
    }
}

/// A connection that is open: what its reader and writer share.
pub(crate) struct Link {
    pub(crate) hub: Arc<Hub>,
    pub(crate) connection: Connection,
    /// The peer opened it.
    pub(crate) is_inbound: bool,
    /// Gives its place back when dropped.
    pub(crate) slot: Slot,
}

impl Link {
    pub(crate) fn flow(&self) -> Flow {
        self.connection.flow
    }

    /// Whether a message or keep-alive is within the source's rate; counts both ways.
    pub(crate) fn is_within_rate(&self) -> bool {
        self.hub.is_within_rate(self.flow().peer)
    }

    /// Passes a message on; waits while the inbox is full. An error is the inbox's end.
    pub(crate) async fn deliver(&self, message: Message) -> Result<(), Closing> {
        let identity = self.connection.identity.clone();
        if let (Message::Request(request), Some(identity), true) = (&message, &identity, self.is_inbound)
            && let Some(key) = alias(request, self.flow().peer, identity)
        {
            self.hub.table().alias(self.flow().connection, key);
        }
        let inbound = Inbound::Message { flow: self.flow(), message, identity };
        self.hub.messages.send(inbound).await.map_err(|_| Closing::Wanted)
    }

    /// The end: what was not written is sent by another way or fails, and the user hears of it.
    pub(crate) async fn finish(self, closing: Closing, drain: Drain, current: Option<Item>) {
        let Self { hub, connection, is_inbound: _, slot } = self;
        let Flow { transport, peer, .. } = connection.flow;
        tracing::debug!(%transport, %peer, ?closing, "connection closed");
        if let Closing::Refused(reason) = closing {
            hub.counters.refused(reason);
        }
        hub.table().remove(connection.flow.connection);
        let left = drain.close().await;
        let unfinished =
            current.and_then(|item| if let Item::Message(outgoing) = item { Some(*outgoing) } else { None });
        for outgoing in unfinished.into_iter().chain(left) {
            hub.undelivered(outgoing);
        }
        // It keeps its place until the user can hear of its end: otherwise those that wait for that would be without bound.
        let room = hub.messages.reserve().await;
        drop(slot);
        if let Ok(room) = room {
            room.send(Inbound::FlowClosed { flow: connection.flow });
        }
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// By the peer, or by an error of the network.
    Peer,
    /// By us, without a fault.
    Wanted,
    /// By us.
    Refused(Refusal),
}

/// RFC 5923 §8: the peer may be sent requests by the connection that it opened if it asks for it and its certificate speaks for the
/// name in its Via.
fn alias(request: &sip::Request, peer: SocketAddr, identity: &PeerIdentity) -> Option<Key> {
    let via = request.headers.via().ok()?;
    let domain = crate::via::domain(&via.sent_by.host);
    if !via.params.contains("alias") || !identity.is_domain(&domain) {
        return None;
    }
    let peer = SocketAddr::new(peer.ip(), via.sent_by.port.unwrap_or(5061));
    Some(Key { transport: sip::Transport::Tls, peer, domain })
}
