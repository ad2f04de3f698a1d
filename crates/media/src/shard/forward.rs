//! RTCP's way between flows, and everything's way out.

use std::num::NonZeroU32;
use std::time::Instant;

use arrayvec::ArrayVec;
use control::{Component, RtcpPolicy, TransportEvent, Verdict};
use datagram::{BATCH_CAPACITY, Batch, Datagram, MAX_DATAGRAM};
use rtp::rtcp::Translate;
use rtp::{RtcpCompound, RtpPacket};
use srtp::Kind;

use super::receive::{Leave, Step, Trust};
use super::{Copy, Shard};
use crate::egress::{Content, Departure, depart};
use crate::rebase::Source;
use crate::route::RtcpRoute;
use crate::streams::StreamsOut;
use crate::transport::Ingress;

/// Flows that one RTCP packet may go to.
const MAX_TARGETS: usize = 16;

type Targets = ArrayVec<(usize, RtcpPolicy), MAX_TARGETS>;

impl Shard {
    /// Fills `batch` with datagrams that no received batch has caused: flights, copies, and what waited for keys. False
    /// when there are none. Send the batch and call again until it is false.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut Batch) -> bool {
        batch.clear();
        self.release(now, batch);
        if !batch.is_empty() {
            self.receive(now, batch.datagrams_mut());
            return true;
        }
        self.fill_flights(batch);
        if batch.is_empty() {
            self.fill_copies(now, batch);
        }
        !batch.is_empty()
    }

    pub(super) fn accept_rtcp(
        &mut self,
        now: Instant,
        slot: usize,
        index: u64,
        trust: Trust,
        datagram: &mut Datagram,
    ) -> Step {
        let Some(compound) = RtcpCompound::parse(datagram.bytes()) else { return Step::Done(Verdict::Malformed) };
        let Some(transport) = self.transports.get_mut(slot) else { return Step::Done(Verdict::NoFlow) };
        transport.last_packet = Some(now);
        transport.rtcp_in.count(datagram.len());
        transport.round_trip.received(now, compound);
        self.counters.rtcp_in.count(datagram.len());
        if let (Trust::Authentic { .. }, Ingress::Keyed { context, .. }) = (trust, transport.ingress) {
            // Its index is committed: the newest packet of its sender is the one that has the highest.
            let ssrc = compound.sender_ssrc().unwrap_or(0);
            let highest = self.inbounds.get(context).and_then(|inbound| inbound.highest_rtcp_index(ssrc));
            let newest = highest.is_none_or(|highest| index >= highest);
            // Where RTP has come, RTP says where the peer is.
            let leads = transport.component == Component::Rtcp || transport.streams_in.is_empty();
            let moved = transport.path.authenticated(now, datagram.remote(), newest, leads);
            self.follow_ice(now, slot);
            if moved {
                self.say(slot, TransportEvent::Latched { remote: datagram.remote() });
            }
        }
        if !self.transports.get(slot).is_some_and(|transport| transport.in_front) {
            return Step::Done(Verdict::OtherBranch);
        }
        self.route_rtcp(slot, datagram)
    }

    /// Every flow that the packet concerns gets it: the last one the packet itself, the others copies.
    fn route_rtcp(&mut self, slot: usize, datagram: &mut Datagram) -> Step {
        let Some(transport) = self.transports.get(slot) else { return Step::Done(Verdict::NoFlow) };
        let source = Source { transport: transport.source, epoch: (0, 0) };
        let (targets, otherwise) = self.rtcp_targets(slot, datagram.bytes());
        let echo = self.echo_route(slot);
        if targets.is_empty() && echo.is_none() {
            return Step::Done(otherwise);
        }
        self.translate_back(slot, datagram);
        let mut step = Step::Done(Verdict::Filtered);
        let copies = if echo.is_some() { targets.len() } else { targets.len() - 1 };
        for (number, (egress, policy)) in targets.into_iter().enumerate() {
            let leave = Leave::new(Content::Clear(Kind::Rtcp), slot, egress, source, 0);
            if number < copies {
                if let Some(mut copy) = self.copy(leave, datagram.bytes()) {
                    let len = reduce(policy, &mut copy.bytes);
                    copy.bytes.truncate(len);
                    self.keep_copy(copy);
                }
                continue;
            }
            let len = datagram.len();
            let len = datagram.slot_mut().get_mut(..len).map_or(0, |bytes| reduce(policy, bytes));
            if len > 0 {
                datagram.set_len(len);
                step = Step::Leave(leave);
            }
        }
        match echo {
            Some(route) => self.answer_report(slot, route, datagram),
            None => step,
        }
    }

    /// Where an RTCP packet goes, and how it ends when that is nowhere.
    fn rtcp_targets(&self, slot: usize, bytes: &[u8]) -> (Targets, Verdict) {
        let mut targets = Targets::new();
        let mut otherwise = Verdict::NoFlow;
        let Some(transport) = self.transports.get(slot) else { return (targets, otherwise) };
        let routes = || transport.onward_rtcp_routes();
        let first = routes().next().and_then(|route| route.egress);
        let one_way = routes().all(|route| route.egress == first);
        let concerned = |route: &RtcpRoute| one_way || self.concerns(slot, route, bytes);
        let any = routes().any(concerned);
        for route in routes().filter(|route| !any || concerned(route)) {
            if route.policy == RtcpPolicy::Drop {
                otherwise = Verdict::Filtered;
                continue;
            }
            let ready = |egress: &usize| self.transports.get(*egress).is_some_and(|t| t.target().is_some());
            let Some(egress) = route.egress.filter(ready) else {
                otherwise = Verdict::EgressNotReady;
                continue;
            };
            match targets.iter_mut().find(|(known, _)| *known == egress) {
                // Sections that share an egress: the most liberal of their policies.
                Some((_, policy)) if route.policy == RtcpPolicy::Forward => *policy = RtcpPolicy::Forward,
                Some(_) => {}
                None => drop(targets.try_push((egress, route.policy))),
            }
        }
        (targets, otherwise)
    }

    /// True when the packet comes from a stream of the flow, or is about a stream that comes from where the flow goes.
    fn concerns(&self, slot: usize, route: &RtcpRoute, bytes: &[u8]) -> bool {
        let Some(compound) = RtcpCompound::parse(bytes) else { return false };
        let Some(near) = route.ingress_rtp.or(Some(slot)).and_then(|near| self.transports.get(near)) else {
            return false;
        };
        // A stream's reports go wherever the stream itself goes, copies included.
        let sends = |ssrc: u32| {
            let bound = near.streams_in.find(ssrc).and_then(|stream| stream.bound);
            crate::route::chain(&near.routes, bound).any(|bound| bound.flow == route.flow)
        };
        let hears = |ssrc: u32| near.streams_out.find(ssrc).is_some_and(|stream| Some(stream.from) == route.egress_rtp);
        compound.packets().any(|packet| {
            packet.sender_ssrc().is_some_and(sends)
                || packet.media_ssrc().is_some_and(hears)
                || packet.report_blocks().any(|block| hears(block.ssrc))
        })
    }

    /// Gives reports about streams that were shifted on their way to this peer the source's own numbers.
    fn translate_back(&mut self, slot: usize, datagram: &mut Datagram) {
        let Some(transport) = self.transports.get(slot) else { return };
        let near = transport.rtcp_routes.first().and_then(|route| route.ingress_rtp).unwrap_or(slot);
        let Some(near) = self.transports.get(near) else { return };
        if near.streams_out.translates() {
            let len = datagram.len();
            if let Some(bytes) = datagram.slot_mut().get_mut(..len) {
                rtp::rtcp::translate(bytes, &mut Back(&near.streams_out));
            }
        }
    }

    pub(super) fn push_copy(&mut self, leave: Leave, bytes: &[u8]) {
        if let Some(copy) = self.copy(leave, bytes) {
            self.keep_copy(copy);
        }
    }

    fn copy(&mut self, leave: Leave, bytes: &[u8]) -> Option<Copy> {
        let serial = self.transports.get(leave.egress)?.serial;
        if self.copies.len() >= self.config.transmit_queue {
            self.counters.transmit_dropped += 1;
            return None;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        Some(Copy { leave, serial, bytes: buffer })
    }

    fn keep_copy(&mut self, copy: Copy) {
        if copy.bytes.is_empty() {
            self.spare.push(copy.bytes);
        } else {
            self.copies.push_back(copy);
        }
    }

    /// Puts into the batch, as if received again, what waited for keys that have come.
    fn release(&mut self, now: Instant, batch: &mut Batch) {
        while batch.remaining() > 0
            && let Some(&(slot, serial)) = self.released.front()
        {
            let longest = self.config.early_media;
            let transport = self.transports.get_mut(slot).filter(|transport| transport.serial == serial);
            let waiting = transport.and_then(|transport| {
                let front = (transport.ingress, &mut transport.early_media);
                let others = transport.branches.iter_mut().map(|branch| (branch.ingress, &mut branch.early_media));
                let mut keyed = std::iter::once(front)
                    .chain(others)
                    .filter(|(ingress, _)| matches!(ingress, Ingress::Keyed { .. }));
                keyed.find_map(|(_, early)| early.pop()).map(|waiting| (transport.port, waiting))
            });
            let Some((port, waiting)) = waiting else {
                self.released.pop_front();
                continue;
            };
            if now.saturating_duration_since(waiting.since) > longest {
                self.count(slot, Verdict::NotKeyed);
            } else if let Some(datagram) = batch.push() {
                datagram.fill(&waiting.bytes);
                datagram.set_received(port, waiting.source, waiting.bytes.len(), false);
            }
        }
    }

    fn fill_flights(&mut self, batch: &mut Batch) {
        while batch.remaining() > 0
            && let Some(flight) = self.flights.pop_front()
        {
            let transport = self.transports.get_mut(flight.slot).filter(|transport| transport.serial == flight.serial);
            let Some(transport) = transport else { continue };
            if flight.bytes.len() <= MAX_DATAGRAM
                && let Some(datagram) = batch.push()
            {
                if flight.bytes.is_empty() {
                    transport.egress.pierce(datagram, flight.remote);
                    continue;
                }
                datagram.fill(&flight.bytes);
                if transport.egress.send_flight(datagram, flight.remote) {
                    self.counters.dtls_out += 1;
                    if let Some(association) = &mut transport.association {
                        association.datagrams_out += 1;
                    }
                }
            }
        }
    }

    fn fill_copies(&mut self, now: Instant, batch: &mut Batch) {
        let mut leaving: ArrayVec<Option<Leave>, BATCH_CAPACITY> = ArrayVec::new();
        while batch.remaining() > 0
            && let Some(copy) = self.copies.pop_front()
        {
            let there = self.transports.get(copy.leave.egress).is_some_and(|transport| transport.serial == copy.serial);
            if there && let Some(datagram) = batch.push() {
                datagram.fill(&copy.bytes);
                leaving.push(Some(copy.leave));
            }
            self.spare.push(copy.bytes);
        }
        let verdicts = self.leave(now, batch.datagrams_mut(), &leaving);
        self.counters.transmit_dropped +=
            verdicts.iter().filter(|&&verdict| verdict != Verdict::Forwarded).count() as u64;
    }

    /// The last phase: gives every leaving packet its egress index, encrypts, marks and counts. At most a batch; the
    /// verdicts of those that do not leave mean nothing.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        datagrams: &mut [Datagram],
        leaving: &[Option<Leave>],
    ) -> ArrayVec<Verdict, BATCH_CAPACITY> {
        let mut verdicts: ArrayVec<Verdict, BATCH_CAPACITY> = ArrayVec::new();
        let mut indices: ArrayVec<u64, BATCH_CAPACITY> = ArrayVec::new();
        let mut clear: ArrayVec<usize, BATCH_CAPACITY> = ArrayVec::new();
        for (leave, datagram) in leaving.iter().zip(datagrams.iter_mut()).take(BATCH_CAPACITY) {
            let index = leave.map_or(Ok(0), |leave| self.egress_index(now, leave, datagram));
            indices.push(index.unwrap_or(0));
            clear.push(datagram.len());
            verdicts.push(index.err().unwrap_or(Verdict::Forwarded));
        }
        let mut departures: ArrayVec<Departure<'_>, BATCH_CAPACITY> = ArrayVec::new();
        let ready = leaving.iter().zip(datagrams.iter_mut()).zip(indices.iter().zip(&mut verdicts));
        for ((leave, datagram), (&index, verdict)) in ready {
            let Some(leave) = leave.filter(|_| *verdict == Verdict::Forwarded) else { continue };
            let transport = self.transports.get(leave.egress);
            *verdict = Verdict::EgressNotReady;
            if let Some((transport, remote)) = transport.and_then(|transport| Some((transport, transport.target()?))) {
                let egress = &transport.egress;
                departures.push(Departure { egress, remote, content: leave.content, index, datagram, verdict });
            }
        }
        depart(&mut self.outbounds, &mut departures);
        drop(departures);
        for ((leave, datagram), (&verdict, &clear)) in
            leaving.iter().zip(datagrams.iter()).zip(verdicts.iter().zip(&clear))
        {
            if let (Some(leave), Verdict::Forwarded) = (leave, verdict) {
                self.count_departed(*leave, datagram, clear);
            }
        }
        verdicts
    }

    /// The egress index of a packet; its header gets the sequence number that belongs to it.
    fn egress_index(&mut self, now: Instant, leave: Leave, datagram: &mut Datagram) -> Result<u64, Verdict> {
        let transport = self.transports.get_mut(leave.egress).ok_or(Verdict::EgressNotReady)?;
        if leave.content == Content::Clear(Kind::Rtcp) {
            transport.round_trip.sending(now, datagram.bytes());
            return Ok(0);
        }
        if let Content::Sealed(_) = leave.content {
            // Whoever sealed it has authenticated the header with it.
            return Ok(leave.index);
        }
        let packet = RtpPacket::parse(datagram.bytes()).ok_or(Verdict::Malformed)?;
        let sequence = packet.sequence_number();
        let ssrc = packet.ssrc() ^ leave.echo.map_or(0, NonZeroU32::get);
        if let Some(octet) = leave.fill {
            // Padding stays: its last octet is a length.
            let from = packet.header_len();
            let until = from + packet.media().unwrap_or(packet.payload()).len();
            datagram.slot_mut().get_mut(from..until).into_iter().for_each(|payload| payload.fill(octet));
        }
        let mut stream = transport.streams_out.of(ssrc, leave.source, leave.index, leave.from);
        if leave.echo.is_some() {
            rtp::set_ssrc(datagram.slot_mut(), ssrc);
            let stream = stream.as_mut().ok_or(Verdict::TooManyStreams)?;
            // Under a key the sending context sees to it.
            if !transport.egress.is_keyed() && !stream.returns(leave.source, leave.index) {
                return Err(Verdict::Replayed);
            }
        }
        if !transport.egress.is_keyed() {
            // No key, no index: everything stays as it came.
            return Ok(leave.index);
        }
        let stream = stream.ok_or(Verdict::TooManyStreams)?;
        let mapped = stream.rebase.map(leave.source, leave.index).ok_or(Verdict::IndexReused)?;
        stream.from = leave.from;
        if mapped.shifted {
            self.counters.rebased += 1;
        }
        if mapped.index as u16 != sequence {
            rtp::set_sequence_number(datagram.slot_mut(), mapped.index as u16);
        }
        Ok(mapped.index)
    }

    /// `clear`: its length before it was encrypted.
    fn count_departed(&mut self, leave: Leave, datagram: &Datagram, clear: usize) {
        let Some(transport) = self.transports.get_mut(leave.egress) else { return };
        let len = datagram.len();
        match leave.content {
            Content::Clear(Kind::Rtp) | Content::Sealed(Some(Kind::Rtp)) => {
                transport.rtp_out.count(len);
                self.counters.rtp_out.count(len);
                if let Some(packet) = RtpPacket::parse(datagram.bytes()) {
                    transport.streams_out.count(&packet, len, clear.saturating_sub(packet.header_len()));
                }
            }
            Content::Clear(Kind::Rtcp) | Content::Sealed(Some(Kind::Rtcp)) => {
                transport.rtcp_out.count(len);
                self.counters.rtcp_out.count(len);
            }
            Content::Sealed(None) => {}
        }
    }
}

/// Takes out what the egress leg does not want; returns the new length, 0 when nothing is left.
fn reduce(policy: RtcpPolicy, bytes: &mut [u8]) -> usize {
    match policy {
        RtcpPolicy::Forward => bytes.len(),
        RtcpPolicy::WithoutFeedback => rtp::rtcp::without_feedback(bytes),
        RtcpPolicy::Drop => 0,
    }
}

/// Translates what a receiver says of the streams that were sent to it.
struct Back<'a>(&'a StreamsOut);

impl Translate for Back<'_> {
    fn sequence_number(&mut self, ssrc: u32, sequence_number: u16) -> u16 {
        self.0.find(ssrc).map_or(sequence_number, |stream| stream.rebase.sequence_back(sequence_number))
    }

    fn extended_sequence_number(&mut self, ssrc: u32, extended: u32) -> u32 {
        self.0.find(ssrc).map_or(extended, |stream| stream.rebase.extended_back(extended))
    }
}
