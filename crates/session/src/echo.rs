//! A party that hears itself: its offer is answered here (RFC 3264 §6), and what it sends goes back to it.
//!
//! Such a call has one leg, in a dialog with itself. Its audio comes back in its own codec, the first that it offers, and with
//! telephone events; whatever else it offers is rejected.

pub(crate) mod late;

use control::EchoPlan;
use sdp::{Direction, SessionDescription};

use crate::leg::{Dialog, Exchange, Negotiated, digest};
use crate::negotiate::offered::Offered;
use crate::negotiate::{Desk, Work, WorkKind, answer, check_supported, offer, parties};
use crate::peer::{PeerCodec, PeerDescription, PeerSection};
use crate::{Negotiation, Options, Refusal, Treatment};

/// Formats that are not speech of their own: they stand beside a codec.
const BESIDE: [&str; 6] = [EVENTS, "CN", "red", "ulpfec", "flexfec", "rtx"];

const EVENTS: &str = "telephone-event";

/// Brings `negotiated` into the state that holds once the wanted ports are open.
pub(crate) fn prepare(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<Work, Refusal> {
    let mut options = negotiation.options.clone().expanded();
    check_supported(&options)?;
    if options.flags.pass_through == Some(true) {
        return Err(Refusal::Unsupported("passthrough with echo".to_owned()));
    }
    options.flags.pass_through = Some(false);
    let known = known(negotiated, &negotiation.from_tag)?;
    let before = known.and_then(|leg| negotiated.legs.get(leg));
    let Offered { layout, mut peer, .. } = Offered::read(desk, negotiation, before, &options, true)?;
    offer::accept_osrtp(&mut peer, desk, before, &options);
    choose(&mut peer);
    if known.is_none() && peer.sections.iter().all(|section| section.rejected) {
        return Err(Refusal::Incomplete("no audio that could go back".to_owned()));
    }
    let leg = match known {
        Some(leg) => leg,
        None => {
            let interface = desk.interface(options.interfaces.from.as_deref(), None, parties::family_of(&peer))?;
            parties::new_leg(negotiated, desk, &negotiation.from_tag, None, interface)?
        }
    };
    make_echo(negotiated, desk, leg, &options);
    if let Some(leg) = negotiated.legs.get_mut(leg) {
        leg.layout = layout;
        if options.flags.reset {
            leg.reset();
        }
    }
    negotiated.traffic_class = options.traffic_class.or(negotiated.traffic_class);
    if let Some(block) = options.block_dtmf {
        negotiated.treatments.set_for_all(Treatment::BlockDtmf, block);
    }
    // Bundled or not, one section is accepted of each transport: none shares its carrier.
    let carriers: Vec<usize> = (0..peer.sections.len()).collect();
    offer::prepare_offerer(negotiated, desk, leg, &peer, &carriers, &options)?;
    let description = described(negotiated, desk, leg, &peer)?;
    let exchange = Exchange {
        offerer: leg,
        digest: digest(&negotiation.sdp),
        offer: peer,
        at: desk.wall,
        answered: true,
        carriers,
        options: options.clone(),
    };
    agree(negotiated, desk, leg, &exchange, &options)?;
    answer::note_clear_keys(negotiated, desk, leg, options.flags.from_in_clear);
    let dialog = store(negotiated, leg, exchange);
    Ok(Work { kind: WorkKind::Echo, dialog, from: leg, to: leg, description, options })
}

/// This leg hears itself from here on.
fn make_echo(negotiated: &mut Negotiated, desk: &mut Desk<'_>, leg: usize, options: &Options) {
    parties::set_public(negotiated, desk, leg, options);
    if let Some(leg) = negotiated.legs.get_mut(leg) {
        let secrets = &mut *desk.secrets;
        let make = || EchoPlan { ssrc_mask: secrets.ssrc_mask(), cname: secrets.cname() };
        leg.echo.get_or_insert_with(make);
        leg.label = options.label.clone().or(leg.label.take());
    }
}

/// The leg of this tag. A call has one that hears itself, or others that hear each other.
fn known(negotiated: &Negotiated, tag: &str) -> Result<Option<usize>, Refusal> {
    let leg = negotiated.leg_by_tag(tag);
    let is_echo = |leg: usize| negotiated.legs.get(leg).is_some_and(|leg| leg.echo.is_some());
    match leg {
        Some(leg) if !is_echo(leg) => Err(Refusal::Unsupported("echo in a call with another party".to_owned())),
        None if negotiated.speakers().next().is_some() => Err(Refusal::FromTagNotFound),
        leg => Ok(leg),
    }
}

/// Leaves of the offer what goes back: of each transport one section of audio, in its first codec and with events.
fn choose(peer: &mut PeerDescription) {
    let mut bundled = false;
    for (index, section) in peer.sections.iter_mut().enumerate() {
        let codec = section.codecs.iter().find(|codec| !is_beside(codec)).cloned();
        let is_bundled = peer.bundle.contains(&index);
        let fits = section.kind.eq_ignore_ascii_case("audio")
            && section.profile().is_some()
            && !(is_bundled && bundled)
            && !section.rejected;
        match codec.filter(|_| fits) {
            Some(codec) => {
                bundled |= is_bundled;
                reduce(section, &codec);
            }
            None => section.rejected = true,
        }
    }
}

fn is_beside(codec: &PeerCodec) -> bool {
    BESIDE.iter().any(|name| codec.name.eq_ignore_ascii_case(name))
}

/// Events keep the clock of the audio that they stand in for, where they are offered with it (RFC 4733 §2.1).
fn reduce(section: &mut PeerSection, codec: &PeerCodec) {
    let events = || section.codecs.iter().filter(|codec| codec.name.eq_ignore_ascii_case(EVENTS));
    let event = events().find(|event| event.clock_rate == codec.clock_rate).or(events().next());
    let kept: Vec<u8> = [Some(codec), event].into_iter().flatten().map(|codec| codec.payload_type).collect();
    section.codecs.retain(|codec| kept.contains(&codec.payload_type));
    section.payload_types.retain(|payload_type| kept.contains(payload_type));
    section.formats = kept.iter().map(u8::to_string).collect();
    section.codec = Some(codec.name.clone());
    section.format_lines.retain(|line| {
        let value = line.strip_prefix("rtpmap:").or(line.strip_prefix("fmtp:"));
        value.is_none_or(|value| {
            let payload_type = value.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
            payload_type.is_some_and(|payload_type| kept.contains(&payload_type))
        })
    });
}

/// What goes back, as the text that becomes the answer.
fn described(
    negotiated: &Negotiated,
    desk: &mut Desk<'_>,
    leg: usize,
    peer: &PeerDescription,
) -> Result<SessionDescription, Refusal> {
    let public = negotiated.legs.get(leg).map(|leg| sdp::NetworkAddress::from(leg.public));
    let public = public.ok_or(Refusal::FromTagNotFound)?;
    let mut text = format!("v=0\r\no=- {} 1 {public}\r\ns=-\r\nt=0 0\r\n", desk.secrets.session_id());
    for section in &peer.sections {
        let PeerSection { kind, protocol, formats, format_lines, .. } = section;
        text += &format!("m={kind} 9 {protocol} {}\r\nc=IN IP4 0.0.0.0\r\n", formats.join(" "));
        if section.rejected {
            continue;
        }
        for line in format_lines {
            text += &format!("a={line}\r\n");
        }
        let sends = section.direction.receives() && !section.zero_address;
        text += &format!("a={}\r\n", Direction::new(sends, section.direction.sends()).name());
    }
    SessionDescription::parse_bytes(text.as_bytes(), &sdp::Limits::default())
        .map_err(|error| Refusal::NotRewritable(error.to_string()))
}

fn agree(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    leg: usize,
    exchange: &Exchange,
    options: &Options,
) -> Result<(), Refusal> {
    let accepted: Vec<bool> = exchange.offer.sections.iter().map(|section| !section.rejected).collect();
    let agreed = answer::agree_offerer(negotiated, desk, leg, exchange, &accepted, options)?;
    answer::settle(negotiated, desk, leg, agreed);
    answer::open_missing(negotiated, desk, leg)?;
    for fault in exchange.offer.sections.iter().flat_map(|section| &section.crypto_faults) {
        desk.notes.push((leg, crate::LedgerNote::Skipped(fault.clone())));
    }
    answer::note_peers(negotiated, leg, exchange.digest, options);
    Ok(())
}

/// The dialog of a leg with itself.
fn store(negotiated: &mut Negotiated, leg: usize, exchange: Exchange) -> usize {
    negotiated.answers += 1;
    let dialog = Dialog { legs: [leg, leg], exchange: Some(exchange), answered: Some(negotiated.answers) };
    let known = negotiated.dialogs.iter().position(|known| known.legs == dialog.legs);
    let index = known.unwrap_or(negotiated.dialogs.len());
    match negotiated.dialogs.get_mut(index) {
        Some(known) => *known = dialog,
        None => negotiated.dialogs.push(dialog),
    }
    negotiated.prune(&[leg]);
    index
}
