//! What the server is told: embedded defaults, then the configuration file, then the command line.

mod address;
mod file;
mod keys;
mod sip;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use control::RocPolicy;
use packet_io::MmsgConfig;
use session::{Defaults, Interface, Limits, Timeouts};

use self::address::{MediaAddress, PortRange};
pub(crate) use self::keys::KEYS;
pub(crate) use self::sip::{Listen, RouteTo, SipFixed, SipFlag, SipLive, SmimeSetting, TrunkSetting};
use crate::machine;

/// A media relay for secure calls. Without options it serves the ng protocol on 127.0.0.1:2223, metrics on
/// 127.0.0.1:9090, and media on the machine's first global address.
#[derive(Parser, Debug)]
#[command(version, args_override_self = true, args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) chore: Option<Chore>,
    #[command(flatten)]
    pub(crate) arguments: Arguments,
}

/// What the program does instead of serving with both halves.
#[derive(Subcommand, Debug)]
pub(crate) enum Chore {
    /// Serve signalling alone: negotiates, holds no media socket, and takes running calls over when it is started again.
    Signal(Arguments),
    /// Serve media alone: moves packets for sallyport signal, which connects to its control socket.
    Pump(Arguments),
    /// Read a configuration file and name everything that is wrong with it.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// The users that may register and call by SIP.
    User {
        #[command(subcommand)]
        order: UserOrder,
    },
    /// Tell a running server to take no new calls, and to end when the last one has ended.
    Drain {
        /// Where its admin pages are.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9090")]
        admin: SocketAddr,
    },
    /// Ask a running server why a call has audio or not.
    Explain {
        /// The Call-ID.
        call_id: String,
        /// Where its admin pages are.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9090")]
        admin: SocketAddr,
        /// Everything that is known, as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What is done about users.
#[derive(Subcommand, Debug)]
pub(crate) enum UserOrder {
    /// Read a password from standard input, and print the user's line for the file that sip.users names.
    Add {
        /// Its name: the user part of its SIP address.
        name: String,
        /// As sip.realm.
        #[arg(long, default_value = "sallyport")]
        realm: String,
    },
}

/// Which halves run in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    #[default]
    Both,
    Signal,
    Pump,
}

/// What the command line says about serving.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    #[arg(skip)]
    role: Role,
    /// Configuration file (TOML); the other options override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the ng protocol listens (UDP).
    #[arg(long, value_name = "ADDRESS:PORT")]
    ng: Option<SocketAddr>,
    /// Where metrics, health and calls are served (HTTP).
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Where SIP is served: UDP and TCP there, TLS one port above with a certificate, WebSocket on port 8080; or "off".
    #[arg(long, value_name = "ADDRESS:PORT")]
    sip: Option<SipFlag>,
    /// An address for media, with a name for `direction` and the address that descriptions show instead; repeatable.
    #[arg(long, value_name = "[NAME=]IP[/ADVERTISED]")]
    media: Vec<MediaAddress>,
    /// First and last media port.
    #[arg(long, value_name = "FROM-TO")]
    ports: Option<PortRange>,
    /// Threads that move media.
    #[arg(long, value_name = "COUNT")]
    workers: Option<u16>,
    /// How media is moved.
    #[arg(long, value_enum)]
    backend: Option<BackendChoice>,
    /// Where the two halves meet when they are two processes (a Unix socket).
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Where each call's record is written at its end, as a line of JSON.
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
}

/// How media is moved.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackendChoice {
    /// The best that the machine allows.
    Auto,
    /// UDP sockets.
    Mmsg,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Everything decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) fixed: Fixed,
    pub(crate) live: Live,
}

/// What takes a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fixed {
    pub(crate) role: Role,
    pub(crate) ng: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// In place of `admin` where only media runs.
    pub(crate) pump_admin: SocketAddr,
    /// Where two processes meet.
    pub(crate) control: PathBuf,
    pub(crate) ports: (u16, u16),
    /// 0: as many as there are processors.
    pub(crate) workers: u16,
    pub(crate) pin_workers: bool,
    pub(crate) backend: BackendChoice,
    /// Where records of calls go. `None`: nowhere.
    pub(crate) records: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) ng_bounds: ng::ServerConfig,
    pub(crate) dtls: DtlsSettings,
    /// Fixed, because another policy would make equal keys of a running call look like other ones.
    pub(crate) roc_on_rekey: RocPolicy,
    pub(crate) early_media: Duration,
    pub(crate) sockets: MmsgConfig,
    pub(crate) sip: SipFixed,
}

/// What a reload changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Live {
    pub(crate) admin_hosts: Vec<String>,
    /// Empty: the machine's first global address. A reload can add some.
    pub(crate) interfaces: Vec<Interface>,
    /// As in `RUST_LOG`, which goes before it.
    pub(crate) log_level: String,
    /// How long a drain waits for the last call.
    pub(crate) drain: Duration,
    pub(crate) defaults: Defaults,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) sip: SipLive,
}

/// Handshakes and our certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DtlsSettings {
    /// PEM. `None`: one is made at each start.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM.
    pub(crate) key: Option<PathBuf>,
    pub(crate) mtu: usize,
    pub(crate) threads: usize,
    pub(crate) queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            fixed: Fixed {
                role: Role::Both,
                ng: loopback(2223),
                admin: loopback(9090),
                pump_admin: loopback(9091),
                control: PathBuf::from("/run/sallyport/control.sock"),
                ports: (10_000, 29_999),
                workers: 0,
                pin_workers: false,
                backend: BackendChoice::Auto,
                records: None,
                log_format: LogFormat::Text,
                ng_bounds: ng::ServerConfig::default(),
                dtls: DtlsSettings { certificate: None, key: None, mtu: 1200, threads: 1, queue: 1024 },
                roc_on_rekey: RocPolicy::Keep,
                early_media: Duration::from_millis(200),
                sockets: MmsgConfig::default(),
                sip: SipFixed::default(),
            },
            live: Live {
                admin_hosts: Vec::new(),
                interfaces: Vec::new(),
                log_level: "info".to_owned(),
                drain: Duration::from_secs(3600),
                defaults: Defaults::default(),
                timeouts: Timeouts::default(),
                limits: Limits::default(),
                sip: SipLive::default(),
            },
        }
    }
}

impl Settings {
    /// What a start with these arguments would have. Where neither file nor arguments name media addresses or a number of
    /// workers, those of `running` stand; without it, the machine's.
    pub(crate) fn gather(arguments: &Arguments, running: Option<&Self>) -> anyhow::Result<Self> {
        let mut settings = Self::default();
        if let Some(path) = &arguments.config {
            settings = Self::read(path)?;
        }
        arguments.override_file(&mut settings)?;
        let Self { fixed, live } = &mut settings;
        if live.interfaces.is_empty() {
            live.interfaces = match running {
                Some(running) => running.live.interfaces.clone(),
                None => vec![Interface::new("default", machine::first_global_address())],
            };
        }
        if fixed.workers == 0 {
            fixed.workers = running.map_or_else(machine::processors, |running| running.fixed.workers);
        }
        if !PortRange(fixed.ports.0, fixed.ports.1).suffices(fixed.workers) {
            bail!("ports: {}-{} is too narrow for {} workers", fixed.ports.0, fixed.ports.1, fixed.workers);
        }
        Ok(settings)
    }

    /// What a file alone says. The error names everything that is wrong with it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut settings = Self::default();
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        file::read(path, &text, &mut settings)?;
        Ok(settings)
    }

    /// What holds when a request does not say.
    pub(crate) fn defaults(&self) -> Defaults {
        Defaults { roc_on_rekey: self.fixed.roc_on_rekey, ..self.live.defaults.clone() }
    }

    /// The keys by whose value two settings differ.
    pub(crate) fn differing(&self, other: &Self) -> Vec<&'static keys::Key> {
        KEYS.iter().filter(|key| (key.show)(self) != (key.show)(other)).collect()
    }
}

impl Arguments {
    /// For a process of this role.
    pub(crate) fn of(&self, role: Role) -> Self {
        Self { role, ..self.clone() }
    }

    /// True when there is a file that can be read again.
    pub(crate) fn has_file(&self) -> bool {
        self.config.is_some()
    }

    /// What the command line says is meant for this process; the file may be that of both.
    fn check_role(&self) -> anyhow::Result<()> {
        let misplaced = match self.role {
            Role::Both if self.control.is_some() => "--control is for sallyport signal and sallyport pump",
            Role::Signal if self.workers.is_some() => "--workers is for sallyport pump",
            Role::Signal if self.backend.is_some() => "--backend is for sallyport pump",
            Role::Pump if self.sip.is_some() => "--sip is for sallyport signal",
            Role::Pump if self.ng.is_some() => "--ng is for sallyport signal",
            _ => return Ok(()),
        };
        bail!("{misplaced}");
    }

    fn override_file(&self, settings: &mut Settings) -> anyhow::Result<()> {
        let Settings { fixed, live } = settings;
        self.check_role()?;
        fixed.role = self.role;
        fixed.ng = self.ng.unwrap_or(fixed.ng);
        let admin = if self.role == Role::Pump { fixed.pump_admin } else { fixed.admin };
        fixed.admin = self.admin.unwrap_or(admin);
        if let Some(flag) = &self.sip {
            fixed.sip.listen = Some(flag.listeners(fixed.sip.certificate.is_some()));
        }
        if let Some(control) = &self.control {
            fixed.control.clone_from(control);
        }
        fixed.ports = self.ports.map_or(fixed.ports, |PortRange(first, last)| (first, last));
        fixed.workers = self.workers.unwrap_or(fixed.workers);
        fixed.backend = self.backend.unwrap_or(fixed.backend);
        if self.records.is_some() {
            fixed.records.clone_from(&self.records);
        }
        if self.workers == Some(0) {
            bail!("workers: at least one is needed");
        }
        if !self.media.is_empty() {
            live.interfaces = self.media.iter().map(|address| address.0.clone()).collect();
        }
        if let Some(index) = address::duplicate(&live.interfaces) {
            bail!("media: {}", file::two_addresses(&live.interfaces[index].name));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use super::*;

    fn parse(options: &[&str]) -> Arguments {
        CommandLine::parse_from(std::iter::once("sallyport").chain(options.iter().copied())).arguments
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let folder = std::env::temp_dir().join(format!("sallyport-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sallyport.toml");
        std::fs::write(&path, "ports = \"20000-20999\"\nworkers = 3\nmedia = [\"192.0.2.1\"]\n").unwrap();
        let arguments = parse(&["--config", path.to_str().unwrap(), "--workers", "1"]);
        let settings = Settings::gather(&arguments, None).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((settings.fixed.ports, settings.fixed.workers), ((20_000, 20_999), 1));
        assert_eq!(settings.live.interfaces[0].address, "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn each_half_has_its_own_options_and_admin_address() {
        let gather = |role, options: &[&str]| {
            let arguments = Arguments { role, ..parse(options) };
            Settings::gather(&arguments, None).map(|settings| settings.fixed).map_err(|error| error.to_string())
        };
        assert_eq!(gather(Role::Both, &[]).unwrap().admin.port(), 9090);
        let signal = gather(Role::Signal, &["--control", "/tmp/c"]).unwrap();
        assert_eq!((signal.role, signal.admin.port(), signal.control.to_str()), (Role::Signal, 9090, Some("/tmp/c")));
        assert_eq!(gather(Role::Pump, &["--workers", "2"]).unwrap().admin.port(), 9091);
        assert_eq!(gather(Role::Pump, &["--admin", "127.0.0.1:7"]).unwrap().admin.port(), 7);
        assert_eq!(gather(Role::Signal, &["--workers", "2"]).unwrap_err(), "--workers is for sallyport pump");
        assert_eq!(gather(Role::Pump, &["--ng", "127.0.0.1:1"]).unwrap_err(), "--ng is for sallyport signal");
        let line = CommandLine::parse_from(["sallyport", "pump", "--ports", "20000-20999"]);
        assert!(matches!(line.chore, Some(Chore::Pump(arguments)) if arguments.ports.is_some()));
        assert!(CommandLine::try_parse_from(["sallyport", "--workers", "1", "pump"]).is_err(), "it would be ignored");
    }

    #[test]
    fn one_name_on_the_command_line_has_one_address_of_a_family() {
        let error = Settings::gather(&parse(&["--media", "192.0.2.1", "--media", "192.0.2.2"]), None);
        let expected = "media: default has two addresses of one family; give one of them another name";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }

    /// The example file with the lines uncommented that are a key without a default.
    fn example() -> String {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sallyport.toml")).unwrap();
        text.lines()
            .map(|line| {
                let without = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
                format!("{}\n", without.unwrap_or(line))
            })
            .collect()
    }

    /// The dotted names of all that is in a table.
    fn named(prefix: &str, table: &toml::Table) -> Vec<String> {
        let within = |(name, value): (&String, &toml::Value)| match value {
            toml::Value::Table(table) => named(&format!("{prefix}{name}."), table),
            _ => vec![format!("{prefix}{name}")],
        };
        table.iter().flat_map(within).collect()
    }

    #[test]
    fn the_example_file_documents_every_key_and_shows_the_defaults() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sallyport.toml")).unwrap();
        let mut shown = Settings::default();
        file::read(Path::new("deploy/sallyport.toml"), &text, &mut shown).unwrap();
        let differing: Vec<&str> = shown.differing(&Settings::default()).iter().map(|key| key.name).collect();
        assert_eq!(differing, Vec::<&str>::new(), "the file shows other values than the program has");
        let mut whole = Settings::default();
        file::read(Path::new("deploy/sallyport.toml"), &example(), &mut whole).unwrap();
        let document: toml::Table = toml::from_str(&example()).unwrap();
        assert_eq!(
            named("", &document).into_iter().collect::<BTreeSet<String>>(),
            KEYS.iter().map(|key| key.name.to_owned()).collect(),
            "keys of the example and of the program"
        );
    }

    #[test]
    fn the_manual_lists_every_key_and_no_other_with_what_a_reload_does() {
        let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md")).unwrap();
        let section = manual.split("\n## Options\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = section.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let name = cells.next()?.trim().trim_end_matches('`').to_owned();
            Some((name, cells.nth(1)?.trim() == "yes"))
        });
        let keys: BTreeSet<(String, bool)> = KEYS.iter().map(|key| (key.name.to_owned(), key.reloads)).collect();
        assert_eq!(rows.collect::<BTreeSet<_>>(), keys);
    }
}
