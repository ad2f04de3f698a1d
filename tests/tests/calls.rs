//! Whole calls through the real server, between endpoints that share no protocol code with it.

use std::thread::sleep;
use std::time::Duration;

use sallyport_tests::call::{PHONE_TONE, WEB_TONE, WebToPhone};
use sallyport_tests::phone::SUITES;
use sallyport_tests::server::Server;
use sallyport_tests::tone::share_of;

const MEDIA: &[&str] = &["--media", "127.0.0.1"];

fn speak_and_check(server: &Server, call: WebToPhone) {
    call.wait_until_verified(server).unwrap();
    call.connect_and_speak().unwrap();
    // The length of the call, not a wait for something to happen.
    sleep(Duration::from_secs(2));
    call.fall_silent();
    let (at_phone, at_web) = (call.to_phone.heard(), call.to_web.heard());
    let (to_phone, to_web, rejected) = call.end().unwrap();
    assert!(to_phone.is_perfect(), "to the phone: {to_phone:?}");
    assert!(to_web.is_perfect(), "to the browser: {to_web:?}");
    assert!(to_phone.sent >= 50 && to_web.sent >= 50, "two seconds are about 100 packets: {to_phone:?} {to_web:?}");
    assert_eq!(rejected, 0, "nothing reached the phone that was not authentic");
    assert!(share_of(&at_phone, WEB_TONE) > 0.8 && share_of(&at_web, PHONE_TONE) > 0.8, "both hear the other's tone");
}

#[test]
fn a_webrtc_endpoint_calls_a_phone_of_each_suite() {
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    for suite in SUITES {
        let call = WebToPhone::place(&mut ng, &format!("to-{}", suite.name), suite.name).unwrap();
        speak_and_check(&server, call);
    }
    assert!(server.stop().unwrap().success());
}

#[test]
fn a_phone_of_each_suite_calls_a_webrtc_endpoint() {
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    for suite in SUITES {
        let call = WebToPhone::place_from_phone(&mut ng, &format!("from-{}", suite.name), suite.name).unwrap();
        speak_and_check(&server, call);
    }
    assert!(server.stop().unwrap().success());
}
