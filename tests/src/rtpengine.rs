//! Another relay: Debian's rtpengine, in userspace, in the caller's network namespace.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use crate::ng::NgClient;

/// A running rtpengine; it ends with this value.
pub struct Rtpengine {
    process: Child,
    ng: SocketAddr,
}

impl Rtpengine {
    /// Starts it with one thread and media on `address`, and waits until it answers a ping. Its control port and media
    /// ports are fixed, so it needs a namespace of its own.
    pub fn start(address: &str) -> anyhow::Result<Self> {
        let ng: SocketAddr = "127.0.0.1:22222".parse()?;
        let process = Command::new("rtpengine")
            .args(["--foreground", "--log-stderr", "--table=-1", "--num-threads=1", "--log-level=4"])
            .args(["--port-min=40000", "--port-max=40999"])
            .arg(format!("--interface={address}"))
            .arg(format!("--listen-ng={ng}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("rtpengine (Debian package rtpengine-daemon)")?;
        let mut this = Self { process, ng };
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = this.process.try_wait()? {
                bail!("rtpengine ended while it started: {status}");
            }
            let mut client = NgClient::with_patience(ng, Duration::from_millis(100))?;
            match client.command("ping", json!({})) {
                Ok(_) => return Ok(this),
                Err(error) if Instant::now() > deadline => return Err(error.context("rtpengine does not answer")),
                // A refused datagram comes back at once: the next try is a moment later.
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// A client of its control protocol.
    pub fn ng_client(&self) -> anyhow::Result<NgClient> {
        NgClient::connect(self.ng)
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
