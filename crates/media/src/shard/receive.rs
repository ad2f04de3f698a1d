//! A batch, phase by phase: admit, open, accept, leave.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use arrayvec::ArrayVec;
use control::{CheckCounts, Component, TransportEvent, Verdict};
use datagram::{BATCH_CAPACITY, Datagram};
use ice::{LiteAgent, StunVerdict};
use rtp::{Arrival, Class, RtpPacket, SequenceTracker};
use srtp::{ContextId, Inbound, Job, Kind, Rejection};

use super::Shard;
use crate::branch::Holder;
use crate::egress::Content;
use crate::latch::Standing;
use crate::path::Path;
use crate::rebase::Source;
use crate::transport::Ingress;

/// A datagram's way through the phases.
pub(super) struct Item {
    /// The transport that it came in on.
    slot: Option<usize>,
    kind: Kind,
    /// The branch of the transport that it has turned out to come from.
    holder: Holder,
    step: Step,
}

#[derive(Clone, Copy)]
pub(super) enum Step {
    /// At its end.
    Done(Verdict),
    /// To be opened.
    Open { context: ContextId, window: u64 },
    /// To be opened by one of several contexts.
    OpenAmongBranches,
    /// In the clear, authenticated or from the peer of a plain leg.
    Accept { index: u64, trust: Trust },
    /// On its way out.
    Leave(Leave),
}

/// Why a packet is believed.
#[derive(Clone, Copy)]
pub(super) enum Trust {
    /// It authenticated, in a context with this replay window.
    Authentic { window: u64 },
    /// It came from the peer's address.
    Address,
}

/// Where a packet leaves.
#[derive(Clone, Copy)]
pub(super) struct Leave {
    pub(super) content: Content,
    /// Slot of the transport where it leaves.
    pub(super) egress: usize,
    /// Slot where it came in.
    pub(super) from: usize,
    pub(super) source: Source,
    /// Its ingress index.
    pub(super) index: u64,
    /// What every octet of its payload becomes.
    pub(super) fill: Option<u8>,
    /// It goes back to where it came from, under an SSRC that differs from the peer's by this.
    pub(super) echo: Option<NonZeroU32>,
}

impl Leave {
    /// Goes to the transport at `egress`, as it is.
    pub(super) fn new(content: Content, from: usize, egress: usize, source: Source, index: u64) -> Self {
        Self { content, egress, from, source, index, fill: None, echo: None }
    }
}

impl Shard {
    pub(super) fn receive(&mut self, now: Instant, datagrams: &mut [Datagram]) {
        for datagrams in datagrams.chunks_mut(BATCH_CAPACITY) {
            self.prefetch(datagrams);
            let mut items: ArrayVec<Item, BATCH_CAPACITY> = ArrayVec::new();
            for datagram in datagrams.iter_mut() {
                items.push(self.admit(now, datagram));
            }
            self.open(datagrams, &mut items);
            for (item, datagram) in items.iter_mut().zip(datagrams.iter_mut()) {
                if let (Some(slot), Step::Accept { index, trust }) = (item.slot, item.step) {
                    item.step = match item.holder {
                        Holder::Front => self.accept(now, slot, item.kind, index, trust, datagram),
                        Holder::Branch(place) => self.with_branch(slot, place, |shard| {
                            shard.accept(now, slot, item.kind, index, trust, datagram)
                        }),
                    };
                }
            }
            let mut leaving: ArrayVec<Option<Leave>, BATCH_CAPACITY> = ArrayVec::new();
            leaving.extend(items.iter().map(|item| match item.step {
                Step::Leave(leave) => Some(leave),
                _ => None,
            }));
            let verdicts = self.leave(now, datagrams, &leaving);
            for ((item, left), datagram) in items.iter().zip(verdicts).zip(datagrams.iter()) {
                let verdict = match item.step {
                    Step::Done(verdict) => verdict,
                    Step::Leave(_) => left,
                    // Every item has passed the phases that end these steps.
                    Step::Open { .. } | Step::OpenAmongBranches | Step::Accept { .. } => Verdict::Malformed,
                };
                match item.slot {
                    Some(slot) => {
                        self.count_received(now, slot, verdict, datagram.remote());
                        self.sample_refused(now, slot, verdict, datagram.bytes());
                    }
                    None => self.counters.verdicts.count(verdict),
                }
            }
        }
    }

    /// Finds the transport, tells the kind, deals with everything but media, and judges the source of media.
    fn admit(&mut self, now: Instant, datagram: &mut Datagram) -> Item {
        let slot = self.ports.slot(datagram.port());
        let mut kind = Kind::Rtp;
        let step = match slot {
            None => Step::Done(Verdict::NoFlow),
            Some(_) if datagram.is_truncated() => Step::Done(Verdict::Truncated),
            Some(slot) if self.carries_datagrams(slot) => Step::Done(self.relay(now, slot, datagram)),
            Some(slot) => match rtp::classify(datagram.bytes()) {
                Class::Stun => Step::Done(self.answer_stun(now, slot, datagram)),
                Class::Dtls | Class::Zrtp if self.is_sealed(slot) => self.admit_sealed_handshake(now, slot, datagram),
                Class::Dtls => Step::Done(self.hand_over(now, slot, datagram.remote(), datagram.bytes())),
                Class::Zrtp => Step::Done(Verdict::UnexpectedZrtp),
                Class::Turn | Class::Unknown => Step::Done(Verdict::Malformed),
                Class::Rtp => self.admit_media(now, slot, Kind::Rtp, datagram),
                Class::Rtcp => {
                    kind = Kind::Rtcp;
                    self.admit_media(now, slot, Kind::Rtcp, datagram)
                }
            },
        };
        Item { slot, kind, holder: Holder::Front, step }
    }

    fn carries_datagrams(&self, slot: usize) -> bool {
        self.transports.get(slot).is_some_and(|transport| transport.component == Component::Datagrams)
    }

    pub(super) fn answer_stun(&mut self, now: Instant, slot: usize, datagram: &mut Datagram) -> Verdict {
        let mut response = [0; LiteAgent::MAX_RESPONSE];
        let source = datagram.remote();
        let mut ended = self.answer_branches(now, slot, source, datagram.bytes(), &mut response);
        let Some(transport) = self.transports.get_mut(slot) else { return Verdict::UnexpectedStun };
        if let Path::Ice(agent) = &mut transport.path {
            let outcome = agent.handle_datagram(now, source, datagram.bytes(), &mut response);
            ended = Some((outcome.response_len, outcome.verdict));
        }
        let Some((response_len, verdict)) = ended else { return Verdict::UnexpectedStun };
        if let Some(response) = response_len.and_then(|len| response.get(..len)) {
            datagram.fill(response);
            if transport.egress.respond_stun(datagram, source) {
                self.counters.stun_out += 1;
            }
        }
        transport.checks.iter_mut().for_each(|checks| count_check(checks, verdict, source));
        self.follow_ice(now, slot);
        match verdict {
            StunVerdict::Answered | StunVerdict::Keepalive | StunVerdict::RoleConflict => Verdict::Stun,
            _ => Verdict::BadStun,
        }
    }

    fn admit_media(&mut self, now: Instant, slot: usize, kind: Kind, datagram: &Datagram) -> Step {
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NotKeyed) };
        match (transport.component, kind) {
            (Component::Rtp, Kind::Rtcp) | (Component::Rtcp, Kind::Rtp) => return Step::Done(Verdict::WrongComponent),
            _ => {}
        }
        if transport.branches.is_empty() {
            self.admit_to_front(now, slot, kind, datagram)
        } else {
            self.admit_among_branches(now, slot, kind, datagram)
        }
    }

    /// Judges the source of media by the branch in front.
    pub(super) fn admit_to_front(&mut self, now: Instant, slot: usize, kind: Kind, datagram: &Datagram) -> Step {
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NotKeyed) };
        let source = datagram.remote();
        match transport.ingress {
            Ingress::Closed | Ingress::Datagrams => Step::Done(Verdict::NotKeyed),
            Ingress::Plain if kind == Kind::Rtp => self.admit_plain_rtp(now, slot, source, datagram.bytes()),
            Ingress::Plain => self.admit_plain_rtcp(now, slot, source, datagram.bytes()),
            Ingress::Sealed => self.admit_sealed_media(now, slot, kind, datagram),
            _ if !transport.path.admits(source) => Step::Done(Verdict::UnexpectedSource),
            Ingress::Awaiting if transport.early_media.push(now, source, datagram.bytes()) => {
                self.ticks.stir(slot);
                Step::Done(Verdict::Queued)
            }
            Ingress::Awaiting => Step::Done(Verdict::NotKeyed),
            Ingress::Keyed { context, window } => Step::Open { context, window },
        }
    }

    /// Source by latch, then sequence by RFC 3550 A.1, which also counts the rollovers.
    fn admit_plain_rtp(&mut self, now: Instant, slot: usize, source: SocketAddr, bytes: &[u8]) -> Step {
        let Some(packet) = RtpPacket::parse(bytes) else { return Step::Done(Verdict::Malformed) };
        let sequence = packet.sequence_number();
        let standing = self.plain_standing(now, slot, source, packet.ssrc(), Some(sequence), true);
        match standing {
            Standing::Stranger => return Step::Done(Verdict::UnexpectedSource),
            Standing::Candidate => return Step::Done(Verdict::Probation),
            Standing::Peer | Standing::Locked => {}
        }
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NoFlow) };
        let Some(stream) = transport.streams_in.of(now, packet.ssrc(), SequenceTracker::new) else {
            return Step::Done(Verdict::TooManyStreams);
        };
        if standing == Standing::Locked && !stream.tracker.is_valid() {
            // The packets that locked were in order: the probation is over.
            stream.tracker.update(sequence.wrapping_sub(1));
        }
        let index = match stream.tracker.update(sequence) {
            Arrival::Accepted { index } => index,
            Arrival::Restarted { index } => {
                stream.restart();
                index
            }
            Arrival::Probation | Arrival::Jumped => return Step::Done(Verdict::Probation),
            Arrival::BeforeStart => return Step::Done(Verdict::TooOld),
        };
        Step::Accept { index, trust: Trust::Address }
    }

    fn admit_plain_rtcp(&mut self, now: Instant, slot: usize, source: SocketAddr, bytes: &[u8]) -> Step {
        let Some(&ssrc) = bytes.get(4..).and_then(<[u8]>::first_chunk) else { return Step::Done(Verdict::Malformed) };
        // On a port of its own RTCP must find its peer itself; otherwise it follows RTP.
        let alone = self.transports.get(slot).is_some_and(|transport| transport.component == Component::Rtcp);
        match self.plain_standing(now, slot, source, u32::from_be_bytes(ssrc), None, alone) {
            Standing::Stranger => Step::Done(Verdict::UnexpectedSource),
            Standing::Candidate => Step::Done(Verdict::Probation),
            Standing::Peer | Standing::Locked => Step::Accept { index: 0, trust: Trust::Address },
        }
    }

    pub(super) fn plain_standing(
        &mut self,
        now: Instant,
        slot: usize,
        source: SocketAddr,
        ssrc: u32,
        sequence: Option<u16>,
        may_lock: bool,
    ) -> Standing {
        let Some(transport) = self.transports.get_mut(slot) else { return Standing::Stranger };
        let standing = match &mut transport.path {
            // Between lite agents only the signalled candidate: no tag could prove another address.
            Path::Ice(agent) if agent.is_validated(source) || agent.selected() == Some(source) => Standing::Peer,
            Path::Ice(_) => Standing::Stranger,
            Path::Latch(latch) => latch.observe(now, source, ssrc, sequence, may_lock),
        };
        if standing == Standing::Locked {
            self.say(slot, TransportEvent::Latched { remote: source });
        }
        standing
    }

    /// Replay check, authentication, commitment, decryption, over the whole batch.
    fn open(&mut self, datagrams: &mut [Datagram], items: &mut [Item]) {
        let mut jobs: ArrayVec<Job<'_>, BATCH_CAPACITY> = ArrayVec::new();
        for (item, datagram) in items.iter().zip(datagrams.iter_mut()) {
            if let Step::Open { context, .. } = item.step {
                let len = datagram.len();
                jobs.push(Job {
                    context,
                    kind: item.kind,
                    buffer: datagram.slot_mut(),
                    len,
                    index: 0,
                    outcome: Ok(()),
                });
            }
        }
        if !jobs.is_empty() {
            srtp::unprotect_batch(&mut self.inbounds, &mut jobs);
        }
        let outcomes: ArrayVec<Result<(usize, u64), Rejection>, BATCH_CAPACITY> =
            jobs.iter().map(|job| job.outcome.map(|()| (job.len, job.index))).collect();
        drop(jobs);
        let mut outcomes = outcomes.into_iter();
        for (item, datagram) in items.iter_mut().zip(datagrams.iter_mut()) {
            if let (Some(slot), Step::OpenAmongBranches) = (item.slot, item.step) {
                (item.holder, item.step) = self.open_among_branches(slot, item.kind, datagram);
                continue;
            }
            let Step::Open { window, .. } = item.step else { continue };
            item.step = match outcomes.next() {
                Some(Ok((len, index))) => {
                    datagram.set_len(len);
                    Step::Accept { index, trust: Trust::Authentic { window } }
                }
                Some(Err(rejection)) => Step::Done(incoming_verdict(rejection)),
                None => Step::Done(Verdict::NotKeyed),
            };
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        slot: usize,
        kind: Kind,
        index: u64,
        trust: Trust,
        datagram: &mut Datagram,
    ) -> Step {
        match kind {
            Kind::Rtp => self.accept_rtp(now, slot, index, trust, datagram),
            Kind::Rtcp => self.accept_rtcp(now, slot, index, trust, datagram),
        }
    }

    fn accept_rtp(&mut self, now: Instant, slot: usize, index: u64, trust: Trust, datagram: &mut Datagram) -> Step {
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NoFlow) };
        let Some(packet) = RtpPacket::parse(datagram.bytes()) else { return Step::Done(Verdict::Malformed) };
        if transport.succession
            && let Ingress::Keyed { context, .. } = transport.ingress
            && !self.inbounds.get(context).is_some_and(Inbound::awaits_succession)
        {
            transport.succession = false;
            transport.rekeyed = Some(now);
        }
        let reach = match trust {
            Trust::Authentic { window } => transport.reach(now, window),
            Trust::Address => u64::MAX,
        };
        let Some(stream) = transport.streams_in.of(now, packet.ssrc(), SequenceTracker::trusted) else {
            return Step::Done(Verdict::TooManyStreams);
        };
        let mut moved = false;
        if let Trust::Authentic { .. } = trust {
            let highest = stream.tracker.is_valid().then(|| stream.tracker.highest_index());
            if highest.is_some_and(|highest| index.saturating_add(reach) < highest) {
                stream.begin_anew();
            }
            let newest = !stream.tracker.is_valid() || index > stream.tracker.highest_index();
            stream.tracker.update_index(index);
            moved = transport.path.authenticated(now, datagram.remote(), newest, true);
        }
        stream.count(now, index, &packet, datagram.len(), transport.round_trip.latest());
        transport.last_packet = Some(now);
        transport.rtp_in.count(datagram.len());
        self.counters.rtp_in.count(datagram.len());
        let source = Source { transport: transport.source, epoch: stream.epoch() };
        let in_front = transport.in_front;
        let route = crate::route::select(&transport.routes, &packet, &mut stream.bound);
        if route.is_none() {
            transport.unclaimed_payload_type = Some(packet.payload_type());
        }
        match trust {
            Trust::Authentic { .. } => self.follow_ice(now, slot),
            Trust::Address => self.sample_plain(now, slot, datagram.bytes()),
        }
        if moved {
            self.say(slot, TransportEvent::Latched { remote: datagram.remote() });
        }
        match route {
            _ if !in_front => Step::Done(Verdict::OtherBranch),
            Some(route) => {
                let leave = Leave::new(Content::Clear(Kind::Rtp), slot, slot, source, index);
                self.route_rtp(route, leave, datagram.bytes())
            }
            None => Step::Done(Verdict::NoFlow),
        }
    }

    /// The first flow that can forward gets the packet itself, every other one a copy. `leave` says all but where to.
    pub(super) fn route_rtp(&mut self, first: usize, leave: Leave, bytes: &[u8]) -> Step {
        let mut step = Step::Done(Verdict::NoFlow);
        let mut next = Some(first);
        let payload_type = bytes.get(1).map_or(0, |octet| octet & 0x7f);
        let is_sealed = matches!(leave.content, Content::Sealed(_));
        while let Some(route) = next.and_then(|next| self.transports.get(leave.from)?.routes.get(next)) {
            next = route.also;
            let verdict = match route.egress.and_then(|egress| Some((egress, self.transports.get(egress)?))) {
                _ if !route.forward_media || route.holds(payload_type, is_sealed) => Verdict::Held,
                Some((egress, transport)) if transport.target().is_some() => {
                    let fill = route.silenced.octet(payload_type);
                    let leave = Leave { egress, fill, echo: route.echo, ..leave };
                    if matches!(step, Step::Leave(_)) {
                        self.push_copy(leave, bytes);
                    } else {
                        step = Step::Leave(leave);
                    }
                    continue;
                }
                _ => Verdict::EgressNotReady,
            };
            if let Step::Done(_) = step {
                step = Step::Done(verdict);
            }
        }
        step
    }
}

fn count_check(checks: &mut CheckCounts, verdict: StunVerdict, source: SocketAddr) {
    let count = match verdict {
        StunVerdict::Answered => &mut checks.valid,
        // A binding indication says nothing of credentials.
        StunVerdict::Keepalive => return,
        StunVerdict::UnknownUser => &mut checks.unknown_user,
        StunVerdict::BadIntegrity => &mut checks.bad_integrity,
        StunVerdict::RoleConflict => &mut checks.role_conflict,
        StunVerdict::Ignored | StunVerdict::Malformed | StunVerdict::Incomplete | StunVerdict::UnknownAttribute => {
            &mut checks.other
        }
    };
    *count += 1;
    if verdict != StunVerdict::Answered {
        checks.last_refused = Some(source);
    }
}

pub(super) fn incoming_verdict(rejection: Rejection) -> Verdict {
    match rejection {
        Rejection::TooShort | Rejection::Malformed => Verdict::Malformed,
        Rejection::Replayed | Rejection::IndexReused => Verdict::Replayed,
        Rejection::TooOld => Verdict::TooOld,
        Rejection::BadTag => Verdict::BadTag,
        Rejection::UnknownMki => Verdict::UnknownMki,
        Rejection::NotEncrypted => Verdict::NotEncrypted,
        Rejection::TooManyStreams => Verdict::TooManyStreams,
        Rejection::KeyExhausted => Verdict::KeyExhausted,
        Rejection::TooLong => Verdict::TooLong,
        Rejection::NoContext => Verdict::NotKeyed,
    }
}
