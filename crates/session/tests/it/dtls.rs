//! DTLS-SRTP and ICE lines as they come in the field (RFC 5763, RFC 8122, RFC 8839, RFC 8842).

use control::{DtlsPlan, DtlsRole, Keying};
use sallyport_session::{MediaProfile, Options, Request, TransportProtocol};

use crate::support::{Bench, masked, negotiation};

const ONE: &str =
    "sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20";
const TWO: &str =
    "SHA-256 21:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f:20";

const PLAIN: &str = "
    v=0
    o=bob 1 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=audio 6000 RTP/AVP 0
";

fn to(profile: MediaProfile) -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(profile)), ..Options::default() }
}

fn secure(lines: &str) -> String {
    format!("{}{lines}\n", PLAIN.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"))
}

fn dtls_plans(bench: &Bench) -> Vec<DtlsPlan> {
    let keyed = bench.plan().transports.iter().filter_map(|transport| match &transport.keying {
        Keying::Dtls(plan) => Some(DtlsPlan::clone(plan)),
        _ => None,
    });
    keyed.collect()
}

// RFC 4145 §4.1, RFC 5763 §5: actpass may be answered by either; what is left out is active in an offer, passive in an answer.
#[test]
fn every_setup_of_an_offer_has_its_answer() {
    for (offered, answered, role) in [
        ("a=setup:actpass", "a=setup:active", DtlsRole::Client),
        ("a=setup:passive", "a=setup:active", DtlsRole::Client),
        ("a=setup:active", "a=setup:passive", DtlsRole::Server),
        ("a=x-none", "a=setup:passive", DtlsRole::Server),
    ] {
        let mut bench = Bench::new();
        bench.offer(&secure(&format!("{offered}\na=fingerprint:{ONE}")), to(MediaProfile::RtpAvp));
        let answer = masked(&bench.answer(PLAIN, Options::default()));
        assert!(answer.contains(&format!("{answered}\n")), "{offered}: {answer}");
        assert_eq!(dtls_plans(&bench)[0].role, Some(role), "{offered}");
    }
    let mut bench = Bench::new();
    let offer = secure(&format!("a=setup:holdconn\na=fingerprint:{ONE}"));
    let reply = bench.ask(Request::Offer(Box::new(negotiation("a", None, &offer, Options::default()))));
    assert!(reply.is_err_and(|refusal| refusal.to_string().contains("holdconn")));
}

#[test]
fn every_setup_of_an_answer_gives_us_the_other_role() {
    for (answered, role) in [
        ("a=setup:active", DtlsRole::Server),
        ("a=setup:passive", DtlsRole::Client),
        ("a=setup:actpass", DtlsRole::Server),
        ("a=x-none", DtlsRole::Client),
    ] {
        let mut bench = Bench::new();
        let offer = masked(&bench.offer(PLAIN, to(MediaProfile::UdpTlsRtpSavp)));
        assert!(offer.contains("a=setup:actpass\n"), "{offer}");
        bench.answer(&secure(&format!("{answered}\na=fingerprint:{ONE}")), Options::default());
        assert_eq!(dtls_plans(&bench)[0].role, Some(role), "{answered}");
    }
}

#[test]
fn lines_of_the_session_level_hold_where_a_section_has_none_and_do_not_pass() {
    let session = format!(
        "a=fingerprint:{ONE}\na=setup:actpass\na=ice-ufrag:sess\na=ice-pwd:ssssssssssssssssssssssss\na=ice-lite\nm=audio"
    );
    let offer = secure(&format!(
        "m=video 6002 UDP/TLS/RTP/SAVP 31\na=fingerprint:{TWO}\na=setup:passive\na=ice-ufrag:sect\na=ice-pwd:tttttttttttttttttttttttt"
    ))
    .replace("m=audio", &session);
    let mut bench = Bench::new();
    let written = masked(
        &bench.offer(&offer, Options { ice: Some(sallyport_session::IceOption::Remove), ..to(MediaProfile::RtpAvp) }),
    );
    assert!(!["fingerprint", "setup", "ice"].iter().any(|word| written.contains(word)), "{written}");
    let answer = masked(&bench.answer(&format!("{PLAIN}m=video 6002 RTP/AVP 31\n"), Options::default()));
    assert_eq!(answer.matches("a=fingerprint:OURS\na=tls-id:").count(), 2, "{answer}");
    assert_eq!(answer.matches("a=setup:active\n").count(), 2, "{answer}");
    assert!(!answer.contains("sess") && !answer.contains("01:02"), "{answer}");
    let plans = dtls_plans(&bench);
    let fingerprints: Vec<String> = plans.iter().map(|plan| plan.fingerprints[0].to_string()).collect();
    assert_eq!(fingerprints.iter().filter(|&text| text == ONE).count(), 2, "RTP and RTCP of audio");
    assert_eq!(fingerprints.iter().filter(|text| text.eq_ignore_ascii_case(TWO)).count(), 2);
    assert!(plans.iter().all(|plan| plan.fingerprints.len() == 1), "a section's own replace those of the session");
    let ice: Vec<_> = bench.plan().transports.iter().filter_map(|transport| transport.ice.as_ref()).collect();
    assert_eq!(ice.len(), 4);
    assert!(ice.iter().all(|ice| ice.remote_lite));
    let ufrags: Vec<&str> = ice.iter().filter_map(|ice| Some(ice.remote.as_ref()?.ufrag.as_str())).collect();
    assert_eq!(ufrags.iter().filter(|&&ufrag| ufrag == "sess").count(), 2);
    assert_eq!(ufrags.iter().filter(|&&ufrag| ufrag == "sect").count(), 2);
}

#[test]
fn fingerprints_that_cannot_be_read_are_passed_over_and_all_others_are_kept() {
    let mut bench = Bench::new();
    let sha1 = "sha-1 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14";
    let lines = format!(
        "a=setup:actpass\na=fingerprint:md5 01:02\na=fingerprint:{sha1}\na=fingerprint:{ONE}\na=fingerprint:{TWO}"
    );
    let written = bench.offer(&secure(&lines), to(MediaProfile::RtpAvp));
    assert!(
        written.warnings.iter().any(|warning| warning.contains("a=fingerprint passed over")),
        "{:?}",
        written.warnings
    );
    bench.answer(PLAIN, Options::default());
    let kept: Vec<String> = dtls_plans(&bench)[0].fingerprints.iter().map(ToString::to_string).collect();
    assert_eq!(kept, [sha1.to_owned(), ONE.to_owned(), TWO.to_uppercase().replace("SHA-256", "sha-256")]);
}

#[test]
fn ice_without_a_password_is_no_ice() {
    for lines in ["a=ice-ufrag:abcd", "a=ice-ufrag:abcd\na=ice-pwd:short", "a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa"] {
        let mut bench = Bench::new();
        bench.offer(&format!("{PLAIN}{lines}\n"), Options::default());
        let answer = masked(&bench.answer(PLAIN, Options::default()));
        assert!(!answer.contains("ice"), "{lines}: {answer}");
        assert!(bench.plan().transports.iter().all(|transport| transport.ice.is_none()));
        assert!(bench.plan().transports.iter().all(|transport| transport.remote.is_some()), "media as signalled");
    }
}
