//! Late offers, where the called party offers in its 200 and the caller answers in its ACK, and offers without an answer.
//! On the ng port a description of the called party carries its tag as from-tag: the tags say who sent it.

use std::time::Duration;

use control::{Keying, MasterKey};
use sallyport_session::{MediaProfile, Negotiation, Options, Refusal, Reply, Request, TransportProtocol};

use crate::support::{Bench, Mask, expected, masked, negotiation, rewritten};

const CALLED: &str = "
    v=0
    o=bob 1 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=audio 6000 RTP/AVP 0
    a=rtpmap:0 PCMU/8000
    a=sendrecv
";

const CALLER: &str = "
    v=0
    o=alice 1 1 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    m=audio 4000 RTP/SAVP 0
    a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
    a=sendrecv
";

fn savp() -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)), ..Options::default() }
}

/// What we send with, from the plan: the keys of legs keyed by SDES.
fn own_keys(bench: &Bench) -> Vec<MasterKey> {
    let keys = bench.plan().transports.iter().filter_map(|transport| match &transport.keying {
        Keying::Sdes(keys) => Some(keys.outbound.1.clone()),
        _ => None,
    });
    keys.collect()
}

fn ask(bench: &mut Bench, request: fn(Box<Negotiation>) -> Request, from: &str, to: &str, sdp: &str) -> String {
    masked(&rewritten(bench.ask(request(Box::new(negotiation(from, Some(to), sdp, Options::default()))))))
}

#[test]
fn the_200_offers_and_the_ack_answers() {
    let mut bench = Bench::new();
    // The first that is heard of the call comes from the called party.
    let offer = rewritten(bench.ask(Request::Offer(Box::new(negotiation("b", Some("a"), CALLED, savp())))));
    let mut towards_caller = Mask::default();
    let text = towards_caller.text(std::str::from_utf8(&offer.sdp).expect("UTF-8"));
    assert_eq!(
        text,
        expected(
            "
            v=0
            o=bob 1 1 IN IP4 198.51.100.5
            s=-
            t=0 0
            m=audio P1 RTP/SAVP 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
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
    // Its answer is in the ACK. The key that we send with is the one of our offer: no other could be told any more.
    let written = String::from_utf8(offer.sdp).expect("UTF-8");
    let line = written.lines().find(|line| line.starts_with("a=crypto:4 ")).expect("the line");
    let offered = line.rsplit("inline:").next().expect("a key");
    let answer = ask(&mut bench, Request::Answer, "b", "a", CALLER);
    assert!(answer.contains("m=audio P1 RTP/AVP 0\n") && !answer.contains("crypto"), "{answer}");
    let keys = own_keys(&bench);
    assert_eq!(keys.len(), 2, "RTP and RTCP of the caller's leg");
    let sends_with = srtp::sdes::CryptoAttribute::new(4, keys[0].clone(), srtp::Profile::AesCm128HmacSha1_80);
    assert!(sends_with.to_string().ends_with(&format!("inline:{offered}")));
    assert_eq!(bench.plan().flows.len(), 2);
    assert!(bench.plan().transports.iter().all(|transport| transport.remote.is_some()));
    // From here on either may offer.
    let offer = ask(&mut bench, Request::Offer, "a", "b", CALLER);
    assert!(offer.contains("RTP/AVP 0\n"), "{offer}");
    let answer = ask(&mut bench, Request::Answer, "a", "b", CALLED);
    assert!(answer.contains("a=crypto:4 "), "{answer}");
    assert!(own_keys(&bench) == keys, "the keys stay");
}

#[test]
fn a_forked_call_has_late_offers_of_each_called_party() {
    let mut bench = Bench::new();
    ask(&mut bench, Request::Offer, "b1", "a", CALLED);
    let other = CALLED.replace("198.51.100.5", "198.51.100.6");
    let offer = ask(&mut bench, Request::Offer, "b2", "a", &other);
    assert!(offer.contains("m=audio P1 RTP/AVP 0\n"), "{offer}");
    // The caller takes the second.
    let caller = CALLER.replace("RTP/SAVP", "RTP/AVP").replace("a=crypto", "a=x-crypto");
    ask(&mut bench, Request::Answer, "b2", "a", &caller);
    let remotes: Vec<_> = bench.plan().transports.iter().filter_map(|transport| transport.remote).collect();
    assert!(remotes.iter().any(|remote| remote.ip().to_string() == "198.51.100.6"), "{remotes:?}");
    assert_eq!(bench.plan().flows.len(), 2);
    // Afterwards the first, too: the latest answer has the media.
    ask(&mut bench, Request::Answer, "b1", "a", &caller);
    assert_eq!(bench.plan().flows.len(), 2);
}

#[test]
fn a_late_offer_whose_tags_are_swapped_in_the_answer_is_understood() {
    let mut bench = Bench::new();
    ask(&mut bench, Request::Offer, "b", "a", CALLED);
    let caller = CALLER.replace("RTP/SAVP", "RTP/AVP").replace("a=crypto", "a=x-crypto");
    let answer =
        rewritten(bench.ask(Request::Answer(Box::new(negotiation("a", Some("b"), &caller, Options::default())))));
    assert!(answer.warnings.iter().any(|warning| warning.contains("swapped")), "{:?}", answer.warnings);
    assert_eq!(bench.plan().flows.len(), 2);
}

#[test]
fn an_offer_that_nobody_answers_makes_way_for_the_next_from_either_side() {
    for (from, to, sdp) in [("a", "b", CALLER), ("b", "a", CALLED)] {
        let mut bench = Bench::new();
        // The INVITE offers; the 200 has no description, and neither has the ACK.
        bench.offer(&CALLER.replace("4000", "4100"), Options::default());
        let ports = bench.ports_open();
        assert_eq!(ports, 4);
        let crossed = bench.ask(Request::Offer(Box::new(negotiation("b", Some("a"), CALLED, Options::default()))));
        assert!(matches!(crossed, Err(Refusal::OfferPending)), "it may still be answered");
        bench.advance(Duration::from_secs(5));
        let offer = ask(&mut bench, Request::Offer, from, to, sdp);
        assert!(offer.contains("m=audio P1 "), "{offer}");
        assert_eq!(bench.ports_open(), ports, "the same ports");
        let answer = if from == "a" { CALLER.replace("alice", "bob") } else { CALLED.to_owned() };
        ask(&mut bench, Request::Answer, from, to, &answer);
        assert_eq!(bench.plan().flows.len(), 2);
        assert!(matches!(bench.delete(Some(0)), Ok(Reply::Deleted(_))));
        assert_eq!(bench.ports_open(), 0);
    }
}

#[test]
fn an_offer_without_any_answer_ends_and_gives_its_ports_back() {
    let mut bench = Bench::new();
    ask(&mut bench, Request::Offer, "b", "a", CALLED);
    bench.advance(Duration::from_secs(3600));
    assert_eq!(bench.ports_open(), 0);
    assert_eq!(bench.ended.len(), 1);
}
