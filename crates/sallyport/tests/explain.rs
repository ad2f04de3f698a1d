//! `sallyport explain`, and the records of calls, against a running server.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Output;

use nix::sys::signal::Signal;

use support::{Process, audio_port, command, eventually, offer};

fn explain(process: &Process, options: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sallyport"));
    command.arg("explain").args(options).args(["--admin", &process.admin.to_string()]).output().unwrap()
}

fn text(process: &Process, call_id: &str) -> String {
    let output = explain(process, &[call_id]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sallyport-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// An offer or answer whose section is keyed by SDES with a key of one byte repeated.
fn sdes(cookie: &str, command: &str, call_id: &str, key: u8) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let key = String::from_utf8(vec![ALPHABET[usize::from(key)]; 40]).unwrap();
    let sdp = format!(
        "v=0\\r\\no=- 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nc=IN IP4 127.0.0.1\\r\\nt=0 0\\r\\nm=audio 4000 RTP/SAVP 0\\r\\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\\r\\n"
    );
    let only = r#","SDES":["only-AES_CM_128_HMAC_SHA1_80"]"#;
    format!(
        r#"{cookie} {{"command":"{command}","call-id":"{call_id}","from-tag":"a","to-tag":"b","sdp":"{sdp}"{only}}}"#
    )
}

#[test]
fn it_says_why_there_is_no_audio_in_words_and_in_json() {
    let process = Process::start("26300-26399");
    process.ask(&offer("c1", "one/two?x"));
    let words = text(&process, "one/two?x");
    assert!(words.starts_with("call one/two?x: offered\n"), "{words}");
    let output = explain(&process, &["one/two?x", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["explanation"]["call_id"], "one/two?x");
    assert_eq!(json["explanation"]["legs"][0]["security"]["keying"], "pending");

    let unknown = explain(&process, &["nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&unknown.stderr), "sallyport: refused: no such call\n");
}

#[test]
fn a_packet_that_fails_is_examined_on_a_thread_of_its_own() {
    let process = Process::start("26400-26499");
    process.ask(&sdes("c1", "offer", "one", 0).replace(r#""to-tag":"b","#, ""));
    let answer = process.ask(&sdes("c2", "answer", "one", 1));
    // A's media port stands in the description that A gets; A sends plain RTP.
    let port = audio_port(&answer);
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sequence = 0_u16;
    eventually("the cause is named", || {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        packet.extend([0xd5; 160]);
        phone.send_to(&packet, ("127.0.0.1", port)).unwrap();
        sequence += 1;
        text(&process, "one").contains("B hears A: no: A sends plain RTP although security was negotiated")
    });
    let words = text(&process, "one");
    assert!(words.contains("A hears B: no: nothing has come from B"), "{words}");
    assert!(words.contains("bad_tag"), "{words}");
}

#[test]
fn a_call_leaves_a_record_and_the_file_can_be_moved_away() {
    let folder = folder("records");
    let (file, moved) = (folder.join("calls.jsonl"), folder.join("calls.jsonl.1"));
    let process = Process::spawn(&mut command(&["--ports", "26500-26599", "--records", file.to_str().unwrap()]));
    let call = |cookie: &str, id: &str| {
        process.ask(&offer(cookie, id));
        process.ask(&format!(r#"d{cookie} {{"command":"delete","call-id":"{id}","from-tag":"a","delete delay":0}}"#));
    };
    let read = |file: &PathBuf| std::fs::read_to_string(file).unwrap_or_default();
    call("c1", "one");
    eventually("the record is written", || read(&file).ends_with('\n'));
    std::fs::rename(&file, &moved).unwrap();
    process.kill(Signal::SIGHUP);
    eventually("the file is made anew", || file.exists());
    call("c2", "two");
    eventually("the record is written", || read(&file).ends_with('\n'));
    for (file, id) in [(&moved, "one"), (&file, "two")] {
        let record: serde_json::Value = serde_json::from_str(&read(file)).unwrap();
        assert_eq!((&record["call_id"], &record["reason"]), (&id.into(), &"deleted".into()));
        assert!(record["ended"].as_f64() >= record["began"].as_f64(), "{record}");
    }
    process.ask(&offer("c3", "three"));
    assert_eq!(process.signal(Signal::SIGTERM).code(), Some(0));
    assert!(read(&file).lines().any(|line| line.contains(r#""call_id":"three""#)), "written before the end");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn records_that_cannot_be_written_are_an_error_at_the_start() {
    let mut command = command(&["--ports", "26600-26699", "--records", "/nonexistent/calls.jsonl"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("records: /nonexistent/calls.jsonl"));
}
