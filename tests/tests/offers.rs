//! Offers as they come in the wild, through the real server: opportunistic SRTP, fax in the middle of a call, and a key that
//! comes to its end.

use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sallyport_tests::call::{PHONE_TONE, WEB_TONE, WebToPhone, towards_phone, towards_web};
use sallyport_tests::ng::NgClient;
use sallyport_tests::phone::media_address;
use sallyport_tests::server::Server;
use sallyport_tests::tone::share_of;
use serde_json::{Value, json};

const MEDIA: &[&str] = &["--media", "127.0.0.1"];
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

fn speak_and_check(server: &Server, call: WebToPhone, time: Duration) {
    call.wait_until_verified(server).unwrap();
    call.connect_and_speak().unwrap();
    // The length of the call, not a wait for something to happen.
    sleep(time);
    call.fall_silent();
    let (at_phone, at_web) = (call.to_phone.heard(), call.to_web.heard());
    let (to_phone, to_web, rejected) = call.end().unwrap();
    assert!(to_phone.is_perfect(), "to the phone: {to_phone:?}");
    assert!(to_web.is_perfect(), "to the browser: {to_web:?}");
    assert_eq!(rejected, 0, "nothing reached the phone that was not authentic");
    assert!(share_of(&at_phone, WEB_TONE) > 0.8 && share_of(&at_web, PHONE_TONE) > 0.8, "both hear the other's tone");
}

fn ledger(server: &Server, call_id: &str) -> Vec<String> {
    let call: Value = serde_json::from_str(&server.page(&format!("/calls/{call_id}")).unwrap()).unwrap();
    let ledger = call["ledger"].as_array().unwrap_or_else(|| panic!("a ledger: {call}"));
    ledger.iter().map(Value::to_string).collect()
}

/// Workers publish their counters now and then: waits until a metric has this value, ten seconds at most.
fn await_metric(server: &Server, name: &str, labels: &str, value: f64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = server.metric(name, labels).unwrap();
        if found == value {
            return;
        }
        assert!(Instant::now() < deadline, "{name}{{{labels}}} is {found}, not {value}");
        sleep(Duration::from_millis(20));
    }
}

/// RTP/AVP with keys: what RFC 8643 makes of a phone's description.
fn under_avp(sdp: &str) -> String {
    sdp.replace("RTP/SAVP", "RTP/AVP")
}

#[test]
fn osrtp_is_offered_to_a_phone_that_takes_it() {
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    let mut options = towards_phone();
    options["transport-protocol"] = json!("RTP/AVP");
    options["OSRTP"] = json!(["offer"]);
    let call = WebToPhone::place_with(&mut ng, "osrtp", SUITE, options, under_avp).unwrap();
    let notes = ledger(&server, "osrtp");
    assert!(notes.iter().any(|note| note.contains("opportunistic SRTP by OSRTP: accepted")), "{notes:?}");
    speak_and_check(&server, call, Duration::from_secs(1));
    assert!(server.stop().unwrap().success());
}

#[test]
fn osrtp_and_duplicate_sections_of_a_phone_are_accepted() {
    let twice = |sdp: &str| {
        let media = sdp.find("m=").expect("a section");
        let plain: String =
            sdp[media..].lines().filter(|line| !line.contains("crypto")).flat_map(|line| [line, "\r\n"]).collect();
        format!("{sdp}{}", under_avp(&plain))
    };
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    let mut options = towards_web();
    options["OSRTP"] = json!(["accept"]);
    let call = WebToPhone::place_from_phone_with(&mut ng, "osrtp", SUITE, options, under_avp).unwrap();
    speak_and_check(&server, call, Duration::from_secs(1));
    let call = WebToPhone::place_from_phone_with(&mut ng, "twice", SUITE, towards_web(), twice).unwrap();
    let notes = ledger(&server, "twice");
    assert!(notes.iter().any(|note| note.contains("duplicate sections: accepted")), "{notes:?}");
    speak_and_check(&server, call, Duration::from_secs(1));
    assert!(server.stop().unwrap().success());
}

#[test]
fn a_key_at_90_percent_of_its_lifetime_is_told_once() {
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    // 128 packets are 2.56 s; 90 % of them are 2.3 s.
    let short = |sdp: &str| {
        let line = sdp.lines().find(|line| line.starts_with("a=crypto:")).expect("a key");
        sdp.replace(line, &format!("{line}|2^7"))
    };
    let call = WebToPhone::place_with(&mut ng, "short", SUITE, towards_phone(), short).unwrap();
    assert_eq!(server.metric("sallyport_keys_nearly_spent_total", "").unwrap(), 0.0);
    call.wait_until_verified(&server).unwrap();
    call.connect_and_speak().unwrap();
    await_metric(&server, "sallyport_keys_nearly_spent_total", "", 1.0);
    call.fall_silent();
    let (_, to_web, _) = call.end().unwrap();
    assert!((115..=128).contains(&to_web.arrived), "{to_web:?}");
    assert_eq!(server.metric("sallyport_keys_nearly_spent_total", "").unwrap(), 1.0);
    let notes = ledger(&server, "short");
    assert_eq!(notes.iter().filter(|note| note.contains("the peer's master key is at 90 %")).count(), 1, "{notes:?}");
    assert!(server.stop().unwrap().success());
}

/// A gateway with a fax machine behind it: one socket for RTP and UDPTL.
struct Gateway(UdpSocket);

impl Gateway {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket)
    }

    fn describe(&self, version: u32, media: &str) -> String {
        let port = self.0.local_addr().unwrap().port();
        let media = media.replace("PORT", &port.to_string());
        format!("v=0\r\no=fax 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{media}\r\n")
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.0.send_to(bytes, to).unwrap();
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let (length, _) = self.0.recv_from(&mut buffer).expect("a datagram arrives");
        buffer[..length].to_vec()
    }
}

const AUDIO: &str = "m=audio PORT RTP/AVP 0";
const FAX: &str = "m=image PORT udptl t38\r\na=T38FaxVersion:0\r\na=T38FaxUdpEC:t38UDPRedundancy";

/// Offer and answer; returns where each side has to send: the offerer, the answerer.
fn exchange(ng: &mut NgClient, tags: [&str; 2], offer: &str, answer: &str) -> [SocketAddr; 2] {
    let keys = |sdp: &str| json!({"call-id": "fax", "from-tag": tags[0], "to-tag": tags[1], "sdp": sdp});
    let offer = ng.describe("offer", keys(offer)).unwrap();
    let answer = ng.describe("answer", keys(answer)).unwrap();
    [media_address(&answer).unwrap(), media_address(&offer).unwrap()]
}

fn udptl(sequence: u16) -> Vec<u8> {
    let mut packet = sequence.to_be_bytes().to_vec();
    packet.extend([0x01, 0x06, 0x00, 0x00]);
    packet
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0, 0, 0, 7]);
    packet.extend([0xFF; 160]);
    packet
}

#[test]
fn a_call_turns_to_fax_and_back() {
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    let (a, b) = (Gateway::new(), Gateway::new());
    let [from_a, _] = exchange(&mut ng, ["a", "b"], &a.describe(1, AUDIO), &b.describe(1, AUDIO));
    let speaks = |from: &Gateway, relay: SocketAddr, to: &Gateway, first: u16| {
        // The first packet of a stream is on probation (RFC 3550 A.1).
        from.send(relay, &rtp(first));
        from.send(relay, &rtp(first + 1));
        assert_eq!(to.receive(), rtp(first + 1));
    };
    speaks(&a, from_a, &b, 100);
    // The called gateway hears a fax and re-offers.
    let [from_b, from_a] = exchange(&mut ng, ["b", "a"], &b.describe(2, FAX), &a.describe(2, FAX));
    // Whatever the first byte looks like: STUN, DTLS, RTP, RTCP.
    for sequence in [0, 1, 0x16FE, 0x8000, 0x80C8, 0xFFFF] {
        a.send(from_a, &udptl(sequence));
        assert_eq!(b.receive(), udptl(sequence));
        b.send(from_b, &udptl(sequence));
        assert_eq!(a.receive(), udptl(sequence));
    }
    // Audio that was still on its way does not become fax, nor does what a stranger sends.
    a.send(from_a, &rtp(102));
    Gateway::new().send(from_a, &udptl(7));
    a.send(from_a, &udptl(2));
    assert_eq!(b.receive(), udptl(2));
    for direction in ["in", "out"] {
        let labels = format!("direction=\"{direction}\",kind=\"datagram\"");
        await_metric(&server, "sallyport_packets_total", &labels, 13.0);
    }
    await_metric(&server, "sallyport_packets_dropped_total", "wrong_component", 1.0);
    await_metric(&server, "sallyport_packets_dropped_total", "unexpected_source", 1.0);
    let call: Value = serde_json::from_str(&server.page("/calls/fax").unwrap()).unwrap();
    assert!(call.to_string().contains("udptl"), "{call}");
    // And back to audio.
    let [from_b, from_a] = exchange(&mut ng, ["b", "a"], &b.describe(3, AUDIO), &a.describe(3, AUDIO));
    speaks(&a, from_a, &b, 200);
    speaks(&b, from_b, &a, 300);
    assert!(server.stop().unwrap().success());
}
