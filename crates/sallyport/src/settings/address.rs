//! Media addresses and port ranges as the file and the command line write them.

use std::net::IpAddr;
use std::str::FromStr;

use session::Interface;

/// `[NAME=]IP[/ADVERTISED]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaAddress(pub(crate) Interface);

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

/// The first interface that has the name and the family of one before it.
pub(crate) fn duplicate(interfaces: &[Interface]) -> Option<usize> {
    let same =
        |one: &Interface, other: &Interface| one.name == other.name && one.address.is_ipv4() == other.address.is_ipv4();
    (1..interfaces.len()).find(|&index| interfaces[..index].iter().any(|other| same(&interfaces[index], other)))
}

/// `FROM-TO`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) u16, pub(crate) u16);

impl PortRange {
    /// Whether each worker gets two pairs at least.
    pub(crate) fn suffices(self, workers: u16) -> bool {
        usize::from(self.1 - self.0) + 1 >= 4 * usize::from(workers)
    }
}

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
    fn one_name_has_one_address_of_a_family() {
        let interfaces = |texts: &[&str]| -> Vec<Interface> {
            texts.iter().map(|text| text.parse::<MediaAddress>().unwrap().0).collect()
        };
        assert_eq!(duplicate(&interfaces(&["a=192.0.2.1", "a=2001:db8::1", "b=192.0.2.2"])), None);
        assert_eq!(duplicate(&interfaces(&["192.0.2.1", "b=192.0.2.1", "192.0.2.2"])), Some(2));
    }
}
