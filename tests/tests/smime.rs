//! S/MIME bodies (RFC 3261 §23) that `openssl cms` makes and reads, in calls to the real server.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sallyport_tests::folder::Folder;
use sallyport_tests::openssl::{certify, make_authority, openssl};
use sallyport_tests::server::{Server, built_beside_this, write_users};
use sallyport_tests::sip_agent::{SipAgent, SipMessage};
use sallyport_tests::until;

const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "open-sesame";
const ECHO: &str = "sip:echo@sallyport";

/// What Alice offers.
const OFFER: &str = "v=0\r\no=alice 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// Certificates and keys by name, `openssl`, and the server's files.
struct Scene {
    folder: Folder,
    server: Server,
    alice: SipAgent,
}

/// A body with its type.
struct Secured {
    content_type: String,
    bytes: Vec<u8>,
}

impl Scene {
    /// A server whose `[sip.smime]` has the certificate `first`, and which signs and seals what goes to phones.
    fn new() -> anyhow::Result<Self> {
        let folder = Folder::new("smime")?;
        make_authority(&folder)?;
        for (name, address) in [("alice", "sip:alice@sallyport"), ("first", ECHO), ("second", ECHO)] {
            certify(&folder, name, &format!("URI:{address}"))?;
        }
        let users = write_users(&folder, &["alice"], PASSWORD)?;
        let path = |name: &str| folder.path().join(name);
        let text = format!(
            "[sip]\nusers = {users:?}\nphones_smime = \"sign-and-encrypt\"\n[sip.smime]\ncertificate = {:?}\nkey = {:?}\n\
             anchors = {:?}\n",
            path("own.pem"),
            path("own.key"),
            path("root.pem"),
        );
        let file = folder.write("sallyport.toml", text)?;
        install(&folder, "first")?;
        let config = file.to_str().context("a name in UTF-8")?;
        let server = Server::start(&["--media", "127.0.0.1", "--ports", "28600-28699", "--config", config])?;
        let alice = SipAgent::tcp("alice", PASSWORD, server.sip_over("tcp")?)?;
        Ok(Self { folder, server, alice })
    }

    fn openssl(&self, words: &str) -> anyhow::Result<Vec<u8>> {
        openssl(&self.folder, words)
    }

    /// Signed in the name of the owner of this certificate.
    fn signed(&self, name: &str) -> anyhow::Result<Secured> {
        self.folder.write("plain.txt", format!("Content-Type: application/sdp\r\n\r\n{OFFER}"))?;
        self.openssl(&format!(
            "cms -sign -binary -crlfeol -in plain.txt -out signed.eml -signer {name}.pem -inkey {name}.key"
        ))?;
        let mail = String::from_utf8(std::fs::read(self.folder.path().join("signed.eml"))?)?;
        let (head, body) = mail.split_once("\r\n\r\n").context("no end of headers")?;
        let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).context("no type")?;
        Ok(Secured { content_type: content_type.to_owned(), bytes: body.as_bytes().to_vec() })
    }

    /// To the owner of this certificate alone, with whatever is inside.
    fn sealed(&self, name: &str, inside: &Secured) -> anyhow::Result<Secured> {
        let head = format!("Content-Type: {}\r\n\r\n", inside.content_type);
        self.folder.write("inside.txt", [head.as_bytes(), &inside.bytes].concat())?;
        let bytes = self.openssl(&format!(
            "cms -encrypt -binary -aes-128-gcm -in inside.txt -outform DER -recip {name}.pem -keyopt ecdh_kdf_md:sha256"
        ))?;
        let content_type = "application/pkcs7-mime; smime-type=authEnveloped-data; name=smime.p7m".to_owned();
        Ok(Secured { content_type, bytes })
    }

    fn call_echo(&mut self, offer: &Secured) -> anyhow::Result<SipMessage> {
        let contact = self.alice.contact("sip");
        let more = format!("Contact: {contact}\r\nContent-Type: {}\r\n", offer.content_type);
        self.alice.request("INVITE", ECHO, &more, &offer.bytes)
    }

    /// What is in a body that is sealed to Alice and signed by the owner of this certificate, as openssl reads it.
    fn opened(&self, response: &SipMessage, signer: &str) -> anyhow::Result<String> {
        self.folder.write("answer.der", &response.body)?;
        let inside =
            self.openssl("cms -decrypt -binary -inform DER -in answer.der -recip alice.pem -inkey alice.key")?;
        self.folder.write("answer.eml", [b"MIME-Version: 1.0\r\n", &inside[..]].concat())?;
        let content = self.openssl("cms -verify -in answer.eml -crlfeol -CAfile root.pem -signer signer.pem")?;
        ensure!(self.fingerprint("signer.pem")? == self.fingerprint(&format!("{signer}.pem"))?, "another has signed");
        Ok(String::from_utf8(content)?)
    }

    fn fingerprint(&self, file: &str) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.openssl(&format!("x509 -in {file} -noout -fingerprint -sha256"))?)?)
    }

    /// Name of the certificate that comes back with 493 when we seal to somebody else.
    fn told_certificate(&mut self) -> anyhow::Result<&'static str> {
        let offer = self.sealed("alice", &self.signed("alice")?)?;
        let response = self.call_echo(&offer)?;
        ensure!(response.status() == Some(493), "{response:?}");
        let content_type = response.header("Content-Type").context("no certificate")?;
        ensure!(content_type.contains("smime-type=certs-only"), "{content_type}");
        self.folder.write("told.der", &response.body)?;
        let certificate = self.openssl("pkcs7 -inform DER -in told.der -print_certs")?;
        self.folder.write("told.pem", certificate)?;
        let told = self.fingerprint("told.pem")?;
        for name in ["first", "second"] {
            if told == self.fingerprint(&format!("{name}.pem"))? {
                return Ok(name);
            }
        }
        anyhow::bail!("a certificate that is not ours: {told}")
    }

    fn counted(&self, what: &str, result: &str) -> anyhow::Result<f64> {
        self.server.metric("sallyport_sip_smime_total", &format!("what=\"{what}\",result=\"{result}\""))
    }

    fn reload(&self) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.server.process_id().try_into()?), Signal::SIGHUP)?)
    }

    /// What operators read of a call, by the command and by the page.
    fn told_of(&self, call: &SipMessage) -> anyhow::Result<[String; 2]> {
        let call_id = call.header("Call-ID").context("no Call-ID")?;
        let output = Command::new(built_beside_this()?)
            .args(["explain", call_id, "--admin", &self.server.admin.to_string()])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok([String::from_utf8(output.stdout)?, self.server.page(&format!("/calls/{call_id}"))?])
    }
}

/// Makes a certificate the one that the configuration names.
fn install(folder: &Folder, name: &str) -> anyhow::Result<()> {
    let path = |file: String| -> PathBuf { folder.path().join(file) };
    for end in ["pem", "key"] {
        std::fs::copy(path(format!("{name}.{end}")), path(format!("own.{end}")))?;
    }
    Ok(())
}

#[test]
fn a_signed_and_a_sealed_offer_are_answered_in_kind_and_the_ledger_says_so() {
    let scenario = || -> anyhow::Result<()> {
        let mut scene = Scene::new()?;
        let signed = scene.signed("alice")?;
        let sealed = scene.sealed("first", &signed)?;
        for (offer, words) in [
            (&signed, "S/MIME: signed by sip:alice@sallyport, verified"),
            (&sealed, ", verified (ecdsa_sha256); encrypted (aes128_gcm by ecdh)"),
        ] {
            let response = scene.call_echo(offer)?;
            ensure!(response.status() == Some(200), "{response:?}");
            let answer = scene.opened(&response, "first")?;
            ensure!(answer.contains("m=audio ") && answer.contains("c=IN IP4 127.0.0.1"), "{answer}");
            for told in scene.told_of(&response)? {
                for words in [words, "S/MIME: what we send is signed and encrypted"] {
                    ensure!(told.contains(words), "{words:?} is not in {told}");
                }
            }
            scene.alice.hang_up(&response)?;
        }
        ensure!(scene.counted("signature", "verified")? == 2.0);
        ensure!(scene.counted("sent", "signed_and_encrypted")? == 2.0);
        ensure!(scene.server.metric("sallyport_sip_smime_total", "what=\"opened\"")? == 1.0);
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn what_cannot_be_opened_or_read_is_refused_with_what_would_help() {
    let scenario = || -> anyhow::Result<()> {
        let mut scene = Scene::new()?;
        ensure!(scene.told_certificate()? == "first", "493 brings our certificate");
        let foreign = Secured { content_type: "application/x-unheard-of".to_owned(), bytes: b"?".to_vec() };
        let response = scene.call_echo(&foreign)?;
        ensure!(response.status() == Some(415), "{response:?}");
        let accept = response.header("Accept").context("no Accept")?;
        ensure!(["application/sdp", "application/pkcs7-mime"].iter().all(|kind| accept.contains(kind)), "{accept}");
        ensure!(scene.server.metric("sallyport_sip_smime_total", "what=\"refused\"")? == 1.0, "the other is no S/MIME");
        ensure!(scene.server.metric("sallyport_sip_calls", "")? == 0.0);
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_reload_takes_the_next_certificate_and_refuses_a_broken_one() {
    let scenario = || -> anyhow::Result<()> {
        let mut scene = Scene::new()?;
        install(&scene.folder, "second")?;
        scene.reload()?;
        until("the second certificate holds", PATIENCE, || Ok(scene.told_certificate()? == "second"))?;
        // The key of another certificate, and what is no certificate at all.
        std::fs::copy(scene.folder.path().join("first.key"), scene.folder.path().join("own.key"))?;
        let successful = |scene: &Scene| scene.server.metric("sallyport_config_last_reload_successful", "");
        let when = |scene: &Scene| scene.server.metric("sallyport_config_last_reload_success_timestamp_seconds", "");
        let second_at = when(&scene)?;
        scene.reload()?;
        until("the reload has failed", PATIENCE, || Ok(successful(&scene)? == 0.0))?;
        ensure!(scene.told_certificate()? == "second", "the old one stays");
        ensure!(when(&scene)? == second_at, "and was the last that could be read");
        install(&scene.folder, "first")?;
        scene.reload()?;
        until("the first certificate holds", PATIENCE, || Ok(scene.told_certificate()? == "first"))?;
        ensure!(successful(&scene)? == 1.0 && when(&scene)? > second_at);
        scene.folder.write("own.pem", "no certificate")?;
        scene.reload()?;
        until("the reload has failed", PATIENCE, || Ok(successful(&scene)? == 0.0))?;
        let signed = scene.signed("alice")?;
        let response = scene.call_echo(&signed)?;
        ensure!(response.status() == Some(200), "{response:?}");
        scene.opened(&response, "first")?;
        scene.alice.hang_up(&response)
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
