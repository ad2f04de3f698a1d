//! A call comes about: whoever offers first, in whatever message (RFC 3261, RFC 3262).

use sallyport_sip::{CallError, CallEvent, Description, EndCause, Reason, Replaces, StatusCode};

use crate::support::net::{A, B, Net, address, sdp};
use crate::support::request;
use crate::{none, status, stray};

#[test]
fn a_call_is_made_and_ended() {
    let mut net = Net::new();
    let leg = net.call(Some("offer"));
    net.settle();
    let (callee_leg, invite) = net.incoming(B);
    assert_eq!(invite.body(), b"offer");
    net.agents[B].ring(net.now, callee_leg, StatusCode::RINGING, None, &none()).unwrap();
    net.settle();
    let CallEvent::Progress { leg: progressed, dialog: Some(early), description: None, .. } = net.event(A) else {
        panic!()
    };
    assert_eq!(progressed, leg);
    let callee = net.agents[B].accept(net.now, callee_leg, Some(sdp("answer")), &none()).unwrap();
    net.settle();
    let CallEvent::Answered { dialog, description, .. } = net.event(A) else { panic!() };
    assert_eq!((dialog, description), (early, Some(Description::Answer(sdp("answer")))));
    assert_eq!(net.event(B), CallEvent::Established { dialog: callee });
    assert_eq!(net.take_log(), ["A INVITE offer", "B 180 INVITE", "B 200 INVITE answer", "A ACK"]);
    assert_eq!(net.agreed([dialog, callee]), ("offer".into(), "answer".into()));

    let replaces = Replaces {
        call_id: "c1".into(),
        to_tag: "a1".into(),
        from_tag: net.agents[A].dialog(dialog).unwrap().id().remote_tag.clone(),
        early_only: false,
    };
    assert_eq!(net.agents[A].find_dialog(&replaces), Some(dialog));

    net.agents[B].bye(net.now, callee, Some(Reason::sip(StatusCode::OK, "done"))).unwrap();
    net.settle();
    assert!(
        matches!(net.event(A), CallEvent::Ended { cause: EndCause::Bye(bye), .. } if bye.headers.contains("Reason"))
    );
    assert!(matches!(net.event(B), CallEvent::Ended { cause: EndCause::Local, .. }));
    assert_eq!(net.take_log(), ["B BYE", "A 200 BYE"]);
    net.assert_forgotten();
    net.no_event(A);
    net.no_event(B);
}

/// The 200 has the offer, the ACK the answer.
#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut net = Net::new();
    net.call(None);
    net.settle();
    let (leg, _) = net.incoming(B);
    assert_eq!(net.agents[B].accept(net.now, leg, None, &none()), Err(CallError::NotNow));
    let callee = net.agents[B].accept(net.now, leg, Some(sdp("offer")), &none()).unwrap();
    net.settle();
    let CallEvent::Answered { dialog, description, .. } = net.event(A) else { panic!() };
    assert_eq!(description, Some(Description::Offer(sdp("offer"))));
    assert_eq!(net.take_log(), ["A INVITE", "B 200 INVITE offer"]);
    // The 200 comes again while the user thinks.
    net.run(500, true);
    assert_eq!(net.take_log(), ["B 200 INVITE offer"]);
    net.agents[A].answer(net.now, dialog, sdp("answer")).unwrap();
    net.settle();
    assert_eq!(net.event(B), CallEvent::Established { dialog: callee });
    assert_eq!(net.event(B), CallEvent::Answer { dialog: callee, body: sdp("answer") });
    assert_eq!(net.take_log(), ["A ACK answer"]);
    assert_eq!(net.agreed([dialog, callee]), ("answer".into(), "offer".into()));
    assert_eq!(net.agents[A].answer(net.now, dialog, sdp("again")), Err(CallError::NotNow));
}

#[test]
fn a_late_offer_that_is_refused_or_left_unanswered_ends_the_call() {
    let mut net = Net::new();
    net.call(None);
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].accept(net.now, leg, Some(sdp("offer")), &none()).unwrap();
    net.settle();
    let dialog = net.answered(A);
    net.agents[A].refuse(net.now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &none()).unwrap();
    net.settle();
    assert!(matches!(net.event(A), CallEvent::Ended { cause: EndCause::Local, .. }));
    assert!(matches!(net.event(B), CallEvent::Established { .. }));
    // B, which finds no answer in the ACK, and A both end the call.
    assert!(matches!(net.event(B), CallEvent::Ended { cause: EndCause::NoAnswer, .. }));
    net.assert_forgotten();
}

/// RFC 3262: answer in a reliable 183, the 200 without a body.
#[test]
fn a_reliable_provisional_response_carries_the_answer() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, Some(sdp("answer")), &none()).unwrap();
    net.lose();
    // Repeated at T1, then twice that, until the PRACK.
    net.run(400, false);
    net.run(200, true);
    let CallEvent::Progress { dialog: Some(dialog), description, .. } = net.event(A) else { panic!() };
    assert_eq!(description, Some(Description::Answer(sdp("answer"))));
    let log = net.take_log();
    let repeated = ["A INVITE offer", "B 183 INVITE answer"];
    assert_eq!(log, [&repeated[..], &repeated, &["A PRACK", "B 183 INVITE answer", "B 200 PRACK"]].concat());
    // Both have agreed before the call is answered; an UPDATE may follow in the early dialog (RFC 3311).
    let callee = net.agents[B].dialogs_of(leg)[0];
    assert_eq!(net.agreed([dialog, callee]), ("offer".into(), "answer".into()));
    net.agents[A].update(net.now, dialog, sdp("offer2")).unwrap();
    net.settle();
    assert_eq!(net.event(B), CallEvent::Offer { dialog: callee, body: sdp("offer2") });
    net.agents[B].answer(net.now, callee, sdp("answer2")).unwrap();
    net.settle();
    assert_eq!(net.event(A), CallEvent::Answer { dialog, body: sdp("answer2") });
    net.agents[B].accept(net.now, leg, None, &none()).unwrap();
    net.settle();
    let CallEvent::Answered { description: None, .. } = net.event(A) else { panic!() };
    assert_eq!(net.take_log(), ["A UPDATE offer2", "B 200 UPDATE answer2", "B 200 INVITE", "A ACK"]);
    assert_eq!(net.agreed([dialog, callee]), ("offer2".into(), "answer2".into()));
}

#[test]
fn a_reliable_offer_is_answered_in_the_prack_and_the_200_waits_for_it() {
    let mut net = Net::new();
    net.call(None);
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, Some(sdp("offer")), &none()).unwrap();
    net.settle();
    let CallEvent::Progress { dialog: Some(dialog), description, .. } = net.event(A) else { panic!() };
    assert_eq!(description, Some(Description::Offer(sdp("offer"))));
    let callee = net.agents[B].accept(net.now, leg, None, &none());
    // An offer is open: nothing to leave out, so a body would be an error and none is right.
    let callee = callee.unwrap();
    net.settle();
    assert_eq!(net.take_log(), ["A INVITE", "B 183 INVITE offer"]);
    net.agents[A].answer(net.now, dialog, sdp("answer")).unwrap();
    net.settle();
    assert_eq!(net.take_log(), ["A PRACK answer", "B 200 PRACK", "B 200 INVITE", "A ACK"]);
    assert_eq!(net.event(B), CallEvent::Answer { dialog: callee, body: sdp("answer") });
    assert_eq!(net.agreed([dialog, callee]), ("answer".into(), "offer".into()));
}

#[test]
fn reliable_responses_go_out_one_by_one_and_each_is_told_once() {
    let mut net = Net::new();
    let mut invite = Net::invite(Some("offer"));
    invite.headers.push("Require", "100rel");
    net.call_with(invite);
    net.settle();
    let (leg, _) = net.incoming(B);
    for code in [180, 181, 182] {
        net.agents[B].ring(net.now, leg, status(code), None, &none()).unwrap();
    }
    net.deliver(A);
    assert_eq!(net.take_log(), ["A INVITE offer", "B 180 INVITE", "A PRACK"]);
    net.settle();
    assert_eq!(
        net.take_log(),
        ["B 200 PRACK", "B 181 INVITE", "A PRACK", "B 200 PRACK", "B 182 INVITE", "A PRACK", "B 200 PRACK"]
    );
    for code in [180, 181, 182] {
        assert!(matches!(net.event(A), CallEvent::Progress { response, .. } if response.status().code() == code));
    }
    // A PRACK of nothing.
    let mut prack = request(
        "PRACK sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKp\nFrom: <sip:alice@a.example>;tag=a1\n\
         To: <sip:bob@b.example>\nCall-ID: c1\nCSeq: 99 PRACK\nRAck: 1 7 INVITE\n\n",
    );
    let tag = net.agents[B].dialog(net.agents[B].dialogs_of(leg)[0]).unwrap().id().local_tag.clone();
    let to = prack.headers.to().unwrap().with_tag(&tag);
    prack.headers.set("To", to);
    net.inject(B, prack);
    assert_eq!(net.take_log(), ["B 481 PRACK"]);
}

/// RFC 3262 §3: after 64·T1 without a PRACK the INVITE fails.
#[test]
fn a_reliable_response_without_its_prack_fails_the_call() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, Some(sdp("answer")), &none()).unwrap();
    net.run(31_999, false);
    let count = net.take_log().iter().filter(|line| *line == "B 183 INVITE answer").count();
    // At 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
    assert_eq!(count, 7);
    net.run(1, true);
    assert!(net.take_log().contains(&"B 504 INVITE".to_owned()));
    assert!(matches!(net.event(B), CallEvent::Cancelled { .. }));
}

#[test]
fn a_call_that_is_carried_on_shows_where_it_has_been() {
    let guard = sallyport_sip::LoopGuard::new([1; 32]);
    let first = stray("INVITE", "");
    let mut net = Net::new();
    let target =
        sallyport_sip::Target { flow: sallyport_sip::Flow::udp(address(A), address(B)), sent_by: address(A).into() };
    let token = guard.token(&first);
    net.agents[A].invite_onward(net.now, Net::invite(Some("offer")), target, Some(&token)).unwrap();
    net.settle();
    let (_, mut back) = net.incoming(B);
    back.set_uri(first.uri().clone());
    assert!(guard.detects(&back, &[address(A).into()]));
}
