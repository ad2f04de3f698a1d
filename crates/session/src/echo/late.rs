//! A party that wants to hear itself and asks for an offer (RFC 3261 §13.2.1): what it is offered, and its answer.

use sdp::SessionDescription;

use super::known;
use crate::leg::{Dialog, Exchange, Negotiated, digest};
use crate::negotiate::{Desk, Work, WorkKind, answer, check_supported, offer, parties};
use crate::{AddressFamily, Negotiation, Options, Refusal};

/// What phones and browsers speak; which of it comes back is theirs to choose. Events keep the clock of the audio that they stand in
/// for (RFC 4733 §2.1).
const FORMATS: &str = "111 9 0 8 101 110";
const FORMAT_LINES: [&str; 7] = [
    "rtpmap:111 opus/48000/2",
    "fmtp:111 useinbandfec=1",
    "rtpmap:9 G722/8000",
    "rtpmap:0 PCMU/8000",
    "rtpmap:8 PCMA/8000",
    "rtpmap:101 telephone-event/8000",
    "rtpmap:110 telephone-event/48000",
];

/// Brings `negotiated` into the state that holds once the wanted ports are open: one section of audio is offered.
pub(crate) fn prepare_offer(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<Work, Refusal> {
    let options = checked(negotiation)?;
    if known(negotiated, &negotiation.from_tag)?.is_some() {
        // It would have to hold all that has been agreed so far.
        return Err(Refusal::Unsupported("a second offer to a party that hears itself".to_owned()));
    }
    let is_ip6 = negotiation.received_from.is_some_and(|source| source.to_canonical().is_ipv6());
    let preferred = if is_ip6 { AddressFamily::Ip6 } else { AddressFamily::Ip4 };
    let interface = desk.interface(options.interfaces.from.as_deref(), options.address_family, preferred)?;
    let leg = parties::new_leg(negotiated, desk, &negotiation.from_tag, None, interface)?;
    super::make_echo(negotiated, desk, leg, &options);
    let description = described(negotiated, desk, leg)?;
    let peer = desk.read(&description, negotiation, &options, false)?;
    offer::prepare_proposal(negotiated, desk, [leg, leg], 0, &peer, &options)?;
    let exchange = Exchange {
        offerer: leg,
        offer: peer,
        digest: 0,
        at: desk.wall,
        answered: false,
        carriers: vec![0],
        options: options.clone(),
    };
    negotiated.dialogs.push(Dialog { legs: [leg, leg], exchange: Some(exchange), answered: None });
    let dialog = negotiated.dialogs.len() - 1;
    Ok(Work { kind: WorkKind::EchoOffer, dialog, from: leg, to: leg, description, options })
}

/// Its answer to that.
pub(crate) fn prepare_answer(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    negotiation: &Negotiation,
) -> Result<Work, Refusal> {
    let options = checked(negotiation)?;
    let leg = known(negotiated, &negotiation.from_tag)?.ok_or(Refusal::FromTagNotFound)?;
    let dialog = negotiated.dialogs.iter().position(|dialog| dialog.legs == [leg, leg]).ok_or(Refusal::NoOffer)?;
    let exchange = negotiated.dialogs.get(dialog).and_then(|dialog| dialog.exchange.clone());
    let exchange = exchange.filter(|exchange| !exchange.answered).ok_or(Refusal::NoOffer)?;
    let mut description = Desk::parse(negotiation)?;
    let answered = description.media().len();
    if let Some(own) = negotiated.legs.get_mut(leg) {
        own.layout = own
            .layout
            .fold_answer(&mut description, exchange.offer.sections.len())
            .map_err(|offered| Refusal::Incomplete(format!("{answered} m= lines answer {offered}")))?;
    }
    let peer = desk.read(&description, negotiation, &options, false)?;
    let agreed = answer::agree_answerer(negotiated, desk, leg, &peer, &exchange, &options)?;
    if agreed.iter().all(Option::is_none) {
        return Err(Refusal::Incomplete("no audio that could go back".to_owned()));
    }
    answer::settle(negotiated, desk, leg, agreed);
    answer::open_missing(negotiated, desk, leg)?;
    answer::note_peers(negotiated, leg, digest(&negotiation.sdp), &options);
    answer::note_clear_keys(negotiated, desk, leg, options.flags.from_in_clear);
    negotiated.note_answer(dialog);
    negotiated.prune(&[leg]);
    Ok(Work { kind: WorkKind::EchoAnswer, dialog, from: leg, to: leg, description, options })
}

fn checked(negotiation: &Negotiation) -> Result<Options, Refusal> {
    let mut options = negotiation.options.clone().expanded();
    check_supported(&options)?;
    if options.flags.pass_through == Some(true) {
        return Err(Refusal::Unsupported("passthrough with echo".to_owned()));
    }
    options.flags.pass_through = Some(false);
    Ok(options)
}

fn described(negotiated: &Negotiated, desk: &mut Desk<'_>, leg: usize) -> Result<SessionDescription, Refusal> {
    let public = negotiated.legs.get(leg).map(|leg| sdp::NetworkAddress::from(leg.public));
    let public = public.ok_or(Refusal::FromTagNotFound)?;
    let mut text = format!("v=0\r\no=- {} 1 {public}\r\ns=-\r\nt=0 0\r\n", desk.secrets.session_id());
    text += &format!("m=audio 9 RTP/AVP {FORMATS}\r\nc={public}\r\n");
    for line in FORMAT_LINES {
        text += &format!("a={line}\r\n");
    }
    text += "a=sendrecv\r\n";
    SessionDescription::parse_bytes(text.as_bytes(), &sdp::Limits::default())
        .map_err(|error| Refusal::NotRewritable(error.to_string()))
}
