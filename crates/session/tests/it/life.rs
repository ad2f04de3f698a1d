//! The end of calls, and what can be asked about them.

use std::time::Duration;

use control::{Event, HashAlgorithm, Profile, SecuredBy, TransportEvent, TransportFailure};
use sallyport_session::{
    CallState, Delete, EndReason, KeyingKind, LedgerNote, Options, Query, Refusal, Reply, Request,
};

use crate::support::{Bench, negotiation};

const OFFER: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0
    a=sendrecv
";

fn answered() -> Bench {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options { label: Some("caller".into()), ..Options::default() });
    bench.answer(OFFER, Options::default());
    bench
}

#[test]
fn a_deleted_call_keeps_its_ports_for_the_delay() {
    let mut bench = answered();
    let Ok(Reply::Deleted(deleted)) = bench.delete(None) else { panic!("deleted") };
    assert!(deleted.report.is_some() && deleted.warning.is_none());
    assert_eq!(bench.ports_open(), 4);
    assert_eq!(bench.session.call("call").expect("known").summary.state, CallState::Ending);
    bench.advance(Duration::from_secs(29));
    assert_eq!(bench.ports_open(), 4);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.ports_open(), 0);
    assert_eq!(bench.session.ports_in_use(), 0);
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::Deleted)]);
    assert_eq!(bench.session.poll_timeout(), None);
}

#[test]
fn a_delay_of_zero_ends_it_at_once_and_the_reply_has_the_final_statistics() {
    let mut bench = answered();
    let Ok(Reply::Deleted(deleted)) = bench.delete(Some(0)) else { panic!("deleted") };
    assert_eq!(deleted.report.expect("statistics").tags.len(), 2);
    assert_eq!(bench.ports_open(), 0);
    let Ok(Reply::Deleted(deleted)) = bench.delete(Some(0)) else { panic!("a warning") };
    assert_eq!(deleted.warning, Some("Call-ID not found or tags didn't match"));
    let fatal = Delete { call_id: "call".into(), fatal: true, ..Delete::default() };
    assert_eq!(bench.ask(Request::Delete(fatal)).err(), Some(Refusal::UnknownCallId));
}

#[test]
fn an_absurd_delay_is_cut_to_a_day() {
    let mut bench = answered();
    bench.delete(Some(u64::MAX)).expect("deleted");
    bench.advance(Duration::from_secs(24 * 3600));
    assert_eq!(bench.ports_open(), 0);
}

#[test]
fn a_delete_with_a_foreign_tag_does_nothing() {
    let mut bench = answered();
    let delete = Delete { call_id: "call".into(), from_tag: Some("x".into()), ..Delete::default() };
    let Ok(Reply::Deleted(deleted)) = bench.ask(Request::Delete(delete)) else { panic!("a warning") };
    assert!(deleted.warning.is_some());
    bench.advance(Duration::from_secs(31));
    assert_eq!(bench.ports_open(), 4);
}

#[test]
fn an_offer_brings_a_deleted_call_back() {
    let mut bench = answered();
    bench.delete(None).expect("deleted");
    bench.reoffer("a", "b", OFFER, Options::default());
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.ports_open(), 4);
}

#[test]
fn a_call_without_media_ends() {
    let mut bench = answered();
    let (key, worker) = (bench.key(), bench.workers[&bench.key()]);
    bench.event(worker, Event::Idle { call: key });
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::MediaTimeout)]);
    assert_eq!(bench.ports_open(), 0);
    assert_eq!(bench.session.statistics(bench.now).ended_by_media_timeout, 1);
}

#[test]
fn an_offer_that_nobody_answers_ends_its_call() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    bench.advance(Duration::from_secs(3600));
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::OfferTimeout)]);
    assert_eq!(bench.session.ports_in_use(), 0);
}

#[test]
fn a_held_call_ends_after_the_hold_timeout() {
    let mut bench = Bench::new();
    bench.offer(&OFFER.replace("sendrecv", "inactive"), Options::default());
    bench.answer(&OFFER.replace("sendrecv", "inactive"), Options::default());
    bench.advance(Duration::from_secs(3599));
    assert!(bench.ended.is_empty());
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::MediaTimeout)]);
}

#[test]
fn a_query_reports_parties_media_and_streams() {
    let mut bench = answered();
    let query = Query { call_id: "call".into(), ..Query::default() };
    let Ok(Reply::Query(report)) = bench.ask(Request::Query(query.clone())) else { panic!("a report") };
    assert_eq!(report.tags.iter().map(|tag| tag.tag.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(report.tags[0].label.as_deref(), Some("caller"));
    assert_eq!(report.tags[0].in_dialogue_with, ["b"]);
    let media = &report.tags[0].medias[0];
    assert_eq!((media.index, media.kind.as_str(), media.protocol.as_str()), (1, "audio", "RTP/AVP"));
    assert_eq!(media.codec.as_deref(), Some("PCMU"));
    assert_eq!(media.streams.len(), 2);
    assert_eq!(media.streams[0].advertised_endpoint, Some("192.0.2.1:4000".parse().unwrap()));
    let one = Query { from_tag: Some("b".into()), ..query.clone() };
    let Ok(Reply::Query(report)) = bench.ask(Request::Query(one)) else { panic!("a report") };
    assert_eq!(report.tags.len(), 1);
    let unknown = Query { from_tag: Some("x".into()), ..query };
    assert_eq!(bench.ask(Request::Query(unknown)).err(), Some(Refusal::FromTagNotFound));
    let unknown = Query { call_id: "other".into(), ..Query::default() };
    assert_eq!(bench.ask(Request::Query(unknown)).err(), Some(Refusal::UnknownCallId));
    let Ok(Reply::List(calls)) = bench.ask(Request::List { limit: 32 }) else { panic!("a list") };
    assert_eq!(calls, ["call"]);
    let Ok(Reply::Statistics(all)) = bench.ask(Request::Statistics) else { panic!("statistics") };
    assert_eq!((all.calls, all.legs, all.transports, all.calls_total), (1, 2, 4, 1));
}

#[test]
fn a_silent_worker_does_not_keep_a_query_waiting_for_ever() {
    let mut bench = answered();
    bench.silent = true;
    let token = bench.send(Request::Query(Query { call_id: "call".into(), ..Query::default() }));
    bench.advance(Duration::from_secs(3));
    assert!(matches!(bench.replies.remove(&token), Some(Ok(Reply::Query(_)))));
    let token = bench.send(Request::Delete(Delete {
        call_id: "call".into(),
        delay: Some(Duration::ZERO),
        ..Delete::default()
    }));
    bench.advance(Duration::from_secs(3));
    assert!(matches!(bench.replies.remove(&token), Some(Ok(Reply::Deleted(_)))));
    assert_eq!(bench.session.ports_in_use(), 0);
}

#[test]
fn the_view_and_the_ledger_tell_what_the_worker_saw() {
    let mut bench = answered();
    let (key, worker) = (bench.key(), bench.workers[&bench.key()]);
    let transport = bench.plan().transports[0].id;
    let secured = SecuredBy::Dtls {
        profile: Profile::AeadAes256Gcm,
        version: "DTLSv1.3".into(),
        hash: HashAlgorithm::Sha256,
        remote: "192.0.2.9:5".parse().unwrap(),
    };
    for event in [
        TransportEvent::Latched { remote: "192.0.2.9:5".parse().unwrap() },
        TransportEvent::Secured(secured.clone()),
        TransportEvent::Secured(secured.clone()),
        TransportEvent::Failed(TransportFailure::HandshakeTimeout),
    ] {
        bench.event(worker, Event::Transport { call: key, transport, event });
    }
    let view = bench.session.call("call").expect("known");
    assert_eq!(view.summary.state, CallState::Answered);
    let seen = &view.legs[0].sections[0];
    assert_eq!((seen.keying, seen.transports[0].remote), (KeyingKind::Plain, Some("192.0.2.9:5".parse().unwrap())));
    assert_eq!(seen.transports[0].failure, Some(TransportFailure::HandshakeTimeout));
    let notes: Vec<_> = view.ledger.iter().map(|entry| entry.note.clone()).collect();
    assert_eq!(notes, [LedgerNote::Secured(secured), LedgerNote::Failed(TransportFailure::HandshakeTimeout)]);
}

#[test]
fn requests_wait_while_ports_are_being_bound() {
    let mut bench = Bench::new();
    bench.silent = true;
    let offer = bench.send(Request::Offer(Box::new(negotiation("a", None, OFFER, Options::default()))));
    let delete = bench.send(Request::Delete(Delete {
        call_id: "call".into(),
        delay: Some(Duration::ZERO),
        ..Delete::default()
    }));
    assert!(bench.replies.is_empty());
    let key = *bench.open.keys().next().expect("opened");
    let worker = bench.workers[&key];
    bench.silent = false;
    bench.event(worker, Event::Opened { request: control::RequestId(1), call: key });
    assert!(matches!(bench.replies.remove(&offer), Some(Ok(Reply::Sdp(_)))));
    assert!(matches!(bench.replies.remove(&delete), Some(Ok(Reply::Deleted(_)))));
    assert_eq!(bench.ports_open(), 0);
}
