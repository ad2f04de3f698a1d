//! Other requests inside and outside of dialogs.

use sallyport_sip::{CallEvent, EndCause, Headers, Method, Replaces, StatusCode};

use crate::support::net::{A, B, Net};
use crate::{none, stray};

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
