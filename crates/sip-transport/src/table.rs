//! Connections and destinations. Pure: it holds queues, opens nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Flow, Transport};
use tokio::sync::Notify;

use crate::PeerIdentity;
use crate::connection::Queue;

/// Large requests whose bytes are remembered per destination, so that a retransmission by timer does not go out again by TCP.
const REMEMBERED: usize = 32;
/// Aliases of one connection (RFC 5923).
const MAX_ALIASES: usize = 8;
/// How long a peer that refused TCP gets large requests by UDP.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// What a connection is to be made to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    /// TCP or TLS.
    pub(crate) transport: Transport,
    pub(crate) peer: SocketAddr,
    /// What the certificate must say, in lower case; empty for TCP.
    pub(crate) domain: String,
}

#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) flow: Flow,
    pub(crate) queue: Queue,
    pub(crate) identity: Option<Arc<PeerIdentity>>,
    pub(crate) closer: Arc<Notify>,
}

struct Destination {
    key: Key,
    last_use: u64,
    connection: Option<u64>,
    refused_at: Option<Instant>,
    sent: VecDeque<u64>,
}

/// Numbers of connections and destinations come from one sequence, and none is used twice.
pub(crate) struct Table {
    next: u64,
    uses: u64,
    max_destinations: usize,
    open: HashMap<u64, Entry>,
    destinations: HashMap<u64, Destination>,
    destinations_by_key: HashMap<Key, u64>,
    destinations_by_use: BTreeMap<u64, u64>,
    aliases: HashMap<Key, u64>,
}

struct Entry {
    connection: Connection,
    destination: Option<u64>,
    aliases: Vec<Key>,
}

impl Table {
    pub(crate) fn new(max_destinations: usize) -> Self {
        Self {
            next: 1,
            uses: 0,
            max_destinations: max_destinations.max(1),
            open: HashMap::new(),
            destinations: HashMap::new(),
            destinations_by_key: HashMap::new(),
            destinations_by_use: BTreeMap::new(),
            aliases: HashMap::new(),
        }
    }

    /// The number of a destination, which is made if there is none; the longest unused one makes room.
    pub(crate) fn destination(&mut self, key: &Key) -> u64 {
        if let Some(&id) = self.destinations_by_key.get(key) {
            self.touch(id);
            return id;
        }
        if self.destinations.len() >= self.max_destinations
            && let Some((_, id)) = self.destinations_by_use.pop_first()
            && let Some(old) = self.destinations.remove(&id)
        {
            self.destinations_by_key.remove(&old.key);
        }
        let id = self.next();
        let destination =
            Destination { key: key.clone(), last_use: 0, connection: None, refused_at: None, sent: VecDeque::new() };
        self.destinations.insert(id, destination);
        self.destinations_by_key.insert(key.clone(), id);
        self.touch(id);
        id
    }

    pub(crate) fn key(&self, destination: u64) -> Option<Key> {
        self.destinations.get(&destination).map(|destination| destination.key.clone())
    }

    fn touch(&mut self, id: u64) {
        self.uses += 1;
        if let Some(destination) = self.destinations.get_mut(&id) {
            self.destinations_by_use.remove(&destination.last_use);
            destination.last_use = self.uses;
            self.destinations_by_use.insert(self.uses, id);
        }
    }

    /// An open connection with this number.
    pub(crate) fn connection(&self, id: u64) -> Option<Connection> {
        self.open.get(&id).map(|entry| entry.connection.clone())
    }

    /// The connection to a destination that is open or being made: ours, or the peer's own if it may be used (RFC 5923).
    pub(crate) fn connection_to(&mut self, destination: u64) -> Option<Connection> {
        self.touch(destination);
        let entry = self.destinations.get(&destination)?;
        let id = entry.connection.or_else(|| self.aliases.get(&entry.key).copied())?;
        self.connection(id)
    }

    /// A connection that is made, or is to be made to a destination.
    pub(crate) fn open(
        &mut self,
        mut flow: Flow,
        queue: Queue,
        identity: Option<Arc<PeerIdentity>>,
        destination: Option<u64>,
    ) -> Connection {
        flow.connection = self.next();
        let connection = Connection { flow, queue, identity, closer: Arc::new(Notify::new()) };
        let entry = Entry { connection: connection.clone(), destination, aliases: Vec::new() };
        self.open.insert(flow.connection, entry);
        if let Some(destination) = destination.and_then(|id| self.destinations.get_mut(&id)) {
            destination.connection = Some(flow.connection);
        }
        connection
    }

    /// What was being made is made.
    pub(crate) fn established(&mut self, id: u64, local: SocketAddr, identity: Option<Arc<PeerIdentity>>) {
        if let Some(entry) = self.open.get_mut(&id) {
            entry.connection.flow.local = local;
            entry.connection.identity = identity;
            if let Some(destination) = entry.destination.and_then(|id| self.destinations.get_mut(&id)) {
                destination.refused_at = None;
            }
        }
    }

    /// It is gone, or could not be made.
    pub(crate) fn remove(&mut self, id: u64) {
        let Some(entry) = self.open.remove(&id) else { return };
        for key in entry.aliases {
            if self.aliases.get(&key) == Some(&id) {
                self.aliases.remove(&key);
            }
        }
        if let Some(destination) = entry.destination.and_then(|id| self.destinations.get_mut(&id))
            && destination.connection == Some(id)
        {
            destination.connection = None;
            destination.sent.clear();
        }
    }

    /// Requests to `key` may use this connection, which the peer opened: the caller has checked its certificate.
    pub(crate) fn alias(&mut self, id: u64, key: Key) {
        let Some(entry) = self.open.get_mut(&id) else { return };
        if entry.aliases.len() < MAX_ALIASES && !entry.aliases.contains(&key) {
            entry.aliases.push(key.clone());
            self.aliases.insert(key, id);
        }
    }

    pub(crate) fn refused(&mut self, destination: u64, now: Instant) {
        if let Some(destination) = self.destinations.get_mut(&destination) {
            destination.refused_at = Some(now);
        }
    }

    pub(crate) fn is_refusing(&self, destination: u64, now: Instant) -> bool {
        let refused_at = self.destinations.get(&destination).and_then(|destination| destination.refused_at);
        refused_at.is_some_and(|at| now.saturating_duration_since(at) < REFUSED_FOR)
    }

    /// Whether these bytes are on their way already by the connection to this destination.
    pub(crate) fn is_repeated(&mut self, destination: u64, hash: u64) -> bool {
        let Some(destination) = self.destinations.get_mut(&destination) else { return false };
        if destination.sent.contains(&hash) {
            return true;
        }
        destination.sent.truncate(REMEMBERED - 1);
        destination.sent.push_front(hash);
        false
    }

    pub(crate) fn identity(&self, id: u64) -> Option<Arc<PeerIdentity>> {
        self.open.get(&id).and_then(|entry| entry.connection.identity.clone())
    }

    pub(crate) fn close(&self, id: u64) {
        if let Some(entry) = self.open.get(&id) {
            entry.connection.closer.notify_one();
        }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}
