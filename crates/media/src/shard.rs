//! One worker's calls: the public face, and what happens between batches.

mod apply;
mod branches;
mod datagrams;
mod echo;
mod examination;
mod forward;
mod keys;
mod prefetch;
mod receive;
mod sealed;
mod snapshot;
mod ticks;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{
    CallKey, CallStatistics, Counters, Event, IceState, TransportEvent, TransportId, Verdict, VerdictCounts,
};
use datagram::{Batch, PortId, SendRight};
use ice::IceEvent;
use slab::Slab;
use srtp::{ContextId, Contexts, Inbound};
use zeroize::Zeroizing;

use crate::egress::Outbounds;
use crate::handshake::{Handle, Input};
use crate::path::Path;
use crate::ports::Ports;
use crate::samples::Samples;
use crate::transport::{Ingress, Rejected, Transport};
use ticks::Ticks;

/// Bounds of a shard.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// This shard's number; comes back in every [`Handle`].
    pub shard: u16,
    /// DTLS datagrams that may wait for [`Shard::poll_handshake`].
    pub handshake_queue: usize,
    /// DTLS datagrams of one transport among them.
    pub handshake_queue_per_transport: usize,
    /// Flights and copies, each, that may wait for [`Shard::poll_transmit`].
    pub transmit_queue: usize,
    /// How long SRTP that came before its keys may wait for them.
    pub early_media: Duration,
    /// With nobody there to command, calls without a media timeout (on hold, or not answered yet) end after this long:
    /// as long as a session lets them wait.
    pub unattended: Duration,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self {
            shard: 0,
            handshake_queue: 1024,
            handshake_queue_per_transport: 32,
            transmit_queue: 1024,
            early_media: Duration::from_millis(200),
            unattended: Duration::from_secs(3600),
        }
    }
}

/// What a shard has seen since it began. Counters only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardCounters {
    /// Every datagram received, by its end.
    pub verdicts: VerdictCounts,
    /// RTP received and authenticated (plain: from a valid source).
    pub rtp_in: Counters,
    /// RTCP received and authenticated (plain: from the peer).
    pub rtcp_in: Counters,
    /// RTP sent.
    pub rtp_out: Counters,
    /// RTCP sent.
    pub rtcp_out: Counters,
    /// Datagrams of another protocol received from the peer.
    pub datagrams_in: Counters,
    /// Datagrams of another protocol sent.
    pub datagrams_out: Counters,
    /// STUN responses sent.
    pub stun_out: u64,
    /// DTLS datagrams sent.
    pub dtls_out: u64,
    /// Flights and copies that found their queue full, and copies that could not leave.
    pub transmit_dropped: u64,
    /// Times that a stream's sequence was shifted.
    pub rebased: u64,
}

/// The calls of one worker. Sans-IO; the contract is on the crate page.
pub struct Shard {
    config: ShardConfig,
    ports: Ports,
    transports: Slab<Transport>,
    calls: BTreeMap<CallKey, Call>,
    inbounds: Contexts<Inbound>,
    outbounds: Outbounds,
    /// Next serial number of a transport or an association.
    serial: u64,
    ticks: Ticks,
    counters: ShardCounters,
    handshake: VecDeque<Input>,
    handshake_datagrams: usize,
    flights: VecDeque<Flight>,
    copies: VecDeque<Copy>,
    /// Buffers for copies, used again and again.
    spare: Vec<Vec<u8>>,
    /// Transports whose early media may go through: slot and serial.
    released: VecDeque<(usize, u64)>,
    events: VecDeque<Event>,
    closes: VecDeque<PortId>,
    traffic_classes: VecDeque<(PortId, u8)>,
    /// Nobody has been there to command since then.
    unattended_since: Option<Instant>,
    samples: Samples,
}

struct Call {
    /// Name and slot. Few, and in the order of their names.
    transports: Vec<(TransportId, usize)>,
    /// Of the plan that was last applied. `None`: there was none.
    media_timeout: Option<Option<Duration>>,
    /// Of the same plan.
    memo: Zeroizing<Box<[u8]>>,
    /// Idle time counts from here, or from the last packet if that is later.
    idle_since: Instant,
    idle_said: bool,
    /// It cannot be idle before, whatever comes.
    quiet_until: Option<Instant>,
}

impl Call {
    fn slot(&self, id: TransportId) -> Option<usize> {
        let place = self.transports.binary_search_by_key(&id, |&(known, _)| known).ok()?;
        self.transports.get(place).map(|&(_, slot)| slot)
    }

    /// Returns the slot that the transport had before.
    fn insert(&mut self, id: TransportId, slot: usize) -> Option<usize> {
        match self.transports.binary_search_by_key(&id, |&(known, _)| known) {
            Ok(place) => self.transports.get_mut(place).map(|(_, known)| std::mem::replace(known, slot)),
            Err(place) => {
                self.transports.reserve_exact(1);
                self.transports.insert(place, (id, slot));
                None
            }
        }
    }
}

/// A DTLS datagram on its way out, or an empty one for a NAT.
struct Flight {
    slot: usize,
    serial: u64,
    remote: SocketAddr,
    bytes: Vec<u8>,
}

/// A packet's copy for one more flow, in the clear: it is encrypted when it leaves.
struct Copy {
    leave: receive::Leave,
    /// Of the transport where it leaves.
    serial: u64,
    bytes: Vec<u8>,
}

impl Shard {
    /// A shard without calls.
    pub fn new(config: ShardConfig) -> Self {
        Self {
            config,
            ports: Ports::default(),
            transports: Slab::new(),
            calls: BTreeMap::new(),
            inbounds: Contexts::new(),
            outbounds: Outbounds::default(),
            serial: 0,
            ticks: Ticks::default(),
            counters: ShardCounters::default(),
            handshake: VecDeque::new(),
            handshake_datagrams: 0,
            flights: VecDeque::new(),
            copies: VecDeque::new(),
            spare: Vec::new(),
            released: VecDeque::new(),
            events: VecDeque::new(),
            closes: VecDeque::new(),
            traffic_classes: VecDeque::new(),
            unattended_since: None,
            samples: Samples::default(),
        }
    }

    /// Takes a bound port in, and makes the call when it is new. Nothing is sent or accepted before a plan has come. A
    /// transport that the call has already is replaced: its port comes out of [`Self::poll_close`].
    pub fn open_transport(
        &mut self,
        now: Instant,
        call: CallKey,
        transport: TransportId,
        port: PortId,
        right: SendRight,
        local: SocketAddr,
    ) {
        let serial = self.next_serial();
        let slot = self.transports.insert(Transport::new(call, transport, serial, port, local, right));
        // Slots stay far below 2^32: each of them is an open port.
        self.ports.insert(port, slot as u32);
        let entry = self.calls.entry(call).or_insert_with(|| Call {
            transports: Vec::new(),
            media_timeout: None,
            memo: Zeroizing::default(),
            idle_since: now,
            idle_said: false,
            quiet_until: None,
        });
        if let Some(former) = entry.insert(transport, slot) {
            self.close(former);
        }
        self.ticks.begin(now);
        self.ticks.stir(slot);
    }

    /// Ends a call: its ports come out of [`Self::poll_close`], its final statistics with [`Event::Removed`].
    pub fn remove(&mut self, now: Instant, call: CallKey) {
        let Some(statistics) = self.statistics(now, call) else { return };
        if let Some(entry) = self.calls.remove(&call) {
            for (_, slot) in entry.transports {
                self.close(slot);
            }
        }
        self.events.push_back(Event::Removed { call, statistics: Box::new(statistics) });
        if self.calls.is_empty() {
            self.ticks.end();
        }
    }

    /// A call as it stands. `None`: there is no such call.
    pub fn statistics(&self, now: Instant, call: CallKey) -> Option<CallStatistics> {
        let call = self.calls.get(&call)?;
        let transports = call.transports.iter().filter_map(|&(_, slot)| self.transports.get(slot));
        Some(CallStatistics { transports: transports.map(|transport| transport.statistics(now)).collect() })
    }

    /// Whether somebody is there to hear of idle calls and to end them. While nobody is, calls end by themselves: after
    /// their plan's `media_timeout`, or, where it has none, [`ShardConfig::unattended`] after the last one has gone. Who
    /// comes is told again which calls are idle.
    pub fn set_attended(&mut self, now: Instant, attended: bool) {
        if attended {
            self.unattended_since = None;
            self.calls.values_mut().for_each(|call| call.idle_said = false);
        } else {
            self.unattended_since.get_or_insert(now);
        }
    }

    /// Every call.
    pub fn calls(&self) -> impl Iterator<Item = CallKey> + '_ {
        self.calls.keys().copied()
    }

    /// Open transports.
    pub fn transports(&self) -> usize {
        self.transports.len()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next port to close; the right to send from it is gone already.
    pub fn poll_close(&mut self) -> Option<PortId> {
        self.closes.pop_front()
    }

    /// The next port whose outgoing datagrams get another DSCP and ECN byte.
    pub fn poll_traffic_class(&mut self) -> Option<(PortId, u8)> {
        self.traffic_classes.pop_front()
    }

    /// What the shard has seen so far.
    pub fn counters(&self) -> &ShardCounters {
        &self.counters
    }

    /// Deals with every datagram of a batch as the backend received it. Those that leave are marked to; send the batch,
    /// then see [`Self::poll_transmit`].
    pub fn handle_batch(&mut self, now: Instant, batch: &mut Batch) {
        self.receive(now, batch.datagrams_mut());
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn close(&mut self, slot: usize) {
        let Some(mut transport) = self.transports.try_remove(slot) else { return };
        let branches = std::mem::take(&mut transport.branches);
        let front = (transport.ingress, transport.parked.as_ref(), transport.association.as_ref());
        let others = branches.iter().map(|it| (it.ingress, it.parked.as_ref(), it.association.as_ref()));
        for (ingress, parked, association) in std::iter::once(front).chain(others) {
            self.release_branch(ingress, parked.map(|parked| parked.context), association.map(|it| it.handle));
        }
        let port = transport.egress.close(&mut self.outbounds);
        self.ports.remove(transport.port);
        self.closes.push_back(port);
    }

    /// Gives back what a branch holds.
    fn release_branch(&mut self, ingress: Ingress, parked: Option<ContextId>, association: Option<Handle>) {
        if let Ingress::Keyed { context, .. } = ingress {
            self.inbounds.remove(context);
        }
        if let Some(context) = parked {
            self.inbounds.remove(context);
        }
        if let Some(handle) = association {
            self.handshake.push_back(Input::Stop { handle });
        }
    }

    /// Lets the branch at `place` stand in front while `act` is done.
    fn with_branch<T>(&mut self, slot: usize, place: usize, act: impl FnOnce(&mut Self) -> T) -> T {
        self.exchange(slot, place, false);
        let done = act(self);
        self.exchange(slot, place, true);
        done
    }

    fn exchange(&mut self, slot: usize, place: usize, in_front: bool) {
        if let Some(transport) = self.transports.get_mut(slot) {
            transport.exchange(place);
            transport.in_front = in_front;
        }
    }

    /// Tells the session, unless the branch in front stands there for a moment only.
    fn say(&mut self, slot: usize, event: TransportEvent) {
        if let Some(transport) = self.transports.get(slot).filter(|transport| transport.in_front) {
            self.events.push_back(Event::Transport { call: transport.call, transport: transport.id, event });
        }
    }

    /// Counts how a datagram of a known transport ended.
    fn count(&mut self, slot: usize, verdict: Verdict) {
        self.counters.verdicts.count(verdict);
        if let Some(transport) = self.transports.get_mut(slot) {
            transport.verdicts.count(verdict);
        }
    }

    /// The same for one that has just come. STUN is told apart where it is dealt with.
    fn count_received(&mut self, now: Instant, slot: usize, verdict: Verdict, source: SocketAddr) {
        self.count(slot, verdict);
        if !verdict.is_accepted()
            && verdict != Verdict::BadStun
            && let Some(transport) = self.transports.get_mut(slot)
        {
            transport.last_rejection = Some(Rejected { verdict, source, at: now });
        }
    }

    /// Takes what a transport's ICE agent has to tell.
    fn follow_ice(&mut self, now: Instant, slot: usize) {
        loop {
            let Some(transport) = self.transports.get_mut(slot) else { return };
            let Path::Ice(agent) = &mut transport.path else { return };
            let Some(event) = agent.poll_event() else { return };
            let (state, event) = match event {
                IceEvent::Validated(_) if transport.ice == IceState::Waiting => (IceState::Validated, None),
                IceEvent::Validated(_) => (transport.ice, None),
                IceEvent::Nominated(remote) => (IceState::Nominated, Some(TransportEvent::Nominated { remote })),
                IceEvent::ConsentLost => (IceState::ConsentLost, Some(TransportEvent::ConsentLost)),
                IceEvent::ConsentRegained => {
                    (IceState::Nominated, agent.selected().map(|remote| TransportEvent::Nominated { remote }))
                }
            };
            transport.ice = state;
            if let Some(event) = event {
                self.say(slot, event);
            }
            self.advance_handshake(now, slot);
        }
    }

    fn new_handle(&mut self, slot: usize) -> Handle {
        Handle::new(self.config.shard, slot as u32, self.next_serial())
    }
}
