//! The server as two processes: `sallyport pump` and `sallyport signal`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::folder::Folder;
use crate::server::{self, Server};

/// Where two processes meet: a folder of its own, gone with this value.
pub struct Meeting {
    folder: Folder,
    address: String,
    ports: String,
}

impl Meeting {
    /// Both processes get these media ports.
    pub fn new(ports: &str) -> anyhow::Result<Self> {
        Self::at("127.0.0.1", ports)
    }

    /// As [`Meeting::new`], with media at this address.
    pub fn at(address: &str, ports: &str) -> anyhow::Result<Self> {
        Ok(Self { folder: Folder::new(ports)?, address: address.to_owned(), ports: ports.to_owned() })
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// A file of these users in the folder, who all have one password.
    pub fn users(&self, users: &[&str], password: &str) -> anyhow::Result<PathBuf> {
        server::write_users(&self.folder, users, password)
    }

    /// A configuration file in the folder.
    pub fn file(&self, text: &str) -> anyhow::Result<PathBuf> {
        self.folder.write("sallyport.toml", text)
    }

    /// Starts the media half.
    pub fn start_pump(&self) -> anyhow::Result<Pump> {
        Pump::start(&server::built_beside_this()?, &self.flags())
    }

    /// Starts the signalling half; it need not be connected yet.
    pub fn start_signal(&self, more: &[&str]) -> anyhow::Result<Server> {
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Server::start_half(&server::built_beside_this()?, &["signal"], &flags)
    }

    /// Starts the signalling half with this configuration, which says where SIP is served.
    pub fn start_configured_signal(&self, file: &Path) -> anyhow::Result<Server> {
        Server::start_configured_half(&server::built_beside_this()?, "signal", file, &self.flags())
    }

    fn flags(&self) -> Vec<String> {
        let control = self.control().to_string_lossy().into_owned();
        ["--media", &self.address, "--ports", &self.ports, "--control", &control].map(str::to_owned).to_vec()
    }
}

/// A running media half; it is killed with this value.
pub struct Pump {
    process: Child,
    admin: SocketAddr,
}

impl Pump {
    fn start(binary: &Path, flags: &[String]) -> anyhow::Result<Self> {
        let mut process = Command::new(binary)
            .args(["pump", "--admin", "127.0.0.1:0", "--workers", "2"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{}", binary.display()))?;
        let mut lines = BufReader::new(process.stdout.take().context("piped")?).lines();
        loop {
            let Some(line) = lines.next().transpose()? else {
                bail!("the media half ended while it started: {}", process.wait()?);
            };
            if line.starts_with("admin") {
                let admin = server::first_address(&line).context("no admin address")?;
                return Ok(Self { process, admin });
            }
        }
    }

    /// Kills it: SIGKILL, so that it can do nothing more.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Calls that its workers have.
    pub fn calls(&self) -> anyhow::Result<f64> {
        server::metric(self.admin, "sallyport_worker_calls", "")
    }

    /// The sum of a metric of its own over all its label sets that contain `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        server::metric(self.admin, name, labels)
    }

    /// The body of a page of its admin listener.
    pub fn page(&self, path: &str) -> anyhow::Result<String> {
        server::page(self.admin, path)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until this server takes calls.
pub fn until_ready(server: &Server) -> anyhow::Result<()> {
    crate::until("ready", Duration::from_secs(20), || Ok(server.page("/readyz").is_ok()))
}
