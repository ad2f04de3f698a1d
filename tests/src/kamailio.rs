//! A real SBC's client of the control protocol: Debian's Kamailio with its rtpengine module.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where it takes SIP, at the address that it is started with.
pub const PORT: u16 = 5060;

/// A running Kamailio; it ends with this value. Users are numbers: 1 and 3 speak SDES, 2 speaks DTLS-SRTP, user N is at
/// port 5080 + N, and a call to 9 goes to 2 and 3 at once.
pub struct Kamailio {
    process: Child,
    configuration: PathBuf,
}

impl Kamailio {
    /// Starts it at `address`, its rtpengine module pointed at `ng`, and waits until it is ready.
    pub fn start(address: &str, ng: SocketAddr) -> anyhow::Result<Self> {
        let configuration = crate::own_temporary_path("kamailio.cfg");
        let text = include_str!("../peers/kamailio.cfg").replace("ADDRESS", address).replace("NG", &ng.to_string());
        std::fs::write(&configuration, text)?;
        let process = Command::new("kamailio")
            .arg("-f")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("kamailio (Debian package kamailio)")?;
        let mut this = Self { process, configuration };
        this.wait_until_ready(address)?;
        Ok(this)
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
