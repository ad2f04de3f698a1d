//! The ng protocol: messages to requests, replies to whoever asked, by UDP, on a connection or over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ng::{Outcome, Outgoing, Peer};
use session::{Refusal, Reply, Token};
use tokio::sync::oneshot;

use super::Relay;
use crate::ng_stream::{Knock, StreamWay};

/// The way back to somebody who asked on a connection.
pub(super) enum ConnectionWay {
    /// As often as there are replies.
    Stream(StreamWay),
    /// Once, over HTTP. `None`: there is no reply to such a message.
    Once(oneshot::Sender<Option<Arc<[u8]>>>),
}

impl Relay {
    pub(super) async fn handle_datagram(&mut self, peer: SocketAddr, datagram: &[u8]) {
        self.handle_message(Peer::Datagram(peer), datagram).await;
    }

    pub(super) async fn handle_knock(&mut self, knock: Knock) {
        match knock {
            Knock::Opened(connection, way) => {
                self.connections.insert(connection, ConnectionWay::Stream(way));
            }
            Knock::Message(connection, message) => self.handle_message(Peer::Connection(connection), &message).await,
            Knock::Closed(connection) => {
                self.connections.remove(&connection);
            }
        }
    }

    /// A message over HTTP.
    pub(super) async fn handle_posted(&mut self, message: &[u8], way: oneshot::Sender<Option<Arc<[u8]>>>) {
        let connection = crate::ng_stream::next_connection();
        self.connections.insert(connection, ConnectionWay::Once(way));
        self.handle_message(Peer::Connection(connection), message).await;
    }

    async fn handle_message(&mut self, peer: Peer, message: &[u8]) {
        let now = Instant::now();
        match self.ng.handle_message(now, peer, message) {
            Outcome::Request(token, request) => self.session.handle_request(now, token, *request),
            Outcome::Reply(reply) => self.send(reply).await,
            Outcome::Absorbed => {}
            Outcome::Unreadable => self.answer_nothing(peer),
        }
    }

    /// What the session has not answered in time is answered for it.
    pub(super) async fn give_up_requests(&mut self) {
        for outgoing in self.ng.handle_timeout(Instant::now()) {
            self.send(outgoing).await;
        }
    }

    pub(super) async fn reply(&mut self, token: Token, reply: &Result<Reply, Refusal>) {
        if let Err(refusal) = reply {
            tracing::info!(reason = refusal.label(), "refused: {refusal}");
        }
        for outgoing in self.ng.handle_reply(Instant::now(), token, reply) {
            self.send(outgoing).await;
        }
    }

    async fn send(&mut self, Outgoing { peer, bytes }: Outgoing) {
        let connection = match peer {
            Peer::Datagram(address) => {
                if let Err(error) = self.ng_socket.send_to(&bytes, address).await {
                    tracing::warn!(bytes = bytes.len(), %error, "ng: reply not sent");
                }
                return;
            }
            Peer::Connection(connection) => connection,
        };
        match self.connections.remove(&connection) {
            Some(ConnectionWay::Stream(way)) => {
                if way.send(bytes) {
                    self.connections.insert(connection, ConnectionWay::Stream(way));
                } else {
                    tracing::warn!("ng: a connection that does not read is closed");
                }
            }
            Some(ConnectionWay::Once(way)) => drop(way.send(Some(bytes))),
            None => {}
        }
    }

    fn answer_nothing(&mut self, peer: Peer) {
        if let Peer::Connection(connection) = peer
            && let Some(ConnectionWay::Once(way)) = self.connections.remove(&connection)
        {
            let _ = way.send(None);
        }
    }
}
