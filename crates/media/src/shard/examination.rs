//! Packets that are given out for examination, and what comes back.

use std::time::Instant;

use control::{Hypothesis, Keying, MasterKey, Policy, Verdict};
use srtp::Kind;

use super::Shard;
use crate::examine::{Evidence, Finding, Keys, Leg, Origin};
use crate::transport::{Ingress, PeerKeys, Transport};

/// Keys of other transports of the call that a packet is tried against.
const MAX_OTHERS: usize = 32;

impl Shard {
    /// The next packet to [examine](crate::examine::examine), with copies of the keys that it may have been made with. A
    /// caller that has no time for it may drop it.
    pub fn poll_evidence(&mut self) -> Option<Evidence> {
        loop {
            let sample = self.samples.take()?;
            let (origin, kind, packet) = (sample.origin, sample.kind, sample.packet().to_vec());
            if let Some(leg) = self.evidence_leg(origin, &packet) {
                return Some(Evidence { shard: self.config.shard, origin, kind, packet, leg });
            }
        }
    }

    /// Takes in what an examination has found. It is kept for statistics and changes nothing else.
    pub fn handle_finding(&mut self, now: Instant, finding: &Finding) {
        let transport = self.transports.get_mut(finding.origin.slot);
        let transport = transport.filter(|transport| transport.serial == finding.origin.serial);
        if let (Some(transport), Some(hypothesis)) = (transport, finding.hypothesis) {
            transport.suspect(now, hypothesis);
        }
    }

    /// A packet has ended with `verdict`, its bytes as they came: perhaps somebody wants to know why.
    pub(super) fn sample_refused(&mut self, now: Instant, slot: usize, verdict: Verdict, packet: &[u8]) {
        if !matches!(verdict, Verdict::BadTag | Verdict::UnknownMki | Verdict::NotKeyed | Verdict::Malformed) {
            return;
        }
        let kind = match rtp::classify(packet) {
            rtp::Class::Rtp => Kind::Rtp,
            rtp::Class::Rtcp => Kind::Rtcp,
            _ => return,
        };
        self.sample(now, slot, kind, packet);
    }

    /// A packet of a plain leg was accepted. The 4th, 8th, 16th … of a transport is looked at: encrypted ones cannot be
    /// told by a tag here.
    pub(super) fn sample_plain(&mut self, now: Instant, slot: usize, packet: &[u8]) {
        let packets = self.transports.get(slot).map_or(0, |transport| transport.rtp_in.packets);
        if packets >= 4 && packets.is_power_of_two() {
            self.sample(now, slot, Kind::Rtp, packet);
        }
    }

    fn sample(&mut self, now: Instant, slot: usize, kind: Kind, packet: &[u8]) {
        if let Some(transport) = self.transports.get_mut(slot) {
            let origin = Origin { slot, serial: transport.serial };
            self.samples.offer(now, origin, &mut transport.examinations, kind, packet);
        }
    }

    fn evidence_leg(&self, origin: Origin, packet: &[u8]) -> Option<Leg> {
        let transport = self.transports.get(origin.slot).filter(|transport| transport.serial == origin.serial)?;
        if matches!(transport.ingress, Ingress::Sealed) {
            // The keys are the parties' own.
            return None;
        }
        if matches!(transport.ingress, Ingress::Plain) {
            return Some(Leg::Plain);
        }
        let (policy, current) = transport.inbound_keys().unwrap_or((Policy::new(control::Profile::AeadAes128Gcm), &[]));
        let rollover_counter = match transport.ingress {
            Ingress::Keyed { context, .. } => {
                let ssrc = rtp::RtpPacket::parse(packet).map_or(0, |packet| packet.ssrc());
                self.inbounds.get(context).and_then(|inbound| inbound.rollover_counter(ssrc)).unwrap_or(0)
            }
            _ => 0,
        };
        let others = if current.is_empty() { Vec::new() } else { self.other_keys(transport) };
        Some(Leg::Secure(Box::new(Keys { policy, current: current.to_vec(), rollover_counter, others })))
    }

    fn other_keys(&self, transport: &Transport) -> Vec<(Hypothesis, Policy, MasterKey)> {
        let mut others = Vec::new();
        if let Some(former) = &transport.former_keys {
            let PeerKeys { policy, keys } = &**former;
            others.extend(keys.iter().map(|key| (Hypothesis::PreviousKey, policy.clone(), key.clone())));
        }
        if let Some((policy, key)) = transport.outbound_key() {
            others.push((Hypothesis::OurKey, policy, key.clone()));
        }
        let call = self.calls.get(&transport.call);
        let slots = call.into_iter().flat_map(|call| &call.transports);
        for other in slots.filter_map(|&(_, slot)| self.transports.get(slot)) {
            let Some(leg) = other.plan.as_ref().map(|plan| plan.leg) else { continue };
            if transport.plan.as_ref().is_some_and(|plan| plan.leg == leg) || others.len() >= MAX_OTHERS {
                continue;
            }
            if let Some((policy, keys)) = other.inbound_keys() {
                let keys = keys.iter().map(|key| (Hypothesis::PeerKeyOfLeg(leg), policy.clone(), key.clone()));
                others.extend(keys);
            }
            if let Some((policy, key)) = other.outbound_key() {
                others.push((Hypothesis::OurKeyOfLeg(leg), policy, key.clone()));
            }
        }
        others
    }
}

impl Transport {
    /// What the peer's packets verify under, as agreed last.
    fn inbound_keys(&self) -> Option<(Policy, &[MasterKey])> {
        match &self.plan.as_ref()?.keying {
            Keying::Sdes(keys) => keys.inbound.as_ref().map(|(policy, keys)| (policy.clone(), keys.as_slice())),
            Keying::Dtls(_) => {
                let keys = self.handshake_keys.as_ref()?;
                Some((keys.policy.clone(), std::slice::from_ref(&keys.peers)))
            }
            _ => None,
        }
    }

    /// What we send under.
    fn outbound_key(&self) -> Option<(Policy, &MasterKey)> {
        match &self.plan.as_ref()?.keying {
            Keying::Sdes(keys) => Some((keys.outbound.0.clone(), &keys.outbound.1)),
            Keying::Dtls(_) => self.handshake_keys.as_ref().map(|keys| (keys.policy.clone(), &keys.own)),
            _ => None,
        }
    }
}
