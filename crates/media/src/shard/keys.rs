//! Keys: from signalling, from handshakes.

use std::net::SocketAddr;
use std::time::Instant;

use control::{
    DtlsPlan, DtlsRole, DtlsState, Keying, KeyingState, MasterKey, Policy, RocPolicy, SdesKeys, SecuredBy,
    TransportEvent, TransportFailure, TransportPlan, Verdict,
};
use dtls::Standing;
use srtp::{Inbound, KeyError};

use super::{Flight, Shard};
use crate::branch::Holder;
use crate::handshake::{Input, Keyed, Output, Start};
use crate::path::Path;
use crate::transport::{Association, HandshakeKeys, Ingress, Parked, PeerKeys, Transport};

impl Shard {
    /// The next message to a handshake thread. Take it only while that thread has room, or hand it back.
    pub fn poll_handshake(&mut self) -> Option<Input> {
        let input = self.handshake.pop_front()?;
        if let Input::Datagram { handle, .. } = &input {
            self.handshake_datagrams = self.handshake_datagrams.saturating_sub(1);
            let transport = self.transports.get_mut(handle.slot() as usize);
            if let Some(waiting) = transport.and_then(|transport| transport.waiting_of(*handle)) {
                *waiting = waiting.saturating_sub(1);
            }
        }
        Some(input)
    }

    /// Takes a message back for which the handshake thread had no room; the next [`Self::poll_handshake`] gives it again.
    pub fn return_handshake(&mut self, input: Input) {
        if let Input::Datagram { handle, .. } = &input {
            self.handshake_datagrams += 1;
            let transport = self.transports.get_mut(handle.slot() as usize);
            if let Some(waiting) = transport.and_then(|transport| transport.waiting_of(*handle)) {
                *waiting += 1;
            }
        }
        self.handshake.push_front(input);
    }

    /// Takes a message from a handshake thread. One of an association that was given up is ignored.
    pub fn handle_handshake(&mut self, now: Instant, output: Output) {
        let handle = output.handle();
        let slot = handle.slot() as usize;
        match self.transports.get(slot).and_then(|transport| transport.holder(handle)) {
            Some(Holder::Front) => self.take_handshake(now, slot, output),
            Some(Holder::Branch(place)) => {
                self.with_branch(slot, place, |shard| shard.take_handshake(now, slot, output))
            }
            None => {}
        }
    }

    fn take_handshake(&mut self, now: Instant, slot: usize, output: Output) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        match output {
            Output::Transmit { remote, bytes, .. } => {
                if self.flights.len() < self.config.transmit_queue {
                    self.flights.push_back(Flight { slot, serial: transport.serial, remote, bytes });
                } else {
                    self.counters.transmit_dropped += 1;
                }
            }
            Output::Keyed { keyed, .. } => match self.install(now, slot, &keyed) {
                Ok(()) => self.secured(
                    slot,
                    SecuredBy::Dtls {
                        profile: keyed.profile,
                        version: keyed.version.into(),
                        hash: keyed.hash,
                        remote: keyed.remote,
                    },
                ),
                Err(_) => self.fail(slot, TransportFailure::Internal),
            },
            Output::Failed { failure, .. } => self.fail(slot, failure),
            Output::Closed { .. } => {
                // RFC 7675 §5.2: the end of the association revokes consent at once.
                if !std::mem::replace(&mut transport.closed_by_peer, true) {
                    self.say(slot, TransportEvent::ConsentLost);
                }
            }
        }
    }

    /// Brings a transport's keys into the state of its plan; `before` is the plan that was in force.
    pub(super) fn apply_keying(&mut self, now: Instant, slot: usize, before: Option<&Keying>, wanted: &Keying) {
        if before == Some(wanted) {
            return;
        }
        if let (Some(Keying::Sdes(former)), false) = (before, matches!(wanted, Keying::Sdes(_))) {
            self.park(slot, former);
        }
        match wanted {
            Keying::Plain => self.open_plain(slot),
            Keying::Pending => self.withdraw_keys(slot, Ingress::Closed, KeyingState::Pending),
            Keying::PassThrough => self.open_sealed(slot),
            Keying::Sdes(keys) => {
                let before = match before {
                    Some(Keying::Sdes(before)) => Some(&**before),
                    _ => {
                        self.withdraw_keys(slot, Ingress::Awaiting, KeyingState::Pending);
                        None
                    }
                };
                match self.apply_sdes(slot, before, keys) {
                    Ok(Some(secured)) => self.secured(slot, secured),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "keys from signalling cannot be used");
                        self.fail(slot, TransportFailure::Internal);
                    }
                }
            }
            Keying::Dtls(plan) => {
                if !matches!(before, Some(Keying::Dtls(_))) {
                    self.withdraw_keys(slot, Ingress::Awaiting, KeyingState::Handshake(DtlsState::AwaitingRole));
                }
                self.apply_dtls(now, slot, plan);
            }
        }
    }

    /// Starts a handshake whose role and path are known by now, follows a moved path, and gives up one that has waited
    /// for its path too long.
    pub(super) fn advance_handshake(&mut self, now: Instant, slot: usize) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        let (Some(association), Some(plan)) = (&mut transport.association, &transport.plan) else { return };
        let Keying::Dtls(wanted) = &plan.keying else { return };
        let Some(role) = wanted.role else { return };
        let since = *association.role_known.get_or_insert(now);
        let target = transport.path.target();
        if association.started {
            if let Some(remote) = target
                && matches!(transport.path, Path::Ice(_))
                && association.remote != Some(remote)
                // A thread that does not keep up hears of the last path only; the next tick tries again.
                && self.handshake.len() < 2 * self.config.handshake_queue
            {
                association.remote = Some(remote);
                self.handshake.push_back(Input::Retarget { handle: association.handle, remote });
            }
            return;
        }
        let elapsed = now.saturating_duration_since(since);
        let has_path = role == DtlsRole::Server || target.is_some();
        if !has_path || wanted.fingerprints.is_empty() {
            if elapsed >= wanted.deadline && !transport.has_failed() {
                self.fail(slot, TransportFailure::HandshakeTimeout);
            } else {
                transport.update_handshake_state();
            }
            return;
        }
        association.started = true;
        association.remote = target;
        let handle = association.handle;
        self.handshake.push_back(Input::Start(Box::new(Start {
            handle,
            role,
            fingerprints: wanted.fingerprints.clone(),
            profiles: wanted.profiles.clone(),
            deadline: wanted.deadline.saturating_sub(elapsed),
            remote: target.filter(|_| role == DtlsRole::Client),
        })));
        transport.update_handshake_state();
        while let Some(waiting) = self.transports.get_mut(slot).and_then(|transport| transport.early_dtls.pop()) {
            let verdict = self.hand_to_front(now, slot, waiting.source, &waiting.bytes);
            self.count(slot, verdict);
        }
    }

    /// Gives a DTLS datagram to an association, or lets it wait for the role. With several answers to the offer it is the
    /// one whose peer is known to be there; what comes from an address that nobody knows is for the branch in front until
    /// that has its keys, and then for one that has none.
    pub(super) fn hand_over(&mut self, now: Instant, slot: usize, source: SocketAddr, bytes: &[u8]) -> Verdict {
        let Some(transport) = self.transports.get(slot) else { return Verdict::UnexpectedDtls };
        if transport.branches.is_empty() {
            return self.hand_to_front(now, slot, source, bytes);
        }
        let rank = |plan: &Option<TransportPlan>, path: &Path, keyed: bool| match plan {
            Some(plan) if matches!(plan.keying, Keying::Dtls(_)) => match path.standing(plan, source) {
                Some(Standing::Validated) => 0,
                Some(Standing::Signalled) => 1,
                Some(Standing::Unproven) if path.target() == Some(source) => 2,
                Some(Standing::Unproven) if !keyed => 3,
                Some(Standing::Unproven) => 4,
                None => 5,
            },
            _ => 6,
        };
        let front = rank(&transport.plan, &transport.path, transport.handshake_keys.is_some());
        let others = transport.branches.iter().enumerate();
        let best = others
            .map(|(place, branch)| (rank(&branch.plan, &branch.path, branch.has_handshake_key()), place))
            .filter(|(rank, _)| *rank < front)
            .min();
        match best {
            Some((_, place)) => self.with_branch(slot, place, |shard| shard.hand_to_front(now, slot, source, bytes)),
            None => self.hand_to_front(now, slot, source, bytes),
        }
    }

    fn hand_to_front(&mut self, now: Instant, slot: usize, source: SocketAddr, bytes: &[u8]) -> Verdict {
        let Some(transport) = self.transports.get_mut(slot) else { return Verdict::UnexpectedDtls };
        let Some(plan) = &transport.plan else { return Verdict::NotKeyed };
        match plan.keying {
            Keying::Dtls(_) => {}
            Keying::Pending => return Verdict::NotKeyed,
            Keying::Plain | Keying::Sdes(_) | Keying::PassThrough => return Verdict::UnexpectedDtls,
        }
        let Some(association) = &mut transport.association else { return Verdict::NotKeyed };
        let Some(standing) = transport.path.standing(plan, source) else { return Verdict::RejectedDtls };
        if !association.started {
            let waits = transport.early_dtls.push(now, source, bytes);
            return if waits { Verdict::Queued } else { Verdict::QueueFull };
        }
        if self.handshake_datagrams >= self.config.handshake_queue
            || transport.handshake_waiting >= self.config.handshake_queue_per_transport
        {
            return Verdict::QueueFull;
        }
        transport.handshake_waiting += 1;
        self.handshake_datagrams += 1;
        association.datagrams_in += 1;
        association.client_hellos_in += u64::from(is_client_hello(bytes));
        let handle = association.handle;
        self.handshake.push_back(Input::Datagram { handle, source, standing, bytes: bytes.to_vec() });
        Verdict::Dtls
    }

    pub(super) fn open_plain(&mut self, slot: usize) {
        self.withdraw_keys(slot, Ingress::Plain, KeyingState::Plain);
        if let Some(transport) = self.transports.get_mut(slot).filter(|transport| transport.in_front) {
            transport.egress.set_plain();
        }
    }

    fn open_sealed(&mut self, slot: usize) {
        self.withdraw_keys(slot, Ingress::Sealed, KeyingState::PassThrough);
        if let Some(transport) = self.transports.get_mut(slot).filter(|transport| transport.in_front) {
            transport.egress.set_sealed();
        }
    }

    /// Sets the receiving context aside, for the case that its keys come back.
    fn park(&mut self, slot: usize, keys: &SdesKeys) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        if let (Ingress::Keyed { context, .. }, Some(inbound)) = (transport.ingress, &keys.inbound) {
            transport.ingress = Ingress::Closed;
            let parked = Box::new(Parked { context, keys: inbound.1.clone() });
            if let Some(former) = transport.parked.replace(parked) {
                self.inbounds.remove(former.context);
            }
        }
    }

    /// Leaves the transport without keys.
    pub(super) fn withdraw_keys(&mut self, slot: usize, ingress: Ingress, keying: KeyingState) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        if let Ingress::Keyed { context, .. } = std::mem::replace(&mut transport.ingress, ingress) {
            self.inbounds.remove(context);
        }
        if transport.in_front {
            transport.egress.set_unkeyed();
        }
        transport.keying = keying;
        transport.closed_by_peer = false;
        transport.streams_in.begin_anew(!matches!(ingress, Ingress::Plain | Ingress::Sealed));
        transport.retire_handshake_keys();
        transport.early_dtls.clear();
        if !matches!(ingress, Ingress::Awaiting) {
            transport.early_media.clear();
        }
        self.stop_association(slot);
    }

    fn stop_association(&mut self, slot: usize) {
        if let Some(transport) = self.transports.get_mut(slot)
            && let Some(association) = transport.association.take()
        {
            transport.handshake_waiting = 0;
            self.handshake.push_back(Input::Stop { handle: association.handle });
        }
    }

    /// Returns what secures the transport when keys of both directions are known and one of them is new.
    fn apply_sdes(
        &mut self,
        slot: usize,
        before: Option<&SdesKeys>,
        keys: &SdesKeys,
    ) -> Result<Option<SecuredBy>, KeyError> {
        let Self { transports, inbounds, outbounds, .. } = self;
        let Some(transport) = transports.get_mut(slot) else { return Ok(None) };
        if transport.in_front && before.is_none_or(|before| before.outbound != keys.outbound) {
            let (policy, key) = &keys.outbound;
            transport.egress.rekey(outbounds, policy.clone(), key, &mut transport.streams_out)?;
        }
        let former = before.and_then(|before| before.inbound.as_ref());
        if former != keys.inbound.as_ref() {
            if let Some(former) = former {
                let (policy, keys) = former.clone();
                transport.former_keys = Some(Box::new(PeerKeys { policy, keys }));
            }
            match (&keys.inbound, transport.ingress) {
                (Some((policy, keys)), Ingress::Keyed { context, .. }) => {
                    transport.succession = true;
                    if let Some(inbound) = inbounds.get_mut(context) {
                        inbound.succeed(policy.clone(), keys)?;
                    }
                    transport.ingress = Ingress::Keyed { context, window: policy.replay_window as u64 };
                }
                (Some((policy, keys)), _) => {
                    let parked = transport.parked.take();
                    let shares = |parked: &MasterKey| keys.iter().any(|key| key.key() == parked.key());
                    let context = match parked {
                        Some(parked) if parked.keys.iter().any(shares) => {
                            if let Some(inbound) = inbounds.get_mut(parked.context) {
                                inbound.succeed(policy.clone(), keys)?;
                            }
                            parked.context
                        }
                        parked => {
                            if let Some(parked) = parked {
                                inbounds.remove(parked.context);
                            }
                            inbounds.insert(Inbound::with_kinds(policy.clone(), keys, transport.kinds())?)
                        }
                    };
                    transport.ingress = Ingress::Keyed { context, window: policy.replay_window as u64 };
                    self.released.push_back((slot, transport.serial));
                }
                (None, ingress) => {
                    if let Ingress::Keyed { context, .. } = ingress {
                        inbounds.remove(context);
                    }
                    transport.ingress = Ingress::Awaiting;
                    transport.keying = KeyingState::Pending;
                }
            }
        }
        let outbound = keys.outbound.0.profile;
        Ok(keys.inbound.as_ref().map(|(policy, _)| SecuredBy::Sdes { outbound, inbound: policy.profile }))
    }

    /// The same generation keeps its association; another one is a new handshake, during which the former keys stay.
    fn apply_dtls(&mut self, now: Instant, slot: usize, plan: &DtlsPlan) {
        let current = self.transports.get(slot).and_then(|transport| transport.association.as_ref());
        if current.is_none_or(|association| association.generation != plan.generation) {
            self.stop_association(slot);
            let handle = self.new_handle(slot);
            if let Some(transport) = self.transports.get_mut(slot) {
                transport.keying = KeyingState::Handshake(DtlsState::AwaitingRole);
                transport.association = Some(Box::new(Association {
                    handle,
                    generation: plan.generation,
                    role_known: None,
                    started: false,
                    remote: None,
                    datagrams_in: 0,
                    client_hellos_in: 0,
                    datagrams_out: 0,
                }));
                transport.early_dtls.clear();
                if matches!(transport.ingress, Ingress::Closed) {
                    transport.ingress = Ingress::Awaiting;
                }
            }
        }
        self.advance_handshake(now, slot);
    }

    fn install(&mut self, now: Instant, slot: usize, keyed: &Keyed) -> Result<(), KeyError> {
        let policy = Policy::new(keyed.profile);
        let Self { transports, inbounds, outbounds, released, .. } = self;
        let Some(transport) = transports.get_mut(slot) else { return Ok(()) };
        let keys: &[MasterKey] = std::slice::from_ref(&keyed.inbound);
        let known = match transport.ingress {
            Ingress::Keyed { context, .. } => Some(context),
            _ => None,
        };
        let context = match known {
            // The former keys stay valid until the first packet under these (RFC 8842 §5.5).
            Some(context) => {
                transport.succession = true;
                if let Some(inbound) = inbounds.get_mut(context) {
                    // A fresh association counts from 0; some peers carry their counter over.
                    inbound.succeed(Policy { roc_on_rekey: RocPolicy::Probe, ..policy.clone() }, keys)?;
                }
                context
            }
            None => inbounds.insert(Inbound::with_kinds(policy.clone(), keys, transport.kinds())?),
        };
        transport.ingress = Ingress::Keyed { context, window: policy.replay_window as u64 };
        transport.retire_handshake_keys();
        let (own, peers) = (keyed.outbound.clone(), keyed.inbound.clone());
        transport.handshake_keys = Some(Box::new(HandshakeKeys { policy: policy.clone(), own, peers }));
        if transport.in_front {
            transport.egress.set_key(outbounds, policy, &keyed.outbound, &mut transport.streams_out)?;
        }
        transport.closed_by_peer = false;
        released.push_back((slot, transport.serial));
        // The handshake has proved who is there.
        if transport.path.authenticated(now, keyed.remote, true, true) {
            self.say(slot, TransportEvent::Latched { remote: keyed.remote });
        }
        Ok(())
    }

    fn secured(&mut self, slot: usize, by: SecuredBy) {
        if let Some(transport) = self.transports.get_mut(slot) {
            transport.keying = KeyingState::Secured(by.clone());
            self.say(slot, TransportEvent::Secured(by));
        }
    }

    pub(super) fn fail(&mut self, slot: usize, failure: TransportFailure) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        if transport.in_front {
            transport.egress.set_unkeyed();
        }
        transport.retire_handshake_keys();
        if let Ingress::Keyed { context, .. } = std::mem::replace(&mut transport.ingress, Ingress::Closed) {
            self.inbounds.remove(context);
        }
        transport.keying = KeyingState::Failed(failure);
        drop_waiting(transport);
        self.say(slot, TransportEvent::Failed(failure));
    }
}

/// A handshake record (content type 22, RFC 6347 §4.1) whose message is a ClientHello (type 1); it is never encrypted.
fn is_client_hello(bytes: &[u8]) -> bool {
    const RECORD_HEADER: usize = 13;
    bytes.first() == Some(&22) && bytes.get(RECORD_HEADER) == Some(&1)
}

fn drop_waiting(transport: &mut Transport) {
    transport.early_dtls.clear();
    transport.early_media.clear();
}
