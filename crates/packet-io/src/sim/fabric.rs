//! The state of a simulated network: who has which address, what is under way, what has arrived.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar};
use std::time::{Duration, Instant};

use datagram::PortId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Faults;
use super::nat::{Nat, NatBehaviour};

/// Datagrams that wait at one host; more are lost, as with a full socket buffer.
const INBOX_LIMIT: usize = 65_536;

/// Where an address has its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Realm {
    Public,
    Inside(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InboxId(usize);

pub(super) struct Arrival {
    pub(super) port: PortId,
    pub(super) source: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) arrivals: VecDeque<Arrival>,
    pub(super) woken: bool,
}

struct InFlight {
    due: Instant,
    sequence: u64,
    realm: Realm,
    source: SocketAddr,
    destination: SocketAddr,
    bytes: Vec<u8>,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for InFlight {}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

pub(super) struct Fabric {
    pub(super) now: Instant,
    pub(super) arrived: Arc<Condvar>,
    rng: StdRng,
    sequence: u64,
    under_way: BinaryHeap<Reverse<InFlight>>,
    sockets: HashMap<(Realm, SocketAddr), (InboxId, PortId)>,
    inboxes: Vec<Inbox>,
    nats: Vec<Nat>,
    faults: HashMap<(IpAddr, IpAddr), Faults>,
    default_faults: Faults,
    refusals: HashMap<SocketAddr, i32>,
}

impl Fabric {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self {
            now,
            arrived: Arc::new(Condvar::new()),
            rng: StdRng::seed_from_u64(seed),
            sequence: 0,
            under_way: BinaryHeap::new(),
            sockets: HashMap::new(),
            inboxes: Vec::new(),
            nats: Vec::new(),
            faults: HashMap::new(),
            default_faults: Faults::default(),
            refusals: HashMap::new(),
        }
    }

    pub(super) fn add_inbox(&mut self) -> InboxId {
        self.inboxes.push(Inbox::default());
        InboxId(self.inboxes.len() - 1)
    }

    pub(super) fn inbox(&mut self, id: InboxId) -> &mut Inbox {
        &mut self.inboxes[id.0]
    }

    pub(super) fn add_nat(&mut self, outside: IpAddr, behaviour: NatBehaviour) -> usize {
        self.nats.push(Nat::new(outside, behaviour));
        self.nats.len() - 1
    }

    pub(super) fn rebind_nat(&mut self, nat: usize) {
        self.nats[nat].forget();
    }

    pub(super) fn set_faults(&mut self, direction: Option<(IpAddr, IpAddr)>, faults: Faults) {
        match direction {
            Some(direction) => {
                self.faults.insert(direction, faults);
            }
            None => self.default_faults = faults,
        }
    }

    pub(super) fn refuse_bind(&mut self, local: SocketAddr, errno: Option<i32>) {
        match errno {
            Some(errno) => self.refusals.insert(local, errno),
            None => self.refusals.remove(&local),
        };
    }

    pub(super) fn bind(&mut self, realm: Realm, local: SocketAddr, inbox: InboxId, port: PortId) -> io::Result<()> {
        if let Some(&errno) = self.refusals.get(&local) {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if self.sockets.contains_key(&(realm, local)) {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        self.sockets.insert((realm, local), (inbox, port));
        Ok(())
    }

    pub(super) fn unbind(&mut self, realm: Realm, local: SocketAddr) {
        if let Some((inbox, port)) = self.sockets.remove(&(realm, local)) {
            self.inbox(inbox).arrivals.retain(|arrival| arrival.port != port);
        }
    }

    pub(super) fn transmit(&mut self, realm: Realm, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let (realm, source) = match realm {
            Realm::Inside(nat) if !self.sockets.contains_key(&(realm, destination)) => {
                let outside = self.nats[nat].outbound(self.now, &mut self.rng, source, destination);
                (Realm::Public, outside)
            }
            _ => (realm, source),
        };
        let faults = self.faults.get(&(source.ip(), destination.ip())).copied().unwrap_or(self.default_faults);
        // Every datagram draws the same number of values, so that one fault's rate does not shift the others' pattern.
        let lost = self.rng.random_bool(faults.loss);
        let duplicated = self.rng.random_bool(faults.duplication);
        let delays = [self.delay(&faults), self.delay(&faults)];
        if !lost {
            let copies = 1 + usize::from(duplicated);
            for delay in delays.into_iter().take(copies) {
                self.sequence += 1;
                let due = self.now + delay;
                let sequence = self.sequence;
                self.under_way.push(Reverse(InFlight {
                    due,
                    sequence,
                    realm,
                    source,
                    destination,
                    bytes: bytes.to_vec(),
                }));
            }
        }
        self.deliver_due();
    }

    fn delay(&mut self, faults: &Faults) -> Duration {
        let held = self.rng.random_bool(faults.reordering);
        let share = self.rng.random_range(0.0..=1.0);
        faults.delay + faults.jitter.mul_f64(share) + if held { faults.hold } else { Duration::ZERO }
    }

    pub(super) fn advance(&mut self, step: Duration) {
        let target = self.now + step;
        while let Some(Reverse(next)) = self.under_way.peek() {
            if next.due > target {
                break;
            }
            self.now = self.now.max(next.due);
            self.deliver_due();
        }
        self.now = target;
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(next)| next.due)
    }

    fn deliver_due(&mut self) {
        while self.next_due().is_some_and(|due| due <= self.now) {
            if let Some(Reverse(datagram)) = self.under_way.pop() {
                self.deliver(datagram);
            }
        }
    }

    fn deliver(&mut self, datagram: InFlight) {
        let InFlight { mut realm, source, mut destination, bytes, .. } = datagram;
        if realm == Realm::Public
            && let Some(nat) = self.nats.iter().position(|nat| nat.outside == destination.ip())
        {
            let Some(inside) = self.nats[nat].inbound(self.now, source, destination.port()) else { return };
            (realm, destination) = (Realm::Inside(nat), inside);
        }
        let Some(&(inbox, port)) = self.sockets.get(&(realm, destination)) else { return };
        let inbox = self.inbox(inbox);
        if inbox.arrivals.len() < INBOX_LIMIT {
            inbox.arrivals.push_back(Arrival { port, source, bytes });
            self.arrived.notify_all();
        }
    }
}
