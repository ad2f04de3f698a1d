//! Keys that do not fit.

use control::{MasterKey, Profile};
use session::{MediaProfile, Options, TransportProtocol};

use crate::bench::{Bench, Phone, crypto, key, talk};

const CM80: Profile = Profile::AesCm128HmacSha1_80;
const CM32: Profile = Profile::AesCm128HmacSha1_32;
const GCM: Profile = Profile::AeadAes128Gcm;

fn sdes(host: &str, crypto: &str) -> String {
    format!(
        "v=0
        o=- 1 1 IN IP4 {host}
        s=-
        c=IN IP4 {host}
        t=0 0
        m=audio 4000 RTP/SAVP 0
        a=crypto:{crypto}"
    )
}

fn plain(host: &str) -> String {
    format!("v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\nm=audio 4000 RTP/AVP 0")
}

/// Two phones with SDES; both hear each other, and the relay says so.
fn secure_call() -> (Bench, Phone, Phone) {
    secure_call_with(&key(CM80, 1))
}

fn secure_call_with(key_of_a: &MasterKey) -> (Bench, Phone, Phone) {
    let mut bench = Bench::new();
    let (key_a, key_b) = (key_of_a.clone(), key(CM80, 2));
    let options =
        Options { sdes: session::SdesOptions { only: vec![CM80], ..Default::default() }, ..Options::default() };
    let (to_b, to_a, _) = bench.call(
        &sdes("198.51.100.1", &crypto(CM80, key_a.clone())),
        &sdes("198.51.100.2", &crypto(CM80, key_b.clone())),
        &options,
    );
    let mut a = Phone::new("198.51.100.1:4000", &to_a, 0xa).with_sdes(CM80, &key_a, &to_a);
    let mut b = Phone::new("198.51.100.2:4000", &to_b, 0xb).with_sdes(CM80, &key_b, &to_b);
    healthy(&mut bench, &mut a, &mut b);
    (bench, a, b)
}

fn healthy(bench: &mut Bench, a: &mut Phone, b: &mut Phone) {
    assert_eq!(talk(bench, a, b, 1), (10, 10));
    assert_eq!((bench.cause("A", "B"), bench.cause("B", "A")), (None, None), "{}", bench.text());
    let explanation = bench.explain();
    let findings = explanation.legs.iter().flat_map(|leg| &leg.sections).flat_map(|section| &section.transports);
    assert!(findings.into_iter().all(|transport| transport.component == "rtcp" || transport.cause.is_none()));
}

/// A's packets from here on are not heard, for this cause; B's still are.
fn fails(bench: &mut Bench, a: &mut Phone, b: &mut Phone, cause: &str) {
    let (at_a, at_b) = talk(bench, a, b, 6);
    assert_eq!((at_a, at_b), (60, 0));
    assert_eq!(bench.cause("B", "A"), Some(cause), "{}", bench.text());
    assert_eq!(bench.cause("A", "B"), None, "{}", bench.text());
}

#[test]
fn a_key_that_was_never_signalled() {
    let (mut bench, mut a, mut b) = secure_call();
    a.send_under(CM80, &key(CM80, 99));
    fails(&mut bench, &mut a, &mut b, "wrong_key");
    // And back.
    a.send_under(CM80, &key(CM80, 1));
    healthy(&mut bench, &mut a, &mut b);
}

#[test]
fn the_previous_key_after_a_reinvite() {
    let (mut bench, mut a, mut b) = secure_call();
    let options =
        Options { sdes: session::SdesOptions { only: vec![CM80], ..Default::default() }, ..Options::default() };
    bench.reoffer(&sdes("198.51.100.1", &crypto(CM80, key(CM80, 3))), &options);
    bench.answer(&sdes("198.51.100.2", &crypto(CM80, key(CM80, 2))), &options);
    a.send_under(CM80, &key(CM80, 3));
    healthy(&mut bench, &mut a, &mut b);
    a.send_under(CM80, &key(CM80, 1));
    fails(&mut bench, &mut a, &mut b, "previous_key");
    assert!(bench.text().contains("they verify under the previous key (re-INVITE not applied by the phone)"));
}

#[test]
fn keys_of_the_two_phones_swapped() {
    let (mut bench, mut a, mut b) = secure_call();
    a.send_under(CM80, &key(CM80, 2));
    fails(&mut bench, &mut a, &mut b, "peer_key_of_other_leg");
    assert!(bench.text().contains("the key that B signalled for itself"), "{}", bench.text());
}

#[test]
fn directions_swapped() {
    let mut bench = Bench::new();
    let options =
        Options { sdes: session::SdesOptions { only: vec![CM80], ..Default::default() }, ..Options::default() };
    let (to_b, to_a, _) = bench.call(
        &sdes("198.51.100.1", &crypto(CM80, key(CM80, 1))),
        &sdes("198.51.100.2", &crypto(CM80, key(CM80, 2))),
        &options,
    );
    let mut a = Phone::new("198.51.100.1:4000", &to_a, 0xa).with_sdes(CM80, &key(CM80, 1), &to_a);
    let mut b = Phone::new("198.51.100.2:4000", &to_b, 0xb).with_sdes(CM80, &key(CM80, 2), &to_b);
    healthy(&mut bench, &mut a, &mut b);
    let ours = srtp::sdes::CryptoAttribute::parse(crate::bench::attribute(&to_a, "crypto")).expect("a line");
    a.send_under(CM80, &ours.master_keys()[0]);
    fails(&mut bench, &mut a, &mut b, "our_key");
}

#[test]
fn a_rollover_counter_that_began_anew() {
    let (mut bench, mut a, mut b) = secure_call();
    for index in [0xff00, 0x1_0005, 0x1_7000, 0x1_f000, 0x2_0005] {
        let packet = a.packet_at(index);
        assert_eq!(b.hears(&bench.deliver(a.relay, a.address, &packet)), 1);
    }
    a.send_under(CM80, &key(CM80, 1));
    a.next = 0x1000;
    fails(&mut bench, &mut a, &mut b, "rollover_counter_restarted");
}

#[test]
fn a_rollover_counter_off_by_one() {
    let (mut bench, mut a, mut b) = secure_call();
    for index in [0xff00, 0x1_0005, 0x1_7000, 0x1_f000, 0x2_0005] {
        let packet = a.packet_at(index);
        assert_eq!(b.hears(&bench.deliver(a.relay, a.address, &packet)), 1);
    }
    a.send_under(CM80, &key(CM80, 1));
    a.next = 0x1_1000;
    fails(&mut bench, &mut a, &mut b, "rollover_counter");
    assert!(bench.text().contains("behind ours by 1"), "{}", bench.text());
}

#[test]
fn a_tag_of_32_bits_where_80_were_agreed() {
    let (mut bench, mut a, mut b) = secure_call();
    a.send_under(CM32, &key(CM80, 1));
    fails(&mut bench, &mut a, &mut b, "other_profile");
    assert!(bench.text().contains("with the same key as AES_CM_128_HMAC_SHA1_32"), "{}", bench.text());
}

#[test]
fn another_profile_than_agreed() {
    let (mut bench, mut a, mut b) = secure_call();
    let agreed = key(CM80, 1);
    a.send_under(GCM, &MasterKey::new(GCM, agreed.key(), &agreed.salt()[..12]).expect("lengths fit"));
    fails(&mut bench, &mut a, &mut b, "other_profile");
    assert!(bench.text().contains("with the same key as AEAD_AES_128_GCM"), "{}", bench.text());
}

#[test]
fn an_mki_that_is_missing() {
    let with_mki = key(CM80, 1).with_mki(&[0, 0, 0, 7]).expect("an MKI");
    let (mut bench, mut a, mut b) = secure_call_with(&with_mki);
    a.send_under(CM80, &key(CM80, 1));
    fails(&mut bench, &mut a, &mut b, "mki_missing");
}

#[test]
fn an_mki_that_was_not_agreed() {
    let (mut bench, mut a, mut b) = secure_call();
    a.send_under(CM80, &key(CM80, 1).with_mki(&[9, 7]).expect("an MKI"));
    fails(&mut bench, &mut a, &mut b, "mki_unexpected");
    assert!(bench.text().contains("an MKI of 2 bytes"));
}

#[test]
fn plain_rtp_to_a_secure_leg() {
    let (mut bench, mut a, mut b) = secure_call();
    a.outbound = None;
    fails(&mut bench, &mut a, &mut b, "plain");
}

#[test]
fn srtp_to_a_plain_leg() {
    let mut bench = Bench::new();
    let options =
        Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpAvp)), ..Options::default() };
    let (to_b, to_a, _) =
        bench.call(&sdes("198.51.100.1", &crypto(CM80, key(CM80, 1))), &plain("198.51.100.2"), &options);
    let mut a = Phone::new("198.51.100.1:4000", &to_a, 0xa).with_sdes(CM80, &key(CM80, 1), &to_a);
    let mut b = Phone::new("198.51.100.2:4000", &to_b, 0xb);
    // The first packet of a plain source is its probation.
    let (at_a, at_b) = talk(&mut bench, &mut a, &mut b, 2);
    assert_eq!((at_a, at_b), (19, 20));
    assert_eq!((bench.cause("A", "B"), bench.cause("B", "A")), (None, None));
    b.send_under(CM80, &key(CM80, 2));
    assert_eq!(talk(&mut bench, &mut a, &mut b, 6).1, 60);
    assert_eq!(bench.cause("A", "B"), Some("encrypted"), "{}", bench.text());
    assert_eq!(bench.cause("B", "A"), None);
}
