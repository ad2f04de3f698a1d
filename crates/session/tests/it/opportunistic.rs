//! Security that is offered and not insisted on: OSRTP (RFC 8643), the same media under two profiles, and RFC 5939.

use control::Keying;
use sallyport_session::{DtlsOption, MediaProfile, Options, OsrtpOptions, Request, TransportProtocol};

use crate::support::{Bench, expected, masked, negotiation};

const PLAIN: &str = "
    v=0
    o=alice 1 1 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    m=audio 4000 RTP/AVP 0
    a=rtpmap:0 PCMU/8000
    a=sendrecv
";

/// RFC 4568 §10.1.
const KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
/// The answer of the same section.
const OTHER: &str = "inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

fn answer_of(protocol: &str, lines: &str) -> String {
    format!(
        "v=0\no=bob 1 1 IN IP4 198.51.100.5\ns=-\nc=IN IP4 198.51.100.5\nt=0 0\nm=audio 6000 {protocol} 0\n{lines}\n"
    )
}

fn with_key(sdp: &str, tag: u32) -> String {
    format!("{sdp}a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 {KEY}\n")
}

fn offering() -> Options {
    Options { osrtp: OsrtpOptions { offer: true, ..OsrtpOptions::default() }, ..Options::default() }
}

fn legacy() -> Options {
    Options { osrtp: OsrtpOptions { offer_legacy: true, ..OsrtpOptions::default() }, ..Options::default() }
}

fn accepting() -> Options {
    Options { osrtp: OsrtpOptions { accept: true, ..OsrtpOptions::default() }, ..Options::default() }
}

fn to(profile: MediaProfile) -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(profile)), ..Options::default() }
}

/// Transports by keying: plain, SDES, DTLS, pending.
fn keyings(bench: &Bench) -> [usize; 4] {
    let mut counts = [0; 4];
    for transport in &bench.plan().transports {
        counts[match transport.keying {
            Keying::Plain => 0,
            Keying::Sdes(_) => 1,
            Keying::Dtls(_) => 2,
            _ => 3,
        }] += 1;
    }
    counts
}

fn notes(bench: &Bench) -> Vec<String> {
    let view = bench.session.call("call").expect("the call");
    view.ledger.iter().map(|entry| format!("{}: {}", entry.tag, entry.note)).collect()
}

fn is_downgraded(bench: &Bench) -> bool {
    bench.session.call("call").expect("the call").summary.downgraded
}

// "the offerer uses the RTP/AVP profile [RFC3551] or the RTP/AVPF profile [RFC4585] but includes SRTP keying attributes"
// (RFC 8643 §3.1)
#[test]
fn osrtp_offers_keys_under_the_plain_profile() {
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(PLAIN, offering()));
    assert_eq!(
        offer,
        expected(
            "
            v=0
            o=alice 1 1 IN IP4 192.0.2.10
            s=-
            t=0 0
            m=audio P1 RTP/AVP 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:1 AEAD_AES_256_GCM inline:KEY1
            a=crypto:2 AEAD_AES_128_GCM inline:KEY2
            a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:KEY3
            a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:KEY4
            a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:KEY5
            a=setup:actpass
            a=fingerprint:OURS
            a=tls-id:TLSID1
            "
        )
    );
    assert_eq!(keyings(&bench)[0], 0, "nothing is plain before the answer says so");
    let answer = masked(&bench.answer(&with_key(&answer_of("RTP/AVP", ""), 4), Options::default()));
    assert!(answer.contains("RTP/AVP 0\n") && !answer.contains("crypto"), "{answer}");
    assert_eq!(keyings(&bench), [2, 2, 0, 0]);
    assert!(notes(&bench).contains(&"b: opportunistic SRTP by OSRTP: accepted".to_owned()), "{:?}", notes(&bench));
}

// "If the offerer of OSRTP receives an SDP answer that does not contain SRTP keying attributes, then the media session
// proceeds with RTP." (RFC 8643 §3.3)
#[test]
fn an_answer_without_keys_declines_and_is_plain() {
    let mut bench = Bench::new();
    bench.offer(PLAIN, offering());
    bench.answer(&answer_of("RTP/AVP", ""), Options::default());
    assert_eq!(keyings(&bench), [4, 0, 0, 0]);
    let notes = notes(&bench);
    assert!(notes.contains(&"b: opportunistic SRTP by OSRTP: declined, plain RTP".to_owned()), "{notes:?}");
    assert!(is_downgraded(&bench));
}

// "If the SRTP key management fails for any reason, the media session MUST fail." (RFC 8643 §3.2, §3.3)
#[test]
fn an_answer_whose_keys_cannot_be_used_fails() {
    for line in [
        "a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:short",
        "a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
    ] {
        let mut bench = Bench::new();
        bench.offer(PLAIN, offering());
        let answer = answer_of("RTP/AVP", line);
        let reply = bench.ask(Request::Answer(Box::new(negotiation("a", Some("b"), &answer, Options::default()))));
        assert!(reply.is_err_and(|refusal| refusal.to_string().contains("no usable a=crypto in the answer")), "{line}");
    }
}

#[test]
fn an_answer_under_the_secure_profile_is_understood() {
    let mut bench = Bench::new();
    bench.offer(PLAIN, offering());
    let answer = bench.answer(&with_key(&answer_of("RTP/SAVP", ""), 4), Options::default());
    assert!(answer.warnings.iter().any(|warning| warning.contains("RTP/SAVP answers RTP/AVP")));
    assert_eq!(keyings(&bench), [2, 2, 0, 0]);
}

// An offer may have several methods, and an answer has one of them (RFC 8643 §3.1, §3.2).
#[test]
fn of_two_methods_the_answer_takes_one_or_none() {
    let fingerprint = format!("a=setup:active\na=fingerprint:{}", crate::support::fingerprint());
    let key = with_key("", 4);
    for (lines, expected) in [
        (key.clone(), [2, 2, 0, 0]),
        (fingerprint.clone(), [2, 0, 2, 0]),
        // An answer must not name two; DTLS comes first.
        (format!("{fingerprint}\n{key}"), [2, 0, 2, 0]),
        (String::new(), [4, 0, 0, 0]),
    ] {
        let mut bench = Bench::new();
        let first = masked(&bench.offer(PLAIN, offering()));
        assert_eq!(masked(&bench.offer(PLAIN, offering())), first, "the same offer again");
        assert_eq!(keyings(&bench)[0] + keyings(&bench)[1] + keyings(&bench)[2], 0, "nothing before the answer");
        let answer = masked(&bench.answer(&answer_of("RTP/AVP", &lines), Options::default()));
        assert!(!answer.contains("a=crypto") && !answer.contains("a=fingerprint"), "{answer}");
        assert_eq!(keyings(&bench), expected, "{lines}");
        // What was agreed is offered again, and nothing beside it.
        let again = masked(&bench.reoffer("a", "b", PLAIN, Options::default()));
        let offered = (again.contains("a=crypto"), again.contains("a=fingerprint"));
        assert_eq!(offered, (expected[1] > 0, expected[2] > 0), "{again}");
    }
}

#[test]
fn osrtp_with_dtls_off_is_sdes_alone() {
    let options = Options { dtls: Some(DtlsOption::Off), ..offering() };
    let offer = masked(&Bench::new().offer(PLAIN, options));
    assert!(offer.contains("a=crypto:5 ") && !offer.contains("fingerprint") && !offer.contains("setup"), "{offer}");
}

#[test]
fn osrtp_may_be_keyed_by_dtls() {
    let mut options = offering();
    options.sdes.off = true;
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(PLAIN, options));
    assert!(offer.contains("RTP/AVP 0\n") && offer.contains("a=setup:actpass\na=fingerprint:OURS\n"), "{offer}");
    assert!(!offer.contains("a=crypto"), "{offer}");
    let fingerprint = format!("a=setup:active\na=fingerprint:{}", crate::support::fingerprint());
    bench.answer(&answer_of("RTP/AVP", &fingerprint), Options::default());
    assert_eq!(keyings(&bench), [2, 0, 2, 0]);
}

#[test]
fn a_secure_section_is_never_made_less_by_osrtp() {
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(PLAIN, Options { osrtp: offering().osrtp, ..to(MediaProfile::RtpSavp) }));
    assert!(offer.contains("RTP/SAVP 0\n"), "{offer}");
    let reply = bench.ask(Request::Answer(Box::new(negotiation(
        "a",
        Some("b"),
        &answer_of("RTP/AVP", ""),
        Options::default(),
    ))));
    assert!(reply.is_err(), "plain does not answer secure");
}

#[test]
fn what_was_agreed_stands_in_a_reoffer_that_asks_for_nothing() {
    let mut bench = Bench::new();
    bench.offer(PLAIN, offering());
    let answer = with_key(&answer_of("RTP/AVP", ""), 4);
    bench.answer(&answer, Options::default());
    let before = bench.plan().clone();
    let offer = masked(&bench.reoffer("a", "b", PLAIN, Options::default()));
    assert!(offer.contains("a=crypto:1 "), "{offer}");
    bench.reanswer("a", "b", &answer, Options::default());
    // And the other way.
    let offer = masked(&bench.reoffer("b", "a", &answer, Options::default()));
    assert!(!offer.contains("a=crypto"), "{offer}");
    let back = masked(&bench.reanswer("b", "a", PLAIN, Options::default()));
    assert!(back.contains("a=crypto:4 AES_CM_128_HMAC_SHA1_80"), "{back}");
    let same = bench.plan().transports.iter().zip(&before.transports);
    assert!(same.clone().count() == 4 && same.into_iter().all(|(one, other)| one.keying == other.keying));
}

// "To accept OSRTP, an answerer […] generates an SDP answer containing SRTP keying attributes that match one of the keying
// methods in the offer. The answer MUST NOT contain attributes from more than one keying method" (RFC 8643 §3.2)
#[test]
fn osrtp_is_accepted_where_that_is_asked_for() {
    let offer = format!("{}a=setup:actpass\na=fingerprint:{}\n", with_key(PLAIN, 7), crate::support::fingerprint());
    let mut bench = Bench::new();
    let written = masked(&bench.offer(&offer, Options { sdes: prefer(), ..accepting() }));
    assert!(written.contains("RTP/AVP 0\n") && !written.contains("a=crypto"), "{written}");
    let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
    assert_eq!(
        answer,
        expected(
            "
            v=0
            o=bob 1 1 IN IP4 198.51.100.5
            s=-
            t=0 0
            m=audio P1 RTP/AVP 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:KEY1
            "
        )
    );
    assert_eq!(keyings(&bench), [2, 2, 0, 0]);
    let notes = notes(&bench);
    assert!(notes.contains(&"a: opportunistic SRTP by OSRTP: accepted".to_owned()), "{notes:?}");
    assert!(notes.contains(&"b: plain RTP beside a secure leg".to_owned()), "{notes:?}");
    // With both, DTLS comes first.
    let mut bench = Bench::new();
    bench.offer(&offer, accepting());
    let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
    assert!(answer.contains("a=fingerprint:OURS") && !answer.contains("a=crypto"), "{answer}");
}

fn prefer() -> sallyport_session::SdesOptions {
    sallyport_session::SdesOptions { prefer: true, ..Default::default() }
}

#[test]
fn osrtp_that_is_not_accepted_is_plain_and_says_so() {
    for (offer, options) in [
        (with_key(PLAIN, 1), Options::default()),
        // Declined for want of a key that can be used.
        (format!("{PLAIN}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\n"), accepting()),
    ] {
        let mut bench = Bench::new();
        let written = bench.offer(&offer, options);
        assert!(!written.warnings.is_empty());
        let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
        assert!(answer.contains("RTP/AVP 0\n") && !answer.contains("a=crypto"), "{answer}");
        assert_eq!(keyings(&bench), [4, 0, 0, 0]);
    }
}

/// An offer as snom and others make it.
fn twice() -> String {
    let secure = format!("m=audio 4000 RTP/SAVP 0\na=crypto:8 AES_CM_128_HMAC_SHA1_80 {KEY}\na=sendrecv\n");
    PLAIN.replace("m=audio", &format!("{secure}m=audio"))
}

#[test]
fn of_two_sections_the_secure_one_is_chosen_and_the_other_keeps_its_place() {
    for plain_first in [false, true] {
        let mut offer = twice();
        if plain_first {
            let (head, rest) = offer.split_at(offer.find("m=").expect("m="));
            let (one, two) = rest.split_at(rest[2..].find("m=").expect("m=") + 2);
            offer = format!("{head}{}\n{one}", two.trim_end());
        }
        let mut bench = Bench::new();
        let written = masked(&bench.offer(&offer, to(MediaProfile::RtpAvp)));
        assert_eq!(written.matches("m=audio").count(), 1, "{written}");
        assert!(written.contains("m=audio P1 RTP/AVP 0\n") && !written.contains("a=crypto"), "{written}");
        let answer = masked(&bench.answer(&answer_of("RTP/AVP", "a=ptime:20"), Options::default()));
        let sections: Vec<&str> = answer.split("m=audio ").skip(1).collect();
        assert_eq!(sections.len(), 2, "{answer}");
        let (secure, plain) = if plain_first { (sections[1], sections[0]) } else { (sections[0], sections[1]) };
        assert!(secure.starts_with("P1 RTP/SAVP 0\n"), "{answer}");
        assert!(secure.contains("a=crypto:8 AES_CM_128_HMAC_SHA1_80 inline:KEY1"), "{answer}");
        assert!(plain.starts_with("0 RTP/AVP 0\n") && !plain.contains("crypto"), "{answer}");
        assert_eq!(keyings(&bench), [2, 2, 0, 0]);
        assert!(notes(&bench).contains(&"a: opportunistic SRTP by duplicate sections: accepted".to_owned()));
        // The other party re-offers: the phone sees as many sections as before, in their order.
        let reoffer = masked(&bench.reoffer("b", "a", &answer_of("RTP/AVP", "a=sendonly"), Options::default()));
        let profiles: Vec<&str> =
            reoffer.lines().filter_map(|line| line.strip_prefix("m=audio ")).map(|line| &line[..2]).collect();
        assert_eq!(profiles, if plain_first { ["0 ", "P1"] } else { ["P1", "0 "] }, "{reoffer}");
        // It answers so, and re-offers so.
        let both = |direction: &str| {
            let secure = format!("m=audio 4000 RTP/SAVP 0\na=crypto:2 AEAD_AES_256_GCM {LONG}\na={direction}\n");
            let plain = "m=audio 0 RTP/AVP 0\n";
            let media = if plain_first { format!("{plain}{secure}") } else { format!("{secure}{plain}") };
            format!("v=0\no=alice 1 2 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n{media}")
        };
        let answer = masked(&bench.reanswer("b", "a", &both("recvonly"), Options::default()));
        assert_eq!(answer.matches("m=audio").count(), 1, "{answer}");
        assert!(answer.contains("a=recvonly"), "{answer}");
        let offer = masked(&bench.reoffer("a", "b", &both("sendrecv"), Options::default()));
        assert_eq!(offer.matches("m=audio").count(), 1, "{offer}");
        let answer = masked(&bench.reanswer("a", "b", &answer_of("RTP/AVP", ""), Options::default()));
        assert_eq!(answer.matches("m=audio").count(), 2, "{answer}");
        assert_eq!(keyings(&bench), [2, 2, 0, 0]);
    }
}

/// 44 bytes.
const LONG: &str = "inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXI=";

#[test]
fn two_sections_go_on_as_two_where_nothing_else_is_asked_for() {
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(&twice(), Options::default()));
    let sections: Vec<&str> = offer.split("m=audio ").skip(1).collect();
    assert_eq!(sections.len(), 2, "{offer}");
    assert!(sections[0].starts_with("P1 RTP/SAVP 0\n") && sections[0].contains("a=crypto:1 "), "{offer}");
    assert!(sections[1].starts_with("P1 RTP/AVP 0\n") && !sections[1].contains("a=crypto"), "{offer}");
    // This one knows no SRTP.
    let rejecting = answer_of("RTP/AVP", "").replace("m=audio 6000", "m=audio 0 RTP/SAVP 0\nm=audio 6000");
    let answer = masked(&bench.answer(&rejecting, Options::default()));
    assert!(answer.contains("m=audio P1 RTP/SAVP 0\n") && answer.contains("m=audio 0 RTP/AVP 0\n"), "{answer}");
    assert_eq!(keyings(&bench), [2, 2, 0, 0]);
    let notes = notes(&bench);
    assert!(
        notes.contains(&"b: opportunistic SRTP by duplicate sections: declined, plain RTP".to_owned()),
        "{notes:?}"
    );
    // It keeps both lines from here on, the first of them rejected.
    let offer = masked(&bench.reoffer("a", "b", &twice(), Options::default()));
    let lines: Vec<&str> = offer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines, ["m=audio 0 RTP/SAVP 0", "m=audio P1 RTP/AVP 0"], "{offer}");
}

#[test]
fn legacy_osrtp_offers_both_and_follows_the_answer() {
    let accept = with_key(&answer_of("RTP/SAVP", ""), 4) + "m=audio 0 RTP/AVP 0\n";
    let decline = answer_of("RTP/AVP", "").replace("m=audio 6000", "m=audio 0 RTP/SAVP 0\nm=audio 6000");
    for (answer, expected) in [(accept, [2, 2, 0, 0]), (decline, [4, 0, 0, 0])] {
        let mut bench = Bench::new();
        let offer = bench.offer(PLAIN, legacy());
        let text = masked(&offer);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(lines, ["m=audio P1 RTP/SAVP 0", "m=audio P1 RTP/AVP 0"], "{text}");
        assert_eq!(keyings(&bench)[0], 0, "nothing is plain before the answer says so");
        assert_eq!(bench.offer(PLAIN, legacy()).sdp, offer.sdp, "the same again");
        let text = masked(&bench.answer(&answer, Options::default()));
        assert_eq!(text.matches("m=audio").count(), 1, "{text}");
        assert!(text.contains("m=audio P1 RTP/AVP 0\n") && !text.contains("a=crypto"), "{text}");
        assert_eq!(keyings(&bench), expected);
        let before = bench.plan().clone();
        // The same answer again changes nothing, and neither does the same offer.
        bench.answer(&answer, Options::default());
        let text = masked(&bench.reoffer("a", "b", PLAIN, legacy()));
        assert_eq!(text.matches("m=audio").count(), 2, "{text}");
        bench.reanswer("a", "b", &answer, Options::default());
        assert_eq!(keyings(&bench), expected);
        assert_eq!(before.flows, bench.plan().flows);
    }
}

#[test]
fn both_accepted_is_the_secure_one_and_a_wrong_number_of_lines_is_refused() {
    let mut bench = Bench::new();
    bench.offer(PLAIN, legacy());
    let one = answer_of("RTP/AVP", "");
    let reply = bench.ask(Request::Answer(Box::new(negotiation("a", Some("b"), &one, Options::default()))));
    assert!(reply.is_err_and(|refusal| refusal.to_string().contains("1 m= lines answer 2")));
    let both = with_key(&answer_of("RTP/SAVP", ""), 4) + "m=audio 6002 RTP/AVP 0\n";
    bench.answer(&both, Options::default());
    assert_eq!(keyings(&bench), [2, 2, 0, 0]);
}

#[test]
fn two_streams_by_intention_stay_two() {
    let different = twice().replacen("RTP/AVP 0", "RTP/AVP 8", 1);
    let named = twice().replacen("RTP/AVP 0\n", "RTP/AVP 0\na=label:2\n", 1);
    let same_profile = twice().replacen("RTP/AVP 0\n", "RTP/SAVP 0\n", 1).replace(
        "a=rtpmap:0",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\na=rtpmap:0",
    );
    for offer in [different, named, same_profile] {
        let mut bench = Bench::new();
        let written = masked(&bench.offer(&offer, to(MediaProfile::RtpAvp)));
        assert!(written.contains("m=audio P1 ") && written.contains("m=audio P2 "), "{written}");
    }
}

#[test]
fn a_secure_twin_without_a_usable_key_leaves_the_plain_one() {
    let mut bench = Bench::new();
    let offer = twice().replace(KEY, "inline:short");
    let written = masked(&bench.offer(&offer, Options::default()));
    assert_eq!(written.matches("m=audio").count(), 1, "{written}");
    let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
    let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines, ["m=audio 0 RTP/SAVP 0", "m=audio P1 RTP/AVP 0"]);
    assert_eq!(keyings(&bench), [4, 0, 0, 0]);
}

#[test]
fn video_and_audio_twice_are_two_sections() {
    let media = |kind: &str, port: u16, format: u8| {
        format!(
            "m={kind} {port} RTP/SAVP {format}\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\nm={kind} {port} RTP/AVP {format}\n"
        )
    };
    let head = "v=0\no=alice 1 1 IN IP4 192.0.2.10\ns=-\nc=IN IP4 192.0.2.10\nt=0 0\n";
    let offer = format!("{head}{}{}", media("audio", 4000, 0), media("video", 4002, 31));
    let mut bench = Bench::new();
    let written = masked(&bench.offer(&offer, to(MediaProfile::RtpAvp)));
    let lines: Vec<&str> = written.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines, ["m=audio P1 RTP/AVP 0", "m=video P2 RTP/AVP 31"]);
    let answer = answer_of("RTP/AVP", "m=video 6002 RTP/AVP 31");
    let answer = masked(&bench.answer(&answer, Options::default()));
    let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        ["m=audio P1 RTP/SAVP 0", "m=audio 0 RTP/AVP 0", "m=video P2 RTP/SAVP 31", "m=video 0 RTP/AVP 31"]
    );
    assert_eq!(bench.plan().flows.len(), 4);
}

fn capabilities(lines: &str) -> String {
    format!("{PLAIN}{}\n", lines.replace("KEY", KEY).replace("OTHER", OTHER))
}

// The offer of RFC 5939 §4.1 in essence: RTP/SAVP with SDES beside RTP/AVP.
#[test]
fn a_potential_configuration_with_keys_is_taken_and_named_in_the_answer() {
    let mut bench = Bench::new();
    let offer = capabilities(
        "a=tcap:1 RTP/SAVP RTP/SAVPF\na=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_32 KEY\n\
         a=acap:2 crypto:3 AES_CM_128_HMAC_SHA1_80 OTHER\na=pcfg:1 t=1 a=2\na=pcfg:2 t=1 a=1",
    );
    let written = masked(&bench.offer(&offer, Options::default()));
    assert!(written.contains("m=audio P1 RTP/AVP 0\n"), "the actual configuration goes on: {written}");
    assert!(!written.contains("cap:") && !written.contains("cfg:") && !written.contains("crypto"), "{written}");
    let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
    assert_eq!(
        answer,
        expected(
            "
            v=0
            o=bob 1 1 IN IP4 198.51.100.5
            s=-
            t=0 0
            m=audio P1 RTP/SAVP 0
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=acfg:1 t=1 a=2
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:KEY1
            "
        )
    );
    assert_eq!(keyings(&bench), [2, 2, 0, 0]);
    assert!(notes(&bench).contains(&"a: opportunistic SRTP by capability negotiation: accepted".to_owned()));
}

#[test]
fn a_potential_configuration_may_be_dtls_with_optional_and_deleted_attributes() {
    let mut bench = Bench::new();
    let fingerprint = crate::support::fingerprint();
    let offer = capabilities(&format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 KEY\na=tcap:7 RTP/AVPF UDP/TLS/RTP/SAVP\na=acap:1 setup:actpass\n\
         a=acap:5 fingerprint:{fingerprint}\na=acap:6 x-future:1\na=pcfg:3 t=7|8 a=-m:1,[6],5|1"
    ));
    bench.offer(&offer, Options::default());
    let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
    assert!(answer.contains("m=audio P1 UDP/TLS/RTP/SAVP 0\n"), "{answer}");
    assert!(answer.contains("a=setup:active\na=fingerprint:OURS\n"), "{answer}");
    assert!(answer.contains("a=acfg:3 t=8 a=-m:1,5\n") && !answer.contains("crypto"), "{answer}");
}

#[test]
fn configurations_that_are_not_understood_leave_the_actual_one() {
    let known = "a=tcap:1 RTP/SAVP\na=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 KEY\na=acap:2 x-future:1\n";
    for configuration in [
        "a=pcfg:1 t=2 a=1",
        "a=pcfg:1 t=1 a=9",
        "a=pcfg:1 t=1 a=1,2",
        "a=pcfg:1 t=1 a=-x:1",
        "a=pcfg:1 t=1",
        "a=pcfg:1 a=1",
        "a=pcfg:1 t=1 a=1 +future=1",
        "a=pcfg:1",
        "a=pcfg:",
        "a=pcfg:0 t=1 a=1",
        "a=pcfg:1 t=1 a=1\na=creq:cap-v0,med-v0",
    ] {
        let mut bench = Bench::new();
        bench.offer(&capabilities(&format!("{known}{configuration}")), Options::default());
        let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
        assert!(answer.contains("m=audio P1 RTP/AVP 0\n") && !answer.contains("acfg"), "{configuration}: {answer}");
        assert_eq!(keyings(&bench), [4, 0, 0, 0], "{configuration}");
    }
    // One that is unusable makes way for the next.
    let mut bench = Bench::new();
    let offer =
        format!("{known}a=acap:3 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\na=pcfg:2 t=1 a=1\na=pcfg:1 t=1 a=3");
    bench.offer(&capabilities(&offer), Options::default());
    let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
    assert!(answer.contains("a=acfg:2 t=1 a=1\n"), "{answer}");
}

#[test]
fn a_thousand_configurations_are_as_good_as_sixteen() {
    let many: String = (1..1000).map(|number| format!("a=pcfg:{number} t=1 a={number}\n")).collect();
    let mut bench = Bench::new();
    let reply = bench.ask(Request::Offer(Box::new(negotiation("a", None, &capabilities(&many), Options::default()))));
    // Or the description is too long altogether: no matter which.
    if reply.is_ok() {
        let answer = masked(&bench.answer(&answer_of("RTP/AVP", ""), Options::default()));
        assert!(answer.contains("m=audio P1 RTP/AVP 0\n"), "{answer}");
    }
}
