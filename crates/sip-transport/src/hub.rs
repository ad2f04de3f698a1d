//! What all tasks share, and the way of a message out.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use sip::{Flow, Message, Received, Target, Transmit, Transport};
use tokio::sync::{Semaphore, mpsc};

use crate::admission::Admission;
use crate::connection::{self, Item, Outgoing, Queue, Unqueued};
use crate::stats::Counters;
use crate::table::{Key, Table};
use crate::tls::TlsStore;
use crate::udp::{self, MAX_DATAGRAM};
use crate::{BoundListener, Hop, Inbound, Refusal, TransportLimits, WebConfig, dial, via};

pub(crate) struct Hub {
    pub(crate) limits: TransportLimits,
    pub(crate) listeners: Vec<BoundListener>,
    pub(crate) counters: Counters,
    pub(crate) messages: mpsc::Sender<Inbound>,
    pub(crate) tls: Option<TlsStore>,
    pub(crate) web: RwLock<Arc<WebConfig>>,
    pub(crate) handshakes: Arc<Semaphore>,
    failures: mpsc::Sender<Inbound>,
    ports: Vec<udp::Port>,
    table: Mutex<Table>,
    admission: Mutex<Admission>,
}

impl Hub {
    pub(crate) fn new(
        limits: TransportLimits,
        listeners: Vec<BoundListener>,
        ports: Vec<udp::Port>,
        messages: mpsc::Sender<Inbound>,
        failures: mpsc::Sender<Inbound>,
        tls: Option<TlsStore>,
        web: WebConfig,
    ) -> Self {
        Self {
            table: Mutex::new(Table::new(limits.destinations)),
            admission: Mutex::new(Admission::new(&limits)),
            handshakes: Arc::new(Semaphore::new(limits.handshakes.min(Semaphore::MAX_PERMITS))),
            counters: Counters::default(),
            web: RwLock::new(Arc::new(web)),
            limits,
            listeners,
            ports,
            messages,
            failures,
            tls,
        }
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn web(&self) -> Arc<WebConfig> {
        self.web.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn is_within_rate(&self, peer: SocketAddr) -> bool {
        let is_within = self.admission().message(Instant::now(), peer.ip());
        if !is_within {
            self.counters.refused(Refusal::Rate);
        }
        is_within
    }

    /// What to do with bytes that were read as a message.
    pub(crate) fn examine(&self, received: Received, peer: SocketAddr) -> Examined {
        match received {
            Received::Message(Message::Response(response)) => {
                if via::is_ours(&response, self.listeners.iter().map(|listener| &listener.sent_by)) {
                    return Examined::Message(Message::Response(response));
                }
                self.counters.refused(Refusal::SentBy);
                Examined::Nothing
            }
            Received::Message(message) => Examined::Message(message),
            Received::Refused { fault: sip::Fault::Empty, .. } => Examined::Nothing,
            Received::Refused { response, .. } => {
                self.counters.refused(Refusal::Message);
                match response.and_then(|response| via::route_refusal(*response, peer)) {
                    Some((bytes, address)) => Examined::Refusal(bytes, address),
                    None => Examined::Nothing,
                }
            }
        }
    }

    /// The first listener that serves: of this transport and family, at `local` if it is given and there is one, and for
    /// loopback peers a loopback one if there is one.
    pub(crate) fn listener(
        &self,
        transport: Transport,
        peer: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Option<&BoundListener> {
        let serves =
            |listener: &&BoundListener| listener.transport == transport && listener.address.is_ipv4() == peer.is_ipv4();
        let is_near = |listener: &&BoundListener| {
            let ip = listener.address.ip();
            ip.is_unspecified() || ip.is_loopback() == peer.ip().is_loopback()
        };
        let serving = || self.listeners.iter().filter(serves);
        let exact = local.and_then(|local| serving().find(|listener| listener.address == local));
        // A connection has the address that the peer chose, where the listener has none.
        let same_port = || local.and_then(|local| serving().find(|listener| listener.address.port() == local.port()));
        exact.or_else(same_port).or_else(|| serving().find(is_near)).or_else(|| serving().next())
    }

    /// Transports of `wanted` by which a request can go out.
    pub(crate) fn supported(&self, wanted: &[Transport]) -> Vec<Transport> {
        let present: HashSet<_> = self.listeners.iter().map(|listener| listener.transport).collect();
        let is_possible = |transport: &Transport| match transport {
            Transport::Tls => self.tls.is_some(),
            Transport::Udp | Transport::Tcp => true,
            Transport::Ws | Transport::Wss => false,
        };
        wanted.iter().copied().filter(|known| present.contains(known) && is_possible(known)).collect()
    }

    pub(crate) fn target(&self, hop: &Hop) -> Option<Target> {
        let Hop { transport, address: peer, ref domain } = *hop;
        self.supported(&[transport]).first()?;
        let listener = self.listener(transport, peer, None)?;
        let (local, sent_by) = (listener.address, listener.sent_by.clone());
        let connection = match transport {
            Transport::Udp => 0,
            _ => {
                let domain = if transport == Transport::Tls { domain.clone() } else { String::new() };
                self.table().destination(&Key { transport, peer, domain })
            }
        };
        Some(Target { flow: Flow { transport, local, peer, connection }, sent_by })
    }

    pub(crate) fn send(self: &Arc<Self>, transmit: Transmit) {
        match transmit.flow.transport {
            Transport::Udp => self.send_to_udp(transmit),
            _ => self.send_by_number(Outgoing::new(transmit)),
        }
    }

    /// RFC 3261 §18.1.1: by TCP if it is large, and then its CANCEL and ACK too (§9.1, §17.1.1.3).
    fn send_to_udp(self: &Arc<Self>, transmit: Transmit) {
        match self.by_tcp(&transmit) {
            ByTcp::No => self.send_datagram(transmit),
            ByTcp::Repeated => {}
            ByTcp::Yes(key, by_tcp) => {
                let destination = by_tcp.flow.connection;
                let outgoing = Outgoing { datagram: Some(transmit), ..Outgoing::new(by_tcp) };
                self.send_to_destination(destination, &key, outgoing);
            }
        }
    }

    fn by_tcp(&self, transmit: &Transmit) -> ByTcp {
        let (peer, is_large) = (transmit.flow.peer, transmit.bytes.len() > MAX_DATAGRAM);
        let key = Key { transport: Transport::Tcp, peer, domain: String::new() };
        if !is_large && !self.table().is_carrying_large(&key) {
            return ByTcp::No;
        }
        let Some(listener) = self.listener(Transport::Tcp, peer, None) else { return ByTcp::No };
        let Some((bytes, branch)) = via::for_tcp(&transmit.bytes, &listener.sent_by, &self.limits.message) else {
            return ByTcp::No;
        };
        let mut table = self.table();
        if !is_large && !table.has_carried(&key, &branch) {
            return ByTcp::No;
        }
        let connection = table.destination(&key);
        if table.is_refusing(connection, Instant::now()) {
            return ByTcp::No;
        }
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        if table.is_repeated(connection, branch, hasher.finish()) {
            return ByTcp::Repeated;
        }
        let flow = Flow { transport: Transport::Tcp, local: listener.address, peer, connection };
        ByTcp::Yes(key, Transmit { flow, bytes, transaction: transmit.transaction })
    }

    pub(crate) fn send_datagram(&self, transmit: Transmit) {
        let flow = transmit.flow;
        let fits = |port: &&udp::Port| port.local().is_ipv4() == flow.peer.is_ipv4();
        let exact = self.ports.iter().find(|port| port.local() == flow.local);
        match exact.or_else(|| self.ports.iter().find(fits)).map(|port| port.push(transmit)) {
            Some(Ok(())) => {}
            Some(Err(transmit)) => {
                self.counters.refused(Refusal::Queue);
                self.fail(&transmit);
            }
            None => self.counters.send_failed(Transport::Udp),
        }
    }

    fn send_by_number(self: &Arc<Self>, outgoing: Outgoing) {
        let flow = outgoing.transmit.flow;
        let (connection, key) = {
            let table = self.table();
            (table.connection(flow.connection), table.key(flow.connection))
        };
        match (connection, key) {
            (Some(connection), _) => self.push(&connection.queue, outgoing),
            (None, Some(key)) => self.send_to_destination(flow.connection, &key, outgoing),
            (None, None) if flow.connection == 0 && matches!(flow.transport, Transport::Tcp | Transport::Tls) => {
                let domain = if flow.transport == Transport::Tls { flow.peer.ip().to_string() } else { String::new() };
                let key = Key { transport: flow.transport, peer: flow.peer, domain };
                let destination = self.table().destination(&key);
                self.send_to_destination(destination, &key, outgoing);
            }
            (None, None) => self.undelivered(outgoing),
        }
    }

    fn send_to_destination(self: &Arc<Self>, destination: u64, key: &Key, outgoing: Outgoing) {
        let mut table = self.table();
        if let Some(connection) = table.connection_to(destination) {
            drop(table);
            return self.push(&connection.queue, outgoing);
        }
        let slot = match Slot::take_own(self, key.transport) {
            Ok(slot) => slot,
            Err(reason) => {
                drop(table);
                self.counters.refused(reason);
                return self.fail(&outgoing.transmit);
            }
        };
        self.dial(table, key, Some(destination), slot, outgoing);
    }

    /// A response whose connection is gone. What it costs is the peer's: neither a place of our own connections nor a destination.
    fn send_back(self: &Arc<Self>, key: &Key, outgoing: Outgoing) {
        match Slot::take(self, key.transport, key.peer.ip()) {
            Ok(slot) => self.dial(self.table(), key, None, slot, outgoing),
            Err(reason) => {
                self.counters.refused(reason);
                self.fail(&outgoing.transmit);
            }
        }
    }

    fn dial(
        self: &Arc<Self>,
        mut table: MutexGuard<'_, Table>,
        key: &Key,
        destination: Option<u64>,
        slot: Slot,
        outgoing: Outgoing,
    ) {
        let (queue, drain) = connection::queue(self.limits.queue, self.limits.queue_bytes);
        let flow = Flow { transport: key.transport, peer: key.peer, ..outgoing.transmit.flow };
        let connection = table.open(flow, queue, None, destination);
        drop(table);
        self.push(&connection.queue, outgoing);
        tokio::spawn(dial::run(self.clone(), dial::Dial { key: key.clone(), destination, connection, drain, slot }));
    }

    fn push(self: &Arc<Self>, queue: &Queue, outgoing: Outgoing) {
        match queue.push(Item::Message(Box::new(outgoing))) {
            Ok(()) => {}
            Err(Unqueued::Full(Item::Message(outgoing))) => {
                self.counters.refused(Refusal::Queue);
                self.fail(&outgoing.transmit);
            }
            Err(Unqueued::Closed(Item::Message(outgoing))) => self.undelivered(*outgoing),
            Err(_) => {}
        }
    }

    /// Its connection is gone or could not be made: by another way once, if there is one, else it failed.
    pub(crate) fn undelivered(self: &Arc<Self>, mut outgoing: Outgoing) {
        if let Some(datagram) = outgoing.datagram.take() {
            return self.send_datagram(datagram);
        }
        let flow = outgoing.transmit.flow;
        if !outgoing.is_second_try
            && let Some(key) = via::way_back(&outgoing.transmit.bytes, flow, &self.limits.message)
        {
            outgoing.is_second_try = true;
            return self.send_back(&key, outgoing);
        }
        self.fail(&outgoing.transmit);
    }

    pub(crate) fn fail(&self, transmit: &Transmit) {
        self.counters.send_failed(transmit.flow.transport);
        if let Some(transaction) = transmit.transaction {
            // If it does not fit, the transaction's own timer says the same.
            let _ = self.failures.try_send(Inbound::SendFailed { transaction });
        }
    }
}

/// Whether a request to a UDP target goes by TCP.
enum ByTcp {
    No,
    /// It did, and the connection is there: a retransmission of the transaction layer, which believes in UDP.
    Repeated,
    Yes(Key, Transmit),
}

/// What bytes from a peer come to.
pub(crate) enum Examined {
    /// For the user.
    Message(Message),
    /// An answer, and where it goes by UDP.
    Refusal(Vec<u8>, SocketAddr),
    Nothing,
}

/// A place among the connections.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    transport: Transport,
    /// Whose place it is, if not our own.
    source: Option<IpAddr>,
}

impl Slot {
    /// For a connection that the peer opened, or that is opened for it.
    pub(crate) fn take(hub: &Arc<Hub>, transport: Transport, source: IpAddr) -> Result<Self, Refusal> {
        hub.admission().connect(Instant::now(), source)?;
        Ok(Self::new(hub, transport, Some(source)))
    }

    /// For a connection of ours.
    fn take_own(hub: &Arc<Hub>, transport: Transport) -> Result<Self, Refusal> {
        hub.admission().connect_own()?;
        Ok(Self::new(hub, transport, None))
    }

    fn new(hub: &Arc<Hub>, transport: Transport, source: Option<IpAddr>) -> Self {
        hub.counters.connection_opened(transport);
        Self { hub: hub.clone(), transport, source }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut admission = self.hub.admission();
        match self.source {
            Some(source) => admission.disconnect(source),
            None => admission.disconnect_own(),
        }
        drop(admission);
        self.hub.counters.connection_closed(self.transport);
    }
}
