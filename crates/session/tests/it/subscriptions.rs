//! Somebody hears parties of a call (SIPREC) and says nothing.

use control::{Keying, RtcpPolicy};
use sallyport_session::{
    MediaProfile, Options, Refusal, Reply, Request, Subscribe, Subscribed, SubscribedMedia, SubscribedParty,
    TransportProtocol, Unsubscribe,
};

use crate::support::{Bench, Mask, expected, negotiation};

const ALICE: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0 96
    a=rtpmap:96 opus/48000/2
    a=fmtp:96 useinbandfec=1
    a=sendrecv
";
const BOB: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 RTP/SAVP 0
    a=crypto:2 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==
    a=sendrecv
";
const RECORDER: &str = "
    v=0
    o=r 3 3 IN IP4 192.0.2.30
    s=-
    c=IN IP4 192.0.2.30
    t=0 0
    m=audio 7000 RTP/SAVP 0
    a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
    a=recvonly
    m=audio 7002 RTP/SAVP 0
    a=crypto:2 AEAD_AES_128_GCM inline:AAAAAAz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==
    a=recvonly
";

fn savp() -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)), ..Options::default() }
}

fn call() -> Bench {
    let mut bench = Bench::new();
    bench.offer(ALICE, Options { label: Some("caller".into()), ..savp() });
    bench.answer(BOB, Options::default());
    bench
}

fn subscribe(bench: &mut Bench, from: &[&str], to: Option<&str>, options: Options) -> Result<Subscribed, Refusal> {
    let from_tags = from.iter().map(|tag| (*tag).to_owned()).collect();
    let to_tag = to.map(str::to_owned);
    let request = Subscribe { call_id: "call".into(), from_tags, options, to_tag };
    match bench.ask(Request::Subscribe(Box::new(request)))? {
        Reply::Subscribed(told) => Ok(*told),
        other => panic!("another kind of reply: {other:?}"),
    }
}

fn answer(bench: &mut Bench, tag: &str, sdp: &str) -> Result<Reply, Refusal> {
    let answer = negotiation("", Some(tag), sdp, Options::default());
    bench.ask(Request::SubscribeAnswer(Box::new(answer)))
}

fn all(options: Options) -> Options {
    let mut options = options;
    options.flags.all = true;
    options.flags.siprec = true;
    options
}

#[test]
fn the_offer_to_a_subscriber_mirrors_the_parties_under_keys_of_its_own() {
    let mut bench = call();
    let before = bench.plan().clone();
    let told = subscribe(&mut bench, &[], None, all(savp())).expect("subscribed");
    let mut mask = Mask::default();
    let text = mask.text(std::str::from_utf8(&told.offer.sdp).expect("UTF-8"));
    let text: String = text.lines().filter(|line| !line.starts_with("o=")).map(|line| format!("{line}\n")).collect();
    assert_eq!(
        text,
        expected(
            "v=0
            s=-
            t=0 0
            m=audio P1 RTP/SAVP 0 96
            c=IN IP4 10.0.0.1
            a=label:0
            a=rtpmap:96 opus/48000/2
            a=fmtp:96 useinbandfec=1
            a=rtpmap:0 PCMU/8000
            a=sendonly
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:1 AEAD_AES_256_GCM inline:KEY1
            a=crypto:2 AEAD_AES_128_GCM inline:KEY2
            a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:KEY3
            a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY4
            a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:KEY5
            m=audio P2 RTP/SAVP 0
            c=IN IP4 10.0.0.1
            a=label:1
            a=rtpmap:0 PCMU/8000
            a=sendonly
            a=rtcp:P2+1 IN IP4 10.0.0.1
            a=crypto:1 AEAD_AES_256_GCM inline:KEY6
            a=crypto:2 AEAD_AES_128_GCM inline:KEY7
            a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:KEY8
            a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY9
            a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:KEY10
        "
        )
    );
    let media =
        |label: &str| SubscribedMedia { index: 1, kind: "audio".into(), label: Some(label.into()), mode: "sendrecv" };
    let party = |tag: &str, label: Option<&str>, media| SubscribedParty {
        tag: tag.into(),
        label: label.map(str::to_owned),
        medias: vec![media],
    };
    assert_eq!(told.sources, [party("a", Some("caller"), media("0")), party("b", None, media("1"))]);
    let flows = &bench.plan().flows;
    assert!(*flows == before.flows, "nothing is copied before the answer");

    assert!(matches!(answer(&mut bench, &told.to_tag, RECORDER), Ok(Reply::Done)));
    let plan = bench.plan();
    assert_eq!(plan.flows[..2], before.flows[..]);
    let copies = &plan.flows[2..];
    assert_eq!(
        copies.iter().map(|copy| copy.ingress_rtp).collect::<Vec<_>>(),
        [before.flows[0].ingress_rtp, before.flows[1].ingress_rtp]
    );
    assert!(copies.iter().all(|copy| copy.forward_media && copy.rtcp == RtcpPolicy::WithoutFeedback));
    for (copy, remote) in copies.iter().zip(["192.0.2.30:7000", "192.0.2.30:7002"]) {
        let transport = plan.transports.iter().find(|transport| transport.id == copy.egress_rtp).expect("planned");
        assert_eq!(transport.remote, Some(remote.parse().unwrap()));
        assert!(matches!(&transport.keying, Keying::Sdes(keys) if keys.inbound.is_some()));
        assert!(plan.flows.iter().all(|flow| flow.ingress_rtp != copy.egress_rtp), "it says nothing");
    }
    assert!(before.transports.iter().all(|old| plan.transports.contains(old)), "the parties notice nothing");
}

#[test]
fn parties_are_chosen_by_tag_in_order_or_by_label() {
    let mut bench = call();
    let told = subscribe(&mut bench, &["b", "a"], Some("rec"), Options::default()).expect("subscribed");
    assert_eq!(told.sources.iter().map(|party| party.tag.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(told.to_tag, "rec");
    let text = String::from_utf8(told.offer.sdp).expect("UTF-8");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(lines[0].ends_with("RTP/SAVP 0") && lines[1].ends_with("RTP/AVP 0 96"), "each as its party: {lines:?}");
    assert!(!text.contains("a=label"));
    let by_label = Options { label: Some("caller".into()), ..Options::default() };
    let told = subscribe(&mut bench, &[], None, by_label).expect("subscribed");
    assert_eq!(told.sources.iter().map(|party| party.tag.as_str()).collect::<Vec<_>>(), ["a"]);
    for (from, to, refusal) in [
        (vec!["x"], None, Refusal::FromTagNotFound),
        (vec![], None, Refusal::NoFromTag),
        (vec!["rec"], None, Refusal::FromTagNotFound),
        (vec!["a"], Some("b"), Refusal::ToTagNotFound),
    ] {
        assert_eq!(subscribe(&mut bench, &from, to, Options::default()).err(), Some(refusal));
    }
}

#[test]
fn a_subscriber_may_be_a_dtls_endpoint_with_ice() {
    let mut bench = call();
    let mut options = all(Options::default());
    options.flags.web_rtc = true;
    let told = subscribe(&mut bench, &[], None, options).expect("subscribed");
    let text = String::from_utf8(told.offer.sdp.clone()).expect("UTF-8");
    assert_eq!(text.matches("a=setup:actpass").count(), 2);
    assert!(text.contains("a=ice-lite") && text.matches(" UDP/TLS/RTP/SAVPF ").count() == 2, "{text}");
    let section = |port: u16| {
        format!("
        m=audio {port} UDP/TLS/RTP/SAVPF 0
        c=IN IP4 192.0.2.30
        a=ice-ufrag:abcd
        a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
        a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
        a=setup:active
        a=rtcp-mux
        a=recvonly
    ")
    };
    let reply = format!("v=0\no=r 3 3 IN IP4 192.0.2.30\ns=-\nt=0 0\n{}{}", section(7000), section(7002));
    assert!(answer(&mut bench, &told.to_tag, &reply).is_ok());
    let keyed = bench.plan().transports.iter().filter(|transport| matches!(transport.keying, Keying::Dtls(_)));
    assert_eq!(keyed.count(), 2);
    assert_eq!(bench.plan().flows.len(), 4);
}

#[test]
fn the_end_of_a_subscription_leaves_the_call_and_its_ports_alone() {
    let mut bench = call();
    let (ports, before) = (bench.ports_open(), bench.plan().clone());
    let told = subscribe(&mut bench, &[], None, all(savp())).expect("subscribed");
    assert_eq!(bench.ports_open(), ports + 4);
    answer(&mut bench, &told.to_tag, RECORDER).expect("answered");
    let end = |tag: &str| Request::Unsubscribe(Unsubscribe { call_id: "call".into(), to_tag: Some(tag.into()) });
    assert_eq!(bench.ask(end("b")).err(), Some(Refusal::ToTagNotFound), "a party is no subscriber");
    assert!(matches!(bench.ask(end(&told.to_tag)), Ok(Reply::Done)));
    assert_eq!(bench.ports_open(), ports);
    assert!(bench.plan().transports == before.transports && bench.plan().flows == before.flows);
    assert_eq!(bench.ask(end(&told.to_tag)).err(), Some(Refusal::ToTagNotFound));
}

#[test]
fn a_subscriber_that_asks_again_keeps_ports_and_keys() {
    let mut bench = call();
    let first = subscribe(&mut bench, &[], Some("rec"), all(savp())).expect("subscribed");
    answer(&mut bench, "rec", RECORDER).expect("answered");
    let before = bench.plan().clone();
    assert!(String::from_utf8_lossy(&first.offer.sdp).contains(" 1 IN IP4 10.0.0.1\r\n"));
    let second = subscribe(&mut bench, &[], Some("rec"), all(savp())).expect("subscribed");
    assert_eq!(first.offer.sdp, second.offer.sdp);
    answer(&mut bench, "rec", RECORDER).expect("answered");
    assert!(bench.plan().transports == before.transports && bench.plan().flows == before.flows);
}

#[test]
fn a_party_on_hold_is_not_recorded_and_bad_answers_change_nothing() {
    let mut bench = call();
    let told = subscribe(&mut bench, &["a"], None, savp()).expect("subscribed");
    let one: String = RECORDER.split("    m=audio 7002").next().expect("the first").to_owned();
    for bad in [
        RECORDER.to_owned(),
        one.replace("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"),
        one.replace("RTP/SAVP", "RTP/AVP"),
    ] {
        assert!(answer(&mut bench, &told.to_tag, &bad).is_err());
        assert_eq!(bench.plan().flows.len(), 2);
    }
    assert_eq!(answer(&mut bench, "nobody", &one).err(), Some(Refusal::ToTagNotFound));
    answer(&mut bench, &told.to_tag, &one).expect("answered");
    assert!(bench.plan().flows[2].forward_media);
    bench.reoffer("a", "b", &ALICE.replace("sendrecv", "recvonly"), savp());
    bench.reanswer("a", "b", &BOB.replace("sendrecv", "sendonly"), Options::default());
    assert_eq!(bench.plan().flows.iter().map(|flow| flow.forward_media).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn subscribers_are_bounded() {
    let mut bench = call();
    let mut refused = None;
    for _ in 0..100 {
        match subscribe(&mut bench, &["a"], None, savp()) {
            Ok(_) => {}
            Err(refusal) => {
                refused = Some(refusal);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(Refusal::LoadLimit(_))), "{refused:?}");
    assert_eq!(bench.plan().flows.len(), 2);
}
