//! Trickled candidates: pieces of a description (RFC 8840 §9) that an SBC hands on with the flag `fragment`.
//!
//! We are ICE-lite and answer the peer's checks wherever they come from, so that its candidates decide nothing; they tell an
//! operator where the peer could have been reached. They go no further: each leg has ICE of its own.

use std::time::Instant;

use sdp::{Attribute, Candidate, name};

use super::Session;
use crate::call::Call;
use crate::leg::Negotiated;
use crate::negotiate::WorkKind;
use crate::peer::{MAX_CANDIDATES, PeerIce, PeerSection};
use crate::{Negotiation, Refusal, Reply, Token};

/// What a piece says of one section.
#[derive(Default)]
struct Piece<'a> {
    mid: Option<&'a str>,
    ufrag: Option<&'a str>,
    candidates: Vec<Candidate>,
}

impl Session {
    /// True for a piece: a whole description begins with its version.
    pub(super) fn is_fragment(negotiation: &Negotiation) -> bool {
        negotiation.options.flags.fragment && !negotiation.sdp.starts_with(b"v=")
    }

    /// Takes in what a piece tells of its sender's candidates. There is no description to answer with.
    pub(super) fn take_fragment(
        &mut self,
        now: Instant,
        mut call: Box<Call>,
        token: Token,
        kind: WorkKind,
        negotiation: &Negotiation,
    ) {
        let taken = sender(&call.negotiated, kind, negotiation).and_then(|leg| {
            let text = std::str::from_utf8(&negotiation.sdp)
                .map_err(|error| Refusal::Unreadable(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
            take(&mut call.negotiated, leg, &pieces(text));
            Ok(Reply::Done)
        });
        if taken.is_ok() {
            self.apply(now, &mut call, false);
        }
        self.reply(token, taken);
        self.keep(call);
    }
}

/// The leg that a piece comes from: of an offer the one with the from-tag, of an answer the one with the to-tag.
fn sender(negotiated: &Negotiated, kind: WorkKind, negotiation: &Negotiation) -> Result<usize, Refusal> {
    match kind {
        WorkKind::Offer | WorkKind::Echo | WorkKind::EchoOffer | WorkKind::EchoAnswer => {
            negotiated.leg_by_tag(&negotiation.from_tag).ok_or(Refusal::FromTagNotFound)
        }
        WorkKind::Answer | WorkKind::Subscription | WorkKind::SubscriptionAnswer => {
            let tag = negotiation.to_tag.as_deref().ok_or(Refusal::NoToTag)?;
            negotiated.leg_by_tag(tag).ok_or(Refusal::ToTagNotFound)
        }
    }
}

/// Lines before the first m= hold for every section. What cannot be read is passed over.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = vec![Piece::default()];
    for line in text.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            pieces.push(Piece::default());
        }
        let Some(piece) = pieces.last_mut() else { continue };
        let (own, value) = line.strip_prefix("a=").and_then(|line| line.split_once(':')).unwrap_or_default();
        if own.eq_ignore_ascii_case(name::MID) {
            piece.mid = Some(value.trim());
        } else if own.eq_ignore_ascii_case(name::ICE_UFRAG) {
            piece.ufrag = Some(value.trim());
        } else if own.eq_ignore_ascii_case(name::CANDIDATE) {
            piece.candidates.extend(Candidate::parse(value).ok().filter(Candidate::is_udp));
        }
    }
    pieces
}

fn take(negotiated: &mut Negotiated, leg: usize, pieces: &[Piece<'_>]) {
    let Some((session, sections)) = pieces.split_first() else { return };
    for (index, piece) in sections.iter().enumerate() {
        let ufrag = piece.ufrag.or(session.ufrag);
        let is_it = |number: usize, section: &PeerSection| match piece.mid {
            Some(mid) => section.mid.as_deref() == Some(mid),
            None => number == index,
        };
        let offers = negotiated.dialogs.iter_mut().filter_map(|dialog| dialog.exchange.as_mut());
        let offered = offers.filter(|offer| offer.offerer == leg).flat_map(|offer| offer.offer.sections.iter_mut());
        let sections = negotiated.legs.get_mut(leg).into_iter().flat_map(|leg| &mut leg.sections).enumerate();
        let agreed = sections.filter_map(|(number, own)| Some((number, &mut own.agreed.as_mut()?.peer)));
        for (_, section) in offered.enumerate().chain(agreed).filter(|(number, section)| is_it(*number, section)) {
            // Candidates of another generation are of no use (RFC 8838 §11).
            let ice = section.ice.as_mut().filter(|ice| ufrag.is_none_or(|ufrag| ice.credentials.ufrag == ufrag));
            if let Some(ice) = ice {
                add(ice, &piece.candidates);
            }
        }
    }
}

fn add(ice: &mut PeerIce, candidates: &[Candidate]) {
    for candidate in candidates {
        let list = if candidate.component == 1 { &mut ice.rtp_candidates } else { &mut ice.rtcp_candidates };
        list.extend(candidate.socket_addr().filter(|address| list.len() < MAX_CANDIDATES && !list.contains(address)));
    }
}
