//! Bad input, ports that cannot be had, a worker that is silent.

use std::net::SocketAddr;
use std::time::Duration;

use control::BindFailure;
use sallyport_session::{MediaProfile, Options, Refusal, Reply, Request, SessionConfig, TransportProtocol};

use crate::support::{Bench, config, negotiation};

const OFFER: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0
";

fn refusal(sdp: &str, options: Options) -> String {
    let mut bench = Bench::new();
    let reply = bench.ask(Request::Offer(Box::new(negotiation("a", None, sdp, options))));
    assert_eq!(bench.ports_open(), 0);
    assert_eq!(bench.session.ports_in_use(), 0);
    assert!(bench.session.calls().is_empty(), "no call is left behind");
    match reply {
        Err(refusal) => refusal.to_string(),
        Ok(_) => panic!("accepted"),
    }
}

fn to(profile: MediaProfile) -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(profile)), ..Options::default() }
}

#[test]
fn what_is_missing_is_named() {
    let mut bench = Bench::new();
    let mut offer = negotiation("a", None, "", Options::default());
    assert_eq!(bench.ask(Request::Offer(Box::new(offer.clone()))).err(), Some(Refusal::NoSdp));
    offer.sdp = OFFER.into();
    offer.from_tag.clear();
    assert_eq!(bench.ask(Request::Offer(Box::new(offer.clone()))).err(), Some(Refusal::NoFromTag));
    offer.call_id.clear();
    assert_eq!(bench.ask(Request::Offer(Box::new(offer))).err(), Some(Refusal::NoCallId));
}

#[test]
fn an_unusable_description_is_refused_with_line_and_reason() {
    assert_eq!(refusal("hello", Options::default()), "Failed to parse SDP: line 1: the first line is not v=");
    let no_media = "v=0\no=a 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0";
    assert_eq!(refusal(no_media, Options::default()), "Incomplete SDP specification: no m= line");
    let no_connection = OFFER.replace("c=IN IP4 192.0.2.1", "");
    assert_eq!(
        refusal(&no_connection, Options::default()),
        "Incomplete SDP specification: line 5: m= section without c= line"
    );
    let million = format!("{OFFER}{}", "\na=x".repeat(1_000_000));
    assert!(refusal(&million, Options::default()).starts_with("Failed to parse SDP: line "));
}

#[test]
fn a_secure_section_without_usable_keys_is_refused() {
    let savp = OFFER.replace("RTP/AVP", "RTP/SAVP");
    assert_eq!(
        refusal(&savp, Options::default()),
        "Incomplete SDP specification: line 6: RTP/SAVP without a usable a=crypto or a=fingerprint"
    );
    let short = format!("{savp}\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA");
    let told = refusal(&short, Options::default());
    assert!(told.contains("a=crypto:1 passed over: "), "{told}");
    assert!(!told.contains("AAAA"), "keys are never shown: {told}");
    let dtls = OFFER.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
    assert_eq!(
        refusal(&dtls, Options::default()),
        "Incomplete SDP specification: line 6: UDP/TLS/RTP/SAVPF without a usable a=fingerprint"
    );
}

#[test]
fn options_that_cannot_be_honoured_are_refused_by_name() {
    let unsupported = Options { unsupported: vec!["record-call".into()], ..Options::default() };
    assert_eq!(refusal(OFFER, unsupported), "Unsupported option: record-call");
    let mut plain_rtp = Options::default();
    plain_rtp.sdes.encrypt_rtp = Some(false);
    assert_eq!(refusal(OFFER, plain_rtp), "Unsupported option: SDES-unencrypted_srtp");
    let mut nothing = to(MediaProfile::RtpSavp);
    nothing.sdes.off = true;
    nothing.dtls = Some(sallyport_session::DtlsOption::Off);
    assert_eq!(refusal(OFFER, nothing), "Unsupported option: SDES=off and DTLS=off with RTP/SAVP");
    let mut elsewhere = Options::default();
    elsewhere.interfaces.to = Some("moon".into());
    assert_eq!(refusal(OFFER, elsewhere), "Unknown interface: moon");
}

#[test]
fn a_port_in_use_is_replaced_with_its_neighbour() {
    let mut bench = Bench::new();
    let mut left = 3;
    bench.refuse = Box::new(move |address: SocketAddr| {
        left -= i32::from(left > 0 && address.port() % 2 == 1);
        (left > 0 && address.port() % 2 == 1).then_some(BindFailure::InUse)
    });
    bench.offer(OFFER, Options::default());
    assert_eq!(bench.opens.len(), 3);
    let last = bench.opens.last().expect("three");
    for pair in last.chunks(2) {
        assert_eq!(pair[0].port() % 2, 0);
        assert_eq!(pair[0].port() + 1, pair[1].port());
    }
    assert_eq!(bench.session.statistics(bench.now).port_retries, 2);
    assert_eq!(bench.session.ports_in_use(), 4);
}

#[test]
fn the_true_cause_is_told_when_no_port_is_left() {
    let failing = |cause: BindFailure, config: SessionConfig| {
        let mut bench = Bench::with(config);
        bench.refuse = Box::new(move |_| Some(cause.clone()));
        let reply = bench.ask(Request::Offer(Box::new(negotiation("a", None, OFFER, Options::default()))));
        assert_eq!(bench.session.ports_in_use(), 0);
        assert!(bench.session.calls().is_empty());
        (reply.expect_err("refused").to_string(), bench.opens.len())
    };
    let (told, opens) = failing(BindFailure::InUse, config());
    assert!(
        told.starts_with("Ran out of ports: 10.0.0.1:") && told.ends_with("port in use (after 32 attempts)"),
        "{told}"
    );
    assert_eq!(opens, 32);
    let (told, opens) = failing(BindFailure::Exhausted("Too many open files (os error 24)".into()), config());
    assert!(told.ends_with("out of resources: Too many open files (os error 24)"), "{told}");
    assert_eq!(opens, 1);
    let (told, _) = failing(BindFailure::AddressNotAvailable, config());
    assert!(told.ends_with("address is not one of this machine"), "{told}");
    let few = SessionConfig { ports: (10_000, 10_005), workers: 1, ..config() };
    let (told, _) = failing(BindFailure::InUse, few);
    assert!(told.contains("port in use; no free port on 10.0.0.1 in 10000-10005, the share of worker 0"), "{told}");
}

#[test]
fn a_full_range_refuses_one_call_and_keeps_the_others() {
    let mut bench = Bench::with(SessionConfig { ports: (10_000, 10_007), workers: 1, ..config() });
    bench.offer(OFFER, Options::default());
    let mut next = negotiation("a", None, OFFER, Options::default());
    next.call_id = "second".into();
    assert!(bench.ask(Request::Offer(Box::new(next.clone()))).is_ok());
    next.call_id = "third".into();
    let told = bench.ask(Request::Offer(Box::new(next.clone()))).expect_err("refused").to_string();
    assert_eq!(told, "Ran out of ports: no free port on 10.0.0.1 in 10000-10007, the share of worker 0");
    assert_eq!(bench.ports_open(), 8);
    bench.delete(Some(0)).expect("deleted");
    assert!(bench.ask(Request::Offer(Box::new(next))).is_ok(), "ports come back");
}

#[test]
fn a_failed_reoffer_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    bench.answer(OFFER, Options::default());
    let (applies, ports, in_use) = (bench.applies, bench.ports_open(), bench.session.ports_in_use());
    bench.refuse = Box::new(|_| Some(BindFailure::Other("broken".into())));
    let more = format!("{OFFER}\nm=video 4002 RTP/AVP 34");
    let reply = bench.ask(Request::Offer(Box::new(negotiation("a", Some("b"), &more, Options::default()))));
    assert!(matches!(reply, Err(Refusal::OutOfPorts(_))));
    assert_eq!((bench.applies, bench.ports_open(), bench.session.ports_in_use()), (applies, ports, in_use));
    let bad = format!("{OFFER}\nm=video 0 RTP/AVP 34");
    let reply = bench.ask(Request::Answer(Box::new(negotiation("a", Some("b"), &bad, Options::default()))));
    assert_eq!(reply.err(), Some(Refusal::Incomplete("2 m= lines answer 1".into())));
    assert_eq!((bench.applies, bench.ports_open()), (applies, ports));
}

#[test]
fn an_answer_must_take_what_was_offered() {
    let told = |answer: &str, options: Options| {
        let mut bench = Bench::new();
        bench.offer(OFFER, options);
        let reply = bench.ask(Request::Answer(Box::new(negotiation("a", Some("b"), answer, Options::default()))));
        match reply {
            Err(refusal) => refusal.to_string(),
            Ok(Reply::Sdp(sdp)) => panic!("accepted: {:?}", sdp.warnings),
            Ok(_) => panic!("accepted"),
        }
    };
    assert_eq!(
        told(OFFER, to(MediaProfile::RtpSavp)),
        "Incomplete SDP specification: line 6: RTP/AVP answers RTP/SAVP"
    );
    let other_tag = OFFER.replace("RTP/AVP", "RTP/SAVP")
        + "\na=crypto:9 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==";
    assert!(
        told(&other_tag, to(MediaProfile::RtpSavp)).ends_with("tag and suite are not those of a line that was offered")
    );
    let video = OFFER.replace("m=audio", "m=video");
    assert_eq!(told(&video, Options::default()), "Incomplete SDP specification: line 6: m=video answers m=audio");
}

#[test]
fn media_that_is_not_rtp_is_rejected_both_ways_and_the_rest_goes_on() {
    let mut bench = Bench::new();
    let offer = format!("{OFFER}\nm=message 4004 TCP/MSRP *\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel");
    let written = bench.offer(&offer, Options::default());
    let text = String::from_utf8(written.sdp).expect("UTF-8");
    assert!(text.contains("m=message 0 TCP/MSRP *\r\n") && text.contains("m=application 0 UDP/DTLS/SCTP"), "{text}");
    assert_eq!(written.warnings.len(), 2, "{:?}", written.warnings);
    let answer = format!("{OFFER}\nm=message 0 TCP/MSRP *\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel");
    let text = String::from_utf8(bench.answer(&answer, Options::default()).sdp).expect("UTF-8");
    assert!(text.contains("m=message 0 TCP/MSRP *\r\n"), "{text}");
    assert_eq!(bench.plan().flows.len(), 2);
}

#[test]
fn a_silent_worker_costs_a_bounded_wait() {
    let mut bench = Bench::new();
    bench.silent = true;
    let first = bench.send(Request::Offer(Box::new(negotiation("a", None, OFFER, Options::default()))));
    let second = bench.send(Request::Offer(Box::new(negotiation("a", None, OFFER, Options::default()))));
    assert!(bench.replies.is_empty());
    bench.silent = false;
    bench.advance(Duration::from_secs(3));
    assert_eq!(bench.replies.remove(&first).expect("a reply").err(), Some(Refusal::WorkerSilent));
    assert!(bench.replies.remove(&second).expect("a reply").is_ok(), "the next one is tried afresh");
}

#[test]
fn the_number_of_calls_is_bounded() {
    let mut config = config();
    config.limits.calls = 1;
    let mut bench = Bench::with(config);
    bench.offer(OFFER, Options::default());
    let mut second = negotiation("a", None, OFFER, Options::default());
    second.call_id = "second".into();
    let refusal = bench.ask(Request::Offer(Box::new(second))).err();
    assert_eq!(refusal, Some(Refusal::LoadLimit("Parallel session limit reached: 1".into())));
}
