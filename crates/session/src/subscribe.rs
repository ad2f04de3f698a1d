//! Subscriptions (SIPREC, RFC 7866): somebody hears parties of a call under an offer of ours, and says nothing.
//!
//! A subscriber is a leg of its own, with ports, keys and profile of its own; for each section of each party that it
//! hears it has one `sendonly` section, described in the party's own formats.

use std::net::{IpAddr, Ipv4Addr};

use control::MAX_BRANCHES;
use sdp::{Direction, SessionDescription};

use crate::carried::Carried;
use crate::leg::{
    Agreed, AgreedKeying, Exchange, Leg, MuxOffer, Negotiated, Proposal, ProposedKeying, Section, Subscription, digest,
};
use crate::negotiate::keying::{self, Wanted};
use crate::negotiate::{Desk, Work, WorkKind, answer, check_supported, parties};
use crate::peer::{PeerDescription, PeerSection};
use crate::{
    AddressFamily, DtlsOption, IceOption, MediaProfile, Negotiation, Options, Refusal, RewrittenSdp, Subscribe,
    Subscribed, SubscribedMedia, SubscribedParty, TransportProtocol,
};

const UNSPECIFIED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Subscribers of one call.
const MAX_SUBSCRIBERS: usize = MAX_BRANCHES;

/// Brings `negotiated` into the state that holds once the subscriber's ports are open.
pub(crate) fn prepare(negotiated: &mut Negotiated, desk: &mut Desk<'_>, request: &Subscribe) -> Result<Work, Refusal> {
    let options = request.options.clone().expanded();
    check_supported(&options)?;
    let sources = sources(negotiated, request)?;
    let leg = subscriber(negotiated, desk, request, &options)?;
    if let Some(leg) = negotiated.legs.get_mut(leg) {
        let taken_over = leg.subscription.as_ref().map_or(0, |before| {
            before.sources.iter().zip(&sources).take_while(|(before, after)| before == after).count()
        });
        for section in leg.sections.iter_mut().skip(taken_over) {
            section.agreed = None;
        }
        leg.sections.resize_with(leg.sections.len().max(sources.len()), Section::default);
        leg.subscription = Some(Subscription { sources: sources.clone(), options: options.clone() });
        leg.label = options.to_label.clone().or(leg.label.take());
    }
    for (index, source) in sources.iter().enumerate() {
        propose(negotiated, desk, leg, index, *source, &options)?;
    }
    let description = described(negotiated, desk, leg, &sources, &options)?;
    Ok(Work { kind: WorkKind::Subscription, dialog: 0, from: leg, to: leg, description, options })
}

/// The subscriber's answer.
pub(crate) fn prepare_answer(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<Work, Refusal> {
    let options = negotiation.options.clone().expanded();
    check_supported(&options)?;
    let tag = negotiation.to_tag.as_deref().filter(|tag| !tag.is_empty()).ok_or(Refusal::NoToTag)?;
    let leg = negotiated.subscriber(tag).ok_or(Refusal::ToTagNotFound)?;
    let description = Desk::parse(negotiation)?;
    let peer = desk.read(&description, negotiation, &options, false)?;
    let exchange = exchange(negotiated, desk, leg).ok_or(Refusal::NoOffer)?;
    let (answered, offered) = (peer.sections.len(), exchange.offer.sections.len());
    if answered != offered {
        return Err(Refusal::Incomplete(format!("{answered} m= lines answer {offered}")));
    }
    let agreed = answer::agree_answerer(negotiated, desk, leg, &peer, &exchange, &options)?;
    let known = negotiated.legs.get(leg).map_or(0, |leg| leg.sections.len());
    let missing = known.saturating_sub(agreed.len());
    for (section, agreed) in agreed.into_iter().chain(std::iter::repeat_n(None, missing)).enumerate() {
        answer::store(negotiated, leg, section, agreed);
    }
    answer::open_missing(negotiated, desk, leg)?;
    answer::note_peers(negotiated, leg, digest(&negotiation.sdp), &options);
    negotiated.prune(&[leg]);
    Ok(Work { kind: WorkKind::SubscriptionAnswer, dialog: 0, from: leg, to: leg, description, options })
}

/// What to say of the subscription, beside its offer.
pub(crate) fn told(negotiated: &Negotiated, leg: usize, offer: RewrittenSdp) -> Option<Subscribed> {
    let subscriber = negotiated.legs.get(leg)?;
    let subscription = subscriber.subscription.as_ref()?;
    let mut parties: Vec<(usize, SubscribedParty)> = Vec::new();
    for (number, &(source, section)) in subscription.sources.iter().enumerate() {
        let Some((party, peer)) = party(negotiated, source, section) else { continue };
        let media = SubscribedMedia {
            index: section + 1,
            kind: peer.kind.clone(),
            label: subscription.options.flags.siprec.then(|| number.to_string()),
            mode: peer.direction.name(),
        };
        match parties.iter_mut().find(|(known, _)| *known == source) {
            Some((_, party)) => party.medias.push(media),
            None => {
                let party = SubscribedParty { tag: party.tag.clone(), label: party.label.clone(), medias: vec![media] };
                parties.push((source, party));
            }
        }
    }
    let sources = parties.into_iter().map(|(_, party)| party).collect();
    Some(Subscribed { offer, to_tag: subscriber.tag.clone(), sources })
}

fn party(negotiated: &Negotiated, leg: usize, section: usize) -> Option<(&Leg, &PeerSection)> {
    let party = negotiated.legs.get(leg)?;
    Some((party, &party.agreed(section)?.peer))
}

/// The sections to hear, of parties that have agreed on them.
fn sources(negotiated: &Negotiated, request: &Subscribe) -> Result<Vec<(usize, usize)>, Refusal> {
    let mut parties: Vec<usize> = Vec::new();
    for tag in request.from_tags.iter().filter(|tag| !tag.is_empty()) {
        let leg = negotiated.leg_by_tag(tag).ok_or(Refusal::FromTagNotFound)?;
        if negotiated.legs.get(leg).is_none_or(|leg| leg.subscription.is_some()) {
            return Err(Refusal::FromTagNotFound);
        }
        if !parties.contains(&leg) {
            parties.push(leg);
        }
    }
    if parties.is_empty() && request.options.flags.all {
        parties.extend(negotiated.speakers().filter(|(_, leg)| !leg.tag.is_empty()).map(|(index, _)| index));
    } else if parties.is_empty() {
        let label = request.options.label.as_deref().ok_or(Refusal::NoFromTag)?;
        let named = negotiated.speakers().find(|(_, leg)| leg.label.as_deref() == Some(label));
        parties.push(named.ok_or(Refusal::FromTagNotFound)?.0);
    }
    let mut sources = Vec::new();
    let mut sealed = false;
    for party in parties {
        let sections = negotiated.legs.get(party).into_iter().flat_map(|leg| leg.sections.iter().enumerate());
        for (index, section) in sections {
            match &section.agreed {
                Some(Agreed { keying: AgreedKeying::PassThrough, .. }) => sealed = true,
                Some(agreed) if agreed.carried.profile().is_some() => sources.push((party, index)),
                _ => {}
            }
        }
    }
    match (sources.is_empty(), sealed) {
        (false, _) => Ok(sources),
        (true, true) => Err(Refusal::Unsupported("subscription to a party whose keys pass through".to_owned())),
        (true, false) => Err(Refusal::NoOffer),
    }
}

/// The subscriber's leg: the known one of this tag, or a new one.
fn subscriber(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    request: &Subscribe,
    options: &Options,
) -> Result<usize, Refusal> {
    let tag = request.to_tag.as_deref().filter(|tag| !tag.is_empty());
    let leg = match tag.map(|tag| (negotiated.subscriber(tag), negotiated.leg_by_tag(tag))) {
        Some((Some(known), _)) => known,
        // A party of the call cannot be its own listener.
        Some((None, Some(_))) => return Err(Refusal::ToTagNotFound),
        Some((None, None)) | None => {
            let subscribers = negotiated.legs.iter().filter(|leg| !leg.gone && leg.subscription.is_some());
            if subscribers.count() >= MAX_SUBSCRIBERS {
                return Err(Refusal::LoadLimit(format!("more than {MAX_SUBSCRIBERS} subscribers of one call")));
            }
            let name = options.interfaces.to.as_deref().or(options.interfaces.from.as_deref());
            let interface = desk.interface(name, options.address_family, AddressFamily::Ip4)?;
            let made = desk.secrets.tls_id();
            parties::new_leg(negotiated, desk, tag.unwrap_or(&made), None, interface)?
        }
    };
    parties::set_public(negotiated, desk, leg, options);
    Ok(leg)
}

/// Decides what the subscriber is offered for one section.
fn propose(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    leg: usize,
    index: usize,
    (source, source_section): (usize, usize),
    options: &Options,
) -> Result<(), Refusal> {
    let heard = negotiated.legs.get(source).and_then(|leg| leg.agreed(source_section));
    let heard = heard.and_then(|agreed| agreed.carried.profile()).unwrap_or(MediaProfile::RtpAvp);
    let Some(subscriber) = negotiated.legs.get_mut(leg) else { return Err(Refusal::ToTagNotFound) };
    let Some(section) = subscriber.sections.get_mut(index) else { return Err(Refusal::ToTagNotFound) };
    let profile = match options.transport_protocol {
        Some(TransportProtocol::Profile(profile)) => profile,
        _ => section.proposal.as_ref().and_then(|before| before.carried.profile()).unwrap_or(heard),
    };
    let off = options.dtls == Some(DtlsOption::Off);
    let wanted = match profile {
        _ if !profile.is_secure() => Wanted::Plain,
        _ if profile.is_dtls() && off => return Err(Refusal::Unsupported(format!("DTLS=off with {profile}"))),
        _ if profile.is_dtls() || (options.sdes.off && !off) => Wanted::Dtls,
        _ if options.sdes.off => return Err(Refusal::Unsupported(format!("SDES=off and DTLS=off with {profile}"))),
        _ => Wanted::Sdes,
    };
    let keying = match wanted {
        Wanted::Plain => ProposedKeying::Plain,
        Wanted::Dtls if desk.config.fingerprints.is_empty() => {
            return Err(Refusal::Unsupported(format!("{profile}: there is no certificate")));
        }
        Wanted::Dtls => {
            section.tls_id.get_or_insert_with(|| desk.secrets.tls_id());
            ProposedKeying::Dtls
        }
        Wanted::Sdes => {
            let before = section.proposal.as_ref().map(|before| before.keying.crypto().to_vec()).unwrap_or_default();
            let in_use = section.agreed.as_ref().and_then(|agreed| match &agreed.keying {
                AgreedKeying::Sdes { keys, .. } => Some(keys.outbound.0.profile),
                _ => None,
            });
            let suites = keying::suites(&options.sdes, &desk.config.defaults, &[], &before, in_use);
            if suites.is_empty() {
                return Err(Refusal::Unsupported("SDES options leave no suite to offer".to_owned()));
            }
            ProposedKeying::Sdes(keying::offer_lines(section, desk.secrets, &suites, options.sdes.lifetime))
        }
    };
    let ice = matches!(options.ice, Some(IceOption::Force | IceOption::Default));
    let mux = match (&options.rtcp_mux, section.agreed.as_ref().is_some_and(|agreed| agreed.mux)) {
        (asked, agreed) if asked.require || agreed => MuxOffer::Required,
        (asked, _) if asked.offer => MuxOffer::WithFallback,
        _ => MuxOffer::No,
    };
    let mid = options.flags.generate_mid.then(|| index.to_string());
    let (carried, opportunistic, carrier) = (Carried::Rtp(profile), None, index);
    section.proposal = Some(Proposal { carried, opportunistic, keying, mux, ice, carrier, mid });
    if ice {
        subscriber.credentials.get_or_insert_with(|| desk.secrets.credentials());
    }
    desk.ensure_ports(negotiated, leg, index, mux != MuxOffer::Required)
}

/// The parties' formats, as the text that becomes the offer.
fn described(
    negotiated: &Negotiated,
    desk: &mut Desk<'_>,
    leg: usize,
    sources: &[(usize, usize)],
    options: &Options,
) -> Result<SessionDescription, Refusal> {
    let public = sdp::NetworkAddress::from(negotiated.legs.get(leg).map_or(UNSPECIFIED, |leg| leg.public));
    let own = format!("o=- {} 1 {public}", desk.secrets.session_id());
    let mut text = format!("v=0\r\n{own}\r\ns=-\r\nt=0 0\r\n");
    for (number, &(source, section)) in sources.iter().enumerate() {
        let Some((_, peer)) = party(negotiated, source, section) else { continue };
        let proposal =
            negotiated.legs.get(leg).and_then(|leg| leg.section(number)).and_then(|own| own.proposal.as_ref());
        let profile = proposal.map_or("RTP/AVP", |proposal| proposal.carried.name());
        text += &format!("m={} 9 {profile} {}\r\nc=IN IP4 0.0.0.0\r\n", peer.kind, peer.formats.join(" "));
        if options.flags.siprec {
            text += &format!("a=label:{number}\r\n");
        }
        for line in &peer.format_lines {
            text += &format!("a={line}\r\n");
        }
        text += &format!("a={}\r\n", Direction::SendOnly.name());
    }
    SessionDescription::parse_bytes(text.as_bytes(), &sdp::Limits::default())
        .map_err(|error| Refusal::NotRewritable(error.to_string()))
}

/// Our offer to a subscriber, as an exchange in which it answers.
pub(crate) fn exchange(negotiated: &Negotiated, desk: &Desk<'_>, leg: usize) -> Option<Exchange> {
    let subscription = negotiated.legs.get(leg)?.subscription.as_ref()?;
    let heard = |&(source, section): &(usize, usize)| party(negotiated, source, section).map(|(_, peer)| peer.clone());
    let sections: Option<Vec<PeerSection>> = subscription.sources.iter().map(heard).collect();
    let sections: Vec<PeerSection> = sections?
        .into_iter()
        .map(|section| PeerSection { rejected: false, zero_address: false, mid: None, ..section })
        .collect();
    let carriers = (0..sections.len()).collect();
    let offer = PeerDescription { sections, bundle: Vec::new() };
    let options = subscription.options.clone();
    Some(Exchange { offerer: leg, offer, digest: 0, at: desk.wall, answered: false, carriers, options })
}
