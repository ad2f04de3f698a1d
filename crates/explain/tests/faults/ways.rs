//! Handshakes, ways and agreements that do not fit.

use std::time::Duration;

use control::{Credentials, DtlsRole, HashAlgorithm};
use session::{DtlsOption, Flags, IceOption, MediaProfile, Options, RtcpMuxOptions, TransportProtocol};

use crate::bench::{Bench, Browser, Phone, attribute, check, talk};

const PHONE: &str = "v=0\no=- 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\nm=audio 4000 RTP/AVP 0";

fn web(browser: &Browser, ice: bool) -> String {
    let ice = if ice { "a=ice-ufrag:abcd\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa" } else { "" };
    format!(
        "v=0
        o=- 1 1 IN IP4 198.51.100.1
        s=-
        c=IN IP4 198.51.100.1
        t=0 0
        m=audio 4000 UDP/TLS/RTP/SAVPF 0
        a=rtcp-mux
        a=setup:actpass
        a=fingerprint:{}
        {ice}",
        browser.identity.fingerprint(HashAlgorithm::Sha256)
    )
}

fn to_phone(dtls: DtlsOption) -> Options {
    Options {
        transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpAvp)),
        ice: Some(IceOption::Remove),
        rtcp_mux: RtcpMuxOptions { demux: true, ..RtcpMuxOptions::default() },
        dtls: Some(dtls),
        ..Options::default()
    }
}

/// Towards a browser that is to be answered with ICE.
fn with_ice(dtls: DtlsOption) -> Options {
    Options { ice: None, ..to_phone(dtls) }
}

struct Web {
    bench: Bench,
    browser: Browser,
    a: Phone,
    b: Phone,
    ours: Option<Credentials>,
    sent: Vec<crate::bench::Sent>,
}

fn call_with(browser: Browser, offer: &str, dtls: DtlsOption, ice: bool) -> Web {
    let mut bench = Bench::new();
    let to_b = bench.offer(offer, &to_phone(dtls));
    let (to_a, sent) = bench.answer(PHONE, &with_ice(dtls));
    let role = attribute(&to_a, "setup");
    assert_eq!(role, if dtls == DtlsOption::Active { "active" } else { "passive" });
    let ours =
        ice.then(|| Credentials::new(attribute(&to_a, "ice-ufrag"), attribute(&to_a, "ice-pwd")).expect("credentials"));
    let a = Phone::new("198.51.100.1:4000", &to_a, 0xa);
    let b = Phone::new("198.51.100.2:4000", &to_b, 0xb);
    Web { bench, browser, a, b, ours, sent }
}

/// A browser and a plain phone.
fn call(dtls: DtlsOption, ice: bool) -> Web {
    let browser = Browser::new();
    let offer = web(&browser, ice);
    call_with(browser, &offer, dtls, ice)
}

impl Web {
    fn nominate(&mut self) {
        let ours = self.ours.clone().expect("ICE");
        let mut sent = self.bench.deliver(self.a.relay, self.a.address, &check(&ours, true, 1));
        self.sent.append(&mut sent);
    }

    fn connect(&mut self, role: DtlsRole) {
        self.browser.begin(&self.bench, &self.a, role);
        let sent = std::mem::take(&mut self.sent);
        self.browser.converse(&mut self.bench, &mut self.a, sent);
    }

    fn healthy(&mut self) {
        let (at_a, at_b) = talk(&mut self.bench, &mut self.a, &mut self.b, 2);
        // The first packet of a plain source is its probation.
        assert!(at_a >= 19 && at_b == 20, "{at_a} {at_b}\n{}", self.bench.text());
        let text = self.bench.text();
        assert_eq!((self.bench.cause("A", "B"), self.bench.cause("B", "A")), (None, None), "{text}");
    }

    /// Nobody hears anybody, and both directions say that it is A's doing.
    fn fails(&mut self, cause: &str) {
        (0..4).for_each(|_| drop(self.b.send(&mut self.bench)));
        let text = self.bench.text();
        assert_eq!(self.bench.cause("B", "A"), Some(cause), "{text}");
        assert_eq!(self.bench.cause("A", "B"), Some(cause), "{text}");
    }
}

#[test]
fn a_healthy_browser_is_said_to_be() {
    for (option, role) in [(DtlsOption::Passive, DtlsRole::Client), (DtlsOption::Active, DtlsRole::Server)] {
        let mut web = call(option, true);
        web.nominate();
        web.connect(role);
        web.healthy();
        let explanation = web.bench.explain();
        let security = &explanation.legs[0].security;
        assert_eq!((security.keying, security.key_bits), ("DTLS-SRTP", 128));
        assert!(security.authentication.contains("sha-256"), "{}", security.authentication);
        assert_eq!(explanation.legs[1].security.keying, "plain");
    }
}

#[test]
fn a_fingerprint_that_does_not_match() {
    let (browser, other) = (Browser::new(), Browser::new());
    let offer = web(&other, false);
    let mut web = call_with(browser, &offer, DtlsOption::Passive, false);
    web.connect(DtlsRole::Client);
    // Until the handshake's deadline: a peer of another certificate might follow.
    web.bench.pass(Duration::from_secs(31));
    web.fails("fingerprint_mismatch");
}

#[test]
fn media_and_no_dtls_at_all() {
    let mut web = call(DtlsOption::Passive, false);
    talk(&mut web.bench, &mut web.a, &mut web.b, 2);
    web.fails("media_without_dtls");
}

#[test]
fn both_sides_wait_for_a_client_hello() {
    let mut web = call(DtlsOption::Passive, false);
    web.bench.pass(Duration::from_secs(2));
    web.fails("no_client_hello");
    web.bench.pass(Duration::from_secs(31));
    web.fails("no_client_hello");
}

#[test]
fn both_sides_send_a_client_hello() {
    let mut web = call(DtlsOption::Active, false);
    web.connect(DtlsRole::Client);
    web.bench.pass(Duration::from_secs(2));
    web.fails("dtls_both_active");
}

#[test]
fn a_client_hello_that_nobody_answers() {
    let mut web = call(DtlsOption::Active, false);
    web.bench.pass(Duration::from_secs(4));
    web.fails("dtls_unanswered");
}

#[test]
fn no_ice_checks() {
    let mut web = call(DtlsOption::Passive, true);
    web.bench.pass(Duration::from_secs(2));
    web.fails("no_ice_checks");
}

#[test]
fn ice_checks_with_a_wrong_password() {
    let mut web = call(DtlsOption::Passive, true);
    let mut wrong = web.ours.clone().expect("ICE");
    wrong.pwd = "x".repeat(24);
    web.bench.deliver(web.a.relay, web.a.address, &check(&wrong, true, 1));
    web.fails("wrong_ice_password");
    // The right one mends it.
    web.nominate();
    web.connect(DtlsRole::Client);
    web.healthy();
}

#[test]
fn ice_checks_for_another_call() {
    let mut web = call(DtlsOption::Passive, true);
    let other = Credentials::new("ZZZZ", "z".repeat(24)).expect("credentials");
    web.bench.deliver(web.a.relay, web.a.address, &check(&other, true, 1));
    web.fails("wrong_ice_user");
}

#[test]
fn ice_checks_that_never_nominate() {
    let mut web = call(DtlsOption::Passive, true);
    let ours = web.ours.clone().expect("ICE");
    web.bench.deliver(web.a.relay, web.a.address, &check(&ours, false, 1));
    web.connect(DtlsRole::Client);
    talk(&mut web.bench, &mut web.a, &mut web.b, 2);
    assert_eq!(web.bench.cause("A", "B"), Some("not_nominated"), "{}", web.bench.text());
    assert_eq!(web.bench.cause("B", "A"), None, "{}", web.bench.text());
}

#[test]
fn consent_that_is_lost() {
    let mut web = call(DtlsOption::Passive, true);
    web.nominate();
    web.connect(DtlsRole::Client);
    web.healthy();
    for _ in 0..40 {
        web.b.send(&mut web.bench);
        web.bench.pass(Duration::from_secs(1));
    }
    web.fails("consent_lost");
}

#[test]
fn media_from_an_unexpected_address() {
    let mut bench = Bench::new();
    let strict = Options { flags: Flags { strict_source: true, ..Flags::default() }, ..Options::default() };
    let offer = PHONE.replace("198.51.100.2", "198.51.100.1");
    let (to_b, to_a, _) = bench.call(&offer, PHONE, &strict);
    let mut a = Phone::new("198.51.100.1:4000", &to_a, 0xa);
    let mut b = Phone::new("198.51.100.2:4000", &to_b, 0xb);
    talk(&mut bench, &mut a, &mut b, 1);
    assert_eq!((bench.cause("A", "B"), bench.cause("B", "A")), (None, None), "{}", bench.text());
    a.address = "203.0.113.9:999".parse().expect("address");
    talk(&mut bench, &mut a, &mut b, 6);
    assert_eq!(bench.cause("B", "A"), Some("unexpected_source"), "{}", bench.text());
    assert!(bench.text().contains("comes from 203.0.113.9:999, not from 198.51.100.1:4000"), "{}", bench.text());
    assert_eq!(bench.cause("A", "B"), None);
}

#[test]
fn a_phone_that_sends_nothing_and_one_that_stops() {
    let mut bench = Bench::new();
    let offer = PHONE.replace("198.51.100.2", "198.51.100.1");
    let (to_b, to_a, _) = bench.call(&offer, PHONE, &Options::default());
    let (mut a, mut b) = (Phone::new("198.51.100.1:4000", &to_a, 1), Phone::new("198.51.100.2:4000", &to_b, 2));
    (0..10).for_each(|_| drop(a.send(&mut bench)));
    assert_eq!(bench.cause("A", "B"), Some("nothing_received"), "{}", bench.text());
    assert_eq!(bench.cause("B", "A"), None, "{}", bench.text());
    talk(&mut bench, &mut a, &mut b, 1);
    assert_eq!(bench.cause("A", "B"), None);
    for _ in 0..10 {
        b.send(&mut bench);
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(bench.cause("B", "A"), Some("stopped"), "{}", bench.text());
}

#[test]
fn a_call_that_is_not_answered() {
    let mut bench = Bench::new();
    bench.offer(PHONE, &Options::default());
    let explanation = bench.explain();
    assert!(explanation.conclusions.iter().all(|conclusion| conclusion.text.contains("not yet")), "{explanation}");
}

#[test]
fn a_hold_in_one_direction() {
    let mut bench = Bench::new();
    let offer = PHONE.replace("198.51.100.2", "198.51.100.1");
    let (to_b, to_a, _) = bench.call(&offer, PHONE, &Options::default());
    let (mut a, mut b) = (Phone::new("198.51.100.1:4000", &to_a, 1), Phone::new("198.51.100.2:4000", &to_b, 2));
    talk(&mut bench, &mut a, &mut b, 1);
    assert_eq!((bench.cause("A", "B"), bench.cause("B", "A")), (None, None));
    bench.reoffer(&format!("{offer}\na=sendonly"), &Options::default());
    bench.answer(&format!("{PHONE}\na=recvonly"), &Options::default());
    talk(&mut bench, &mut a, &mut b, 1);
    assert_eq!(bench.cause("A", "B"), Some("sender_holds"), "{}", bench.text());
    assert_eq!(bench.cause("B", "A"), None, "{}", bench.text());
}

#[test]
fn a_payload_type_that_no_section_names() {
    let browser = Browser::new();
    let fingerprint = browser.identity.fingerprint(HashAlgorithm::Sha256);
    let offer = format!(
        "v=0
        o=- 1 1 IN IP4 198.51.100.1
        s=-
        c=IN IP4 198.51.100.1
        t=0 0
        a=group:BUNDLE 0 1
        a=ice-ufrag:abcd
        a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
        a=fingerprint:{fingerprint}
        a=setup:actpass
        m=audio 4000 UDP/TLS/RTP/SAVPF 0
        a=mid:0
        a=rtcp-mux
        m=video 4000 UDP/TLS/RTP/SAVPF 96
        a=mid:1
        a=rtcp-mux
        a=rtpmap:96 VP8/90000"
    );
    let phone = format!("{PHONE}\nm=video 4002 RTP/AVP 96\na=rtpmap:96 VP8/90000");
    let mut bench = Bench::new();
    let to_b = bench.offer(&offer, &to_phone(DtlsOption::Passive));
    let (to_a, sent) = bench.answer(&phone, &with_ice(DtlsOption::Passive));
    let ours = Credentials::new(attribute(&to_a, "ice-ufrag"), attribute(&to_a, "ice-pwd")).expect("credentials");
    let (a, b) = (Phone::new("198.51.100.1:4000", &to_a, 0xa), Phone::new("198.51.100.2:4000", &to_b, 0xb));
    let mut web = Web { bench, browser, a, b, ours: Some(ours), sent };
    web.nominate();
    web.connect(DtlsRole::Client);
    web.healthy();
    (web.a.payload_type, web.a.ssrc, web.a.next) = (55, 0xc, 1);
    let (at_a, at_b) = talk(&mut web.bench, &mut web.a, &mut web.b, 6);
    assert_eq!((at_a, at_b), (60, 0));
    assert_eq!(web.bench.cause("B", "A"), Some("no_flow"), "{}", web.bench.text());
    assert!(web.bench.text().contains("sends payload type 55"), "{}", web.bench.text());
    assert_eq!(web.bench.cause("A", "B"), None, "{}", web.bench.text());
}
