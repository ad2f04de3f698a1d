//! Signalling and media as two processes: each is killed, stopped or told to go in the middle of calls, and real endpoints see what comes of it.

use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sallyport_tests::call::{WebToPhone, keys, towards_phone, towards_web};
use sallyport_tests::halves::{Meeting, until_ready};
use sallyport_tests::ng::NgClient;
use sallyport_tests::server::Server;
use sallyport_tests::until;
use serde_json::{Value, json};

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// The length of a part of a call, not a wait for something to happen.
const PART: Duration = Duration::from_millis(700);

const PATIENCE: Duration = Duration::from_secs(20);

fn named(call: &WebToPhone) -> Value {
    json!({"call-id": call.call_id})
}

/// The same offer and the same answer once more must be read as they were: ports, keys, `o=` and all.
fn exchange_again(ng: &mut NgClient, call: &WebToPhone) {
    let said = &call.exchange;
    let tags = ("web", Some("phone"));
    let offer = ng.describe("offer", keys(towards_phone(), &call.call_id, tags, &said.offer)).unwrap();
    assert_eq!(offer, said.offer_read);
    let answer = ng.describe("answer", keys(towards_web(), &call.call_id, tags, &said.answer)).unwrap();
    assert_eq!(answer, said.answer_read);
}

fn end_without_loss(call: WebToPhone, at_least: usize) {
    call.fall_silent();
    let (to_phone, to_web, rejected) = call.end().unwrap();
    assert!(to_phone.is_perfect(), "to the phone: {to_phone:?}");
    assert!(to_web.is_perfect(), "to the browser: {to_web:?}");
    assert!(to_phone.sent >= at_least && to_web.sent >= at_least, "{to_phone:?} {to_web:?}");
    assert_eq!(rejected, 0);
}

#[test]
fn killed_signalling_costs_no_packet_and_the_next_one_takes_the_call_over() {
    let meeting = Meeting::new("20000-20199").unwrap();
    let pump = meeting.start_pump().unwrap();
    let mode = std::fs::metadata(meeting.control()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let call = WebToPhone::place(&mut signal.ng_client().unwrap(), "kept", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    sleep(PART);
    signal.kill().unwrap();
    sleep(PART);
    assert_eq!(pump.calls().unwrap(), 1.0, "the call goes on without anybody to signal");
    assert!(pump.page("/readyz").is_err(), "and the media half says that somebody is missing");

    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let mut ng = signal.ng_client().unwrap();
    let known = ng.command("query", named(&call)).unwrap();
    assert!(known["tags"]["web"].is_object() && known["tags"]["phone"].is_object(), "{known}");
    assert!(known["totals"]["RTP"]["packets"].as_u64().unwrap() > 100, "counted since the beginning: {known}");
    let page = signal.page("/calls/kept").unwrap();
    assert!(page.contains("DTLSv1."), "who is verified is known again: {page}");
    exchange_again(&mut ng, &call);
    sleep(PART);
    exchange_again(&mut ng, &call);
    sleep(PART);
    end_without_loss(call, 100);
    ng.command("delete", json!({"call-id": "kept", "delete-delay": 0})).unwrap();
    assert_eq!(pump.calls().unwrap(), 0.0);
}

#[test]
fn signalling_that_ends_in_order_leaves_its_calls_to_the_next_one() {
    let meeting = Meeting::new("20200-20399").unwrap();
    let pump = meeting.start_pump().unwrap();
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let call = WebToPhone::place_from_phone(&mut signal.ng_client().unwrap(), "kept", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    assert!(signal.stop().unwrap().success());
    sleep(PART);
    assert_eq!(pump.calls().unwrap(), 1.0);
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    assert_eq!(signal.metric("sallyport_calls", "").unwrap(), 1.0);
    sleep(PART);
    end_without_loss(call, 40);
}

#[test]
fn a_killed_media_half_ends_its_calls_and_the_next_one_gets_new_ones() {
    let meeting = Meeting::new("20400-20599").unwrap();
    let pump = meeting.start_pump().unwrap();
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let mut ng = signal.ng_client().unwrap();
    let call = WebToPhone::place(&mut ng, "lost", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    pump.kill().unwrap();
    let ended = |cause: &str| signal.metric("sallyport_calls_ended_total", &format!("cause=\"{cause}\""));
    until("the call has ended for want of the media half", PATIENCE, || Ok(ended("pump_lost")? == 1.0)).unwrap();
    assert_eq!(signal.metric("sallyport_calls", "").unwrap(), 0.0);
    assert!(signal.page("/readyz").is_err());
    assert_eq!(signal.metric("sallyport_control_link_connected", "").unwrap(), 0.0);
    let offer = keys(towards_phone(), "refused", ("web", None), &call.exchange.offer);
    let refused = ng.describe("offer", offer).unwrap_err().to_string();
    assert!(refused.contains("No media at present: the media half is out of reach"), "{refused}");
    call.end().unwrap();

    // The socket file of the one that was killed is in its way.
    let pump = meeting.start_pump().unwrap();
    until_ready(&signal).unwrap();
    let call = WebToPhone::place(&mut ng, "new", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    sleep(PART);
    end_without_loss(call, 20);
    assert_eq!(pump.calls().unwrap(), 1.0);
}

#[test]
fn a_call_that_nobody_takes_over_ends_when_its_media_have_ended() {
    let meeting = Meeting::new("20600-20799").unwrap();
    let file = meeting.file("[timeouts]\nmedia = \"1s\"\n").unwrap();
    let pump = meeting.start_pump().unwrap();
    let signal = meeting.start_signal(&["--config", file.to_str().unwrap()]).unwrap();
    until_ready(&signal).unwrap();
    let call = WebToPhone::place(&mut signal.ng_client().unwrap(), "orphan", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    signal.kill().unwrap();
    // Longer than the timeout: media keep it.
    sleep(PART * 3);
    assert_eq!(pump.calls().unwrap(), 1.0);
    end_without_loss(call, 80);
    until("the media half has ended the call by itself", PATIENCE, || Ok(pump.calls()? == 0.0)).unwrap();
}

#[test]
fn a_second_signalling_half_waits_until_the_first_is_gone() {
    let meeting = Meeting::new("20800-20999").unwrap();
    let pump = meeting.start_pump().unwrap();
    let first = meeting.start_signal(&[]).unwrap();
    until_ready(&first).unwrap();
    let call = WebToPhone::place(&mut first.ng_client().unwrap(), "handed", SUITE).unwrap();
    call.wait_until_verified(&first).unwrap();
    call.connect_and_speak().unwrap();
    let second = meeting.start_signal(&[]).unwrap();
    sleep(PART);
    assert!(second.page("/readyz").is_err(), "it waits");
    first.ng_client().unwrap().command("query", named(&call)).unwrap();
    first.kill().unwrap();
    until_ready(&second).unwrap();
    exchange_again(&mut second.ng_client().unwrap(), &call);
    sleep(PART);
    end_without_loss(call, 40);
    assert_eq!(pump.calls().unwrap(), 1.0);
}

fn process(server: &Server) -> Pid {
    Pid::from_raw(server.process_id() as i32)
}

#[test]
fn the_signalling_half_reloads_and_drains_and_leaves_the_media_half_serving() {
    let meeting = Meeting::new("21000-21199").unwrap();
    let pump = meeting.start_pump().unwrap();
    let file = meeting.file("[limits]\ncalls = 1\n").unwrap();
    let signal = meeting.start_signal(&["--config", file.to_str().unwrap()]).unwrap();
    until_ready(&signal).unwrap();
    let mut ng = signal.ng_client().unwrap();
    let call = WebToPhone::place(&mut ng, "first", SUITE).unwrap();
    let another = |name: &str| keys(towards_phone(), name, ("web", None), &call.exchange.offer);
    let refused = ng.describe("offer", another("second")).unwrap_err().to_string();
    assert!(refused.contains("session limit reached: 1"), "{refused}");

    meeting.file("[limits]\ncalls = 2\n").unwrap();
    kill(process(&signal), Signal::SIGHUP).unwrap();
    until("the file is read again", PATIENCE, || Ok(ng.describe("offer", another("second")).is_ok())).unwrap();
    ng.command("delete", json!({"call-id": "second", "delete-delay": 0})).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();

    kill(process(&signal), Signal::SIGUSR1).unwrap();
    until("it drains", PATIENCE, || Ok(signal.metric("sallyport_draining", "")? == 1.0)).unwrap();
    let refused = ng.describe("offer", another("third")).unwrap_err().to_string();
    assert!(refused.contains("Draining: no new calls"), "{refused}");
    exchange_again(&mut ng, &call);
    sleep(PART);
    end_without_loss(call, 20);
    ng.command("delete", json!({"call-id": "first", "delete-delay": 0})).unwrap();
    assert!(signal.wait().unwrap().success(), "the drain is over");

    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let call = WebToPhone::place(&mut signal.ng_client().unwrap(), "after", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    sleep(PART);
    end_without_loss(call, 20);
    assert_eq!(pump.calls().unwrap(), 1.0);
}

#[test]
fn a_signalling_half_that_hangs_costs_no_packet_and_goes_on_where_it_was() {
    let meeting = Meeting::new("21200-21399").unwrap();
    let pump = meeting.start_pump().unwrap();
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let mut ng = signal.ng_client().unwrap();
    let call = WebToPhone::place(&mut ng, "kept", SUITE).unwrap();
    call.wait_until_verified(&signal).unwrap();
    call.connect_and_speak().unwrap();
    kill(process(&signal), Signal::SIGSTOP).unwrap();
    sleep(PART * 3);
    assert_eq!(pump.calls().unwrap(), 1.0);
    kill(process(&signal), Signal::SIGCONT).unwrap();
    until_ready(&signal).unwrap();
    let known = ng.command("query", named(&call)).unwrap();
    assert!(known["totals"]["RTP"]["packets"].as_u64().unwrap() > 100, "{known}");
    exchange_again(&mut ng, &call);
    sleep(PART);
    end_without_loss(call, 100);
}

#[test]
fn subscribers_and_forks_are_taken_over_with_their_call() {
    let meeting = Meeting::new("21400-21599").unwrap();
    let pump = meeting.start_pump().unwrap();
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let mut ng = signal.ng_client().unwrap();
    let call = WebToPhone::place(&mut ng, "forked", SUITE).unwrap();
    // Somebody downstream has forked the offer: another answer to it.
    let other = keys(towards_web(), "forked", ("web", Some("desk")), &call.exchange.answer);
    ng.describe("answer", other).unwrap();
    let subscription = json!({"call-id": "forked", "from-tags": ["phone"], "transport-protocol": "RTP/AVP"});
    let request = ng.command("subscribe request", subscription).unwrap();
    let (tag, sdp) = (request["to-tag"].as_str().unwrap().to_owned(), request["sdp"].as_str().unwrap().to_owned());
    let answer = sdp.replace("a=sendonly", "a=recvonly");
    ng.command("subscribe answer", json!({"call-id": "forked", "to-tag": tag, "sdp": answer})).unwrap();
    let tags = |known: &Value| known["tags"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let before = tags(&ng.command("query", named(&call)).unwrap());
    assert!(before.contains(&tag) && before.iter().any(|known| known == "desk"), "{before:?}");

    signal.kill().unwrap();
    let signal = meeting.start_signal(&[]).unwrap();
    until_ready(&signal).unwrap();
    let mut ng = signal.ng_client().unwrap();
    let known = ng.command("query", named(&call)).unwrap();
    assert_eq!(tags(&known), before, "{known}");
    // What the subscriber was offered it is offered again, and then it leaves.
    let again = json!({"call-id": "forked", "from-tags": ["phone"], "to-tag": tag, "transport-protocol": "RTP/AVP"});
    assert_eq!(ng.command("subscribe request", again).unwrap()["sdp"].as_str(), Some(sdp.as_str()));
    ng.command("unsubscribe", json!({"call-id": "forked", "to-tag": tag})).unwrap();
    let known = ng.command("query", named(&call)).unwrap();
    assert!(!tags(&known).contains(&tag), "{known}");
    ng.command("delete", json!({"call-id": "forked", "delete-delay": 0})).unwrap();
    assert_eq!(pump.calls().unwrap(), 0.0);
    call.end().unwrap();
}
