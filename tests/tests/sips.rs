//! SIP over TLS at the real server: phones that exchange SDES keys behind it, and sips URIs (RFC 5630).

use std::time::Duration;

use anyhow::{Context, ensure};
use sallyport_tests::folder::Folder;
use sallyport_tests::linphone::{Linphone, MediaEncryption, Registration};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::openssl::{certify, make_authority};
use sallyport_tests::server::Server;
use sallyport_tests::sip_agent::{SipAgent, SipMessage};
use sallyport_tests::until;

const PATIENCE: Duration = Duration::from_secs(15);
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const REALM: &str = "sallyport";
const PASSWORD: &str = "open-sesame";
const CALLER_TONE: f64 = 440.0;
const CALLEE_TONE: f64 = 880.0;

/// A server with a certificate for [`ADDRESS`], and the files around it.
struct Scene {
    folder: Folder,
    server: Server,
}

impl Scene {
    fn new(users: &[&str]) -> anyhow::Result<Self> {
        namespace::enter()?;
        let folder = Folder::new("sips")?;
        make_authority(&folder)?;
        // The phone's TLS looks for addresses among names.
        certify(&folder, "server", &format!("IP:{ADDRESS},DNS:{ADDRESS}"))?;
        let path = |name: &str| folder.path().join(name);
        let lines = format!("certificate = {:?}\nkey = {:?}", path("server.pem"), path("server.key"));
        let flags = ["--media", ADDRESS, "--sip", &format!("{ADDRESS}:5060")];
        let server = Server::start_for(users, PASSWORD, &lines, &flags)?;
        Ok(Self { folder, server })
    }

    fn phone(&self, user: &str, port: u16, answers: bool) -> anyhow::Result<Linphone> {
        let registrar = self.server.sip_over("tls")?.to_string();
        let account = Registration { user, password: PASSWORD, realm: REALM, registrar: &registrar };
        let authority = self.folder.path().join("root.pem");
        Linphone::start_registered_by_tls(&account, ADDRESS, port, MediaEncryption::Sdes, answers, &authority)
    }

    /// By TLS.
    fn agent(&self, user: &str) -> anyhow::Result<SipAgent> {
        SipAgent::tls(user, PASSWORD, self.server.sip_over("tls")?, &self.folder.path().join("root.pem"))
    }

    fn counted(&self, name: &str) -> anyhow::Result<f64> {
        self.server.metric(name, "")
    }

    /// The one call as operators see it.
    fn told(&self) -> anyhow::Result<String> {
        let calls = self.server.page("/calls")?;
        let id = calls.split("\"sip-").nth(1).and_then(|rest| rest.split('"').next()).context("no call")?;
        self.server.page(&format!("/calls/sip-{id}"))
    }
}

/// What a phone with a key of one letter says. `tag`: that of this suite in what it answers.
fn description(port: u16, letter: char, tag: &str) -> String {
    let key = letter.to_string().repeat(40);
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ADDRESS}\r\ns=-\r\nc=IN IP4 {ADDRESS}\r\nt=0 0\r\nm=audio {port} RTP/SAVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=crypto:{tag} {SUITE} inline:{key}\r\n"
    )
}

/// The tag of [`SUITE`] in an offer.
fn crypto_tag(offer: &str) -> anyhow::Result<String> {
    let line = offer.lines().find(|line| line.contains(SUITE)).with_context(|| offer.to_owned())?;
    Ok(line.split([':', ' ']).nth(1).context("a tag")?.to_owned())
}

fn invite(agent: &mut SipAgent, uri: &str) -> anyhow::Result<SipMessage> {
    let more = format!("Contact: {}\r\nContent-Type: application/sdp\r\n", agent.contact("sips"));
    agent.request("INVITE", uri, &more, description(40_000, 'a', "1").as_bytes())
}

#[test]
fn phones_that_register_by_tls_exchange_keys_that_nobody_is_warned_of() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let scene = Scene::new(&["alice", "bob"])?;
        let (mut caller, mut callee) = (scene.phone("alice", 5081, false)?, scene.phone("bob", 5082, true)?);
        ensure!(scene.server.metric("sallyport_sip_connections", "transport=\"tls\"")? == 2.0);
        let server = scene.server.sip_over("tls")?;
        for uri in [format!("sip:bob@{server};transport=tls"), format!("sips:bob@{server}")] {
            caller.command(&format!("call {uri}"))?;
            for phone in [&caller, &callee] {
                phone.wait_for("LinphoneCallStreamsRunning", PATIENCE)?;
            }
            caller.play(CALLER_TONE)?;
            callee.play(CALLEE_TONE)?;
            caller.wait_for_tone(CALLEE_TONE, PATIENCE).context(uri.clone())?;
            callee.wait_for_tone(CALLER_TONE, PATIENCE).context(uri.clone())?;
            let told = scene.told()?;
            ensure!(told.contains("SDES") && !told.contains("SDES keys in signalling"), "{told}");
            caller.command("terminate")?;
            until("the call ends", PATIENCE, || Ok(scene.counted("sallyport_sip_calls")? == 0.0))?;
        }
        ensure!(scene.counted("sallyport_sip_cleartext_keys_total")? == 0.0);
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_sips_call_reaches_a_phone_behind_tls_by_tls_alone() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let scene = Scene::new(&["alice", "bob"])?;
        let (mut alice, mut bob) = (scene.agent("alice")?, scene.agent("bob")?);
        bob.register("sips")?;
        let bob = std::thread::spawn(move || -> anyhow::Result<SipMessage> {
            let invite = bob.receive()?;
            let more = format!("Contact: {}\r\nContent-Type: application/sdp\r\n", bob.contact("sips"));
            let answer = description(40_002, 'b', &crypto_tag(&invite.text())?);
            bob.respond(&invite, "200 OK", &more, answer.as_bytes())?;
            for method in ["ACK ", "BYE "] {
                let request = bob.receive()?;
                ensure!(request.start.starts_with(method), "{request:?}");
                if method == "BYE " {
                    bob.respond(&request, "200 OK", "", b"")?;
                }
            }
            Ok(invite)
        });
        let response = invite(&mut alice, "sips:bob@sallyport")?;
        ensure!(response.status() == Some(200), "{response:?}");
        ensure!(response.header("Contact").is_some_and(|contact| contact.starts_with("<sips:")), "{response:?}");
        ensure!(response.text().contains("RTP/SAVP") && response.text().contains("a=crypto:1 "), "{response:?}");
        alice.hang_up(&response)?;
        let invite = bob.join().map_err(|_| anyhow::anyhow!("bob panicked"))??;
        ensure!(invite.start.starts_with("INVITE sips:"), "{invite:?}");
        ensure!(invite.header("Via").is_some_and(|via| via.starts_with("SIP/2.0/TLS ")), "{invite:?}");
        ensure!(invite.header("Contact").is_some_and(|contact| contact.starts_with("<sips:")), "{invite:?}");
        ensure!(invite.text().contains("RTP/SAVP"), "{invite:?}");
        ensure!(scene.counted("sallyport_sip_cleartext_keys_total")? == 0.0);
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_sips_call_to_a_phone_without_tls_is_refused_and_so_is_a_sip_call_to_a_sips_target() {
    if !namespace::is_permitted() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let scene = Scene::new(&["alice", "carol", "dave"])?;
        let registrar = scene.server.sip()?.to_string();
        let account = Registration { user: "carol", password: PASSWORD, realm: REALM, registrar: &registrar };
        let carol = Linphone::start_registered(&account, ADDRESS, 5083, MediaEncryption::Sdes, true)?;
        let mut dave = scene.agent("dave")?;
        dave.register("sips")?;
        let mut alice = scene.agent("alice")?;
        let mut alice_by_tcp = SipAgent::tcp("alice", PASSWORD, scene.server.sip_over("tcp")?)?;
        for (agent, uri, code) in
            [(&mut alice, "sips:carol@sallyport", "380"), (&mut alice_by_tcp, "sip:dave@sallyport", "381")]
        {
            let response = invite(agent, uri)?;
            ensure!(response.status() == Some(480), "{response:?}");
            let warning = response.header("Warning").context("no Warning")?;
            ensure!(warning.starts_with(code), "{warning}");
        }
        ensure!(scene.server.metric("sallyport_sip_sips_total", "refused")? == 2.0);
        ensure!(carol.wait_for("LinphoneCallIncomingReceived", Duration::ZERO).is_err(), "it has not rung");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
