//! The messages between a worker and a handshake thread, and that thread's body.
//!
//! A whole DTLS association lives on one handshake thread, so that its public-key work holds up no media: the worker
//! sends [`Input`] (start, datagrams, stop) and gets [`Output`] (flights, keys, failure). Every message carries the
//! [`Handle`] of its association; an output whose association has been given up meanwhile is ignored by the shard.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{DtlsRole, Fingerprint, Profile, TransportFailure};
use dtls::{Endpoint, EndpointConfig, EndpointEvent, Identity};
pub use dtls::{Keyed, Standing};

/// Names one association: its shard, its transport's slot in the shard, and a number that the shard uses once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle {
    shard: u16,
    slot: u32,
    association: u64,
}

impl Handle {
    pub(crate) fn new(shard: u16, slot: u32, association: u64) -> Self {
        Self { shard, slot, association }
    }

    /// The shard that outputs go back to.
    pub fn shard(self) -> u16 {
        self.shard
    }

    /// Chooses a handshake thread; all inputs of one association must go to the same one, in order.
    pub fn lane(self, lanes: usize) -> usize {
        self.slot as usize % lanes.max(1)
    }

    pub(crate) fn slot(self) -> u32 {
        self.slot
    }
}

/// From a shard to a handshake thread.
pub enum Input {
    /// A new association.
    Start(Box<Start>),
    /// The path to the same peer has changed: later flights go there.
    Retarget {
        /// The association.
        handle: Handle,
        /// Where the peer is.
        remote: SocketAddr,
    },
    /// A DTLS datagram.
    Datagram {
        /// The association.
        handle: Handle,
        /// Who sent it.
        source: SocketAddr,
        /// What is known of that address.
        standing: Standing,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Forget the association.
    Stop {
        /// The association.
        handle: Handle,
    },
}

impl Input {
    /// The association that it is for.
    pub fn handle(&self) -> Handle {
        match self {
            Self::Start(start) => start.handle,
            Self::Retarget { handle, .. } | Self::Datagram { handle, .. } | Self::Stop { handle } => *handle,
        }
    }
}

/// A new association.
pub struct Start {
    /// Its name.
    pub handle: Handle,
    /// Who starts.
    pub role: DtlsRole,
    /// What the peer's certificate must match.
    pub fingerprints: Vec<Fingerprint>,
    /// What we offer or accept, most preferred first.
    pub profiles: Vec<Profile>,
    /// Time left for the handshake.
    pub deadline: Duration,
    /// Where a client sends its ClientHello.
    pub remote: Option<SocketAddr>,
}

/// From a handshake thread to a shard.
pub enum Output {
    /// A datagram of a flight, to be sent.
    Transmit {
        /// The association.
        handle: Handle,
        /// Where to.
        remote: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// The handshake is complete and the certificate verified.
    Keyed {
        /// The association.
        handle: Handle,
        /// Its keys.
        keyed: Box<Keyed>,
    },
    /// There will be no keys.
    Failed {
        /// The association.
        handle: Handle,
        /// Why.
        failure: TransportFailure,
    },
    /// The peer has closed the association that keyed (close_notify): it consents to no more media.
    Closed {
        /// The association.
        handle: Handle,
    },
}

impl Output {
    /// The association that it comes from.
    pub fn handle(&self) -> Handle {
        match self {
            Self::Transmit { handle, .. }
            | Self::Keyed { handle, .. }
            | Self::Failed { handle, .. }
            | Self::Closed { handle } => *handle,
        }
    }
}

/// The body of a handshake thread. Sans-IO: call [`Self::handle_input`] for each input and [`Self::handle_timeout`] at
/// [`Self::poll_timeout`], and after either take [`Self::poll_output`] until it is empty.
pub struct Handshakes {
    identity: Identity,
    mtu: usize,
    /// Boxed: a table has room for more than it holds.
    endpoints: HashMap<Handle, Box<Entry>>,
    timeouts: BTreeSet<(Instant, Handle)>,
    outputs: VecDeque<Output>,
}

struct Entry {
    endpoint: Endpoint,
    timeout: Option<Instant>,
}

impl Handshakes {
    /// A thread's body that presents `identity` and sends UDP payloads of at most `mtu` bytes.
    pub fn new(identity: Identity, mtu: usize) -> Self {
        Self { identity, mtu, endpoints: HashMap::new(), timeouts: BTreeSet::new(), outputs: VecDeque::new() }
    }

    /// Associations that it holds, keyed ones included.
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// Takes an input. One for an association that was stopped, or never started, is ignored.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let handle = input.handle();
        match input {
            Input::Start(start) => self.start(now, *start),
            Input::Retarget { remote, .. } => {
                if let Some(entry) = self.endpoints.get_mut(&handle) {
                    entry.endpoint.retarget(now, remote);
                }
            }
            Input::Datagram { source, standing, bytes, .. } => {
                if let Some(entry) = self.endpoints.get_mut(&handle) {
                    let verdict = entry.endpoint.handle_datagram(now, source, standing, &bytes);
                    tracing::trace!(?handle, %source, ?standing, ?verdict, "dtls datagram");
                }
            }
            Input::Stop { .. } => {
                if let Some(entry) = self.endpoints.remove(&handle)
                    && let Some(timeout) = entry.timeout
                {
                    self.timeouts.remove(&(timeout, handle));
                }
                return;
            }
        }
        self.collect(handle);
    }

    /// Lets every association whose time has come act.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(timeout, handle)) = self.timeouts.first()
            && timeout <= now
        {
            self.timeouts.pop_first();
            if let Some(entry) = self.endpoints.get_mut(&handle) {
                entry.timeout = None;
                entry.endpoint.handle_timeout(now);
                // An endpoint whose next time is not in the future would keep this loop going.
                self.collect_after(handle, Some(now + Duration::from_millis(1)));
            }
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeouts.first().map(|&(timeout, _)| timeout)
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn start(&mut self, now: Instant, start: Start) {
        let handle = start.handle;
        let config = EndpointConfig {
            role: start.role,
            fingerprints: start.fingerprints,
            profiles: start.profiles,
            mtu: self.mtu,
            deadline: start.deadline,
        };
        match Endpoint::new(now, &self.identity, config) {
            Ok(mut endpoint) => {
                if let Some(remote) = start.remote {
                    endpoint.start(now, remote);
                }
                self.endpoints.insert(handle, Box::new(Entry { endpoint, timeout: None }));
            }
            Err(error) => {
                tracing::warn!(?handle, %error, "a DTLS endpoint could not be made");
                let failure = match error {
                    dtls::Error::NoProfiles => TransportFailure::NoCommonProfile,
                    _ => TransportFailure::Internal,
                };
                self.outputs.push_back(Output::Failed { handle, failure });
            }
        }
    }

    fn collect(&mut self, handle: Handle) {
        self.collect_after(handle, None);
    }

    /// Takes what the endpoint has to say and arms its timer, not before `earliest`.
    fn collect_after(&mut self, handle: Handle, earliest: Option<Instant>) {
        let Some(entry) = self.endpoints.get_mut(&handle) else { return };
        // Keys before flights: media of a peer that has our last flight must find the keys in place.
        while let Some(event) = entry.endpoint.poll_event() {
            self.outputs.push_back(match event {
                EndpointEvent::Keyed(keyed) => Output::Keyed { handle, keyed },
                EndpointEvent::Failed { failure, .. } => Output::Failed { handle, failure },
                EndpointEvent::Closed => Output::Closed { handle },
            });
        }
        while let Some(transmit) = entry.endpoint.poll_transmit() {
            self.outputs.push_back(Output::Transmit { handle, remote: transmit.remote, bytes: transmit.bytes });
        }
        let timeout = entry.endpoint.poll_timeout().map(|timeout| earliest.map_or(timeout, |e| timeout.max(e)));
        if timeout != entry.timeout {
            if let Some(old) = entry.timeout {
                self.timeouts.remove(&(old, handle));
            }
            if let Some(new) = timeout {
                self.timeouts.insert((new, handle));
            }
            entry.timeout = timeout;
        }
    }
}
