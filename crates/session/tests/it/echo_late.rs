//! A party that wants to hear itself and asks for the offer: what it gets, its answer, and what the pump is told.

use control::{Component, DtlsRole, Keying};
use sallyport_session::{
    Delete, Flags, IceOption, MediaProfile, Options, OsrtpOptions, Refusal, Reply, Request, RewrittenSdp,
    TransportProtocol,
};

use crate::support::{Bench, expected, masked, negotiation, rewritten};

const ANSWER: &str = "
    v=0
    o=a 7 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 8 101
    a=rtpmap:101 telephone-event/8000
";

fn with(profile: MediaProfile) -> Options {
    let transport_protocol = Some(TransportProtocol::Profile(profile));
    Options { transport_protocol, ice: Some(IceOption::Remove), ..Options::default() }
}

fn offered(bench: &mut Bench, options: Options) -> RewrittenSdp {
    rewritten(bench.ask(Request::EchoOffer(Box::new(negotiation("a", None, "", options)))))
}

fn answer(bench: &mut Bench, sdp: &str) -> Result<(), Refusal> {
    answer_of(bench, "a", sdp)
}

fn answer_of(bench: &mut Bench, tag: &str, sdp: &str) -> Result<(), Refusal> {
    match bench.ask(Request::EchoAnswer(Box::new(negotiation(tag, None, sdp, Options::default()))))? {
        Reply::Done => Ok(()),
        _ => panic!("another kind of reply"),
    }
}

fn told(sdp: &RewrittenSdp) -> String {
    let text = masked(sdp);
    text.lines().filter(|line| !line.starts_with("o=")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_plain_phone_is_offered_what_phones_speak_and_hears_what_it_chose() {
    let mut bench = Bench::new();
    let offer = offered(&mut bench, with(MediaProfile::RtpAvp));
    assert_eq!(
        told(&offer),
        expected(
            "v=0
            s=-
            t=0 0
            m=audio P1 RTP/AVP 111 9 0 8 101 110
            c=IN IP4 10.0.0.1
            a=rtpmap:111 opus/48000/2
            a=fmtp:111 useinbandfec=1
            a=rtpmap:9 G722/8000
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=rtpmap:101 telephone-event/8000
            a=rtpmap:110 telephone-event/48000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
        "
        )
    );
    assert!(bench.plan().flows.is_empty(), "nothing comes back before it is agreed");
    assert_eq!(answer(&mut bench, ANSWER), Ok(()));
    let plan = bench.plan();
    let [rtp, rtcp] = &plan.transports[..] else { panic!("two transports") };
    assert_eq!((rtp.component, rtcp.component), (Component::Rtp, Component::Rtcp));
    assert_eq!(rtp.remote, Some("192.0.2.1:4000".parse().unwrap()));
    let [flow] = &plan.flows[..] else { panic!("one flow") };
    assert_eq!((flow.ingress_rtp, flow.egress_rtp), (rtp.id, rtp.id));
    assert!(flow.forward_media && flow.echo.is_some());
    assert!(plan.media_timeout.is_some());

    // It may offer by itself from then on, and keeps its ports.
    let moved = ANSWER.replace("192.0.2.1", "192.0.2.9").replace("a 7 1", "a 7 2");
    rewritten(bench.ask(Request::Echo(Box::new(negotiation("a", None, &moved, Options::default())))));
    let after = bench.plan();
    assert_eq!(after.transports[0].remote, Some("192.0.2.9:4000".parse().unwrap()));
    assert_eq!(after.transports[0].id, bench.plan().flows[0].ingress_rtp);
    assert_eq!(bench.ports_open(), 2);
}

#[test]
fn a_secure_phone_is_offered_keys_and_answers_with_its_own() {
    let mut bench = Bench::new();
    let offer = offered(&mut bench, with(MediaProfile::RtpSavp));
    let text = String::from_utf8(offer.sdp).unwrap();
    let line = text.lines().find(|line| line.contains(" AES_CM_128_HMAC_SHA1_80 ")).unwrap();
    let tag = line.trim_start_matches("a=crypto:").split(' ').next().unwrap();
    let sdes = |key: &str| {
        format!("{}    a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}\n", ANSWER.replace("RTP/AVP", "RTP/SAVP"))
    };
    // An answer that takes our key, or has none, is no answer; the offer stays open.
    let own = line.split("inline:").nth(1).unwrap();
    for bad in [sdes(own), ANSWER.replace("RTP/AVP", "RTP/SAVP"), ANSWER.to_owned()] {
        assert!(matches!(answer(&mut bench, &bad), Err(Refusal::Incomplete(_))), "{bad}");
        assert!(bench.plan().flows.is_empty());
    }
    assert_eq!(answer(&mut bench, &sdes("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz")), Ok(()));
    let keyed = bench.plan().transports.iter().filter(|transport| match &transport.keying {
        Keying::Sdes(keys) => keys.inbound.as_ref().is_some_and(|(_, keys)| keys[0].key() == b"YS___semctl () {"),
        _ => false,
    });
    assert_eq!(keyed.count(), 2, "RTP and RTCP");
    assert_eq!(bench.plan().flows.len(), 1);
}

/// RFC 8643: keys that it may leave away.
#[test]
fn an_opportunistic_phone_may_leave_the_keys_away() {
    let mut bench = Bench::new();
    let osrtp = OsrtpOptions { offer: true, ..OsrtpOptions::default() };
    let offer = offered(&mut bench, Options { osrtp, ..with(MediaProfile::RtpAvp) });
    let text = String::from_utf8(offer.sdp).unwrap();
    assert!(text.contains(" RTP/AVP ") && text.contains("a=crypto:"), "{text}");
    assert_eq!(answer(&mut bench, ANSWER), Ok(()));
    assert!(bench.plan().transports.iter().all(|transport| matches!(transport.keying, Keying::Plain)));
    assert_eq!(bench.plan().flows.len(), 1);
}

#[test]
fn a_browser_is_offered_dtls_ice_and_a_bundle_on_one_port() {
    let mut bench = Bench::new();
    let flags = Flags { web_rtc: true, ..Flags::default() };
    let offer = offered(&mut bench, Options { flags, ..Options::default() });
    let text = told(&offer);
    for line in [
        "a=group:BUNDLE 0\n",
        "m=audio P1 UDP/TLS/RTP/SAVPF 111 9 0 8 101 110\n",
        "a=mid:0\n",
        "a=rtcp-mux\n",
        "a=setup:actpass\n",
        "a=fingerprint:OURS\n",
        "a=ice-ufrag:UFRAG1\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("a=crypto"));
    let fingerprint: Vec<String> = (1..=32).map(|byte| format!("{byte:02X}")).collect();
    let browser = format!(
        "
        v=0
        o=- 46 2 IN IP4 127.0.0.1
        s=-
        t=0 0
        a=group:BUNDLE 0
        m=audio 9 UDP/TLS/RTP/SAVPF 111 110
        c=IN IP4 0.0.0.0
        a=ice-ufrag:abcd
        a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
        a=fingerprint:sha-256 {}
        a=setup:active
        a=mid:0
        a=sendrecv
        a=rtcp-mux
        a=rtpmap:111 opus/48000/2
        a=rtpmap:110 telephone-event/48000
    ",
        fingerprint.join(":")
    );
    assert_eq!(answer(&mut bench, &browser), Ok(()));
    let [transport] = &bench.plan().transports[..] else { panic!("one transport") };
    assert_eq!(transport.component, Component::Muxed);
    assert!(matches!(&transport.keying, Keying::Dtls(plan) if plan.role == Some(DtlsRole::Server)));
    assert_eq!((bench.plan().flows.len(), bench.ports_open()), (1, 1));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new();
    assert_eq!(answer(&mut bench, ANSWER), Err(Refusal::UnknownCallId));
    offered(&mut bench, with(MediaProfile::RtpAvp));
    let again = negotiation("a", None, "", with(MediaProfile::RtpAvp));
    assert!(matches!(bench.ask(Request::EchoOffer(Box::new(again))), Err(Refusal::Unsupported(_))));
    assert_eq!(answer_of(&mut bench, "b", ANSWER), Err(Refusal::FromTagNotFound));
    let silent = ANSWER.replace("audio 4000", "audio 0");
    let video = format!("{ANSWER}    m=video 4002 RTP/AVP 96\n    a=rtpmap:96 VP8/90000\n");
    for bad in [silent, video] {
        assert!(matches!(answer(&mut bench, &bad), Err(Refusal::Incomplete(_))), "{bad}");
    }
    assert_eq!(answer(&mut bench, ANSWER), Ok(()));
    assert_eq!(answer(&mut bench, ANSWER), Err(Refusal::NoOffer), "there is no offer any more");
    let delete = Delete { call_id: "call".into(), delay: Some(std::time::Duration::ZERO), ..Delete::default() };
    bench.ask(Request::Delete(delete)).unwrap();
    assert_eq!(bench.ports_open(), 0);
}
