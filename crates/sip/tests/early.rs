//! Offers by UPDATE before the call is answered (RFC 3311), and what happens to the call meanwhile.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

mod support;

use sallyport_sip::{CallError, CallEvent, DialogHandle, EndCause, Headers, LegId, StatusCode};
use support::net::{A, B, Net, sdp};
use support::request;

fn none() -> Headers {
    Headers::new()
}

/// A's offer is answered in a reliable response, which is acknowledged.
fn agreed() -> (Net, LegId, [DialogHandle; 2]) {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, Some(sdp("answer")), &none()).unwrap();
    net.settle();
    let CallEvent::Progress { dialog: Some(caller), .. } = net.event(A) else { panic!() };
    let callee = net.agents[B].dialogs_of(leg)[0];
    net.take_log();
    (net, leg, [caller, callee])
}

/// The open offer is the UPDATE's: no response to the INVITE answers it, and no ACK or PRACK.
#[test]
fn an_update_stays_open_over_the_answer_of_the_call() {
    for from in [A, B] {
        let (mut net, leg, dialogs) = agreed();
        let to = if from == A { B } else { A };
        net.agents[from].update(net.now, dialogs[from], sdp("offer2")).unwrap();
        net.settle();
        assert!(matches!(net.event(to), CallEvent::Offer { .. }));
        // One more reliable response, and its PRACK.
        net.agents[B].ring_reliably(net.now, leg, StatusCode::RINGING, None, &none()).unwrap();
        assert_eq!(
            net.agents[B].ring_reliably(net.now, leg, StatusCode::RINGING, Some(sdp("no")), &none()),
            Err(CallError::NotNow)
        );
        net.agents[B].accept(net.now, leg, None, &none()).unwrap();
        net.settle();
        let CallEvent::Progress { description: None, .. } = net.event(A) else { panic!() };
        let CallEvent::Answered { description: None, .. } = net.event(A) else { panic!() };
        assert!(matches!(net.event(B), CallEvent::Established { .. }));
        net.agents[to].answer(net.now, dialogs[to], sdp("answer2")).unwrap();
        net.settle();
        assert!(matches!(net.event(from), CallEvent::Answer { .. }));
        net.no_event(to);
        let agreed = net.agreed(dialogs);
        let both = ["offer2".to_owned(), "answer2".to_owned()];
        assert!(both.contains(&agreed.0) && both.contains(&agreed.1), "{agreed:?}");
        net.agents[A].bye(net.now, dialogs[A], None).unwrap();
        net.settle();
        net.assert_forgotten();
    }
}

/// RFC 3311 §5.1: not before the PRACK of the response with the answer.
#[test]
fn no_update_goes_out_before_the_prack() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    let callee = net.agents[B].dialogs_of(leg)[0];
    net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, Some(sdp("answer")), &none()).unwrap();
    assert_eq!(net.agents[B].update(net.now, callee, sdp("offer2")), Err(CallError::NotNow));
    net.settle();
    net.agents[B].update(net.now, callee, sdp("offer2")).unwrap();
    net.settle();
    assert_eq!(net.take_log()[2..], ["A PRACK", "B 200 PRACK", "B UPDATE offer2"].map(str::to_owned),);
}

/// RFC 3261 §14.2: both the INVITE that A has open, and the one that B has.
#[test]
fn a_reinvite_in_an_early_dialog_is_refused() {
    for (from, status) in [(A, 500), (B, 491)] {
        let (mut net, leg, dialogs) = agreed();
        // A phone of ours knows that it may not.
        assert_eq!(net.agents[from].reinvite(net.now, dialogs[from], Some(sdp("no"))), Err(CallError::NotNow));
        let dialog = net.agents[from].dialog(dialogs[from]).unwrap();
        let (id, target) = (dialog.id().clone(), dialog.remote_target().clone());
        net.inject(
            1 - from,
            request(&format!(
                "INVITE {target} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKre\nMax-Forwards: 70\n\
                 From: <sip:x@a.example>;tag={}\nTo: <sip:y@b.example>;tag={}\nCall-ID: {}\nCSeq: 70 INVITE\n\
                 Contact: <sip:x@192.0.2.9>\nContent-Length: 0\n\n",
                id.local_tag, id.remote_tag, id.call_id
            )),
        );
        net.settle();
        let log = net.take_log();
        assert!(log.iter().any(|line| line.ends_with(&format!("{status} INVITE"))), "{log:?}");
        net.agents[B].accept(net.now, leg, None, &none()).unwrap();
        net.settle();
    }
}

#[test]
fn a_bye_waits_for_the_prack_and_the_ack_of_the_2xx() {
    let mut net = Net::new();
    net.call(Some("offer"));
    net.settle();
    let (leg, _) = net.incoming(B);
    net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, Some(sdp("answer")), &none()).unwrap();
    let callee = net.agents[B].accept(net.now, leg, None, &none()).unwrap();
    net.agents[B].bye(net.now, callee, None).unwrap();
    net.settle();
    assert_eq!(
        net.take_log()[1..],
        ["B 183 INVITE answer", "A PRACK", "B 200 PRACK", "B 200 INVITE", "A ACK", "B BYE", "A 200 BYE"]
            .map(str::to_owned)
    );
    assert!(matches!(net.event(B), CallEvent::Established { .. }));
    assert!(matches!(net.event(B), CallEvent::Ended { cause: EndCause::Local, .. }));
    net.assert_forgotten();
}
