//! Dialog state: route sets, numbers, targets.

#![allow(clippy::unwrap_used)]

mod support;

use sallyport_sip::{Dialog, Method, StatusCode, next_attempt};
use support::{request, response};

fn invite(more: &str) -> sallyport_sip::Request {
    request(&format!(
        "INVITE sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nMax-Forwards: 70\n\
         From: Alice <sip:alice@a.example>;tag=a1\nTo: Bob <sip:bob@b.example>\nCall-ID: c1\nCSeq: 314159 INVITE\n\
         Contact: <sip:alice@192.0.2.1>\n{more}\n"
    ))
}

fn ok(more: &str) -> sallyport_sip::Response {
    response(&format!(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: Alice <sip:alice@a.example>;tag=a1\n\
         To: Bob <sip:bob@b.example>;tag=b1\nCall-ID: c1\nCSeq: 314159 INVITE\n{more}\n"
    ))
}

fn text(request: &sallyport_sip::Request) -> String {
    String::from_utf8(request.to_bytes()).unwrap().replace("\r\n", "\n")
}

/// RFC 3261 §16.12.1.1 in form: loose routers, each end's route set in its own order.
#[test]
fn both_ends_route_through_the_same_proxies_in_opposite_order() {
    let routes = "Record-Route: <sip:p2.example;lr>\nRecord-Route: <sip:p1.example;lr>\n";
    let mut caller =
        Dialog::as_uac(&invite(""), &ok(&format!("{routes}Contact: <sip:bob@192.0.2.9;x=y?h=v>\n"))).unwrap();
    assert!(caller.is_confirmed());
    assert_eq!(caller.next_hop().to_string(), "sip:p1.example;lr");
    assert_eq!(
        text(&caller.request(Method::Bye)),
        "BYE sip:bob@192.0.2.9;x=y SIP/2.0\nRoute: <sip:p1.example;lr>\nRoute: <sip:p2.example;lr>\nMax-Forwards: 70\n\
         From: Alice <sip:alice@a.example>;tag=a1\nTo: Bob <sip:bob@b.example>;tag=b1\nCall-ID: c1\nCSeq: 314160 BYE\n\
         Content-Length: 0\n\n"
    );
    assert_eq!(caller.ack(314_159).headers.value("CSeq").as_deref(), Some("314159 ACK"));

    let mut callee = Dialog::as_uas(&invite(routes), "b1").unwrap();
    assert!(!callee.is_confirmed());
    assert_eq!(
        text(&callee.request(Method::Info)),
        "INFO sip:alice@192.0.2.1 SIP/2.0\nRoute: <sip:p2.example;lr>\nRoute: <sip:p1.example;lr>\nMax-Forwards: 70\n\
         From: Bob <sip:bob@b.example>;tag=b1\nTo: Alice <sip:alice@a.example>;tag=a1\nCall-ID: c1\nCSeq: 1 INFO\n\
         Content-Length: 0\n\n"
    );
}

/// §16.12.1.2: the strict router becomes the Request-URI, the target the last route.
#[test]
fn a_strict_router_gets_the_request_uri() {
    let routes = "Record-Route: <sip:p2.example;lr>, <sip:p1.example>\nContact: <sip:bob@192.0.2.9>\n";
    let mut dialog = Dialog::as_uac(&invite(""), &ok(routes)).unwrap();
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri_text(), "sip:p1.example");
    assert_eq!(bye.headers.list("Route"), ["<sip:p2.example;lr>", "<sip:bob@192.0.2.9>"]);
    assert_eq!(dialog.next_hop().to_string(), "sip:p1.example");
}

#[test]
fn a_2xx_sets_the_route_set_anew_and_later_only_the_target_changes() {
    let mut early = ok("Record-Route: <sip:early.example;lr>\nContact: <sip:bob@192.0.2.8>\n");
    early.set_status(StatusCode::RINGING);
    let mut dialog = Dialog::as_uac(&invite(""), &early).unwrap();
    assert!(!dialog.is_confirmed());
    assert_eq!(dialog.next_hop().to_string(), "sip:early.example;lr");
    dialog.learn(&ok("Record-Route: <sip:final.example;lr>\nContact: <sip:bob@192.0.2.9>\n")).unwrap();
    assert_eq!(dialog.next_hop().to_string(), "sip:final.example;lr");
    dialog.learn(&ok("Record-Route: <sip:other.example;lr>\nContact: <sip:bob@192.0.2.10>\n")).unwrap();
    assert_eq!(dialog.next_hop().to_string(), "sip:final.example;lr");
    assert_eq!(dialog.remote_target().to_string(), "sip:bob@192.0.2.10");
}

/// §12.2.2
#[test]
fn requests_are_taken_in_order_and_some_move_the_target() {
    let mut dialog = Dialog::as_uas(&invite(""), "b1").unwrap();
    let within = |method: &str, number: u32| {
        request(&format!(
            "{method} sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\n\
             From: <sip:alice@a.example>;tag=a1\nTo: <sip:bob@b.example>;tag=b1\nCall-ID: c1\nCSeq: {number} {method}\n\
             Contact: <sip:{method}@192.0.2.1>\n\n"
        ))
    };
    assert_eq!(dialog.handle_request(&within("INFO", 314_159)), Err(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(dialog.handle_request(&within("INFO", 314_170)), Ok(()));
    assert_eq!(dialog.remote_target().to_string(), "sip:alice@192.0.2.1");
    assert_eq!(dialog.handle_request(&within("UPDATE", 314_165)), Err(StatusCode::SERVER_INTERNAL_ERROR));
    assert_eq!(dialog.handle_request(&within("UPDATE", 314_171)), Ok(()));
    assert_eq!(dialog.remote_target().to_string(), "sip:UPDATE@192.0.2.1");
}

#[test]
fn a_dialog_of_a_sips_call_is_secure() {
    let mut secure = invite("");
    assert!(!Dialog::as_uas(&secure, "b1").unwrap().is_secure());
    secure.set_uri("sips:bob@b.example".parse().unwrap());
    assert!(!Dialog::as_uas(&secure, "b1").unwrap().is_secure());
    secure.headers.set("Contact", "<sips:alice@192.0.2.1>");
    assert!(Dialog::as_uas(&secure, "b1").unwrap().is_secure());
    let mut without = invite("");
    without.headers.remove("Contact");
    assert!(Dialog::as_uas(&without, "b1").is_err());
}

#[test]
fn the_next_attempt_has_the_next_number_and_no_via() {
    let next = next_attempt(&invite("X-Kept: yes\n"));
    assert_eq!(
        text(&next),
        text(&invite("X-Kept: yes\n"))
            .replace("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\n", "")
            .replace("314159", "314160")
    );
}
