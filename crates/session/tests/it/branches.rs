//! Forks, glare, and unknown parties.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use control::{Component, Keying, SdesKeys, TransportPlan};
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

/// One more answer to the one offer, as a proxy downstream makes it.
fn fork_answer(bench: &mut Bench, tag: &str, sdp: &str) -> String {
    let answer = negotiation("a", Some(tag), sdp, Options::default());
    String::from_utf8(rewritten(bench.ask(Request::Answer(Box::new(answer)))).sdp).expect("UTF-8")
}

/// The RTP transport of the leg that was forked: the one whose keys come from SDES.
fn forked(bench: &Bench) -> &TransportPlan {
    let secure = |plan: &&TransportPlan| plan.component == Component::Rtp && matches!(plan.keying, Keying::Sdes(_));
    bench.plan().transports.iter().find(secure).expect("a secure leg")
}

fn sdes(keying: &Keying) -> &SdesKeys {
    let Keying::Sdes(keys) = keying else { panic!("not SDES") };
    keys
}

fn remote(address: &str) -> Option<SocketAddr> {
    Some(address.parse().expect("an address"))
}

const OTHER_KEY: &str = "a=crypto:2 AEAD_AES_128_GCM inline:AAAAAAz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==";

fn second_answer() -> String {
    let line = ANSWER.lines().find(|line| line.contains("crypto")).expect("a=crypto");
    ANSWER.replace("192.0.2.2", "192.0.2.12").replace(line.trim(), OTHER_KEY)
}

#[test]
fn a_fork_downstream_has_the_media_and_the_answer_before_it_stays_known() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    fork_answer(&mut bench, "b1", ANSWER);
    let first = forked(&bench).clone();
    assert!(first.others.is_empty());
    fork_answer(&mut bench, "b2", &second_answer());
    let both = forked(&bench).clone();
    assert_eq!((both.remote, both.others.len()), (remote("192.0.2.12:6000"), 1));
    assert_eq!((both.others[0].id, both.others[0].remote), (first.branch, remote("192.0.2.2:6000")));
    assert!(both.others[0].keying == first.keying);
    let (front, other) = (sdes(&both.keying), sdes(&both.others[0].keying));
    assert!(front.outbound == other.outbound, "one offer, one key");
    assert!(front.inbound != other.inbound, "each peer has its own");
    assert_eq!(bench.opens.len(), 1, "one port");
    let view = bench.session.call("call").expect("known");
    assert_eq!(view.legs.iter().map(|leg| leg.tag.as_str()).collect::<Vec<_>>(), ["a", "b2"]);
}

#[test]
fn a_final_answer_picks_its_branch_and_nothing_about_it_is_new() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    let early = fork_answer(&mut bench, "b1", ANSWER);
    let first = forked(&bench).clone();
    fork_answer(&mut bench, "b2", &second_answer());
    let second = forked(&bench).clone();
    assert_eq!(fork_answer(&mut bench, "b1", ANSWER), early, "183 and 200 of one branch");
    let picked = forked(&bench);
    assert_eq!((picked.branch, picked.remote), (first.branch, first.remote));
    assert!(picked.keying == first.keying);
    assert_eq!(picked.latch_generation, first.latch_generation);
    assert_eq!(picked.others.iter().map(|other| other.id).collect::<Vec<_>>(), [second.branch]);
}

#[test]
fn branches_may_choose_other_suites_of_the_one_offer_and_come_back_to_them() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    let line = ANSWER.lines().find(|line| line.contains("crypto")).expect("a=crypto").trim();
    let other = "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    fork_answer(&mut bench, "b1", ANSWER);
    let first = sdes(&forked(&bench).keying).outbound.clone();
    fork_answer(&mut bench, "b2", &ANSWER.replace(line, other));
    assert!(sdes(&forked(&bench).keying).outbound != first);
    fork_answer(&mut bench, "b1", ANSWER);
    assert!(sdes(&forked(&bench).keying).outbound == first, "a suite that another branch has is not left");
    fork_answer(&mut bench, "b3", ANSWER);
    assert!(sdes(&forked(&bench).keying).outbound == first);
}

#[test]
fn an_offer_inside_a_dialog_picks_it() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    fork_answer(&mut bench, "b1", ANSWER);
    fork_answer(&mut bench, "b2", &second_answer());
    let moved = ANSWER.replace("m=audio 6000", "m=audio 6100").replace("o=b 9 9", "o=b 9 10");
    bench.reoffer("b1", "a", &moved, Options::default());
    bench.reanswer("b1", "a", OFFER, Options::default());
    let picked = forked(&bench);
    assert_eq!(picked.remote, remote("192.0.2.2:6100"));
    assert_eq!(picked.others.len(), 1);
}

#[test]
fn a_delete_of_a_lost_dialog_never_harms_the_winner() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    for (tag, address) in [("b1", "192.0.2.11"), ("b2", "192.0.2.12"), ("b3", "192.0.2.13")] {
        fork_answer(&mut bench, tag, &ANSWER.replace("192.0.2.2", address));
    }
    let delete = |from: &str, to: &str| {
        Request::Delete(Delete {
            call_id: "call".into(),
            from_tag: Some(from.into()),
            to_tag: Some(to.into()),
            match_to_tag: true,
            ..Delete::default()
        })
    };
    assert!(matches!(bench.ask(delete("a", "b1")), Ok(Reply::Deleted(_))));
    assert!(matches!(bench.ask(delete("b2", "a")), Ok(Reply::Deleted(_))));
    bench.advance(Duration::from_secs(31));
    assert_eq!(forked(&bench).remote, remote("192.0.2.13:6000"));
    assert!(forked(&bench).others.is_empty());
    assert_eq!(bench.plan().flows.len(), 2);
    assert!(matches!(bench.ask(delete("a", "b3")), Ok(Reply::Deleted(_))));
    bench.advance(Duration::from_secs(31));
    assert_eq!(bench.ports_open(), 0, "the winner's end is the call's");
}

#[test]
fn a_delete_of_a_lost_branch_of_ours_by_its_tag_ends_that_branch_alone() {
    let mut bench = Bench::new();
    branch_offer(&mut bench, "z1");
    branch_offer(&mut bench, "z2");
    branch_answer(&mut bench, "z1", "b1", "192.0.2.11");
    branch_answer(&mut bench, "z2", "b2", "192.0.2.12");
    let delete =
        Delete { call_id: "call".into(), from_tag: Some("b1".into()), to_tag: Some("a".into()), ..Delete::default() };
    assert!(matches!(bench.ask(Request::Delete(delete)), Ok(Reply::Deleted(_))));
    bench.advance(Duration::from_secs(31));
    assert_eq!(bench.ports_open(), 4);
    assert_eq!(bench.plan().flows.len(), 2);
    let remotes: Vec<_> = bench.plan().transports.iter().filter_map(|transport| transport.remote).collect();
    assert!(remotes.contains(&"192.0.2.12:6000".parse().unwrap()), "{remotes:?}");
}

#[test]
fn the_end_of_the_branch_that_had_the_media_gives_it_back_to_the_one_before() {
    let mut bench = Bench::new();
    branch_offer(&mut bench, "z1");
    branch_offer(&mut bench, "z2");
    branch_offer(&mut bench, "z3");
    branch_answer(&mut bench, "z1", "b1", "192.0.2.11");
    let to_first = bench.plan().flows.iter().map(|flow| flow.egress_rtp).collect::<Vec<_>>();
    branch_answer(&mut bench, "z2", "b2", "192.0.2.12");
    let delete = |branch: &str| {
        let (from_tag, via_branch) = (Some("a".into()), Some(branch.into()));
        Request::Delete(Delete { call_id: "call".into(), from_tag, via_branch, ..Delete::default() })
    };
    assert!(bench.ask(delete("z2")).is_ok());
    assert_eq!(bench.plan().flows.iter().map(|flow| flow.egress_rtp).collect::<Vec<_>>(), to_first);
    assert!(bench.ask(delete("z3")).is_ok());
    assert_eq!(bench.ports_open(), 4);
    assert_eq!(bench.plan().flows.iter().map(|flow| flow.egress_rtp).collect::<Vec<_>>(), to_first);
}

#[test]
fn no_more_answers_are_kept_than_a_transport_can_tell_apart() {
    let mut bench = Bench::new();
    bench.offer(OFFER, savp());
    for number in 1..=20 {
        fork_answer(&mut bench, &format!("b{number}"), &ANSWER.replace("192.0.2.2", &format!("192.0.2.{number}")));
    }
    let plan = forked(&bench);
    assert_eq!(plan.others.len(), control::MAX_BRANCHES - 1);
    let mut names: HashSet<_> = plan.others.iter().map(|other| other.id).collect();
    assert!(names.insert(plan.branch));
    assert_eq!(names.len(), control::MAX_BRANCHES);
    assert!(plan.others.iter().all(|other| other.remote != remote("192.0.2.1:6000")));
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
