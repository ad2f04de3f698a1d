//! The program as a process: what it prints, answers and returns.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use support::{Process, audio_port, command, offer};

#[test]
fn it_prints_where_it_is_answers_and_ends_with_success() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let process = Process::start("26000-26099");
        let words: Vec<_> = process.lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(words, ["ng", "admin", "media", "sip", "try"]);
        assert_eq!(process.ask("1 d7:command4:pinge"), "1 d6:result4:ponge");
        assert_eq!(process.page("/healthz"), (200, "ok\n".into()));
        assert_eq!(process.page("/readyz"), (200, "ready\n".into()));
        assert_eq!(process.page("/calls/none").0, 404);
        let metrics = process.page("/metrics").1;
        assert!(metrics.contains("\nsallyport_ng_commands_total{command=\"ping\",result=\"pong\"} 1\n"), "{metrics}");
        assert!(metrics.contains("\nsallyport_calls 0\n"), "{metrics}");
        assert_eq!(process.signal(signal).code(), Some(0));
    }
}

#[test]
fn an_offer_binds_ports_and_a_repeated_one_gets_the_same() {
    let process = Process::start("26100-26199");
    let first = process.ask(&offer("c1", "one"));
    assert!((26100..=26199).contains(&audio_port(&first)), "{first}");
    assert_eq!(process.ask(&offer("c1", "one")), first);
    assert!(UdpSocket::bind(("127.0.0.1", audio_port(&first))).is_err(), "the port is bound");
    let (status, call) = process.page("/calls/one");
    assert!(status == 200 && call.contains("\"state\":\"offered\""), "{call}");
    let query = process.ask(r#"c2 {"command":"query","call-id":"one"}"#);
    assert!(query.contains("\"totals\"") && query.contains("\"result\":\"ok\""), "{query}");
    let metrics = process.page("/metrics").1;
    assert!(metrics.contains("\nsallyport_calls 1\n"), "{metrics}");
    assert!(metrics.contains("\nsallyport_ng_retransmissions_total 1\n"), "{metrics}");
    let deleted = process.ask(r#"c3 {"command":"delete","call-id":"one","from-tag":"a","delete delay":0}"#);
    assert!(deleted.contains("\"result\":\"ok\""), "{deleted}");
    assert!(process.page("/metrics").1.contains("\nsallyport_calls_ended_total{cause=\"deleted\"} 1\n"));
}

#[test]
fn running_calls_are_ended_before_it_ends() {
    let process = Process::start("26200-26299");
    let port = audio_port(&process.ask(&offer("c1", "one")));
    let before = Instant::now();
    assert_eq!(process.signal(Signal::SIGTERM).code(), Some(0));
    assert!(before.elapsed() < Duration::from_millis(1500), "no deadline had to pass");
    UdpSocket::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn bad_requests_are_answered_and_disturb_nobody() {
    let process = Process::start("26300-26399");
    let error = process.ask("c1 d7:command5:offer3:sdp4294967296:v=0e");
    assert!(error.contains("Failed to decode message: string longer than the message at byte 22"), "{error}");
    let error = process.ask(r#"c2 {"command":"answer","call-id":"x","from-tag":"a","to-tag":"b","sdp":"v=0\r\n"}"#);
    assert!(error.contains("\"result\":\"error\""), "{error}");
    let error = process.ask(r#"c3 {"command":"play media","call-id":"x"}"#);
    assert!(error.contains("Unsupported command: play media"), "{error}");
    audio_port(&process.ask(&offer("c4", "one")));
}

fn failure(options: &[&str]) -> String {
    let output = command(options).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_prevents_the_start_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = failure(&["--admin", &address]);
    assert!(words.contains(&format!("admin listener on {address}: Address already in use")), "{words}");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = failure(&["--ng", &address]);
    assert!(words.contains(&format!("ng listener on {address}: Address already in use")), "{words}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = failure(&["--ng", &address]);
    assert!(words.contains(&format!("ng listener on {address} (TCP): Address already in use")), "{words}");
    // 192.0.2.0/24 belongs to no machine (RFC 5737).
    let words = failure(&["--media", "far=192.0.2.1"]);
    assert!(words.contains("media address 192.0.2.1: Cannot assign requested address"), "{words}");
    let words = failure(&["--config", "/nonexistent/sallyport.toml"]);
    assert!(words.contains("/nonexistent/sallyport.toml: No such file"), "{words}");
}
