//! The only place from which a datagram leaves.
//!
//! The right to send from a port is private to this file, and of a secure leg it stands beside the name of the SRTP
//! context. There are five ways out: [`depart`], which encrypts on a secure leg; a STUN response; a DTLS flight;
//! [`Egress::relay`], which is open only on a leg that carries nothing but datagrams of another protocol; and
//! [`Egress::pierce`], which sends nothing. The second and the third look at the bytes themselves, so that nothing else can
//! pass for them.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use control::{MasterKey, Policy, RocPolicy, Verdict};
use datagram::{BATCH_CAPACITY, Datagram, PortId, SendRight};
use rtp::Class;
use srtp::{ContextId, Contexts, Job, KeyError, Kind, Kinds, Outbound, Rejection};

use crate::streams::StreamsOut;

/// Contexts set aside: more than our offer has keys and there are branches with keys of their own. The one that was used
/// longest ago goes first: a handshake's former key, or one from before an offer with new keys.
const MAX_SHELVED: usize = 24;

/// The sending contexts of a shard.
#[derive(Default)]
pub(crate) struct Outbounds {
    contexts: Contexts<Outbound>,
}

impl Outbounds {
    /// Whether that context sends under this key.
    fn has_secret(&self, context: ContextId, key: &MasterKey) -> bool {
        self.contexts.get(context).is_some_and(|outbound| outbound.has_secret(key))
    }
}

/// The way out of one transport. What every packet needs comes first.
#[repr(C)]
pub(crate) struct Egress {
    right: SendRight,
    protection: Protection,
    /// The last context. It stays when the leg stops being keyed: should the same key come back, its indices must not begin
    /// anew.
    context: Option<ContextId>,
    /// Contexts of keys that other branches of the same offer send under, the one used last at the end.
    shelf: Vec<Shelved>,
    /// The offer has several answers: no context is thrown away, since another branch may send under its key.
    forked: bool,
    /// What the port carries.
    kinds: Kinds,
}

/// A context whose branch is not the one that media goes to. Should its key come back, with this branch or another one
/// that chose the same suite of our offer, its indices must not begin anew.
struct Shelved {
    context: ContextId,
    streams: StreamsOut,
}

#[derive(Clone, Copy)]
enum Protection {
    /// Media leaves as it is.
    Plain,
    /// No RTP leaves; datagrams of another protocol do, as they are.
    Datagrams,
    /// What leaves is the parties' own ciphertext.
    Sealed,
    /// Media may leave only encrypted, and there is no key.
    Unkeyed,
    /// Media leaves encrypted.
    Keyed(ContextId),
}

impl Egress {
    /// Bytes that every packet needs.
    pub(crate) const HEAD: usize = std::mem::offset_of!(Self, context);

    /// No media leaves until a plan has said how.
    pub(crate) fn new(right: SendRight) -> Self {
        Self {
            right,
            protection: Protection::Unkeyed,
            context: None,
            shelf: Vec::new(),
            forked: false,
            kinds: Kinds::Both,
        }
    }

    /// True when media can leave.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.protection, Protection::Plain | Protection::Sealed | Protection::Keyed(_))
    }

    /// Asks for the memory that encrypting a packet needs, step by step from 0 to 2: each wants what the one before it
    /// has asked for.
    pub(crate) fn prefetch(&self, outbounds: &Outbounds, step: usize) {
        let Protection::Keyed(context) = self.protection else { return };
        match step {
            0 => outbounds.contexts.prefetch(context),
            _ => outbounds.contexts.get(context).into_iter().for_each(|outbound| outbound.prefetch(step - 1)),
        }
    }

    /// True when media leaves encrypted.
    pub(crate) fn is_keyed(&self) -> bool {
        matches!(self.protection, Protection::Keyed(_))
    }

    /// The leg was negotiated without security.
    pub(crate) fn set_plain(&mut self) {
        self.protection = Protection::Plain;
    }

    /// The leg was negotiated for another protocol than RTP.
    pub(crate) fn set_datagrams(&mut self) {
        self.protection = Protection::Datagrams;
    }

    /// The parties key each other: nothing leaves that was not sealed by one of them.
    pub(crate) fn set_sealed(&mut self) {
        self.protection = Protection::Sealed;
    }

    /// The leg is secure and has no key (any more).
    pub(crate) fn set_unkeyed(&mut self) {
        self.protection = Protection::Unkeyed;
    }

    /// What the port carries from here on.
    pub(crate) fn set_kinds(&mut self, outbounds: &mut Outbounds, kinds: Kinds) {
        if self.kinds == kinds {
            return;
        }
        self.kinds = kinds;
        let shelved = self.shelf.iter().map(|shelved| shelved.context);
        for id in self.context.into_iter().chain(shelved) {
            if let Some(outbound) = outbounds.contexts.get_mut(id) {
                outbound.set_kinds(kinds);
            }
        }
    }

    /// A key for a new context: nothing of a former one goes on, unless it had this very key. Where a context is made,
    /// the rollover counters of `streams` begin at 0.
    pub(crate) fn set_key(
        &mut self,
        outbounds: &mut Outbounds,
        policy: Policy,
        key: &MasterKey,
        streams: &mut StreamsOut,
    ) -> Result<(), KeyError> {
        if let Some(id) = self.context
            && let Some(outbound) = outbounds.contexts.get_mut(id).filter(|outbound| outbound.has_secret(key))
        {
            outbound.rekey(policy, key)?;
            self.protection = Protection::Keyed(id);
            return Ok(());
        }
        if self.forked {
            self.shelve(outbounds, streams.clone());
        }
        let shelved = self.shelf.iter().position(|shelved| outbounds.has_secret(shelved.context, key));
        let context = match shelved.map(|place| self.shelf.remove(place)) {
            Some(Shelved { context, streams: own }) => {
                if let Some(outbound) = outbounds.contexts.get_mut(context) {
                    outbound.rekey(policy, key)?;
                }
                *streams = own;
                context
            }
            None => {
                let context = outbounds.contexts.insert(Outbound::with_kinds(policy, key, self.kinds)?);
                streams.restart();
                context
            }
        };
        if let Some(former) = self.context.replace(context) {
            outbounds.contexts.remove(former);
        }
        self.protection = Protection::Keyed(context);
        Ok(())
    }

    /// Another key in the same context, as [`Outbound::rekey`] does it; a first one where there is none. Where the offer
    /// has several answers the former key keeps its context.
    pub(crate) fn rekey(
        &mut self,
        outbounds: &mut Outbounds,
        policy: Policy,
        key: &MasterKey,
        streams: &mut StreamsOut,
    ) -> Result<(), KeyError> {
        if let Protection::Keyed(id) = self.protection
            && !self.forked
            && !self.shelf.iter().any(|shelved| outbounds.has_secret(shelved.context, key))
            && let Some(outbound) = outbounds.contexts.get_mut(id)
        {
            let begins = policy.roc_on_rekey == RocPolicy::Reset && !outbound.has_secret(key);
            outbound.rekey(policy, key)?;
            if begins {
                streams.restart();
            }
            return Ok(());
        }
        self.set_key(outbounds, policy, key, streams)
    }

    /// Says whether the offer has several answers. What was set aside stays when only one is left: that one may yet
    /// choose the suite, and with it the key, of another.
    pub(crate) fn set_forked(&mut self, forked: bool) {
        self.forked = forked;
    }

    /// Every context that this transport has sent under or may.
    fn contexts(&self) -> impl Iterator<Item = ContextId> {
        self.context.into_iter().chain(self.shelf.iter().map(|shelved| shelved.context))
    }

    /// Media goes to another branch: the context stays aside with its streams, and there is no key until one is set.
    pub(crate) fn leave_branch(&mut self, outbounds: &mut Outbounds, streams: &mut StreamsOut) {
        self.shelve(outbounds, std::mem::take(streams));
        self.protection = Protection::Unkeyed;
    }

    fn shelve(&mut self, outbounds: &mut Outbounds, streams: StreamsOut) {
        let Some(context) = self.context.take() else { return };
        if self.shelf.len() >= MAX_SHELVED {
            outbounds.contexts.remove(self.shelf.remove(0).context);
        }
        self.shelf.push(Shelved { context, streams });
    }

    /// True once, when the key has protected 90 % of what it may.
    pub(crate) fn take_lifetime_warning(&self, outbounds: &mut Outbounds) -> bool {
        let Protection::Keyed(context) = self.protection else { return false };
        outbounds.contexts.get_mut(context).is_some_and(Outbound::take_lifetime_warning)
    }

    /// Gives the port back.
    pub(crate) fn close(self, outbounds: &mut Outbounds) -> PortId {
        for shelved in &self.shelf {
            outbounds.contexts.remove(shelved.context);
        }
        if let Some(context) = self.context {
            outbounds.contexts.remove(context);
        }
        self.right.port()
    }

    /// Marks a STUN response to leave. False, and nothing leaves, when the bytes are no STUN message.
    pub(crate) fn respond_stun(&self, response: &mut Datagram, remote: SocketAddr) -> bool {
        self.send_class(Class::Stun, response, remote)
    }

    /// Marks a datagram of a DTLS flight to leave. False, and nothing leaves, when the bytes are no DTLS record.
    pub(crate) fn send_flight(&self, flight: &mut Datagram, remote: SocketAddr) -> bool {
        self.send_class(Class::Dtls, flight, remote)
    }

    /// Marks an empty datagram to leave, for a NAT on the way.
    pub(crate) fn pierce(&self, datagram: &mut Datagram, remote: SocketAddr) {
        datagram.fill(&[]);
        datagram.transmit(&self.right, remote);
    }

    /// Marks a datagram of another protocol to leave as it is. False, and nothing leaves, on a leg for RTP, secure or not.
    pub(crate) fn relay(&self, datagram: &mut Datagram, remote: SocketAddr) -> bool {
        let open = matches!(self.protection, Protection::Datagrams);
        if open {
            datagram.transmit(&self.right, remote);
        }
        open
    }

    fn send_class(&self, class: Class, datagram: &mut Datagram, remote: SocketAddr) -> bool {
        let fits = rtp::classify(datagram.bytes()) == class;
        if fits {
            datagram.transmit(&self.right, remote);
        }
        fits
    }
}

/// What is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// RTP or RTCP in the clear.
    Clear(Kind),
    /// What a party has sealed for the other one: we hold no keys of it. `None`: DTLS or ZRTP.
    Sealed(Option<Kind>),
}

/// What one transport of a call has used of a key, the others with the same key use no more. A key belongs to a section:
/// when RTP and RTCP come together or part (RFC 5761), or a bundle does (RFC 9143), another port goes on with it.
pub(crate) fn share_usage<'a>(outbounds: &mut Outbounds, egresses: impl Iterator<Item = &'a Egress>) {
    let contexts: Vec<ContextId> = egresses.flat_map(Egress::contexts).collect();
    for &from in &contexts {
        let Some(source) = outbounds.contexts.get(from) else { continue };
        let rtcp_index = source.rtcp_index();
        let rtp: Vec<(u32, u64)> = source.highest_indices().collect();
        let shares = |to: &ContextId| {
            *to != from && outbounds.contexts.get(*to).is_some_and(|other| other.shares_secret_with(source))
        };
        let sharing: Vec<ContextId> = contexts.iter().copied().filter(shares).collect();
        for to in sharing {
            let Some(target) = outbounds.contexts.get_mut(to) else { continue };
            target.advance_rtcp_index(rtcp_index);
            for &(ssrc, index) in &rtp {
                target.forgo_rtp_index(ssrc, index);
            }
        }
    }
}

/// One packet on its way out.
pub(crate) struct Departure<'a> {
    pub(crate) egress: &'a Egress,
    pub(crate) remote: SocketAddr,
    pub(crate) content: Content,
    /// Egress index of RTP; its lower 16 bits are the header's sequence number.
    pub(crate) index: u64,
    pub(crate) datagram: &'a mut Datagram,
    /// How it ends.
    pub(crate) verdict: &'a mut Verdict,
}

/// Encrypts what leaves on secure legs, all in one go, and marks everything that may leave: what is in the clear leaves on
/// plain and keyed legs, what the parties have sealed on legs that they key themselves, and neither on the other. At
/// most a batch at a time; what is beyond that is not sent.
pub(crate) fn depart(outbounds: &mut Outbounds, departures: &mut [Departure<'_>]) {
    let mut jobs: ArrayVec<Job<'_>, BATCH_CAPACITY> = ArrayVec::new();
    for departure in departures.iter_mut() {
        *departure.verdict = Verdict::EgressNotReady;
        if let (Protection::Keyed(context), Content::Clear(kind)) = (departure.egress.protection, departure.content)
            && !jobs.is_full()
        {
            let len = departure.datagram.len();
            jobs.push(Job {
                context,
                kind,
                buffer: departure.datagram.slot_mut(),
                len,
                index: departure.index,
                outcome: Ok(()),
            });
        }
    }
    srtp::protect_batch(&mut outbounds.contexts, &mut jobs);
    let outcomes: ArrayVec<Result<usize, Rejection>, BATCH_CAPACITY> =
        jobs.iter().map(|job| job.outcome.map(|()| job.len)).collect();
    drop(jobs);
    let mut outcomes = outcomes.into_iter();
    for departure in departures.iter_mut() {
        let outcome = match (departure.egress.protection, departure.content) {
            (Protection::Plain, Content::Clear(_)) | (Protection::Sealed, Content::Sealed(_)) => {
                Ok(departure.datagram.len())
            }
            (Protection::Keyed(_), Content::Clear(_)) => match outcomes.next() {
                Some(outcome) => outcome,
                None => continue,
            },
            (Protection::Unkeyed | Protection::Datagrams, _)
            | (Protection::Plain | Protection::Keyed(_), Content::Sealed(_))
            | (Protection::Sealed, Content::Clear(_)) => continue,
        };
        *departure.verdict = match outcome {
            Ok(len) => {
                departure.datagram.set_len(len);
                departure.datagram.transmit(&departure.egress.right, departure.remote);
                Verdict::Forwarded
            }
            Err(rejection) => outgoing_verdict(rejection),
        };
    }
}

fn outgoing_verdict(rejection: Rejection) -> Verdict {
    match rejection {
        Rejection::TooShort | Rejection::Malformed => Verdict::Malformed,
        Rejection::TooManyStreams => Verdict::TooManyStreams,
        Rejection::KeyExhausted => Verdict::KeyExhausted,
        Rejection::TooLong => Verdict::TooLong,
        Rejection::IndexReused | Rejection::Replayed | Rejection::TooOld => Verdict::IndexReused,
        Rejection::BadTag | Rejection::UnknownMki | Rejection::NotEncrypted | Rejection::NoContext => {
            Verdict::EgressNotReady
        }
    }
}
