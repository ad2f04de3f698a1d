//! Scenarios of SIP, message by message: Debian's sipp.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::folder::Folder;
use crate::tone::{SAMPLE_RATE, encode_ulaw, sine};

/// A running sipp with a folder of its own, for one call; both end with this value.
pub struct Sipp {
    process: Child,
    folder: Folder,
    scenario: &'static str,
}

impl Sipp {
    /// Plays a scenario of `tests/sipp` at `address:port`. Its media are a tone of this frequency.
    pub fn start(scenario: &'static str, address: &str, port: u16, tone: f64) -> anyhow::Result<Self> {
        let folder = Folder::new("sipp")?;
        let tone: Vec<u8> = sine(tone, SAMPLE_RATE as usize).into_iter().map(encode_ulaw).collect();
        folder.write("tone.ulaw", tone)?;
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("sipp").join(scenario).with_extension("xml");
        let process = Command::new("sipp")
            .current_dir(folder.path())
            .arg("-sf")
            .arg(text)
            .args(["-i", address, "-p", &port.to_string(), "-m", "1", "-nostdin", "-trace_err", "-trace_msg"])
            .args(["-timeout", "60s", "-timeout_error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("sipp (Debian package sip-tester)")?;
        Ok(Self { process, folder, scenario })
    }

    /// Waits until its scenario has come to its end, message by message.
    pub fn wait(mut self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("sipp {}: {status}\n{}", self.scenario, self.traces()),
                None if Instant::now() > deadline => {
                    bail!("sipp {} is not at its end\n{}", self.scenario, self.traces())
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// What it has complained about, and the messages before.
    fn traces(&self) -> String {
        let entries = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        let logs = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
        logs.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
