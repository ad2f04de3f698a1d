//! Draining: no new calls, and the end when the last one has ended.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A drain under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    deadline: Instant,
}

impl Drain {
    pub(crate) fn begin(now: Instant, patience: Duration) -> Self {
        Self { deadline: now + patience }
    }

    /// When the calls that are left are ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the process can end.
    pub(crate) fn is_over(&self, now: Instant, calls: usize) -> bool {
        calls == 0 || now >= self.deadline
    }
}

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer that is read.
const MAX_ANSWER: u64 = 65_536;

/// `sallyport drain`: tells the server whose admin pages are there, and prints what it says.
pub(crate) fn ask(admin: SocketAddr) -> anyhow::Result<()> {
    let mut stream =
        TcpStream::connect_timeout(&admin, PATIENCE).with_context(|| format!("admin listener on {admin}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /drain HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut response).context("no answer")?;
    let (head, body) = response.split_once("\r\n\r\n").context("no answer that HTTP knows")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("refused: {}", body.trim_end());
    }
    let _ = writeln!(std::io::stdout(), "draining: {body}");
    Ok(())
}
