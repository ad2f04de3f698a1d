//! SIP as the process serves it: where, for whom, and what its configuration may say.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Process, command};

/// Where the process listens by this transport.
fn address(process: &Process, transport: &str) -> SocketAddr {
    let line = process.lines.iter().find(|line| line.starts_with("sip ")).unwrap();
    let found = line.split([',', ';']).find_map(|part| part.trim_start_matches("sip").trim().strip_prefix(transport));
    found.unwrap_or_else(|| panic!("{line}")).trim().parse().unwrap()
}

fn request(method: &str, transport: &str, from: SocketAddr) -> String {
    format!(
        "{method} sip:sallyport SIP/2.0\r\nVia: SIP/2.0/{transport} {from};branch=z9hG4bK{method}{transport}\r\nMax-Forwards: 70\r\n\
         From: <sip:demo@sallyport>;tag=1\r\nTo: <sip:demo@sallyport>\r\nCall-ID: {transport}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:demo@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn requests_are_answered_over_udp_and_tcp() {
    let process = Process::start("26900-26999");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let own = socket.local_addr().unwrap();
    socket.send_to(request("OPTIONS", "UDP", own).as_bytes(), address(&process, "udp")).unwrap();
    let mut buffer = vec![0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    let response = String::from_utf8(buffer[..length].to_vec()).unwrap();
    assert!(response.starts_with("SIP/2.0 200 OK\r\n") && response.contains("\r\nAllow: INVITE"), "{response}");

    let mut stream = TcpStream::connect(address(&process, "tcp")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let own = stream.local_addr().unwrap();
    stream.write_all(request("REGISTER", "TCP", own).as_bytes()).unwrap();
    let mut response = String::new();
    while !response.contains("\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{response}");
        response.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    assert!(response.starts_with("SIP/2.0 401 "), "{response}");
    assert_eq!(response.matches("WWW-Authenticate: Digest realm=\"sallyport\"").count(), 3, "{response}");
    let lines = [
        "challenges_total 1",
        "connections{transport=\"tcp\"} 1",
        "messages_total{transport=\"udp\",direction=\"in\"} 1",
        "messages_total{transport=\"tcp\",direction=\"out\"} 1",
        "refusals_total{reason=\"rate\"} 0",
    ];
    // What was written is counted after it, and may have been read before.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let metrics = process.page("/metrics").1;
        let missing: Vec<&str> =
            lines.into_iter().filter(|line| !metrics.contains(&format!("\nsallyport_sip_{line}\n"))).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{missing:?}");
    }
    let line = process.lines.iter().find(|line| line.starts_with("sip ")).unwrap();
    assert!(line.contains("; user demo, password "), "{line}");
}

#[test]
fn sip_can_be_off() {
    let mut command = command(&["--ports", "27000-27099", "--sip", "off"]);
    let process = Process::spawn(&mut command);
    assert!(process.lines.iter().any(|line| line == "sip      off"), "{:?}", process.lines);
    assert!(!process.page("/metrics").1.contains("sallyport_sip"));
}

#[test]
fn an_address_that_is_configured_and_taken_prevents_the_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&["--sip", &address]).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(words.contains(&format!("sip: UDP {address}: Address already in use")), "{words}");
}

fn user_add(arguments: &[&str], password: &str) -> (bool, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sallyport"))
        .args(["user", "add"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The hashes are those of Python's hashlib.
#[test]
fn user_add_makes_a_line_of_a_password_on_standard_input() {
    let (done, line) = user_add(&["bob", "--realm", "biloxi.com"], "zanzibar\n");
    let expected = [
        "bob:biloxi.com",
        "12af60467a33e8518da5c68bbff12b11",
        "e65db393e748c5228939a6b4b2879e9ea5625cd79fd5267868cb568d69f6b97e",
        "a969680ab364e333ec5c93ff823d570a79841c8d40270655dd42f37b755dfc38",
    ];
    assert!(done);
    assert_eq!(line, expected.join(":") + "\n");
    assert!(!user_add(&["bob"], "\n").0, "no password");
    let (done, words) = user_add(&["b:b"], "x\n");
    assert!(!done && words.contains("a character that it may not have"), "{words}");
}

fn check(text: &str) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("sallyport-sip-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("users"), "bob:sallyport:x\n").unwrap();
    let file = folder.join("x.toml");
    std::fs::write(&file, text.replace("FOLDER", folder.to_str().unwrap())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sallyport")).arg("check").arg(&file).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap().replace(folder.to_str().unwrap(), "FOLDER");
    words.lines().map(str::to_owned).collect()
}

#[test]
fn check_names_what_is_wrong_with_the_tables_of_sip() {
    for (text, expected) in [
        ("[sip]\nlisten = [\"udp:0.0.0.0:5060\"]", "says nothing that a peer could answer to: add /HOST:PORT"),
        ("[sip]\nlisten = [\"sctp:1.2.3.4:5060\"]", "\"sctp\" is none of udp, tcp, tls, ws, wss"),
        ("[sip]\nlisten = [\"tls:1.2.3.4:5061\"]", "sip.listen: TLS and WSS need sip.certificate and sip.key"),
        ("[sip]\nkey = \"/x\"", "sip.key: sip.certificate is missing: they come together"),
        ("[sip]\nphones = \"strong\"", "\"strong\" is none of auto, plain, sdes, dtls, webrtc, osrtp"),
        ("[[sip.routes]]\nuser = \"*\"\nto = \"trunk:x\"", "sip.routes: to trunk:x: there is no such trunk"),
        ("[[sip.routes]]\nuser = \"*\"\nto = \"nowhere\"", "\"nowhere\" is none of registered, echo, trunk:NAME"),
        ("[[sip.routes]]\nuser = \"*\"\nto = \"echo\"\nwho = 1", "who is no field of this table"),
        ("[[sip.trunks]]\nname = \"x\"", "a trunk needs a uri"),
        ("[[sip.trunks]]\nname = \"x\"\nuri = \"sip:y\"\nusername = \"u\"", "username and password_file come together"),
        (
            "[[sip.trunks]]\nname = \"x\"\nuri = \"sip:y\"\naddresses = [\"1.2.3.4/33\"]",
            "is no ADDRESS or ADDRESS/BITS",
        ),
        ("[sip]\nusers = \"FOLDER/users\"", "sip.users: FOLDER/users:1: a line is NAME:REALM:MD5:SHA-256:SHA-512-256"),
        ("[sip]\nusers = \"/nonexistent\"", "sip.users: /nonexistent: No such file"),
        ("[sip]\nusrs = \"x\"", "sip.usrs: there is no such key; did you mean sip.users?"),
    ] {
        let words = check(text);
        assert!(words.iter().any(|line| line.contains(expected)), "{text}\n{words:?}");
    }
    let fine = "[sip]\nlisten = [\"udp:0.0.0.0:5060/sip.example.com\"]\nroutes = [{ user = \"1*\", from = \"t\", \
        to = [[\"a\", \"sip:b@c\"], \"d\"] }]\ntrunks = [{ name = \"t\", uri = \"sip:t.example\", addresses = [\"::1\"] }]\n";
    assert_eq!(check(fine), [""; 0]);
}
