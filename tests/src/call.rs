//! One call through a server: who describes what to whom, and what each hears.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::ng::NgClient;
use crate::phone::{Phone, PhoneCall};
use crate::server::Server;
use crate::tally::{Summary, Tally};
use crate::web::{WebCall, WebEndpoint};

/// Frequency in Hz of what the WebRTC endpoint says.
pub const WEB_TONE: f64 = 440.0;
/// Frequency in Hz of what the phone says.
pub const PHONE_TONE: f64 = 880.0;

/// What an SBC asks for when the other side is a phone with SDES.
pub fn towards_phone() -> Value {
    json!({"transport-protocol": "RTP/SAVP", "ICE": "remove", "DTLS": "off", "rtcp-mux": ["demux"],
           "flags": ["trust-address"], "replace": ["origin"]})
}

/// What an SBC asks for when the other side is a browser.
pub fn towards_web() -> Value {
    json!({"transport-protocol": "UDP/TLS/RTP/SAVPF", "ICE": "force", "SDES": ["off"], "rtcp-mux": ["offer"],
           "flags": ["trust-address", "generate-mid"], "replace": ["origin"]})
}

/// Adds a call's names and an SDP to the options of an offer or answer.
pub fn keys(mut options: Value, call_id: &str, tags: (&str, Option<&str>), sdp: &str) -> Value {
    options["call-id"] = json!(call_id);
    options["from-tag"] = json!(tags.0);
    if let Some(to_tag) = tags.1 {
        options["to-tag"] = json!(to_tag);
    }
    options["sdp"] = json!(sdp);
    options
}

/// A WebRTC endpoint and a phone in a call.
pub struct WebToPhone {
    /// The call's name.
    pub call_id: String,
    /// Who offered what and got to read what.
    pub exchange: Exchange,
    web: WebCall,
    phone: PhoneCall,
    /// What the WebRTC endpoint sent and the phone heard.
    pub to_phone: Tally,
    /// What the phone sent and the WebRTC endpoint heard.
    pub to_web: Tally,
}

/// An offer and its answer, as each party wrote them and as the other one read them.
#[derive(Clone, Default)]
pub struct Exchange {
    /// Written by the party that offered.
    pub offer: String,
    /// Read by the party that answered.
    pub offer_read: String,
    /// Written by the party that answered.
    pub answer: String,
    /// Read by the party that offered.
    pub answer_read: String,
}

impl WebToPhone {
    /// The WebRTC endpoint calls the phone, which speaks one suite.
    pub fn place(ng: &mut NgClient, call_id: &str, suite: &str) -> anyhow::Result<Self> {
        Self::place_with(ng, call_id, suite, towards_phone(), str::to_owned)
    }

    /// The same with these options of the offer, and a phone that describes itself in other words.
    pub fn place_with(
        ng: &mut NgClient,
        call_id: &str,
        suite: &str,
        options: Value,
        words: impl Fn(&str) -> String,
    ) -> anyhow::Result<Self> {
        let mut web = WebEndpoint::new("127.0.0.1")?;
        let phone = Phone::new("127.0.0.1", suite)?;
        let (offer, pending) = web.offer()?;
        let offer_read = ng.describe("offer", keys(options, call_id, ("web", None), &offer))?;
        let answer = words(&phone.answer(&offer_read).context("the phone does not understand the offer")?);
        let answer_read = ng.describe("answer", keys(towards_web(), call_id, ("web", Some("phone")), &answer))?;
        web.accept(&answer_read, pending)?;
        let for_phone = offer_read.clone();
        Self::start(call_id, web, phone, &for_phone, Exchange { offer, offer_read, answer, answer_read })
    }

    /// The phone calls the WebRTC endpoint.
    pub fn place_from_phone(ng: &mut NgClient, call_id: &str, suite: &str) -> anyhow::Result<Self> {
        Self::place_from_phone_with(ng, call_id, suite, towards_web(), str::to_owned)
    }

    /// The same with these options of the offer, and a phone that describes itself in other words.
    pub fn place_from_phone_with(
        ng: &mut NgClient,
        call_id: &str,
        suite: &str,
        options: Value,
        words: impl Fn(&str) -> String,
    ) -> anyhow::Result<Self> {
        let mut web = WebEndpoint::new("127.0.0.1")?;
        let phone = Phone::new("127.0.0.1", suite)?;
        let offer = words(&phone.offer()?);
        let offer_read = ng.describe("offer", keys(options, call_id, ("phone", None), &offer))?;
        let answer = web.answer(&offer_read)?;
        let answer_read = ng.describe("answer", keys(towards_phone(), call_id, ("phone", Some("web")), &answer))?;
        let for_phone = answer_read.clone();
        Self::start(call_id, web, phone, &for_phone, Exchange { offer, offer_read, answer, answer_read })
    }

    fn start(
        call_id: &str,
        web: WebEndpoint,
        phone: Phone,
        for_phone: &str,
        exchange: Exchange,
    ) -> anyhow::Result<Self> {
        let (to_phone, to_web) = (Tally::default(), Tally::default());
        let phone = phone.start(for_phone, PHONE_TONE, to_web.clone(), to_phone.clone())?;
        let web = web.start(WEB_TONE, to_phone.clone(), to_web.clone())?;
        Ok(Self { call_id: call_id.to_owned(), exchange, web, phone, to_phone, to_web })
    }

    /// Waits until both ends of the handshake are done. The client of DTLS 1.3 is a flight before its server, and what
    /// reaches a leg without keys is lost.
    pub fn wait_until_verified(&self, server: &Server) -> anyhow::Result<()> {
        self.web.wait_until_connected(Duration::from_secs(10))?;
        server.wait_until_verified(&self.call_id, Duration::from_secs(10))
    }

    /// Waits for the connection; then both speak.
    pub fn connect_and_speak(&self) -> anyhow::Result<()> {
        self.web.wait_until_connected(Duration::from_secs(10))?;
        self.web.start_sending();
        self.phone.start_sending();
        Ok(())
    }

    /// Both fall silent; returns once all that was sent has arrived, or after a second.
    pub fn fall_silent(&self) {
        self.web.stop_sending();
        self.phone.stop_sending();
        let deadline = Instant::now() + Duration::from_secs(1);
        // Sending threads may be in the middle of one more packet: both directions must stay complete for 60 ms.
        let mut complete_since = None;
        while Instant::now() < deadline {
            let is_complete = [&self.to_phone, &self.to_web].iter().all(|tally| {
                let (sent, arrived) = tally.progress();
                sent == arrived
            });
            match (is_complete, complete_since) {
                (false, _) => complete_since = None,
                (true, None) => complete_since = Some(Instant::now()),
                (true, Some(since)) if since.elapsed() > Duration::from_millis(60) => return,
                (true, Some(_)) => {}
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Hangs up. Returns how it went to the phone and to the WebRTC endpoint, and how many packets reached the phone that
    /// were not authentic.
    pub fn end(self) -> anyhow::Result<(Summary, Summary, u64)> {
        self.web.end()?;
        let rejected = self.phone.end()?;
        Ok((self.to_phone.summary(), self.to_web.summary(), rejected))
    }
}
