//! The sending end, and what binds it all.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sip::{Flow, SentBy, SipUri, Target, Transmit, Transport};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use crate::hub::Hub;
use crate::locate::Locator;
use crate::tls::TlsStore;
use crate::{
    BoundListener, Hop, Inbox, Listener, LocateError, PeerIdentity, Security, Stats, TlsConfig, TlsError,
    TransportConfig, WebConfig, accept, udp,
};

/// All transports of one element. See the crate page.
#[derive(Clone)]
pub struct Transports {
    hub: Arc<Hub>,
    locator: Arc<Locator>,
}

/// Why nothing was bound. The configuration or the system is at fault.
#[derive(Debug)]
pub enum BindError {
    /// The system's word about one listener.
    Listener(Listener, std::io::Error),
    /// A listener on an unspecified address says nothing that a Via could.
    Unadvertised(Listener),
    /// TLS material.
    Tls(TlsError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(listener, error) => write!(f, "{} {}: {error}", listener.transport, listener.address),
            Self::Unadvertised(listener) => {
                write!(f, "{} {} needs an advertised address", listener.transport, listener.address)
            }
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {}

enum Socket {
    Udp(UdpSocket),
    Stream(TcpListener),
}

impl Transports {
    /// Binds all listeners and starts their tasks on the current runtime. They end when the inbox is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(config: TransportConfig) -> Result<(Self, Inbox), BindError> {
        let tls = config.tls.as_ref().map(TlsStore::new).transpose().map_err(BindError::Tls)?;
        let is_secure = |listener: &Listener| listener.transport.is_secure();
        if config.listeners.iter().any(is_secure) && tls.as_ref().is_none_or(|tls| tls.suite().sip.is_none()) {
            return Err(BindError::Tls(TlsError::NoIdentity));
        }
        let (mut bound, mut sockets) = (Vec::new(), Vec::new());
        for listener in &config.listeners {
            let (socket, address) = bind(listener).map_err(|error| BindError::Listener(listener.clone(), error))?;
            let sent_by = match &listener.advertised {
                Some(sent_by) => sent_by.clone(),
                None if address.ip().is_unspecified() => return Err(BindError::Unadvertised(listener.clone())),
                None => SentBy::from(address),
            };
            bound.push(BoundListener { transport: listener.transport, address, sent_by });
            sockets.push(socket);
        }
        let has = |is_ipv4: bool| bound.iter().any(|listener| listener.address.is_ipv4() == is_ipv4);
        let families = (has(true), has(false));
        let locator = Locator::new(config.locator, config.seed, families);

        let (messages, inbox) = mpsc::channel(config.limits.inbox.clamp(1, 1 << 20));
        let (failures, failed) = mpsc::channel(config.limits.inbox.clamp(1, 1 << 20));
        let mut ports = Vec::new();
        let mut receivers = Vec::new();
        for (listener, socket) in bound.iter().zip(sockets) {
            match socket {
                Socket::Udp(socket) => {
                    let (port, tasks) = udp::Port::new(listener.address, socket, config.limits.queue);
                    ports.push(port);
                    receivers.push((listener.transport, Err(tasks)));
                }
                Socket::Stream(socket) => receivers.push((listener.transport, Ok(socket))),
            }
        }
        let hub = Arc::new(Hub::new(config.limits, bound, ports, messages, failures, tls, config.web));
        for (transport, receiver) in receivers {
            match receiver {
                Ok(listener) => drop(tokio::spawn(accept::run(hub.clone(), listener, transport))),
                Err(tasks) => tasks.start(&hub),
            }
        }
        let transports = Self { hub, locator: Arc::new(locator) };
        Ok((transports, Inbox { messages: inbox, failures: failed }))
    }

    /// Sends a message, or says by [`Inbound::SendFailed`](crate::Inbound::SendFailed) that it could not be sent. Never waits. Needs
    /// a runtime to be current, since it may open a connection.
    pub fn send(&self, transmit: Transmit) {
        self.hub.send(transmit);
    }

    /// How this server is reached from here: what to give to the transaction layer. `None` without a listener of its transport and
    /// address family, for TLS without TLS configuration, and for WS and WSS, which only the client can open.
    pub fn target(&self, hop: &Hop) -> Option<Target> {
        self.hub.target(hop)
    }

    /// How a request goes by this flow, to a peer that sent us something. `None` without a listener of its transport.
    pub fn target_on(&self, flow: Flow) -> Option<Target> {
        let listener = self.hub.listener(flow.transport, flow.peer, Some(flow.local))?;
        Some(Target { flow, sent_by: listener.sent_by.clone() })
    }

    /// Where a request to this URI goes (the topmost Route, or the Request-URI), in the order in which it is tried. Those that
    /// [`Transports::penalise`] was told of come last. Takes [`LocatorConfig::time`](crate::LocatorConfig::time) at most.
    pub async fn locate(&self, uri: &SipUri, security: Security) -> Result<Vec<Target>, LocateError> {
        let supported = self.hub.supported(self.locator.preference());
        let hops = self.locator.locate(uri, security, &supported).await?;
        let targets: Vec<_> = hops.iter().filter_map(|hop| self.target(hop)).collect();
        if targets.is_empty() { Err(LocateError::Transport) } else { Ok(targets) }
    }

    /// This target failed: it is tried last, for Retry-After or else [`LocatorConfig::penalty`](crate::LocatorConfig::penalty).
    /// No other address of its host is meant (RFC 3263 §4.3).
    pub fn penalise(&self, target: &Target, retry_after: Option<Duration>) {
        self.locator.penalise(target.flow.transport, target.flow.peer, retry_after);
    }

    /// Whose certificate the peer of this connection proved to have: a client by mutual TLS, a server always.
    pub fn identity(&self, flow: Flow) -> Option<Arc<PeerIdentity>> {
        self.hub.table().identity(flow.connection)
    }

    /// Closes a connection, what waits to be sent on it included.
    pub fn close(&self, flow: Flow) {
        self.hub.table().close(flow.connection);
    }

    /// What is bound, in the order of the configuration.
    pub fn listeners(&self) -> &[BoundListener] {
        &self.hub.listeners
    }

    /// Certificates and roots for all handshakes from here on; connections stay. On an error nothing changes. Without TLS in
    /// [`TransportConfig`] there is nothing to replace: [`TlsError::NoIdentity`].
    pub fn set_tls(&self, config: &TlsConfig) -> Result<(), TlsError> {
        self.hub.tls.as_ref().ok_or(TlsError::NoIdentity)?.replace(config)
    }

    /// Pages and origins for all requests from here on.
    pub fn set_web(&self, config: WebConfig) {
        *self.hub.web.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// [`TransportLimits::trusted`](crate::TransportLimits::trusted) from here on.
    pub fn set_trusted(&self, networks: Vec<(IpAddr, u8)>) {
        self.hub.admission().set_trusted(networks);
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.hub.counters.snapshot()
    }
}

fn bind(listener: &Listener) -> std::io::Result<(Socket, SocketAddr)> {
    use socket2::{Domain, Protocol, Type};
    let is_udp = listener.transport == Transport::Udp;
    let (kind, protocol) = if is_udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = socket2::Socket::new(Domain::for_address(listener.address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if listener.address.is_ipv6() {
        // Each family has its listeners, and so no peer has two addresses.
        socket.set_only_v6(true)?;
    }
    if is_udp {
        // Room for a burst; the system may give less.
        let _ = socket.set_recv_buffer_size(1 << 20);
        socket.bind(&listener.address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let address = socket.local_addr()?;
        return Ok((Socket::Udp(socket), address));
    }
    socket.set_reuse_address(true)?;
    socket.bind(&listener.address.into())?;
    socket.listen(1024)?;
    let socket = TcpListener::from_std(socket.into())?;
    let address = socket.local_addr()?;
    Ok((Socket::Stream(socket), address))
}
