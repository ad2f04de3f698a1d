//! An offer: who offers to whom, what the other side gets to see of it, and the ports of both legs.

use std::time::Duration;

use super::keying::{self, Wanted};
use super::offered::Offered;
use super::parties::parties;
use super::{Desk, Work, WorkKind, check_supported};
use crate::carried::Carried;
use crate::layout::Layout;
use crate::leg::{
    Agreed, AgreedKeying, Exchange, Leg, MuxOffer, Negotiated, Proposal, ProposedKeying, Section, digest,
};
use crate::peer::{PeerDescription, PeerSection};
use crate::{
    DtlsOption, IceOption, LedgerNote, MediaProfile, Negotiation, OpportunisticForm, Options, Refusal,
    TransportProtocol, Treatment,
};

/// For this long an offer without an answer bars one from the other side (RFC 3261 §14.1: the owner of the Call-ID tries
/// again after at most 4 s).
const GLARE: Duration = Duration::from_secs(4);

/// Brings `negotiated` into the state that holds once the wanted ports are open.
pub(crate) fn prepare(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<Work, Refusal> {
    let mut options = negotiation.options.clone().expanded();
    check_supported(&options)?;
    let described = negotiated.leg_by_tag(&negotiation.from_tag).and_then(|leg| negotiated.legs.get(leg));
    let through = goes_through(described, &options);
    // What passes through is what stands on the line: capabilities are not read.
    let Offered { description, layout, mut peer } = Offered::read(desk, negotiation, described, &options, !through)?;
    options.flags.pass_through = Some(through);
    if !through {
        accept_osrtp(&mut peer, desk, described, &options);
        check_keying(&peer, &options)?;
    }
    let dialog = parties(negotiated, desk, negotiation, &options, &peer)?;
    let legs = negotiated.dialogs.get(dialog.index).map_or([0, 0], |dialog| dialog.legs);
    let (from, to) = if dialog.from_first { (legs[0], legs[1]) } else { (legs[1], legs[0]) };
    check_glare(negotiated, desk, dialog.index, from)?;
    if let Some(leg) = negotiated.legs.get_mut(from) {
        leg.layout = layout;
    }
    if options.flags.media_handover {
        desk.warn("media-handover: a plain leg follows its peer to another address only after signalling");
    }
    if options.traffic_class.is_some() {
        negotiated.traffic_class = options.traffic_class;
    }
    if let Some(block) = options.block_dtmf {
        negotiated.treatments.set_for_all(Treatment::BlockDtmf, block);
    }
    if options.flags.reset {
        for leg in [from, to] {
            if let Some(leg) = negotiated.legs.get_mut(leg) {
                leg.reset();
            }
        }
    }
    if options.flags.renew_keys
        && let Some(leg) = negotiated.legs.get_mut(to)
    {
        leg.renew_keys();
    }
    label(negotiated, from, to, &options);
    let carriers = carriers(&peer, &options);
    prepare_offerer(negotiated, desk, from, &peer, &carriers, &options)?;
    for index in 0..peer.sections.len() {
        prepare_proposal(negotiated, desk, [from, to], index, &peer, &options)?;
    }
    if let Some(dialog) = negotiated.dialogs.get_mut(dialog.index) {
        let digest = digest(&negotiation.sdp);
        let (offer, at, options) = (peer, desk.wall, options.clone());
        dialog.exchange = Some(Exchange { offerer: from, offer, digest, at, answered: false, carriers, options });
    }
    Ok(Work { kind: WorkKind::Offer, dialog: dialog.index, from, to, description, options })
}

/// The parties key each other: it is asked for, or was so before and nothing else is said.
fn goes_through(leg: Option<&Leg>, options: &Options) -> bool {
    let agreed = || leg.into_iter().flat_map(|leg| &leg.sections).filter_map(|section| section.agreed.as_ref());
    let before = || agreed().any(|agreed| matches!(agreed.keying, AgreedKeying::PassThrough));
    options.flags.pass_through.unwrap_or_else(before)
}

/// The first section that cannot be keyed refuses the offer.
fn check_keying(peer: &PeerDescription, options: &Options) -> Result<(), Refusal> {
    let live = peer.sections.iter().filter(|section| !section.rejected);
    for section in live {
        keying::wanted(section, options.sdes.prefer).map_err(Refusal::Incomplete)?;
    }
    Ok(())
}

/// Takes keys under a plain profile (RFC 8643) where that is asked for, or was agreed before.
pub(crate) fn accept_osrtp(peer: &mut PeerDescription, desk: &mut Desk<'_>, leg: Option<&Leg>, options: &Options) {
    for (index, section) in peer.sections.iter_mut().enumerate() {
        let plain = section.profile().is_some_and(|profile| !profile.is_secure());
        if !plain || section.rejected || !section.names_keys() {
            continue;
        }
        let stands = leg.and_then(|leg| leg.agreed(index)).is_some_and(Agreed::is_osrtp);
        if options.osrtp.accept || stands {
            section.opportunistic = Some(OpportunisticForm::Osrtp);
        } else {
            desk.warn(format!("line {}: OSRTP is not accepted without OSRTP=accept: plain RTP", section.line));
        }
    }
}

fn check_glare(negotiated: &Negotiated, desk: &Desk<'_>, dialog: usize, from: usize) -> Result<(), Refusal> {
    let exchange = negotiated.dialogs.get(dialog).and_then(|dialog| dialog.exchange.as_ref());
    let crossed = exchange.is_some_and(|exchange| {
        exchange.offerer != from
            && !exchange.answered
            && desk.wall.duration_since(exchange.at).is_ok_and(|age| age < GLARE)
    });
    if crossed { Err(Refusal::OfferPending) } else { Ok(()) }
}

fn label(negotiated: &mut Negotiated, from: usize, to: usize, options: &Options) {
    for (leg, label) in [(from, &options.label), (to, &options.to_label)] {
        if let (Some(leg), Some(label)) = (negotiated.legs.get_mut(leg), label) {
            leg.label = Some(label.clone());
        }
    }
}

/// For each section of the offerer, the one whose transport it will use: RFC 9143 §7.3 lets an answerer accept a bundle
/// where RTP and RTCP are multiplexed.
fn carriers(peer: &PeerDescription, options: &Options) -> Vec<usize> {
    let mut carriers: Vec<usize> = (0..peer.sections.len()).collect();
    let can = |index: &&usize| {
        let section = peer.sections.get(**index);
        section.is_some_and(|section| !section.rejected && section.profile().is_some() && section.mux)
    };
    if options.rtcp_mux.reject {
        return carriers;
    }
    let Some(&first) = peer.bundle.iter().find(can) else { return carriers };
    let profile = peer.sections.get(first).and_then(PeerSection::profile);
    for &member in peer.bundle.iter().filter(can) {
        let same = peer.sections.get(member).and_then(PeerSection::profile) == profile;
        if let Some(carrier) = carriers.get_mut(member).filter(|_| same) {
            *carrier = first;
        }
    }
    carriers
}

pub(crate) fn prepare_offerer(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    from: usize,
    peer: &PeerDescription,
    carriers: &[usize],
    options: &Options,
) -> Result<(), Refusal> {
    if let Some(leg) = negotiated.legs.get_mut(from) {
        leg.sections.resize_with(leg.sections.len().max(peer.sections.len()), Section::default);
        leg.dtls = options.dtls.or(leg.dtls);
    }
    for (index, section) in peer.sections.iter().enumerate() {
        let carries = carriers
            .iter()
            .zip(&peer.sections)
            .any(|(&carrier, section)| carrier == index && !section.rejected && section.carried.is_ok());
        if carries {
            let two = section.profile().is_some() && (!section.mux || options.rtcp_mux.reject);
            desk.ensure_ports(negotiated, from, index, two)?;
        }
    }
    Ok(())
}

/// Decides what the other side is offered for one section.
pub(crate) fn prepare_proposal(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    [from, to]: [usize; 2],
    index: usize,
    peer: &PeerDescription,
    options: &Options,
) -> Result<(), Refusal> {
    let Some(offered) = peer.sections.get(index) else { return Ok(()) };
    let Some(leg) = negotiated.legs.get_mut(to) else { return Ok(()) };
    leg.sections.resize_with(leg.sections.len().max(index + 1), Section::default);
    if index == 0 {
        leg.layout.keep(peer.sections.len());
        if leg.tag.is_empty() && leg.sections.iter().all(|section| section.agreed.is_none()) {
            // Nobody has answered: what was described before binds nobody.
            leg.layout = Layout::default();
        }
    }
    let Leg { layout, sections, .. } = leg;
    let Some(section) = sections.get_mut(index) else { return Ok(()) };
    if options.media_remove.iter().any(|media| media.eq_ignore_ascii_case(&offered.kind)) {
        layout.withhold(index, offered);
        section.proposal = None;
        return Ok(());
    }
    let offered_profile = match &offered.carried {
        _ if offered.rejected => {
            if !layout.withholds(index) {
                layout.place(index, None);
            }
            section.proposal = None;
            return Ok(());
        }
        Err(cause) => {
            layout.place(index, None);
            let (line, protocol) = (offered.line, &offered.protocol);
            desk.warn(format!("line {line}: {protocol} is not relayed, {cause}: the section is rejected"));
            section.proposal = None;
            return Ok(());
        }
        Ok(Carried::Rtp(profile)) => offered.configuration.as_ref().map_or(*profile, |(_, actual)| *actual),
        Ok(carried @ Carried::Datagrams(_)) => {
            layout.place(index, None);
            section.proposal = Some(datagrams(carried.clone(), peer, index, options));
            return desk.ensure_ports(negotiated, to, index, false);
        }
    };
    let through = options.flags.pass_through == Some(true);
    if through
        && matches!(options.transport_protocol, Some(TransportProtocol::Profile(other)) if other != offered_profile)
    {
        desk.warn(format!("transport-protocol with passthrough: {offered_profile} is offered on as it is"));
    }
    let profile = if through { offered_profile } else { profile_for(section, offered_profile, options) };
    let form = if through { None } else { form_for(section, layout, index, profile, offered, options) };
    let profile = if form == Some(OpportunisticForm::Twice) { profile.secured() } else { profile };
    layout.place(index, (form == Some(OpportunisticForm::Twice)).then(|| profile.plain()));
    let before = section.proposal.as_ref().filter(|_| !options.flags.reset);
    let crypto_before = before.map(|proposal| proposal.keying.crypto().to_vec()).unwrap_or_default();
    let wanted = if through { None } else { Some(keying_for(profile, section, form, options)?) };
    let keying = match wanted {
        None => ProposedKeying::PassThrough,
        Some(Wanted::Plain) => ProposedKeying::Plain,
        Some(Wanted::Dtls) if desk.config.fingerprints.is_empty() => {
            return Err(Refusal::Unsupported(format!("{profile}: there is no certificate")));
        }
        Some(Wanted::Dtls) => {
            section.tls_id.get_or_insert_with(|| desk.secrets.tls_id());
            ProposedKeying::Dtls
        }
        Some(Wanted::Sdes) => {
            let in_use = section.agreed.as_ref().and_then(|agreed| match &agreed.keying {
                AgreedKeying::Sdes { keys, .. } => Some(keys.outbound.0.profile),
                _ => None,
            });
            let suites = keying::suites(&options.sdes, &desk.config.defaults, &offered.crypto, &crypto_before, in_use);
            if suites.is_empty() {
                return Err(Refusal::Unsupported("SDES options leave no suite to offer".to_owned()));
            }
            let lines = keying::offer_lines(section, desk.secrets, &suites, options.sdes.lifetime);
            let stands = section.agreed.as_ref().is_some_and(|agreed| agreed.keying.is_secure());
            let can_do_dtls = options.dtls != Some(DtlsOption::Off) && !desk.config.fingerprints.is_empty();
            if form == Some(OpportunisticForm::Osrtp) && can_do_dtls && !stands {
                section.tls_id.get_or_insert_with(|| desk.secrets.tls_id());
                ProposedKeying::Either(lines)
            } else {
                ProposedKeying::Sdes(lines)
            }
        }
    };
    let ice = match options.ice {
        Some(IceOption::Remove) => false,
        Some(IceOption::Force | IceOption::Optional) => true,
        Some(IceOption::Default | IceOption::ForceRelay) | None => {
            offered.ice.is_some() || section.agreed.as_ref().is_some_and(|agreed| agreed.ice.is_some())
        }
    };
    let mux = mux_for(section, offered, options);
    let in_group = peer.bundle.contains(&index) || makes_bundle(peer, options);
    let bundles = in_group && profile.is_dtls() && ice && mux != MuxOffer::No;
    let mid = mid_for(peer, index, bundles, options);
    let agreed_carrier = section.agreed.as_ref().map(|agreed| agreed.carrier);
    let carrier = match agreed_carrier {
        Some(carrier) if bundles && carrier != index => carrier,
        _ => index,
    };
    section.proposal =
        Some(Proposal { carried: Carried::Rtp(profile), opportunistic: form, keying, mux, ice, carrier, mid });
    if carrier == index {
        let two = mux != MuxOffer::Required;
        desk.ensure_ports(negotiated, to, index, two)?;
    }
    if let Some(leg) = negotiated.legs.get_mut(to).filter(|leg| ice && leg.credentials.is_none()) {
        leg.credentials = Some(desk.secrets.credentials());
    }
    for fault in &offered.crypto_faults {
        desk.notes.push((from, LedgerNote::Skipped(fault.clone())));
    }
    Ok(())
}

/// Datagrams have no options: they are offered as they came, from a transport of their own.
fn datagrams(carried: Carried, peer: &PeerDescription, index: usize, options: &Options) -> Proposal {
    let (keying, mux) = (ProposedKeying::Plain, MuxOffer::No);
    let mid = mid_for(peer, index, false, options);
    Proposal { carried, opportunistic: None, keying, mux, ice: false, carrier: index, mid }
}

/// Whether security is offered without insisting on it: where that is asked for and the section would be plain otherwise;
/// where the offerer has offered so itself and nothing else is asked for; and where it stands.
fn form_for(
    section: &Section,
    layout: &Layout,
    index: usize,
    profile: MediaProfile,
    offered: &PeerSection,
    options: &Options,
) -> Option<OpportunisticForm> {
    let asked = &options.osrtp;
    let is_explicit = matches!(options.transport_protocol, Some(TransportProtocol::Profile(_)));
    let handed_on = offered.opportunistic == Some(OpportunisticForm::Twice) && !is_explicit && !asked.offer;
    // A section that the peer knows has its m= lines; no second one can be put beside it.
    let twice = (asked.offer_legacy && !profile.is_secure()) || handed_on;
    if layout.offers_twin(index) || (twice && !layout.has(index)) {
        return Some(OpportunisticForm::Twice);
    }
    let stands = section.agreed.as_ref().is_some_and(Agreed::is_osrtp);
    (!profile.is_secure() && (asked.offer || stands)).then_some(OpportunisticForm::Osrtp)
}

/// What is asked for; else what this leg spoke before; else what the offerer speaks.
fn profile_for(section: &Section, offered: MediaProfile, options: &Options) -> MediaProfile {
    if let Some(TransportProtocol::Profile(profile)) = options.transport_protocol {
        return profile;
    }
    let proposed = section.proposal.as_ref().and_then(|proposal| {
        let profile = proposal.carried.profile()?;
        // What is offered under two profiles is the plain one made secure, unless the offerer has the secure one itself.
        let is_plain = proposal.opportunistic == Some(OpportunisticForm::Twice) && !offered.is_secure();
        Some(if is_plain { profile.plain() } else { profile })
    });
    let profile = section.profile.or(proposed).unwrap_or(offered);
    match (options.dtls, profile) {
        (Some(DtlsOption::Off), MediaProfile::UdpTlsRtpSavp) => MediaProfile::RtpSavp,
        (Some(DtlsOption::Off), MediaProfile::UdpTlsRtpSavpf) => MediaProfile::RtpSavpf,
        _ => profile,
    }
}

/// RTP/SAVP and RTP/SAVPF are keyed by SDES where it is not off, and so is RTP/AVP where keys are offered under it.
fn keying_for(
    profile: MediaProfile,
    section: &Section,
    form: Option<OpportunisticForm>,
    options: &Options,
) -> Result<Wanted, Refusal> {
    let dtls_off = options.dtls == Some(DtlsOption::Off);
    // Under the name of another profile it was a choice; under its own it goes with the name.
    let was_dtls = |agreed: &Agreed| {
        matches!(agreed.keying, AgreedKeying::Dtls { .. })
            && !agreed.carried.profile().is_some_and(MediaProfile::is_dtls)
    };
    let stays_dtls = !dtls_off && section.agreed.as_ref().is_some_and(was_dtls);
    match profile {
        _ if !profile.is_secure() && form.is_none() => Ok(Wanted::Plain),
        _ if profile.is_dtls() && dtls_off => Err(Refusal::Unsupported(format!("DTLS=off with {profile}"))),
        _ if profile.is_dtls() => Ok(Wanted::Dtls),
        _ if !options.sdes.off && !stays_dtls => Ok(Wanted::Sdes),
        _ if !dtls_off => Ok(Wanted::Dtls),
        _ if !profile.is_secure() => Ok(Wanted::Plain),
        _ => Err(Refusal::Unsupported(format!("SDES=off and DTLS=off with {profile}"))),
    }
}

fn mux_for(section: &Section, offered: &PeerSection, options: &Options) -> MuxOffer {
    let asked = &options.rtcp_mux;
    let agreed = section.agreed.as_ref().is_some_and(|agreed| agreed.mux);
    let wanted = asked.offer || asked.require || ((offered.mux || agreed) && !asked.demux);
    match wanted {
        false => MuxOffer::No,
        true if asked.require || agreed => MuxOffer::Required,
        true => MuxOffer::WithFallback,
    }
}

/// Where mids are asked for and the offerer has no bundle, ours is one of every section that can be in it. A browser under
/// the policy `max-bundle` refuses an offer without a group, even of one section.
pub(crate) fn makes_bundle(peer: &PeerDescription, options: &Options) -> bool {
    options.flags.generate_mid && peer.bundle.is_empty()
}

/// A mid that is there for a bundle alone goes with the bundle: one without the other makes browsers fail.
fn mid_for(peer: &PeerDescription, index: usize, bundles: bool, options: &Options) -> Option<String> {
    let own = peer.sections.get(index).and_then(|section| section.mid.clone());
    let for_bundle = peer.bundle.contains(&index);
    match own {
        Some(mid) if bundles || options.flags.generate_mid || !for_bundle => Some(mid),
        None if options.flags.generate_mid => {
            let is_used = |mid: &str| peer.sections.iter().any(|section| section.mid.as_deref() == Some(mid));
            (index..).map(|number| number.to_string()).find(|mid| !is_used(mid))
        }
        _ => None,
    }
}
