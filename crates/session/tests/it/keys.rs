//! `a=crypto` as it comes in the field (RFC 4568), and what becomes of keys.

use std::sync::{Arc, Mutex};

use control::{Event, Keying, SdesKeys, TransportEvent};
use sallyport_session::{MediaProfile, Options, Request, TransportProtocol};
use srtp::Profile;
use tracing::field::{Field, Visit};
use tracing::span;

use crate::support::{Bench, masked, negotiation};

/// RFC 4568 §10.1 and §6.1.
const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

const PLAIN: &str = "
    v=0
    o=bob 1 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=audio 6000 RTP/AVP 0
";

fn offer_with(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("a=crypto:{line}\n")).collect();
    format!("{}{lines}", PLAIN.replace("RTP/AVP", "RTP/SAVP").replace("198.51.100.5", "192.0.2.10"))
}

fn avp() -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpAvp)), ..Options::default() }
}

/// The offerer's keys as the worker gets them; `None` when the offer is refused.
fn keyed_by(bench: &mut Bench, offer: &str) -> Result<(String, SdesKeys), String> {
    let reply = bench.ask(Request::Offer(Box::new(negotiation("a", None, offer, avp()))));
    reply.map_err(|refusal| refusal.to_string())?;
    let answer = masked(&bench.answer(PLAIN, Options::default()));
    Ok((answer, sdes_keys(bench)))
}

fn sdes_keys(bench: &Bench) -> SdesKeys {
    let mut keys = bench.plan().transports.iter().filter_map(|transport| match &transport.keying {
        Keying::Sdes(keys) => Some(SdesKeys::clone(keys)),
        _ => None,
    });
    keys.next().expect("a transport keyed by SDES")
}

fn agreed(lines: &[&str]) -> (String, SdesKeys) {
    keyed_by(&mut Bench::new(), &offer_with(lines)).expect("accepted")
}

#[test]
fn several_keys_of_a_line_are_told_apart_by_their_mki() {
    let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4;inline:{OTHER}|2^20|2:4");
    let (answer, keys) = agreed(&[&line]);
    let (policy, inbound) = keys.inbound.expect("the offerer's");
    assert_eq!(inbound.iter().map(|key| key.mki().to_vec()).collect::<Vec<_>>(), [[0, 0, 0, 1], [0, 0, 0, 2]]);
    assert_eq!((policy.srtp_lifetime, policy.srtcp_lifetime), (1 << 20, 1 << 20));
    // We send with one key and no MKI: each side chooses for its own.
    assert!(answer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KEY1\n"), "{answer}");
    assert!(keys.outbound.1.mki().is_empty());
    assert_eq!(keys.outbound.0.srtp_lifetime, 1 << 48, "the lifetime of the peer's key is not that of ours");
}

#[test]
fn a_line_that_cannot_be_used_makes_way_for_one_that_can() {
    let good = format!("9 AES_CM_128_HMAC_SHA1_80 inline:{OTHER}");
    for bad in [
        // Lifetimes beyond 2^48, of nothing, and of no number.
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^49"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|soon"),
        // An MKI that does not fit, and several keys without one.
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|256:1"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{OTHER}"),
        // What was never registered, or withdrawn; what may not be.
        format!("1 AEAD_AES_256_GCM_8 inline:{KEY}"),
        format!("1 NULL_HMAC_SHA1_80 inline:{KEY}"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FUTURE=1"),
        format!("01 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
        "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA".to_owned(),
    ] {
        let (answer, keys) = agreed(&[&bad, &good]);
        assert!(answer.contains("a=crypto:9 AES_CM_128_HMAC_SHA1_80 "), "{bad}: {answer}");
        assert_eq!(keys.inbound.expect("keys").1[0].key(), b"wDfvg&T+)xG7@fb5", "{bad}");
        let refused = keyed_by(&mut Bench::new(), &offer_with(&[&bad])).err().expect("no other line");
        assert!(refused.contains("passed over"), "{refused}");
        assert!(!refused.contains(&KEY[..8]), "keys are never shown: {refused}");
    }
}

#[test]
fn odd_lines_that_say_enough_are_taken() {
    for (line, lifetime) in [
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^48"), 1u64 << 48),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1048576"), 1 << 20),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:1"), 1 << 31),
        (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4"), 1 << 48),
        (format!("999999999 aes_cm_128_hmac_sha1_80 INLINE:{KEY}"), 1 << 48),
        (format!("1   AES_CM_128_HMAC_SHA1_80 \t inline:{KEY}  -FUTURE=1 WSH=64"), 1 << 48),
    ] {
        let (answer, keys) = agreed(&[&line]);
        let (policy, keys) = keys.inbound.expect("keys");
        assert_eq!((policy.srtp_lifetime, keys[0].key()), (lifetime, b"YS___semctl () {".as_slice()), "{line}");
        let tag = line.split(' ').next().expect("a tag");
        assert!(answer.contains(&format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:KEY1\n")), "{answer}");
    }
}

#[test]
fn tags_need_no_order_and_the_answer_repeats_the_chosen_one() {
    let lines = [
        format!("6 AES_CM_128_HMAC_SHA1_32 inline:{KEY}"),
        format!("2 AES_CM_128_HMAC_SHA1_80 inline:{OTHER}"),
        format!("70 AEAD_AES_128_GCM inline:{}", &KEY[..38]),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (answer, _) = agreed(&lines);
    assert!(answer.contains("a=crypto:6 AES_CM_128_HMAC_SHA1_32 "), "the offerer's first: {answer}");
    assert_eq!(answer.matches("a=crypto").count(), 1);
    for (suite, tag) in [(Profile::AesCm128HmacSha1_80, 2), (Profile::AeadAes128Gcm, 70)] {
        let mut bench = Bench::new();
        bench.offer(&offer_with(&lines), avp());
        let mut options = Options::default();
        options.sdes.offerer_preference = vec![suite];
        let answer = masked(&bench.answer(PLAIN, options));
        assert!(answer.contains(&format!("a=crypto:{tag} {} ", suite.sdes_name())), "{answer}");
    }
}

#[test]
fn a_suite_is_answered_by_the_name_that_it_was_offered_with() {
    let key = "A".repeat(62);
    let (answer, keys) = agreed(&[&format!("5 AES_CM_256_HMAC_SHA1_80 inline:{key}")]);
    assert!(answer.contains("a=crypto:5 AES_CM_256_HMAC_SHA1_80 inline:"), "{answer}");
    assert_eq!(keys.outbound.0.profile, Profile::AesCm256HmacSha1_80);
    let (answer, _) = agreed(&[&format!("5 AES_256_CM_HMAC_SHA1_80 inline:{key}")]);
    assert!(answer.contains("a=crypto:5 AES_256_CM_HMAC_SHA1_80 inline:"), "{answer}");
}

// RFC 4568 §5 has a=crypto at media level alone. Where somebody writes it once for all sections, that is what is meant.
#[test]
fn keys_of_the_session_level_are_used_and_told() {
    let mut bench = Bench::new();
    let line = format!("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n");
    let offer = offer_with(&[]).replace("m=audio", &format!("{line}m=audio"));
    let written = bench.offer(&offer, avp());
    assert!(written.warnings.iter().any(|warning| warning.contains("session level")), "{:?}", written.warnings);
    assert!(!masked(&written).contains("crypto"));
    let answer = masked(&bench.answer(PLAIN, Options::default()));
    assert!(answer.contains("m=audio P1 RTP/SAVP 0\n") && answer.contains("a=crypto:3 "), "{answer}");
    // A section's own line comes before it.
    let own = offer.clone() + &format!("a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{OTHER}\n");
    let (answer, _) = keyed_by(&mut Bench::new(), &own).expect("accepted");
    assert!(answer.contains("a=crypto:4 "), "{answer}");
}

#[test]
fn new_keys_under_a_new_tag_change_what_we_receive_and_nothing_that_we_send() {
    let line = |tag: u32, key: &str| format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{key}");
    let mut bench = Bench::new();
    let (answer, before) = keyed_by(&mut bench, &offer_with(&[&line(1, KEY)])).expect("accepted");
    assert!(answer.contains("a=crypto:1 "), "{answer}");
    bench.reoffer("a", "b", &offer_with(&[&line(2, OTHER)]), Options::default());
    let answer = masked(&bench.reanswer("a", "b", PLAIN, Options::default()));
    assert!(answer.contains("a=crypto:2 "), "{answer}");
    let after = sdes_keys(&bench);
    assert!(after.outbound == before.outbound, "our key stays");
    assert_eq!(after.inbound.expect("keys").1[0].key(), b"wDfvg&T+)xG7@fb5");
    // Both offered: the one in use stays, though the other comes first.
    bench.reoffer("a", "b", &offer_with(&[&line(7, KEY), &line(2, OTHER)]), Options::default());
    let answer = masked(&bench.reanswer("a", "b", PLAIN, Options::default()));
    assert!(answer.contains("a=crypto:2 "), "{answer}");
    // Another suite: a fresh key of ours, and the one that was left never comes back.
    bench.reoffer("a", "b", &offer_with(&[&line(3, KEY).replace("_80", "_32")]), Options::default());
    bench.reanswer("a", "b", PLAIN, Options::default());
    let other = sdes_keys(&bench);
    bench.reoffer("a", "b", &offer_with(&[&line(4, KEY)]), Options::default());
    bench.reanswer("a", "b", PLAIN, Options::default());
    let again = sdes_keys(&bench);
    let own = [&before, &other, &again].map(|keys| keys.outbound.1.key().to_vec());
    assert!(own[0] != own[1] && own[1] != own[2] && own[0] != own[2]);
}

#[test]
fn a_peer_that_sends_with_our_key_is_refused() {
    let mut bench = Bench::new();
    let savp = TransportProtocol::Profile(MediaProfile::RtpSavp);
    let offer = bench.offer(PLAIN, Options { transport_protocol: Some(savp), ..Options::default() });
    let offer = String::from_utf8(offer.sdp).expect("UTF-8");
    let echoed = offer.lines().find(|line| line.starts_with("a=crypto:4 ")).expect("our line");
    let answer = format!("{}{echoed}\n", PLAIN.replace("RTP/AVP", "RTP/SAVP"));
    let reply = bench.ask(Request::Answer(Box::new(negotiation("a", Some("b"), &answer, Options::default()))));
    assert!(reply.is_err_and(|refusal| refusal.to_string().contains("the key in a=crypto is ours")));
    let answer = answer.replace(echoed, &format!("a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"));
    bench.answer(&answer, Options::default());
}

/// Collects warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().expect("one thread").push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_key_at_90_percent_of_its_lifetime_is_in_the_ledger_and_the_log_once() {
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        let mut bench = Bench::new();
        bench.offer(&offer_with(&[&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20")]), avp());
        bench.answer(PLAIN, Options::default());
        let (key, worker) = (bench.key(), bench.workers[&bench.key()]);
        let secure = bench.plan().transports.iter().filter(|transport| matches!(transport.keying, Keying::Sdes(_)));
        let secure: Vec<_> = secure.map(|transport| transport.id).collect();
        assert_eq!(secure.len(), 2);
        // RTP and RTCP, twice each: one key, one word.
        for transport in secure.iter().chain(&secure) {
            let event = TransportEvent::KeyNearlySpent { outbound: false };
            bench.event(worker, Event::Transport { call: key, transport: *transport, event });
        }
        let view = bench.session.call("call").expect("the call");
        let notes = view.ledger.iter().filter(|entry| entry.note.to_string().contains("90 %"));
        let notes: Vec<String> = notes.map(|entry| format!("{}: {}", entry.tag, entry.note)).collect();
        assert_eq!(notes, ["a: the peer's master key is at 90 % of its lifetime"]);
        let event = TransportEvent::KeyNearlySpent { outbound: true };
        bench.event(worker, Event::Transport { call: key, transport: secure[0], event });
    });
    let warnings = warnings.0.lock().expect("one thread").clone();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("the peer's master key is at 90 %") && warnings[1].contains("our master key"));
}
