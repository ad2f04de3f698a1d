//! Forks, glare, and unknown parties.

use std::collections::HashSet;
use std::time::Duration;

use sallyport_session::{Delete, MediaProfile, Options, Refusal, Reply, Request, TransportProtocol};

use crate::support::{Bench, negotiation, rewritten};

const OFFER: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0
";
const ANSWER: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 RTP/SAVP 0
    a=crypto:2 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==
";

fn savp() -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)), ..Options::default() }
}

fn branch_offer(bench: &mut Bench, branch: &str) -> String {
    let mut offer = negotiation("a", None, OFFER, savp());
    offer.via_branch = Some(branch.to_owned());
    String::from_utf8(rewritten(bench.ask(Request::Offer(Box::new(offer)))).sdp).expect("UTF-8")
}

fn branch_answer(bench: &mut Bench, branch: &str, tag: &str, address: &str) -> String {
    let mut answer = negotiation("a", Some(tag), &ANSWER.replace("192.0.2.2", address), Options::default());
    answer.via_branch = Some(branch.to_owned());
    String::from_utf8(rewritten(bench.ask(Request::Answer(Box::new(answer)))).sdp).expect("UTF-8")
}

fn keys(sdp: &str) -> HashSet<String> {
    sdp.lines().filter_map(|line| line.split("inline:").nth(1)).map(str::to_owned).collect()
}

#[test]
fn branches_have_ports_and_keys_of_their_own_and_the_latest_answer_has_the_media() {
    let mut bench = Bench::new();
    let one = branch_offer(&mut bench, "z1");
    let two = branch_offer(&mut bench, "z2");
    assert!(keys(&one).is_disjoint(&keys(&two)));
    assert_eq!(bench.ports_open(), 6);
    branch_answer(&mut bench, "z1", "b1", "192.0.2.11");
    let to_first = bench.plan().flows.iter().map(|flow| flow.egress_rtp).collect::<Vec<_>>();
    branch_answer(&mut bench, "z2", "b2", "192.0.2.12");
    let flows = &bench.plan().flows;
    assert_eq!(flows.len(), 2);
    assert_ne!(flows.iter().map(|flow| flow.egress_rtp).collect::<Vec<_>>(), to_first);
    assert_eq!(bench.ports_open(), 6, "the other branch may still win");
    branch_answer(&mut bench, "z1", "b1", "192.0.2.11");
    assert_eq!(bench.plan().flows.iter().map(|flow| flow.egress_rtp).collect::<Vec<_>>(), to_first);
}

#[test]
fn a_deleted_branch_gives_its_ports_back_and_the_others_live_on() {
    let mut bench = Bench::new();
    branch_offer(&mut bench, "z1");
    branch_offer(&mut bench, "z2");
    branch_answer(&mut bench, "z2", "b2", "192.0.2.12");
    let delete = Delete {
        call_id: "call".into(),
        from_tag: Some("a".into()),
        via_branch: Some("z1".into()),
        ..Delete::default()
    };
    assert!(matches!(bench.ask(Request::Delete(delete)), Ok(Reply::Deleted(_))));
    assert_eq!(bench.ports_open(), 4);
    assert_eq!(bench.plan().flows.len(), 2);
    bench.advance(Duration::from_secs(31));
    assert_eq!(bench.ports_open(), 4, "only the branch was deleted");
}

#[test]
fn a_fork_downstream_takes_the_one_offer_over() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    let answer = |bench: &mut Bench, tag: &str, address: &str| {
        let answer = negotiation("a", Some(tag), &ANSWER.replace("192.0.2.2", address), Options::default());
        rewritten(bench.ask(Request::Answer(Box::new(answer))))
    };
    answer(&mut bench, "b1", "192.0.2.11");
    answer(&mut bench, "b2", "192.0.2.12");
    let remotes: Vec<_> = bench.plan().transports.iter().filter_map(|transport| transport.remote).collect();
    assert!(remotes.contains(&"192.0.2.12:6000".parse().unwrap()), "{remotes:?}");
    assert_eq!(bench.opens.len(), 1);
    let view = bench.session.call("call").expect("known");
    assert_eq!(view.legs.iter().map(|leg| leg.tag.as_str()).collect::<Vec<_>>(), ["a", "b2"]);
}

#[test]
fn crossed_offers_are_refused_for_a_while() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    bench.answer(OFFER, Options::default());
    bench.reoffer("a", "b", &OFFER.replace("4000", "4100"), Options::default());
    let crossed = || Request::Offer(Box::new(negotiation("b", Some("a"), OFFER, Options::default())));
    assert_eq!(bench.ask(crossed()).err(), Some(Refusal::OfferPending));
    bench.reanswer("a", "b", OFFER, Options::default());
    assert!(bench.ask(crossed()).is_ok());
    bench.advance(Duration::from_secs(5));
    let other_way = Request::Offer(Box::new(negotiation("a", Some("b"), OFFER, Options::default())));
    assert!(bench.ask(other_way).is_ok(), "an offer that was never answered does not bar the other side for ever");
}

#[test]
fn unknown_parties_are_named_and_nothing_else_is_disturbed() {
    let mut bench = Bench::new();
    let answer =
        |from: &str, to: Option<&str>| Request::Answer(Box::new(negotiation(from, to, OFFER, Options::default())));
    let offer =
        |from: &str, to: Option<&str>| Request::Offer(Box::new(negotiation(from, to, OFFER, Options::default())));
    assert_eq!(bench.ask(answer("a", Some("b"))).err(), Some(Refusal::UnknownCallId));
    bench.offer(OFFER, Options::default());
    assert_eq!(bench.ask(answer("x", Some("y"))).err(), Some(Refusal::FromTagNotFound));
    assert_eq!(bench.ask(answer("a", None)).err(), Some(Refusal::NoToTag));
    bench.answer(OFFER, Options::default());
    let (applies, ports) = (bench.applies, bench.ports_open());
    assert_eq!(bench.ask(offer("x", Some("b"))).err(), Some(Refusal::FromTagNotFound));
    assert_eq!(bench.ask(offer("a", Some("x"))).err(), Some(Refusal::ToTagNotFound));
    assert_eq!(bench.ask(offer("a", Some("a"))).err(), Some(Refusal::ToTagNotFound));
    assert_eq!((bench.applies, bench.ports_open()), (applies, ports));
}

#[test]
fn swapped_tags_of_an_answer_are_understood() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    let swapped = Request::Answer(Box::new(negotiation("b", Some("a"), OFFER, Options::default())));
    let reply = rewritten(bench.ask(swapped));
    assert_eq!(reply.warnings, ["from-tag and to-tag of the answer are swapped"]);
    assert_eq!(bench.plan().flows.len(), 2);
}
