//! Typed values, and what a section inherits from the session level.

#![allow(clippy::unwrap_used)]

use sallyport_sdp::{
    Attribute, AttributeFault, Candidate, CandidateKind, Crypto, Direction, Extmap, Group, NetworkAddress, Origin,
    Rtcp, RtcpFb, Rtpmap, SessionDescription, Setup, Ssrc, SsrcGroup,
};

#[test]
fn a_candidate_of_rfc_8839_is_read_field_by_field() {
    // RFC 8839 §5.1.
    let candidate =
        Candidate::parse("2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998").unwrap();
    assert_eq!((candidate.foundation.as_str(), candidate.component, candidate.priority), ("2", 1, 1_694_498_815));
    assert_eq!(candidate.socket_addr(), Some("192.0.2.3:45664".parse().unwrap()));
    assert_eq!(candidate.kind, CandidateKind::ServerReflexive);
    assert_eq!((candidate.related_address.as_deref(), candidate.related_port), (Some("203.0.113.141"), Some(8998)));
    assert!(candidate.is_udp());
}

#[test]
fn a_hidden_address_is_kept_as_text() {
    let text = "1 1 tcp 1518280447 4f1c2d7e.local 9 typ host tcptype active generation 0";
    let candidate = Candidate::parse(text).unwrap();
    assert_eq!((candidate.ip(), candidate.address.as_str()), (None, "4f1c2d7e.local"));
    assert_eq!((candidate.extension("tcptype"), candidate.extension("ufrag")), (Some("active"), None));
    assert_eq!(candidate.to_string(), text);
}

#[test]
fn unreadable_values_name_the_part_at_fault() {
    fn fault<T: Attribute>(value: &str) -> (&'static str, AttributeFault) {
        let error = T::parse(value).map(|_| ()).expect_err(value);
        assert_eq!(error.attribute, T::NAME);
        (error.field, error.fault)
    }
    use AttributeFault::{Missing, NotInRange, Unknown};
    assert_eq!(fault::<Candidate>(""), ("foundation", Missing));
    assert_eq!(fault::<Candidate>("1 0 UDP 1 ::1 9 typ host"), ("component", NotInRange));
    assert_eq!(fault::<Candidate>("1 257 UDP 1 ::1 9 typ host"), ("component", NotInRange));
    assert_eq!(fault::<Candidate>("1 1 UDP 4294967296 ::1 9 typ host"), ("priority", NotInRange));
    assert_eq!(fault::<Candidate>("1 1 UDP 1 ::1 65536 typ host"), ("port", NotInRange));
    assert_eq!(fault::<Candidate>("1 1 UDP 1 ::1 9 host"), ("typ", Missing));
    assert_eq!(fault::<Candidate>("1 1 UDP 1 ::1 9 typ"), ("type", Missing));
    assert_eq!(fault::<Candidate>("1 1 UDP 1 ::1 9 typ host raddr ::1 rport x"), ("rport", NotInRange));
    assert_eq!(fault::<Rtpmap>("128 x/8000"), ("payload type", NotInRange));
    assert_eq!(fault::<Rtpmap>("0 PCMU"), ("clock rate", Missing));
    assert_eq!(fault::<Rtpmap>("0 /8000"), ("encoding", Missing));
    assert_eq!(fault::<Rtcp>("9 IN IP4"), ("address", Missing));
    assert_eq!(fault::<Rtcp>("-1"), ("port", NotInRange));
    assert_eq!(fault::<Extmap>("1/up urn:x"), ("direction", Unknown));
    assert_eq!(fault::<Extmap>("1"), ("uri", Missing));
    assert_eq!(fault::<Setup>("both"), ("role", Unknown));
    assert_eq!(fault::<Crypto>("1234567890 x"), ("tag", NotInRange));
    assert_eq!(fault::<Crypto>("1"), ("suite", Missing));
    assert_eq!(fault::<Ssrc>("4294967296 cname:x"), ("source", NotInRange));
    assert_eq!(fault::<SsrcGroup>("FID 1 x"), ("source", NotInRange));
    assert_eq!(fault::<RtcpFb>("*"), ("feedback", Missing));
    assert_eq!(fault::<Group>(" "), ("semantics", Missing));
}

#[test]
fn rtcp_is_printed_in_full_from_an_address_and_read_in_both_forms() {
    assert_eq!(
        Rtcp::parse("53020 IN IP6 2001:db8::1").unwrap().address.unwrap().ip(),
        Some("2001:db8::1".parse().unwrap())
    );
    assert_eq!(Rtcp::parse("53020").unwrap(), Rtcp { port: 53020, address: None });
    let ours = Rtcp::from("[2001:db8::1]:9".parse::<std::net::SocketAddr>().unwrap());
    assert_eq!(ours.to_string(), "9 IN IP6 2001:db8::1");
}

#[test]
fn multicast_suffixes_and_names_are_tolerated() {
    let address = |text: &str| NetworkAddress::parse(text).unwrap();
    assert_eq!(address("IN IP4 233.252.0.1/127/3").ip(), Some("233.252.0.1".parse().unwrap()));
    assert_eq!(address("IN IP6 ff15::101/3").ip(), Some("ff15::101".parse().unwrap()));
    assert_eq!(address("IN IP4 media.example.com").ip(), None);
    assert!(address("IN IP4 0.0.0.0").is_unspecified() && address("IN IP6 ::").is_unspecified());
}

#[test]
fn an_origin_may_have_a_display_name_and_a_version_of_any_size() {
    let origin = Origin::parse("Jane  Doe 7 18446744073709551616 IN IP4 192.0.2.1").unwrap();
    assert_eq!((origin.username.as_str(), origin.session_id.as_str()), ("Jane  Doe", "7"));
    assert_eq!(origin.session_version_number(), None);
    assert_eq!(origin.to_string(), "Jane  Doe 7 18446744073709551616 IN IP4 192.0.2.1");
    assert_eq!(Origin::parse("7 1 IN IP4 192.0.2.1"), None);
}

const BOTH: &str = "\
v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
a=inactive
a=ice-lite
a=ice-ufrag:su
a=ice-pwd:sp
a=ice-options:trickle ice2
a=fingerprint:sha-256 00
a=fingerprint:sha-512 00
a=setup:actpass
a=tls-id:s
a=extmap:1 urn:s
m=audio 9 UDP/TLS/RTP/SAVPF 0
m=audio 9 UDP/TLS/RTP/SAVPF 0
c=IN IP6 2001:db8::1
a=recvonly
a=ice-ufrag:mu
a=ice-pwd:mp
a=fingerprint:sha-1 01
a=setup:passive
a=tls-id:m
a=extmap:2 urn:m
";

#[test]
fn a_silent_section_inherits_from_the_session_level() {
    let description = SessionDescription::parse(BOTH).unwrap();
    let section = description.effective(0).unwrap();
    assert_eq!(section.ip(), Some("192.0.2.1".parse().unwrap()));
    assert_eq!((section.direction(), section.setup()), (Direction::Inactive, Some(Setup::ActPass)));
    assert_eq!((section.ice_ufrag(), section.ice_pwd(), section.tls_id()), (Some("su"), Some("sp"), Some("s")));
    assert!(section.fingerprints().eq(["sha-256 00", "sha-512 00"]));
    assert!(section.ice_options().eq(["trickle", "ice2"]));
    assert!(section.is_ice_lite());
}

#[test]
fn a_section_that_speaks_overrides_the_session_level() {
    let description = SessionDescription::parse(BOTH).unwrap();
    let section = description.effective_media().nth(1).unwrap();
    assert_eq!(section.ip(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!((section.direction(), section.setup()), (Direction::RecvOnly, Some(Setup::Passive)));
    assert_eq!((section.ice_ufrag(), section.ice_pwd(), section.tls_id()), (Some("mu"), Some("mp"), Some("m")));
    // RFC 8122 §5: those of the section replace those of the session, whatever their hash.
    assert!(section.fingerprints().eq(["sha-1 01"]));
    assert!(section.extmaps().map(|extmap| extmap.id).eq([2, 1]));
}

#[test]
fn sendrecv_holds_when_nobody_says_anything() {
    let description = SessionDescription::parse("v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\n").unwrap();
    assert_eq!(description.effective(0).unwrap().direction(), Direction::SendRecv);
    assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
    assert!(description.effective(1).is_none());
}

#[test]
fn port_zero_rejects_unless_the_section_rides_in_a_bundle() {
    let text =
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 0 RTP/AVP 0\nm=audio 0 RTP/AVP 0\na=bundle-only\nm=audio 9 RTP/AVP 0\n";
    let description = SessionDescription::parse(text).unwrap();
    assert!(description.media().iter().map(|media| media.is_rejected()).eq([true, false, false]));
}
