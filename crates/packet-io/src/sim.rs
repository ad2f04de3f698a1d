//! A network in memory: virtual clock, seeded faults, NATs. For tests.
//!
//! [`SimNetwork`] is the network. A worker attaches with [`SimNetwork::backend`] and gets a [`Sim`]; peers are
//! [`SimHost`]s, on the public network or behind a [`SimNat`]. A datagram without delay arrives as soon as it is sent;
//! others arrive when [`SimNetwork::advance`] passes their time, in order of time. Equal seeds and equal calls give
//! equal outcomes.
//!
//! ```
//! # use sallyport_packet_io as packet_io;
//! use packet_io::{Faults, SimNetwork};
//! use std::time::Duration;
//!
//! let network = SimNetwork::new(7);
//! let alice = network.host("192.0.2.1:4000".parse()?)?;
//! let bob = network.host("192.0.2.2:4000".parse()?)?;
//! network.set_faults(alice.local().ip(), bob.local().ip(), Faults { delay: Duration::from_millis(20), ..Faults::NONE });
//! alice.send_to(b"hello", bob.local());
//! assert_eq!(bob.receive_from(), None);
//! network.advance(Duration::from_millis(20));
//! assert_eq!(bob.receive_from(), Some((b"hello".to_vec(), alice.local())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fabric;
mod nat;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datagram::{
    BATCH_CAPACITY, Backend, Batch, Capabilities, MAX_DATAGRAM, PortId, ReceiveReport, SendReport, SendRight, Wake,
};

use fabric::{Fabric, InboxId, Realm};
pub use nat::{Dependence, NatBehaviour};

/// What happens to the datagrams of one direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Faults {
    /// Share that is lost, 0 to 1.
    pub loss: f64,
    /// Share that arrives twice, 0 to 1.
    pub duplication: f64,
    /// Share that is held back for [`Faults::hold`], so that later ones overtake it, 0 to 1.
    pub reordering: f64,
    /// Extra time of those that are held back.
    pub hold: Duration,
    /// Time under way.
    pub delay: Duration,
    /// Upper end of an extra time under way, evenly distributed.
    pub jitter: Duration,
}

impl Faults {
    /// Nothing goes wrong and nothing takes time.
    pub const NONE: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        reordering: 0.0,
        hold: Duration::from_millis(30),
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
    };
}

impl Default for Faults {
    fn default() -> Self {
        Self::NONE
    }
}

/// The network. Clones are the same network.
#[derive(Clone)]
pub struct SimNetwork {
    fabric: Arc<Mutex<Fabric>>,
}

impl SimNetwork {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        Self { fabric: Arc::new(Mutex::new(Fabric::new(seed, Instant::now()))) }
    }

    /// The virtual clock.
    pub fn now(&self) -> Instant {
        self.lock().now
    }

    /// Moves the clock and delivers what arrives on the way.
    pub fn advance(&self, step: Duration) {
        self.lock().advance(step);
    }

    /// When the next datagram arrives, if one is under way.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.lock().next_due()
    }

    /// Sets what happens between two addresses, in this direction only. Addresses are those that stand on the public
    /// network: for a host behind a NAT, the NAT's.
    pub fn set_faults(&self, from: IpAddr, to: IpAddr, faults: Faults) {
        self.lock().set_faults(Some((from, to)), faults);
    }

    /// Sets what happens in every direction that has nothing of its own.
    pub fn set_default_faults(&self, faults: Faults) {
        self.lock().set_faults(None, faults);
    }

    /// Lets every later bind of `local` fail with this `errno`; `None` takes that back.
    pub fn refuse_bind(&self, local: SocketAddr, errno: Option<i32>) {
        self.lock().refuse_bind(local, errno);
    }

    /// A backend of a machine with these addresses.
    pub fn backend(&self, addresses: &[IpAddr]) -> Sim {
        let inbox = self.lock().add_inbox();
        Sim {
            network: self.clone(),
            inbox,
            addresses: addresses.to_vec(),
            ports: HashMap::new(),
            next_port: 0,
            waker: Arc::new(SimWaker { network: self.clone(), inbox }),
        }
    }

    /// A host on the public network with one socket. Fails when the address is taken.
    pub fn host(&self, local: SocketAddr) -> io::Result<SimHost> {
        self.host_in(Realm::Public, local)
    }

    /// A NAT with this outside address.
    pub fn nat(&self, outside: IpAddr, behaviour: NatBehaviour) -> SimNat {
        let nat = self.lock().add_nat(outside, behaviour);
        SimNat { network: self.clone(), nat }
    }

    fn host_in(&self, realm: Realm, local: SocketAddr) -> io::Result<SimHost> {
        let mut fabric = self.lock();
        let inbox = fabric.add_inbox();
        fabric.bind(realm, local, inbox, PortId(0))?;
        drop(fabric);
        Ok(SimHost { network: self.clone(), realm, local, inbox })
    }

    fn lock(&self) -> MutexGuard<'_, Fabric> {
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A NAT with hosts behind it.
pub struct SimNat {
    network: SimNetwork,
    nat: usize,
}

impl SimNat {
    /// A host behind the NAT with one socket; its address has its meaning there only.
    pub fn host(&self, inside: SocketAddr) -> io::Result<SimHost> {
        self.network.host_in(Realm::Inside(self.nat), inside)
    }

    /// Forgets all mappings, as after a restart: what is sent next gets another outside port.
    pub fn rebind(&self) {
        self.network.lock().rebind_nat(self.nat);
    }
}

/// A host with one socket.
pub struct SimHost {
    network: SimNetwork,
    realm: Realm,
    local: SocketAddr,
    inbox: InboxId,
}

impl SimHost {
    /// Its own address; inside the NAT, if it is behind one.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a datagram.
    pub fn send_to(&self, bytes: &[u8], destination: SocketAddr) {
        self.network.lock().transmit(self.realm, self.local, destination, bytes);
    }

    /// The next datagram that has arrived, and its source.
    pub fn receive_from(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let arrival = self.network.lock().inbox(self.inbox).arrivals.pop_front()?;
        Some((arrival.bytes, arrival.source))
    }
}

impl Drop for SimHost {
    fn drop(&mut self) {
        self.network.lock().unbind(self.realm, self.local);
    }
}

/// A backend on a [`SimNetwork`].
///
/// [`Backend::wait`] waits in real time, for a datagram or a wake-up: nothing is due while the virtual clock stands. A
/// test that drives everything from one thread does not call it, or with a timeout of zero.
pub struct Sim {
    network: SimNetwork,
    inbox: InboxId,
    addresses: Vec<IpAddr>,
    ports: HashMap<PortId, SocketAddr>,
    next_port: u32,
    waker: Arc<SimWaker>,
}

impl Backend for Sim {
    fn bind(&mut self, local: SocketAddr) -> io::Result<(PortId, SendRight)> {
        if !self.addresses.contains(&local.ip()) {
            return Err(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        }
        let port = PortId(self.next_port);
        self.network.lock().bind(Realm::Public, local, self.inbox, port)?;
        self.next_port += 1;
        self.ports.insert(port, local);
        Ok((port, SendRight::issue(port)))
    }

    fn close(&mut self, port: PortId) {
        if let Some(local) = self.ports.remove(&port) {
            self.network.lock().unbind(Realm::Public, local);
        }
    }

    fn receive(&mut self, batch: &mut Batch) -> io::Result<ReceiveReport> {
        let mut fabric = self.network.lock();
        let inbox = fabric.inbox(self.inbox);
        let mut received = 0;
        while batch.remaining() > 0 {
            let Some(arrival) = inbox.arrivals.pop_front() else { break };
            let Some(slot) = batch.free_slots().first_mut() else { break };
            let len = arrival.bytes.len().min(MAX_DATAGRAM);
            slot.fill(&arrival.bytes[..len]);
            slot.set_received(arrival.port, arrival.source, len, arrival.bytes.len() > MAX_DATAGRAM);
            batch.commit(1);
            received += 1;
        }
        Ok(ReceiveReport { received, more: !inbox.arrivals.is_empty(), calls: 1 })
    }

    fn send(&mut self, batch: &mut Batch) -> SendReport {
        let mut report = SendReport { calls: 1, ..SendReport::default() };
        let mut fabric = self.network.lock();
        for datagram in batch.datagrams_mut() {
            let Some((port, destination)) = datagram.route() else { continue };
            match self.ports.get(&port) {
                Some(&local) if local.is_ipv4() == destination.is_ipv4() => {
                    fabric.transmit(Realm::Public, local, destination, datagram.bytes());
                    report.sent += 1;
                }
                _ => report.failed += 1,
            }
            datagram.withhold();
        }
        report
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let mut fabric = self.network.lock();
        let arrived: Arc<Condvar> = Arc::clone(&fabric.arrived);
        let idle = |fabric: &mut Fabric, inbox| {
            let inbox = fabric.inbox(inbox);
            inbox.arrivals.is_empty() && !inbox.woken
        };
        let limit = timeout.unwrap_or(Duration::MAX);
        fabric = match arrived.wait_timeout_while(fabric, limit, |fabric| idle(fabric, self.inbox)) {
            Ok((fabric, _)) => fabric,
            Err(poisoned) => poisoned.into_inner().0,
        };
        fabric.inbox(self.inbox).woken = false;
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "sim", batch: BATCH_CAPACITY }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let mut fabric = self.network.lock();
        for local in self.ports.values() {
            fabric.unbind(Realm::Public, *local);
        }
    }
}

struct SimWaker {
    network: SimNetwork,
    inbox: InboxId,
}

impl Wake for SimWaker {
    fn wake(&self) {
        let mut fabric = self.network.lock();
        fabric.inbox(self.inbox).woken = true;
        fabric.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests;
