//! A SIP user agent of plain text, for what no phone here can say: over TCP, or over TLS by `openssl s_client`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

const PATIENCE: Duration = Duration::from_secs(20);

/// Longest body that it reads, in bytes.
const MAX_BODY: usize = 1 << 20;

/// A user with one connection to the server. A dialog of it is one call, and there is one at a time.
pub struct SipAgent {
    user: String,
    password: String,
    transport: &'static str,
    writer: Box<dyn Write + Send>,
    messages: Receiver<SipMessage>,
    /// `openssl s_client`.
    process: Option<Child>,
    number: u32,
}

/// A request or response as it came.
#[derive(Clone, Debug)]
pub struct SipMessage {
    /// Its first line.
    pub start: String,
    headers: Vec<(String, String)>,
    /// Its body; Content-Length is right.
    pub body: Vec<u8>,
}

impl SipMessage {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers of these names as lines, in their order.
    fn lines(&self, names: &[&str]) -> String {
        let wanted = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let lines = self.headers.iter().filter(|(name, _)| wanted(name));
        lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut line = || {
            let mut line = String::new();
            (reader.read_line(&mut line).ok()? > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
        };
        let mut start = line()?;
        while start.is_empty() {
            start = line()?;
        }
        let mut headers = Vec::new();
        loop {
            let header = line()?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':')?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        let length = message.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        message.body = vec![0; usize::min(length, MAX_BODY)];
        reader.read_exact(&mut message.body).ok()?;
        Some(message)
    }
}

impl SipAgent {
    /// Connects by TCP.
    pub fn tcp(user: &str, password: &str, server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server)?;
        let reader = stream.try_clone()?;
        Ok(Self::over("TCP", user, password, Box::new(stream), reader, None))
    }

    /// Connects by TLS with the certificate of the server checked: it is of this authority, and for this IP address.
    pub fn tls(user: &str, password: &str, server: SocketAddr, authority: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", &server.ip().to_string()])
            .args(["-connect", &server.to_string(), "-CAfile"])
            .arg(authority)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("openssl")?;
        let writer = process.stdin.take().context("piped")?;
        let reader = process.stdout.take().context("piped")?;
        Ok(Self::over("TLS", user, password, Box::new(writer), reader, Some(process)))
    }

    fn over(
        transport: &'static str,
        user: &str,
        password: &str,
        writer: Box<dyn Write + Send>,
        reader: impl Read + Send + 'static,
        process: Option<Child>,
    ) -> Self {
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            while let Some(message) = SipMessage::read(&mut reader) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (user, password) = (user.to_owned(), password.to_owned());
        Self { user, password, transport, writer, messages, process, number: 0 }
    }

    /// The next message that is no provisional response.
    pub fn receive(&self) -> anyhow::Result<SipMessage> {
        loop {
            let message = self.messages.recv_timeout(PATIENCE).context("nothing came from the server")?;
            if message.status().is_none_or(|status| status >= 200) {
                return Ok(message);
            }
        }
    }

    /// Sends a request of a new Call-ID, answers a challenge, and gives the final response; one to an INVITE is
    /// acknowledged. `more` are header lines.
    pub fn request(&mut self, method: &str, uri: &str, more: &str, body: &[u8]) -> anyhow::Result<SipMessage> {
        self.number += 1;
        let call_id = format!("{}-{}-{}", self.user, self.number, std::process::id());
        let response = self.transact(method, uri, &call_id, 1, more, body)?;
        if response.status() != Some(401) {
            return Ok(response);
        }
        let authorization = self.answer_to(&response, method, uri)?;
        self.transact(method, uri, &call_id, 2, &format!("{more}Authorization: {authorization}\r\n"), body)
    }

    /// Registers this connection for all that the user is called by.
    pub fn register(&mut self, scheme: &str) -> anyhow::Result<()> {
        let response =
            self.request("REGISTER", "sip:sallyport", &format!("Contact: {}\r\n", self.contact(scheme)), b"")?;
        ensure!(response.status() == Some(200), "{response:?}");
        Ok(())
    }

    /// An address of this connection, as a header's value; nobody listens there.
    pub fn contact(&self, scheme: &str) -> String {
        format!("<{scheme}:{}@127.0.0.1:9;transport={}>", self.user, self.transport.to_ascii_lowercase())
    }

    fn transact(
        &mut self,
        method: &str,
        uri: &str,
        call_id: &str,
        sequence: u32,
        more: &str,
        body: &[u8],
    ) -> anyhow::Result<SipMessage> {
        let (user, scheme) = (&self.user, uri.split(':').next().unwrap_or("sip"));
        let to = if method == "REGISTER" { format!("sip:{user}@sallyport") } else { uri.to_owned() };
        let head = format!(
            "Via: SIP/2.0/{} 127.0.0.1:9;branch=z9hG4bK{call_id}{sequence}\r\nMax-Forwards: 70\r\n\
             From: <{scheme}:{user}@sallyport>;tag={call_id}\r\nCall-ID: {call_id}\r\n",
            self.transport
        );
        self.send(&format!("{method} {uri} SIP/2.0\r\n{head}To: <{to}>\r\nCSeq: {sequence} {method}\r\n{more}"), body)?;
        let response = self.receive()?;
        ensure!(response.status().is_some(), "a request came first: {response:?}");
        if method == "INVITE" {
            // That of a 2xx is a transaction of its own, and goes to the Contact.
            let accepted = response.status().is_some_and(|status| status < 300);
            let target = if accepted { target(&response)? } else { uri };
            let head = if accepted { head.replacen("branch=z9hG4bK", "branch=z9hG4bKack", 1) } else { head };
            let to = response.lines(&["To"]);
            self.send(&format!("ACK {target} SIP/2.0\r\n{head}{to}CSeq: {sequence} ACK\r\n"), b"")?;
        }
        Ok(response)
    }

    /// Ends the call that this response established.
    pub fn hang_up(&mut self, established: &SipMessage) -> anyhow::Result<()> {
        let target = target(established)?;
        let dialog = established.lines(&["From", "To", "Call-ID"]);
        let branch = format!("z9hG4bKbye{}{}", self.user, self.number);
        self.send(
            &format!(
                "BYE {target} SIP/2.0\r\nVia: SIP/2.0/{} 127.0.0.1:9;branch={branch}\r\nMax-Forwards: 70\r\n{dialog}CSeq: 9 BYE\r\n",
                self.transport
            ),
            b"",
        )?;
        let response = self.receive()?;
        ensure!(response.status() == Some(200), "{response:?}");
        Ok(())
    }

    /// Answers a request. `more` are header lines.
    pub fn respond(&mut self, request: &SipMessage, status: &str, more: &str, body: &[u8]) -> anyhow::Result<()> {
        let mut same = request.lines(&["Via", "Record-Route", "From", "Call-ID", "CSeq"]);
        let to = request.header("To").context("no To")?;
        let tag = if to.contains(";tag=") { String::new() } else { format!(";tag={}", self.user) };
        same.push_str(&format!("To: {to}{tag}\r\n"));
        self.send(&format!("SIP/2.0 {status}\r\n{same}{more}"), body)
    }

    fn send(&mut self, head: &str, body: &[u8]) -> anyhow::Result<()> {
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        self.writer.write_all(&[head.as_bytes(), body].concat())?;
        Ok(self.writer.flush()?)
    }

    /// Credentials for a challenge (RFC 7616): the one with SHA-256, computed by openssl.
    fn answer_to(&self, response: &SipMessage, method: &str, uri: &str) -> anyhow::Result<String> {
        let challenges = response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate"));
        let mut challenges = challenges.map(|(_, value)| value.as_str());
        let challenge = challenges.find(|value| value.split([',', ' ']).any(|part| part == "algorithm=SHA-256"));
        let challenge = challenge.context("no SHA-256")?;
        let parameter = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let (realm, nonce) = (parameter("realm").context("no realm")?, parameter("nonce").context("no nonce")?);
        let (user, password) = (&self.user, &self.password);
        let secret = sha256(&format!("{user}:{realm}:{password}"))?;
        let subject = sha256(&format!("{method}:{uri}"))?;
        let proof = sha256(&format!("{secret}:{nonce}:00000001:c0ffee:auth:{subject}"))?;
        Ok(format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{proof}\", \
             algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c0ffee\""
        ))
    }
}

impl Drop for SipAgent {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The address in a Contact with angle brackets.
fn target(message: &SipMessage) -> anyhow::Result<&str> {
    let contact = message.header("Contact").context("no Contact")?;
    contact.split(['<', '>']).nth(1).context("no address in Contact")
}

/// In hexadecimal.
fn sha256(text: &str) -> anyhow::Result<String> {
    let mut process =
        Command::new("openssl").args(["dgst", "-sha256", "-r"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    process.stdin.take().context("piped")?.write_all(text.as_bytes())?;
    let output = process.wait_with_output()?;
    let Some(digest) = String::from_utf8(output.stdout)?.split(' ').next().map(str::to_owned) else {
        bail!("openssl dgst said nothing");
    };
    Ok(digest)
}
