//! Edits as before-text and after-text. What a test does not name must not change.

#![allow(clippy::unwrap_used)]

use sallyport_sdp::{
    Candidate, Crypto, Direction, FingerprintText, Group, IceOptions, IcePwd, IceUfrag, MediaSection, Mid, Origin,
    Protocol, Rtcp, SessionDescription, Setup, TlsId, TransportLines, name,
};

/// Applies an edit to a text; both are compared with LF and again with CRLF.
fn edit(before: &str, after: &str, edit: impl Fn(&mut SessionDescription)) {
    for ending in ["\n", "\r\n"] {
        let mut description = SessionDescription::parse(&before.replace('\n', ending)).unwrap();
        edit(&mut description);
        assert_eq!(description.to_string(), after.replace('\n', ending));
    }
}

const PHONE: &str = "\
v=0
o=- 20 3 IN IP4 192.0.2.1
s=a  call
c=IN IP4 192.0.2.1
t=0 0
a=x-session:kept
m=audio 4000 RTP/AVP 0 8 101
b=AS:64
a=ptime:20
a=rtpmap:101 telephone-event/8000
a=x-kept:as  is
a=sendrecv
";

#[test]
fn a_token_of_the_m_line_changes_alone() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio\t4000/2  rtp/avp  0 8 \na=x\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio\t30000/2  UDP/TLS/RTP/SAVPF 8\na=x\n",
        |description| {
            let media = &mut description.media_mut()[0];
            media.set_port(30000);
            media.set_protocol(Protocol::UdpTlsRtpSavpf);
            media.set_formats(["8"]);
        },
    );
}

#[test]
fn the_same_protocol_in_small_letters_stays_as_written() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 4000 rtp/avp 0\n";
    edit(text, text, |description| description.media_mut()[0].set_protocol(Protocol::RtpAvp));
}

#[test]
fn origin_name_and_connection_are_rewritten_where_they_stand() {
    let after = PHONE
        .replace("o=- 20 3 IN IP4 192.0.2.1", "o=- 20 4 IN IP6 2001:db8::7")
        .replace("s=a  call", "s=-")
        .replace("c=IN IP4 192.0.2.1", "c=IN IP6 2001:db8::7");
    edit(PHONE, &after, |description| {
        let ip: std::net::IpAddr = "2001:db8::7".parse().unwrap();
        description.set_origin(Origin {
            session_version: "4".to_owned(),
            address: ip.into(),
            ..description.origin().clone()
        });
        description.set_session_name("-");
        description.set_connection(&ip.into());
    });
}

#[test]
fn a_connection_line_moves_from_session_to_section() {
    let after = PHONE
        .replace("c=IN IP4 192.0.2.1\n", "")
        .replace("RTP/AVP 0 8 101\n", "RTP/AVP 0 8 101\nc=IN IP4 203.0.113.9\n");
    edit(PHONE, &after, |description| {
        assert!(description.remove_connection());
        let ip: std::net::IpAddr = "203.0.113.9".parse().unwrap();
        description.media_mut()[0].set_connection(&ip.into());
    });
}

#[test]
fn a_session_connection_is_placed_before_bandwidth_and_time() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\ni=about\nb=CT:9\nt=0 0\na=x\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\ni=about\nc=IN IP4 192.0.2.1\nb=CT:9\nt=0 0\na=x\na=ice-lite\n",
        |description| {
            let address = description.origin().address.clone();
            description.set_connection(&address);
            description.session_mut().insert(name::ICE_LITE, "");
        },
    );
}

#[test]
fn transport_lines_are_written_behind_what_was_received_in_our_order() {
    let before = "\
v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 4000 RTP/SAVPF 0
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
a=sendonly
a=x-first
a=ICE-UFRAG:abcd
a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host
a=rtpmap:0 PCMU/8000
a=remote-candidates:1 192.0.2.9 9
a=rtcp-mux
a=x-second
a=ptime:20
";
    let after = "\
v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 4000 RTP/SAVPF 0
a=mid:a
a=x-first
a=rtpmap:0 PCMU/8000
a=x-second
a=recvonly
a=rtcp:30001 IN IP4 203.0.113.9
a=rtcp-mux
a=crypto:7 AEAD_AES_256_GCM inline:x
a=setup:passive
a=fingerprint:sha-256 0A:0B
a=tls-id:abc
a=ptime:20
a=ice-ufrag:ufra
a=ice-pwd:pwd
a=ice-options:trickle ice2
a=candidate:1 1 UDP 2130706431 203.0.113.9 30000 typ host
a=candidate:2 1 UDP 2130706175 2001:db8::9 30000 typ host
a=end-of-candidates
";
    edit(before, after, |description| {
        let media = &mut description.media_mut()[0];
        media.add(&Mid("a".to_owned()));
        media.replace_transport(&TransportLines {
            direction: Some(Direction::RecvOnly),
            rtcp: Some(Rtcp::from("203.0.113.9:30001".parse::<std::net::SocketAddr>().unwrap())),
            rtcp_mux: true,
            crypto: vec![Crypto { tag: 7, rest: "AEAD_AES_256_GCM inline:x".to_owned() }],
            setup: Some(Setup::Passive),
            fingerprints: vec![FingerprintText("sha-256 0A:0B".to_owned())],
            tls_id: Some(TlsId("abc".to_owned())),
            ice_ufrag: Some(IceUfrag("ufra".to_owned())),
            ice_pwd: Some(IcePwd("pwd".to_owned())),
            ice_options: Some(IceOptions(vec!["trickle".to_owned(), "ice2".to_owned()])),
            candidates: vec![
                Candidate::host("1", 1, 2_130_706_431, "203.0.113.9:30000".parse().unwrap()),
                Candidate::host("2", 1, 2_130_706_175, "[2001:db8::9]:30000".parse().unwrap()),
            ],
            end_of_candidates: true,
            ..TransportLines::default()
        });
    });
}

#[test]
fn arranging_brings_a_section_into_the_order_that_sbc_tools_compare() {
    let before = "\
v=0
o=- 1 1 IN IP4 192.0.2.1
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
a=end-of-candidates
a=candidate:2
a=candidate:1
a=ice-options:trickle
a=ice-pwd:p
a=ice-ufrag:u
a=maxptime:60
a=ptime:20
a=tls-id:t
a=fingerprint:sha-256 00
a=setup:active
a=crypto:1 x
a=rtcp-mux
a=rtcp:9
a=sendonly
a=x-other:2
a=x-other:1
a=extmap:1 urn:x
a=fmtp:111 a=b
a=rtpmap:111 opus/48000/2
a=bundle-only
a=label:l
a=mid:0
b=AS:64
c=IN IP4 0.0.0.0
i=title
";
    let after = "\
v=0
o=- 1 1 IN IP4 192.0.2.1
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
i=title
c=IN IP4 0.0.0.0
b=AS:64
a=mid:0
a=label:l
a=bundle-only
a=fmtp:111 a=b
a=rtpmap:111 opus/48000/2
a=extmap:1 urn:x
a=x-other:2
a=x-other:1
a=sendonly
a=rtcp:9
a=rtcp-mux
a=crypto:1 x
a=setup:active
a=fingerprint:sha-256 00
a=tls-id:t
a=ptime:20
a=maxptime:60
a=ice-ufrag:u
a=ice-pwd:p
a=ice-options:trickle
a=candidate:2
a=candidate:1
a=end-of-candidates
";
    edit(before, after, |description| description.media_mut()[0].arrange());
}

#[test]
fn a_repeated_attribute_is_replaced_once_where_the_first_stood() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\na=setup:actpass\na=x\na=Setup:active\na=inactive\na=sendonly\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\na=setup:passive\na=x\na=sendrecv\n",
        |description| {
            let media = &mut description.media_mut()[0];
            media.set(&Setup::Passive);
            media.set_direction(Direction::SendRecv);
        },
    );
}

#[test]
fn a_format_goes_with_its_codec_lines_and_no_others() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=video 9 RTP/AVPF 96 9 97\na=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack\na=rtcp-fb:* nack\na=rtpmap:9 G722/8000\na=fmtp:97 apt=96\na=imageattr:96 *\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=video 9 RTP/AVPF 9 97\na=rtcp-fb:* nack\na=rtpmap:9 G722/8000\na=fmtp:97 apt=96\na=imageattr:96 *\n",
        |description| assert!(description.media_mut()[0].remove_format("96")),
    );
}

#[test]
fn bandwidth_is_removed_by_its_type() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/AVPF 0\nb=AS:64\nb=RR:800\nb=odd\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/AVPF 0\nb=AS:64\nb=odd\n",
        |description| {
            let media = &mut description.media_mut()[0];
            assert!(media.bandwidths().eq([("AS", 64), ("RR", 800)]));
            assert_eq!(media.remove_bandwidth("rr"), 1);
        },
    );
}

#[test]
fn sections_are_pushed_before_trailing_empty_lines_and_end_like_the_first_line() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 9 RTP/AVP 0\n\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\na=group:BUNDLE 0 1\nm=video 0 RTP/AVP 96\na=mid:1\n\n",
        |description| {
            let mut section = MediaSection::new("video", 0, Protocol::RtpAvp, ["96"]);
            section.add(&Mid("1".to_owned()));
            description.push_media(section);
            assert!(description.remove_media(0).is_some());
            assert!(description.remove_media(7).is_none());
            let tags = vec!["0".to_owned(), "1".to_owned()];
            description.session_mut().add(&Group { semantics: "BUNDLE".to_owned(), tags });
        },
    );
}

#[test]
fn a_missing_final_newline_stays_missing_behind_what_is_added() {
    let mut description = SessionDescription::parse("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0").unwrap();
    description.media_mut()[0].insert(name::RTCP_MUX, "");
    assert_eq!(description.to_string(), "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 9 RTP/AVP 0\r\na=rtcp-mux");
}

#[test]
fn text_given_to_a_setter_never_becomes_a_line() {
    edit(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nm=audio 9 RTP/AVP 0\n",
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=x  a=crypto:1\nm=audio 9 RTP/AVP 0\na=label:x  m=audio 1 RTP/AVP 0\n",
        |description| {
            description.set_session_name("x\r\na=crypto:1");
            description.media_mut()[0].insert(name::LABEL, "x\n\0m=audio 1 RTP/AVP 0");
        },
    );
}
