//! Legs whose parties key each other (RFC 7879 §3.1.1): everything is relayed as it is, by its kind.
//!
//! There is no key here that could tell a packet of the peer from another one: the rule of a plain leg holds for the
//! source, and the parties themselves authenticate what reaches them.

use std::time::Instant;

use control::{Component, RtcpPolicy, Verdict};
use datagram::Datagram;
use rtp::{Arrival, RtpPacket, SequenceTracker};
use srtp::Kind;

use super::Shard;
use super::receive::{Leave, Step};
use crate::egress::Content;
use crate::latch::Standing;
use crate::rebase::Source;
use crate::transport::Ingress;

impl Shard {
    pub(super) fn is_sealed(&self, slot: usize) -> bool {
        self.transports.get(slot).is_some_and(|transport| matches!(transport.ingress, Ingress::Sealed))
    }

    /// DTLS and ZRTP. What tells one peer's packets from another's is the source alone.
    pub(super) fn admit_sealed_handshake(&mut self, now: Instant, slot: usize, datagram: &Datagram) -> Step {
        match self.plain_standing(now, slot, datagram.remote(), 0, None, true) {
            Standing::Stranger => return Step::Done(Verdict::UnexpectedSource),
            Standing::Candidate => return Step::Done(Verdict::Probation),
            Standing::Peer | Standing::Locked => {}
        }
        let rtcp = self.transports.get(slot).is_some_and(|transport| transport.component == Component::Rtcp);
        self.relay_sealed(slot, rtcp, None)
    }

    pub(super) fn admit_sealed_media(&mut self, now: Instant, slot: usize, kind: Kind, datagram: &Datagram) -> Step {
        match kind {
            Kind::Rtp => self.admit_sealed_rtp(now, slot, datagram),
            Kind::Rtcp => self.admit_sealed_rtcp(now, slot, datagram),
        }
    }

    fn admit_sealed_rtp(&mut self, now: Instant, slot: usize, datagram: &Datagram) -> Step {
        let source = datagram.remote();
        let Some(packet) = RtpPacket::parse(datagram.bytes()) else { return Step::Done(Verdict::Malformed) };
        match self.plain_standing(now, slot, source, packet.ssrc(), Some(packet.sequence_number()), true) {
            Standing::Stranger => return Step::Done(Verdict::UnexpectedSource),
            Standing::Candidate => return Step::Done(Verdict::Probation),
            Standing::Peer | Standing::Locked => {}
        }
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NoFlow) };
        let Some(stream) = transport.streams_in.of(now, packet.ssrc(), SequenceTracker::new) else {
            return Step::Done(Verdict::TooManyStreams);
        };
        // For the statistics only: who receives it has the key, and judges the sequence.
        let index = match stream.tracker.update(packet.sequence_number()) {
            Arrival::Accepted { index } | Arrival::Restarted { index } => index,
            Arrival::Probation | Arrival::Jumped | Arrival::BeforeStart => stream.tracker.highest_index(),
        };
        stream.count(now, index, &packet, datagram.len(), transport.round_trip.latest());
        transport.last_packet = Some(now);
        transport.rtp_in.count(datagram.len());
        self.counters.rtp_in.count(datagram.len());
        if !transport.in_front {
            return Step::Done(Verdict::OtherBranch);
        }
        let source = Source { transport: transport.source, epoch: stream.epoch() };
        let leave = Leave::new(Content::Sealed(Some(Kind::Rtp)), slot, slot, source, 0);
        match crate::route::select(&transport.routes, &packet, &mut stream.bound) {
            Some(route) => self.route_rtp(route, leave, datagram.bytes()),
            None => Step::Done(Verdict::NoFlow),
        }
    }

    fn admit_sealed_rtcp(&mut self, now: Instant, slot: usize, datagram: &Datagram) -> Step {
        let Some(&ssrc) = datagram.bytes().get(4..).and_then(<[u8]>::first_chunk) else {
            return Step::Done(Verdict::Malformed);
        };
        let Some(transport) = self.transports.get(slot) else { return Step::Done(Verdict::NoFlow) };
        let alone = transport.component == Component::Rtcp;
        match self.plain_standing(now, slot, datagram.remote(), u32::from_be_bytes(ssrc), None, alone) {
            Standing::Stranger => return Step::Done(Verdict::UnexpectedSource),
            Standing::Candidate => return Step::Done(Verdict::Probation),
            Standing::Peer | Standing::Locked => {}
        }
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NoFlow) };
        transport.last_packet = Some(now);
        transport.rtcp_in.count(datagram.len());
        self.counters.rtcp_in.count(datagram.len());
        self.relay_sealed(slot, true, Some(Kind::Rtcp))
    }

    /// To the first flow that can take it: what is sealed cannot be told apart by its contents.
    fn relay_sealed(&self, slot: usize, rtcp: bool, kind: Option<Kind>) -> Step {
        let Some(transport) = self.transports.get(slot) else { return Step::Done(Verdict::NoFlow) };
        if !transport.in_front {
            return Step::Done(Verdict::OtherBranch);
        }
        let source = Source { transport: transport.source, epoch: (0, 0) };
        let mut ended = Verdict::NoFlow;
        // What we cannot open we cannot send back as our own.
        let rtcp_routes = transport.onward_rtcp_routes().map(|route| (route.egress, route.policy == RtcpPolicy::Drop));
        let rtp_routes = transport.onward_routes().map(|route| (route.egress, false));
        let routes = rtcp_routes.filter(|_| rtcp).chain(rtp_routes.filter(|_| !rtcp));
        for (egress, is_unwanted) in routes {
            if is_unwanted && kind.is_some() {
                ended = Verdict::Filtered;
                continue;
            }
            let ready = |egress: &usize| self.transports.get(*egress).is_some_and(|there| there.target().is_some());
            match egress.filter(ready) {
                Some(egress) => {
                    return Step::Leave(Leave::new(Content::Sealed(kind), slot, egress, source, 0));
                }
                None => ended = Verdict::EgressNotReady,
            }
        }
        Step::Done(ended)
    }
}
