//! The web phone in a real Chromium: it hears itself through `echo`, and talks with a phone that is not our code.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sallyport_tests::linphone::{Linphone, MediaEncryption};
use sallyport_tests::namespace::{self, ADDRESS};
use sallyport_tests::server::Server;
use sallyport_tests::tone::is_heard;
use sallyport_tests::web_phone::WebPhone;
use serde_json::Value;

/// What the browser's microphone hears, in Hz: G.711, Opus and resampling leave both alone.
const PAGE_TONE: f64 = 1000.0;
/// What linphone says.
const PHONE_TONE: f64 = 600.0;

const PATIENCE: Duration = Duration::from_secs(20);

/// The page, signed in at a server of its own.
fn signed_in() -> (Server, WebPhone) {
    namespace::enter().unwrap();
    let server = Server::start(&["--media", ADDRESS]).unwrap();
    let mut phone = WebPhone::open(server.web_phone().unwrap(), PAGE_TONE).unwrap();
    phone.sign_in("demo", server.demo_password().unwrap()).unwrap();
    (server, phone)
}

fn assert_hears(phone: &mut WebPhone, tone: f64) {
    let heard = phone.listen(3).unwrap();
    assert!(is_heard(&heard, tone), "the page hears {tone} Hz nearly all the time: {heard}");
}

#[test]
fn the_web_phone_hears_itself_through_echo_and_shows_how_that_is_secured() {
    if !namespace::is_permitted() {
        return;
    }
    let (server, mut phone) = signed_in();
    phone.click("raw").unwrap();
    phone.click("echo").unwrap();
    phone.wait("state", "connected").unwrap();
    assert_hears(&mut phone, PAGE_TONE);
    let security = phone.facts("security").unwrap();
    assert_eq!(security["Keying"], "DTLS-SRTP, connected", "{security}");
    assert_eq!(security["Version"], "DTLS 1.3", "{security}");
    let media = phone.facts("media").unwrap();
    let number = |name: &str| media[name].as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(number("Packets sent") > Some(100) && number("Packets received") > Some(100), "{media}");
    assert_eq!(number("Lost on the way here"), Some(0), "{media}");
    // The browser sends a report every few seconds; what ours says of its stream shows when it has been answered.
    phone.wait("media", "Lost on the way there").unwrap();
    let reported = phone.facts("media").unwrap();
    assert_eq!(reported["Lost on the way there"], "0", "{reported}");
    assert!(reported["Jitter there"].is_string() && reported["Round trip"].is_string(), "{reported}");
    let calls: Value = serde_json::from_str(&server.page("/calls").unwrap()).unwrap();
    let id = calls["calls"][0]["id"].as_str().unwrap();
    let explained = server.page(&format!("/calls/{id}")).unwrap();
    assert!(explained.contains("A hears itself: yes"), "{explained}");
    phone.click("hang-up").unwrap();
    phone.wait("dial", "Hear yourself").unwrap();
    assert_eq!(phone.errors().unwrap(), [""; 0], "no error, and nothing that the policy forbids");
    drop(phone);
    assert!(server.stop().unwrap().success());
}

/// A web phone and a linphone that speaks SDES, both signed in at one server.
fn two_phones(answers: bool) -> (Server, WebPhone, Linphone) {
    namespace::enter().unwrap();
    let server = Server::start_for(&["demo", "alice"], "secret", "", &["--media", ADDRESS]).unwrap();
    let mut alice = Linphone::start("alice", ADDRESS, 5070, MediaEncryption::Sdes, answers).unwrap();
    alice.register("alice", server.sip().unwrap(), "secret").unwrap();
    let mut phone = WebPhone::open(server.web_phone().unwrap(), PAGE_TONE).unwrap();
    phone.sign_in("demo", "secret").unwrap();
    phone.click("raw").unwrap();
    (server, phone, alice)
}

#[test]
fn the_web_phone_calls_a_phone_that_speaks_sdes() {
    if !namespace::is_permitted() {
        return;
    }
    let (server, mut phone, mut alice) = two_phones(true);
    phone.fill("target", "alice").unwrap();
    phone.click("call").unwrap();
    phone.wait("state", "connected").unwrap();
    alice.play(PHONE_TONE).unwrap();
    alice.wait_for_tone(PAGE_TONE, PATIENCE).unwrap();
    assert_hears(&mut phone, PHONE_TONE);
    // Who closes the page has hung up.
    phone.leave().unwrap();
    alice.wait_for("ended", PATIENCE).unwrap();
    assert_eq!(phone.errors().unwrap(), [""; 0]);
    drop((phone, alice));
    assert!(server.stop().unwrap().success());
}

#[test]
fn a_phone_that_speaks_sdes_calls_the_web_phone_and_holds_it() {
    if !namespace::is_permitted() {
        return;
    }
    let (server, mut phone, mut alice) = two_phones(false);
    alice.command(&format!("call sip:demo@{}", server.sip().unwrap())).unwrap();
    phone.wait("incoming", "alice").unwrap();
    phone.click("answer").unwrap();
    phone.wait("state", "connected").unwrap();
    alice.play(PHONE_TONE).unwrap();
    alice.wait_for_tone(PAGE_TONE, PATIENCE).unwrap();
    assert_hears(&mut phone, PHONE_TONE);
    // A hold is a re-INVITE that the page answers.
    alice.command("pause").unwrap();
    alice.wait_for("paused", PATIENCE).unwrap();
    alice.command("resume").unwrap();
    alice.wait_for("Resuming call", PATIENCE).unwrap();
    assert_hears(&mut phone, PHONE_TONE);
    alice.command("terminate").unwrap();
    phone.wait("problem", "ended by the other side").unwrap();
    assert_eq!(phone.errors().unwrap(), [""; 0]);
    drop((phone, alice));
    assert!(server.stop().unwrap().success());
}

#[test]
fn a_wrong_password_is_told() {
    if !namespace::is_permitted() {
        return;
    }
    namespace::enter().unwrap();
    let server = Server::start(&["--media", ADDRESS]).unwrap();
    let mut phone = WebPhone::open(server.web_phone().unwrap(), PAGE_TONE).unwrap();
    phone.fill("password", "wrong").unwrap();
    phone.click("sign-in").unwrap();
    phone.wait("problem", "user or password is wrong").unwrap();
    phone.wait("account", "Sign in").unwrap();
}

#[test]
fn the_modules_of_the_page_keep_to_the_rfcs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let run = Command::new("node").args(["--test", "modules.test.mjs"]).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}
