//! What the kernel has on a process's account: processor time and memory.

use std::fs;

use anyhow::Context;

/// Nanoseconds that all threads of the process have run, softirqs that interrupted them included.
pub(crate) fn run_time(process: u32) -> anyhow::Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end between being listed and being read.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        total += text.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(total)
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Of the kernel, for the process's sockets.
    pub(crate) sockets: u64,
}

impl Memory {
    /// Of this process, with what is queued in the UDP sockets of the calling thread's network.
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = resident.trim().trim_end_matches(" kB").parse()?;
        let is_socket = |link: &std::path::Path| {
            fs::read_link(link).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        };
        let mut sockets = 0;
        for descriptor in fs::read_dir(format!("/proc/{process}/fd"))? {
            sockets += u64::from(is_socket(&descriptor?.path()));
        }
        Ok(Self { resident: kibibytes * 1024, sockets: sockets * socket_size() + queued()? })
    }
}

/// What the kernel keeps for a UDP socket that epoll watches, and the bytes of each on x86-64 where it does not say.
const SOCKET_PARTS: [(&str, u64); 6] = [
    ("UDP", 1344),
    ("sock_inode_cache", 832),
    ("filp", 192),
    ("dentry", 192),
    ("eventpoll_epi", 128),
    ("eventpoll_pwq", 64),
];

fn socket_size() -> u64 {
    let size = |&(name, otherwise): &(&str, u64)| {
        let told = fs::read_to_string(format!("/sys/kernel/slab/{name}/slab_size"));
        told.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(otherwise)
    };
    SOCKET_PARTS.iter().map(size).sum()
}

/// Bytes that wait in sockets. (What sockstat tells is what they may still take without asking, which is no memory.)
fn queued() -> anyhow::Result<u64> {
    let mut total = 0;
    for family in ["udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{family}"))?;
        for line in text.lines().skip(1) {
            let queues = line.split_whitespace().nth(4).context("a short line in /proc/net/udp")?;
            for bytes in queues.split(':') {
                total += u64::from_str_radix(bytes, 16)?;
            }
        }
    }
    Ok(total)
}
