//! A leg whose far end is another relay: phone, rtpengine, Sallyport, phone. Between the relays run the keyings that
//! rtpengine speaks, in both directions.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use sallyport_tests::call::{PHONE_TONE, WEB_TONE, keys, towards_phone};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::phone::Phone;
use sallyport_tests::rtpengine::Rtpengine;
use sallyport_tests::server::Server;
use sallyport_tests::tally::Tally;
use sallyport_tests::tone::share_of;
use sallyport_tests::until;
use serde_json::{Value, json};

/// What the relays speak with each other.
struct Trunk {
    name: &'static str,
    /// What each is asked to describe towards the other.
    options: fn() -> Value,
    /// What the description between them shows.
    shows: &'static [&'static str],
}

const TRUNKS: [Trunk; 5] = [
    Trunk {
        name: "sdes",
        options: || json!({"transport-protocol": "RTP/SAVP", "ICE": "remove", "DTLS": "off"}),
        shows: &["RTP/SAVP ", "a=crypto:"],
    },
    Trunk {
        name: "sdes-ice",
        options: || json!({"transport-protocol": "RTP/SAVPF", "ICE": "force", "DTLS": "off"}),
        shows: &["RTP/SAVPF ", "a=crypto:", "a=candidate:"],
    },
    Trunk {
        name: "dtls",
        options: || json!({"transport-protocol": "UDP/TLS/RTP/SAVP", "ICE": "remove", "SDES": ["off"]}),
        shows: &["UDP/TLS/RTP/SAVP ", "a=fingerprint:"],
    },
    Trunk {
        name: "dtls-ice-mux",
        options: || {
            json!({"transport-protocol": "UDP/TLS/RTP/SAVPF", "ICE": "force", "SDES": ["off"],
                   "rtcp-mux": ["offer", "accept"], "flags": ["generate-mid"]})
        },
        shows: &["UDP/TLS/RTP/SAVPF ", "a=fingerprint:", "a=candidate:", "a=rtcp-mux"],
    },
    Trunk {
        name: "plain",
        options: || json!({"transport-protocol": "RTP/AVP", "ICE": "remove", "DTLS": "off", "SDES": ["off"]}),
        shows: &["RTP/AVP "],
    },
];

const CALLER_SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const CALLEE_SUITE: &str = "AEAD_AES_256_GCM";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Order {
    RtpengineOffers,
    SallyportOffers,
}

fn talk_through_both(trunk: &Trunk, order: Order) -> anyhow::Result<()> {
    namespace::enter()?;
    let server = Server::start(&["--media", ADDRESS])?;
    let rtpengine = Rtpengine::start(ADDRESS)?;
    // rtpengine 10 speaks no GCM-256; the phone on its side has the suite that everybody has.
    let (mut near, mut far) = match order {
        Order::RtpengineOffers => (rtpengine.ng_client()?, server.ng_client()?),
        Order::SallyportOffers => (server.ng_client()?, rtpengine.ng_client()?),
    };
    let (caller_suite, callee_suite) = match order {
        Order::RtpengineOffers => (CALLER_SUITE, CALLEE_SUITE),
        Order::SallyportOffers => (CALLEE_SUITE, CALLER_SUITE),
    };
    let caller = Phone::new(ADDRESS, caller_suite)?;
    let callee = Phone::new(ADDRESS, callee_suite)?;
    let call = trunk.name;
    let between = near.describe("offer", keys((trunk.options)(), call, ("caller", None), &caller.offer()?))?;
    for text in trunk.shows {
        anyhow::ensure!(between.contains(text), "no {text:?} in:\n{between}");
    }
    let at_callee = far.describe("offer", keys(towards_phone(), call, ("caller", None), &between))?;
    if order == Order::SallyportOffers && trunk.shows.contains(&"a=candidate:") {
        // It checks as soon as it is offered, and nominates a tenth of a second after everything has succeeded. An answer
        // that comes in the middle of that keeps it from nominating for good. People take longer.
        let ports = if trunk.shows.contains(&"a=rtcp-mux") { 1 } else { 2 };
        until("rtpengine has nominated", Duration::from_secs(10), || {
            Ok(server.page(&format!("/calls/{call}"))?.matches("\"nominated, ").count() == ports)
        })?;
    }
    let answer = callee.answer(&at_callee).with_context(|| format!("the offer was:\n{at_callee}"))?;
    let between_back = far
        .describe("answer", keys((trunk.options)(), call, ("caller", Some("callee")), &answer))
        .with_context(|| format!("the answer was:\n{answer}"))?;
    let at_caller = near
        .describe("answer", keys(towards_phone(), call, ("caller", Some("callee")), &between_back))
        .with_context(|| format!("the answer was:\n{between_back}"))?;

    let (to_callee, to_caller) = (Tally::default(), Tally::default());
    let caller = caller.start(&at_caller, PHONE_TONE, to_callee.clone(), to_caller.clone())?;
    let callee = callee.start(&at_callee, WEB_TONE, to_caller.clone(), to_callee.clone())?;
    caller.start_sending();
    callee.start_sending();
    // Until both have heard a second and a half; packets from before the handshake's end may be lost.
    let deadline = Instant::now() + Duration::from_secs(10);
    let enough = |tally: &Tally| tally.heard().len() >= 12_000;
    while !(enough(&to_callee) && enough(&to_caller)) {
        anyhow::ensure!(
            Instant::now() < deadline,
            "to callee {:?}, to caller {:?}; dropped {}; {}",
            to_callee.progress(),
            to_caller.progress(),
            server.dropped()?,
            server.page(&format!("/calls/{call}"))?
        );
        sleep(Duration::from_millis(20));
    }
    caller.stop_sending();
    callee.stop_sending();
    let tail = |tally: &Tally| {
        let heard = tally.heard();
        heard[heard.len() - 8000..].to_vec()
    };
    anyhow::ensure!(share_of(&tail(&to_callee), PHONE_TONE) > 0.8, "the callee hears the caller");
    anyhow::ensure!(share_of(&tail(&to_caller), WEB_TONE) > 0.8, "the caller hears the callee");
    let rejected = (caller.end()?, callee.end()?);
    anyhow::ensure!(rejected == (0, 0), "what reached the phones was authentic: {rejected:?}");
    for summary in [to_callee.summary(), to_caller.summary()] {
        anyhow::ensure!(summary.altered == 0 && summary.duplicated == 0, "{summary:?}");
    }
    near.command("delete", json!({"call-id": call, "from-tag": "caller"}))?;
    far.command("delete", json!({"call-id": call, "from-tag": "caller"}))?;
    anyhow::ensure!(server.stop()?.success());
    Ok(())
}

fn talk_in_all_keyings(order: Order) {
    if !namespace::is_permitted() {
        return;
    }
    for trunk in &TRUNKS {
        // A thread of its own, since a thread enters a namespace once.
        let outcome = std::thread::scope(|scope| scope.spawn(|| talk_through_both(trunk, order)).join());
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
        outcome.unwrap_or_else(|error| panic!("{} {order:?}: {error:#}", trunk.name));
    }
}

#[test]
fn rtpengine_offers_and_both_ends_hear_each_other_in_every_keying() {
    talk_in_all_keyings(Order::RtpengineOffers);
}

#[test]
fn sallyport_offers_and_both_ends_hear_each_other_in_every_keying() {
    talk_in_all_keyings(Order::SallyportOffers);
}
