//! Media that a request has blocked or silenced.

use control::{FlowPlan, PayloadTypes, Silenced};

use crate::leg::{Agreed, Negotiated};
use crate::peer::PeerSection;
use crate::{Party, Refusal, Treat, Treatment};

/// What is done to media between these legs, by index. `None` stands for everyone.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rule {
    from: Option<usize>,
    to: Option<usize>,
    treatment: Treatment,
}

/// The rules of a call. Each stands once, so that their number is bounded by the call's legs.
#[derive(Clone, Default)]
pub(crate) struct Treatments(Vec<Rule>);

control::wire! {
    /// Of these types, for a call's memo.
    pub(crate) const SHAPE;
    struct Rule { from, to, treatment }
    enum Treatment { 0 => Block, 1 => BlockDtmf, 2 => Silence }
    newtype Treatments;
}

impl Treatments {
    /// Begins or ends a treatment. An end names the rule that it ends, unless it is for all. Returns the leg whose media
    /// is meant, if it is one.
    pub(crate) fn change(&mut self, negotiated: &Negotiated, treat: &Treat) -> Result<Option<usize>, Refusal> {
        let find =
            |party: &Option<Party>, missing| party.as_ref().map(|party| leg_of(negotiated, party, missing)).transpose();
        let (from, to) = (find(&treat.from, Refusal::FromTagNotFound)?, find(&treat.to, Refusal::ToTagNotFound)?);
        self.set(from, to, treat.treatment, treat.on, treat.all);
        Ok(from)
    }

    /// For everyone.
    pub(crate) fn set_for_all(&mut self, treatment: Treatment, on: bool) {
        self.set(None, None, treatment, on, false);
    }

    fn set(&mut self, from: Option<usize>, to: Option<usize>, treatment: Treatment, on: bool, all: bool) {
        let rule = Rule { from, to, treatment };
        let is_covered = |own: &Rule| {
            let side = |wide: Option<usize>, own: Option<usize>| wide.is_none() || wide == own;
            all && own.treatment == treatment && side(from, own.from) && side(to, own.to)
        };
        self.0.retain(|own| *own != rule && (on || !is_covered(own)));
        if on {
            self.0.push(rule);
        }
    }

    /// Applies what holds from one leg to another to their flow.
    pub(crate) fn edit(&self, (from, to): (usize, usize), peers: [&Agreed; 2], flow: &mut FlowPlan) {
        let holds = |treatment| {
            let side = |rule: Option<usize>, leg: usize| rule.is_none() || rule == Some(leg);
            let is_it = |rule: &&Rule| rule.treatment == treatment && side(rule.from, from) && side(rule.to, to);
            self.0.iter().any(|rule| is_it(&rule))
        };
        if peers.iter().any(|agreed| agreed.carried.profile().is_none()) {
            // No RTP: there are no payload types.
            flow.forward_media &= !holds(Treatment::Block);
            return;
        }
        let named = |name: &str| payload_types(peers.map(|agreed| &agreed.peer), name);
        let events = named("telephone-event");
        if holds(Treatment::Silence) {
            let (mu_law, a_law) = (named("PCMU"), named("PCMA"));
            flow.silenced = Silenced { mu_law, a_law };
            flow.blocked = PayloadTypes::ALL.without(mu_law).without(a_law).without(events);
        }
        if holds(Treatment::Block) {
            flow.blocked = PayloadTypes::ALL.without(events);
        }
        if holds(Treatment::BlockDtmf) {
            flow.blocked = flow.blocked.and(events);
        }
    }
}

/// The payload types that either side calls by this name. (Both should mean the same: RFC 3264 §6.1.)
fn payload_types(sides: [&PeerSection; 2], name: &str) -> PayloadTypes {
    let codecs = sides.into_iter().flat_map(|side| &side.codecs);
    codecs.filter(|codec| codec.name.eq_ignore_ascii_case(name)).map(|codec| codec.payload_type).collect()
}

fn leg_of(negotiated: &Negotiated, party: &Party, missing: Refusal) -> Result<usize, Refusal> {
    let other = |found: Option<usize>| found.ok_or_else(|| Refusal::NoSuchParty(party.to_string()));
    let mut legs = negotiated.legs.iter().enumerate().filter(|(_, leg)| !leg.gone);
    match party {
        Party::Tag(tag) => negotiated.leg_by_tag(tag).ok_or(missing),
        Party::Label(label) => other(legs.find(|(_, leg)| leg.label.as_ref() == Some(label)).map(|(index, _)| index)),
        Party::Address(address) => {
            let has = |agreed: &Agreed| agreed.peer.rtp.is_some_and(|rtp| rtp.ip() == *address);
            let mut agreed =
                legs.map(|(index, leg)| (index, leg.sections.iter().filter_map(|own| own.agreed.as_ref())));
            other(agreed.find_map(|(index, mut agreed)| agreed.any(has).then_some(index)))
        }
    }
}
