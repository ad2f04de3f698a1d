//! Real phones call each other through a real SBC that has Sallyport in rtpengine's place.

use std::time::Duration;

use anyhow::Context;
use sallyport_tests::kamailio::{self, Kamailio};
use sallyport_tests::linphone::{Linphone, MediaEncryption};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;
use sallyport_tests::until;

const CALLER_TONE: f64 = 440.0;
const CALLEE_TONE: f64 = 880.0;
const PATIENCE: Duration = Duration::from_secs(15);

fn user(number: u16, encryption: MediaEncryption, answers: bool) -> anyhow::Result<Linphone> {
    Linphone::start(&number.to_string(), ADDRESS, 5080 + number, encryption, answers)
}

fn call(phone: &mut Linphone, number: &str) -> anyhow::Result<()> {
    phone.command(&format!("call sip:{number}@{ADDRESS}:{}", kamailio::PORT))
}

/// Calls that have not been deleted. (Deleted ones keep their ports for a while.)
fn live_calls(server: &Server) -> anyhow::Result<usize> {
    let page: serde_json::Value = serde_json::from_str(&server.page("/calls")?)?;
    let calls = page["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(calls.iter().filter(|call| call["state"] != "ending").count())
}

/// Both speak, and each hears the other.
fn both_hear(caller: &mut Linphone, callee: &mut Linphone) -> anyhow::Result<()> {
    for phone in [&*caller, &*callee] {
        phone.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
    }
    caller.play(CALLER_TONE)?;
    callee.play(CALLEE_TONE)?;
    caller.wait_for_tone(CALLEE_TONE, PATIENCE)?;
    callee.wait_for_tone(CALLER_TONE, PATIENCE)
}

fn hang_up(server: &Server, caller: &mut Linphone) -> anyhow::Result<()> {
    anyhow::ensure!(live_calls(server)? == 1);
    caller.command("terminate")?;
    until("the call ends with its BYE", PATIENCE, || Ok(live_calls(server)? == 0))
}

#[test]
fn an_sdes_phone_and_a_dtls_phone_hear_each_other_before_and_after_a_hold() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let server = Server::start(&["--media", ADDRESS])?;
        let _kamailio = Kamailio::start(ADDRESS, server.ng)?;
        let mut caller = user(1, MediaEncryption::Sdes, false)?;
        let mut callee = user(2, MediaEncryption::Dtls, true)?;
        call(&mut caller, "2")?;
        both_hear(&mut caller, &mut callee)?;
        anyhow::ensure!(server.metric("sallyport_dtls_handshakes_total", "completed")? >= 1.0, "by DTLS");
        // A hold and its end are re-INVITEs.
        caller.command("pause")?;
        callee.wait_for("LinphoneCallPausedByRemote", PATIENCE)?;
        caller.wait_for("to LinphoneCallPaused", PATIENCE)?;
        caller.command("resume")?;
        both_hear(&mut caller, &mut callee)?;
        hang_up(&server, &mut caller)?;
        anyhow::ensure!(
            server.metric("sallyport_ng_commands_total", "command=\"offer\",result=\"ok\"")? >= 3.0,
            "offers of re-INVITEs"
        );
        anyhow::ensure!(server.stop()?.success());
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// The one call has streams in both directions whose quality is known: they last for five seconds.
fn wait_for_two_qualities(server: &Server) -> anyhow::Result<()> {
    let page: serde_json::Value = serde_json::from_str(&server.page("/calls")?)?;
    let call_id = page["calls"][0]["id"].as_str().context("no call")?.to_owned();
    let mut ng = server.ng_client()?;
    until("both streams have a quality", PATIENCE, || {
        let reply = ng.command("query", serde_json::json!({"call-id": call_id}))?;
        let streams = reply["SSRC"].as_object().context("no SSRC")?;
        Ok(streams.values().filter(|stream| stream["average MOS"].is_object()).count() >= 2)
    })
}

#[test]
fn kamailio_knows_the_quality_of_a_call_from_the_reply_to_its_delete() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let server = Server::start(&["--media", ADDRESS])?;
        let kamailio = Kamailio::start(ADDRESS, server.ng)?;
        let mut caller = user(1, MediaEncryption::Sdes, false)?;
        let mut callee = user(2, MediaEncryption::Dtls, true)?;
        call(&mut caller, "2")?;
        both_hear(&mut caller, &mut callee)?;
        wait_for_two_qualities(&server)?;
        hang_up(&server, &mut caller)?;
        until("Kamailio has said what it knows", PATIENCE, || Ok(!kamailio.qualities().is_empty()))?;
        let qualities = kamailio.qualities();
        let [quality] = &qualities[..] else { anyhow::bail!("one call: {qualities:?}") };
        let value = |name: &str| {
            let found = quality.split(' ').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            found.and_then(|value| value.parse::<f64>().ok()).with_context(|| format!("{name} in {quality}"))
        };
        // Speech over a network without loss: the short E-model gives about 4.4, and the scale ends at 5.
        for name in ["min", "average", "max", "A", "B"] {
            anyhow::ensure!((3.5..=5.0).contains(&value(name)?), "{name} in {quality}");
        }
        anyhow::ensure!(value("min")? <= value("average")? && value("average")? <= value("max")?, "{quality}");
        anyhow::ensure!(value("loss")? == 0.0 && value("samples")? >= 1.0, "{quality}");
        anyhow::ensure!(value("jitter")? < 100.0 && value("roundtrip")? < 1_000_000.0, "{quality}");
        anyhow::ensure!(quality.contains("min_at=0:0"), "in the call's first seconds: {quality}");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn of_two_forks_the_one_that_answers_is_heard_and_the_other_leaves_nothing_behind() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let server = Server::start(&["--media", ADDRESS])?;
        let _kamailio = Kamailio::start(ADDRESS, server.ng)?;
        let mut caller = user(1, MediaEncryption::Sdes, false)?;
        let mut answers = user(2, MediaEncryption::Dtls, true)?;
        let rings = user(3, MediaEncryption::Sdes, false)?;
        call(&mut caller, "9")?;
        both_hear(&mut caller, &mut answers)?;
        rings.wait_for("LinphoneCallEnd", PATIENCE)?;
        hang_up(&server, &mut caller)?;
        anyhow::ensure!(server.stop()?.success());
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
