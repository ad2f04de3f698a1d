//! Real phones call each other through a real SBC that has Sallyport in rtpengine's place.

use std::thread::sleep;
use std::time::{Duration, Instant};

use sallyport_tests::kamailio::{self, Kamailio};
use sallyport_tests::linphone::{Linphone, MediaEncryption};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;

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
    let deadline = Instant::now() + PATIENCE;
    while live_calls(server)? > 0 {
        anyhow::ensure!(Instant::now() < deadline, "the call stays after its BYE: {}", server.page("/calls")?);
        sleep(Duration::from_millis(50));
    }
    Ok(())
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
