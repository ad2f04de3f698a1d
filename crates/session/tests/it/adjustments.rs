//! What an operator can change while calls run, and draining.

use std::time::Duration;

use control::{Keying, Profile, RocPolicy};
use sallyport_session::{
    Adjustment, Defaults, EndReason, Interface, InterfaceOptions, InterfacesDiffer, MediaProfile, Options, Refusal,
    Reply, Request, SessionConfig, TransportProtocol,
};

use crate::support::{Bench, config, fingerprint, masked, negotiation};

const OFFER: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0
    a=sendrecv
";

const SDES_OFFER: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/SAVP 0
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4
    a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVa
";

fn adjustment() -> Adjustment {
    let SessionConfig { interfaces, defaults, timeouts, limits, .. } = config();
    Adjustment { interfaces, defaults, timeouts, limits }
}

fn to(profile: MediaProfile) -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(profile)), ..Options::default() }
}

fn with(defaults: Defaults) -> Bench {
    Bench::with(SessionConfig { defaults, ..config() })
}

#[test]
fn the_offer_timeout_of_calls_that_exist_counts_anew() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    bench.advance(Duration::from_secs(20));
    let mut shorter = adjustment();
    shorter.timeouts.offer = Duration::from_secs(30);
    bench.session.adjust(shorter).expect("the interfaces stay");
    bench.advance(Duration::from_secs(9));
    assert!(bench.ended.is_empty());
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.ended, [("call".to_owned(), EndReason::OfferTimeout)]);
    assert_eq!(bench.ports_open(), 0);
}

#[test]
fn a_lower_limit_ends_no_call_and_lets_no_other_begin() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    let mut lower = adjustment();
    lower.limits.calls = 1;
    bench.session.adjust(lower).expect("the interfaces stay");
    let mut other = negotiation("x", None, OFFER, Options::default());
    other.call_id = "other".to_owned();
    assert!(matches!(bench.ask(Request::Offer(Box::new(other))), Err(Refusal::LoadLimit(_))));
    bench.answer(OFFER, Options::default());
}

#[test]
fn a_new_interface_serves_new_calls_and_the_old_ones_cannot_go() {
    let mut bench = Bench::new();
    let mut more = adjustment();
    more.interfaces.push(Interface::new("third", "10.9.0.1".parse().expect("address")));
    bench.session.adjust(more).expect("one more");
    let interfaces = InterfaceOptions { from: None, to: Some("third".to_owned()) };
    let written = bench.offer(OFFER, Options { interfaces, ..Options::default() });
    assert!(masked(&written).contains("c=IN IP4 10.9.0.1\n"));
    let before = adjustment();
    assert_eq!(bench.session.adjust(before), Err(InterfacesDiffer), "the third one is missing");
    bench.answer(OFFER, Options::default());
}

#[test]
fn only_allowed_suites_are_offered_and_accepted() {
    let only = vec![Profile::AesCm128HmacSha1_32];
    let mut bench = with(Defaults { sdes_offered: only.clone(), sdes_accepted: only, ..Defaults::default() });
    let written = bench.offer(SDES_OFFER, Options::default());
    let text = masked(&written);
    let suites: Vec<&str> = text.lines().filter(|line| line.starts_with("a=crypto:")).collect();
    assert_eq!(suites, ["a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:KEY1"]);
    let passed_over = "a=crypto:1 passed over: AES_CM_128_HMAC_SHA1_80 is not allowed here";
    assert!(written.warnings.iter().any(|warning| warning.contains(passed_over)), "{:?}", written.warnings);
    // What a request names is bound by it, too.
    let mut options = to(MediaProfile::RtpSavp);
    options.sdes.only = vec![Profile::AeadAes128Gcm];
    let asked = bench.ask(Request::Offer(Box::new(negotiation("a", None, OFFER, options))));
    assert_eq!(asked.err(), Some(Refusal::Unsupported("SDES options leave no suite to offer".to_owned())));
}

#[test]
fn key_lines_with_an_mki_are_passed_over_where_they_are_not_allowed() {
    let mut bench = with(Defaults { accept_mki: false, ..Defaults::default() });
    bench.offer(SDES_OFFER, to(MediaProfile::RtpAvp));
    let answer = bench.answer(OFFER, Options::default());
    assert!(masked(&answer).contains("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:KEY1\n"), "the line without one");
    let mut bench = Bench::new();
    bench.offer(SDES_OFFER, to(MediaProfile::RtpAvp));
    assert!(masked(&bench.answer(OFFER, Options::default())).contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 "));
}

#[test]
fn rollover_policy_and_dtls_profiles_reach_the_worker() {
    let profiles = vec![Profile::AeadAes128Gcm];
    let mut bench =
        with(Defaults { roc_on_rekey: RocPolicy::Reset, dtls_profiles: profiles.clone(), ..Defaults::default() });
    bench.offer(SDES_OFFER, to(MediaProfile::UdpTlsRtpSavp));
    let fingerprint = fingerprint();
    let answer = OFFER.replace("RTP/AVP", "UDP/TLS/RTP/SAVP") + &format!("a=fingerprint:{fingerprint}\na=setup:active");
    bench.answer(&answer, Options::default());
    let mut seen = (0, 0);
    for transport in &bench.plan().transports {
        match &transport.keying {
            Keying::Sdes(keys) => {
                assert_eq!(keys.outbound.0.roc_on_rekey, RocPolicy::Reset);
                assert_eq!(keys.inbound.as_ref().map(|keys| keys.0.roc_on_rekey), Some(RocPolicy::Reset));
                seen.0 += 1;
            }
            Keying::Dtls(plan) => {
                assert_eq!(plan.profiles, profiles);
                seen.1 += 1;
            }
            _ => {}
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0, "{seen:?}");
}

#[test]
fn a_draining_session_takes_no_new_call_and_serves_the_others() {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    bench.session.set_draining(true);
    let mut other = negotiation("x", None, OFFER, Options::default());
    other.call_id = "other".to_owned();
    let refused = bench.ask(Request::Offer(Box::new(other.clone()))).err();
    assert_eq!(refused, Some(Refusal::LoadLimit("Draining: no new calls are taken".to_owned())));
    bench.answer(OFFER, Options::default());
    bench.reoffer("a", "b", OFFER, Options::default());
    assert!(matches!(bench.delete(Some(0)), Ok(Reply::Deleted(_))));
    bench.session.set_draining(false);
    assert!(bench.ask(Request::Offer(Box::new(other))).is_ok());
}
