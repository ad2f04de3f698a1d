//! A real SIP proxy, Debian's Kamailio: as an SBC with its rtpengine module, and as a carrier that asks for credentials.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where it takes SIP, at the address that it is started with.
pub const PORT: u16 = 5060;

/// A running Kamailio; it ends with this value. Users are numbers: user N is at port 5080 + N, and a call to 9 goes to 2
/// and 3 at once.
pub struct Kamailio {
    process: Child,
    configuration: PathBuf,
    said: Arc<Said>,
}

/// What its configurations write into the log.
#[derive(Default)]
struct Said {
    credentials: Mutex<Vec<i32>>,
    qualities: Mutex<Vec<String>>,
}

/// What the carrier wants to see.
pub const ACCOUNT: &str = "account";
/// Its password.
pub const PASSWORD: &str = "open-sesame";

/// What Kamailio says of credentials that are right.
pub const RIGHT: i32 = 1;
/// The password is wrong.
pub const WRONG_PASSWORD: i32 = -2;
/// There are none.
pub const NO_CREDENTIALS: i32 = -5;

impl Kamailio {
    /// Starts it at `address` as an SBC, its rtpengine module pointed at `ng`, and waits until it is ready. Users 1 and 3
    /// speak SDES, 2 speaks DTLS-SRTP.
    pub fn start(address: &str, ng: SocketAddr) -> anyhow::Result<Self> {
        Self::start_with(&include_str!("../peers/kamailio.cfg").replace("NG", &ng.to_string()), address)
    }

    /// Starts it at `address` as a carrier that knows [`ACCOUNT`], and waits until it is ready.
    pub fn start_trunk(address: &str) -> anyhow::Result<Self> {
        let text = include_str!("../peers/kamailio-trunk.cfg");
        Self::start_with(&text.replace("ACCOUNT", ACCOUNT).replace("PASSWORD", PASSWORD), address)
    }

    fn start_with(configuration_text: &str, address: &str) -> anyhow::Result<Self> {
        let configuration = crate::own_temporary_path("kamailio.cfg");
        std::fs::write(&configuration, configuration_text.replace("ADDRESS", address))?;
        let mut process = Command::new("kamailio")
            .arg("-f")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("kamailio (Debian package kamailio)")?;
        let log = process.stderr.take().context("piped")?;
        let said = Arc::new(Said::default());
        std::thread::spawn({
            let said = said.clone();
            move || watch(log, &said)
        });
        let mut this = Self { process, configuration, said };
        this.wait_until_ready(address)?;
        Ok(this)
    }

    /// What the carrier found of the credentials of each INVITE: [`RIGHT`], [`WRONG_PASSWORD`], [`NO_CREDENTIALS`] or another
    /// of `pv_proxy_authenticate`'s results.
    pub fn credentials(&self) -> Vec<i32> {
        self.said.credentials.lock().expect("no panic while held").clone()
    }

    /// The SBC's variables of a call's quality (`average=4.3 loss=0 …`), of each call that has ended. `<null>`: not set.
    pub fn qualities(&self) -> Vec<String> {
        self.said.qualities.lock().expect("no panic while held").clone()
    }

    /// Until it answers a request.
    fn wait_until_ready(&mut self, address: &str) -> anyhow::Result<()> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let own = socket.local_addr()?;
        let probe = format!(
            "OPTIONS sip:{address}:{PORT} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKprobe\r\nMax-Forwards: 1\r\n\
             From: <sip:probe@{own}>;tag=1\r\nTo: <sip:{address}>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut response = [0; 2048];
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!("kamailio ended while it started: {status}");
            }
            socket.send_to(probe.as_bytes(), (address, PORT))?;
            if socket.recv(&mut response).is_ok() {
                return Ok(());
            }
        }
        bail!("kamailio does not answer");
    }
}

/// Notes the configurations' own lines, and passes on what else it logs.
fn watch(log: impl std::io::Read, said: &Said) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let behind = |words: &str| line.split_once(words).map(|(_, rest)| rest.trim());
        if let Some(Ok(verdict)) = behind("trunk: credentials ").map(str::parse) {
            said.credentials.lock().expect("no panic while held").push(verdict);
        } else if let Some(quality) = behind("quality: ") {
            said.qualities.lock().expect("no panic while held").push(quality.to_owned());
        } else {
            eprintln!("{line}");
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It has children: they end with it when it is asked, not when it is killed.
        let _ = kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.configuration);
    }
}
