//! A party that hears itself, and one that does not.

use std::time::Duration;

use srtp::Profile;

use crate::bench::{Bench, Phone, crypto, key};

const PROFILE: Profile = Profile::AesCm128HmacSha1_80;

fn offer(direction: &str) -> String {
    format!(
        "v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\nm=audio 4000 RTP/SAVP 0\na=crypto:{}\na={direction}",
        crypto(PROFILE, key(PROFILE, 1))
    )
}

fn call() -> (Bench, Phone) {
    let mut bench = Bench::new();
    let answer = bench.echo(&offer("sendrecv"));
    let phone = Phone::new("198.51.100.1:4000", &answer, 0xa).with_sdes(PROFILE, &key(PROFILE, 1), &answer);
    (bench, phone)
}

/// Speaks for a second; returns how much of it came back.
fn speak(bench: &mut Bench, phone: &mut Phone) -> usize {
    let mut heard = 0;
    for _ in 0..10 {
        let sent = phone.send(bench);
        heard += phone.hears(&sent);
        bench.pass(Duration::from_millis(100));
    }
    heard
}

#[test]
fn who_speaks_hears_itself_and_is_told_so() {
    let (mut bench, mut phone) = call();
    assert_eq!(bench.cause("A", "A"), Some("nothing_received"));
    assert_eq!(speak(&mut bench, &mut phone), 10);
    assert_eq!(bench.cause("A", "A"), None);
    let text = bench.text();
    assert!(text.contains("audio 1: A hears itself: yes, what it sends comes back\n"), "{text}");
    assert!(text.contains("10 in, 10 out"), "{text}");
    assert_eq!(bench.explain().conclusions.len(), 1);
    let record = bench.end();
    assert_eq!(record.explanation.conclusions.len(), 1);
}

#[test]
fn who_does_not_send_does_not_hear_itself_and_is_told_why() {
    let (mut bench, mut phone) = call();
    speak(&mut bench, &mut phone);
    for (direction, cause) in
        [("recvonly", "sender_holds"), ("sendonly", "receiver_holds"), ("inactive", "sender_holds")]
    {
        bench.echo(&offer(direction));
        assert_eq!(speak(&mut bench, &mut phone), 0, "{direction}");
        assert_eq!(bench.cause("A", "A"), Some(cause), "{direction}");
    }
    bench.echo(&offer("sendrecv"));
    assert_eq!(speak(&mut bench, &mut phone), 10);
    assert_eq!(bench.cause("A", "A"), None);
}

#[test]
fn who_sends_under_another_key_is_told_so() {
    let (mut bench, mut phone) = call();
    phone.send_under(PROFILE, &key(PROFILE, 2));
    assert_eq!(speak(&mut bench, &mut phone), 0);
    assert!(bench.text().contains("A hears itself: no: A's packets fail authentication"), "{}", bench.text());
}
