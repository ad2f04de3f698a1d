//! The server as a process, for tests.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server on ports that the system chose. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) lines: Vec<String>,
    pub(crate) ng: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyport"));
    command.args(["--ng", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]);
    command.args(["--sip", "127.0.0.1:0"]);
    command.args(["--media", "127.0.0.1"]).args(options);
    command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    /// Every test has ports of its own.
    pub(crate) fn start(ports: &str) -> Self {
        Self::spawn(&mut command(&["--ports", ports]))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let log = Arc::clone(&log);
            move || errors.map_while(Result::ok).for_each(|line| log.lock().unwrap().push(line))
        });
        let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = Vec::<String>::new();
        while lines.last().is_none_or(|line| !line.starts_with("try ")) {
            lines.push(reader.next().expect("a line that begins with try").unwrap());
        }
        let address = |word: &str| {
            let line = lines.iter().find(|line| line.starts_with(word)).unwrap();
            let second = line.split_whitespace().nth(1).unwrap();
            second.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
        };
        let (ng, admin) = (address("ng "), address("admin "));
        Self { child, lines, ng, admin, log }
    }

    pub(crate) fn ask(&self, datagram: &str) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(datagram.as_bytes(), self.ng).unwrap();
        let mut buffer = vec![0; 65_536];
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        self.request(&format!("GET {path}"), &format!("Host: {}\r\n", self.admin))
    }

    pub(crate) fn request(&self, line: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.page("/metrics").1;
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn kill(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) fn signal(self, signal: Signal) -> ExitStatus {
        self.kill(signal);
        self.end()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> ExitStatus {
        let mut status = None;
        eventually("the server ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// How many lines of the log so far have all these words.
    pub(crate) fn lines_logged(&self, words: &[&str]) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Waits for a line of the log that has all of these words.
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        let mut found = None;
        eventually(&format!("the log says {words:?}"), || {
            let log = self.log.lock().unwrap();
            found = log.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned();
            found.is_some()
        });
        found.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log.lock().map(|log| log.join("\n")).unwrap_or_default());
        }
    }
}

/// Asks again and again until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An offer of one plain audio section.
pub(crate) fn offer(cookie: &str, call_id: &str) -> String {
    offer_with(cookie, call_id, "")
}

/// With more keys of the request, each with a comma before it.
pub(crate) fn offer_with(cookie: &str, call_id: &str, keys: &str) -> String {
    let sdp = "v=0\\r\\no=- 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nc=IN IP4 127.0.0.1\\r\\nt=0 0\\r\\nm=audio 4000 RTP/AVP 0\\r\\n";
    format!(r#"{cookie} {{"command":"offer","call-id":"{call_id}","from-tag":"a","sdp":"{sdp}"{keys}}}"#)
}

/// The port of the audio section in a reply.
pub(crate) fn audio_port(reply: &str) -> u16 {
    let rest = reply.split_once("m=audio ").unwrap_or_else(|| panic!("{reply}")).1;
    rest.split(' ').next().unwrap().parse().unwrap()
}
