//! A call comes to its end: cancelled, hung up, not acknowledged, not refreshed (RFC 4028).

use sallyport_sip::{CallError, CallEvent, EndCause, Method, Reason, StatusCode};

use crate::none;
use crate::support::net::{A, B, Net, sdp};
use crate::support::request;

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
