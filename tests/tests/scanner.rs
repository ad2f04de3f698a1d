//! What a scanner learns of the server: that it speaks SIP, and nothing of its users.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use sallyport_tests::folder::Folder;
use sallyport_tests::scanner::{self, Running};
use sallyport_tests::server::{Server, user_line};
use sallyport_tests::until;

const PATIENCE: Duration = Duration::from_secs(30);
/// The scanner's sockets are here: it takes the system's choice.
const SCANNER: &str = "127.0.0.1";
const PHONE: &str = "127.0.0.3";
const PASSWORD: &str = "open-sesame-77";

/// A server with the users `alice` and `weak`, who has a weak password. svcrack knows MD5 alone.
struct Scene {
    server: Server,
    folder: Folder,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let folder = Folder::new("scanner")?;
        let users = folder.write("users", user_line("alice", PASSWORD)? + &user_line("weak", "summer")?)?;
        let settings = format!("[sip]\nusers = {users:?}\nalgorithms = [\"MD5\"]\n");
        let settings = folder.write("sallyport.toml", settings)?;
        let settings = settings.to_str().context("a name in UTF-8")?;
        let server = Server::start(&["--config", settings, "--media", "127.0.0.1", "--ports", "28000-28099"])?;
        Ok(Self { server, folder })
    }

    /// A file for the scanner, a word a line.
    fn list(&self, words: impl IntoIterator<Item = String>) -> anyhow::Result<String> {
        let path = self.folder.write("words", words.into_iter().map(|word| word + "\n").collect::<String>())?;
        Ok(path.to_str().context("a name in UTF-8")?.to_owned())
    }

    /// sipp registers as Alice from an address of its own.
    fn register(&self) -> anyhow::Result<()> {
        let users = format!("SEQUENTIAL\nalice;[authentication username=alice password={PASSWORD}]\n");
        let users = self.folder.write("users.csv", users)?;
        let output = Command::new("sipp")
            .current_dir(self.folder.path())
            .arg(self.server.sip()?.to_string())
            .args(["-sf", concat!(env!("CARGO_MANIFEST_DIR"), "/sipp/registers.xml")])
            .args(["-inf", users.to_str().context("a name in UTF-8")?])
            .args(["-t", "u1", "-i", PHONE, "-m", "1", "-nostdin", "-timeout", "20s", "-timeout_error"])
            .stdin(Stdio::null())
            .output()
            .context("sipp (Debian package sip-tester)")?;
        ensure!(output.status.success(), "sipp: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

fn names() -> Vec<String> {
    ["alice", "bob", "weak", "nobody", "echo", "100"].map(str::to_owned).to_vec()
}

/// What a response says that is not of its request's own making.
fn said(response: &str) -> String {
    let mut said = String::new();
    for line in response.lines() {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "To" | "Call-ID" | "CSeq" => said += name,
            _ => said += line.split("nonce=\"").next().unwrap_or_default(),
        }
        said.push('\n');
    }
    said
}

fn request(method: &str, user: &str, server: SocketAddr) -> String {
    format!(
        "{method} sip:{user}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.5:5060;branch=z9hG4bK-{user}{method};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@{server}>;tag=1\r\nTo: <sip:{user}@{server}>\r\n\
         Call-ID: {user}-{method}\r\nCSeq: 1 {method}\r\nContact: <sip:{user}@127.0.0.5>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_scanner_learns_nothing_of_users_and_no_good_password_while_phones_register() {
    if !scanner::is_installed() {
        return;
    }
    let scenario = || -> anyhow::Result<()> {
        let scene = Scene::new()?;
        let server = scene.server.sip()?;
        scene.register()?;
        ensure!(scene.server.metric("sallyport_sip_contacts", "")? == 1.0);

        // There is a server, and it does not say which.
        let found = scanner::run("svmap", &[], server)?;
        ensure!(found.contains(&format!("| {server} | unknown ")), "{found}");

        // Where users can be told apart, it tells them.
        let list = scene.list(names())?;
        let leaky = scanner::leaky_server("alice")?;
        for method in ["REGISTER", "INVITE", "OPTIONS"] {
            let found = scanner::run("svwar", &["-m", method, "-d", &list], leaky)?;
            ensure!(found.contains("| alice ") && !found.contains("| bob "), "{method}: {found}");
            for force in [&[][..], &["--force"]] {
                let found = scanner::run("svwar", &[&["-m", method, "-d", &list], force].concat(), server)?;
                ensure!(found.contains("found nothing"), "{method} {force:?}: {found}");
            }
            // Nor does anything else in the answers: Alice is registered, weak is a user, and the others are nobody.
            let mut answers = Vec::new();
            for user in names().iter().filter(|user| *user != "echo") {
                answers.push(said(&scanner::ask("127.0.0.5", server, &request(method, user, server))?));
            }
            ensure!(answers.iter().all(|answer| *answer == answers[0]), "{method}: {answers:#?}");
        }
        ensure!(scene.server.metric("sallyport_sip_calls_answered_total", "")? == 0.0);

        // A password out of every dictionary is found, before the source has guessed too often.
        let list = scene.list(["spring", "summer", "autumn"].map(str::to_owned))?;
        let found = scanner::run("svcrack", &["-u", "weak", "-d", &list], server)?;
        ensure!(found.contains("| weak ") && found.contains("| summer "), "{found}");

        // Alice's is in this one, but there are others before it.
        let guesses = (0..500).map(|number| format!("password{number}")).chain([PASSWORD.to_owned()]);
        let list = scene.list(guesses)?;
        let mut cracker = Running::start("svcrack", &["-u", "alice", "-d", &list], server)?;
        until("the source of the guesses is barred", PATIENCE, || {
            Ok(scene.server.metric("sallyport_sip_barred_total", "")? > 600.0)
        })?;
        // It goes on, and Alice's phone is let in meanwhile.
        ensure!(cracker.is_running()?, "it has ended: {}", cracker.stop()?);
        scene.register()?;
        let found = cracker.stop()?;
        ensure!(!found.contains(PASSWORD), "{found}");
        let wrong = scene.server.metric("sallyport_sip_rejected_credentials_total", "mismatch")?;
        ensure!((20.0..=23.0).contains(&wrong), "{wrong} guesses were looked at");
        ensure!(scene.server.metric("sallyport_sip_registrations_total", "")? == 3.0, "two of Alice and one of weak");

        // The right password does not help a source that is barred.
        let barred = scanner::ask(SCANNER, server, &request("REGISTER", "alice", server))?;
        ensure!(barred.starts_with("SIP/2.0 403 "), "{barred}");
        Ok(())
    };
    scenario().unwrap_or_else(|error| panic!("{error:#}"));
}
