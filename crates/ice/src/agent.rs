//! The ICE-lite agent of one transport (RFC 8445, RFC 7675).

mod check;
mod generation;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use check::{Check, Request};
use generation::{Effect, Generation};

use crate::Credentials;
use crate::stun::Message;

/// What a [`LiteAgent`] is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct LiteConfig {
    /// Ours.
    pub local: Credentials,
    /// The peer's; `None` until its SDP has come.
    pub remote: Option<Credentials>,
    /// The peer is lite as well: nobody checks.
    pub remote_lite: bool,
    /// Where the peer's SDP says that media goes. Used only when the peer is lite.
    pub signalled: Option<SocketAddr>,
}

/// The ICE-lite agent of one transport. Its contract is on the crate page.
///
/// ```text
///              valid check             USE-CANDIDATE              30 s of silence
///   waiting ───────────────► validated ─────────────► selected ──────────────────► consent lost
///                                                        ▲                              │
///                                                        └───────── valid check ────────┘
/// ```
pub struct LiteAgent {
    current: Generation,
    /// The credentials before an ICE restart and the pairs that they validated. Sends until the current generation
    /// selects a pair; receives a little longer.
    former: Option<Generation>,
    /// When `former` goes, once the current generation has a pair.
    former_until: Option<Instant>,
    remote_lite: bool,
    signalled: Option<SocketAddr>,
    /// Peer is lite: where it was last heard.
    latched: Option<SocketAddr>,
    /// The selected pair's consent has expired.
    consent_lost: bool,
    /// What the last [`IceEvent::Nominated`] said.
    announced: Option<SocketAddr>,
    events: VecDeque<IceEvent>,
}

/// What became of a datagram, and what to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: StunVerdict,
    /// Length of the answer in `response`, to be sent to where the request came from. `None`: no answer.
    pub response_len: Option<usize>,
}

/// How a STUN message ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StunVerdict {
    /// A valid check, answered with success.
    Answered,
    /// A Binding indication (keepalive). It is not authenticated and changes nothing.
    Keepalive,
    /// A response or another method: no use.
    Ignored,
    /// Not a whole STUN message, or its FINGERPRINT is missing or wrong.
    Malformed,
    /// USERNAME or MESSAGE-INTEGRITY is missing, or PRIORITY is malformed (400).
    Incomplete,
    /// USERNAME does not begin with our ufrag (401).
    UnknownUser,
    /// MESSAGE-INTEGRITY does not verify (401).
    BadIntegrity,
    /// An attribute that must be understood is not (420).
    UnknownAttribute,
    /// The peer claims to be controlled (487).
    RoleConflict,
}

impl StunVerdict {
    /// True for messages that came to their end as intended.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Answered | Self::Keepalive)
    }
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IceEvent {
    /// A first valid check came from this address.
    Validated(SocketAddr),
    /// Media goes to this address from here on.
    Nominated(SocketAddr),
    /// 30 s without a check or authenticated packet: sending must stop.
    ConsentLost,
    /// A valid check has come after the loss.
    ConsentRegained,
}

impl LiteAgent {
    /// Validated pairs remembered for each set of credentials.
    pub const MAX_PAIRS: usize = generation::MAX_PAIRS;
    /// No response is longer.
    pub const MAX_RESPONSE: usize = check::MAX_RESPONSE;
    /// Consent lasts this long after the last valid check or authenticated packet (RFC 7675 §5.1).
    pub const CONSENT: Duration = Duration::from_secs(30);
    /// Packets from pairs of the former credentials are taken this long after the new ones have a pair: those that are
    /// still on their way.
    pub const OVERLAP: Duration = Duration::from_secs(5);

    const MAX_EVENTS: usize = 64;

    /// A new agent. A lite peer's signalled address is [announced](IceEvent::Nominated) at once.
    pub fn new(config: LiteConfig) -> Self {
        let mut agent = Self {
            current: Generation::new(config.local, config.remote),
            former: None,
            former_until: None,
            remote_lite: config.remote_lite,
            signalled: config.signalled,
            latched: None,
            consent_lost: false,
            announced: None,
            events: VecDeque::with_capacity(Self::MAX_EVENTS),
        };
        agent.announce();
        agent
    }

    /// An agent for one more answer to the same offer: ours are the same credentials, so that checks of its author may have
    /// come before the answer. They count; what the first peer's checks have brought about does not.
    #[must_use]
    pub fn fork(&self, now: Instant, config: LiteConfig) -> Self {
        let mut fork = Self::new(LiteConfig { remote: None, ..config.clone() });
        if config.local == self.current.local {
            fork.current = self.current.fork(now, config.remote);
        } else {
            fork.current.set_remote(now, config.remote);
        }
        fork.announce();
        fork
    }

    /// Deals with a datagram that RFC 7983 calls STUN. The answer, if any, is written to `response`, which should have
    /// room for [`LiteAgent::MAX_RESPONSE`] bytes; in less room an answer that does not fit is left out.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        source: SocketAddr,
        request: &[u8],
        response: &mut [u8],
    ) -> Outcome {
        self.handle_timeout(now);
        let Some(message) = Message::decode(request) else {
            return Outcome { verdict: StunVerdict::Malformed, response_len: None };
        };
        let request = match Request::of(&message) {
            Ok(request) => request,
            Err(verdict) => return Outcome { verdict, response_len: None },
        };
        let former = self.former.as_ref().map(|former| &former.local);
        match request.authenticate(&self.current.local, former).and_then(|user| request.check(user)) {
            Ok(check) => {
                let password = if check.former { former } else { None }.unwrap_or(&self.current.local);
                let response_len = request.write_success(source, &password.pwd, response);
                self.apply_check(now, source, &check);
                Outcome { verdict: StunVerdict::Answered, response_len }
            }
            Err(refusal) => {
                let response_len = request.write_refusal(&refusal, response);
                Outcome { verdict: refusal.verdict(), response_len }
            }
        }
    }

    /// The peer's SDP has come or changed, without new credentials of ours. Pairs whose checks named another ufrag of the
    /// peer lose their effect; if media already flowed under other credentials of the peer, the selected pair stays
    /// until the new ones nominate.
    pub fn set_remote(
        &mut self,
        now: Instant,
        remote: Option<Credentials>,
        remote_lite: bool,
        signalled: Option<SocketAddr>,
    ) {
        self.handle_timeout(now);
        if self.signalled != signalled {
            // Where the peer says that it is counts for more than where its packets came from before.
            self.latched = None;
        }
        self.remote_lite = remote_lite;
        self.signalled = signalled;
        if self.current.set_remote(now, remote) {
            self.consent_lost = false;
        }
        self.settle(now);
    }

    /// New credentials: ours, the peer's or both. With new ones of ours, what the old ones validated stays in use until a
    /// pair is nominated under the new. Our former credentials once more take the restart back. Without new ones of ours
    /// it is [`LiteAgent::set_remote`].
    pub fn restart(&mut self, now: Instant, config: LiteConfig) {
        self.handle_timeout(now);
        if config.local != self.current.local {
            match self.former.take() {
                Some(former) if former.local == config.local => self.current = former,
                older => {
                    let superseded = std::mem::replace(&mut self.current, Generation::new(config.local, None));
                    // A restart that never got a pair does not displace the generation that media flows on.
                    let keep_older = superseded.selected().is_none() && older.is_some();
                    self.former = if keep_older { older } else { Some(superseded) };
                }
            }
            self.former_until = None;
        }
        self.set_remote(now, config.remote, config.remote_lite, config.signalled);
    }

    /// Where to send. `None`: nowhere, since no pair is nominated or consent is lost.
    pub fn selected(&self) -> Option<SocketAddr> {
        if self.remote_lite {
            return self.latched.or(self.signalled);
        }
        if self.consent_lost {
            return None;
        }
        self.active().selected()
    }

    /// True while the last pair's consent is lost.
    pub fn is_consent_lost(&self) -> bool {
        self.consent_lost && !self.remote_lite
    }

    /// True when a valid check has come from `source`, from a peer that is not known to be another than the one that
    /// was signalled; of a lite peer, when a packet from there has authenticated.
    pub fn is_validated(&self, source: SocketAddr) -> bool {
        self.current.is_validated(source)
            || self.former.as_ref().is_some_and(|former| former.is_validated(source))
            || self.remote_lite && self.latched == Some(source)
    }

    /// True when media may be taken from `source`, to be authenticated all the same: from validated and selected pairs;
    /// of a lite peer, from anywhere.
    pub fn accepts(&self, source: SocketAddr) -> bool {
        self.remote_lite || self.active().selected() == Some(source) || self.is_validated(source)
    }

    /// A packet from `source` has authenticated: it renews consent on a validated pair (never regains it), and moves
    /// the latch of a lite peer.
    pub fn authenticated_packet(&mut self, now: Instant, source: SocketAddr) {
        if self.remote_lite {
            if self.latched != Some(source) {
                self.latched = Some(source);
                self.announce();
            }
            return;
        }
        if !self.current.renew(now, source)
            && let Some(former) = &mut self.former
        {
            former.renew(now, source);
        }
    }

    /// Lets consent expire and former credentials go.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.former_until.is_some_and(|until| until <= now) {
            self.former = None;
            self.former_until = None;
        }
        if !self.remote_lite
            && !self.consent_lost
            && self.active().has_expired(now)
            && !self.active_mut().fall_back(now)
        {
            self.consent_lost = true;
            self.push(IceEvent::ConsentLost);
        }
        self.announce();
    }

    /// When [`LiteAgent::handle_timeout`] wants to be called. It may come later each time it is asked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let consent = if self.remote_lite || self.consent_lost { None } else { self.active().expires_at() };
        [consent, self.former_until].into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<IceEvent> {
        self.events.pop_front()
    }

    fn apply_check(&mut self, now: Instant, source: SocketAddr, check: &Check) {
        let generation = if check.former { self.former.as_mut() } else { Some(&mut self.current) };
        let Some(generation) = generation else { return };
        match generation.apply(now, source, check) {
            Effect::None => return,
            Effect::Known => {}
            Effect::Validated => self.push(IceEvent::Validated(source)),
        }
        if self.remote_lite && check.use_candidate {
            self.latched = Some(source); // a peer called lite that nominates all the same
        }
        // A check under new credentials does not bring a pair of the former ones back.
        let former_is_active = self.former.is_some() && self.current.selected().is_none();
        if self.consent_lost && check.former == former_is_active {
            self.active_mut().regain(now, source);
        }
        self.settle(now);
    }

    /// Draws the conclusions of a changed selection.
    fn settle(&mut self, now: Instant) {
        if self.consent_lost && self.active().selected().is_some() && !self.active().has_expired(now) {
            self.consent_lost = false;
            self.push(IceEvent::ConsentRegained);
        }
        if self.current.selected().is_some() && self.former.is_some() && self.former_until.is_none() {
            self.former_until = now.checked_add(Self::OVERLAP);
        }
        self.announce();
    }

    fn announce(&mut self) {
        if let Some(selected) = self.selected()
            && self.announced != Some(selected)
        {
            self.announced = Some(selected);
            self.push(IceEvent::Nominated(selected));
        }
    }

    /// Events nobody polls do not pile up: beyond the bound the oldest goes.
    fn push(&mut self, event: IceEvent) {
        if self.events.len() >= Self::MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The generation that media is sent under.
    fn active(&self) -> &Generation {
        match &self.former {
            Some(former) if self.current.selected().is_none() => former,
            _ => &self.current,
        }
    }

    fn active_mut(&mut self) -> &mut Generation {
        match &mut self.former {
            Some(former) if self.current.selected().is_none() => former,
            _ => &mut self.current,
        }
    }
}
