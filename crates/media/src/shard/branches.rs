//! Several answers to one offer: which of them stands in front, and whose a packet is.

use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use control::{
    BranchPlan, Component, IceState, Keying, KeyingState, MAX_BRANCHES, TransportEvent, TransportFailure,
    TransportPlan, Verdict,
};
use datagram::Datagram;
use ice::{LiteAgent, StunVerdict};
use srtp::{ContextId, KeyError, Kind, Rejection};

use super::Shard;
use super::receive::{Step, Trust, incoming_verdict};
use crate::branch::{Branch, Holder};
use crate::path::Path;
use crate::transport::{HandshakeKeys, Ingress, Transport};

/// A receiving context that a packet may be meant for.
struct Candidate {
    holder: Holder,
    context: ContextId,
    window: u64,
}

impl Shard {
    /// Brings a transport with several branches, or that is to have several, into the state of its plan.
    pub(super) fn apply_branches(&mut self, now: Instant, slot: usize, plan: &TransportPlan) {
        let front = TransportPlan { others: Vec::new(), ..plan.clone() };
        let others: Vec<TransportPlan> =
            plan.others.iter().take(MAX_BRANCHES - 1).map(|branch| with_branch_plan(&front, branch)).collect();
        let serial = self.next_serial();
        let Some(transport) = self.transports.get_mut(slot) else { return };
        transport.egress.set_forked(true);
        if transport.plan.is_none() {
            transport.branch = front.branch;
        } else if transport.branch != front.branch {
            let known = transport.branches.iter().position(|branch| branch.id == front.branch);
            let place = known.unwrap_or_else(|| transport.add_branch(now, &front, serial));
            transport.egress.leave_branch(&mut self.outbounds, &mut transport.streams_out);
            transport.exchange(place);
            self.open_way_out(slot);
        }
        self.apply_branch(now, slot, &front);
        self.drop_branches(slot, &others);
        for other in &others {
            let serial = self.next_serial();
            let Some(transport) = self.transports.get_mut(slot) else { return };
            let known = transport.branches.iter().position(|branch| branch.id == other.branch);
            let place = known.unwrap_or_else(|| transport.add_branch(now, other, serial));
            self.with_branch(slot, place, |shard| shard.apply_branch(now, slot, other));
        }
        if let Some(transport) = self.transports.get_mut(slot).filter(|transport| transport.branches.is_empty()) {
            transport.egress.set_forked(false);
        }
    }

    /// The branch that has just come to the front sends from here on, and the session hears how it stands.
    fn open_way_out(&mut self, slot: usize) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        if transport.has_failed() {
            return;
        }
        let opened: Result<(), KeyError> = match transport.plan.as_ref().map(|plan| &plan.keying) {
            None | Some(Keying::Pending) => Ok(()),
            Some(Keying::Plain) if transport.component == Component::Datagrams => {
                transport.egress.set_datagrams();
                Ok(())
            }
            Some(Keying::Plain) => {
                transport.egress.set_plain();
                Ok(())
            }
            Some(Keying::PassThrough) => {
                transport.egress.set_sealed();
                Ok(())
            }
            Some(Keying::Sdes(keys)) => {
                let (policy, key) = &keys.outbound;
                transport.egress.set_key(&mut self.outbounds, policy.clone(), key, &mut transport.streams_out)
            }
            Some(Keying::Dtls(_)) => match &transport.handshake_keys {
                Some(keys) => {
                    let HandshakeKeys { policy, own, .. } = &**keys;
                    transport.egress.set_key(&mut self.outbounds, policy.clone(), own, &mut transport.streams_out)
                }
                None => Ok(()),
            },
        };
        if opened.is_err() {
            return self.fail(slot, TransportFailure::Internal);
        }
        let mut news: ArrayVec<TransportEvent, 2> = ArrayVec::new();
        if let KeyingState::Secured(by) = &transport.keying {
            news.push(TransportEvent::Secured(by.clone()));
        }
        let signalled = transport.plan.as_ref().map(|plan| plan.remote);
        match (&transport.path, transport.path.target()) {
            (Path::Ice(_), Some(remote)) if transport.ice == IceState::Nominated => {
                news.push(TransportEvent::Nominated { remote });
            }
            (Path::Latch(_), Some(remote)) if signalled.is_some_and(|signalled| signalled != Some(remote)) => {
                news.push(TransportEvent::Latched { remote });
            }
            _ => {}
        }
        for event in news {
            self.say(slot, event);
        }
    }

    /// Forgets the branches that are not among `wanted`.
    fn drop_branches(&mut self, slot: usize, wanted: &[TransportPlan]) {
        loop {
            let Some(transport) = self.transports.get_mut(slot) else { return };
            let unwanted = |branch: &Branch| !wanted.iter().any(|plan| plan.branch == branch.id);
            let Some(place) = transport.branches.iter().position(unwanted) else { return };
            let branch = transport.branches.remove(place);
            let parked = branch.parked.as_ref().map(|parked| parked.context);
            self.release_branch(branch.ingress, parked, branch.association.as_ref().map(|it| it.handle));
        }
    }

    /// A check is every branch's: our credentials are the same for all of them, and each agent knows its peer's ufrag.
    /// Returns what the last of them would answer, and its verdict; `None` when none uses ICE.
    pub(super) fn answer_branches(
        &mut self,
        now: Instant,
        slot: usize,
        source: SocketAddr,
        request: &[u8],
        response: &mut [u8; LiteAgent::MAX_RESPONSE],
    ) -> Option<(Option<usize>, StunVerdict)> {
        let branches = self.transports.get(slot).map_or(0, |transport| transport.branches.len());
        let mut ended: Option<(Option<usize>, StunVerdict)> = None;
        for place in 0..branches {
            self.with_branch(slot, place, |shard| {
                if let Some(transport) = shard.transports.get_mut(slot)
                    && let Path::Ice(agent) = &mut transport.path
                {
                    let outcome = agent.handle_datagram(now, source, request, response);
                    ended = Some((outcome.response_len, outcome.verdict));
                    shard.follow_ice(now, slot);
                }
            });
        }
        ended
    }

    /// Where media of a transport with several branches goes first. A secure packet is whose tag it carries, a plain one
    /// whose address it comes from: the branch in front has what nobody else is known to have sent.
    pub(super) fn admit_among_branches(&mut self, now: Instant, slot: usize, kind: Kind, datagram: &Datagram) -> Step {
        let source = datagram.remote();
        let Some(transport) = self.transports.get(slot) else { return Step::Done(Verdict::NotKeyed) };
        let owns = |ingress: Ingress, path: &Path, plan: &Option<TransportPlan>| {
            let is_there =
                path.target() == Some(source) || plan.as_ref().is_some_and(|plan| plan.remote == Some(source));
            is_there && !matches!(ingress, Ingress::Closed | Ingress::Keyed { .. })
        };
        if owns(transport.ingress, &transport.path, &transport.plan) {
            return self.admit_to_front(now, slot, kind, datagram);
        }
        let owner = transport.branches.iter().position(|branch| owns(branch.ingress, &branch.path, &branch.plan));
        if let Some(place) = owner {
            let step = self.with_branch(slot, place, |shard| shard.admit_to_front(now, slot, kind, datagram));
            if let Step::Accept { .. } = step {
                self.count_other_branch(now, slot, kind, datagram);
                return Step::Done(Verdict::OtherBranch);
            }
            return step;
        }
        if candidates(transport, source).next().is_some() {
            return Step::OpenAmongBranches;
        }
        self.admit_to_front(now, slot, kind, datagram)
    }

    fn count_other_branch(&mut self, now: Instant, slot: usize, kind: Kind, datagram: &Datagram) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        transport.last_packet = Some(now);
        let (ours, all) = match kind {
            Kind::Rtp => (&mut transport.rtp_in, &mut self.counters.rtp_in),
            Kind::Rtcp => (&mut transport.rtcp_in, &mut self.counters.rtcp_in),
        };
        ours.count(datagram.len());
        all.count(datagram.len());
    }

    /// Tries the receiving contexts of all branches whose path admits the source: at most [`MAX_BRANCHES`], those first
    /// whose peer is known to be at that address. A replay in one of them says nothing of the others, which may know
    /// the same SSRC.
    pub(super) fn open_among_branches(&mut self, slot: usize, kind: Kind, datagram: &mut Datagram) -> (Holder, Step) {
        let source = datagram.remote();
        let Some(transport) = self.transports.get(slot) else { return (Holder::Front, Step::Done(Verdict::NotKeyed)) };
        let near = |candidate: &Candidate| {
            let path = match candidate.holder {
                Holder::Front => Some(&transport.path),
                Holder::Branch(place) => transport.branches.get(place).map(|branch| &branch.path),
            };
            path.is_some_and(|path| path.target() == Some(source))
        };
        let mut order: ArrayVec<Candidate, MAX_BRANCHES> = ArrayVec::new();
        for first in [true, false] {
            for candidate in candidates(transport, source).filter(|candidate| near(candidate) == first) {
                // There are no more branches than that.
                let _ = order.try_push(candidate);
            }
        }
        let mut ended = None;
        for Candidate { holder, context, window } in order {
            let len = datagram.len();
            let Some(inbound) = self.inbounds.get_mut(context) else { continue };
            let opened = match kind {
                Kind::Rtp => inbound.unprotect_rtp(datagram.slot_mut(), len),
                Kind::Rtcp => inbound.unprotect_rtcp(datagram.slot_mut(), len),
            };
            match opened {
                Ok(opened) => {
                    datagram.set_len(opened.len);
                    return (holder, Step::Accept { index: opened.index, trust: Trust::Authentic { window } });
                }
                Err(rejection) => {
                    // A tag that fails everywhere is the weakest word: a replay in one context tells more.
                    if ended.is_none() || matches!(ended, Some(Rejection::BadTag)) {
                        ended = Some(rejection);
                    }
                }
            }
        }
        (Holder::Front, Step::Done(ended.map_or(Verdict::NotKeyed, incoming_verdict)))
    }
}

impl Transport {
    /// Adds a branch for one more answer; returns its place.
    fn add_branch(&mut self, now: Instant, plan: &TransportPlan, source: u64) -> usize {
        let branch = Branch::new(now, self, plan, source);
        self.branches.push(branch);
        self.branches.len() - 1
    }
}

fn candidates(transport: &Transport, source: SocketAddr) -> impl Iterator<Item = Candidate> {
    let keyed = move |holder, ingress, path: &Path| match ingress {
        Ingress::Keyed { context, window } if path.admits(source) => Some(Candidate { holder, context, window }),
        _ => None,
    };
    let front = keyed(Holder::Front, transport.ingress, &transport.path);
    let others = transport.branches.iter().enumerate();
    let others = others.filter_map(move |(place, branch)| keyed(Holder::Branch(place), branch.ingress, &branch.path));
    front.into_iter().chain(others)
}

fn with_branch_plan(front: &TransportPlan, branch: &BranchPlan) -> TransportPlan {
    TransportPlan {
        branch: branch.id,
        remote: branch.remote,
        ice: branch.ice.clone(),
        latching: branch.latching,
        latch_generation: branch.latch_generation,
        keying: branch.keying.clone(),
        ..front.clone()
    }
}
