//! A real browser: Chromium, driven by `browser/call.mjs`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// A page with one RTCPeerConnection, which sends a tone.
pub struct Chromium {
    driver: Child,
    commands: ChildStdin,
    results: Lines<BufReader<ChildStdout>>,
}

impl Chromium {
    /// Starts the browser; its page sends a tone of this frequency in Hz.
    pub fn start(frequency: u32) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let mut driver = Command::new("timeout")
            .args(["--kill-after=5", "120", "node", "call.mjs"])
            .arg(frequency.to_string())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node is needed to drive the browser")?;
        let commands = driver.stdin.take().context("piped")?;
        let results = BufReader::new(driver.stdout.take().context("piped")?).lines();
        let mut browser = Self { driver, commands, results };
        browser.result().context("the browser did not start")?;
        Ok(browser)
    }

    /// The page's offer, complete with candidates.
    pub fn offer(&mut self) -> anyhow::Result<String> {
        self.sdp(json!({"do": "offer"}))
    }

    /// A further offer of the page, with new ICE credentials.
    pub fn offer_ice_restart(&mut self) -> anyhow::Result<String> {
        self.sdp(json!({"do": "restart"}))
    }

    /// The page's answer to this offer.
    pub fn answer(&mut self, offer: &str) -> anyhow::Result<String> {
        self.sdp(json!({"do": "answer", "sdp": offer}))
    }

    /// Gives the page the answer to its offer.
    pub fn accept(&mut self, answer: &str) -> anyhow::Result<()> {
        self.ask(json!({"do": "accept", "sdp": answer})).map(drop)
    }

    /// Waits until the page says that it is connected.
    pub fn wait_until_connected(&mut self) -> anyhow::Result<()> {
        let result = self.ask(json!({"do": "connected"}))?;
        if result["connected"] != "connected" {
            bail!("the browser is not connected: {result}");
        }
        Ok(())
    }

    /// Listens for some seconds: `peaks` are the strongest frequencies in Hz at moments a tenth of a second or more apart,
    /// null in silence; further keys come from the browser's statistics.
    pub fn listen(&mut self, seconds: u32) -> anyhow::Result<Value> {
        self.ask(json!({"do": "listen", "seconds": seconds}))
    }

    fn sdp(&mut self, command: Value) -> anyhow::Result<String> {
        let result = self.ask(command)?;
        Ok(result["sdp"].as_str().context("no SDP from the page")?.to_owned())
    }

    fn ask(&mut self, command: Value) -> anyhow::Result<Value> {
        writeln!(self.commands, "{command}")?;
        self.result()
    }

    fn result(&mut self) -> anyhow::Result<Value> {
        let line = self.results.next().context("the browser's driver ended")??;
        let result: Value = serde_json::from_str(&line)?;
        match result.get("error") {
            Some(error) => bail!("the page says: {error}"),
            None => Ok(result),
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The driver ends the browser and itself; `timeout` ends both where that fails.
        let _ = writeln!(self.commands, "{}", json!({"do": "end"}));
        let _ = self.driver.wait();
    }
}
