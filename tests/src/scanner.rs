//! A scanner as the internet runs it: SIPVicious, which `cargo xtask test` installs into `scanner/venv`.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// True when it is installed. In continuous integration it must be: there this panics instead of saying no.
pub fn is_installed() -> bool {
    let installed = tool("svwar").exists();
    assert!(installed || std::env::var_os("CI").is_none(), "this test needs SIPVicious, and must not be left out here");
    if !installed {
        eprintln!("left out: needs SIPVicious, which `cargo xtask test` installs");
    }
    installed
}

fn tool(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("scanner/venv/bin/sipvicious_{name}"))
}

/// Runs `svmap`, `svwar` or `svcrack` to its end, against an address: all that it said, without colours.
pub fn run(name: &str, arguments: &[&str], server: SocketAddr) -> anyhow::Result<String> {
    let output = command(name, arguments, server).output().context("SIPVicious")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    // 124: of `timeout`.
    if output.status.code() == Some(124) || said.contains("Traceback") {
        bail!("{name}: {}\n{said}", output.status);
    }
    Ok(said)
}

fn command(name: &str, arguments: &[&str], server: SocketAddr) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "60"])
        .arg(tool(name))
        .args(["-v", "-p", &server.port().to_string()])
        .args(arguments)
        .arg(server.ip().to_string())
        .stdin(Stdio::null());
    command
}

/// A tool that does not end by itself; it ends with this value.
pub struct Running(Child);

impl Running {
    /// Starts it.
    pub fn start(name: &str, arguments: &[&str], server: SocketAddr) -> anyhow::Result<Self> {
        let mut command = command(name, arguments, server);
        Ok(Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("SIPVicious")?))
    }

    /// Whether it has not come to an end.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Ends it, and tells all that it said.
    pub fn stop(mut self) -> anyhow::Result<String> {
        use std::io::Read;
        // `timeout` passes it on.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), nix::sys::signal::Signal::SIGTERM)?;
        let mut said = String::new();
        self.0.stdout.take().context("piped")?.read_to_string(&mut said)?;
        self.0.stderr.take().context("piped")?.read_to_string(&mut said)?;
        self.0.wait()?;
        Ok(said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that gives its users away, so that it is seen that the scanner finds them where they can be found: of `known` it wants
/// a password, and everybody else it does not know. It ends with the test.
pub fn leaky_server(known: &'static str) -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let status = if request.contains(&format!("sip:{known}@")) { "401 Unauthorized" } else { "404 Not Found" };
            let _ = socket.send_to(response(&request, status).as_bytes(), peer);
        }
    });
    Ok(address)
}

fn response(request: &str, status: &str) -> String {
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = request.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let copied: String = lines.map(|line| format!("{line}\r\n")).collect();
    format!("SIP/2.0 {status}\r\n{copied}Content-Length: 0\r\n\r\n")
}

/// One request over UDP from an address, and its final response.
pub fn ask(from: &str, server: SocketAddr, request: &str) -> anyhow::Result<String> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.send_to(request.as_bytes(), server)?;
    let mut buffer = [0; 4096];
    loop {
        let (length, _) = socket.recv_from(&mut buffer)?;
        let response = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !response.starts_with("SIP/2.0 1") {
            return Ok(response);
        }
    }
}
