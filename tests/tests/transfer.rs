//! Real phones hand calls over.

use std::time::Duration;

use anyhow::{Context, ensure};
use sallyport_tests::linphone::{Linphone, MediaEncryption, Registration};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;
use sallyport_tests::until;

const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "open-sesame";
const BOBS_TONE: f64 = 440.0;
const CAROLS_TONE: f64 = 880.0;

/// Alice asks Carol before she hands Bob over to her: linphone refers by Replaces.
#[test]
fn a_linphone_with_two_calls_hands_one_over_to_the_other() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        namespace::enter()?;
        let sip = format!("{ADDRESS}:5060");
        let server = Server::start_for(
            &["alice", "bob", "carol"],
            PASSWORD,
            "refer = \"blind\"",
            &["--media", ADDRESS, "--sip", &sip],
        )?;
        let phone = |user: &str, port: u16, answers: bool| {
            let account = Registration { user, password: PASSWORD, realm: "sallyport", registrar: &sip };
            Linphone::start_registered(&account, ADDRESS, port, MediaEncryption::Sdes, answers)
        };
        let (mut alice, mut bob, mut carol) =
            (phone("alice", 5081, false)?, phone("bob", 5082, true)?, phone("carol", 5083, true)?);
        alice.command(&format!("call sip:bob@{sip}"))?;
        alice.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        alice.command("pause")?;
        alice.wait_for("to LinphoneCallPaused", PATIENCE)?;
        alice.command(&format!("call sip:carol@{sip}"))?;
        alice.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        ensure!(server.metric("sallyport_sip_calls", "")? == 2.0);
        alice.command("transfer 1 --to-call 2")?;
        until("one call is left", PATIENCE, || Ok(server.metric("sallyport_sip_calls", "")? == 1.0))?;
        bob.play(BOBS_TONE)?;
        carol.play(CAROLS_TONE)?;
        bob.wait_for_tone(CAROLS_TONE, PATIENCE).context("Bob hears Carol")?;
        carol.wait_for_tone(BOBS_TONE, PATIENCE).context("Carol hears Bob")?;
        bob.command("terminate")?;
        until("no call is left", PATIENCE, || Ok(server.metric("sallyport_sip_calls", "")? == 0.0))?;
        until("no port is left", PATIENCE, || Ok(server.metric("sallyport_ports_in_use", "")? == 0.0))?;
        ensure!(server.stop()?.success());
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
