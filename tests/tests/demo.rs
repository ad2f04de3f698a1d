//! The demonstration tells a call in which every packet arrived from one in which some did not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sallyport_tests::folder::Folder;
use sallyport_tests::server::built_beside_this;

fn demo(server: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(["--seconds", "3", "--server"]).arg(server).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// The server that a demonstration has started.
fn server_of(demo: &Child) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", demo.id())).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

#[test]
fn the_demo_succeeds_when_every_packet_arrives() {
    let output = demo(&built_beside_this().unwrap()).wait_with_output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && words.contains("\nevery packet arrived, authentic\n"), "{words}");
    for report in [
        "browser to phone: sent 1",
        "phone to browser: sent 1",
        "added latency p50",
        "leg web audio",
        "leg phone audio",
    ] {
        assert!(words.contains(report), "no {report} in {words}");
    }
    assert!(words.contains("keying DTLS-SRTP") && words.contains("keying SDES"), "{words}");
    assert!(words.contains("fingerprint matches"), "{words}");
}

#[test]
fn the_demo_fails_when_packets_are_lost() {
    // A server with room for a few packets, which stands still again and again.
    let folder = Folder::new("demo").unwrap();
    let file = folder.write("sallyport.toml", "[packets]\nreceive_buffer = 4096\n").unwrap();
    let server = built_beside_this().unwrap();
    let script = format!("#!/bin/sh\nexec {} --config {} \"$@\"\n", server.display(), file.display());
    let program = folder.write("server", script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    let mut demo = demo(&program);
    while demo.try_wait().unwrap().is_none() {
        if let Some(server) = server_of(&demo) {
            // The lengths of interruptions. It may have ended meanwhile.
            let _ = kill(server, Signal::SIGSTOP);
            sleep(Duration::from_millis(800));
            let _ = kill(server, Signal::SIGCONT);
        }
        sleep(Duration::from_millis(700));
    }
    let output = demo.wait_with_output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{words}");
    assert!(words.contains("\nNOT every packet arrived\n"), "{words}");
}
