//! The order of the lines that we write.

use crate::Direction;
use crate::line::Line;
use crate::name;

/// Which order holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    Session,
    Media,
}

/// Attributes that follow the other received ones, in their order. SBC tools compare texts, so it must not change.
const AFTER_OTHERS: [&str; 16] = [
    name::RTCP,
    name::RTCP_MUX,
    name::RTCP_MUX_ONLY,
    name::CRYPTO,
    name::SETUP,
    name::CONNECTION,
    name::FINGERPRINT,
    name::TLS_ID,
    name::PTIME,
    name::MAXPTIME,
    name::ICE_UFRAG,
    name::ICE_PWD,
    name::ICE_OPTIONS,
    name::CANDIDATE,
    name::REMOTE_CANDIDATES,
    name::END_OF_CANDIDATES,
];

const OTHER: u8 = 40;
const DIRECTION: u8 = 41;
const FIRST_AFTER_OTHERS: u8 = 42;
const BLANK: u8 = u8::MAX;

/// Place of a line in its section; lines of equal rank stay as they came.
pub(crate) fn rank(line: &Line, scope: Scope) -> u8 {
    match (scope, line.kind(), line.as_attribute()) {
        (_, None, _) => BLANK,
        (Scope::Media, _, Some((attribute, _))) => media_attribute_rank(attribute),
        (Scope::Media, Some(kind), None) => position(kind, "icbk"),
        (Scope::Session, Some(kind), _) => position(kind, "vosiuepcbtrzk"),
    }
}

/// Index of a letter among those that have a fixed place (RFC 8866 §5).
fn position(kind: char, letters: &str) -> u8 {
    letters.chars().zip(0..).find(|&(letter, _)| letter == kind).map_or(OTHER, |(_, index)| index)
}

fn media_attribute_rank(attribute: &str) -> u8 {
    let is = |other: &str| attribute.eq_ignore_ascii_case(other);
    if is(name::MID) {
        10
    } else if is(name::LABEL) {
        11
    } else if is(name::BUNDLE_ONLY) {
        12
    } else if is(name::RTPMAP) || is(name::FMTP) || is(name::RTCP_FB) {
        13
    } else if is(name::EXTMAP) {
        14
    } else if Direction::from_name(attribute).is_some() {
        DIRECTION
    } else {
        AFTER_OTHERS.iter().zip(FIRST_AFTER_OTHERS..).find(|(other, _)| is(other)).map_or(OTHER, |(_, rank)| rank)
    }
}
