//! The negotiated state of a call: legs, their sections and transports, and the dialogs between legs. It is cloned for
//! each offer, so that one that fails leaves nothing behind.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use control::{
    Credentials, DtlsRole, EchoPlan, FlowId, Latching, MAX_BRANCHES, MasterKey, NatTraversal, Profile, SdesKeys,
    TransportId,
};
use srtp::sdes::CryptoAttribute;

use crate::carried::Carried;
use crate::layout::Layout;
use crate::peer::{PeerDescription, PeerSection};
use crate::treatments::Treatments;
use crate::{DtlsOption, MediaProfile, OpportunisticForm, Options};

/// Everything that offers and answers of one call have brought about.
#[derive(Clone, Default)]
pub(crate) struct Negotiated {
    /// A leg keeps its place for as long as the call lives.
    pub(crate) legs: Vec<Leg>,
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) transports: BTreeMap<TransportId, Transport>,
    pub(crate) next_transport: u16,
    /// A flow is named by what it feeds: egress leg and section.
    pub(crate) flows: Vec<(usize, usize)>,
    /// Counts answers: the latest one decides between branches.
    pub(crate) answers: u64,
    pub(crate) traffic_class: Option<u8>,
    pub(crate) treatments: Treatments,
}

/// A bound port.
#[derive(Clone, Copy)]
pub(crate) struct Transport {
    pub(crate) leg: usize,
    pub(crate) local: SocketAddr,
}

/// One side of a call.
#[derive(Clone)]
pub(crate) struct Leg {
    /// Empty until it has answered.
    pub(crate) tag: String,
    /// Names the answer that stands in front, among those to the same offer.
    pub(crate) branch: u16,
    /// The other answers: somebody downstream has forked our offer.
    pub(crate) forks: Vec<Fork>,
    pub(crate) via_branch: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) created: SystemTime,
    /// Known by its tag before it has described anything: its INVITE had no offer, and those whom it calls offer.
    pub(crate) asked_for_offers: bool,
    /// A branch that was deleted.
    pub(crate) gone: bool,
    /// Index into the configured interfaces.
    pub(crate) interface: usize,
    /// What descriptions towards this leg say.
    pub(crate) public: IpAddr,
    pub(crate) credentials: Option<Credentials>,
    /// How this leg's peer may be learnt.
    pub(crate) latching: Latching,
    pub(crate) nat: NatTraversal,
    pub(crate) latch_generation: u32,
    /// Digest of the description that the latch was opened for.
    pub(crate) received: Option<u64>,
    pub(crate) dtls: Option<DtlsOption>,
    pub(crate) origin: Option<LocalOrigin>,
    pub(crate) sections: Vec<Section>,
    /// Which m= line of its descriptions is which section.
    pub(crate) layout: Layout,
    /// It hears others and says nothing.
    pub(crate) subscription: Option<Subscription>,
    /// It hears itself.
    pub(crate) echo: Option<EchoPlan>,
}

/// What a subscriber hears.
#[derive(Clone)]
pub(crate) struct Subscription {
    /// For each of its sections: leg and section that it is a copy of.
    pub(crate) sources: Vec<(usize, usize)>,
    pub(crate) options: Options,
}

/// An answer to the leg's offer that another one has taken the place of: an early dialog, or one that was lost.
#[derive(Clone)]
pub(crate) struct Fork {
    pub(crate) tag: String,
    pub(crate) branch: u16,
    pub(crate) latching: Latching,
    pub(crate) latch_generation: u32,
    pub(crate) received: Option<u64>,
    /// By section.
    pub(crate) agreed: Vec<Option<Agreed>>,
}

/// `o=` and the text last sent under it.
#[derive(Clone)]
pub(crate) struct LocalOrigin {
    pub(crate) origin: sdp::Origin,
    pub(crate) version: u64,
    /// Digest of the text with version 0.
    pub(crate) digest: u64,
}

/// One media section of a leg.
#[derive(Clone, Default)]
pub(crate) struct Section {
    pub(crate) ports: Option<Ports>,
    /// Our own key for each suite, made once.
    pub(crate) keys: BTreeMap<Profile, MasterKey>,
    pub(crate) tls_id: Option<String>,
    pub(crate) generation: u32,
    /// What we offered last.
    pub(crate) proposal: Option<Proposal>,
    /// `None`: never agreed, or rejected.
    pub(crate) agreed: Option<Agreed>,
    /// The profile of its RTP, agreed last: what it speaks again after a fax.
    pub(crate) profile: Option<MediaProfile>,
}

/// The transports of a section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) rtp: TransportId,
    pub(crate) rtcp: Option<TransportId>,
}

/// What we offered.
#[derive(Clone)]
pub(crate) struct Proposal {
    pub(crate) carried: Carried,
    /// The peer may leave the keys away.
    pub(crate) opportunistic: Option<OpportunisticForm>,
    pub(crate) keying: ProposedKeying,
    pub(crate) mux: MuxOffer,
    pub(crate) ice: bool,
    /// Section whose transports this one uses if the peer accepts the bundle.
    pub(crate) carrier: usize,
    pub(crate) mid: Option<String>,
}

#[derive(Clone)]
pub(crate) enum ProposedKeying {
    Plain,
    Sdes(Vec<CryptoAttribute>),
    Dtls,
    /// The other party's own words go through.
    PassThrough,
    /// Both of them, of which the peer may take one: only where it is free to take none (RFC 8643 §3.1).
    Either(Vec<CryptoAttribute>),
}

impl ProposedKeying {
    /// Our lines of SDES.
    pub(crate) fn crypto(&self) -> &[CryptoAttribute] {
        match self {
            Self::Sdes(lines) | Self::Either(lines) => lines,
            Self::Plain | Self::Dtls | Self::PassThrough => &[],
        }
    }

    /// Our certificate is offered.
    pub(crate) fn offers_dtls(&self) -> bool {
        matches!(self, Self::Dtls | Self::Either(_))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MuxOffer {
    No,
    WithFallback,
    Required,
}

/// What holds after an answer.
#[derive(Clone)]
pub(crate) struct Agreed {
    pub(crate) carried: Carried,
    /// How the security was offered, where it was not insisted on.
    pub(crate) opportunistic: Option<OpportunisticForm>,
    pub(crate) keying: AgreedKeying,
    pub(crate) mux: bool,
    /// Ours.
    pub(crate) ice: Option<Credentials>,
    /// Section whose transports this one uses.
    pub(crate) carrier: usize,
    pub(crate) peer: PeerSection,
}

#[derive(Clone)]
pub(crate) enum AgreedKeying {
    Plain,
    Sdes {
        tag: u32,
        keys: Box<SdesKeys>,
    },
    Dtls {
        role: DtlsRole,
        generation: u32,
    },
    /// The parties key each other, and we hold no keys.
    PassThrough,
}

impl Agreed {
    /// SRTP under the name of a plain profile (RFC 8643).
    pub(crate) fn is_osrtp(&self) -> bool {
        self.keying.is_secure() && self.carried.profile().is_some_and(|profile| !profile.is_secure())
    }

    /// RTCP has a port of its own.
    pub(crate) fn has_rtcp_port(&self) -> bool {
        !self.mux && self.carried.profile().is_some()
    }
}

impl AgreedKeying {
    pub(crate) fn is_secure(&self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// Two legs that talk with each other, or twice the same that talks with itself.
#[derive(Clone)]
pub(crate) struct Dialog {
    pub(crate) legs: [usize; 2],
    pub(crate) exchange: Option<Exchange>,
    /// Number of its latest answer.
    pub(crate) answered: Option<u64>,
}

impl Dialog {
    /// With whom this leg of it talks.
    pub(crate) fn other(&self, leg: usize) -> usize {
        let [one, other] = self.legs;
        if one == leg { other } else { one }
    }
}

/// The latest offer.
#[derive(Clone)]
pub(crate) struct Exchange {
    /// Index of the leg.
    pub(crate) offerer: usize,
    pub(crate) offer: PeerDescription,
    /// Of its text.
    pub(crate) digest: u64,
    pub(crate) at: SystemTime,
    /// It was answered, or refused.
    pub(crate) answered: bool,
    /// For each section of the offerer, the one that carries it.
    pub(crate) carriers: Vec<usize>,
    pub(crate) options: Options,
}

/// Tells one description from another without keeping its keys (FNV-1a: memos carry it, so it is the same in every
/// version). It guards nothing.
pub(crate) fn digest(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl Negotiated {
    pub(crate) fn leg_by_tag(&self, tag: &str) -> Option<usize> {
        let named = |leg: &Leg| !leg.gone && leg.tag == tag;
        let forked = |leg: &Leg| !leg.gone && leg.forks.iter().any(|fork| fork.tag == tag);
        if tag.is_empty() {
            return None;
        }
        self.legs.iter().position(named).or_else(|| self.legs.iter().position(forked))
    }

    pub(crate) fn is_live(&self, dialog: &Dialog) -> bool {
        dialog.legs.iter().all(|&leg| self.legs.get(leg).is_some_and(|leg| !leg.gone))
    }

    /// The dialogs of a leg that still live, with their index.
    pub(crate) fn dialogs_of(&self, leg: usize) -> impl Iterator<Item = (usize, &Dialog)> {
        self.dialogs.iter().enumerate().filter(move |(_, dialog)| dialog.legs.contains(&leg) && self.is_live(dialog))
    }

    /// Media flow in this dialog: it is answered, and no later answer has taken one of its legs.
    pub(crate) fn is_active(&self, dialog: &Dialog) -> bool {
        let Some(answered) = dialog.answered else { return false };
        self.is_live(dialog)
            && !dialog.legs.iter().any(|&leg| self.dialogs_of(leg).any(|(_, other)| other.answered > Some(answered)))
    }

    /// The parties that speak: those that have not subscribed to others, and live.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = (usize, &Leg)> {
        self.legs.iter().enumerate().filter(|(_, leg)| !leg.gone && leg.subscription.is_none())
    }

    pub(crate) fn subscriber(&self, tag: &str) -> Option<usize> {
        self.legs.iter().position(|leg| !leg.gone && leg.subscription.is_some() && leg.tag == tag)
    }

    /// The latest offer in this dialog is answered, and of all answers this one is the latest.
    pub(crate) fn note_answer(&mut self, dialog: usize) {
        self.answers += 1;
        let Some(dialog) = self.dialogs.get_mut(dialog) else { return };
        dialog.answered = Some(self.answers);
        if let Some(exchange) = &mut dialog.exchange {
            exchange.answered = true;
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.dialogs.iter().any(|dialog| dialog.answered.is_some() && self.is_live(dialog))
    }

    pub(crate) fn add_transport(&mut self, transport: Transport) -> TransportId {
        while self.transports.contains_key(&TransportId(self.next_transport)) {
            self.next_transport = self.next_transport.wrapping_add(1);
        }
        let id = TransportId(self.next_transport);
        self.next_transport = self.next_transport.wrapping_add(1);
        self.transports.insert(id, transport);
        id
    }

    pub(crate) fn local(&self, id: TransportId) -> Option<SocketAddr> {
        self.transports.get(&id).map(|transport| transport.local)
    }

    pub(crate) fn flow(&mut self, egress_leg: usize, section: usize) -> FlowId {
        let known = self.flows.iter().position(|&flow| flow == (egress_leg, section));
        let index = known.unwrap_or_else(|| {
            self.flows.push((egress_leg, section));
            self.flows.len() - 1
        });
        FlowId(index as u16)
    }

    /// Forgets what these legs, which have just agreed, do not need, and then the transports that no section uses.
    pub(crate) fn prune(&mut self, agreed: &[usize]) {
        for &leg in agreed {
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.drop_unused_ports();
            }
        }
        let used: Vec<TransportId> = self
            .legs
            .iter()
            .filter(|leg| !leg.gone)
            .flat_map(|leg| &leg.sections)
            .filter_map(|section| section.ports)
            .flat_map(|ports| [Some(ports.rtp), ports.rtcp])
            .flatten()
            .collect();
        self.transports.retain(|id, _| used.contains(id));
    }
}

impl Leg {
    pub(crate) fn new(
        tag: &str,
        via_branch: Option<&str>,
        created: SystemTime,
        interface: usize,
        public: IpAddr,
    ) -> Self {
        Self {
            tag: tag.to_owned(),
            branch: 0,
            forks: Vec::new(),
            via_branch: via_branch.map(str::to_owned),
            label: None,
            created,
            asked_for_offers: false,
            gone: false,
            interface,
            public,
            credentials: None,
            latching: Latching::default(),
            nat: NatTraversal::default(),
            latch_generation: 0,
            received: None,
            dtls: None,
            origin: None,
            subscription: None,
            echo: None,
            sections: Vec::new(),
            layout: Layout::default(),
        }
    }

    pub(crate) fn section(&self, index: usize) -> Option<&Section> {
        self.sections.get(index)
    }

    pub(crate) fn agreed(&self, index: usize) -> Option<&Agreed> {
        self.sections.get(index)?.agreed.as_ref()
    }

    /// Puts the answer of this tag in front, if it is one of the others.
    pub(crate) fn bring_forward(&mut self, tag: &str) {
        if let Some(place) = self.forks.iter().position(|fork| fork.tag == tag) {
            let next = self.forks.remove(place);
            let before = self.set_aside(next.tag, next.branch, next.agreed);
            self.forks.push(before);
            self.latching = next.latching;
            self.latch_generation = next.latch_generation;
            self.received = next.received;
        }
    }

    /// One more answer to the offer, under a tag that nobody has used: it stands in front, and nothing is agreed with it
    /// yet. Of too many the one that was in front longest ago goes.
    pub(crate) fn fork(&mut self, tag: &str) {
        let branch = self.forks.iter().map(|fork| fork.branch).chain([self.branch]).max().unwrap_or(0).wrapping_add(1);
        let before = self.set_aside(tag.to_owned(), branch, Vec::new());
        self.latch_generation = 0;
        self.received = None;
        if self.forks.len() + 1 >= MAX_BRANCHES {
            self.forks.remove(0);
        }
        self.forks.push(before);
    }

    /// Forgets an answer that does not stand in front. False when there is none of this tag.
    pub(crate) fn drop_fork(&mut self, tag: &str) -> bool {
        let before = self.forks.len();
        self.forks.retain(|fork| fork.tag != tag);
        self.forks.len() < before
    }

    /// Puts another answer in front; returns the one that was there.
    fn set_aside(&mut self, tag: String, branch: u16, mut agreed: Vec<Option<Agreed>>) -> Fork {
        agreed.resize(self.sections.len(), None);
        for (section, next) in self.sections.iter_mut().zip(&mut agreed) {
            std::mem::swap(&mut section.agreed, next);
        }
        Fork {
            tag: std::mem::replace(&mut self.tag, tag),
            branch: std::mem::replace(&mut self.branch, branch),
            latching: self.latching,
            latch_generation: self.latch_generation,
            received: self.received,
            agreed,
        }
    }

    /// What any answer has agreed, the one in front first.
    fn every_agreed(&self) -> impl Iterator<Item = &Agreed> {
        let front = self.sections.iter().filter_map(|section| section.agreed.as_ref());
        front.chain(self.forks.iter().flat_map(|fork| fork.agreed.iter().flatten()))
    }

    /// Forgets own keys, tls-id and ICE credentials, so that new ones are made.
    pub(crate) fn reset(&mut self) {
        self.credentials = None;
        self.received = None;
        for section in &mut self.sections {
            section.keys.clear();
            section.tls_id = None;
        }
    }

    /// Forgets own keys alone.
    pub(crate) fn renew_keys(&mut self) {
        for section in &mut self.sections {
            section.keys.clear();
        }
    }

    /// After an answer a section needs what was agreed and nothing else.
    fn drop_unused_ports(&mut self) {
        let needed: Vec<Option<(bool, bool)>> = (0..self.sections.len()).map(|index| self.needs(index)).collect();
        for (section, needed) in self.sections.iter_mut().zip(needed) {
            match (needed, &mut section.ports) {
                (None, ports) => *ports = None,
                (Some((_, false)), Some(ports)) => ports.rtcp = None,
                _ => {}
            }
        }
    }

    /// Which transports of a section are in use: RTP, RTCP. `None`: neither.
    fn needs(&self, index: usize) -> Option<(bool, bool)> {
        let mut needed = None;
        for agreed in self.every_agreed().filter(|agreed| agreed.carrier == index) {
            let (_, rtcp) = needed.unwrap_or((true, false));
            needed = Some((true, rtcp || agreed.has_rtcp_port()));
        }
        needed
    }
}
