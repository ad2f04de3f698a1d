//! Draining: no new calls, and the end when the last one has ended.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::admin_client;

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

/// `sallyport drain`: tells the server whose admin pages are there, and prints what it says.
pub(crate) fn ask(admin: SocketAddr) -> anyhow::Result<()> {
    let headers = "Content-Type: application/json\r\nContent-Length: 0\r\n";
    let body = admin_client::request(admin, "POST /drain", headers)?;
    let _ = writeln!(std::io::stdout(), "draining: {body}");
    Ok(())
}
