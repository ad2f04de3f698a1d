//! The program as a process: what it prints, answers and returns.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running server on ports that the system chose. Killed when dropped.
struct Process {
    child: Child,
    lines: Vec<String>,
    ng: SocketAddr,
    admin: SocketAddr,
}

fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyport"));
    command.args(["--ng", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]);
    command.args(["--media", "127.0.0.1"]).args(options);
    command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    /// Every test has ports of its own.
    fn start(ports: &str) -> Self {
        let mut child = command(&["--ports", ports]).stderr(Stdio::inherit()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<String> = (0..5).map(|_| reader.next().unwrap().unwrap()).collect();
        let address = |word: &str| {
            let line = lines.iter().find(|line| line.starts_with(word)).unwrap();
            let second = line.split_whitespace().nth(1).unwrap();
            second.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
        };
        let (ng, admin) = (address("ng "), address("admin "));
        Self { child, lines, ng, admin }
    }

    fn ask(&self, datagram: &str) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(datagram.as_bytes(), self.ng).unwrap();
        let mut buffer = vec![0; 65_536];
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn signal(mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An offer of one plain audio section.
fn offer(cookie: &str, call_id: &str) -> String {
    let sdp = "v=0\\r\\no=- 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nc=IN IP4 127.0.0.1\\r\\nt=0 0\\r\\nm=audio 4000 RTP/AVP 0\\r\\n";
    format!(r#"{cookie} {{"command":"offer","call-id":"{call_id}","from-tag":"a","sdp":"{sdp}"}}"#)
}

/// The port of the audio section in a reply.
fn audio_port(reply: &str) -> u16 {
    let rest = reply.split_once("m=audio ").unwrap_or_else(|| panic!("{reply}")).1;
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn it_prints_five_lines_answers_and_ends_with_success() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let process = Process::start("26000-26099");
        let words: Vec<_> = process.lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(words, ["ng", "admin", "media", "backend", "try"]);
        assert_eq!(process.ask("1 d7:command4:pinge"), "1 d6:result4:ponge");
        assert_eq!(process.page("/healthz"), (200, "ok\n".into()));
        assert_eq!(process.page("/readyz"), (200, "ready\n".into()));
        assert_eq!(process.page("/calls/none").0, 404);
        let metrics = process.page("/metrics").1;
        assert!(metrics.contains("\nsallyport_ng_commands_total{command=\"ping\",result=\"pong\"} 1\n"), "{metrics}");
        assert!(metrics.contains("\nsallyport_calls 0\n"), "{metrics}");
        assert_eq!(process.signal(signal).code(), Some(0));
    }
}

#[test]
fn an_offer_binds_ports_and_a_repeated_one_gets_the_same() {
    let process = Process::start("26100-26199");
    let first = process.ask(&offer("c1", "one"));
    assert!((26100..=26199).contains(&audio_port(&first)), "{first}");
    assert_eq!(process.ask(&offer("c1", "one")), first);
    assert!(UdpSocket::bind(("127.0.0.1", audio_port(&first))).is_err(), "the port is bound");
    let (status, call) = process.page("/calls/one");
    assert!(status == 200 && call.contains("\"state\":\"offered\""), "{call}");
    let query = process.ask(r#"c2 {"command":"query","call-id":"one"}"#);
    assert!(query.contains("\"totals\"") && query.contains("\"result\":\"ok\""), "{query}");
    let metrics = process.page("/metrics").1;
    assert!(metrics.contains("\nsallyport_calls 1\n"), "{metrics}");
    assert!(metrics.contains("\nsallyport_ng_retransmissions_total 1\n"), "{metrics}");
    let deleted = process.ask(r#"c3 {"command":"delete","call-id":"one","from-tag":"a","delete delay":0}"#);
    assert!(deleted.contains("\"result\":\"ok\""), "{deleted}");
    assert!(process.page("/metrics").1.contains("\nsallyport_calls_ended_total{cause=\"deleted\"} 1\n"));
}

#[test]
fn running_calls_are_ended_before_it_ends() {
    let process = Process::start("26200-26299");
    let port = audio_port(&process.ask(&offer("c1", "one")));
    let before = Instant::now();
    assert_eq!(process.signal(Signal::SIGTERM).code(), Some(0));
    assert!(before.elapsed() < Duration::from_millis(1500), "no deadline had to pass");
    UdpSocket::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn bad_requests_are_answered_and_disturb_nobody() {
    let process = Process::start("26300-26399");
    let error = process.ask("c1 d7:command5:offer3:sdp4294967296:v=0e");
    assert!(error.contains("Failed to decode message: string longer than the message at byte 22"), "{error}");
    let error = process.ask(r#"c2 {"command":"answer","call-id":"x","from-tag":"a","to-tag":"b","sdp":"v=0\r\n"}"#);
    assert!(error.contains("\"result\":\"error\""), "{error}");
    let error = process.ask(r#"c3 {"command":"play media","call-id":"x"}"#);
    assert!(error.contains("Unsupported command: play media"), "{error}");
    audio_port(&process.ask(&offer("c4", "one")));
}

fn failure(options: &[&str]) -> String {
    let output = command(options).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_prevents_the_start_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = failure(&["--admin", &address]);
    assert!(words.contains(&format!("admin listener on {address}: Address already in use")), "{words}");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = failure(&["--ng", &address]);
    assert!(words.contains(&format!("ng listener on {address}: Address already in use")), "{words}");
    // 192.0.2.0/24 belongs to no machine (RFC 5737).
    let words = failure(&["--media", "far=192.0.2.1"]);
    assert!(words.contains("media address 192.0.2.1: Cannot assign requested address"), "{words}");
    let words = failure(&["--config", "/nonexistent/sallyport.toml"]);
    assert!(words.contains("/nonexistent/sallyport.toml: No such file"), "{words}");
}
