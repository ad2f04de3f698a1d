//! What the server is told: embedded defaults, then the configuration file, then the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use serde::Deserialize;
use session::Interface;

use crate::machine;

/// A media relay for secure calls. Without options it serves the ng protocol on 127.0.0.1:2223, metrics on
/// 127.0.0.1:9090, and media on the machine's first global address.
#[derive(Parser, Debug)]
#[command(version, args_override_self = true)]
pub(crate) struct Arguments {
    /// Configuration file (TOML); the other options override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the ng protocol listens (UDP).
    #[arg(long, value_name = "ADDRESS:PORT")]
    ng: Option<SocketAddr>,
    /// Where metrics, health and calls are served (HTTP).
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
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
}

/// How media is moved.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackendChoice {
    /// The best that the machine allows.
    Auto,
    /// UDP sockets.
    Mmsg,
}

/// The configuration file. Its names are those of the options.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
struct File {
    ng: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    admin_hosts: Option<Vec<String>>,
    media: Option<Vec<MediaAddress>>,
    ports: Option<PortRange>,
    workers: Option<u16>,
    backend: Option<BackendChoice>,
}

/// Everything decided.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) ng: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) ports: (u16, u16),
    pub(crate) workers: u16,
}

impl Settings {
    pub(crate) fn gather(arguments: &Arguments) -> anyhow::Result<Self> {
        let file = match &arguments.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
                toml::from_str::<File>(&text).with_context(|| format!("{}", path.display()))?
            }
            None => File::default(),
        };
        let media = match arguments.media.is_empty() {
            true => file.media.unwrap_or_default(),
            false => arguments.media.clone(),
        };
        let interfaces: Vec<Interface> = match media.is_empty() {
            true => vec![Interface::new("default", machine::first_global_address())],
            false => media.into_iter().map(|address| address.0).collect(),
        };
        for (index, interface) in interfaces.iter().enumerate() {
            let same = |other: &Interface| {
                other.name == interface.name && other.address.is_ipv4() == interface.address.is_ipv4()
            };
            if interfaces[..index].iter().any(same) {
                bail!("media: {} has two addresses of one family; give one of them another name", interface.name);
            }
        }
        let workers = arguments.workers.or(file.workers).unwrap_or_else(machine::processors);
        if workers == 0 {
            bail!("workers: at least one is needed");
        }
        let ports = arguments.ports.or(file.ports).unwrap_or(PortRange(10_000, 29_999));
        if usize::from(ports.1 - ports.0) + 1 < 4 * usize::from(workers) {
            bail!("ports: {}-{} is too narrow for {workers} workers", ports.0, ports.1);
        }
        // One backend so far: both choices come to it.
        let _ = arguments.backend.or(file.backend);
        Ok(Self {
            ng: arguments.ng.or(file.ng).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 2223))),
            admin: arguments.admin.or(file.admin).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9090))),
            admin_hosts: file.admin_hosts.unwrap_or_default(),
            interfaces,
            ports: (ports.0, ports.1),
            workers,
        })
    }
}

/// `[NAME=]IP[/ADVERTISED]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct MediaAddress(Interface);

impl FromStr for MediaAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, addresses) = text.split_once('=').unwrap_or(("default", text));
        let (local, advertised) = match addresses.split_once('/') {
            Some((local, advertised)) => (local, Some(advertised)),
            None => (addresses, None),
        };
        let parse = |word: &str| word.parse::<IpAddr>().map_err(|_| format!("{word:?} is not an IP address"));
        let address = parse(local)?;
        if address.is_unspecified() {
            return Err(format!("{address} is no address that a peer can send to"));
        }
        let advertised = advertised.map(parse).transpose()?;
        if advertised.is_some_and(|advertised| advertised.is_ipv4() != address.is_ipv4()) {
            return Err("an address is advertised by one of its own family".into());
        }
        if name.is_empty() {
            return Err("the name is empty".into());
        }
        Ok(Self(Interface { advertised, ..Interface::new(name, address) }))
    }
}

impl TryFrom<String> for MediaAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `FROM-TO`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct PortRange(u16, u16);

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        match range {
            Some((from, to)) if from >= 1024 && from < to => Ok(Self(from, to)),
            Some(_) => Err("the range must rise and begin at 1024 or above".into()),
            None => Err("write it as FROM-TO".into()),
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_address_has_an_optional_name_and_an_optional_advertised_address() {
        let plain: MediaAddress = "192.0.2.1".parse().unwrap();
        assert_eq!(plain.0, Interface::new("default", "192.0.2.1".parse().unwrap()));
        let full: MediaAddress = "inside=10.0.0.1/192.0.2.7".parse().unwrap();
        assert_eq!((full.0.name.as_str(), full.0.public_address()), ("inside", "192.0.2.7".parse().unwrap()));
        for wrong in ["", "=192.0.2.1", "0.0.0.0", "x=", "192.0.2.1/", "192.0.2.1/2001:db8::1", "relay.example"] {
            assert!(wrong.parse::<MediaAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_port_range_rises() {
        assert_eq!("10000-29999".parse(), Ok(PortRange(10_000, 29_999)));
        for wrong in ["", "10000", "29999-10000", "80-90", "1024-65536", "a-b"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_key_of_the_file_is_an_error_that_names_key_and_line() {
        let error = toml::from_str::<File>("ng = \"127.0.0.1:2223\"\nworker = 2\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("worker"), "{error}");
    }

    #[test]
    fn one_name_has_one_address_of_a_family() {
        let gather = |media: &[&str]| {
            let options = media.iter().flat_map(|address| ["--media", address]);
            Settings::gather(&Arguments::parse_from(std::iter::once("sallyport").chain(options)))
        };
        assert!(gather(&["a=192.0.2.1", "a=2001:db8::1", "b=192.0.2.2"]).is_ok());
        let error = gather(&["192.0.2.1", "192.0.2.2"]).unwrap_err().to_string();
        assert_eq!(error, "media: default has two addresses of one family; give one of them another name");
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let folder = std::env::temp_dir().join(format!("sallyport-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sallyport.toml");
        std::fs::write(&path, "ports = \"20000-20999\"\nworkers = 3\nmedia = [\"192.0.2.1\"]\n").unwrap();
        let arguments = Arguments::parse_from(["sallyport", "--config", path.to_str().unwrap(), "--workers", "1"]);
        let settings = Settings::gather(&arguments).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((settings.ports, settings.workers), ((20_000, 20_999), 1));
        assert_eq!(settings.interfaces[0].address, "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
