//! What each option does to the text and the plan.

use control::{DtlsRole, Keying, Latching, Profile};
use sallyport_session::{
    AddressFamily, DtlsOption, IceOption, InterfaceOptions, MediaProfile, Options, Request, TransportProtocol,
};

use crate::support::{Bench, masked, negotiation, rewritten};

const OFFER: &str = "
    v=0
    o=alice 1 1 IN IP4 192.0.2.1
    s=call
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/AVP 0 8 101
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-15
";
const WEB: &str = "
    v=0
    o=- 5 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    m=audio 50000 UDP/TLS/RTP/SAVPF 0
    c=IN IP4 192.0.2.20
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    a=rtcp-mux
";

fn written(sdp: &str, options: Options) -> String {
    masked(&Bench::new().offer(sdp, options))
}

fn to(profile: MediaProfile) -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(profile)), ..Options::default() }
}

#[test]
fn ice_is_kept_forced_or_removed() {
    let has = |text: &str| text.contains("a=ice-ufrag") && text.contains("a=candidate") && text.contains("a=ice-lite");
    let ice = |option| Options { ice: Some(option), ..Options::default() };
    assert!(has(&written(WEB, Options::default())), "kept where it was offered");
    assert!(!written(OFFER, Options::default()).contains("ice-"), "not added where it was not");
    assert!(!written(WEB, ice(IceOption::Remove)).contains("ice-"));
    assert!(has(&written(OFFER, ice(IceOption::Force))));
    assert!(has(&written(WEB, ice(IceOption::Default))));
    assert!(!written(OFFER, ice(IceOption::Default)).contains("ice-"), "as if the option were absent");
    assert!(has(&written(WEB, ice(IceOption::Optional))));
    assert!(has(&written(OFFER, ice(IceOption::Optional))), "added where there was none");
}

#[test]
fn sdes_options_choose_the_suites() {
    let suites = |set: fn(&mut Options)| {
        let mut options = to(MediaProfile::RtpSavp);
        set(&mut options);
        let text = written(OFFER, options);
        let crypto = text.lines().filter(|line| line.starts_with("a=crypto:"));
        crypto.map(|line| line.split(' ').nth(1).expect("suite").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        suites(|o| o.sdes.exclude = vec![Profile::AeadAes256Gcm, Profile::AesCm256HmacSha1_80]),
        ["AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]
    );
    assert_eq!(suites(|o| o.sdes.only = vec![Profile::AesCm192HmacSha1_80]), ["AES_192_CM_HMAC_SHA1_80"]);
    assert_eq!(
        suites(|o| o.sdes.order = vec![Profile::AesCm128HmacSha1_80])[..2],
        ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"]
    );
    assert!(suites(|o| o.sdes.order = vec![Profile::NullHmacSha1_80]).iter().all(|suite| !suite.starts_with("NULL")));
    let lifetime = Options {
        sdes: sallyport_session::SdesOptions { lifetime: true, ..Default::default() },
        ..to(MediaProfile::RtpSavp)
    };
    assert!(written(OFFER, lifetime).contains("a=crypto:1 AEAD_AES_256_GCM inline:KEY1|2^31\n"));
}

#[test]
fn nonew_offers_on_what_was_offered_and_offerer_pref_chooses_in_the_answer() {
    let offer = OFFER.replace("RTP/AVP", "RTP/SAVP")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
        + "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVa\n";
    let mut options = Options::default();
    options.sdes.no_new = true;
    let text = written(&offer, options);
    assert_eq!(text.matches("a=crypto").count(), 2, "{text}");
    assert!(
        text.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80 ") && text.contains("a=crypto:2 AES_CM_128_HMAC_SHA1_32 ")
    );
    for (preference, line) in [
        (vec![], "a=crypto:1 AES_CM_128_HMAC_SHA1_32"),
        (vec![Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80], "a=crypto:3 AES_CM_128_HMAC_SHA1_80"),
    ] {
        let mut bench = Bench::new();
        bench.offer(&offer, to(MediaProfile::RtpAvp));
        let mut options = Options::default();
        options.sdes.offerer_preference = preference;
        let answer = masked(&bench.answer(OFFER, options));
        assert!(answer.contains(line), "{answer}");
        assert_eq!(answer.matches("a=crypto").count(), 1, "{answer}");
    }
}

#[test]
fn dtls_comes_before_sdes_unless_sdes_is_preferred() {
    let both = WEB.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")
        + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n";
    for (prefer, crypto) in [(false, false), (true, true)] {
        let mut bench = Bench::new();
        let mut options = Options { ice: Some(IceOption::Remove), ..to(MediaProfile::RtpAvp) };
        options.sdes.prefer = prefer;
        bench.offer(&both, options);
        let answer = masked(&bench.answer(OFFER, Options::default()));
        assert_eq!((answer.contains("a=crypto"), answer.contains("a=fingerprint")), (crypto, !crypto), "{answer}");
    }
}

#[test]
fn the_dtls_option_chooses_our_role_in_an_answer() {
    let role = |offer: Option<DtlsOption>, answer: Option<DtlsOption>| {
        let mut bench = Bench::new();
        bench.offer(WEB, Options { dtls: offer, ice: Some(IceOption::Remove), ..to(MediaProfile::RtpAvp) });
        let text = masked(&bench.answer(OFFER, Options { dtls: answer, ..Options::default() }));
        let dtls = bench.plan().transports.iter().find_map(|transport| match &transport.keying {
            Keying::Dtls(dtls) => dtls.role,
            _ => None,
        });
        assert_eq!(text.contains("a=setup:passive"), dtls == Some(DtlsRole::Server), "{text}");
        dtls.expect("a role")
    };
    assert_eq!(role(None, None), DtlsRole::Client);
    assert_eq!(role(None, Some(DtlsOption::Passive)), DtlsRole::Server);
    assert_eq!(role(Some(DtlsOption::Passive), None), DtlsRole::Server);
    assert_eq!(role(Some(DtlsOption::Passive), Some(DtlsOption::Active)), DtlsRole::Client);
    assert_eq!(role(Some(DtlsOption::Off), None), DtlsRole::Client, "DTLS=off is for the other side");
}

#[test]
fn interfaces_families_and_addresses_are_chosen() {
    let mut bench = Bench::new();
    let direction = InterfaceOptions { from: Some("internal".into()), to: Some("external".into()) };
    let offer = masked(&bench.offer(OFFER, Options { interfaces: direction, ..Options::default() }));
    assert!(offer.contains("c=IN IP4 203.0.113.7\n"), "the advertised address: {offer}");
    assert!(offer.contains("a=rtcp:P1+1 IN IP4 203.0.113.7\n"), "{offer}");
    let bound: Vec<_> =
        bench.open.values().flat_map(|open| open.values()).map(|address| address.ip().to_string()).collect();
    assert_eq!(bound, ["10.0.0.1", "10.0.0.1", "10.1.0.1", "10.1.0.1"]);
    let answer = masked(&bench.answer(OFFER, Options::default()));
    assert!(answer.contains("c=IN IP4 10.0.0.1\n"), "{answer}");
    let six = written(OFFER, Options { address_family: Some(AddressFamily::Ip6), ..Options::default() });
    assert!(six.contains("c=IN IP6 2001:db8::1\n") && six.contains("a=rtcp:P1+1 IN IP6 2001:db8::1\n"), "{six}");
    let media = written(OFFER, Options { media_address: Some("198.51.100.1".parse().unwrap()), ..Options::default() });
    assert!(media.contains("c=IN IP4 198.51.100.1\n"), "{media}");
}

#[test]
fn replace_options_edit_the_session_lines() {
    let text = |set: fn(&mut Options)| {
        let mut options = Options::default();
        set(&mut options);
        written(OFFER, options)
    };
    assert!(text(|_| ()).contains("o=alice 1 1 IN IP4 192.0.2.1\ns=call\n"));
    assert!(text(|o| o.replace.origin = true).contains("o=alice 1 1 IN IP4 10.0.0.1\n"));
    assert!(text(|o| o.replace.username = true).contains("o=- 1 1 IN IP4 192.0.2.1\n"));
    assert!(text(|o| o.replace.session_name = true).contains("s=-\n"));
    assert!(!text(|o| o.replace.origin_full = true).contains("o=alice 1 1"));
}

#[test]
fn flags_edit_the_sections() {
    let text = |set: fn(&mut Options)| {
        let mut options = Options::default();
        set(&mut options);
        written(OFFER, options)
    };
    assert!(text(|o| o.flags.generate_mid = true).contains("a=mid:0\n"));
    assert!(!text(|o| o.flags.no_rtcp_attribute = true).contains("a=rtcp:"));
    assert!(text(|_| ()).contains("a=sendrecv\n"));
    assert!(!text(|o| o.flags.original_sendrecv = true).contains("a=sendrecv\n"));
    let stripped = text(|o| o.codec.strip = vec!["PCMA".into(), "telephone-event".into()]);
    assert!(stripped.contains("m=audio P1 RTP/AVP 0\n") && !stripped.contains("101"), "{stripped}");
    let excepted = text(|o| {
        o.codec.strip = vec!["all".into()];
        o.codec.except = vec!["PCMU".into()];
    });
    assert!(excepted.contains("m=audio P1 RTP/AVP 0\n"), "{excepted}");
}

#[test]
fn a_loop_is_seen() {
    let mut bench = Bench::new();
    let mut options = Options::default();
    options.flags.loop_protect = true;
    let first = bench.offer(OFFER, options.clone());
    let again = negotiation("a", None, std::str::from_utf8(&first.sdp).expect("UTF-8"), options);
    let second = rewritten(bench.ask(Request::Offer(Box::new(again))));
    assert_eq!(first.sdp, second.sdp);
    assert_eq!(second.warnings.len(), 1);
}

#[test]
fn latching_traffic_class_and_source_address_reach_the_plan() {
    let mut bench = Bench::new();
    let mut options = Options { traffic_class: Some(184), ..Options::default() };
    options.flags.strict_source = true;
    options.flags.pierce_nat = true;
    options.flags.sip_source_address = true;
    let mut offer = negotiation("a", None, OFFER, options);
    offer.received_from = Some("198.51.100.77".parse().unwrap());
    rewritten(bench.ask(Request::Offer(Box::new(offer))));
    let mut options = Options::default();
    options.flags.asymmetric = true;
    options.flags.nat_wait = true;
    bench.answer(OFFER, options);
    let plan = bench.plan();
    assert!(plan.transports.iter().all(|transport| transport.traffic_class == Some(184)));
    let latching: Vec<_> = plan.transports.iter().map(|transport| transport.latching).collect();
    assert_eq!(latching, [Latching::Strict, Latching::Strict, Latching::Off, Latching::Off]);
    let nat: Vec<_> = plan.transports.iter().map(|transport| (transport.nat.pierce, transport.nat.wait)).collect();
    assert_eq!(nat, [(true, false), (true, false), (false, true), (false, true)], "of whom each description is");
    assert_eq!(plan.transports[0].remote, Some("198.51.100.77:4000".parse().unwrap()));
    assert_eq!(plan.transports[1].remote, Some("198.51.100.77:4001".parse().unwrap()));
}

#[test]
fn keys_of_other_protocols_do_not_pass() {
    let text = written(
        &(OFFER.to_owned()
            + "a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\na=zrtp-hash:1.10 abc\n"),
        Options::default(),
    );
    assert!(!text.contains("inline") && !text.contains("zrtp"), "{text}");
}
