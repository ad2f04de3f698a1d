//! An answer: what both legs have agreed on, each in its own words.

use control::{DtlsRole, NatTraversal};
use sdp::Setup;

use super::keying::{self, Wanted};
use super::parties::{adopt, bring_forward, set_public, untagged_partner};
use super::{Desk, Work, WorkKind, check_supported, latching};
use crate::carried::Carried;
use crate::leg::{Agreed, AgreedKeying, Exchange, MuxOffer, Negotiated, Proposal, ProposedKeying, digest};
use crate::peer::{PeerDescription, PeerSection};
use crate::{
    DtlsOption, IceOption, LedgerNote, MediaProfile, Negotiation, OpportunisticForm, Options, Refusal,
    TransportProtocol, Treatment,
};

/// Brings `negotiated` into the state that holds once the wanted ports are open.
pub(crate) fn prepare(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<Work, Refusal> {
    let options = negotiation.options.clone().expanded();
    check_supported(&options)?;
    let mut description = Desk::parse(negotiation)?;
    let (dialog, from, to) = parties(negotiated, desk, negotiation)?;
    let exchange = negotiated.dialogs.get(dialog).and_then(|dialog| dialog.exchange.clone()).ok_or(Refusal::NoOffer)?;
    let answered = description.media().len();
    let Some(leg) = negotiated.legs.get_mut(from) else { return Err(Refusal::ToTagNotFound) };
    leg.layout = leg
        .layout
        .fold_answer(&mut description, exchange.offer.sections.len())
        .map_err(|offered| Refusal::Incomplete(format!("{answered} m= lines answer {offered}")))?;
    let peer = desk.read(&description, negotiation, &options, false)?;
    label(negotiated, from, to, &options);
    if let Some(block) = options.block_dtmf {
        negotiated.treatments.set_for_all(Treatment::BlockDtmf, block);
    }
    let answerer = agree_answerer(negotiated, desk, from, &peer, &exchange, &options)?;
    let accepted: Vec<bool> = answerer.iter().map(Option::is_some).collect();
    let offerer = agree_offerer(negotiated, desk, to, &exchange, &accepted, &options)?;
    for (leg, agreed) in [(from, answerer), (to, offerer)] {
        settle(negotiated, desk, leg, agreed);
    }
    for leg in [from, to] {
        open_missing(negotiated, desk, leg)?;
    }
    note_peers(negotiated, from, digest(&negotiation.sdp), &options);
    note_peers(negotiated, to, exchange.digest, &exchange.options);
    set_public(negotiated, desk, to, &options);
    negotiated.note_answer(dialog);
    negotiated.prune(&[from, to]);
    note_downgrades(negotiated, desk, [from, to]);
    for (leg, in_clear) in [(from, options.flags.from_in_clear), (to, options.flags.to_in_clear)] {
        note_clear_keys(negotiated, desk, leg, in_clear);
    }
    Ok(Work { kind: WorkKind::Answer, dialog, from, to, description, options })
}

/// The dialog, the leg that answers, and the leg that offered. The from-tag is the offerer's; swapped tags are taken, too.
fn parties(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<(usize, usize, usize), Refusal> {
    let branch = negotiation.via_branch.as_deref().filter(|branch| !branch.is_empty());
    let to_tag = negotiation.to_tag.as_deref().filter(|tag| !tag.is_empty()).ok_or(Refusal::NoToTag)?;
    let offered_by = |negotiated: &Negotiated, tag: &str| {
        let leg = negotiated.leg_by_tag(tag)?;
        let mut dialogs = negotiated.dialogs_of(leg);
        let offered = dialogs.any(|(_, dialog)| dialog.exchange.as_ref().is_some_and(|offer| offer.offerer == leg));
        offered.then_some(leg)
    };
    let (offerer, tag) = match (offered_by(negotiated, &negotiation.from_tag), offered_by(negotiated, to_tag)) {
        (Some(leg), _) => (leg, to_tag),
        (None, Some(leg)) => {
            desk.warn("from-tag and to-tag of the answer are swapped");
            (leg, negotiation.from_tag.as_str())
        }
        (None, None) if negotiated.leg_by_tag(&negotiation.from_tag).is_none() => return Err(Refusal::FromTagNotFound),
        (None, None) => return Err(Refusal::NoOffer),
    };
    let with = |negotiated: &Negotiated, partner: usize| {
        let found = negotiated.dialogs_of(offerer).find(|(_, dialog)| dialog.legs.contains(&partner));
        let (index, dialog) = found?;
        dialog.exchange.as_ref().is_some_and(|offer| offer.offerer == offerer).then_some(index)
    };
    if let Some(answerer) = negotiated.leg_by_tag(tag).filter(|&answerer| answerer != offerer) {
        let dialog = with(negotiated, answerer).ok_or(Refusal::NoOffer)?;
        bring_forward(negotiated, answerer, tag);
        return Ok((dialog, answerer, offerer));
    }
    if let Some(answerer) = untagged_partner(negotiated, offerer, branch) {
        let dialog = with(negotiated, answerer).ok_or(Refusal::NoOffer)?;
        adopt(negotiated, answerer, tag);
        return Ok((dialog, answerer, offerer));
    }
    fork(negotiated, offerer, branch, tag)
}

/// Somebody downstream has forked our offer: one more answer to it, under a tag of its own. Media goes to it from here on;
/// what was agreed with the others stays.
fn fork(
    negotiated: &mut Negotiated,
    offerer: usize,
    branch: Option<&str>,
    tag: &str,
) -> Result<(usize, usize, usize), Refusal> {
    let found = negotiated.dialogs_of(offerer).find_map(|(index, dialog)| {
        let partner = dialog.legs.into_iter().find(|&leg| leg != offerer)?;
        let initial = dialog.exchange.as_ref().is_some_and(|offer| offer.offerer == offerer);
        let same_branch = branch.is_none() || negotiated.legs.get(partner)?.via_branch.as_deref() == branch;
        (initial && same_branch).then_some((index, partner))
    });
    let (dialog, answerer) = found.ok_or(Refusal::ToTagNotFound)?;
    if let Some(leg) = negotiated.legs.get_mut(answerer) {
        leg.fork(tag);
    }
    Ok((dialog, answerer, offerer))
}

fn label(negotiated: &mut Negotiated, from: usize, to: usize, options: &Options) {
    for (leg, label) in [(from, &options.label), (to, &options.to_label)] {
        if let (Some(leg), Some(label)) = (negotiated.legs.get_mut(leg), label) {
            leg.label = Some(label.clone());
        }
    }
}

/// What the answerer accepted of our offer.
pub(crate) fn agree_answerer(
    negotiated: &Negotiated,
    desk: &mut Desk<'_>,
    leg_index: usize,
    peer: &PeerDescription,
    exchange: &Exchange,
    options: &Options,
) -> Result<Vec<Option<Agreed>>, Refusal> {
    let Some(leg) = negotiated.legs.get(leg_index) else { return Err(Refusal::ToTagNotFound) };
    let mut all = Vec::new();
    for (index, (answer, offer)) in peer.sections.iter().zip(&exchange.offer.sections).enumerate() {
        let section = leg.section(index);
        let proposal = section.and_then(|section| section.proposal.as_ref());
        if !answer.kind.eq_ignore_ascii_case(&offer.kind) {
            let (line, kind) = (answer.line, &answer.kind);
            return Err(Refusal::Incomplete(format!("line {line}: m={kind} answers m={}", offer.kind)));
        }
        let Some(proposal) = proposal.filter(|_| !answer.rejected && !offer.rejected) else {
            all.push(None);
            continue;
        };
        for fault in &answer.crypto_faults {
            desk.notes.push((leg_index, LedgerNote::Skipped(fault.clone())));
        }
        let carried = answered(desk, answer, proposal, options)?;
        let is_secure = carried.profile().is_some_and(MediaProfile::is_secure);
        // An answer without keys declines; one with keys that cannot be used fails (RFC 8643 §3.3).
        let declines = proposal.opportunistic.is_none() || !answer.names_keys();
        let ice = leg.credentials.clone().filter(|_| proposal.ice && answer.ice.is_some());
        let before = section.and_then(|section| section.agreed.as_ref());
        let keying = match &proposal.keying {
            ProposedKeying::PassThrough => AgreedKeying::PassThrough,
            _ if !is_secure && declines => AgreedKeying::Plain,
            ProposedKeying::Plain => AgreedKeying::Plain,
            // Of two methods an answer names one (RFC 8643 §3.2); where it names both, DTLS comes first.
            ProposedKeying::Sdes(own) | ProposedKeying::Either(own)
                if !proposal.keying.offers_dtls() || answer.fingerprints.is_empty() =>
            {
                let both = answer.crypto.iter().find_map(|line| {
                    let own = own.iter().find(|own| own.tag == line.tag && own.profile == line.profile)?;
                    Some((line, own.keys.first()?.master.clone()))
                });
                let (line, own) = both.ok_or_else(|| no_crypto(answer))?;
                if answer.crypto.len() > 1 {
                    desk.warn(format!("line {}: more than one a=crypto in an answer", answer.line));
                }
                keying::sdes(line, own, desk.config.defaults.roc_on_rekey).ok_or_else(|| repeats_our_key(answer))?
            }
            ProposedKeying::Sdes(_) | ProposedKeying::Either(_) | ProposedKeying::Dtls => {
                let keys = PeerSection { opportunistic: proposal.opportunistic, ..answer.clone() };
                if keying::wanted(&keys, false).map_err(Refusal::Incomplete)? != Wanted::Dtls {
                    return Err(Refusal::Incomplete(format!("line {}: no a=fingerprint answers DTLS", answer.line)));
                }
                if answer.setup == Some(Setup::ActPass) {
                    desk.warn(format!("line {}: a=setup:actpass in an answer is taken for active", answer.line));
                }
                let role = keying::offerer_role(answer.setup);
                dtls(section.map_or(0, |section| section.generation), before, answer, role, ice.is_some())
            }
        };
        let mux = match proposal.mux {
            MuxOffer::No => false,
            MuxOffer::WithFallback => answer.mux,
            MuxOffer::Required => {
                if !answer.mux {
                    desk.warn(format!("line {}: a=rtcp-mux was required and is not in the answer", answer.line));
                }
                true
            }
        };
        let carrier = answered_carrier(peer, index, proposal.carrier, proposal.mid.is_some() && mux);
        let (opportunistic, peer) = (proposal.opportunistic, answer.clone());
        all.push(Some(Agreed { carried, opportunistic, keying, mux, ice, carrier, peer }));
    }
    settle_carriers(&mut all);
    Ok(all)
}

/// A carrier that was itself rejected still carries, as long as one section names it; one that carries somebody else's
/// section carries its own, too.
fn settle_carriers(all: &mut [Option<Agreed>]) {
    let carriers: Vec<Option<usize>> = all.iter().map(|agreed| agreed.as_ref().map(|agreed| agreed.carrier)).collect();
    for agreed in all.iter_mut().flatten() {
        let next = carriers.get(agreed.carrier).copied().flatten();
        agreed.carrier = next.unwrap_or(agreed.carrier);
    }
}

/// The answer's protocol equals the offer's (RFC 3264 §6.1). Peers that leave out or add the F, or that write the older
/// name of DTLS-SRTP, are understood.
fn answered(
    desk: &mut Desk<'_>,
    answer: &PeerSection,
    proposal: &Proposal,
    options: &Options,
) -> Result<Carried, Refusal> {
    let line = answer.line;
    let mismatch = || Refusal::Incomplete(format!("line {line}: {} answers {}", answer.protocol, proposal.carried));
    let (profile, offered) = match (&answer.carried, &proposal.carried) {
        (Ok(Carried::Rtp(profile)), Carried::Rtp(offered)) => (*profile, *offered),
        (Ok(carried @ Carried::Datagrams(name)), Carried::Datagrams(other)) if name.eq_ignore_ascii_case(other) => {
            return Ok(carried.clone());
        }
        _ => return Err(mismatch()),
    };
    let is_twin = proposal.opportunistic == Some(OpportunisticForm::Twice) && profile == offered.plain();
    if profile == offered || is_twin {
        return Ok(Carried::Rtp(profile));
    }
    let accepts = options.transport_protocol == Some(TransportProtocol::Accept);
    let accepted_plain = accepts && !profile.is_secure();
    if profile.is_secure() != offered.is_secure() && !accepted_plain && proposal.opportunistic.is_none() {
        return Err(mismatch());
    }
    desk.warn(format!("line {line}: {profile} answers {offered}"));
    Ok(Carried::Rtp(profile))
}

fn no_crypto(answer: &PeerSection) -> Refusal {
    let causes = if answer.crypto.is_empty() && answer.crypto_faults.is_empty() {
        "there is none".to_owned()
    } else if answer.crypto_faults.is_empty() {
        "tag and suite are not those of a line that was offered".to_owned()
    } else {
        answer.crypto_faults.join("; ")
    };
    Refusal::Incomplete(format!("line {}: no usable a=crypto in the answer: {causes}", answer.line))
}

fn repeats_our_key(section: &PeerSection) -> Refusal {
    Refusal::Incomplete(format!("line {}: the key in a=crypto is ours", section.line))
}

fn dtls(counter: u32, before: Option<&Agreed>, peer: &PeerSection, role: DtlsRole, ice: bool) -> AgreedKeying {
    match keying::standing(before, peer, ice) {
        Some((standing, generation)) if standing == role => AgreedKeying::Dtls { role, generation },
        _ => AgreedKeying::Dtls { role, generation: counter.wrapping_add(1) },
    }
}

/// Where the answerer wants a section: in the bundle if it named it there.
fn answered_carrier(peer: &PeerDescription, index: usize, proposed: usize, can_bundle: bool) -> usize {
    if !can_bundle || !peer.bundle.contains(&index) {
        return index;
    }
    if proposed != index {
        return proposed;
    }
    peer.bundle.first().copied().unwrap_or(index)
}

/// What we answer to the offerer. `accepted`: by section.
pub(crate) fn agree_offerer(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    leg_index: usize,
    exchange: &Exchange,
    accepted: &[bool],
    options: &Options,
) -> Result<Vec<Option<Agreed>>, Refusal> {
    let uses_ice = options.ice != Some(IceOption::Remove) && !exchange.options.flags.reject_ice;
    let Some(leg) = negotiated.legs.get_mut(leg_index) else { return Err(Refusal::FromTagNotFound) };
    let restarts = exchange.offer.sections.iter().enumerate().any(|(index, offer)| {
        let before =
            leg.agreed(index).filter(|before| before.ice.is_some()).and_then(|before| before.peer.ice.as_ref());
        matches!((before, &offer.ice), (Some(before), Some(ice)) if before.credentials != ice.credentials)
    });
    if restarts {
        leg.credentials = None;
    }
    let mut all: Vec<Option<Agreed>> = Vec::new();
    for (index, offer) in exchange.offer.sections.iter().enumerate() {
        let accepted = accepted.get(index).copied().unwrap_or(false);
        let profile = match &offer.carried {
            Ok(Carried::Rtp(profile)) if accepted && !offer.rejected => *profile,
            Ok(carried @ Carried::Datagrams(_)) if accepted && !offer.rejected => {
                let (carried, keying, peer) = (carried.clone(), AgreedKeying::Plain, offer.clone());
                let (opportunistic, mux, ice, carrier) = (None, false, None, index);
                all.push(Some(Agreed { carried, opportunistic, keying, mux, ice, carrier, peer }));
                continue;
            }
            _ => {
                all.push(None);
                continue;
            }
        };
        let ice = if uses_ice && offer.ice.is_some() {
            Some(leg.credentials.get_or_insert_with(|| desk.secrets.credentials()).clone())
        } else {
            None
        };
        if matches!(options.transport_protocol, Some(TransportProtocol::Profile(other)) if other != profile) {
            desk.warn(format!("transport-protocol in an answer: the offerer gets {profile}, which it offered"));
        }
        if profile.is_dtls() && options.dtls == Some(DtlsOption::Off) {
            desk.warn(format!("DTLS=off in an answer: the offerer asked for {profile}"));
        }
        let carrier = exchange.carriers.get(index).copied().unwrap_or(index);
        let preference = options.dtls.filter(|dtls| *dtls != DtlsOption::Off).or(exchange.options.dtls).or(leg.dtls);
        let Some(section) = leg.sections.get_mut(index) else { continue };
        let through = exchange.options.flags.pass_through == Some(true);
        let wanted = if through {
            None
        } else {
            Some(keying::wanted(offer, exchange.options.sdes.prefer).map_err(Refusal::Incomplete)?)
        };
        let keying = match wanted {
            None => AgreedKeying::PassThrough,
            Some(Wanted::Plain) => AgreedKeying::Plain,
            Some(Wanted::Dtls) if desk.config.fingerprints.is_empty() => {
                return Err(Refusal::Unsupported(format!("{profile}: there is no certificate")));
            }
            Some(Wanted::Dtls) => {
                let standing = keying::standing(section.agreed.as_ref(), offer, ice.is_some());
                let role = keying::answerer_role(offer.setup, preference, standing.map(|(role, _)| role));
                let keying = dtls(section.generation, section.agreed.as_ref(), offer, role, ice.is_some());
                let is_new =
                    |generation| matches!(keying, AgreedKeying::Dtls { generation: next, .. } if next != generation);
                if is_new(section.generation) {
                    // A new association has a new tls-id on both sides (RFC 8842 §5.3).
                    section.tls_id = None;
                }
                keying
            }
            Some(Wanted::Sdes) => {
                let in_use = section.agreed.as_ref().and_then(|agreed| match &agreed.keying {
                    AgreedKeying::Sdes { tag, keys } => Some((*tag, keys.outbound.0.profile)),
                    _ => None,
                });
                // Suites left out towards the other side are not left out here.
                let line = keying::choose(&offer.crypto, &options.sdes, in_use);
                let line =
                    line.ok_or_else(|| Refusal::Unsupported("SDES options leave no suite to answer".to_owned()))?;
                let own = keying::line(section, desk.secrets, line.tag, line.profile, false);
                let own = own.keys.first().map(|key| key.master.clone());
                let own = own.ok_or_else(|| Refusal::NotRewritable("no key".to_owned()))?;
                keying::sdes(line, own, desk.config.defaults.roc_on_rekey).ok_or_else(|| repeats_our_key(offer))?
            }
        };
        let mux = offer.mux && !exchange.options.rtcp_mux.reject;
        let (carried, opportunistic) = (Carried::Rtp(profile), offer.opportunistic);
        all.push(Some(Agreed { carried, opportunistic, keying, mux, ice, carrier, peer: offer.clone() }));
    }
    Ok(all)
}

/// Makes what a leg has agreed its state, and notes what that means for its security.
pub(crate) fn settle(negotiated: &mut Negotiated, desk: &mut Desk<'_>, leg: usize, agreed: Vec<Option<Agreed>>) {
    // Sections that the exchange does not have any more are gone with it.
    let known = negotiated.legs.get(leg).map_or(0, |leg| leg.sections.len());
    let missing = known.saturating_sub(agreed.len());
    for (section, agreed) in agreed.into_iter().chain(std::iter::repeat_n(None, missing)).enumerate() {
        if let Some((form, agreed)) = agreed.as_ref().and_then(|agreed| Some((agreed.opportunistic?, agreed))) {
            desk.notes.push((leg, LedgerNote::Opportunistic { form, secured: agreed.keying.is_secure() }));
        }
        if agreed.as_ref().is_some_and(|agreed| matches!(agreed.keying, AgreedKeying::PassThrough)) {
            desk.notes.push((leg, LedgerNote::PassedThrough));
        }
        note_loss(negotiated, desk, leg, section, agreed.as_ref());
        store(negotiated, leg, section, agreed);
    }
}

/// A section that was secure and goes on in the clear goes into the ledger: after a re-offer to plain RTP or to fax.
fn note_loss(negotiated: &Negotiated, desk: &mut Desk<'_>, leg: usize, index: usize, agreed: Option<&Agreed>) {
    let before = negotiated.legs.get(leg).and_then(|leg| leg.agreed(index));
    if let (Some(before), Some(agreed)) = (before, agreed)
        && before.keying.is_secure()
        && !agreed.keying.is_secure()
    {
        desk.notes.push((leg, LedgerNote::SecurityLeft(agreed.carried.to_string())));
    }
}

pub(crate) fn store(negotiated: &mut Negotiated, leg: usize, index: usize, agreed: Option<Agreed>) {
    let Some(leg) = negotiated.legs.get_mut(leg) else { return };
    let Some(section) = leg.sections.get_mut(index) else { return };
    if let Some(Agreed { keying: AgreedKeying::Dtls { generation, .. }, .. }) = &agreed {
        section.generation = *generation;
    }
    // A key that is left never comes back: who meets it again could not know which indices it has protected. With
    // several answers to one offer it is not left while another one has it.
    let suite = |agreed: &Option<Agreed>| match agreed.as_ref().map(|agreed| &agreed.keying) {
        Some(AgreedKeying::Sdes { keys, .. }) => Some(keys.outbound.0.profile),
        _ => None,
    };
    let left = suite(&section.agreed).filter(|left| suite(&agreed) != Some(*left));
    section.profile = agreed.as_ref().and_then(|agreed| agreed.carried.profile()).or(section.profile);
    section.agreed = agreed;
    let others = leg.forks.iter().filter_map(|fork| fork.agreed.get(index));
    if let Some(left) = left.filter(|left| !others.map(suite).any(|other| other == Some(*left))) {
        section.keys.remove(&left);
        let proposed = section.proposal.as_mut().map(|proposal| &mut proposal.keying);
        if let Some(ProposedKeying::Sdes(lines) | ProposedKeying::Either(lines)) = proposed {
            lines.retain(|line| line.profile != left);
        }
    }
}

/// A fork that accepts what the one before rejected needs ports that were given back.
pub(crate) fn open_missing(negotiated: &mut Negotiated, desk: &mut Desk<'_>, leg: usize) -> Result<(), Refusal> {
    let sections = negotiated.legs.get(leg).map_or(0, |leg| leg.sections.len());
    for index in 0..sections {
        let users = negotiated.legs.get(leg).into_iter().flat_map(|leg| &leg.sections);
        let mut agreed = users.filter_map(|section| section.agreed.as_ref()).filter(|agreed| agreed.carrier == index);
        if let Some(first) = agreed.next() {
            let two = first.has_rtcp_port() || agreed.any(Agreed::has_rtcp_port);
            desk.ensure_ports(negotiated, leg, index, two)?;
        }
    }
    Ok(())
}

/// How the peer may be learnt, as the options want that came with its description. One that differs from the one before may
/// have moved the peer.
pub(crate) fn note_peers(negotiated: &mut Negotiated, leg: usize, digest: u64, options: &Options) {
    let Some(leg) = negotiated.legs.get_mut(leg) else { return };
    leg.latching = latching(options);
    leg.nat = NatTraversal { pierce: options.flags.pierce_nat, wait: options.flags.nat_wait };
    if leg.received.is_some_and(|before| before != digest) {
        leg.latch_generation = leg.latch_generation.wrapping_add(1);
    }
    leg.received = Some(digest);
}

/// A leg that is less secure than the other one goes into the ledger.
/// SDES keys of a leg, where others can read its signalling.
pub(crate) fn note_clear_keys(negotiated: &Negotiated, desk: &mut Desk<'_>, leg: usize, in_clear: bool) {
    let mut sections = negotiated.legs.get(leg).into_iter().flat_map(|leg| &leg.sections);
    let is_sdes = |agreed: &Agreed| matches!(agreed.keying, AgreedKeying::Sdes { .. });
    if in_clear && sections.any(|section| section.agreed.as_ref().is_some_and(is_sdes)) {
        desk.notes.push((leg, LedgerNote::KeysInClear));
    }
}

fn note_downgrades(negotiated: &Negotiated, desk: &mut Desk<'_>, legs: [usize; 2]) {
    let bits = |leg: usize| {
        let sections = negotiated.legs.get(leg).into_iter().flat_map(|leg| &leg.sections);
        sections
            .filter_map(|section| section.agreed.as_ref())
            .filter_map(|agreed| match &agreed.keying {
                AgreedKeying::Plain => Some(0),
                AgreedKeying::Sdes { keys, .. } => Some(usize::from(keys.outbound.0.profile.strength_bits())),
                AgreedKeying::Dtls { .. } | AgreedKeying::PassThrough => None,
            })
            .min()
    };
    let secure = |leg: usize| {
        let mut sections = negotiated.legs.get(leg).into_iter().flat_map(|leg| &leg.sections);
        sections.any(|section| section.agreed.as_ref().is_some_and(|agreed| agreed.keying.is_secure()))
    };
    let [a, b] = legs;
    for (this, other) in [(a, b), (b, a)] {
        match (bits(this), bits(other)) {
            (Some(0), _) if secure(other) => desk.notes.push((this, LedgerNote::PlainLeg)),
            (Some(bits), Some(strongest)) if 0 < bits && bits < strongest => {
                desk.notes.push((this, LedgerNote::WeakerKeys { bits, strongest }));
            }
            _ => {}
        }
    }
}
