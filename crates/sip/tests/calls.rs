//! Calls between two user agents under a virtual clock. A log line says who sent what.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

mod support;

use sallyport_sip::{
    CallError, CallEvent, Description, EndCause, Headers, Method, Reason, Replaces, Request, Response, StatusCode,
};
use support::net::{A, B, Net, sdp};
use support::{request, response};

fn none() -> Headers {
    Headers::new()
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

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
fn a_call_is_cancelled() {
    let mut net = Net::new();
    let leg = net.call(Some("offer"));
    net.settle();
    let (callee_leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, callee_leg, StatusCode::RINGING, None, &none()).unwrap();
    net.settle();
    net.event(A);
    net.agents[A].cancel(net.now, leg, Some(Reason::sip(StatusCode::OK, "elsewhere"))).unwrap();
    assert_eq!(net.agents[A].cancel(net.now, leg, None), Err(CallError::NotNow));
    net.settle();
    let CallEvent::Cancelled { leg: cancelled, request } = net.event(B) else { panic!() };
    assert_eq!((cancelled, request.headers.contains("Reason")), (callee_leg, true));
    assert!(matches!(net.event(A), CallEvent::Ended { cause: EndCause::NotChosen, .. }));
    let CallEvent::Failed { response, .. } = net.event(A) else { panic!() };
    assert_eq!(response.status(), StatusCode::REQUEST_TERMINATED);
    let log = net.take_log();
    assert_eq!(log, ["A INVITE offer", "B 180 INVITE", "A CANCEL", "B 200 CANCEL", "B 487 INVITE", "A ACK"]);
    assert_eq!(net.agents[B].accept(net.now, callee_leg, Some(sdp("x")), &none()), Err(CallError::Unknown));
    net.assert_forgotten();
}

/// The 200 and the CANCEL cross: acknowledged, ended, and told as a failure.
#[test]
fn a_2xx_that_crosses_the_cancel_is_ended() {
    let mut net = Net::new();
    let leg = net.call(Some("offer"));
    net.settle();
    let (callee_leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, callee_leg, StatusCode::RINGING, None, &none()).unwrap();
    net.settle();
    net.agents[A].cancel(net.now, leg, None).unwrap();
    net.agents[B].accept(net.now, callee_leg, Some(sdp("answer")), &none()).unwrap();
    net.settle();
    assert!(matches!(net.event(A), CallEvent::Progress { .. }));
    assert!(matches!(net.event(A), CallEvent::Failed { response, .. } if response.status().code() == 487));
    assert!(matches!(net.event(B), CallEvent::Established { .. }));
    assert!(matches!(net.event(B), CallEvent::Ended { cause: EndCause::Bye(_), .. }));
    net.no_event(A);
    net.assert_forgotten();
}

#[test]
fn a_bye_in_the_early_dialog_cancels_the_call() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, leg, StatusCode::RINGING, None, &none()).unwrap();
    net.settle();
    let CallEvent::Progress { dialog: Some(dialog), .. } = net.event(A) else { panic!() };
    assert_eq!(net.agents[A].bye(net.now, dialog, None), Err(CallError::NotNow));
    let remote = net.agents[A].dialog(dialog).unwrap().remote().to_string();
    net.take_log();
    net.inject(
        B,
        request(&format!(
            "BYE sip:192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbye\nFrom: <sip:alice@a.example>;tag=a1\n\
             To: {remote}\nCall-ID: c1\nCSeq: 8 BYE\n\n"
        )),
    );
    assert_eq!(net.take_log(), ["B 200 BYE", "B 487 INVITE"]);
    assert!(matches!(net.event(B), CallEvent::Cancelled { request, .. } if *request.method() == Method::Bye));
}

/// RFC 3261 §13.3.1.4
#[test]
fn a_2xx_is_repeated_until_its_ack_and_ended_without_one() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    let callee = net.agents[B].accept(net.now, leg, Some(sdp("answer")), &none()).unwrap();
    // A BYE must wait for the ACK.
    net.agents[B].bye(net.now, callee, None).unwrap();
    net.take_log();
    net.run(31_999, false);
    let count = net.take_log().iter().filter(|line| *line == "B 200 INVITE answer").count();
    // At 0.5, 1.5, 3.5, 7.5, 11.5, … 31.5 s.
    assert_eq!(count, 10);
    net.run(1, false);
    assert_eq!(net.take_log(), ["B BYE"]);
    assert!(matches!(net.event(B), CallEvent::Ended { cause: EndCause::NotAcknowledged, .. }));

    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    let callee = net.agents[B].accept(net.now, leg, Some(sdp("answer")), &none()).unwrap();
    net.agents[B].bye(net.now, callee, None).unwrap();
    net.settle();
    net.settle();
    assert_eq!(net.take_log()[1..], ["B 200 INVITE answer", "A ACK", "B BYE", "A 200 BYE"]);
    // Copies of the 200 are acknowledged though the dialog is over.
    assert!(matches!(net.event(B), CallEvent::Established { .. }));
    net.assert_forgotten();
}

fn fork_response(code: u16, tag: &str, body: &str, net: &Net) -> Response {
    let via = net.log.iter().any(|line| line == "A INVITE offer");
    assert!(via);
    let mut response = response(&format!(
        "SIP/2.0 {code} X\nVia: SIP/2.0/UDP x\nFrom: <sip:alice@a.example>;tag=a1\nTo: <sip:bob@b.example>;tag={tag}\n\
         Call-ID: c1\nCSeq: 7 INVITE\nContact: <sip:{tag}@192.0.2.2>\nRecord-Route: <sip:p2;lr>, <sip:p1;lr>\n\n{body}"
    ));
    if !body.is_empty() {
        response.headers.set("Content-Type", "application/sdp");
    }
    response
}

/// One early dialog per To tag; the first 2xx wins, the other is acknowledged and ended.
#[test]
fn a_fork_downstream_makes_an_early_dialog_for_each_branch() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.collect();
    let bytes = net.wire[B].pop_front().unwrap();
    let invite = String::from_utf8(bytes).unwrap();
    let via = invite.lines().find(|line| line.starts_with("Via: ")).unwrap()[5..].to_owned();
    let from_branch = |net: &Net, code, tag: &str, body: &str| {
        let mut response = fork_response(code, tag, body, net);
        response.headers.set("Via", &via);
        response
    };
    for tag in ["t1", "t2", "t3"] {
        let progress = from_branch(&net, 183, tag, &format!("preview {tag}"));
        net.inject(A, progress);
    }
    let mut early = Vec::new();
    for tag in ["t1", "t2", "t3"] {
        let CallEvent::Progress { dialog: Some(dialog), description, .. } = net.event(A) else { panic!() };
        assert_eq!(description, Some(Description::Preview(sdp(&format!("preview {tag}")))));
        assert_eq!(net.agents[A].dialog(dialog).unwrap().id().remote_tag, tag);
        early.push(dialog);
    }
    let winner = from_branch(&net, 200, "t2", "answer t2");
    net.inject(A, winner.clone());
    for lost in [early[0], early[2]] {
        assert!(matches!(net.event(A), CallEvent::Ended { dialog, cause: EndCause::NotChosen, .. } if dialog == lost));
    }
    let CallEvent::Answered { dialog, description, .. } = net.event(A) else { panic!() };
    assert_eq!((dialog, description), (early[1], Some(Description::Answer(sdp("answer t2")))));
    assert_eq!(net.take_log(), ["A INVITE offer", "A ACK"]);

    net.log.push("A INVITE offer".to_owned());
    let late = from_branch(&net, 200, "t1", "answer t1");
    net.take_log();
    net.inject(A, late.clone());
    assert_eq!(net.take_log(), ["A ACK", "A BYE"]);
    net.no_event(A);
    // To the late branch, by its own route.
    let sent: Vec<_> = net.wire[B].drain(..).map(|bytes| String::from_utf8(bytes).unwrap()).collect();
    let bye = sent.last().unwrap();
    assert!(
        bye.starts_with("BYE sip:t1@192.0.2.2 SIP/2.0\r\n") && bye.contains("To: <sip:bob@b.example>;tag=t1"),
        "{bye}"
    );
    assert!(bye.find("Route: <sip:p1;lr>").unwrap() < bye.find("Route: <sip:p2;lr>").unwrap());
    // Copies of either 200 get the same ACK again and nothing else.
    net.inject(A, late);
    net.inject(A, winner);
    assert_eq!(net.take_log(), ["A ACK", "A ACK"]);
    assert!(net.agents[A].dialog(dialog).is_some());
}

#[test]
fn hold_and_resume_by_reinvite_and_update() {
    let mut net = Net::new();
    let [caller, callee] = net.established();
    net.agents[B].reinvite(net.now, callee, Some(sdp("offer2"))).unwrap();
    assert_eq!(net.agents[B].update(net.now, callee, sdp("no")), Err(CallError::NotNow));
    net.settle();
    assert_eq!(net.event(A), CallEvent::Offer { dialog: caller, body: sdp("offer2") });
    net.agents[A].answer(net.now, caller, sdp("answer2")).unwrap();
    // The ACK is lost: the 200 comes again and is acknowledged again.
    net.deliver(B);
    net.lose();
    net.run(1000, true);
    assert_eq!(net.take_log(), ["B INVITE offer2", "A 200 INVITE answer2", "B ACK", "A 200 INVITE answer2", "B ACK"]);
    assert_eq!(net.event(B), CallEvent::Answer { dialog: callee, body: sdp("answer2") });
    net.no_event(A);
    assert_eq!(net.agreed([caller, callee]), ("answer2".into(), "offer2".into()));

    net.agents[A].update(net.now, caller, sdp("offer3")).unwrap();
    net.settle();
    assert_eq!(net.event(B), CallEvent::Offer { dialog: callee, body: sdp("offer3") });
    net.agents[B].answer(net.now, callee, sdp("answer3")).unwrap();
    net.settle();
    assert_eq!(net.event(A), CallEvent::Answer { dialog: caller, body: sdp("answer3") });
    assert_eq!(net.agreed([caller, callee]), ("offer3".into(), "answer3".into()));
}

/// RFC 6141: nothing of a refused offer stays.
#[test]
fn a_refused_offer_is_rolled_back() {
    let mut net = Net::new();
    let [caller, callee] = net.established();
    for by_update in [false, true] {
        if by_update {
            net.agents[A].update(net.now, caller, sdp("bad")).unwrap();
        } else {
            net.agents[A].reinvite(net.now, caller, Some(sdp("bad"))).unwrap();
        }
        net.settle();
        net.event(B);
        let mut warning = Headers::new();
        warning.push("Warning", "399 b \"no\"");
        net.agents[B].refuse(net.now, callee, StatusCode::NOT_ACCEPTABLE_HERE, &warning).unwrap();
        net.settle();
        let CallEvent::OfferRefused { response, .. } = net.event(A) else { panic!() };
        assert_eq!((response.status().code(), response.headers.contains("Warning")), (488, true));
        assert_eq!(net.agreed([caller, callee]), ("offer1".into(), "answer1".into()));
        assert!(net.agents[A].can_offer(caller) && net.agents[B].can_offer(callee));
    }
    // The peer gives its re-INVITE up.
    assert!(net.agents[A].dialog(caller).unwrap().is_confirmed());
}

#[test]
fn a_reinvite_without_an_offer_asks_for_one() {
    let mut net = Net::new();
    let [caller, callee] = net.established();
    net.agents[A].reinvite(net.now, caller, None).unwrap();
    net.settle();
    assert_eq!(net.event(B), CallEvent::OfferWanted { dialog: callee });
    net.agents[B].answer(net.now, callee, sdp("offer2")).unwrap();
    net.settle();
    assert_eq!(net.event(A), CallEvent::Offer { dialog: caller, body: sdp("offer2") });
    net.agents[A].answer(net.now, caller, sdp("answer2")).unwrap();
    net.settle();
    assert_eq!(net.event(B), CallEvent::Answer { dialog: callee, body: sdp("answer2") });
    assert_eq!(net.take_log(), ["A INVITE", "B 200 INVITE offer2", "A ACK answer2"]);
    assert_eq!(net.agreed([caller, callee]), ("answer2".into(), "offer2".into()));
}

/// RFC 3261 §14.1: both get 491; the owner of the Call-ID waits 2.1 to 4 s, the other at most 2 s.
#[test]
fn glare_is_refused_on_both_sides_and_tried_again_at_different_times() {
    for seed in 0..20 {
        let mut net = Net::seeded(|_, _| {}, seed);
        let [caller, callee] = net.established();
        net.agents[A].reinvite(net.now, caller, Some(sdp("a"))).unwrap();
        net.agents[B].reinvite(net.now, callee, Some(sdp("b"))).unwrap();
        net.settle();
        for agent in [A, B] {
            let event = net.event(agent);
            assert!(matches!(event, CallEvent::OfferRefused { response, .. } if response.status().code() == 491));
        }
        net.run(2000, true);
        assert_eq!(net.event(B), CallEvent::OfferAgain { dialog: callee });
        net.run(99, true);
        net.no_event(A);
        net.run(1901, true);
        assert_eq!(net.event(A), CallEvent::OfferAgain { dialog: caller });
        assert_eq!(net.agreed([caller, callee]), ("offer1".into(), "answer1".into()));
    }
}

/// One step of both agents. Errors are part of the game: not every step is possible at every time.
fn step(net: &mut Net, dialogs: [sallyport_sip::DialogHandle; 2], number: usize, label: usize) {
    let now = net.now;
    let [a, b] = dialogs;
    let body = || sdp(&label.to_string());
    let [caller, callee] = &mut net.agents;
    let _ = match number {
        0 => caller.reinvite(now, a, Some(body())),
        1 => callee.update(now, b, body()),
        2 => caller.update(now, a, body()).and(callee.reinvite(now, b, Some(body()))),
        3 => caller.answer(now, a, body()).or(callee.answer(now, b, body())),
        4 => {
            let status = StatusCode::NOT_ACCEPTABLE_HERE;
            caller.refuse(now, a, status, &none()).or(callee.refuse(now, b, status, &none()))
        }
        _ => callee.reinvite(now, b, None),
    };
    net.settle();
}

/// A refusal may end the call where the offer came in a 2xx; then it must be over on both sides.
fn check_sequences(steps: usize, length: u32) {
    for number in 0..steps.pow(length) {
        let mut net = Net::new();
        net.quiet = true;
        let dialogs = net.established();
        let mut rest = number;
        for label in 0..length {
            step(&mut net, dialogs, rest % steps, label as usize);
            rest /= steps;
        }
        for _ in 0..4 {
            step(&mut net, dialogs, 3, 99);
        }
        let alive = [A, B].map(|agent| net.agents[agent].dialog(dialogs[agent]).is_some());
        assert_eq!(alive[A], alive[B], "sequence {number}");
        if alive[A] {
            net.agreed(dialogs);
            assert!(net.agents[A].can_offer(dialogs[A]) && net.agents[B].can_offer(dialogs[B]), "sequence {number}");
        }
    }
}

/// Both ends agree whatever they do: all sequences of six offers, glares, answers and refusals.
#[test]
fn all_sequences_of_six_offers_answers_refusals_and_glares_keep_both_ends_consistent() {
    check_sequences(5, 6);
}

/// And with late offers among them.
#[test]
fn all_sequences_of_four_with_late_offers_keep_both_ends_consistent() {
    check_sequences(6, 4);
}

/// RFC 4028: A asked, so A refreshes, by UPDATE at half the interval.
#[test]
fn a_session_is_refreshed_and_ends_when_nobody_does() {
    let mut net = Net::new();
    let [caller, callee] = net.established();
    net.run(899_999, true);
    assert_eq!(net.take_log(), [] as [&str; 0]);
    net.run(1, true);
    assert_eq!(net.take_log(), ["A UPDATE", "B 200 UPDATE"]);
    net.run(900_000, true);
    assert_eq!(net.take_log(), ["A UPDATE", "B 200 UPDATE"]);
    net.no_event(A);
    net.no_event(B);
    assert_eq!(net.agreed([caller, callee]), ("offer1".into(), "answer1".into()));
    // A is gone: B waits for 1800 - 32 s after the last refresh.
    net.run(1_767_999, false);
    net.no_event(B);
    net.run(1, false);
    assert!(matches!(net.event(B), CallEvent::Ended { cause: EndCause::SessionExpired, .. }));
    // And A heard 408 on its refresh.
    assert!(matches!(net.event(A), CallEvent::Ended { cause: EndCause::PeerGone(StatusCode::REQUEST_TIMEOUT), .. }));
}

#[test]
fn a_session_interval_that_is_too_small_is_asked_for_again() {
    let mut net = Net::with(|agent, config| {
        let timer = config.session_timer.as_mut().unwrap();
        (timer.interval, timer.min) = if agent == A { (100, 90) } else { (1800, 600) };
    });
    let leg = net.call(Some("offer"));
    net.settle();
    assert_eq!(net.take_log(), ["A INVITE offer", "B 422 INVITE", "A ACK", "A INVITE offer"]);
    net.no_event(A);
    let (callee_leg, invite) = net.incoming(B);
    assert_eq!(invite.headers.session_expires().unwrap().unwrap().seconds, 600);
    assert_eq!(invite.headers.cseq().unwrap().number, 8);
    net.agents[B].reject(net.now, callee_leg, StatusCode::BUSY_HERE, &none()).unwrap();
    net.settle();
    let CallEvent::Failed { leg: failed, response, .. } = net.event(A) else { panic!() };
    assert_eq!((failed, response.status()), (leg, StatusCode::BUSY_HERE));
    net.assert_forgotten();
}

#[test]
fn requests_inside_a_dialog_reach_the_user_in_order() {
    let mut net = Net::new();
    let [caller, callee] = net.established();
    let mut headers = Headers::new();
    headers.push("Refer-To", "<sip:carol@c.example?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3>");
    let client = net.agents[A].send(net.now, caller, Method::Refer, None, &headers).unwrap();
    net.settle();
    let CallEvent::Request { dialog, server, request: refer } = net.event(B) else { panic!() };
    assert_eq!(dialog, callee);
    let target = refer.headers.refer_to().unwrap();
    let replaces = target.uri.as_sip().unwrap().header("Replaces").unwrap();
    assert_eq!(Replaces::parse(&replaces).unwrap().from_tag, "3");
    net.agents[B].respond(net.now, server, refer.respond(StatusCode::DECLINE)).unwrap();
    net.settle();
    let CallEvent::Response { client: answered, response, .. } = net.event(A) else { panic!() };
    assert_eq!((answered, response.status()), (client, StatusCode::DECLINE));

    // Again with an older number: 500 (RFC 3261 §12.2.2).
    let mut old = (*refer).clone();
    old.headers.set("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKold");
    net.take_log();
    net.inject(B, old);
    assert_eq!(net.take_log(), ["B 500 REFER"]);
    net.no_event(B);

    // The peer has lost the dialog: 481 ends it (RFC 5057).
    net.agents[A].send(net.now, caller, Method::Info, None, &none()).unwrap();
    net.settle();
    let CallEvent::Request { server, request: info, .. } = net.event(B) else { panic!() };
    net.agents[B].respond(net.now, server, info.respond(StatusCode::CALL_DOES_NOT_EXIST)).unwrap();
    net.settle();
    assert!(matches!(net.event(A), CallEvent::Response { .. }));
    assert!(matches!(net.event(A), CallEvent::Ended { cause: EndCause::PeerGone(_), .. }));
}

fn stray(method: &str, to_tag: &str) -> Request {
    request(&format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{method}\n\
         From: <sip:x@a.example>;tag=x\nTo: <sip:bob@b.example>{to_tag}\nCall-ID: stray\nCSeq: 1 {method}\n\
         Contact: <sip:x@192.0.2.1>\n\n"
    ))
}

#[test]
fn requests_for_no_dialog_are_refused_and_those_outside_reach_the_user() {
    let mut net = Net::new();
    for method in ["BYE", "INFO", "INVITE", "UPDATE"] {
        net.inject(B, stray(method, ";tag=unknown"));
        assert_eq!(net.take_log(), [format!("B 481 {method}")]);
    }
    net.inject(B, stray("ACK", ";tag=unknown"));
    assert_eq!(net.take_log(), [] as [&str; 0]);
    net.no_event(B);
    net.inject(B, stray("OPTIONS", ""));
    let CallEvent::OutOfDialog { server, request, .. } = net.event(B) else { panic!() };
    net.agents[B].respond(net.now, server, request.respond(StatusCode::OK)).unwrap();
    net.collect();
    let sent = String::from_utf8(net.wire[A].pop_back().unwrap()).unwrap();
    assert!(sent.contains("To: <sip:bob@b.example>;tag="), "{sent}");
    net.inject(B, stray("PUBLISH", ""));
    assert_eq!(net.take_log(), ["B 200 OPTIONS", "B 405 PUBLISH"]);
}

#[test]
fn a_challenged_reinvite_is_sent_again_with_credentials() {
    let mut net = Net::new();
    let [caller, callee] = net.established();
    net.agents[A].reinvite(net.now, caller, Some(sdp("offer2"))).unwrap();
    net.settle();
    net.event(B);
    net.agents[B].refuse(net.now, callee, StatusCode::UNAUTHORIZED, &none()).unwrap();
    net.settle();
    let CallEvent::OfferRefused { request, .. } = net.event(A) else { panic!() };
    let mut again = *request;
    again.headers.push("Authorization", "Digest username=\"a\"");
    net.agents[A].send_again(net.now, caller, &again).unwrap();
    net.settle();
    assert_eq!(net.event(B), CallEvent::Offer { dialog: callee, body: sdp("offer2") });
    net.agents[B].answer(net.now, callee, sdp("answer2")).unwrap();
    net.settle();
    assert_eq!(net.event(A), CallEvent::Answer { dialog: caller, body: sdp("answer2") });
    assert_eq!(net.agreed([caller, callee]), ("offer2".into(), "answer2".into()));
}

#[test]
fn a_flood_of_invites_leaves_no_memory_behind() {
    let mut net = Net::with(|_, config| config.max_legs = 3);
    for number in 0..10 {
        let mut invite = stray("INVITE", "");
        invite.headers.set("Via", format!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{number}"));
        invite.headers.set("Call-ID", number);
        net.inject(B, invite);
    }
    let refused = net.take_log().iter().filter(|line| *line == "B 503 INVITE").count();
    assert_eq!((refused, net.agents[B].len()), (7, (3, 3)));
}

/// A peer may say yes for as many branches as it likes: each costs an ACK and a BYE, and only so many are heard.
#[test]
fn a_flood_of_2xx_is_bounded() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.collect();
    let invite = String::from_utf8(net.wire[B].pop_front().unwrap()).unwrap();
    let via = invite.lines().find(|line| line.starts_with("Via: ")).unwrap()[5..].to_owned();
    for number in 0..100 {
        let mut ok = fork_response(200, &format!("t{number}"), "answer", &net);
        ok.headers.set("Via", &via);
        net.inject(A, ok);
    }
    let byes = net.log.iter().filter(|line| *line == "A BYE").count();
    assert_eq!((byes, net.agents[A].len()), (32, (1, 1)));
}

#[test]
fn a_call_that_is_carried_on_shows_where_it_has_been() {
    let guard = sallyport_sip::LoopGuard::new([1; 32]);
    let first = stray("INVITE", "");
    let mut net = Net::new();
    let target = sallyport_sip::Target {
        flow: sallyport_sip::Flow::udp(support::net::address(A), support::net::address(B)),
        sent_by: support::net::address(A).into(),
    };
    let token = guard.token(&first);
    net.agents[A].invite_onward(net.now, Net::invite(Some("offer")), target, Some(&token)).unwrap();
    net.settle();
    let (_, mut back) = net.incoming(B);
    back.set_uri(first.uri().clone());
    assert!(guard.detects(&back, &[support::net::address(A).into()]));
}

/// Messages of real calls, changed and in any order, from a peer that knows all tags: no panic, and once the calls are ended
/// nothing is left of them.
#[test]
fn a_hostile_peer_leaves_nothing_behind() {
    for seed in 0..150u32 {
        let mut random = seed.wrapping_mul(2_654_435_761) | 1;
        let mut pick = |of: usize| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random as usize % of
        };
        let mut net = Net::seeded(|_, config| config.session_timer = None, seed as u8);
        net.quiet = true;
        let dialogs = net.established();
        let leg = net.call(None);
        net.collect();
        let mut heard: Vec<(usize, Vec<u8>)> = Vec::new();
        for number in 0..150 {
            net.collect();
            for agent in [A, B] {
                heard.extend(net.wire[agent].iter().map(|bytes| (agent, bytes.clone())));
                net.deliver(agent);
            }
            heard.truncate(400);
            let (agent, bytes) = heard[pick(heard.len())].clone();
            let text = String::from_utf8(bytes).unwrap();
            let methods = ["INVITE", "UPDATE", "PRACK", "BYE", "INFO", "ACK", "CANCEL", "OPTIONS"];
            let text = match pick(5) {
                0 => text.replace("INVITE", methods[pick(8)]),
                1 => text.replace("CSeq: ", &format!("CSeq: {}", pick(9) + 1)),
                2 => text.replace(" 200 ", &format!(" {} ", [180, 183, 202, 401, 422, 481, 486, 491][pick(8)])),
                3 => text
                    .replace("z9hG4bK", &format!("z9hG4bK{number}"))
                    .replace("CSeq: ", &format!("CSeq: {}", number + 2)),
                _ => text.replace("Contact: ", "Require: 100rel\r\nRSeq: 1\r\nRAck: 1 7 INVITE\r\nContact: "),
            };
            net.wire[agent].push_back(text.into_bytes());
            if !matches!(
                sallyport_sip::receive(
                    net.wire[agent].back().unwrap(),
                    sallyport_sip::Carriage::Datagram,
                    &sallyport_sip::Limits::default()
                ),
                sallyport_sip::Received::Message(_)
            ) {
                net.wire[agent].pop_back();
            }
            step(&mut net, dialogs, pick(6), number);
            net.now += std::time::Duration::from_millis(pick(1500) as u64);
            for agent in &mut net.agents {
                agent.handle_timeout(net.now);
            }
        }
        let _ = net.agents[A].cancel(net.now, leg, None);
        for _ in 0..3 {
            for agent in [A, B] {
                for event in std::mem::take(&mut net.events[agent]) {
                    let agent = &mut net.agents[agent];
                    match event {
                        CallEvent::Incoming { leg, .. } => {
                            let _ = agent.reject(net.now, leg, StatusCode::BUSY_HERE, &none());
                            for dialog in agent.dialogs_of(leg).to_vec() {
                                let _ = agent.bye(net.now, dialog, None);
                            }
                        }
                        CallEvent::Answered { dialog, .. } | CallEvent::Established { dialog } => {
                            let _ = agent.bye(net.now, dialog, None);
                        }
                        _ => {}
                    }
                }
            }
            for agent in [A, B] {
                let _ = net.agents[agent].bye(net.now, dialogs[agent], None);
            }
            net.run(300_000, true);
        }
        for agent in &net.agents {
            assert!(agent.is_empty(), "seed {seed}: {:?}", agent.len());
        }
    }
}

/// Whatever is lost and whoever gives up when: in the end both have the call, or neither, and nothing else is left.
#[test]
fn losses_and_races_never_leave_half_a_call() {
    let mut outcomes = [0; 2];
    for seed in 0..400u32 {
        let mut random = seed.wrapping_mul(2_654_435_761) | 1;
        let mut chance = |of: u32| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random % of == 0
        };
        let mut net = Net::seeded(|_, config| config.session_timer = None, seed as u8);
        let leg = net.call(chance(2).then_some("offer"));
        let mut callee_leg = None;
        let (mut caller, mut callee) = (None, None);
        for _ in 0..120 {
            net.collect();
            for agent in [A, B] {
                if chance(4) {
                    net.wire[agent].pop_front();
                } else {
                    net.deliver(agent);
                }
            }
            while let Some(event) = net.events[B].pop_front() {
                match event {
                    CallEvent::Incoming { leg, .. } => callee_leg = Some(leg),
                    CallEvent::Ended { .. } | CallEvent::Cancelled { .. } => callee = None,
                    _ => {}
                }
            }
            while let Some(event) = net.events[A].pop_front() {
                match event {
                    CallEvent::Answered { dialog, description, .. } => {
                        caller = Some(dialog);
                        if matches!(description, Some(Description::Offer(_))) {
                            net.agents[A].answer(net.now, dialog, sdp("answer")).unwrap();
                        }
                    }
                    CallEvent::Progress { dialog: Some(dialog), description: Some(Description::Offer(_)), .. } => {
                        net.agents[A].answer(net.now, dialog, sdp("answer")).unwrap();
                    }
                    CallEvent::Ended { dialog, .. } if Some(dialog) == caller => caller = None,
                    _ => {}
                }
            }
            if let Some(leg) = callee_leg {
                if chance(6) {
                    let body = chance(2).then(|| sdp("early"));
                    let _ = net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, body, &none());
                }
                if chance(12) {
                    for body in [Some(sdp("accepted")), None] {
                        if let Ok(dialog) = net.agents[B].accept(net.now, leg, body, &none()) {
                            callee = Some(dialog);
                        }
                    }
                }
            }
            if chance(60) {
                let _ = net.agents[A].cancel(net.now, leg, None);
            }
            net.now += std::time::Duration::from_millis(250);
            for agent in &mut net.agents {
                agent.handle_timeout(net.now);
            }
        }
        net.run(400_000, true);
        let alive = |agent: usize| net.agents[agent].len().1;
        assert_eq!(alive(A), alive(B), "seed {seed}: {caller:?} {callee:?} {:?}", net.log);
        outcomes[alive(A)] += 1;
        if alive(A) == 1 {
            net.agreed([caller.unwrap(), callee.unwrap()]);
        } else {
            net.assert_forgotten();
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "{outcomes:?}");
}
