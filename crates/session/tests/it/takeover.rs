//! Two processes: a session that begins while calls run, and a pump that goes and comes.

use std::time::Duration;

use control::{CallKey, Command, Event, OpenPort, RequestId, TransportId};
use sallyport_session::{
    CallState, EndReason, Interface, MediaProfile, Options, Output, Query, Refusal, Remember, Reply, Request, Session,
    SessionConfig, TransportProtocol, WorkerId,
};

use crate::support::{Bench, config, lines, negotiation};

const PHONE_A: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/SAVP 0
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
";
const PHONE_B: &str = "
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

fn split() -> SessionConfig {
    SessionConfig { split: true, ..config() }
}

fn answered() -> Bench {
    let mut bench = Bench::with(split());
    bench.offer(PHONE_A, savp());
    bench.answer(PHONE_B, Options::default());
    bench
}

fn query() -> Request {
    Request::Query(Query { call_id: "call".into(), ..Query::default() })
}

fn is_away(refused: &Result<Reply, Refusal>) -> bool {
    matches!(refused, Err(refusal @ Refusal::MediaHalfAway(_)) if refusal.label() == "media_half_away")
}

#[test]
fn nothing_is_served_before_the_calls_are_taken_over() {
    let mut bench = answered();
    bench.session.handle_media_away();
    for request in [
        Request::Offer(Box::new(negotiation("x", None, PHONE_A, savp()))),
        Request::Answer(Box::new(negotiation("a", Some("b"), PHONE_B, savp()))),
        query(),
    ] {
        assert!(is_away(&bench.ask(request)));
    }
    assert!(is_away(&bench.delete(Some(0))));
    assert_eq!(bench.session.calls().len(), 1, "the call goes on");
    bench.connect();
    assert!(bench.ask(query()).is_ok());
    assert!(bench.delete(Some(0)).is_ok());
    assert_eq!(bench.ports_open(), 0);
}

#[test]
fn a_restarted_session_knows_the_call_its_age_and_its_state() {
    let mut bench = answered();
    let created = bench.session.calls()[0].created;
    bench.advance(Duration::from_secs(40));
    bench.restart();
    let calls = bench.session.calls();
    assert_eq!((calls.len(), calls[0].created, calls[0].state), (1, created, CallState::Answered));
    assert_eq!(bench.session.ports_in_use(), bench.ports_open());
    let Ok(Reply::Query(report)) = bench.ask(query()) else { panic!("a report") };
    assert_eq!(report.tags.iter().map(|tag| tag.tag.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(bench.delete(Some(0)).is_ok());
    assert_eq!((bench.ports_open(), bench.session.ports_in_use()), (0, 0));
}

#[test]
fn an_answer_finds_the_offer_that_the_session_before_it_took() {
    let mut bench = Bench::with(split());
    let offer = bench.offer(PHONE_A, savp());
    bench.restart();
    assert_eq!(bench.session.calls()[0].state, CallState::Offered);
    assert_eq!(bench.offer(PHONE_A, savp()).sdp, offer.sdp);
    bench.restart();
    bench.answer(PHONE_B, Options::default());
    assert!(bench.plan().flows.iter().all(|flow| flow.forward_media));
    assert_eq!(bench.opens.len(), 1);
}

#[test]
fn a_deleted_call_still_ends_when_its_delay_is_over() {
    let mut bench = answered();
    assert!(bench.delete(Some(30)).is_ok());
    bench.advance(Duration::from_secs(20));
    bench.restart();
    assert_eq!(bench.session.calls()[0].state, CallState::Ending);
    bench.advance(Duration::from_secs(9));
    assert!(bench.ports_open() > 0);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.ports_open(), 0);
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::Deleted)]);
}

#[test]
fn the_ports_of_an_offer_that_came_to_nothing_are_closed() {
    let mut bench = answered();
    let (key, open) = (bench.key(), bench.ports_open());
    // Opened for the session before, which was killed before it heard of it.
    let stray = bench.open.get_mut(&key).expect("the call");
    stray.insert(TransportId(77), "10.0.0.1:20000".parse().expect("address"));
    let lone = CallKey(9);
    bench.open.entry(lone).or_default().insert(TransportId(0), "10.0.0.1:20002".parse().expect("address"));
    bench.workers.insert(lone, WorkerId(0));
    bench.restart();
    assert_eq!(bench.ports_open(), open);
    assert_eq!(bench.session.calls().len(), 1);
}

#[test]
fn when_the_pump_has_ended_its_calls_end_with_that_reason_and_new_ones_are_served() {
    let mut bench = answered();
    bench.session.handle_media_lost(bench.now);
    bench.run();
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::PumpLost)]);
    assert_eq!(bench.session.ports_in_use(), 0);
    assert!(is_away(&bench.ask(query())));
    (bench.open, bench.plans, bench.pump) = Default::default();
    bench.connect();
    bench.offer(PHONE_A, savp());
    assert_eq!(bench.session.calls().len(), 1);
}

#[test]
fn another_pump_process_has_none_of_the_calls() {
    let mut bench = answered();
    bench.session.handle_media_away();
    (bench.open, bench.plans) = Default::default();
    bench.pump = 2;
    bench.connect();
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::PumpLost)]);
    assert!(bench.session.calls().is_empty());
}

#[test]
fn the_same_pump_keeps_calls_that_are_known_and_loses_those_that_it_does_not_have() {
    let mut bench = answered();
    bench.session.handle_media_away();
    bench.connect();
    assert_eq!(bench.session.calls().len(), 1);
    assert!(bench.ended.is_empty());
    bench.session.handle_media_away();
    (bench.open, bench.plans) = Default::default();
    bench.connect();
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::WorkerLost)]);
}

#[test]
fn what_another_session_has_changed_since_holds() {
    let mut bench = answered();
    let key = bench.key();
    let held = PHONE_A.replace("a=crypto", "a=sendonly\na=crypto");
    let mut other = Session::new(split(), bench.clocks(), [99; 32]);
    bench.session.handle_media_away();
    std::mem::swap(&mut bench.session, &mut other);
    bench.connect();
    bench.reoffer("a", "b", &held, savp());
    bench.reanswer("a", "b", PHONE_B, Options::default());
    let offered_last = bench.reoffer("a", "b", &held, savp());
    std::mem::swap(&mut bench.session, &mut other);
    bench.connect();
    assert_eq!(bench.plans[&key].flows.iter().filter(|flow| flow.forward_media).count(), 1);
    assert_eq!(bench.reoffer("a", "b", &held, savp()).sdp, offered_last.sdp);
}

#[test]
fn a_call_that_ended_while_the_pump_was_away_is_not_brought_back() {
    let mut bench = answered();
    assert!(bench.delete(Some(5)).is_ok());
    bench.session.handle_media_away();
    bench.silent = true;
    // Its Remove goes nowhere, and nobody answers.
    bench.now += Duration::from_secs(5);
    bench.session.handle_timeout(bench.now);
    while bench.session.poll_output().is_some() {}
    bench.now += Duration::from_secs(3);
    bench.session.handle_timeout(bench.now);
    while bench.session.poll_output().is_some() {}
    assert!(bench.session.calls().is_empty());
    assert!(bench.ports_open() > 0);
    bench.silent = false;
    bench.connect();
    assert!(bench.session.calls().is_empty());
    assert_eq!(bench.ports_open(), 0);
}

#[test]
fn a_memo_that_cannot_be_read_leaves_the_call_to_its_media_timeout() {
    let mut bench = answered();
    let (key, open) = (bench.key(), bench.ports_open());
    bench.plans.get_mut(&key).expect("its plan").memo[0] ^= 1;
    bench.restart();
    assert!(bench.session.calls().is_empty());
    assert_eq!(bench.ports_open(), open, "its media go on");
    let worker = bench.workers[&key];
    bench.event(worker, Event::Idle { call: key });
    assert_eq!(bench.ports_open(), 0);
}

#[test]
fn every_memo_that_is_cut_or_bent_is_refused_or_makes_a_call_that_can_be_ended() {
    let memo = {
        let bench = answered();
        bench.plan().memo.clone()
    };
    let mut bent: Vec<Vec<u8>> = (0..memo.len()).step_by(7).map(|length| memo[..length].to_vec()).collect();
    bent.extend((9..memo.len()).step_by(5).map(|at| {
        let mut memo = memo.clone();
        memo[at] ^= 0x55;
        memo
    }));
    for memo in bent {
        let mut bench = answered();
        let key = bench.key();
        bench.plans.get_mut(&key).expect("its plan").memo = memo;
        bench.take_over_anything();
        for call in bench.session.calls() {
            let delete =
                sallyport_session::Delete { call_id: call.call_id, delay: Some(Duration::ZERO), ..Default::default() };
            bench.ask(Request::Delete(delete)).expect("deleted");
        }
    }
}

#[test]
fn a_call_on_an_interface_that_is_gone_is_not_taken_over() {
    let mut bench = answered();
    let elsewhere = Interface::new("elsewhere", "10.9.9.9".parse().expect("address"));
    bench.restart_with(SessionConfig { interfaces: vec![elsewhere], ..split() });
    assert!(bench.session.calls().is_empty());
    assert!(bench.ports_open() > 0, "its media go on");
}

#[test]
fn interfaces_may_come_in_another_order() {
    let mut bench = answered();
    let mut interfaces = config().interfaces;
    interfaces.reverse();
    let offer = bench.reoffer("a", "b", PHONE_A, savp());
    bench.restart_with(SessionConfig { interfaces, ..split() });
    assert_eq!(bench.reoffer("a", "b", PHONE_A, savp()).sdp, offer.sdp);
}

#[test]
fn a_call_without_media_ends_whenever_that_is_told() {
    let mut bench = answered();
    let (key, worker) = (bench.key(), bench.workers[&bench.key()]);
    // Told before the page of the call comes: the snapshot is asked for, and answered later.
    bench.session = Session::new(split(), bench.clocks(), [3; 32]);
    bench.hold_back = true;
    bench.connect();
    bench.event(worker, Event::Idle { call: key });
    assert!(bench.session.calls().is_empty());
    bench.hold_back = false;
    bench.connect();
    bench.event(worker, Event::Idle { call: key });
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::MediaTimeout)]);
}

#[test]
fn a_call_that_is_too_large_has_no_memo_and_is_served_all_the_same() {
    let mut bench = Bench::with(split());
    let section = format!("m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\na=mid:{}\n", "m".repeat(1500));
    let sdp = format!("v=0\no=a 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n{}", section.repeat(32));
    bench.offer(&sdp, Options::default());
    assert!(bench.plan().memo.is_empty());
    assert_eq!(bench.session.calls().len(), 1);
}

#[test]
fn one_process_writes_no_memos() {
    let mut bench = Bench::new();
    bench.offer(PHONE_A, savp());
    assert!(bench.plan().memo.is_empty());
}

#[test]
fn an_answer_to_the_session_before_is_not_taken_for_ours() {
    let mut first = Bench::with(split());
    let mut second = Bench::with(split());
    second.session = Session::new(split(), second.clocks(), [1; 32]);
    second.connect();
    let request = |bench: &mut Bench| {
        bench.silent = true;
        let offer = negotiation("a", None, PHONE_A, savp());
        bench.session.handle_request(bench.now, sallyport_session::Token(1), Request::Offer(Box::new(offer)));
        let open = std::iter::from_fn(|| bench.session.poll_output()).find_map(|output| match output {
            Output::Command(_, Command::Open { request, ports, .. }) => Some((request, ports)),
            _ => None,
        });
        open.expect("ports are asked for")
    };
    let (one, two): ((RequestId, Vec<OpenPort>), _) = (request(&mut first), request(&mut second));
    assert_ne!(one.0, two.0);
    assert!(!lines(PHONE_A).is_empty() && !one.1.is_empty());
}

impl Bench {
    fn remember(&mut self, state: &[u8]) {
        let remember = Remember { call_id: "call".into(), state: state.to_vec().into() };
        assert!(matches!(self.ask(Request::Remember(remember)), Ok(Reply::Done)));
    }
}

#[test]
fn a_front_door_gets_back_what_it_said_last() {
    let mut bench = answered();
    for state in [&b"dialogs"[..], b"other dialogs"] {
        bench.remember(state);
    }
    let applies = bench.applies;
    bench.remember(b"other dialogs");
    assert_eq!(bench.applies, applies, "nothing is worth telling twice");
    bench.restart();
    assert_eq!(bench.restored, [("call".to_owned(), b"other dialogs".to_vec())]);
    // It is remembered on, whatever else changes.
    bench.offer(PHONE_A, savp());
    bench.restart();
    assert_eq!(bench.restored.len(), 2);
    assert_eq!(bench.restored[1].1, b"other dialogs");
    // What it does not want to know any more it does not get.
    bench.remember(b"");
    bench.restart();
    assert_eq!(bench.restored.len(), 2);
}

#[test]
fn what_is_to_be_remembered_is_so_from_the_first_memo_on() {
    let mut bench = Bench::with(split());
    bench.silent = true;
    let token = bench.send(Request::Offer(Box::new(negotiation("a", None, PHONE_A, savp()))));
    bench.remember(b"ringing");
    assert!(bench.plans.is_empty() && !bench.replies.contains_key(&token), "its ports are being bound");
    bench.opened();
    assert_eq!(bench.applies, 1);
    bench.take_over_anything();
    assert_eq!(bench.restored, [("call".to_owned(), b"ringing".to_vec())]);
}

#[test]
fn what_is_to_be_remembered_reaches_a_pump_that_was_away() {
    let mut bench = answered();
    bench.session.handle_media_away();
    bench.remember(b"moved");
    bench.connect();
    bench.restart();
    assert_eq!(bench.restored, [("call".to_owned(), b"moved".to_vec())]);
}

#[test]
fn a_call_whose_signalling_is_too_large_is_remembered_without_it() {
    let mut bench = answered();
    bench.remember(&vec![7; 65_000]);
    assert!(!bench.plan().memo.is_empty());
    bench.restart();
    assert!(bench.restored.is_empty());
    assert!(bench.ask(query()).is_ok());
}

/// Whoever asks for a delay of more years than there are dates has a call like any other.
#[test]
fn a_delay_beyond_all_dates_ends_no_call() {
    let mut bench = Bench::with(split());
    let endless = || Options { delete_delay: Some(Duration::from_secs(u64::MAX)), ..savp() };
    bench.offer(PHONE_A, endless());
    bench.answer(PHONE_B, Options { delete_delay: endless().delete_delay, ..Options::default() });
    assert!(bench.ask(query()).is_ok());
    bench.restart();
    assert!(bench.ask(query()).is_ok());
}
