//! Parties that key each other (RFC 7879 §3.1.1): their words go through, and we hold no keys.

use control::{Component, Keying};
use sallyport_session::{
    KeyingKind, LedgerNote, MediaProfile, Options, Refusal, Request, Subscribe, TransportProtocol,
};

use crate::support::{Bench, Mask, expected};

const WEB: &str = "
    v=0
    o=- 5 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    m=audio 50000 UDP/TLS/RTP/SAVPF 0
    c=IN IP4 192.0.2.20
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=setup:actpass
    a=tls-id:11111111111111111111
    a=rtcp-mux
";
const ANSWER: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 UDP/TLS/RTP/SAVPF 0
    a=setup:active
    a=fingerprint:sha-1 A1:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14
    a=rtcp-mux
";
const PHONE: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/SAVP 0
    a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 KDR=5
    a=crypto:9 SOMETHING_NEW inline:AAAA
";

fn through() -> Options {
    let mut options = Options::default();
    options.flags.pass_through = Some(true);
    options
}

fn all_pass(bench: &Bench) -> bool {
    bench.plan().transports.iter().all(|transport| transport.keying == Keying::PassThrough)
}

#[test]
fn dtls_goes_through_untouched_and_only_addresses_and_ice_are_ours() {
    let mut bench = Bench::new();
    let mut mask = Mask::default();
    let offer = bench.offer(WEB, through());
    let text = mask.text(std::str::from_utf8(&offer.sdp).expect("UTF-8"));
    assert_eq!(
        text,
        expected(
            "v=0
            o=- 5 2 IN IP4 127.0.0.1
            s=-
            t=0 0
            a=ice-lite
            m=audio P1 UDP/TLS/RTP/SAVPF 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=rtcp-mux
            a=setup:actpass
            a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
            a=tls-id:TLSID1
            a=ice-ufrag:UFRAG1
            a=ice-pwd:PWD1
            a=candidate:1 1 UDP 2130706431 10.0.0.1 P1 typ host
            a=candidate:1 2 UDP 2130706430 10.0.0.1 P1+1 typ host
            a=end-of-candidates
        "
        )
    );
    let raw = String::from_utf8(offer.sdp).expect("UTF-8");
    assert!(raw.contains("a=tls-id:11111111111111111111\r\n") && !raw.contains("a=ice-ufrag:abcd"), "{raw}");
    let answer = String::from_utf8(bench.answer(ANSWER, Options::default()).sdp).expect("UTF-8");
    assert!(answer.contains("a=setup:active\r\n"), "{answer}");
    assert!(answer.contains("a=fingerprint:sha-1 A1:02:"), "{answer}");
    assert!(!answer.contains("AB:AB:AB"), "no fingerprint of ours: {answer}");
    assert!(all_pass(&bench));
    assert_eq!(bench.plan().flows.len(), 2);
    assert!(bench.plan().transports.iter().all(|transport| transport.component == Component::Muxed));
    let view = bench.session.call("call").expect("known");
    assert!(view.ledger.iter().any(|entry| entry.note == LedgerNote::PassedThrough && entry.tag == "a"));
    assert!(view.ledger.iter().any(|entry| entry.note == LedgerNote::PassedThrough && entry.tag == "b"));
    assert!(view.legs.iter().all(|leg| leg.sections[0].keying == KeyingKind::PassThrough));
    assert!(!view.summary.downgraded);
}

#[test]
fn sdes_keys_go_through_whatever_they_are() {
    let mut bench = Bench::new();
    let offer = String::from_utf8(bench.offer(PHONE, through()).sdp).expect("UTF-8");
    for line in PHONE.lines().map(str::trim).filter(|line| line.starts_with("a=crypto")) {
        assert!(offer.contains(&format!("{line}\r\n")), "{offer}");
    }
    assert_eq!(offer.matches("a=crypto").count(), 2);
    assert!(offer.contains("m=audio ") && offer.contains(" RTP/SAVP 0\r\n"), "{offer}");
    let answer = PHONE.replace("o=a 1 1", "o=b 1 1").replace("192.0.2.1\n", "192.0.2.2\n");
    let answer: String = answer.lines().filter(|line| !line.contains("SOMETHING")).map(|l| format!("{l}\n")).collect();
    let told = String::from_utf8(bench.answer(&answer, Options::default()).sdp).expect("UTF-8");
    assert!(
        told.contains(
            "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 KDR=5\r\n"
        ),
        "{told}"
    );
    assert!(all_pass(&bench));
}

#[test]
fn a_reoffer_keeps_it_until_somebody_says_otherwise() {
    let mut bench = Bench::new();
    bench.offer(WEB, through());
    bench.answer(ANSWER, Options::default());
    let before = bench.plan().clone();
    bench.reoffer("a", "b", WEB, Options::default());
    bench.reanswer("a", "b", ANSWER, Options::default());
    assert!(before.transports == bench.plan().transports && before.flows == bench.plan().flows);
    let mut ended = Options::default();
    ended.flags.pass_through = Some(false);
    bench.reoffer("a", "b", WEB, ended);
    let answer = ANSWER.replace(
        "sha-1 A1:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14",
        "sha-256 A1:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20",
    );
    let told = String::from_utf8(bench.reanswer("a", "b", &answer, Options::default()).sdp).expect("UTF-8");
    assert!(told.contains("AB:AB:AB"), "our own fingerprint: {told}");
    assert!(bench.plan().transports.iter().all(|transport| matches!(transport.keying, Keying::Dtls(_))));
}

#[test]
fn another_profile_cannot_be_asked_for_and_the_zrtp_hash_stays() {
    let mut bench = Bench::new();
    let plain = PHONE.replace("RTP/SAVP", "RTP/AVP");
    let plain: String = plain.lines().filter(|line| !line.contains("crypto")).map(|l| format!("{l}\n")).collect();
    let hash = "a=zrtp-hash:1.10 fe30efd02423cb054e50efd0248742ac7a52c8f91bc2df881ae642c371ba46df";
    let options = Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)), ..through() };
    let offer = bench.offer(&format!("{plain}\n{hash}\n"), options);
    assert!(offer.warnings.iter().any(|warning| warning.contains("passthrough")), "{:?}", offer.warnings);
    let text = String::from_utf8(offer.sdp).expect("UTF-8");
    assert!(text.contains(" RTP/AVP 0\r\n") && text.contains(&format!("{hash}\r\n")), "{text}");
}

#[test]
fn nobody_can_subscribe_to_what_we_cannot_open() {
    let mut bench = Bench::new();
    bench.offer(WEB, through());
    bench.answer(ANSWER, Options::default());
    let mut options = Options::default();
    options.flags.all = true;
    let request = Subscribe { call_id: "call".into(), options, ..Subscribe::default() };
    let refused = bench.ask(Request::Subscribe(Box::new(request)));
    assert!(matches!(refused, Err(Refusal::Unsupported(_))), "{refused:?}");
    assert!(all_pass(&bench));
}
