//! Media that is blocked or silenced on request.

use control::{FlowPlan, PayloadTypes};
use sallyport_session::{Options, Party, Refusal, Reply, Request, Treat, Treatment};

use crate::support::Bench;

const OFFER: &str = "
    v=0
    o=- 5 2 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0 8 9 101
    a=rtpmap:101 telephone-event/8000
";
const ANSWER: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 RTP/AVP 0 8 9 101
    a=rtpmap:101 telephone-event/8000
";

fn call() -> Bench {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options { label: Some("caller".into()), ..Options::default() });
    bench.answer(ANSWER, Options::default());
    bench
}

fn treat(treatment: Treatment, on: bool, from: Option<Party>) -> Treat {
    Treat { call_id: "call".into(), treatment, on, from, to: None, all: false, label: None }
}

fn tag(tag: &str) -> Option<Party> {
    Some(Party::Tag(tag.into()))
}

fn done(bench: &mut Bench, treat: Treat) {
    let reply = bench.ask(Request::Treat(treat));
    assert!(matches!(reply, Ok(Reply::Done)), "{reply:?}");
}

/// Flows that come from the caller (10.0.0.1 and the first port pair) and from the callee.
fn flows(bench: &Bench) -> [FlowPlan; 2] {
    let plan = bench.plan();
    let from = |leg: u16| {
        let of_leg = |flow: &&FlowPlan| {
            plan.transports.iter().any(|transport| transport.id == flow.ingress_rtp && transport.leg.0 == leg)
        };
        plan.flows.iter().find(of_leg).expect("a flow").clone()
    };
    [from(0), from(1)]
}

/// Of 0, 8, 9 and 101.
fn blocked(flow: &FlowPlan) -> Vec<u8> {
    [0, 8, 9, 101].into_iter().filter(|&payload_type| flow.blocked.contains(payload_type)).collect()
}

#[test]
fn a_call_is_blocked_but_for_telephone_events_and_goes_on() {
    let mut bench = call();
    done(&mut bench, treat(Treatment::Block, true, None));
    for flow in flows(&bench) {
        assert_eq!(blocked(&flow), [0, 8, 9]);
        assert!(flow.blocked.contains(77), "what was not negotiated is no media that may pass");
    }
    done(&mut bench, treat(Treatment::Block, false, None));
    assert!(flows(&bench).iter().all(|flow| flow.blocked == PayloadTypes::default()));
}

#[test]
fn a_party_is_named_by_tag_label_or_address() {
    for from in [Party::Tag("a".into()), Party::Label("caller".into()), Party::Address("192.0.2.1".parse().unwrap())] {
        let mut bench = call();
        done(&mut bench, treat(Treatment::BlockDtmf, true, Some(from)));
        let [caller, callee] = flows(&bench);
        assert_eq!((blocked(&caller), blocked(&callee)), (vec![101], vec![]));
    }
    let mut bench = call();
    for (from, refusal) in [
        (Party::Tag("x".into()), Refusal::FromTagNotFound),
        (Party::Label("x".into()), Refusal::NoSuchParty("label x".into())),
        (Party::Address("192.0.2.9".parse().unwrap()), Refusal::NoSuchParty("address 192.0.2.9".into())),
    ] {
        assert_eq!(bench.ask(Request::Treat(treat(Treatment::Block, true, Some(from)))).unwrap_err(), refusal);
    }
    let unknown = Treat { call_id: "none".into(), ..treat(Treatment::Block, true, None) };
    assert_eq!(bench.ask(Request::Treat(unknown)).unwrap_err(), Refusal::UnknownCallId);
}

#[test]
fn a_party_can_be_given_a_label_on_the_way() {
    let mut bench = call();
    done(&mut bench, Treat { label: Some("callee".into()), ..treat(Treatment::BlockDtmf, true, tag("b")) });
    done(&mut bench, treat(Treatment::BlockDtmf, false, Some(Party::Label("callee".into()))));
    assert!(flows(&bench).iter().all(|flow| blocked(flow).is_empty()));
}

#[test]
fn g711_is_silenced_and_other_codecs_are_dropped() {
    let mut bench = call();
    done(&mut bench, treat(Treatment::Silence, true, tag("b")));
    let [caller, callee] = flows(&bench);
    assert_eq!(blocked(&callee), [9], "G.722 cannot be silenced without a codec");
    let octets = [0, 8, 9, 101].map(|payload_type| callee.silenced.octet(payload_type));
    assert_eq!(octets, [Some(0xff), Some(0xd5), None, None]);
    assert_eq!((blocked(&caller), caller.silenced.octet(0)), (vec![], None));
}

#[test]
fn an_end_for_the_call_spares_a_party_that_is_blocked_by_name_unless_it_is_for_all() {
    let mut bench = call();
    done(&mut bench, treat(Treatment::Block, true, tag("a")));
    done(&mut bench, treat(Treatment::Block, true, None));
    done(&mut bench, treat(Treatment::Block, false, None));
    assert_eq!(flows(&bench).map(|flow| blocked(&flow).len()), [3, 0]);
    done(&mut bench, Treat { all: true, ..treat(Treatment::Block, false, None) });
    assert_eq!(flows(&bench).map(|flow| blocked(&flow).len()), [0, 0]);
}

#[test]
fn treatments_outlive_a_reoffer_and_the_same_one_twice_changes_nothing() {
    let mut bench = call();
    done(&mut bench, Treat { to: tag("b"), ..treat(Treatment::Block, true, tag("a")) });
    let applies = bench.applies;
    done(&mut bench, Treat { to: tag("b"), ..treat(Treatment::Block, true, tag("a")) });
    assert_eq!(bench.applies, applies);
    bench.reoffer("a", "b", &OFFER.replace("4000", "4100"), Options::default());
    bench.reanswer("a", "b", ANSWER, Options::default());
    assert_eq!(flows(&bench).map(|flow| blocked(&flow).len()), [3, 0]);
}

#[test]
fn an_offer_can_ask_for_no_telephone_events() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options { block_dtmf: Some(true), ..Options::default() });
    bench.answer(ANSWER, Options::default());
    assert_eq!(flows(&bench).map(|flow| blocked(&flow)), [vec![101], vec![101]]);
}
