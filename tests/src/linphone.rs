//! A real softphone without a display: Debian's linphonec, with files in place of a sound card.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::folder::Folder;
use crate::tone::{SAMPLE_RATE, share_of_samples, sine};

/// Samples a second of what it records of Opus, which two of them choose.
const RECORDED_RATE: u32 = 48_000;

/// Bytes before the samples of a WAVE file.
const HEADER: usize = 44;

/// How linphone secures its media; the call fails rather than go without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MediaEncryption {
    /// `a=crypto` lines.
    Sdes,
    /// DTLS-SRTP; its certificate is RSA.
    Dtls,
    /// Plain RTP.
    None,
}

/// Who registers where.
pub struct Registration<'a> {
    /// Its name.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The domain of its address, which asks for the password.
    pub realm: &'a str,
    /// Where the registrar is: `ADDRESS:PORT`.
    pub registrar: &'a str,
}

/// A running linphonec with a folder of its own; both end with this value.
pub struct Linphone {
    process: Child,
    commands: ChildStdin,
    printed: Arc<Printed>,
    /// Length of what was printed before the last command.
    commanded_at: usize,
    folder: Folder,
    /// Where it takes SIP.
    pub sip_port: u16,
}

#[derive(Default)]
struct Printed {
    text: Mutex<String>,
    grown: Condvar,
}

impl Linphone {
    /// Starts one named `user` and waits until it can call and be called; `answers`: it takes calls by itself. SIP is on
    /// `sip_port` and RTP on its double, so it needs a namespace of its own.
    pub fn start(
        user: &str,
        address: &str,
        sip_port: u16,
        encryption: MediaEncryption,
        answers: bool,
    ) -> anyhow::Result<Self> {
        Self::start_with(&configuration_text(user, address, sip_port, encryption), sip_port, answers)
    }

    fn start_with(configuration_text: &str, sip_port: u16, answers: bool) -> anyhow::Result<Self> {
        let folder = Folder::new("linphone")?;
        std::fs::create_dir_all(folder.path().join(".local/share/linphone"))?;
        let configuration = folder.write("linphonerc", configuration_text)?;
        let mut process = Command::new("linphonec")
            .args(["-d", "5"])
            .args(if answers { &["-a"][..] } else { &[] })
            .arg("-c")
            .arg(&configuration)
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("linphonec (Debian package linphone-cli)")?;
        let commands = process.stdin.take().context("piped")?;
        let stdout = process.stdout.take().context("piped")?;
        let printed = Arc::new(Printed::default());
        std::thread::spawn({
            let printed = printed.clone();
            move || {
                let mut lines = BufReader::new(stdout);
                let mut line = Vec::new();
                while matches!(lines.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                    printed.text.lock().expect("no panic while held").push_str(&String::from_utf8_lossy(&line));
                    printed.grown.notify_all();
                    line.clear();
                }
            }
        });
        let mut this = Self { process, commands, printed, commanded_at: 0, folder, sip_port };
        this.command("soundcard use files")?;
        // Its log names the listening point some time after it takes commands; a call before that fails.
        this.wait_for("Creating listening point", Duration::from_secs(20))?;
        Ok(this)
    }

    /// As [`Linphone::start`], for a user of a registrar.
    pub fn start_registered(
        account: &Registration<'_>,
        address: &str,
        sip_port: u16,
        encryption: MediaEncryption,
        answers: bool,
    ) -> anyhow::Result<Self> {
        Self::start_registered_with(account, address, sip_port, encryption, answers, "sip_tls_port=0")
    }

    /// As [`Linphone::start_registered`] over TLS, where the registrar's certificate is of the authority in this file.
    pub fn start_registered_by_tls(
        account: &Registration<'_>,
        address: &str,
        sip_port: u16,
        encryption: MediaEncryption,
        answers: bool,
        authority: &Path,
    ) -> anyhow::Result<Self> {
        let Registration { user, password, realm, registrar } = account;
        let registrar = format!("{registrar};transport=tls");
        let account = Registration { user, password, realm, registrar: &registrar };
        let lines = format!("sip_tls_port=-1\nroot_ca={}\nverify_server_certs=1", authority.display());
        Self::start_registered_with(&account, address, sip_port, encryption, answers, &lines)
    }

    fn start_registered_with(
        account: &Registration<'_>,
        address: &str,
        sip_port: u16,
        encryption: MediaEncryption,
        answers: bool,
        tls: &str,
    ) -> anyhow::Result<Self> {
        let Registration { user, password, realm, registrar } = account;
        let registration = format!(
            "[proxy_0]\nreg_proxy=<sip:{registrar}>\nreg_identity=sip:{user}@{realm}\nreg_expires=600\nreg_sendregister=1\n\
             publish=0\n[auth_info_0]\nusername={user}\nuserid={user}\npasswd={password}\nrealm={realm}\n"
        );
        let text =
            configuration_text(user, address, sip_port, encryption).replace("default_proxy=-1", "default_proxy=0");
        let text = text.replace("sip_tls_port=0", tls);
        let mut this = Self::start_with(&format!("{text}{registration}"), sip_port, answers)?;
        this.commanded_at = 0;
        this.wait_for("to [LinphoneRegistrationOk]", Duration::from_secs(20))?;
        Ok(this)
    }

    /// Types a command.
    pub fn command(&mut self, command: &str) -> anyhow::Result<()> {
        self.commanded_at = self.printed.text.lock().expect("no panic while held").len();
        writeln!(self.commands, "{command}")?;
        Ok(self.commands.flush()?)
    }

    /// Registers as this user at the SIP server of this address, and waits until that has been taken.
    pub fn register(&mut self, user: &str, server: SocketAddr, password: &str) -> anyhow::Result<()> {
        self.command(&format!("register sip:{user}@{server} sip:{server} {password}"))?;
        self.wait_for("[LinphoneRegistrationOk]", Duration::from_secs(20))
    }

    /// Waits until it has printed this since the last command.
    pub fn wait_for(&self, text: &str, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut printed = self.printed.text.lock().expect("no panic while held");
        while !printed[self.commanded_at..].contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("linphone did not say {text:?} but:\n{}", &printed[self.commanded_at..]);
            }
            printed = self.printed.grown.wait_timeout(printed, left).expect("no panic while held").0;
        }
        Ok(())
    }

    /// Speaks a tone of this frequency, for at most a minute.
    pub fn play(&mut self, frequency: f64) -> anyhow::Result<()> {
        let path = self.folder.write("tone.wav", wav(&sine(frequency, 60 * SAMPLE_RATE as usize)))?;
        self.command(&format!("play {}", path.display()))
    }

    /// Writes what it hears into a file, from here on.
    pub fn record(&mut self) -> anyhow::Result<()> {
        let path = self.recording();
        let _ = std::fs::remove_file(&path);
        self.command(&format!("record {}", path.display()))
    }

    /// Share of the power of the last second that it has heard which lies at `frequency`; `None`: it has heard less.
    pub fn share_of(&self, frequency: f64) -> Option<f64> {
        self.share_of_recorded(frequency, RECORDED_RATE)
    }

    fn share_of_recorded(&self, frequency: f64, rate: u32) -> Option<f64> {
        let bytes = std::fs::read(self.recording()).ok()?;
        // One channel of 16 bits. The header is written when the recording ends, so that it cannot tell the rate.
        let last_second = bytes.len().checked_sub(2 * rate as usize).filter(|&start| start >= HEADER)?;
        let samples = bytes[last_second..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Some(share_of_samples(samples, frequency, rate))
    }

    /// Waits until the last second of what it hears is this tone and nothing else.
    pub fn wait_for_tone(&mut self, frequency: f64, patience: Duration) -> anyhow::Result<()> {
        self.wait_for_recorded_tone(frequency, RECORDED_RATE, patience)
    }

    /// As [`Linphone::wait_for_tone`] where the other side has chosen G.711.
    pub fn wait_for_tone_of_g711(&mut self, frequency: f64, patience: Duration) -> anyhow::Result<()> {
        self.wait_for_recorded_tone(frequency, SAMPLE_RATE, patience)
    }

    fn wait_for_recorded_tone(&mut self, frequency: f64, rate: u32, patience: Duration) -> anyhow::Result<()> {
        self.record()?;
        let deadline = Instant::now() + patience;
        loop {
            match self.share_of_recorded(frequency, rate) {
                Some(share) if share > 0.8 => return Ok(()),
                share if Instant::now() > deadline => {
                    bail!("share of {frequency} Hz in what linphone hears: {share:?}")
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn recording(&self) -> PathBuf {
        self.folder.path().join("heard.wav")
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration_text(user: &str, address: &str, sip_port: u16, encryption: MediaEncryption) -> String {
    let encryption = match encryption {
        MediaEncryption::Sdes => "srtp",
        MediaEncryption::Dtls => "dtls",
        MediaEncryption::None => "none",
    };
    // Where it is mandatory, plain RTP is neither sent nor played.
    let mandatory = u8::from(encryption != "none");
    // Two ports each.
    let rtp_port = 2 * sip_port;
    format!(
        "[sip]\nsip_port={sip_port}\nsip_tcp_port=0\nsip_tls_port=0\ndefault_proxy=-1\n\
         media_encryption={encryption}\nmedia_encryption_mandatory={mandatory}\nguess_hostname=0\n\
         register_only_when_network_is_up=0\ncontact=\"{user}\" <sip:{user}@{address}>\n\
         [rtp]\naudio_rtp_port={rtp_port}\n[video]\nenabled=0\ncapture=0\ndisplay=0\n[sound]\nechocancellation=0\n"
    )
}

/// RIFF WAVE: one channel of 16 bits.
pub(crate) fn wav(samples: &[i16]) -> Vec<u8> {
    let data = samples.len() as u32 * 2;
    let mut bytes = Vec::with_capacity(44 + data as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    bytes.extend_from_slice(&(SAMPLE_RATE * 2).to_le_bytes());
    bytes.extend_from_slice(&2u16.to_le_bytes());
    bytes.extend_from_slice(&16u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data.to_le_bytes());
    samples.iter().for_each(|sample| bytes.extend_from_slice(&sample.to_le_bytes()));
    bytes
}
