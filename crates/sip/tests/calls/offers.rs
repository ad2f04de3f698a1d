//! Offers inside of a call: hold, refusal, glare, and whatever sequence of them (RFC 3264, RFC 6141).

use sallyport_sip::{CallError, CallEvent, Headers, StatusCode};

use crate::none;
use crate::support::net::{A, B, Net, sdp};

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
pub(crate) fn step(net: &mut Net, dialogs: [sallyport_sip::DialogHandle; 2], number: usize, label: usize) {
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
