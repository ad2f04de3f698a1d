//! A party that hears itself: its offer, the answer, and what the pump is told.

use control::{Component, DtlsRole, Keying};
use sallyport_session::{
    Delete, EndReason, Negotiation, Options, Query, Refusal, Reply, Request, RewrittenSdp, Subscribe,
};

use crate::support::{Bench, expected, masked, negotiation, rewritten};

const PLAIN: &str = "
    v=0
    o=a 7 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 13 8 0 101 96
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-15
    a=rtpmap:96 opus/48000/2
    a=ptime:20
    a=ssrc:1 cname:x
    a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
";
const SDES: &str = "
    v=0
    o=a 7 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/SAVP 0
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
    a=crypto:2 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==
    m=image 4002 udptl t38
";
/// As Chromium offers it, without most of its codecs.
const BROWSER: &str = "
    v=0
    o=- 46 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE 0 1
    a=extmap-allow-mixed
    a=msid-semantic: WMS stream
    m=audio 54321 UDP/TLS/RTP/SAVPF 111 63 9 110 126
    c=IN IP4 192.0.2.1
    a=rtcp:9 IN IP4 0.0.0.0
    a=candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host generation 0 network-id 1
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=ice-options:trickle
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    a=mid:0
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
    a=sendrecv
    a=msid:stream track
    a=rtcp-mux
    a=rtcp-rsize
    a=rtpmap:111 opus/48000/2
    a=rtcp-fb:111 transport-cc
    a=fmtp:111 minptime=10;useinbandfec=1
    a=rtpmap:63 red/48000/2
    a=fmtp:63 111/111
    a=rtpmap:9 G722/8000
    a=rtpmap:110 telephone-event/48000
    a=rtpmap:126 telephone-event/8000
    a=ssrc:2231627014 cname:4TOk42mSjXCkVIa6
    m=video 54322 UDP/TLS/RTP/SAVPF 96
    c=IN IP4 192.0.2.1
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    a=mid:1
    a=sendrecv
    a=rtcp-mux
    a=rtpmap:96 VP8/90000
";

fn ask(bench: &mut Bench, sdp: &str) -> Result<Reply, Refusal> {
    bench.ask(Request::Echo(Box::new(negotiation("a", None, sdp, Options::default()))))
}

fn echo(bench: &mut Bench, sdp: &str) -> RewrittenSdp {
    rewritten(ask(bench, sdp))
}

/// Without its `o=` line, which must be of this version.
fn told(sdp: &RewrittenSdp, version: u64) -> String {
    let text = masked(sdp);
    let origin = text.lines().nth(1).expect("an o= line");
    assert!(origin.ends_with(&format!(" {version} IN IP4 10.0.0.1")), "{origin}");
    text.lines().filter(|line| !line.starts_with("o=")).map(|line| format!("{line}\n")).collect()
}

fn text(sdp: &RewrittenSdp) -> String {
    String::from_utf8(sdp.sdp.clone()).expect("UTF-8")
}

#[test]
fn a_plain_offer_is_answered_with_its_first_codec_and_events() {
    let mut bench = Bench::new();
    let answer = echo(&mut bench, PLAIN);
    assert_eq!(
        told(&answer, 1),
        expected(
            "v=0
            s=-
            t=0 0
            m=audio P1 RTP/AVP 8 101
            c=IN IP4 10.0.0.1
            a=rtpmap:101 telephone-event/8000
            a=fmtp:101 0-15
            a=rtpmap:8 PCMA/8000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=ptime:20
        "
        )
    );
    let plan = bench.plan();
    let [rtp, rtcp] = &plan.transports[..] else { panic!("two transports") };
    assert_eq!((rtp.component, rtcp.component), (Component::Rtp, Component::Rtcp));
    assert_eq!(rtp.remote, Some("192.0.2.1:4000".parse().unwrap()));
    assert!(rtp.keying == Keying::Plain);
    let [flow] = &plan.flows[..] else { panic!("one flow") };
    assert_eq!((flow.ingress_rtp, flow.egress_rtp), (rtp.id, rtp.id));
    assert_eq!((flow.ingress_rtcp, flow.egress_rtcp), (rtcp.id, rtcp.id));
    assert!(flow.forward_media && flow.echo.as_ref().is_some_and(|echo| echo.cname.len() == 16));
    assert!(plan.media_timeout.is_some());
}

#[test]
fn an_offer_with_sdes_keys_is_answered_under_keys_of_ours() {
    let mut bench = Bench::new();
    let answer = echo(&mut bench, SDES);
    assert_eq!(
        told(&answer, 1),
        expected(
            "v=0
            s=-
            t=0 0
            m=audio P1 RTP/SAVP 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY1
            m=image 0 udptl t38
            c=IN IP4 10.0.0.1
        "
        )
    );
    assert!(!text(&answer).contains("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"), "not the caller's own key");
    let keyed = bench.plan().transports.iter().filter(|transport| match &transport.keying {
        Keying::Sdes(keys) => keys.inbound.as_ref().is_some_and(|(_, keys)| keys[0].key() == b"YS___semctl () {"),
        _ => false,
    });
    assert_eq!(keyed.count(), 2, "RTP and RTCP");
}

#[test]
fn a_browser_gets_dtls_ice_lite_one_port_and_a_bundle_of_its_audio() {
    let mut bench = Bench::new();
    let answer = echo(&mut bench, BROWSER);
    assert_eq!(
        told(&answer, 1),
        expected(
            "v=0
            s=-
            t=0 0
            a=group:BUNDLE 0
            a=ice-lite
            m=audio P1 UDP/TLS/RTP/SAVPF 111 110
            c=IN IP4 10.0.0.1
            a=mid:0
            a=rtpmap:111 opus/48000/2
            a=rtpmap:110 telephone-event/48000
            a=fmtp:111 minptime=10;useinbandfec=1
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
            m=video 0 UDP/TLS/RTP/SAVPF 96
            c=IN IP4 10.0.0.1
            a=mid:1
        "
        )
    );
    let [transport] = &bench.plan().transports[..] else { panic!("one transport") };
    assert_eq!(transport.component, Component::Muxed);
    assert!(matches!(&transport.keying, Keying::Dtls(plan) if plan.role == Some(DtlsRole::Client)));
    assert_eq!(bench.ports_open(), 1);
}

#[test]
fn the_same_offer_again_changes_nothing() {
    for offer in [PLAIN, SDES, BROWSER] {
        let mut bench = Bench::new();
        let first = echo(&mut bench, offer);
        let applies = bench.applies;
        assert_eq!(echo(&mut bench, offer).sdp, first.sdp);
        assert_eq!(bench.applies, applies);
    }
}

#[test]
fn directions_are_mirrored_and_what_is_not_to_be_heard_does_not_come_back() {
    for (offered, answered, returns) in [
        ("sendrecv", "sendrecv", true),
        ("sendonly", "recvonly", false),
        ("recvonly", "sendonly", false),
        ("inactive", "inactive", false),
    ] {
        let mut bench = Bench::new();
        echo(&mut bench, PLAIN);
        let answer = echo(&mut bench, &format!("{PLAIN}\na={offered}\n"));
        assert!(text(&answer).contains(&format!("a={answered}\r\n")), "{offered}: {}", text(&answer));
        assert_eq!(bench.plan().flows[0].forward_media, returns, "{offered}");
        assert_eq!(bench.plan().media_timeout.is_some(), returns, "{offered}");
    }
    let mut bench = Bench::new();
    let held = echo(&mut bench, &PLAIN.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"));
    assert!(text(&held).contains("a=recvonly\r\n") && !text(&held).contains("0.0.0.0"), "{}", text(&held));
    assert!(!bench.plan().flows[0].forward_media);
}

#[test]
fn a_hold_and_its_end_keep_ports_keys_and_ssrcs() {
    let mut bench = Bench::new();
    let first = echo(&mut bench, SDES);
    let before = bench.plan().clone();
    let held = echo(&mut bench, &SDES.replace("    m=image", "    a=sendonly\n    m=image"));
    assert_eq!(told(&held, 2), told(&first, 1).replace("sendrecv", "recvonly"));
    assert_eq!(bench.plan().flows[0].echo, before.flows[0].echo);
    let resumed = echo(&mut bench, SDES);
    assert_eq!(told(&resumed, 3), told(&first, 1));
    assert!(bench.plan().flows == before.flows);
    for (after, before) in bench.plan().transports.iter().zip(&before.transports) {
        assert!(after.id == before.id && after.keying == before.keying && after.remote == before.remote);
    }
}

#[test]
fn new_keys_of_the_caller_leave_ours_and_another_suite_gets_a_new_one() {
    let mut bench = Bench::new();
    let first = masked(&echo(&mut bench, SDES));
    let own = |bench: &Bench| match &bench.plan().transports[0].keying {
        Keying::Sdes(keys) => keys.outbound.1.key().to_vec(),
        _ => panic!("SDES"),
    };
    let before = own(&bench);
    assert_eq!(masked(&echo(&mut bench, &SDES.replace("WVNf", "AAAA"))), first);
    assert_eq!(own(&bench), before);
    let gcm: String = SDES.lines().filter(|line| !line.contains("crypto:1")).map(|line| format!("{line}\n")).collect();
    let answer = masked(&echo(&mut bench, &gcm));
    assert!(answer.contains("a=crypto:2 AEAD_AES_128_GCM inline:KEY1"), "{answer}");
    assert_ne!(own(&bench), before);
}

#[test]
fn an_ice_restart_gets_new_credentials_and_keeps_the_association() {
    let mut bench = Bench::new();
    let first = text(&echo(&mut bench, BROWSER));
    let before = bench.plan().transports[0].clone();
    let restarted = BROWSER.replace("ice-ufrag:abcd", "ice-ufrag:efgh").replace("46 2", "46 3");
    let second = text(&echo(&mut bench, &restarted));
    let after = bench.plan().transports[0].clone();
    let line = |text: &str, start: &str| text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    assert_ne!(line(&first, "a=ice-ufrag"), line(&second, "a=ice-ufrag"));
    assert_eq!(line(&first, "m=audio"), line(&second, "m=audio"));
    assert_eq!(line(&first, "a=tls-id"), line(&second, "a=tls-id"));
    assert!(before.keying == after.keying && before.ice != after.ice);
}

#[test]
fn another_certificate_is_another_association() {
    let mut bench = Bench::new();
    echo(&mut bench, BROWSER);
    echo(&mut bench, &BROWSER.replace("sha-256 01:", "sha-256 AA:"));
    assert!(matches!(&bench.plan().transports[0].keying, Keying::Dtls(plan) if plan.generation == 2));
}

#[test]
fn an_offer_of_either_security_or_none_is_taken_as_secure() {
    // RTP/SAVP and RTP/AVP for the same audio: the twin that is not taken is rejected.
    let twice = format!("{SDES}\nm=audio 4000 RTP/AVP 0\n");
    let mut bench = Bench::new();
    let answer = masked(&echo(&mut bench, &twice));
    assert!(answer.contains("m=audio P1 RTP/SAVP 0\n") && answer.contains("m=audio 0 RTP/AVP 0\n"), "{answer}");
    // OSRTP (RFC 8643): only where it is accepted.
    let osrtp = SDES.replace("RTP/SAVP", "RTP/AVP");
    let mut options = Options::default();
    options.osrtp.accept = true;
    let mut bench = Bench::new();
    let reply = bench.ask(Request::Echo(Box::new(negotiation("a", None, &osrtp, options))));
    assert!(masked(&rewritten(reply)).contains("a=crypto:1 "));
    let mut bench = Bench::new();
    assert!(!masked(&echo(&mut bench, &osrtp)).contains("a=crypto"));
}

#[test]
fn of_a_bundle_one_audio_section_goes_back_and_apart_from_it_every_one() {
    let second = BROWSER.replace("m=video 54322", "m=audio 54322").replace("96 VP8/90000", "96 opus/48000/2");
    let mut bench = Bench::new();
    let answer = masked(&echo(&mut bench, &second));
    assert!(answer.contains("a=group:BUNDLE 0\n") && answer.contains("m=audio 0 UDP"), "{answer}");
    assert_eq!((bench.plan().flows.len(), bench.ports_open()), (1, 1));
    let apart = second.replace("a=group:BUNDLE 0 1", "a=x-none");
    let mut bench = Bench::new();
    let answer = masked(&echo(&mut bench, &apart));
    assert!(!answer.contains("BUNDLE") && !answer.contains("m=audio 0"), "{answer}");
    assert_eq!((bench.plan().flows.len(), bench.ports_open()), (2, 2));
}

#[test]
fn what_has_no_audio_is_refused_and_leaves_nothing() {
    for offer in [
        PLAIN.replace("m=audio", "m=video"),
        PLAIN.replace("13 8 0 101 96", "13 101"),
        PLAIN.replace("m=audio 4000", "m=audio 0"),
        PLAIN.replace("RTP/AVP", "udptl"),
    ] {
        let mut bench = Bench::new();
        assert!(matches!(ask(&mut bench, &offer), Err(Refusal::Incomplete(_))), "{offer}");
        assert_eq!((bench.session.call_count(), bench.session.ports_in_use()), (0, 0));
    }
    let mut bench = Bench::new();
    assert!(matches!(ask(&mut bench, &SDES.replace("a=crypto", "a=x-none")), Err(Refusal::Incomplete(_))));
    let mut options = Options::default();
    options.flags.pass_through = Some(true);
    let through = Request::Echo(Box::new(negotiation("a", None, SDES, options)));
    assert!(matches!(bench.ask(through), Err(Refusal::Unsupported(_))));
    assert_eq!((bench.session.call_count(), bench.session.ports_in_use()), (0, 0));
}

#[test]
fn audio_may_be_taken_out_of_a_later_offer() {
    let mut bench = Bench::new();
    echo(&mut bench, PLAIN);
    let answer = masked(&echo(&mut bench, &PLAIN.replace("m=audio 4000", "m=audio 0")));
    assert!(answer.contains("m=audio 0 RTP/AVP"), "{answer}");
    assert_eq!((bench.plan().flows.len(), bench.ports_open()), (0, 0));
}

#[test]
fn a_call_is_of_one_that_hears_itself_or_of_others() {
    let mut bench = Bench::new();
    echo(&mut bench, PLAIN);
    let before = bench.plan().clone();
    let other = |from: &str, to: Option<&str>| Box::new(negotiation(from, to, PLAIN, Options::default()));
    for request in [
        Request::Offer(other("a", None)),
        Request::Offer(other("a", Some("b"))),
        Request::Offer(other("b", Some("a"))),
        Request::Offer(other("b", None)),
        Request::Answer(other("a", Some("a"))),
        Request::Answer(other("a", Some("b"))),
        Request::Answer(other("b", Some("a"))),
        Request::Echo(other("b", None)),
    ] {
        let words = format!("{request:?}");
        let refusal = bench.ask(request).err();
        assert!(matches!(refusal, Some(Refusal::ToTagNotFound | Refusal::FromTagNotFound)), "{words}: {refusal:?}");
        assert!(bench.plan().flows == before.flows && bench.plan().transports == before.transports);
    }
    let mut bench = Bench::new();
    bench.offer(PLAIN, Options::default());
    assert!(matches!(ask(&mut bench, PLAIN), Err(Refusal::Unsupported(_))));
}

#[test]
fn it_is_asked_about_heard_by_others_and_ended_like_any_call() {
    let mut bench = Bench::new();
    echo(&mut bench, PLAIN);
    let query = Query { call_id: "call".into(), from_tag: Some("a".into()), to_tag: None };
    let Ok(Reply::Query(report)) = bench.ask(Request::Query(query)) else { panic!("a report") };
    assert_eq!(report.tags.len(), 1);
    assert_eq!(report.tags[0].in_dialogue_with, ["a"]);
    assert_eq!(report.tags[0].medias[0].codec.as_deref(), Some("PCMA"));
    let view = bench.session.call("call").expect("there");
    assert_eq!(view.legs[0].partners, [view.legs[0].id]);
    assert!(view.legs[0].active);
    let subscribe = Subscribe { call_id: "call".into(), from_tags: vec!["a".into()], ..Subscribe::default() };
    let Ok(Reply::Subscribed(told)) = bench.ask(Request::Subscribe(Box::new(subscribe))) else { panic!("an offer") };
    assert!(text(&told.offer).contains("RTP/AVP 8 101\r\n"), "{}", text(&told.offer));
    let delete = Delete { call_id: "call".into(), from_tag: Some("a".into()), ..Delete::default() };
    let now = Delete { delay: Some(std::time::Duration::ZERO), ..delete };
    assert!(bench.ask(Request::Delete(now)).is_ok());
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::Deleted)]);
    assert_eq!(bench.session.ports_in_use(), 0);
}

#[test]
fn an_echo_waits_for_its_port_and_takes_another_one_when_it_is_in_use() {
    let mut bench = Bench::new();
    let mut first = true;
    bench.refuse = Box::new(move |_| std::mem::take(&mut first).then_some(control::BindFailure::InUse));
    let answer = text(&echo(&mut bench, BROWSER));
    let port: u16 = answer.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
    assert_eq!(bench.opens.len(), 2);
    assert_eq!(bench.opens[1][0].port(), port);
    bench.silent = true;
    let other = Negotiation { call_id: "other".into(), ..negotiation("x", None, BROWSER, Options::default()) };
    let token = bench.send(Request::Echo(Box::new(other)));
    assert!(!bench.replies.contains_key(&token), "no answer before its port is bound");
}
