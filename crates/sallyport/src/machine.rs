//! What the machine has: addresses, processors, limits.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;

use crate::settings::Settings;

/// The first address of an interface that others can reach; loopback where there is none.
pub(crate) fn first_global_address() -> IpAddr {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let global: Vec<IpAddr> = addresses.filter(is_global).collect();
    // IPv4 first: phones rarely speak anything else.
    let chosen = global.iter().find(|address| address.is_ipv4()).or(global.first());
    chosen.copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn is_global(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}

/// Whether sockets can be bound to a media address: an error at the start is clearer than one at the first call.
pub(crate) fn check_address(address: IpAddr) -> std::io::Result<()> {
    std::net::UdpSocket::bind((address, 0)).map(drop)
}

/// What media needs of the machine. An error: there will be none; what may fail later is a warning.
pub(crate) fn check_media(settings: &Settings) -> anyhow::Result<()> {
    for interface in &settings.live.interfaces {
        check_address(interface.address).with_context(|| format!("media address {}", interface.address))?;
    }
    check_limits(settings.fixed.ports);
    Ok(())
}

/// Processors that this process may use.
pub(crate) fn processors() -> u16 {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(64) as u16)
}

/// Warns about what would fail later: ports that the system hands out to others, too few descriptors.
fn check_limits(ports: (u16, u16)) {
    if let Ok(text) = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range") {
        let mut ends = text.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
        if let (Some(first), Some(last)) = (ends.next(), ends.next())
            && ports.0 <= last
            && first <= ports.1
        {
            tracing::warn!(
                "media ports {}-{} overlap the ephemeral ports {first}-{last} (net.ipv4.ip_local_port_range): other \
                 programs may hold some of them",
                ports.0,
                ports.1
            );
        }
    }
    // A port is a descriptor; some more are for listeners and logs.
    let needed = u64::from(ports.1 - ports.0) + 1 + 256;
    match packet_io::raise_descriptor_limit() {
        Ok(limit) if limit < needed => {
            tracing::warn!(
                "{limit} open files are allowed, {needed} are needed to use every media port (RLIMIT_NOFILE)"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!("the limit of open files could not be raised: {error}"),
    }
}
