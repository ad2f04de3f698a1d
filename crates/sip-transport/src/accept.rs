//! Connections that peers open: admission, and handshakes that hold nothing else up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use sip::{Flow, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::{self, Drain, Link};
use crate::hub::{Hub, Slot};
use crate::{PeerIdentity, Refusal, stream, web, websocket};

/// Accepts until the inbox is dropped.
pub(crate) async fn run(hub: Arc<Hub>, listener: TcpListener, transport: Transport) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hub.messages.closed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(reason) = admit(&hub, stream, peer, transport) {
                    hub.counters.refused(reason);
                    tracing::debug!(%transport, %peer, reason = reason.as_str(), "connection refused");
                }
            }
            // No descriptors, most likely: they come back with time.
            Err(error) => {
                tracing::warn!(%transport, %error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Takes the places that the connection needs and leaves it to a task of its own.
fn admit(hub: &Arc<Hub>, stream: TcpStream, peer: SocketAddr, transport: Transport) -> Result<(), Refusal> {
    let slot = Slot::take(hub, transport, peer.ip())?;
    let permit = match transport {
        Transport::Udp | Transport::Tcp => None,
        Transport::Tls | Transport::Ws | Transport::Wss => {
            Some(hub.handshakes.clone().try_acquire_owned().map_err(|_| Refusal::Handshakes)?)
        }
    };
    let local = stream.local_addr().map_err(|_| Refusal::Connections)?;
    prepare(&stream);
    let newcomer = Newcomer { hub: hub.clone(), flow: Flow { transport, local, peer, connection: 0 }, slot, permit };
    tokio::spawn(newcomer.serve(stream));
    Ok(())
}

/// Small messages go at once, and a peer that vanished is noticed.
pub(crate) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keep_alive =
        socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive);
}

/// A connection before its handshakes are over.
struct Newcomer {
    hub: Arc<Hub>,
    flow: Flow,
    slot: Slot,
    permit: Option<OwnedSemaphorePermit>,
}

impl Newcomer {
    async fn serve(self, stream: TcpStream) {
        let (hub, peer) = (self.hub.clone(), self.flow.peer);
        let ended = match self.flow.transport {
            Transport::Udp | Transport::Tcp => {
                let (link, drain) = self.establish(None);
                stream::run(stream, link, drain).await;
                Ok(())
            }
            Transport::Tls => self.serve_tls(stream).await,
            Transport::Ws => self.serve_web(stream).await,
            Transport::Wss => self.serve_wss(stream).await,
        };
        if let Err(reason) = ended {
            hub.counters.refused(reason);
            tracing::debug!(%peer, reason = reason.as_str(), "handshake failed");
        }
    }

    async fn serve_tls(self, stream: TcpStream) -> Result<(), Refusal> {
        let config = self.hub.tls.as_ref().and_then(|tls| tls.suite().sip);
        let stream = self.handshake(stream, config).await?;
        let identity = identity(stream.get_ref().1.peer_certificates());
        let (link, drain) = self.establish(identity);
        stream::run(stream, link, drain).await;
        Ok(())
    }

    async fn serve_wss(self, stream: TcpStream) -> Result<(), Refusal> {
        let config = self.hub.tls.as_ref().and_then(|tls| tls.suite().web);
        let stream = self.handshake(stream, config).await?;
        self.serve_web(stream).await
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        config: Option<Arc<ServerConfig>>,
    ) -> Result<TlsStream<TcpStream>, Refusal> {
        let acceptor = TlsAcceptor::from(config.ok_or(Refusal::Tls)?);
        let accepted = timeout(self.hub.limits.handshake_time, acceptor.accept(stream)).await;
        accepted.map_err(|_| Refusal::HandshakeTime)?.map_err(|_| Refusal::Tls)
    }

    /// HTTP: a page, or the way to a WebSocket.
    async fn serve_web<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> Result<(), Refusal> {
        let greeted = timeout(self.hub.limits.handshake_time, web::greet(stream, &self.hub, self.flow.peer)).await;
        let Some(socket) = greeted.map_err(|_| Refusal::HandshakeTime)?? else { return Ok(()) };
        let (link, drain) = self.establish(None);
        websocket::run(socket, link, drain).await;
        Ok(())
    }

    /// The handshakes are over.
    fn establish(self, identity: Option<Arc<PeerIdentity>>) -> (Link, Drain) {
        let Self { hub, flow, slot, permit } = self;
        drop(permit);
        let (queue, drain) = connection::queue(hub.limits.queue, hub.limits.queue_bytes);
        let connection = hub.table().open(flow, queue, identity, None);
        (Link { hub, connection, is_inbound: true, slot }, drain)
    }
}

/// Of a chain that was verified.
pub(crate) fn identity(chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<PeerIdentity>> {
    chain.and_then(<[_]>::first).and_then(PeerIdentity::of).map(Arc::new)
}
