//! Real peers, endpoints and scenarios that test the relay from outside.
//!
//! The endpoints are built on other people's protocol code (str0m for WebRTC, webrtc-srtp for the phone), so that an
//! error of ours cannot cancel itself out. The demo and the scenarios share them.

pub mod call;
pub mod chromium;
pub mod folder;
pub mod halves;
pub mod kamailio;
pub mod linphone;
pub mod namespace;
pub mod ng;
pub mod openssl;
pub mod phone;
pub mod rtpengine;
pub mod scanner;
pub mod server;
pub mod sip_agent;
pub mod sipp;
pub mod tally;
pub mod tone;
pub mod web;
pub mod web_phone;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;

/// A path in the temporary folder that nobody else uses.
pub fn own_temporary_path(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("sallyport-tests-{}-{number}-{name}", std::process::id()))
}

/// Asks again and again until it is so.
pub fn until(what: &str, patience: Duration, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("it did not come to this: {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
