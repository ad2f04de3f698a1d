//! Two networks that exist as long as this process: one for the relays, one for what surrounds them.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns, unshare};

/// Where the relays are (RFC 2544 keeps this range for benchmarks).
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Where media comes from and goes to. No host answers there: frames to it are seen by the sink and go no further,
/// which spares the relay's processor, on whose account their delivery would be, an IP stack that no relay has to pay
/// for where its network card sends.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// A host beside it that does answer: the ends of DTLS handshakes.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);

pub(crate) const RELAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Of no interface.
pub(crate) const NOBODY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// The two networks. The calling thread, and with it all that it starts, is in the relays'.
pub(crate) struct Network {
    far: File,
    near: File,
    /// The far end's number.
    pub(crate) interface: u32,
}

impl Network {
    /// Makes both. Needs root.
    pub(crate) fn make() -> anyhow::Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!("network namespaces and packet sockets need root: please run this as root");
        }
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        let far = File::open("/proc/thread-self/ns/net")?;
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        let near = File::open("/proc/thread-self/ns/net")?;
        let far_name = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&far));
        ip("link set lo up")?;
        ip(&format!(
            "link add relay0 address {} type veth peer name far0 address {} netns {far_name}",
            text(RELAY_MAC),
            text(HOST_MAC)
        ))?;
        ip(&format!("addr add {RELAY}/24 dev relay0"))?;
        ip("link set relay0 up")?;
        ip(&format!("neigh replace {FAR} lladdr {} dev relay0 nud permanent", text(FAR_MAC)))?;
        ip(&format!("neigh replace {HOST} lladdr {} dev relay0 nud permanent", text(HOST_MAC)))?;
        let mut network = Self { far, near, interface: 0 };
        network.interface = network.in_far(|| {
            ip(&format!("addr add {HOST}/24 dev far0"))?;
            ip("link set far0 up")?;
            ip(&format!("neigh replace {RELAY} lladdr {} dev far0 nud permanent", text(RELAY_MAC)))?;
            Ok(nix::net::if_::if_nametoindex("far0")?)
        })?;
        Ok(network)
    }

    /// Does something in the far network. Sockets made there stay there.
    pub(crate) fn in_far<T>(&self, job: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        setns(&self.far, CloneFlags::CLONE_NEWNET)?;
        let outcome = job();
        setns(&self.near, CloneFlags::CLONE_NEWNET)?;
        outcome
    }
}

fn ip(words: &str) -> anyhow::Result<()> {
    let status = Command::new("ip").args(words.split(' ')).status().context("ip, of iproute2")?;
    if status.success() { Ok(()) } else { bail!("ip {words}: {status}") }
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
