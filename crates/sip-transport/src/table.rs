//! Connections and destinations. Pure: it holds queues, opens nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sip::{Flow, Transport};
use tokio::sync::Notify;

use crate::PeerIdentity;
use crate::connection::Queue;

/// Requests to a UDP target that are remembered per TCP connection that carried them.
const REMEMBERED: usize = 64;
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
    /// Branch, and hash of the bytes, of requests to a UDP target.
    sent: VecDeque<(String, u64)>,
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

    /// Whether requests to a UDP target went by TCP on the connection that is there.
    pub(crate) fn is_carrying_large(&self, key: &Key) -> bool {
        self.at(key).is_some_and(|destination| !destination.sent.is_empty())
    }

    /// Whether one with this branch did.
    pub(crate) fn has_carried(&self, key: &Key, branch: &str) -> bool {
        self.at(key).is_some_and(|destination| destination.sent.iter().any(|(sent, _)| sent == branch))
    }

    /// Whether these very bytes did; remembers them if not.
    pub(crate) fn is_repeated(&mut self, destination: u64, branch: String, hash: u64) -> bool {
        let Some(destination) = self.destinations.get_mut(&destination) else { return false };
        if destination.sent.iter().any(|&(_, sent)| sent == hash) {
            return true;
        }
        destination.sent.truncate(REMEMBERED - 1);
        destination.sent.push_front((branch, hash));
        false
    }

    fn at(&self, key: &Key) -> Option<&Destination> {
        self.destinations.get(self.destinations_by_key.get(key)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::queue;

    fn key(port: u16) -> Key {
        Key { transport: Transport::Tls, peer: ([192, 0, 2, 1], port).into(), domain: "example.com".to_owned() }
    }

    fn flow(port: u16) -> Flow {
        let local = ([192, 0, 2, 2], 5061).into();
        Flow { transport: Transport::Tls, local, peer: ([192, 0, 2, 1], port).into(), connection: 0 }
    }

    #[test]
    fn a_destination_keeps_its_number_until_it_is_the_longest_unused() {
        let mut table = Table::new(3);
        let [one, two, _three] = [1, 2, 3].map(|port| table.destination(&key(port)));
        assert_eq!(table.destination(&key(1)), one);
        table.connection_to(two);
        let [four, five] = [4, 5].map(|port| table.destination(&key(port)));
        assert_eq!([one, two, four, five].map(|id| table.key(id).is_some()), [false, true, true, true]);
        assert_ne!(table.destination(&key(1)), one, "no number is used twice");
        assert_eq!(
            (table.destinations.len(), table.destinations_by_key.len(), table.destinations_by_use.len()),
            (3, 3, 3)
        );
    }

    #[test]
    fn a_destination_has_one_connection_at_a_time() {
        let mut table = Table::new(3);
        let destination = table.destination(&key(1));
        let first = table.open(flow(1), queue(1, 1).0, None, Some(destination)).flow.connection;
        assert_eq!(table.connection_to(destination).map(|connection| connection.flow.connection), Some(first));
        assert!(!table.is_repeated(destination, "z9hG4bK1".to_owned(), 7));
        assert!(table.is_repeated(destination, "z9hG4bK1".to_owned(), 7));
        table.remove(first);
        assert!(table.connection_to(destination).is_none());
        assert!(
            !table.is_repeated(destination, "z9hG4bK1".to_owned(), 7),
            "what the old connection carried may be lost"
        );
    }

    #[test]
    fn aliases_end_with_their_connection_and_are_few() {
        let mut table = Table::new(3);
        let destination = table.destination(&key(5061));
        let [old, new] = [0, 1].map(|_| table.open(flow(40000), queue(1, 1).0, None, None).flow.connection);
        for port in 5061..5200 {
            table.alias(old, key(port));
        }
        assert_eq!(table.aliases.len(), MAX_ALIASES);
        table.alias(new, key(5061));
        table.remove(old);
        let used = table.connection_to(destination).map(|connection| connection.flow.connection);
        assert_eq!((used, table.aliases.len()), (Some(new), 1));
        table.remove(new);
        assert!(table.aliases.is_empty() && table.open.is_empty());
    }
}
