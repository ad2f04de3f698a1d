//! The parties of a negotiation: which dialog it belongs to, and the legs that it makes or finds.

use super::{Desk, public_address};
use crate::leg::{Dialog, Leg, Negotiated};
use crate::peer::PeerDescription;
use crate::{AddressFamily, Negotiation, Options, Refusal};

/// The dialog of an offer.
pub(super) struct Found {
    pub(super) index: usize,
    /// The one who offers is the first of its legs.
    pub(super) from_first: bool,
}

/// Finds or makes the dialog that an offer belongs to.
pub(super) fn parties(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
    options: &Options,
    peer: &PeerDescription,
) -> Result<Found, Refusal> {
    let from_tag = negotiation.from_tag.as_str();
    let to_tag = negotiation.to_tag.as_deref().filter(|tag| !tag.is_empty());
    let branch = negotiation.via_branch.as_deref().filter(|branch| !branch.is_empty());
    let hears_itself = negotiated.speakers().any(|(_, leg)| leg.echo.is_some());
    if to_tag == Some(from_tag) || hears_itself {
        return Err(Refusal::ToTagNotFound);
    }
    let first = negotiated.legs.is_empty();
    let from = negotiated.leg_by_tag(from_tag);
    let to = to_tag.and_then(|tag| negotiated.leg_by_tag(tag));
    // An offer inside a dialog picks it among those that answered the same offer.
    for (leg, tag) in from.map(|leg| (leg, from_tag)).into_iter().chain(to.zip(to_tag)) {
        bring_forward(negotiated, leg, tag);
    }
    let (from, to) = match (from, to, to_tag) {
        (Some(from), Some(to), _) if from != to => (Some(from), Some(to)),
        (Some(from), None, Some(tag)) => {
            let to = untagged_partner(negotiated, from, branch).ok_or(Refusal::ToTagNotFound)?;
            adopt(negotiated, to, tag);
            (Some(from), Some(to))
        }
        (Some(from), None, None) => (Some(from), partner_of_branch(negotiated, from, branch)),
        (None, Some(to), Some(_)) => {
            let from = untagged_partner(negotiated, to, branch);
            match from {
                Some(from) => adopt(negotiated, from, from_tag),
                // A forked call without an offer: one more called party has its own.
                None if negotiated.legs.get(to).is_some_and(|leg| leg.asked_for_offers) => {}
                None => return Err(Refusal::FromTagNotFound),
            }
            (from, Some(to))
        }
        (None, _, None) => (None, None),
        (None, None, Some(_)) if first => (None, None),
        (None, _, Some(_)) => return Err(Refusal::FromTagNotFound),
        (Some(_), Some(_), _) => return Err(Refusal::ToTagNotFound),
    };
    let from = match from {
        Some(from) => {
            place(negotiated, desk, from, options.interfaces.from.as_deref(), None, family_of(peer), None)?;
            from
        }
        None => {
            let interface = desk.interface(options.interfaces.from.as_deref(), None, family_of(peer))?;
            new_leg(negotiated, desk, from_tag, None, interface)?
        }
    };
    let to = match to {
        Some(to) => {
            let name = options.interfaces.to.as_deref();
            place(negotiated, desk, to, name, options.address_family, family_of(peer), Some(options))?;
            to
        }
        None => {
            let name = options.interfaces.to.as_deref();
            let interface = desk.interface(name, options.address_family, family_of(peer))?;
            let to = new_leg(negotiated, desk, to_tag.unwrap_or(""), branch, interface)?;
            if let Some(leg) = negotiated.legs.get_mut(to) {
                leg.asked_for_offers = to_tag.is_some();
            }
            set_public(negotiated, desk, to, options);
            to
        }
    };
    let known = negotiated.dialogs.iter().position(|dialog| dialog.legs == [from, to] || dialog.legs == [to, from]);
    let index = known.unwrap_or_else(|| {
        negotiated.dialogs.push(Dialog { legs: [from, to], exchange: None, answered: None });
        negotiated.dialogs.len() - 1
    });
    let from_first = negotiated.dialogs.get(index).is_some_and(|dialog| dialog.legs[0] == from);
    Ok(Found { index, from_first })
}

/// The party at the other end that has not told its tag yet.
pub(super) fn untagged_partner(negotiated: &Negotiated, leg: usize, branch: Option<&str>) -> Option<usize> {
    let partners = || partners(negotiated, leg).filter(|(_, partner)| partner.tag.is_empty());
    let named = partners().find(|(_, partner)| branch.is_some() && partner.via_branch.as_deref() == branch);
    let only = || partners().next().filter(|_| partners().count() == 1);
    named.or_else(only).map(|(index, _)| index)
}

/// The party that an offer without to-tag goes to again.
fn partner_of_branch(negotiated: &Negotiated, leg: usize, branch: Option<&str>) -> Option<usize> {
    let of_branch = partners(negotiated, leg).filter(|(_, partner)| partner.via_branch.as_deref() == branch);
    of_branch.last().map(|(index, _)| index)
}

fn partners(negotiated: &Negotiated, leg: usize) -> impl Iterator<Item = (usize, &Leg)> {
    negotiated.dialogs_of(leg).flat_map(|(_, dialog)| dialog.legs).filter_map(move |other| {
        let partner = negotiated.legs.get(other)?;
        (other != leg).then_some((other, partner))
    })
}

pub(super) fn adopt(negotiated: &mut Negotiated, leg: usize, tag: &str) {
    if let Some(leg) = negotiated.legs.get_mut(leg) {
        tag.clone_into(&mut leg.tag);
    }
}

pub(super) fn bring_forward(negotiated: &mut Negotiated, leg: usize, tag: &str) {
    if let Some(leg) = negotiated.legs.get_mut(leg) {
        leg.bring_forward(tag);
    }
}

pub(crate) fn family_of(peer: &PeerDescription) -> AddressFamily {
    let live = peer.sections.iter().find(|section| !section.rejected);
    if live.is_some_and(|section| section.ipv6) { AddressFamily::Ip6 } else { AddressFamily::Ip4 }
}

pub(crate) fn new_leg(
    negotiated: &mut Negotiated,
    desk: &Desk<'_>,
    tag: &str,
    branch: Option<&str>,
    interface: usize,
) -> Result<usize, Refusal> {
    if negotiated.legs.len() >= desk.config.limits.legs {
        return Err(Refusal::LoadLimit(format!("more than {} parties in one call", desk.config.limits.legs)));
    }
    let address = desk.config.interfaces.get(interface).map(|interface| interface.public_address());
    let address = address.ok_or_else(|| Refusal::UnknownInterface("default".to_owned()))?;
    negotiated.legs.push(Leg::new(tag, branch, desk.wall, interface, address));
    Ok(negotiated.legs.len() - 1)
}

/// A leg that has ports stays on its interface.
fn place(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    index: usize,
    name: Option<&str>,
    family: Option<AddressFamily>,
    preferred: AddressFamily,
    write: Option<&Options>,
) -> Result<(), Refusal> {
    let Some(leg) = negotiated.legs.get_mut(index) else { return Ok(()) };
    if name.is_some() || family.is_some() {
        let interface = desk.interface(name, family, preferred)?;
        let same_name = desk.config.interfaces.get(interface).map(|interface| &interface.name)
            == desk.config.interfaces.get(leg.interface).map(|interface| &interface.name);
        if interface != leg.interface && leg.sections.iter().all(|section| section.ports.is_none()) {
            leg.interface = interface;
        } else if interface != leg.interface && (!same_name || family.is_some()) {
            desk.warn("another interface or address family in a re-offer: the leg keeps the one that it has");
        }
    }
    if let Some(options) = write {
        set_public(negotiated, desk, index, options);
    }
    Ok(())
}

pub(crate) fn set_public(negotiated: &mut Negotiated, desk: &Desk<'_>, leg: usize, options: &Options) {
    if let Some(leg) = negotiated.legs.get_mut(leg) {
        leg.public = public_address(desk.config, leg, options);
    }
}
