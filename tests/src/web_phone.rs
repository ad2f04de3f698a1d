//! The web phone in a real Chromium, used by its buttons: `browser/web_phone.mjs` drives it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::linphone::wav;
use crate::tone::{SAMPLE_RATE, sine};

/// The page in a browser whose microphone hears a tone.
pub struct WebPhone {
    driver: Child,
    commands: ChildStdin,
    results: Lines<BufReader<ChildStdout>>,
    /// The browser's profile, and what the microphone hears.
    _folder: Folder,
}

impl WebPhone {
    /// Starts a browser and loads the page at this address.
    pub fn open(url: &str, frequency: f64) -> anyhow::Result<Self> {
        let folder = Folder::new("web-phone")?;
        let microphone = folder.write("tone.wav", wav(&sine(frequency, 60 * SAMPLE_RATE as usize)))?;
        let mut driver = Command::new("timeout")
            .args(["--kill-after=5", "180", "node", "web_phone.mjs"])
            .arg(folder.path().join("profile"))
            .arg(&microphone)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node is needed to drive the browser")?;
        let commands = driver.stdin.take().context("piped")?;
        let results = BufReader::new(driver.stdout.take().context("piped")?).lines();
        let mut phone = Self { driver, commands, results, _folder: folder };
        phone.result().context("the browser did not start")?;
        phone.ask(json!({"do": "open", "url": url}))?;
        Ok(phone)
    }

    /// Leaves the page.
    pub fn leave(&mut self) -> anyhow::Result<()> {
        self.ask(json!({"do": "open", "url": "about:blank"})).map(drop)
    }

    /// Signs in and waits until the server has taken the registration.
    pub fn sign_in(&mut self, user: &str, password: &str) -> anyhow::Result<()> {
        self.fill("user", user)?;
        self.fill("password", password)?;
        self.click("sign-in")?;
        self.wait("registration", "ready").map(drop)
    }

    /// Types into the field of this id.
    pub fn fill(&mut self, id: &str, value: &str) -> anyhow::Result<()> {
        self.ask(json!({"do": "fill", "id": id, "value": value})).map(drop)
    }

    /// Clicks the element of this id.
    pub fn click(&mut self, id: &str) -> anyhow::Result<()> {
        self.ask(json!({"do": "click", "id": id})).map(drop)
    }

    /// Waits until the element of this id is visible and has this text; returns all of it.
    pub fn wait(&mut self, id: &str, text: &str) -> anyhow::Result<String> {
        let result = self.ask(json!({"do": "wait", "id": id, "text": text}))?;
        Ok(result["text"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the element of this id is not visible.
    pub fn wait_until_hidden(&mut self, id: &str) -> anyhow::Result<()> {
        self.ask(json!({"do": "hidden", "id": id})).map(drop)
    }

    /// What a list of facts on the page says, by name.
    pub fn facts(&mut self, id: &str) -> anyhow::Result<Value> {
        self.ask(json!({"do": "facts", "id": id}))
    }

    /// Listens for some seconds: `peaks` are the strongest frequencies in Hz at moments a tenth of a second or more apart,
    /// null in silence.
    pub fn listen(&mut self, seconds: u32) -> anyhow::Result<Value> {
        self.ask(json!({"do": "listen", "seconds": seconds}))
    }

    /// What the page has logged as errors, violations of its policy among them.
    pub fn errors(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.ask(json!({"do": "errors"}))?["errors"].take())?)
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

impl Drop for WebPhone {
    fn drop(&mut self) {
        // The driver ends the browser and itself; `timeout` ends both where that fails.
        let _ = writeln!(self.commands, "{}", json!({"do": "end"}));
        let _ = self.driver.wait();
    }
}
