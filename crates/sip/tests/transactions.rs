//! The four transactions under a virtual clock.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

mod support;

use sallyport_sip::{
    ClientId, Flow, LoopGuard, Message, Reason, Request, ServerId, StatusCode, Target, TransactionConfig,
    TransactionError, TransactionEvent, TransactionLayer, Verdict,
};
use std::time::{Duration, Instant};
use support::{first_line, message, request, sent_request, sent_response, tcp, udp};

struct Wire {
    layer: TransactionLayer,
    start: Instant,
    now: Instant,
}

impl Wire {
    fn new() -> Self {
        Self::with(TransactionConfig::default())
    }

    fn with(config: TransactionConfig) -> Self {
        let start = Instant::now();
        Self { layer: TransactionLayer::new(config, [7; 32]), start, now: start }
    }

    fn send(&mut self, request: Request, flow: Flow) -> ClientId {
        let target = Target { flow, sent_by: flow.local.into() };
        self.layer.send(self.now, request, &target, None).unwrap()
    }

    fn receive(&mut self, message: impl Into<Message>, flow: Flow) -> Verdict {
        self.layer.handle_message(self.now, message.into(), flow)
    }

    fn transmits(&mut self) -> Vec<sallyport_sip::Transmit> {
        std::iter::from_fn(|| self.layer.poll_transmit()).collect()
    }

    fn lines(&mut self) -> Vec<String> {
        self.transmits().iter().map(first_line).collect()
    }

    fn events(&mut self) -> Vec<TransactionEvent> {
        std::iter::from_fn(|| self.layer.poll_event()).collect()
    }

    /// Runs the clock to this many milliseconds after the start; what was sent, with its time.
    fn run_until(&mut self, end: u64) -> Vec<(u64, String)> {
        let end = self.start + Duration::from_millis(end);
        let mut sent = Vec::new();
        while let Some(at) = self.layer.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.layer.handle_timeout(self.now);
            let millis = (self.now - self.start).as_millis() as u64;
            sent.extend(self.lines().into_iter().map(|line| (millis, line)));
        }
        self.now = end;
        sent
    }

    fn times(&mut self, end: u64) -> Vec<u64> {
        self.run_until(end).into_iter().map(|(at, _)| at).collect()
    }

    fn next_server(&mut self) -> (ServerId, Request, String) {
        match self.events().remove(0) {
            TransactionEvent::Request { server, request, local_tag, .. } => (server, request, local_tag),
            other => panic!("{other:?}"),
        }
    }
}

const HEADERS: &str = "Max-Forwards: 70\nFrom: <sip:alice@a.example>;tag=a1\nTo: <sip:bob@b.example>\nCall-ID: c1\n";

fn outgoing(method: &str) -> Request {
    // A Via is needed for text to be a message; the layer adds its own.
    let mut request =
        request(&format!("{method} sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP x\n{HEADERS}CSeq: 5 {method}\n\n"));
    request.headers.remove("Via");
    request
}

fn incoming(method: &str, branch: &str, more: &str) -> Request {
    request(&format!(
        "{method} sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.2;branch={branch}\n{HEADERS}CSeq: 5 {method}\n{more}\n"
    ))
}

fn answer(request: &Request, status: u16) -> sallyport_sip::Response {
    let mut response = request.respond(StatusCode::new(status).unwrap());
    response.set_to_tag("b1");
    response
}

/// RFC 3261 §17.1.1.2: Timer A at 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s; Timer B at 32 s.
#[test]
fn an_invite_is_sent_seven_times_over_udp_and_then_times_out() {
    let mut wire = Wire::new();
    let client = wire.send(outgoing("INVITE"), udp());
    assert_eq!(wire.lines(), ["INVITE sip:bob@b.example SIP/2.0"]);
    assert_eq!(wire.times(31_999), [500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(wire.events(), []);
    assert_eq!(wire.times(32_000), []);
    assert_eq!(wire.events(), [TransactionEvent::ClientTimeout { client }]);
    assert!(wire.layer.is_empty() && wire.layer.poll_timeout().is_none());
}

/// §17.1.2.2: Timer E doubles up to T2; Timer F at 32 s.
#[test]
fn a_request_is_sent_eleven_times_over_udp_and_once_over_tcp() {
    let mut wire = Wire::new();
    let client = wire.send(outgoing("OPTIONS"), udp());
    wire.lines();
    assert_eq!(wire.times(31_999), [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    wire.times(32_000);
    assert_eq!(wire.events(), [TransactionEvent::ClientTimeout { client }]);

    let mut wire = Wire::new();
    wire.send(outgoing("OPTIONS"), tcp());
    wire.lines();
    assert_eq!(wire.times(31_999), [] as [u64; 0]);
}

#[test]
fn a_provisional_response_slows_a_request_down_and_stops_an_invite() {
    let mut wire = Wire::new();
    wire.send(outgoing("OPTIONS"), udp());
    let options = sent_request(&wire.transmits()[0]);
    wire.receive(answer(&options, 100), udp());
    assert_eq!(wire.times(12_500), [4000, 8000, 12_000]);

    let mut wire = Wire::new();
    wire.send(outgoing("INVITE"), udp());
    let invite = sent_request(&wire.transmits()[0]);
    assert_eq!(wire.receive(answer(&invite, 180), udp()), Verdict::Response);
    assert_eq!(wire.times(100_000), [] as [u64; 0]);
}

/// §17.1.1.3: same Via and Route, To of the response, credentials of the INVITE (§22.1). Timer D: 32 s.
#[test]
fn every_copy_of_a_failure_is_acknowledged_and_told_once() {
    let mut wire = Wire::new();
    let mut invite = outgoing("INVITE");
    invite.headers.push("Route", "<sip:p.example;lr>");
    invite.headers.push("Authorization", "Digest username=\"a\"");
    let client = wire.send(invite, udp());
    let invite = sent_request(&wire.transmits()[0]);
    let busy = answer(&invite, 486);
    assert_eq!(wire.receive(busy.clone(), udp()), Verdict::Response);
    let ack = sent_request(&wire.transmits()[0]);
    let expected = format!(
        "ACK sip:bob@b.example SIP/2.0\n{}Max-Forwards: 70\nRoute: <sip:p.example;lr>\nFrom: <sip:alice@a.example>;tag=a1\n\
        Call-ID: c1\nCSeq: 5 ACK\nTo: <sip:bob@b.example>;tag=b1\nAuthorization: Digest username=\"a\"\nContent-Length: 0\n\n",
        format_args!("Via: {}\n", invite.headers.via().unwrap()),
    );
    assert_eq!(String::from_utf8(ack.to_bytes()).unwrap().replace("\r\n", "\n"), expected);
    assert_eq!(wire.receive(busy.clone(), udp()), Verdict::ResponseRepeated);
    assert_eq!(wire.lines(), ["ACK sip:bob@b.example SIP/2.0"]);
    assert_eq!(wire.events(), [TransactionEvent::Response { client, response: busy.clone(), flow: udp() }]);
    wire.run_until(31_999);
    assert_eq!(wire.receive(busy.clone(), udp()), Verdict::ResponseRepeated);
    wire.run_until(32_000);
    assert_eq!(wire.receive(busy, udp()), Verdict::ResponseUnmatched);
}

/// RFC 6026 §7.2: every 2xx goes up for 64·T1 (Timer M).
#[test]
fn every_2xx_of_a_fork_goes_up_while_the_transaction_is_accepted() {
    let mut wire = Wire::new();
    wire.send(outgoing("INVITE"), udp());
    let invite = sent_request(&wire.transmits()[0]);
    let mut other = invite.respond(StatusCode::OK);
    other.set_to_tag("b2");
    assert_eq!(wire.receive(answer(&invite, 200), udp()), Verdict::Response);
    assert_eq!(wire.receive(answer(&invite, 200), udp()), Verdict::Response);
    assert_eq!(wire.receive(other.clone(), udp()), Verdict::Response);
    // A failure after a success is nobody's business.
    assert_eq!(wire.receive(answer(&invite, 486), udp()), Verdict::ResponseRepeated);
    assert_eq!(wire.events().len(), 3);
    assert_eq!(wire.lines(), [] as [&str; 0]);
    wire.run_until(31_999);
    assert_eq!(wire.receive(other.clone(), udp()), Verdict::Response);
    wire.run_until(32_000);
    assert_eq!(wire.receive(other, udp()), Verdict::ResponseUnmatched);
}

#[test]
fn a_response_that_is_not_ours_is_discarded() {
    let mut wire = Wire::new();
    wire.send(outgoing("OPTIONS"), udp());
    let options = sent_request(&wire.transmits()[0]);
    let mut misrouted = answer(&options, 200);
    misrouted.headers.push("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKz");
    assert_eq!(wire.receive(misrouted, udp()), Verdict::ResponseMisrouted);
    let mut other_method = answer(&options, 200);
    other_method.headers.set("CSeq", "5 INVITE");
    assert_eq!(wire.receive(other_method, udp()), Verdict::ResponseUnmatched);
    let mut other_branch = answer(&options, 200);
    other_branch.headers.set("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKguessed");
    assert_eq!(wire.receive(other_branch, udp()), Verdict::ResponseUnmatched);
    assert_eq!(wire.events(), []);
    assert_eq!(wire.receive(answer(&options, 200), udp()), Verdict::Response);
}

/// §9.1
#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut wire = Wire::new();
    let mut invite = outgoing("INVITE");
    invite.headers.push("Route", "<sip:p.example;lr>");
    let client = wire.send(invite, udp());
    let invite = sent_request(&wire.transmits()[0]);
    let reason = Reason::sip(StatusCode::OK, "Call completed elsewhere");
    wire.layer.cancel(wire.now, client, Some(reason)).unwrap();
    assert_eq!(wire.lines(), [] as [&str; 0]);
    wire.receive(answer(&invite, 100), udp());
    let cancel = sent_request(&wire.transmits()[0]);
    assert_eq!(cancel.headers.via(), invite.headers.via());
    assert_eq!(cancel.headers.value("CSeq").as_deref(), Some("5 CANCEL"));
    assert_eq!(cancel.headers.value("Route").as_deref(), Some("<sip:p.example;lr>"));
    assert_eq!(cancel.headers.value("Reason").as_deref(), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    assert_eq!(cancel.headers.to().unwrap().tag(), None);
    assert_eq!(wire.layer.cancel(wire.now, client, None), Err(TransactionError::NotAllowed));
    wire.receive(answer(&cancel, 200), udp());
    wire.events();
    wire.receive(answer(&invite, 487), udp());
    assert!(
        matches!(wire.events().as_slice(), [TransactionEvent::Response { response, .. }] if response.status().code() == 487)
    );
    assert_eq!(wire.lines(), ["ACK sip:bob@b.example SIP/2.0"]);
}

#[test]
fn a_2xx_that_crosses_the_cancel_still_goes_up_and_silence_ends_after_64_t1() {
    let mut wire = Wire::new();
    let client = wire.send(outgoing("INVITE"), udp());
    let invite = sent_request(&wire.transmits()[0]);
    wire.receive(answer(&invite, 180), udp());
    wire.layer.cancel(wire.now, client, None).unwrap();
    assert_eq!(wire.lines(), ["CANCEL sip:bob@b.example SIP/2.0"]);
    wire.receive(answer(&invite, 200), udp());
    assert_eq!(wire.events().len(), 2);

    let mut wire = Wire::new();
    let client = wire.send(outgoing("INVITE"), tcp());
    let invite = sent_request(&wire.transmits()[0]);
    wire.receive(answer(&invite, 180), tcp());
    wire.layer.cancel(wire.now, client, None).unwrap();
    wire.events();
    wire.run_until(32_000);
    assert_eq!(wire.events(), [TransactionEvent::ClientTimeout { client }]);
    assert!(wire.layer.is_empty());
}

/// §16.8
#[test]
fn timer_c_cancels_what_rings_too_long() {
    let mut wire = Wire::new();
    let client = wire.send(outgoing("INVITE"), udp());
    let invite = sent_request(&wire.transmits()[0]);
    wire.receive(answer(&invite, 180), udp());
    wire.run_until(100_000);
    wire.receive(answer(&invite, 180), udp());
    assert_eq!(wire.run_until(284_999), []);
    assert_eq!(wire.run_until(285_000), [(285_000, "CANCEL sip:bob@b.example SIP/2.0".to_owned())]);
    wire.events();
    wire.run_until(285_000 + 32_000);
    assert_eq!(wire.events(), [TransactionEvent::ClientTimeout { client }]);
}

/// §17.2.1: 100 after 200 ms, Timer G, Timer H, and the response's way (RFC 3581).
#[test]
fn a_failure_is_repeated_until_its_ack() {
    let mut wire = Wire::new();
    let nat = Flow::udp(udp().local, "203.0.113.9:4444".parse().unwrap());
    let invite = incoming("INVITE", "z9hG4bK1;rport", "");
    assert_eq!(wire.receive(invite.clone(), nat), Verdict::Request);
    let (server, request, tag) = wire.next_server();
    assert_eq!(
        request.headers.value("Via").as_deref(),
        Some("SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1;rport=4444;received=203.0.113.9")
    );
    assert_eq!(wire.run_until(200), [(200, "SIP/2.0 100 Trying".to_owned())]);
    assert_eq!(wire.receive(invite.clone(), nat), Verdict::RequestRepeated);
    assert_eq!(wire.lines(), ["SIP/2.0 100 Trying"]);
    let mut busy = request.respond(StatusCode::BUSY_HERE);
    busy.set_to_tag(&tag);
    wire.layer.respond(wire.now, server, &busy).unwrap();
    let transmit = wire.transmits().remove(0);
    assert_eq!(transmit.flow.peer, nat.peer);
    assert_eq!(sent_response(&transmit), busy);
    assert_eq!(wire.times(8000), [700, 1700, 3700, 7700]);
    assert_eq!(wire.receive(incoming("ACK", "z9hG4bK1", ""), nat), Verdict::AckAbsorbed);
    assert_eq!(wire.times(40_000), [] as [u64; 0]);
    assert_eq!(wire.events(), []);
    assert!(wire.layer.is_empty());
}

#[test]
fn a_failure_without_its_ack_is_told_to_the_user_after_timer_h() {
    let mut wire = Wire::new();
    wire.receive(incoming("INVITE", "z9hG4bK1", ""), udp());
    let (server, request, _) = wire.next_server();
    wire.layer.respond(wire.now, server, &answer(&request, 486)).unwrap();
    wire.lines();
    assert_eq!(wire.times(31_999), [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    wire.run_until(32_000);
    assert_eq!(wire.events(), [TransactionEvent::ServerFailed { server }]);
}

/// RFC 3261 §26.3.2.4: a forged source is sent one answer for one request, and there is nothing to fill up.
#[test]
fn an_answer_to_a_stranger_goes_out_once_and_leaves_nothing_behind() {
    for (method, flow) in [("INVITE", udp()), ("INVITE", tcp()), ("REGISTER", udp())] {
        let mut wire = Wire::new();
        let message = incoming(method, "z9hG4bK1", "");
        for _ in 0..2 {
            assert_eq!(wire.receive(message.clone(), flow), Verdict::Request);
            let (server, request, _) = wire.next_server();
            wire.layer.respond_once(server, &answer(&request, 401)).unwrap();
            assert_eq!(wire.lines(), ["SIP/2.0 401 Unauthorized"]);
            assert!(wire.layer.is_empty());
            assert_eq!(wire.layer.respond_once(server, &answer(&request, 401)), Err(TransactionError::Unknown));
        }
        assert_eq!(wire.times(64_000), [] as [u64; 0]);
        assert_eq!(wire.events(), []);
    }
    let mut wire = Wire::new();
    wire.receive(incoming("INVITE", "z9hG4bK1", ""), udp());
    let (server, request, _) = wire.next_server();
    assert_eq!(wire.layer.respond_once(server, &answer(&request, 180)), Err(TransactionError::NotAllowed));
    wire.layer.respond(wire.now, server, &answer(&request, 486)).unwrap();
    assert_eq!(wire.layer.respond_once(server, &answer(&request, 401)), Err(TransactionError::NotAllowed));
}

/// RFC 3261 §9.2 and §22.1: a CANCEL is not challenged, so it must come from the same hop.
#[test]
fn nobody_elsewhere_cancels_a_call_or_takes_its_place_by_its_branch() {
    let mut wire = Wire::new();
    let elsewhere = Flow::udp(udp().local, "203.0.113.66:5060".parse().unwrap());
    wire.receive(incoming("INVITE", "z9hG4bK1", ""), udp());
    wire.next_server();
    assert_eq!(wire.receive(incoming("CANCEL", "z9hG4bK1", ""), elsewhere), Verdict::CancelUnmatched);
    assert_eq!(wire.events(), []);
    assert_eq!(wire.receive(incoming("CANCEL", "z9hG4bK1", ""), udp()), Verdict::Cancelled);

    let mut wire = Wire::new();
    assert_eq!(wire.receive(incoming("OPTIONS", "z9hG4bK1", ""), elsewhere), Verdict::Request);
    let other = incoming("OPTIONS", "z9hG4bK1", "");
    assert_ne!(wire.receive(other, udp()), Verdict::RequestRepeated);
}

/// RFC 6026 §7.1: repeated INVITEs are absorbed, the user repeats its 2xx, ACKs go up; Timer L.
#[test]
fn an_accepted_invite_makes_no_second_call() {
    let mut wire = Wire::new();
    let invite = incoming("INVITE", "z9hG4bK1", "");
    wire.receive(invite.clone(), udp());
    let (server, request, _) = wire.next_server();
    let ok = answer(&request, 200);
    wire.layer.respond(wire.now, server, &ok).unwrap();
    assert_eq!(wire.lines(), ["SIP/2.0 200 OK"]);
    assert_eq!(wire.receive(invite.clone(), udp()), Verdict::RequestRepeated);
    assert_eq!(wire.lines(), [] as [&str; 0]);
    wire.layer.respond(wire.now, server, &ok).unwrap();
    assert_eq!(wire.lines(), ["SIP/2.0 200 OK"]);
    assert_eq!(wire.layer.respond(wire.now, server, &answer(&request, 486)), Err(TransactionError::NotAllowed));
    assert_eq!(wire.receive(incoming("ACK", "z9hG4bK2", ""), udp()), Verdict::Ack);
    assert_eq!(wire.receive(incoming("ACK", "z9hG4bK1", ""), udp()), Verdict::Ack);
    wire.events();
    wire.run_until(31_999);
    assert_eq!(wire.receive(invite.clone(), udp()), Verdict::RequestRepeated);
    wire.run_until(32_000);
    assert_eq!(wire.layer.respond(wire.now, server, &ok), Err(TransactionError::Unknown));
}

/// RFC 4320: no 408, no provisional response but a late 100, nothing after Timer F of the client.
#[test]
fn a_request_is_answered_by_the_rules_of_rfc_4320() {
    let mut wire = Wire::new();
    let options = incoming("OPTIONS", "z9hG4bK1", "");
    wire.receive(options.clone(), udp());
    let (server, request, _) = wire.next_server();
    for status in [100, 180, 408] {
        let result = wire.layer.respond(wire.now, server, &answer(&request, status));
        assert_eq!(result, Err(TransactionError::NotAllowed), "{status}");
    }
    assert_eq!(wire.receive(options.clone(), udp()), Verdict::RequestRepeated);
    assert_eq!(wire.lines(), [] as [&str; 0]);
    assert_eq!(wire.run_until(10_000), [(3500, "SIP/2.0 100 Trying".to_owned())]);
    assert_eq!(wire.run_until(32_000), []);
    assert_eq!(wire.events(), [TransactionEvent::ServerFailed { server }]);
    assert_eq!(wire.layer.respond(wire.now, server, &answer(&request, 200)), Err(TransactionError::Unknown));
}

#[test]
fn a_final_response_is_repeated_for_a_repeated_request_until_timer_j() {
    let mut wire = Wire::new();
    let options = incoming("OPTIONS", "z9hG4bK1", "");
    wire.receive(options.clone(), udp());
    let (server, request, _) = wire.next_server();
    wire.layer.respond(wire.now, server, &answer(&request, 200)).unwrap();
    wire.run_until(31_999);
    wire.lines();
    assert_eq!(wire.receive(options.clone(), udp()), Verdict::RequestRepeated);
    assert_eq!(wire.lines(), ["SIP/2.0 200 OK"]);
    wire.run_until(32_000);
    assert_eq!(wire.receive(options, udp()), Verdict::Request);

    // Over a reliable transport nothing is repeated, so nothing lingers.
    let mut wire = Wire::new();
    wire.receive(incoming("OPTIONS", "z9hG4bK1", ""), tcp());
    let (server, request, _) = wire.next_server();
    wire.layer.respond(wire.now, server, &answer(&request, 200)).unwrap();
    wire.run_until(0);
    assert!(wire.layer.is_empty());
}

/// §9.2
#[test]
fn a_cancel_finds_its_invite_and_is_answered_with_the_same_tag() {
    let mut wire = Wire::new();
    wire.receive(incoming("INVITE", "z9hG4bK1", ""), udp());
    let (server, request, tag) = wire.next_server();
    let cancel = incoming("CANCEL", "z9hG4bK1", "Reason: SIP;cause=200\n");
    assert_eq!(wire.receive(cancel.clone(), udp()), Verdict::Cancelled);
    let ok = sent_response(&wire.transmits()[0]);
    assert_eq!((ok.status(), ok.headers.to().unwrap().tag()), (StatusCode::OK, Some(tag.as_str())));
    let events = wire.events();
    let [TransactionEvent::Cancelled { server: cancelled, cancel: told }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((*cancelled, told.headers.contains("Reason")), (server, true));
    let mut terminated = request.respond(StatusCode::REQUEST_TERMINATED);
    terminated.set_to_tag(&tag);
    wire.layer.respond(wire.now, server, &terminated).unwrap();
    wire.lines();
    assert_eq!(wire.receive(cancel, udp()), Verdict::CancelLate);
    assert_eq!(wire.lines(), ["SIP/2.0 200 OK"]);
    assert_eq!(wire.receive(incoming("CANCEL", "z9hG4bKother", ""), udp()), Verdict::CancelUnmatched);
    assert_eq!(wire.lines(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    assert_eq!(wire.events(), []);
}

/// §8.2.2.2
#[test]
fn one_request_by_two_ways_is_a_loop() {
    let mut wire = Wire::new();
    assert_eq!(wire.receive(incoming("INVITE", "z9hG4bK1", ""), udp()), Verdict::Request);
    let (server, request, _) = wire.next_server();
    assert_eq!(wire.receive(incoming("INVITE", "z9hG4bK2", ""), udp()), Verdict::Merged);
    assert_eq!(wire.lines(), ["SIP/2.0 482 Loop Detected"]);
    // After a failure the caller's proxy may try again by another way.
    wire.layer.respond(wire.now, server, &answer(&request, 503)).unwrap();
    assert_eq!(wire.receive(incoming("INVITE", "z9hG4bK3", ""), udp()), Verdict::Request);
}

/// §17.2.3, RFC 4475 §3.2.1: matched by the rules of RFC 2543.
#[test]
fn transactions_without_a_cookie_are_matched_by_their_fields() {
    let mut wire = Wire::new();
    for branch in ["z9hG4bK", "old"] {
        let call = |method| incoming(method, branch, &format!("X-Test: {branch}\n"));
        let mut invite = call("INVITE");
        invite.headers.set("Call-ID", branch);
        let mut ack = call("ACK");
        ack.headers.set("Call-ID", branch);
        assert_eq!(wire.receive(invite.clone(), udp()), Verdict::Request);
        let (server, request, _) = wire.next_server();
        assert_eq!(wire.receive(invite, udp()), Verdict::RequestRepeated);
        wire.layer.respond(wire.now, server, &answer(&request, 486)).unwrap();
        assert_eq!(wire.receive(ack, udp()), Verdict::AckAbsorbed);
    }
}

#[test]
fn a_flood_is_answered_without_memory() {
    let mut wire = Wire::with(TransactionConfig { max_servers: 3, max_clients: 1, ..Default::default() });
    for number in 0..10 {
        let mut options = incoming("OPTIONS", &format!("z9hG4bK{number}"), "");
        options.headers.set("Call-ID", number);
        let verdict = wire.receive(options, udp());
        assert_eq!(verdict, if number < 3 { Verdict::Request } else { Verdict::Overloaded });
    }
    let transmits = wire.transmits();
    assert_eq!(transmits.len(), 7);
    let refusal = sent_response(&transmits[0]);
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.headers.retry_after().unwrap().unwrap().seconds, 5);
    assert!(refusal.headers.to().unwrap().tag().is_some());
    assert_eq!(wire.layer.len(), (0, 3));

    wire.send(outgoing("OPTIONS"), udp());
    let target = Target { flow: udp(), sent_by: udp().local.into() };
    assert_eq!(wire.layer.send(wire.now, outgoing("OPTIONS"), &target, None), Err(TransactionError::Exhausted));
}

#[test]
fn a_transport_error_ends_the_transaction_at_once() {
    let mut wire = Wire::new();
    let client = wire.send(outgoing("INVITE"), tcp());
    let transmit = wire.transmits().remove(0);
    wire.layer.handle_transport_error(transmit.transaction.unwrap());
    assert_eq!(wire.events(), [TransactionEvent::ClientUnreachable { client }]);
    assert!(wire.layer.is_empty() && wire.layer.poll_timeout().is_none());
}

/// RFC 5393 §4.2: equal token, equal way.
#[test]
fn a_loop_is_told_from_a_spiral() {
    let guard = LoopGuard::new([1; 32]);
    let own = [udp().local.into()];
    let first = incoming("INVITE", "z9hG4bK1", "");
    assert!(!guard.detects(&first, &own));
    let mut wire = Wire::new();
    let token = guard.token(&first);
    let target = Target { flow: udp(), sent_by: udp().local.into() };
    wire.layer.send(wire.now, outgoing("INVITE"), &target, Some(&token)).unwrap();
    let mut back = sent_request(&wire.transmits()[0]);
    back.headers.push_front("Via", "SIP/2.0/UDP proxy.example;branch=z9hG4bKp");
    assert!(guard.detects(&back, &own));
    assert!(!guard.detects(&back, &["198.51.100.1:5060".parse::<std::net::SocketAddr>().unwrap().into()]));
    back.set_uri("sip:carol@b.example".parse().unwrap());
    assert!(!guard.detects(&back, &own));
}

/// RFC 4475 §3.3.10
#[test]
fn the_broadcast_response_of_the_torture_test_is_discarded() {
    let mut wire = Wire::new();
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/rfc4475/bcast.dat")).unwrap();
    let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
    assert_eq!(wire.receive(message(&text), udp()), Verdict::ResponseMisrouted);
}
