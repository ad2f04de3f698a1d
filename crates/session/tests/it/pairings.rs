//! Every profile to every profile: before-text and after-text.

use crate::support::{Bench, expected, masked};
use control::{Keying, RtcpPolicy};
use sallyport_session::{IceOption, MediaProfile, Options, RtcpMuxOptions, TransportProtocol};

const PLAIN: &str = "
    v=0
    o=alice 2890844526 7 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    m=audio 4000 RTP/AVP 0 101
    a=rtpmap:101 telephone-event/8000
    a=x-kept:as  is
    a=sendrecv
";

const BROWSER: &str = "
    v=0
    o=- 4611731400430051336 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE 0
    a=extmap-allow-mixed
    a=msid-semantic: WMS
    m=audio 50000 UDP/TLS/RTP/SAVPF 111 0
    c=IN IP4 192.0.2.20
    a=rtcp:9 IN IP4 0.0.0.0
    a=candidate:1 1 udp 2122260223 192.0.2.20 50000 typ host generation 0
    a=candidate:2 1 udp 2122260223 3b1f.local 50001 typ host generation 0
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=ice-options:trickle
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    a=mid:0
    a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
    a=sendrecv
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:111 opus/48000/2
    a=rtcp-fb:111 transport-cc
    a=fmtp:111 minptime=10;useinbandfec=1
    a=rtpmap:0 PCMU/8000
    a=ssrc:1234 cname:x
";

const SDES_ANSWER: &str = "
    v=0
    o=bob 1 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=audio 6000 RTP/SAVP 0
    a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
";

fn to(profile: MediaProfile) -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(profile)), ..Options::default() }
}

#[test]
fn plain_to_plain_keeps_every_word_but_the_address() {
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(PLAIN, Options::default()));
    assert_eq!(
        offer,
        expected(
            "
            v=0
            o=alice 2890844526 7 IN IP4 192.0.2.10
            s=-
            t=0 0
            m=audio P1 RTP/AVP 0 101
            c=IN IP4 10.0.0.1
            a=rtpmap:101 telephone-event/8000
            a=rtpmap:0 PCMU/8000
            a=x-kept:as  is
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            "
        )
    );
}

#[test]
fn plain_to_sdes_offers_our_suites_in_order_each_with_a_key_of_its_own() {
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(PLAIN, to(MediaProfile::RtpSavp)));
    assert_eq!(
        offer,
        expected(
            "
            v=0
            o=alice 2890844526 7 IN IP4 192.0.2.10
            s=-
            t=0 0
            m=audio P1 RTP/SAVP 0 101
            c=IN IP4 10.0.0.1
            a=rtpmap:101 telephone-event/8000
            a=rtpmap:0 PCMU/8000
            a=x-kept:as  is
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:1 AEAD_AES_256_GCM inline:KEY1
            a=crypto:2 AEAD_AES_128_GCM inline:KEY2
            a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:KEY3
            a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY4
            a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:KEY5
            "
        )
    );
    let answer = masked(&bench.answer(SDES_ANSWER, Options::default()));
    assert_eq!(
        answer,
        expected(
            "
            v=0
            o=bob 1 1 IN IP4 198.51.100.5
            s=-
            t=0 0
            m=audio P1 RTP/AVP 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            "
        )
    );
    let plan = bench.plan();
    assert_eq!(plan.transports.len(), 4);
    assert_eq!(plan.transports.iter().filter(|t| matches!(t.keying, Keying::Sdes(_))).count(), 2);
    assert_eq!(plan.transports.iter().filter(|t| matches!(t.keying, Keying::Plain)).count(), 2);
    assert_eq!(plan.flows.len(), 2);
    assert!(plan.flows.iter().all(|flow| flow.forward_media));
    let view = bench.session.call("call").expect("known");
    assert!(view.summary.downgraded, "a plain leg beside a secure one is a downgrade");
}

#[test]
fn a_browsers_offer_becomes_an_sdes_offer_without_a_trace_of_webrtc() {
    let mut bench = Bench::new();
    let options = Options {
        ice: Some(IceOption::Remove),
        rtcp_mux: RtcpMuxOptions { demux: true, ..RtcpMuxOptions::default() },
        ..to(MediaProfile::RtpSavp)
    };
    let offer = masked(&bench.offer(BROWSER, options));
    assert_eq!(
        offer,
        expected(
            "
            v=0
            o=- 4611731400430051336 2 IN IP4 127.0.0.1
            s=-
            t=0 0
            a=extmap-allow-mixed
            a=msid-semantic: WMS
            m=audio P1 RTP/SAVP 111 0
            c=IN IP4 10.0.0.1
            a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
            a=rtpmap:111 opus/48000/2
            a=fmtp:111 minptime=10;useinbandfec=1
            a=rtpmap:0 PCMU/8000
            a=ssrc:1234 cname:x
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:1 AEAD_AES_256_GCM inline:KEY1
            a=crypto:2 AEAD_AES_128_GCM inline:KEY2
            a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:KEY3
            a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY4
            a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:KEY5
            "
        )
    );
    let answer = masked(&bench.answer(SDES_ANSWER, Options::default()));
    assert_eq!(
        answer,
        expected(
            "
            v=0
            o=bob 1 1 IN IP4 198.51.100.5
            s=-
            t=0 0
            a=group:BUNDLE 0
            a=ice-lite
            m=audio P1 UDP/TLS/RTP/SAVPF 0
            c=IN IP4 10.0.0.1
            a=mid:0
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1 IN IP4 10.0.0.1
            a=rtcp-mux
            a=setup:active
            a=fingerprint:OURS
            a=tls-id:TLSID1
            a=ice-ufrag:UFRAG1
            a=ice-pwd:PWD1
            a=candidate:1 1 UDP 2130706431 10.0.0.1 P1 typ host
            a=end-of-candidates
            "
        )
    );
    let plan = bench.plan();
    assert_eq!(plan.transports.len(), 3, "one towards the browser, two towards the phone");
    let to_phone = plan.flows.iter().find(|flow| flow.egress_rtp != flow.egress_rtcp).expect("two ports");
    assert_eq!(to_phone.rtcp, RtcpPolicy::WithoutFeedback);
    let ice = plan.transports.iter().find_map(|transport| transport.ice.as_ref()).expect("ICE");
    assert_eq!(ice.remote_candidates, ["192.0.2.20:50000".parse().unwrap()], "a name hidden by mDNS is left out");
}

#[test]
fn an_sdes_offer_becomes_a_webrtc_offer_without_crypto_lines() {
    let mut bench = Bench::new();
    let sdes = PLAIN
        .replace("RTP/AVP", "RTP/SAVP")
        .replace("a=sendrecv", "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz");
    let mut options = Options::default();
    options.flags.web_rtc = true;
    let offer = masked(&bench.offer(&sdes, options));
    assert_eq!(
        offer,
        expected(
            "
            v=0
            o=alice 2890844526 7 IN IP4 192.0.2.10
            s=-
            t=0 0
            a=group:BUNDLE 0
            a=ice-lite
            m=audio P1 UDP/TLS/RTP/SAVPF 0 101
            c=IN IP4 10.0.0.1
            a=mid:0
            a=rtpmap:101 telephone-event/8000
            a=rtpmap:0 PCMU/8000
            a=x-kept:as  is
            a=sendrecv
            a=rtcp-mux
            a=setup:actpass
            a=fingerprint:OURS
            a=tls-id:TLSID1
            a=ice-ufrag:UFRAG1
            a=ice-pwd:PWD1
            a=ice-options:trickle
            a=candidate:1 1 UDP 2130706431 10.0.0.1 P1 typ host
            a=end-of-candidates
            "
        )
    );
    let browser_answer = BROWSER.replace("actpass", "active").replace(" 111 0", " 0").replace("a=group:BUNDLE 0\n", "");
    let answer = masked(&bench.answer(&browser_answer, Options::default()));
    assert!(answer.contains("m=audio P1 RTP/SAVP 0\n"), "{answer}");
    assert!(answer.contains("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:KEY1\n"), "{answer}");
    assert_eq!(answer.matches("a=crypto").count(), 1, "{answer}");
    for gone in ["fingerprint", "setup", "ice-", "candidate", "a=mid", "rtcp-mux", "rtcp-fb", "tls-id"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
    assert!(!answer.contains("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"), "an answer has a key of its own");
}

/// A section for each profile, as an offer or as an answer to the offer that we made.
fn section(profile: MediaProfile, offer: Option<&str>) -> String {
    let mut text =
        format!("v=0\no=x 5 5 IN IP4 192.0.2.30\ns=-\nc=IN IP4 192.0.2.30\nt=0 0\nm=audio 7000 {profile} 8\n");
    if profile.is_dtls() {
        let setup = if offer.is_some() { "active" } else { "actpass" };
        text += &format!("a=setup:{setup}\na=fingerprint:sha-256 {}\n", ["0F"; 32].join(":"));
    } else if profile.is_secure() {
        // An answer takes the second line of the offer.
        let (tag, suite, key) = match offer {
            Some(_) => (2, "AEAD_AES_128_GCM", "TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw=="),
            None => (9, "AES_CM_128_HMAC_SHA1_32", "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"),
        };
        text += &format!("a=crypto:{tag} {suite} inline:{key}\n");
    }
    text
}

#[test]
fn every_profile_reaches_every_other_and_the_answer_has_the_offers() {
    for from in MediaProfile::ALL {
        for onwards in MediaProfile::ALL {
            let mut bench = Bench::new();
            let offer = masked(&bench.offer(&section(from, None), to(onwards)));
            let pair = format!("{from} to {onwards}:\n{offer}");
            assert!(offer.contains(&format!("m=audio P1 {onwards} 8\n")), "{pair}");
            assert_eq!(offer.contains("a=fingerprint"), onwards.is_dtls(), "{pair}");
            assert_eq!(offer.contains("a=setup:actpass"), onwards.is_dtls(), "{pair}");
            assert_eq!(offer.contains("a=crypto"), onwards.is_secure() && !onwards.is_dtls(), "{pair}");
            let answer = masked(&bench.answer(&section(onwards, Some(&offer)), Options::default()));
            let pair = format!("{from} to {onwards}:\n{answer}");
            assert!(answer.contains(&format!("m=audio P1 {from} 8\n")), "{pair}");
            assert_eq!(answer.contains("a=fingerprint"), from.is_dtls(), "{pair}");
            assert_eq!(answer.contains("a=setup:active"), from.is_dtls(), "{pair}");
            let sdes = from.is_secure() && !from.is_dtls();
            assert_eq!(answer.matches("a=crypto:9 AES_CM_128_HMAC_SHA1_32").count(), usize::from(sdes), "{pair}");
            assert_eq!(bench.plan().flows.len(), 2, "{pair}");
            assert_eq!(bench.ports_open(), 4, "{pair}");
            let without = bench.plan().flows.iter().filter(|flow| flow.rtcp == RtcpPolicy::WithoutFeedback).count();
            let plain_feedback = usize::from(!from.has_feedback()) + usize::from(!onwards.has_feedback());
            assert_eq!(without, plain_feedback, "{pair}");
        }
    }
}

#[test]
fn two_dtls_ports_have_an_association_each() {
    let mut bench = Bench::new();
    bench.offer(PLAIN, to(MediaProfile::UdpTlsRtpSavp));
    bench.answer(&section(MediaProfile::UdpTlsRtpSavp, Some("")), Options::default());
    let dtls = bench.plan().transports.iter().filter(|transport| matches!(transport.keying, Keying::Dtls(_))).count();
    assert_eq!(dtls, 2);
}
