//! What an operator does to the running program: configuration, reload, drain, systemd.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;

use support::{Process, audio_port, command, eventually, offer, offer_with};

/// A folder of a test's own; it goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sallyport-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.0.join("sallyport.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server whose configuration is only in its file.
fn start(file: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyport"));
    command.args(["--ng", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]).arg(file);
    command.env_remove("RUST_LOG").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Process::spawn(&mut command)
}

fn check(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sallyport")).arg("check").arg(file).output().unwrap()
}

fn identity(name: &str) -> String {
    format!("{}/tests/identity/{name}", env!("CARGO_MANIFEST_DIR"))
}

const RELOADED: &str = "sallyport_config_last_reload_success_timestamp_seconds";
const SUCCESSFUL: &str = "sallyport_config_last_reload_successful";

fn reload(process: &Process) {
    let before = process.metric(RELOADED);
    process.kill(Signal::SIGHUP);
    eventually("the file is read again", || process.metric(RELOADED) > before);
    assert_eq!(process.metric(SUCCESSFUL), 1.0);
}

#[test]
fn check_names_every_error_and_its_status_says_whether_there_are_any() {
    let folder = Folder::new("check");
    let file = folder.write("ng = 7\nworkrs = 1\n[timeouts]\noffer = \"soon\"\n");
    let output = check(&file);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    let name = file.display();
    for line in [
        format!("{name}:1: ng: this is an integer, a string is wanted"),
        format!("{name}:2: workrs: there is no such key; did you mean workers?"),
        format!("{name}:4: timeouts.offer: \"soon\" is no duration"),
    ] {
        assert!(words.contains(&line), "{line} in {words}");
    }
    let pair = |key: &str| {
        folder.write(&format!("[dtls]\ncertificate = {:?}\nkey = {:?}\n", identity("media.crt"), identity(key)))
    };
    let output = check(&pair("other.key"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("the private key is not that of the certificate"));
    let output = check(&pair("absent.key"));
    assert!(String::from_utf8(output.stderr).unwrap().contains("absent.key: No such file"));
    let output = check(&pair("media.key"));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{name}: no errors\n"));
}

#[test]
fn the_file_reaches_what_is_offered() {
    let folder = Folder::new("offered");
    let (certificate, key) = (identity("media.crt"), identity("media.key"));
    let file = folder.write(&format!(
        "media = [\"127.0.0.1\"]\nports = \"27000-27099\"\nworkers = 1\n\
         [dtls]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         [sdes]\noffer = [\"AES_CM_128_HMAC_SHA1_32\"]\n[log]\nformat = \"json\"\nlevel = \"debug\"\n"
    ));
    let process = start(&file);
    let reply = process.ask(&offer_with("c1", "one", r#","transport-protocol":"RTP/SAVP""#));
    assert!((27_000..=27_099).contains(&audio_port(&reply)), "{reply}");
    assert_eq!(reply.matches("a=crypto:").count(), 1, "{reply}");
    assert!(reply.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:"), "{reply}");
    let reply = process.ask(&offer_with("c2", "two", r#","transport-protocol":"UDP/TLS/RTP/SAVPF""#));
    // Printed by `openssl x509 -fingerprint -sha256`.
    let fingerprint = "3F:D6:60:12:EC:D2:02:1A:FF:42:9D:0B:A2:CD:C8:15:C3:30:65:C2:85:E2:CA:B0:C3:B7:1B:CC:81:21:FE:BF";
    assert!(reply.contains(&format!("a=fingerprint:sha-256 {fingerprint}\\r\\n")), "{reply}");
    process.ask(r#"c3 {"command":"query","call-id":"none"}"#);
    let line = process.logged(&["refused", "unknown_call_id"]);
    assert!(line.starts_with('{') && line.ends_with('}') && line.contains("\"level\":\"INFO\""), "{line}");
}

#[test]
fn a_reload_changes_what_it_can_and_names_what_it_cannot() {
    let folder = Folder::new("reload");
    let text = |media: &str, ports: &str, rest: &str| {
        format!("media = [{media}]\nports = \"{ports}\"\nworkers = 1\n{rest}[log]\nlevel = \"warn\"\n")
    };
    let file = folder.write(&text("\"a=127.0.0.1\"", "27100-27199", ""));
    let process = start(&file);
    let first = audio_port(&process.ask(&offer("c1", "one")));
    let named = r#","direction":["a","b"]"#;
    assert!(process.ask(&offer_with("c2", "two", named)).contains("Unknown interface: b"));
    let host = "Host: relay.example\r\n";
    assert_eq!(process.request("GET /healthz", host).0, 403);

    let both = "\"a=127.0.0.1\", \"b=127.0.0.2\"";
    let rest = "admin_hosts = [\"relay.example\"]\n[limits]\ncalls = 2\n";
    let level = text(both, "27100-27150", rest).replace("warn", "info");
    folder.write(&level);
    reload(&process);
    let line = process.logged(&["reload: done"]);
    assert!(line.contains("changed=\"admin_hosts, media, log.level, limits.calls\""), "{line}");
    let line = process.logged(&["reload: these take a restart to change"]);
    assert!(line.contains("keys=\"ports\""), "{line}");
    assert_eq!(process.request("GET /healthz", host).0, 200);
    let second = process.ask(&offer_with("c3", "two", named));
    assert!(second.contains("c=IN IP4 127.0.0.2\\r\\n"), "{second}");
    let third = process.ask(&offer("c4", "three"));
    assert!(third.contains("Parallel session limit reached: 2"), "{third}");
    // The call from before goes on with its port.
    assert_eq!(audio_port(&process.ask(&offer("c5", "one"))), first);

    // Taking an interface away takes a restart: the call on it goes on.
    folder.write(&text("\"a=127.0.0.1\"", "27100-27199", ""));
    reload(&process);
    let line = process.logged(&["reload: these take a restart to change", "media"]);
    assert!(line.contains("keys=\"media\""), "{line}");
    assert_eq!(process.request("GET /healthz", host).0, 403);
    audio_port(&process.ask(&offer_with("c6", "four", named)));
}

#[test]
fn a_faulty_file_changes_nothing_and_the_log_says_why() {
    let folder = Folder::new("faulty");
    let head = "media = [\"127.0.0.1\"]\nports = \"27200-27299\"\nworkers = 1\n";
    let file = folder.write(head);
    let process = start(&file);
    for (cookie, broken, reason) in [
        (
            "c2",
            format!("{head}[limits]\ncalls = 1\nleggs = 3\n"),
            "sallyport.toml:6: limits.leggs: there is no such key",
        ),
        // 192.0.2.0/24 belongs to no machine (RFC 5737).
        (
            "c3",
            head.replace("\"127.0.0.1\"", "\"127.0.0.1\", \"far=192.0.2.1\"") + "[limits]\ncalls = 1\n",
            "media address 192.0.2.1: Cannot assign requested address",
        ),
    ] {
        folder.write(&broken);
        process.kill(Signal::SIGHUP);
        eventually("the reload has failed", || process.metric(SUCCESSFUL) == 0.0);
        process.logged(&["WARN", "reload: ", reason]);
        process.logged(&["reload: nothing has changed"]);
        audio_port(&process.ask(&offer("c1", "one")));
        audio_port(&process.ask(&offer(cookie, "another")));
        folder.write(head);
        reload(&process);
    }
}

#[test]
fn a_drain_lets_calls_run_out_and_takes_no_new_ones() {
    let process = Process::start("27300-27399");
    let port = audio_port(&process.ask(&offer("c1", "one")));
    process.kill(Signal::SIGUSR1);
    eventually("it drains", || process.metric("sallyport_draining") == 1.0);
    let (status, words) = process.page("/readyz");
    assert_eq!((status, words.as_str()), (503, "not ready: draining, no new calls are taken\n"));
    assert_eq!(process.page("/healthz").0, 200);
    let refused = process.ask(&offer("c2", "two"));
    assert!(refused.contains("\"result\":\"error\"") && refused.contains("Draining: no new calls"), "{refused}");
    let limited = process.ask(&offer_with("c3", "three", r#","supports":["load limit"]"#));
    assert!(limited.contains("\"result\":\"load limit\""), "{limited}");
    assert_eq!(audio_port(&process.ask(&offer("c4", "one"))), port, "a call that exists is served");
    let deleted = process.ask(r#"c5 {"command":"delete","call-id":"one","from-tag":"a","delete delay":0}"#);
    assert!(deleted.contains("\"result\":\"ok\""), "{deleted}");
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_drain_ends_at_its_deadline_and_can_be_asked_for_by_command() {
    let folder = Folder::new("deadline");
    let file = folder.write(
        "media = [\"127.0.0.1\"]\nports = \"27400-27499\"\nworkers = 1\n[timeouts]\ndrain = \"2s\"\n[log]\nlevel = \"debug\"\n",
    );
    let process = start(&file);
    audio_port(&process.ask(&offer("c1", "one")));
    let drain =
        |admin: &str| Command::new(env!("CARGO_BIN_EXE_sallyport")).args(["drain", "--admin", admin]).output().unwrap();
    let output = drain(&process.admin.to_string());
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && words.starts_with("draining: {\"calls\":1,"), "{words}");
    process.logged(&["the deadline has come"]);
    process.logged(&["call ended", "one"]);
    assert_eq!(process.end().code(), Some(0));
    let output = drain("127.0.0.1:9");
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("admin listener on 127.0.0.1:9: Connection refused"));
}

#[test]
fn systemd_is_told_of_start_reload_life_and_end() {
    let folder = Folder::new("notify");
    let socket = UnixDatagram::bind(folder.0.join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let next = |wanted: &str| {
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return text;
            }
        }
    };
    let file = folder.write("media = [\"127.0.0.1\"]\nports = \"27500-27599\"\nworkers = 1\n");
    let mut command = command(&["--config", file.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", folder.0.join("notify")).env("WATCHDOG_USEC", "200000");
    let process = Process::spawn(&mut command);
    next("READY=1");
    next("WATCHDOG=1");
    next("WATCHDOG=1");
    process.kill(Signal::SIGHUP);
    let reloading = next("RELOADING=1");
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    next("READY=1");
    process.kill(Signal::SIGTERM);
    next("STOPPING=1");
    assert_eq!(process.end().code(), Some(0));
}
