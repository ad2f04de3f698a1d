//! A real proxy as a trunk: Kamailio asks for credentials, and forks what we send to it.

use std::time::Duration;

use anyhow::{Context, ensure};
use sallyport_tests::folder::Folder;
use sallyport_tests::kamailio::{self, Kamailio, NO_CREDENTIALS, RIGHT, WRONG_PASSWORD};
use sallyport_tests::linphone::{Linphone, MediaEncryption};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;
use sallyport_tests::sipp::Sipp;
use sallyport_tests::until;

const PATIENCE: Duration = Duration::from_secs(15);
const CALLER_TONE: f64 = 440.0;
const CALLEE_TONE: f64 = 880.0;
/// Of a phone that has not been answered.
const EARLY_TONE: f64 = 600.0;
/// Ports of a call with two legs, RTP and RTCP of one section each.
const PORTS: f64 = 4.0;

/// A server whose user alice calls numbers through Kamailio, a trunk that speaks plain RTP.
struct World {
    server: Server,
    kamailio: Kamailio,
    alice: Linphone,
}

impl World {
    /// In a network of its own; Sallyport has this password for the trunk.
    fn new(password: &str) -> anyhow::Result<Self> {
        namespace::enter()?;
        let kamailio = Kamailio::start_trunk(ADDRESS)?;
        let folder = Folder::new("trunk")?;
        let lines = format!(
            "routes = [{{ user = \"*\", from = \"users\", to = \"trunk:carrier\" }}]\n\
             [[sip.trunks]]\nname = \"carrier\"\nuri = \"sip:{ADDRESS}:{}\"\nusername = {:?}\npassword_file = {:?}\n\
             keying = \"plain\"",
            kamailio::PORT,
            kamailio::ACCOUNT,
            folder.write("password", password)?,
        );
        let sip = format!("{ADDRESS}:5070");
        let flags = ["--media", ADDRESS, "--ports", "20000-20999", "--sip", &sip];
        let server = Server::start_for(&["alice"], "secret", &lines, &flags)?;
        let mut alice = Linphone::start("alice", ADDRESS, 5081, MediaEncryption::Sdes, false)?;
        alice.register("alice", server.sip()?, "secret")?;
        Ok(Self { server, kamailio, alice })
    }

    fn call(&mut self, number: &str) -> anyhow::Result<()> {
        self.alice.command(&format!("call sip:{number}@{}", self.server.sip()?))
    }

    /// Waits until neither a call nor a port is left.
    fn wait_until_nothing_is_left(&self) -> anyhow::Result<()> {
        for metric in ["sallyport_sip_calls", "sallyport_calls", "sallyport_ports_in_use"] {
            until(metric, PATIENCE, || Ok(self.server.metric(metric, "")? == 0.0))?;
        }
        Ok(())
    }

    /// Both speak, and each hears the other.
    fn both_hear(&mut self, callee: &mut Linphone) -> anyhow::Result<()> {
        self.alice.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        callee.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        self.alice.play(CALLER_TONE)?;
        callee.play(CALLEE_TONE)?;
        let heard = self.alice.wait_for_tone(CALLEE_TONE, PATIENCE);
        let heard = heard.and_then(|()| callee.wait_for_tone(CALLER_TONE, PATIENCE));
        heard.with_context(|| self.explanation().unwrap_or_else(|error| error.to_string()))
    }

    /// What the server knows of the only call.
    fn explanation(&self) -> anyhow::Result<String> {
        let calls: serde_json::Value = serde_json::from_str(&self.server.page("/calls")?)?;
        let id = calls["calls"][0]["id"].as_str().context("no call")?;
        self.server.page(&format!("/calls/{id}"))
    }
}

/// A phone behind the trunk: user `number`.
fn phone(number: u16, answers: bool) -> anyhow::Result<Linphone> {
    Linphone::start(&number.to_string(), ADDRESS, 5080 + number, MediaEncryption::None, answers)
}

#[test]
fn a_trunk_that_asks_for_credentials_gets_them_and_its_phone_is_heard() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let mut world = World::new(kamailio::PASSWORD)?;
        let mut callee = phone(2, true)?;
        world.call("2")?;
        world.both_hear(&mut callee)?;
        ensure!(world.kamailio.credentials() == [NO_CREDENTIALS, RIGHT], "{:?}", world.kamailio.credentials());
        // The trunk's phone hangs up: a request from there, inside of the call.
        callee.command("terminate")?;
        world.alice.wait_for("LinphoneCallEnd", PATIENCE)?;
        world.wait_until_nothing_is_left()?;
        // The next call is challenged anew, and answered anew.
        world.call("2")?;
        world.both_hear(&mut callee)?;
        let credentials = world.kamailio.credentials();
        ensure!(credentials == [NO_CREDENTIALS, RIGHT, NO_CREDENTIALS, RIGHT], "{credentials:?}");
        world.alice.command("terminate")?;
        callee.wait_for("LinphoneCallEnd", PATIENCE)?;
        world.wait_until_nothing_is_left()?;
        ensure!(world.server.stop()?.success());
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn credentials_that_a_trunk_has_rejected_are_not_tried_again_and_the_caller_gets_403() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let mut world = World::new("wrong")?;
        let callee = phone(2, true)?;
        world.call("2")?;
        // Not 407: the challenge is none of the caller's.
        world.alice.wait_for("SIP/2.0 403 Forbidden", PATIENCE)?;
        ensure!(world.server.metric("sallyport_sip_failures_total", "403")? == 1.0);
        world.wait_until_nothing_is_left()?;
        ensure!(world.server.stop()?.success());
        let credentials = world.kamailio.credentials();
        ensure!(credentials == [NO_CREDENTIALS, WRONG_PASSWORD], "{credentials:?}");
        ensure!(callee.wait_for("LinphoneCallIncomingReceived", Duration::ZERO).is_err(), "nobody was called");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// The trunk rings two phones: one is answered, and the other one, with early media, does what its scenario says.
fn one_of_two_is_answered(other: &'static str) -> anyhow::Result<()> {
    let mut world = World::new(kamailio::PASSWORD)?;
    let mut winner = phone(2, false)?;
    let other = Sipp::start(other, ADDRESS, 5083, EARLY_TONE)?;
    world.call("9")?;
    world.alice.wait_for("LinphoneCallOutgoingEarlyMedia", PATIENCE)?;
    winner.wait_for("LinphoneCallIncomingReceived", PATIENCE)?;
    let early = world.alice.wait_for_tone_of_g711(EARLY_TONE, PATIENCE);
    early.with_context(|| world.explanation().unwrap_or_else(|error| error.to_string()))?;
    winner.command("answer")?;
    // It has got all that its scenario waits for.
    other.wait(PATIENCE)?;
    world.both_hear(&mut winner)?;
    let calls: serde_json::Value = serde_json::from_str(&world.server.page("/calls")?)?;
    ensure!(calls["total"] == 1 && calls["calls"][0]["legs"] == 2, "{calls}");
    ensure!(world.server.metric("sallyport_ports_in_use", "")? == PORTS);
    ensure!(world.server.metric("sallyport_sip_calls_answered_total", "")? == 1.0);
    world.alice.command("terminate")?;
    winner.wait_for("LinphoneCallEnd", PATIENCE)?;
    world.wait_until_nothing_is_left()?;
    ensure!(world.server.stop()?.success());
    Ok(())
}

#[test]
fn of_two_phones_that_a_trunk_rings_the_one_that_answers_is_heard_and_nothing_is_left_of_the_other() {
    if namespace::is_permitted() {
        one_of_two_is_answered("rings").unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn a_second_phone_whose_answer_crosses_its_cancel_is_hung_up() {
    if namespace::is_permitted() {
        one_of_two_is_answered("answers_too_late").unwrap_or_else(|error| panic!("{error:#}"));
    }
}
