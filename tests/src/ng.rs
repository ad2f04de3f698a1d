//! A client of rtpengine's control protocol, with JSON bodies.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Speaks to one server. Each request is sent once; the answer is awaited for five seconds unless told otherwise.
pub struct NgClient {
    socket: UdpSocket,
}

/// Shared by all clients: a server takes a repeated cookie for a repeated request.
static NEXT_COOKIE: AtomicU64 = AtomicU64::new(1);

impl NgClient {
    /// A client of the server at this address.
    pub fn connect(server: SocketAddr) -> anyhow::Result<Self> {
        Self::with_patience(server, Duration::from_secs(5))
    }

    /// A client that awaits each answer for this long.
    pub fn with_patience(server: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" })?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self { socket })
    }

    /// Sends a request and returns the whole answer, whatever its result.
    pub fn request(&mut self, body: &Value) -> anyhow::Result<Value> {
        let cookie = format!("{}-{}", std::process::id(), NEXT_COOKIE.fetch_add(1, Ordering::Relaxed));
        self.socket.send(format!("{cookie} {body}").as_bytes())?;
        let mut buffer = vec![0; 65_536];
        loop {
            let length = self.socket.recv(&mut buffer).context("no answer from the ng socket")?;
            let answer = std::str::from_utf8(&buffer[..length])?;
            let (answered, body) = answer.split_once(' ').context("answer without a cookie")?;
            if answered == cookie {
                return Ok(serde_json::from_str(body)?);
            }
        }
    }

    /// Sends a command with these keys; an answer other than `ok` is an error in the server's words.
    pub fn command(&mut self, command: &str, mut keys: Value) -> anyhow::Result<Value> {
        keys["command"] = json!(command);
        let answer = self.request(&keys)?;
        match answer["result"].as_str() {
            Some("ok" | "pong") => Ok(answer),
            _ => bail!("{command} refused: {answer}"),
        }
    }

    /// An offer or answer; returns the rewritten SDP.
    pub fn describe(&mut self, command: &str, keys: Value) -> anyhow::Result<String> {
        let answer = self.command(command, keys)?;
        Ok(answer["sdp"].as_str().context("answer without sdp")?.to_owned())
    }
}
