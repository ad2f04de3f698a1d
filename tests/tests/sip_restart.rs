//! Calls of the server's own SIP while its signalling half is killed and begins again: real phones hear each other all the time,
//! put each other on hold afterwards, and hang up.

use std::time::Duration;

use anyhow::ensure;
use sallyport_tests::halves::{Meeting, Pump, until_ready};
use sallyport_tests::linphone::{Linphone, MediaEncryption};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;
use sallyport_tests::until;
use sallyport_tests::web_phone::WebPhone;

const PATIENCE: Duration = Duration::from_secs(20);
const CALLER_TONE: f64 = 440.0;
const CALLEE_TONE: f64 = 880.0;
const PAGE_TONE: f64 = 1000.0;

/// Both halves, with users.
struct Scene {
    meeting: Meeting,
    pump: Pump,
    signal: Option<Server>,
}

impl Scene {
    fn new(ports: &str) -> anyhow::Result<Self> {
        namespace::enter()?;
        let meeting = Meeting::at(ADDRESS, ports)?;
        let users = meeting.users(&["alice", "bob", "demo"], "secret")?;
        meeting
            .file(&format!("[sip]\nusers = {users:?}\nlisten = [\"udp:{ADDRESS}:5060\", \"ws:127.0.0.1:8080\"]\n"))?;
        let pump = meeting.start_pump()?;
        let mut scene = Self { meeting, pump, signal: None };
        scene.start()?;
        Ok(scene)
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let file = self.meeting.control().with_file_name("sallyport.toml");
        let signal = self.meeting.start_configured_signal(&file)?;
        until_ready(&signal)?;
        self.signal = Some(signal);
        Ok(())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.signal.take().map_or(Ok(()), Server::kill)
    }

    fn signal(&self) -> &Server {
        self.signal.as_ref().expect("it runs")
    }

    fn phone(&self, user: &str, port: u16, answers: bool) -> anyhow::Result<Linphone> {
        let mut phone = Linphone::start(user, ADDRESS, port, MediaEncryption::Sdes, answers)?;
        phone.register(user, self.signal().sip()?, "secret")?;
        Ok(phone)
    }

    fn calls(&self) -> anyhow::Result<f64> {
        self.signal().metric("sallyport_sip_calls", "")
    }

    /// What is dropped for no fault of the network.
    fn dropped(&self) -> anyhow::Result<f64> {
        self.pump.metric("sallyport_packets_dropped_total", "")
    }

    fn assert_over(&self) -> anyhow::Result<()> {
        until("no call of SIP is left", PATIENCE, || Ok(self.calls()? == 0.0))?;
        until("no call of the media half is left", PATIENCE, || Ok(self.pump.calls()? == 0.0))?;
        until("no port is left", PATIENCE, || Ok(self.signal().metric("sallyport_ports_in_use", "")? == 0.0))
    }
}

#[test]
fn two_phones_hear_each_other_through_a_restart_and_hold_and_hang_up_after_it() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let mut scene = Scene::new("21000-21199")?;
        let mut alice = scene.phone("alice", 5081, false)?;
        let mut bob = scene.phone("bob", 5082, true)?;
        alice.command(&format!("call sip:bob@{ADDRESS}:5060"))?;
        for phone in [&alice, &bob] {
            phone.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        }
        alice.play(CALLER_TONE)?;
        bob.play(CALLEE_TONE)?;
        alice.wait_for_tone(CALLEE_TONE, PATIENCE)?;
        bob.wait_for_tone(CALLER_TONE, PATIENCE)?;
        let before = scene.dropped()?;

        scene.kill()?;
        // Recorded anew: what is heard is heard while nobody signals.
        alice.wait_for_tone(CALLEE_TONE, PATIENCE)?;
        bob.wait_for_tone(CALLER_TONE, PATIENCE)?;
        scene.start()?;
        ensure!(scene.calls()? == 1.0, "the call is known");
        alice.wait_for_tone(CALLEE_TONE, PATIENCE)?;
        bob.wait_for_tone(CALLER_TONE, PATIENCE)?;
        ensure!(scene.dropped()? == before, "nothing is lost in us");

        // From either side an offer reaches the other one.
        alice.command("pause")?;
        bob.wait_for("LinphoneCallPausedByRemote", PATIENCE)?;
        alice.wait_for("to LinphoneCallPaused", PATIENCE)?;
        alice.command("resume")?;
        alice.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        bob.command("pause")?;
        alice.wait_for("LinphoneCallPausedByRemote", PATIENCE)?;
        bob.wait_for("to LinphoneCallPaused", PATIENCE)?;
        bob.command("resume")?;
        bob.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        alice.play(CALLER_TONE)?;
        bob.wait_for_tone(CALLER_TONE, PATIENCE)?;

        // Once more, and the one that was called hangs up.
        scene.kill()?;
        scene.start()?;
        bob.command("terminate")?;
        alice.wait_for("LinphoneCallEnd", PATIENCE)?;
        scene.assert_over()
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn who_calls_echo_hears_itself_through_a_restart_and_hangs_up() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let mut scene = Scene::new("21200-21399")?;
        let mut alice = scene.phone("alice", 5081, false)?;
        alice.command(&format!("call sip:echo@{ADDRESS}:5060"))?;
        alice.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        alice.play(CALLER_TONE)?;
        alice.wait_for_tone(CALLER_TONE, PATIENCE)?;
        scene.kill()?;
        scene.start()?;
        ensure!(scene.calls()? == 1.0);
        alice.command("pause")?;
        alice.wait_for("to LinphoneCallPaused", PATIENCE)?;
        alice.command("resume")?;
        alice.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
        alice.play(CALLER_TONE)?;
        alice.wait_for_tone(CALLER_TONE, PATIENCE)?;
        alice.command("terminate")?;
        scene.assert_over()
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

/// Nobody can connect to a page: the BYE waits until it has connected and registered again.
#[test]
fn a_browser_hears_that_it_was_hung_up_on_while_its_connection_was_gone() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let mut scene = Scene::new("21400-21599")?;
        for (port, page_hangs_up) in [(5081, false), (5082, true)] {
            // What was registered is lost with the process.
            let mut alice = scene.phone("alice", port, true)?;
            let mut page = WebPhone::open(scene.signal().web_phone()?, PAGE_TONE)?;
            page.sign_in("demo", "secret")?;
            page.click("raw")?;
            page.fill("target", "alice")?;
            page.click("call")?;
            page.wait("state", "connected")?;
            alice.play(CALLER_TONE)?;
            alice.wait_for_tone(PAGE_TONE, PATIENCE)?;
            scene.kill()?;
            scene.start()?;
            ensure!(scene.calls()? == 1.0);
            alice.wait_for_tone(PAGE_TONE, PATIENCE)?;
            page.wait("state", "connected")?;
            if page_hangs_up {
                // Whether it has registered again or not: then the BYE waits.
                page.click("hang-up")?;
                alice.wait_for("LinphoneCallEnd", PATIENCE)?;
            } else {
                alice.command("terminate")?;
            }
            page.wait("dial", "Hear yourself")?;
            scene.assert_over()?;
        }
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
