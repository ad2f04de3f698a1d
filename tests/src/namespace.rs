//! A network of our own: a namespace that lives as long as the threads and processes in it.

use std::process::Command;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};

/// An address of the namespace that is not loopback (RFC 5737).
pub const ADDRESS: &str = "198.51.100.1";

/// Moves the calling thread, and with it every thread and process that it starts from here on, into a network of its
/// own: loopback, [`ADDRESS`] on a pair of virtual interfaces, a default route, and nothing outside. It vanishes with
/// the last of them. Needs root.
pub fn enter() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace needs root")?;
    for words in [
        "link set lo up",
        "link add net0 type veth peer name net1",
        "addr add 198.51.100.1/24 dev net0",
        "link set net0 up",
        "link set net1 up",
        "route add default via 198.51.100.2 dev net0",
        // The gateway exists as a neighbour only, so that nothing waits for its address.
        "neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev net0",
    ] {
        let status = Command::new("ip").args(words.split(' ')).status()?;
        if !status.success() {
            bail!("ip {words}: {status}");
        }
    }
    Ok(())
}

/// True when the calling process may make a namespace. In continuous integration a test that needs one must not be left
/// out: there this panics instead of saying no.
pub fn is_permitted() -> bool {
    let permitted = nix::unistd::geteuid().is_root();
    assert!(permitted || std::env::var_os("CI").is_none(), "this test needs root, and must not be left out here");
    if !permitted {
        eprintln!("left out: needs root for a network namespace");
    }
    permitted
}
