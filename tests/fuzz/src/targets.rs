//! The targets that are one parser each.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use control::frame::{ToPump, ToSession, check_greeting};
use control::wire::{Wire, from_bytes, to_bytes};
use control::{CallSnapshot, DtlsRole};
use dtls::guard::{Guard, MAX_DATAGRAM, Position, Survey};
use ice::stun;
use ng::{Outcome, Peer, Server, ServerConfig};
use rtp::rtcp::{self, Role, Translate};
use rtp::{RtcpCompound, RtpPacket};
use session::Refusal;
use srtp::sdes::{CryptoAttribute, Tolerance};

/// Any moment will do, as long as it is one.
#[allow(clippy::disallowed_methods)]
fn moment() -> Instant {
    static MOMENT: OnceLock<Instant> = OnceLock::new();
    *MOMENT.get_or_init(Instant::now)
}

/// What is accepted prints as it came, and is read again as the same.
pub(crate) fn sdp(bytes: &[u8]) {
    let limits = sdp::Limits::default();
    let Ok(description) = sdp::SessionDescription::parse_bytes(bytes, &limits) else { return };
    let printed = description.to_string();
    let again = sdp::SessionDescription::parse_with(&printed, &limits).expect("what was printed can be read");
    assert_eq!(again.to_string(), printed);
    assert_eq!(again.media().len(), description.media().len());
    for effective in description.effective_media() {
        let _ = (effective.connection(), effective.direction(), effective.setup(), effective.ice_ufrag());
        for candidate in effective.media().try_all::<sdp::Candidate>().flatten() {
            let _ = candidate.socket_addr();
        }
        let _ = (effective.extmaps().count(), effective.fingerprints().count());
        let _ = effective.media().payload_types().count();
    }
}

/// What is decoded is encoded to something that decodes, and is encoded again to the same bytes.
pub(crate) fn bencode(bytes: &[u8]) {
    if let Ok(value) = ng::bencode::decode(bytes) {
        // Keys are sorted in what we encode, and need not be in what we take.
        let encoded = ng::bencode::encode(&value);
        let again = ng::bencode::decode(&encoded).expect("what was encoded can be decoded");
        assert_eq!(ng::bencode::encode(&again), encoded);
    }
    if let Ok(value) = ng::json::decode(bytes) {
        assert!(ng::json::decode(&ng::json::encode(&value)).is_ok());
    }
}

/// A whole datagram to the server: one outcome, one reply, and the same bytes again are not carried out again.
pub(crate) fn ng(bytes: &[u8]) {
    let mut server = Server::new(ServerConfig::default());
    let peer = Peer::Datagram(SocketAddr::from(([192, 0, 2, 1], 5060)));
    match server.handle_message(moment(), peer, bytes) {
        Outcome::Request(token, _) => {
            assert_eq!(server.under_way(), 1);
            assert!(matches!(server.handle_message(moment(), peer, bytes), Outcome::Absorbed), "carried out twice");
            let replies = server.handle_reply(moment(), token, &Err(Refusal::UnknownCallId));
            assert_eq!(replies.len(), 1);
            assert_eq!(server.under_way(), 0);
            assert!(matches!(server.handle_message(moment(), peer, bytes), Outcome::Reply(_)), "carried out again");
        }
        Outcome::Reply(reply) => assert!(!reply.bytes.is_empty()),
        Outcome::Absorbed => panic!("nothing is under way"),
        Outcome::Unreadable => assert_eq!(server.counters().malformed, 1),
    }
    server.handle_timeout(moment() + Duration::from_secs(60));
    assert_eq!(server.under_way(), 0);
}

/// Frames of the control link, either way: the first byte says which. What is read is written as it came, or shorter.
pub(crate) fn control(bytes: &[u8]) {
    fn check<T: Wire>(bytes: &[u8]) {
        let Ok(value) = from_bytes::<T>(bytes) else { return };
        let written = to_bytes(&value);
        let again = from_bytes::<T>(&written).ok().map(|value| to_bytes(&value));
        assert!(again.is_some_and(|again| again == written), "what was written is read as something else");
    }
    match bytes.split_first() {
        Some((0, frame)) => check::<ToPump>(frame),
        Some((1, frame)) => check::<ToSession>(frame),
        Some((2, frame)) => check::<CallSnapshot>(frame),
        Some((_, frame)) => {
            let _ = frame.first_chunk().map(check_greeting);
        }
        None => {}
    }
}

/// Nothing that has no key verifies, and attributes stay inside the message.
pub(crate) fn stun(bytes: &[u8]) {
    let Some(message) = stun::Message::decode(bytes) else { return };
    assert!(message.len() <= bytes.len());
    let inside: usize = message.attributes().map(|attribute| attribute.value.len() + 4).sum();
    assert!(inside <= bytes.len(), "attributes reach beyond the message");
    let _ = (message.username(), message.priority(), message.use_candidate(), message.error_code());
    let _ = (message.xor_mapped_address(), message.verify_fingerprint(), message.unknown_attributes().count());
    if !message.has_integrity() {
        assert!(!message.verify_integrity("a password that nobody has said"));
    }
}

/// Views stay inside the packet.
pub(crate) fn rtp(bytes: &[u8]) {
    let _ = rtp::classify(bytes);
    let Some(packet) = RtpPacket::parse(bytes) else { return };
    assert_eq!(packet.header_len() + packet.payload().len(), bytes.len());
    assert_eq!(rtp::header_len(bytes), Some(packet.header_len()));
    assert!(packet.media().is_none_or(|media| media.len() <= packet.payload().len()));
    assert!(packet.csrcs().len() <= 15);
    let elements = packet.extension().into_iter().flat_map(|extension| extension.elements());
    assert!(elements.map(|element| element.value.len()).sum::<usize>() <= packet.header_len());
    for id in 0..=255 {
        let _ = packet.extension_element(id);
    }
    let mut edited = bytes.to_vec();
    rtp::set_sequence_number(&mut edited, 0x1234);
    rtp::set_ssrc(&mut edited, 0x5678_9ABC);
    let edited = RtpPacket::parse(&edited).expect("it is still a packet");
    assert_eq!((edited.sequence_number(), edited.ssrc(), edited.payload()), (0x1234, 0x5678_9ABC, packet.payload()));
}

/// Turns every SSRC's bits over.
struct Flip;

impl Translate for Flip {
    fn ssrc(&mut self, _: Role, ssrc: u32) -> u32 {
        !ssrc
    }
}

/// Edits leave a compound that can be read, of the same length or a shorter one; two translations cancel out.
pub(crate) fn rtcp(bytes: &[u8]) {
    let Some(compound) = RtcpCompound::parse(bytes) else {
        assert!(!rtcp::translate(&mut bytes.to_vec(), &mut Flip), "what cannot be read is not edited");
        return;
    };
    for packet in compound.packets() {
        let _ = (packet.sender_ssrc(), packet.sender_information(), packet.media_ssrc());
        let _ = (packet.report_blocks().count(), packet.nacks().count(), packet.bye_ssrcs().count());
        let _ = packet.sdes_chunks().flatten().map(|chunk| chunk.items().count()).sum::<usize>();
        for block in packet.xr_blocks().flatten() {
            let _ = (block.ssrc(), block.sequence_range());
        }
    }
    let mut edited = bytes.to_vec();
    assert!(rtcp::translate(&mut edited, &mut Flip));
    assert!(RtcpCompound::parse(&edited).is_some());
    let kept = rtcp::without_feedback(&mut edited);
    assert!(kept <= bytes.len());
    assert!(kept == 0 || RtcpCompound::parse(&edited[..kept]).is_some());
}

/// A line that is accepted prints to one that is read as the same.
pub(crate) fn sdes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let tolerance = Tolerance { null_cipher: true, unencrypted: true, unauthenticated: true };
    let Ok(line) = CryptoAttribute::parse_with(text, tolerance) else { return };
    let printed = line.to_string();
    let again = CryptoAttribute::parse_with(&printed, tolerance);
    assert!(again.is_ok_and(|again| again == line), "a line prints to another one");
    let _ = (line.policy(), line.master_keys().len());
}

/// The record guard: what is admitted is part of what came, and in bounds.
pub(crate) fn dtls(bytes: &[u8]) {
    let Some((&state, datagram)) = bytes.split_first() else { return };
    let Some(survey) = Survey::of(datagram) else { return };
    assert!(datagram.len() <= MAX_DATAGRAM);
    let _ = (survey.hello(), survey.alert());
    let role = if state & 1 == 0 { DtlsRole::Server } else { DtlsRole::Client };
    let position = Position { read_epoch: u16::from(state >> 1 & 3), read_sequence: u32::from(state >> 3) };
    let mut guard = Guard::new(moment(), role);
    for _ in 0..3 {
        let Some(admitted) = guard.admit(moment(), &survey, position) else { break };
        assert!(admitted.len() <= datagram.len() && !admitted.is_empty());
        assert!(Survey::of(&admitted).is_some(), "what is admitted is well formed");
    }
}
