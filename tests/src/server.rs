//! The server under test: the real binary, in a process of its own, on ports of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::folder::Folder;
use crate::ng::NgClient;

/// A running server; it ends with this value.
pub struct Server {
    process: Child,
    /// Where its control protocol listens.
    pub ng: SocketAddr,
    /// Where its metrics and calls are served.
    pub admin: SocketAddr,
    /// The lines that it printed when it was ready.
    introduction: Vec<String>,
}

impl Server {
    /// Starts the server that was built beside the running test.
    pub fn start(flags: &[&str]) -> anyhow::Result<Self> {
        Self::start_binary(&built_beside_this()?, flags)
    }

    /// As [`Server::start`], for these users, who all have one password, with these lines of `[sip]`.
    pub fn start_for(users: &[&str], password: &str, sip: &str, flags: &[&str]) -> anyhow::Result<Self> {
        // It has read its files when it says that it is ready.
        let folder = Folder::new("users")?;
        let users = write_users(&folder, users, password)?;
        let file = folder.write("sallyport.toml", format!("[sip]\nusers = {users:?}\n{sip}\n"))?;
        Self::start(&[&["--config", file.to_str().context("a name in UTF-8")?], flags].concat())
    }

    /// Starts this binary. It listens on loopback, on ports that the system chooses; `flags` come last and win.
    pub fn start_binary(binary: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        Self::start_half(binary, &[], flags)
    }

    /// As [`Server::start_binary`], with words before all flags.
    pub(crate) fn start_half(binary: &Path, words: &[&str], flags: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(words)
            .args(["--ng", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(if words == ["pump"] { &[][..] } else { &["--sip", "127.0.0.1:0"] })
            .args(flags);
        Self::start_command(command)
    }

    /// A half whose configuration says where SIP is served.
    pub(crate) fn start_configured_half(
        binary: &Path,
        word: &str,
        configuration: &Path,
        flags: &[String],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command
            .args([word, "--ng", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
            .arg(configuration)
            .args(flags);
        Self::start_command(command)
    }

    fn start_command(mut command: Command) -> anyhow::Result<Self> {
        let mut process =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("{}", command.get_program().display()))?;
        let stdout = process.stdout.take().context("piped")?;
        let mut introduction = Vec::<String>::new();
        let mut lines = BufReader::new(stdout).lines();
        while introduction.last().is_none_or(|line| !line.starts_with("try ")) {
            let Some(line) = lines.next().transpose()? else {
                bail!("the server ended while it started: {}", process.wait()?);
            };
            introduction.push(line);
        }
        let address =
            |word| introduction.iter().find(|line| line.starts_with(word)).and_then(|line| first_address(line));
        let (ng, admin) = (address("ng "), address("admin "));
        // Keeps the pipe empty, so that the server never waits for us.
        std::thread::spawn(move || lines.count());
        let (ng, admin) = (ng.context("no ng address")?, admin.context("no admin address")?);
        Ok(Self { process, ng, admin, introduction })
    }

    /// Where its web phone is.
    pub fn web_phone(&self) -> anyhow::Result<&str> {
        let line = self.introduction.iter().find_map(|line| line.strip_prefix("try "));
        let first = line.and_then(|line| line.split_whitespace().next());
        first.filter(|word| word.starts_with("http")).context("no web phone")
    }

    /// Where it takes SIP over UDP.
    pub fn sip(&self) -> anyhow::Result<SocketAddr> {
        self.sip_over("udp")
    }

    /// Where it takes SIP over this transport: `udp`, `tcp`, `ws` …
    pub fn sip_over(&self, transport: &str) -> anyhow::Result<SocketAddr> {
        let line = self.introduction.iter().find_map(|line| line.strip_prefix("sip ")).unwrap_or_default();
        let parts = line.split([',', ';']).filter_map(|part| part.trim().split_once(' '));
        let address = parts.into_iter().find(|(name, _)| *name == transport).map(|(_, address)| address);
        Ok(address.with_context(|| format!("no SIP over {transport}"))?.parse()?)
    }

    /// Password of the user `demo`.
    pub fn demo_password(&self) -> anyhow::Result<&str> {
        let line = self.introduction.iter().find(|line| line.starts_with("sip "));
        line.and_then(|line| line.split_once("password ")).map(|(_, password)| password).context("no user demo")
    }

    /// Kills it: SIGKILL, so that it can do nothing more.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// A client of its control protocol.
    pub fn ng_client(&self) -> anyhow::Result<NgClient> {
        NgClient::connect(self.ng)
    }

    /// The body of a page of its admin listener.
    pub fn page(&self, path: &str) -> anyhow::Result<String> {
        page(self.admin, path)
    }

    /// Waits until a call's DTLS leg has its keys and a certificate that matches.
    pub fn wait_until_verified(&self, call_id: &str, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let page = self.page(&format!("/calls/{call_id}"))?;
            if page.contains("fingerprint matches") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("no leg is verified: {page}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The sum of a metric over all its label sets that contain `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> anyhow::Result<f64> {
        metric(self.admin, name, labels)
    }

    /// What was dropped, by verdict, in one line.
    pub fn dropped(&self) -> anyhow::Result<String> {
        let page = self.page("/metrics")?;
        let lines = page.lines().filter(|line| line.starts_with("sallyport_packets_dropped_total"));
        let counts = lines.filter_map(|line| line.split_once("verdict=")).map(|(_, count)| count);
        Ok(counts.filter(|count| !count.ends_with(" 0")).collect::<Vec<_>>().join(", "))
    }

    /// Asks the server to end in order and returns its exit status.
    pub fn stop(self) -> anyhow::Result<std::process::ExitStatus> {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.process.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )?;
        self.wait()
    }

    /// The exit status of a server that is about to end by itself.
    pub fn wait(mut self) -> anyhow::Result<std::process::ExitStatus> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the server does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes a users file into this folder: these users, who all have one password.
pub fn write_users(folder: &Folder, users: &[&str], password: &str) -> anyhow::Result<PathBuf> {
    let lines = users.iter().map(|user| user_line(user, password)).collect::<anyhow::Result<String>>()?;
    folder.write("users", lines)
}

/// The line of a user in a users file, as the server's own command makes it.
pub fn user_line(name: &str, password: &str) -> anyhow::Result<String> {
    let mut command = Command::new(built_beside_this()?);
    let mut process = command
        .args(["user", "add", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("sallyport")?;
    writeln!(process.stdin.take().context("piped")?, "{password}")?;
    let output = process.wait_with_output()?;
    if !output.status.success() {
        bail!("sallyport user add {name}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The body of a page of an admin listener; anything but 200 is an error that begins with the answer's head.
pub(crate) fn page(admin: SocketAddr, path: &str) -> anyhow::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", admin)?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("no end of headers")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{path}: {head}");
    }
    Ok(body.to_owned())
}

pub(crate) fn metric(admin: SocketAddr, name: &str, labels: &str) -> anyhow::Result<f64> {
    let page = page(admin, "/metrics")?;
    let values = page.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or("#");
        (rest.starts_with('{') || rest.starts_with(' ')) && rest.contains(labels)
    });
    values.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<f64>()?)).sum()
}

pub(crate) fn first_address(line: &str) -> Option<SocketAddr> {
    line.split_whitespace().find_map(|word| {
        let word = word.strip_prefix("http://").unwrap_or(word);
        word.split('/').next()?.parse().ok()
    })
}

/// The server that was built beside the running test.
pub fn built_beside_this() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    // target/debug/deps/scenario-… or target/debug/demo
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("sallyport")).find(|path| path.is_file());
    beside.context("the server is not built: cargo build --package sallyport")
}
