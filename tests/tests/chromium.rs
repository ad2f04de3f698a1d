//! A real browser on one side, a phone that is not our code on the other, tones checked at both ends.

use anyhow::Context;
use sallyport_tests::call::{PHONE_TONE, keys, towards_phone, towards_web};
use sallyport_tests::chromium::Chromium;
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::phone::{Phone, PhoneCall};
use sallyport_tests::server::Server;
use sallyport_tests::tally::Tally;
use sallyport_tests::tone::{is_heard, share_of};
use serde_json::Value;

/// What the page says, in Hz.
const PAGE_TONE: u32 = 1000;

/// A browser and a phone in a call, in a network of their own.
struct Scenario {
    server: Server,
    browser: Chromium,
    phone: PhoneCall,
    heard: Tally,
}

impl Scenario {
    fn browser_calls(suite: &str, edit: impl FnOnce(String) -> String) -> anyhow::Result<Self> {
        namespace::enter()?;
        let server = Server::start(&["--media", ADDRESS])?;
        let mut ng = server.ng_client()?;
        let mut browser = Chromium::start(PAGE_TONE)?;
        let phone = Phone::new(ADDRESS, suite)?;
        let offer = edit(browser.offer()?);
        let towards = ng.describe("offer", keys(towards_phone(), "browser", ("page", None), &offer))?;
        let answer = phone.answer(&towards).with_context(|| format!("the offer was:\n{towards}"))?;
        let answer = ng.describe("answer", keys(towards_web(), "browser", ("page", Some("phone")), &answer))?;
        browser.accept(&answer).with_context(|| format!("the answer was:\n{answer}"))?;
        Self::connect(server, browser, phone, &towards)
    }

    fn phone_calls(suite: &str) -> anyhow::Result<Self> {
        namespace::enter()?;
        let server = Server::start(&["--media", ADDRESS])?;
        let mut ng = server.ng_client()?;
        let mut browser = Chromium::start(PAGE_TONE)?;
        let phone = Phone::new(ADDRESS, suite)?;
        let offer = ng.describe("offer", keys(towards_web(), "phone", ("phone", None), &phone.offer()?))?;
        let answer = browser.answer(&offer).with_context(|| format!("the offer was:\n{offer}"))?;
        let towards = ng.describe("answer", keys(towards_phone(), "phone", ("phone", Some("page")), &answer))?;
        Self::connect(server, browser, phone, &towards)
    }

    fn connect(server: Server, mut browser: Chromium, phone: Phone, towards_phone: &str) -> anyhow::Result<Self> {
        let (sent, heard) = (Tally::default(), Tally::hearing_strangers());
        let phone = phone.start(towards_phone, PHONE_TONE, sent, heard.clone())?;
        browser.wait_until_connected()?;
        phone.start_sending();
        Ok(Self { server, browser, phone, heard })
    }

    /// Both sides listen for three seconds; each must hear the other's tone. Returns the browser's statistics.
    fn listen(&mut self) -> Value {
        let before = self.heard.heard().len();
        let stats = self.browser.listen(3).unwrap();
        assert!(is_heard(&stats, PHONE_TONE), "the browser hears the phone nearly all the time: {stats}");
        assert_eq!(stats["packetsLost"], 0, "{stats}");
        // The first half second may still hold what was on the way before.
        let heard = &self.heard.heard()[before..];
        let dropped = self.server.dropped().unwrap();
        assert!(heard.len() > 16_000, "the phone hears two seconds at least, not {} bytes: {dropped}", heard.len());
        let share = share_of(&heard[heard.len() - 8000..], f64::from(PAGE_TONE));
        assert!(share > 0.8, "the phone hears the page's tone, not {share}");
        stats
    }

    fn end(self) {
        assert_eq!(self.phone.end().unwrap(), 0, "nothing reached the phone that was not authentic");
        drop(self.browser);
        assert!(self.server.stop().unwrap().success());
    }
}

#[test]
fn chromium_calls_a_phone_that_speaks_counter_mode() {
    if !namespace::is_permitted() {
        return;
    }
    let mut call = Scenario::browser_calls("AES_CM_128_HMAC_SHA1_80", |offer| offer).unwrap();
    let stats = call.listen();
    assert_eq!(stats["dtlsState"], "connected");
    assert_eq!(stats["tlsVersion"], "FEFC", "DTLS 1.3 (RFC 9147 §5.3): {stats}");
    call.end();
}

#[test]
fn a_phone_that_speaks_gcm_calls_chromium() {
    if !namespace::is_permitted() {
        return;
    }
    let mut call = Scenario::phone_calls("AEAD_AES_128_GCM").unwrap();
    let stats = call.listen();
    assert_eq!(stats["dtlsState"], "connected");
    call.end();
}

#[test]
fn a_browser_that_hides_its_addresses_hears_and_is_heard() {
    if !namespace::is_permitted() {
        return;
    }
    // What a browser sends from a page without permissions: names in place of addresses. (Its own way to make them
    // needs a multicast network.)
    let hide = |offer: String| {
        let name = "5ab6aa5f-0a1f-4b7e-9b39-6f9c8e1a6f0d.local";
        let lines = offer.lines().map(|line| match line.starts_with("a=candidate:") {
            true => line.replace(ADDRESS, name),
            false => line.replace(ADDRESS, "0.0.0.0"),
        });
        lines.map(|line| line + "\r\n").collect()
    };
    let mut call = Scenario::browser_calls("AEAD_AES_256_GCM", hide).unwrap();
    call.listen();
    call.end();
}

#[test]
fn an_ice_restart_keeps_the_keys_and_the_audio() {
    if !namespace::is_permitted() {
        return;
    }
    let mut call = Scenario::browser_calls("AES_CM_128_HMAC_SHA1_80", |offer| offer).unwrap();
    call.listen();
    let handshakes = call.server.metric("sallyport_dtls_handshakes_total", "result=\"completed\"").unwrap();
    assert_eq!(handshakes, 1.0);
    let mut ng = call.server.ng_client().unwrap();
    let offer = call.browser.offer_ice_restart().unwrap();
    let towards = ng.describe("offer", keys(towards_phone(), "browser", ("page", Some("phone")), &offer)).unwrap();
    // The phone's side is as before; so it answers as before, and hears on.
    let crypto = towards.lines().find(|line| line.starts_with("a=crypto")).unwrap().to_owned();
    let port = towards.lines().find(|line| line.starts_with("m=")).unwrap().to_owned();
    let answer = call.phone.answer_again(&towards).unwrap();
    let answer = ng.describe("answer", keys(towards_web(), "browser", ("page", Some("phone")), &answer)).unwrap();
    call.browser.accept(&answer).unwrap();
    call.browser.wait_until_connected().unwrap();
    call.listen();
    let handshakes = call.server.metric("sallyport_dtls_handshakes_total", "result=\"completed\"").unwrap();
    assert_eq!(handshakes, 1.0, "an ICE restart alone is no new association (RFC 8842): {crypto} {port}");
    call.end();
}
