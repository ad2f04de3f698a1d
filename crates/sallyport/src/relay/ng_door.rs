//! The ng protocol over UDP: datagrams to requests, replies to datagrams.

use std::net::SocketAddr;
use std::time::Instant;

use ng::Outcome;
use session::{Refusal, Reply, Token};

use super::Relay;

impl Relay {
    pub(super) async fn handle_datagram(&mut self, peer: SocketAddr, datagram: &[u8]) {
        let now = Instant::now();
        match self.ng.handle_datagram(now, peer, datagram) {
            Outcome::Request(token, request) => self.session.handle_request(now, token, *request),
            Outcome::Reply(reply) => self.send(&reply).await,
            Outcome::Absorbed => {}
        }
    }

    pub(super) async fn reply(&mut self, token: Token, reply: &Result<Reply, Refusal>) {
        if let Err(refusal) = reply {
            tracing::info!(reason = refusal.label(), "refused: {refusal}");
        }
        for datagram in self.ng.handle_reply(Instant::now(), token, reply) {
            self.send(&datagram).await;
        }
    }

    async fn send(&self, datagram: &ng::Datagram) {
        if let Err(error) = self.ng_socket.send_to(&datagram.bytes, datagram.peer).await {
            tracing::warn!(peer = %datagram.peer, bytes = datagram.bytes.len(), %error, "ng: reply not sent");
        }
    }
}
