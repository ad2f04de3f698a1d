//! Connections that we open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use sip::Transport;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connection::{Drain, Link};
use crate::hub::{Hub, Slot};
use crate::table::{Connection, Key};
use crate::{PeerIdentity, accept, stream};

/// A connection that is in the table and takes messages, but is not made yet.
pub(crate) struct Dial {
    pub(crate) key: Key,
    /// What else is sent to it by this connection.
    pub(crate) destination: Option<u64>,
    pub(crate) connection: Connection,
    pub(crate) drain: Drain,
    pub(crate) slot: Slot,
}

enum Made {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Option<Arc<PeerIdentity>>),
}

/// Makes the connection and runs it to its end.
pub(crate) async fn run(hub: Arc<Hub>, dial: Dial) {
    let Dial { key, destination, mut connection, drain, slot } = dial;
    let (id, local) = (connection.flow.connection, connection.flow.local);
    let made = tokio::select! {
        made = connect(&hub, &key, local) => made,
        () = connection.closer.notified() => None,
        () = hub.messages.closed() => None,
    };
    let Some((made, local)) = made else {
        if let Some(destination) = destination {
            hub.table().refused(destination, Instant::now());
        }
        hub.table().remove(id);
        let left = drain.close().await;
        drop(slot);
        for mut outgoing in left {
            // There is no other way to the same peer.
            outgoing.is_second_try = true;
            hub.undelivered(outgoing);
        }
        return;
    };
    connection.flow.local = local;
    if let Made::Tls(_, identity) = &made {
        connection.identity.clone_from(identity);
    }
    hub.table().established(id, local, connection.identity.clone());
    let link = Link { hub, connection, is_inbound: false, slot };
    match made {
        Made::Tcp(made) => stream::run(made, link, drain).await,
        Made::Tls(made, _) => stream::run(*made, link, drain).await,
    }
}

async fn connect(hub: &Hub, key: &Key, local: SocketAddr) -> Option<(Made, SocketAddr)> {
    let socket = if key.peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
    if !local.ip().is_unspecified() && local.is_ipv4() == key.peer.is_ipv4() {
        // The address that our Via names, so that the peer's received says nothing new.
        socket.bind(SocketAddr::new(local.ip(), 0)).ok()?;
    }
    let stream = timeout(hub.limits.connect_time, socket.connect(key.peer)).await.ok()?.ok()?;
    accept::prepare(&stream);
    let local = stream.local_addr().ok()?;
    if key.transport != Transport::Tls {
        return Some((Made::Tcp(stream), local));
    }
    let connector = TlsConnector::from(hub.tls.as_ref()?.suite().client);
    let name = ServerName::try_from(key.domain.clone()).ok()?;
    match timeout(hub.limits.handshake_time, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            let identity = accept::identity(stream.get_ref().1.peer_certificates());
            Some((Made::Tls(Box::new(stream), identity), local))
        }
        Ok(Err(error)) => {
            tracing::info!(%error, "TLS handshake with a server failed");
            hub.counters.refused(crate::Refusal::Tls);
            None
        }
        Err(_) => {
            hub.counters.refused(crate::Refusal::HandshakeTime);
            None
        }
    }
}
