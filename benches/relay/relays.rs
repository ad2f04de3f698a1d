//! The two relays, each a process pinned to one processor.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sallyport_tests::ng::NgClient;
use sallyport_tests::server::Server;
use serde_json::json;

use crate::network::RELAY;
use crate::sys;
use crate::traffic::{Processors, run_on};

/// Where rtpengine listens, in a network of our own.
const RTPENGINE_NG: &str = "127.0.0.1:2222";
/// Of all threads of a relay, so that other work on the machine does not take its turns (SCHED_FIFO). Nice values would not
/// do: they count only among the processes of one session, where the kernel groups tasks by it.
const PRIORITY: u8 = 1;

/// Which relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Sallyport,
    Rtpengine,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sallyport => "Sallyport",
            Self::Rtpengine => "rtpengine",
        }
    }
}

/// The programs.
pub(crate) struct Programs {
    pub(crate) sallyport: PathBuf,
    pub(crate) rtpengine: PathBuf,
}

impl Programs {
    /// What each says its version is.
    pub(crate) fn version(&self, kind: Kind) -> anyhow::Result<String> {
        let program = self.path(kind);
        let output = Command::new(program).arg("--version").output().with_context(|| program.display().to_string())?;
        let told = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        Ok(String::from_utf8_lossy(&told).trim().to_owned())
    }

    fn path(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Sallyport => &self.sallyport,
            Kind::Rtpengine => &self.rtpengine,
        }
    }
}

/// A running relay; it ends with this value.
pub(crate) struct Relay {
    pub(crate) kind: Kind,
    pub(crate) process: u32,
    pub(crate) ng: NgClient,
    running: Running,
}

enum Running {
    Sallyport(Server),
    Rtpengine(Daemon),
}

impl Relay {
    pub(crate) fn start(kind: Kind, programs: &Programs, processors: Processors) -> anyhow::Result<Self> {
        let program = programs.path(kind);
        let running = pinned(processors, || {
            Ok(match kind {
                Kind::Sallyport => {
                    let media = RELAY.to_string();
                    Running::Sallyport(Server::start_binary(
                        program,
                        &["--workers", "1", "--backend", "mmsg", "--media", &media, "--ports", "10000-29999"],
                    )?)
                }
                Kind::Rtpengine => Running::Rtpengine(Daemon::start(program)?),
            })
        })?;
        let (process, ng) = match &running {
            Running::Sallyport(server) => (server.process_id(), server.ng_client()?),
            Running::Rtpengine(daemon) => (daemon.0.id(), daemon.ng_client()?),
        };
        Ok(Self { kind, process, ng, running })
    }

    /// What its own counters say; rtpengine has none of these.
    pub(crate) fn counters(&self) -> anyhow::Result<Option<Counters>> {
        let Running::Sallyport(server) = &self.running else { return Ok(None) };
        let of = |name: &str, labels: &str| server.metric(&format!("sallyport_{name}"), labels);
        Ok(Some(Counters {
            datagrams: of("receive_batch_datagrams_sum", "")?,
            batches: of("receive_batch_datagrams_count", "")?,
            system_calls: of("worker_system_calls_total", "")?,
            handshakes: of("dtls_handshakes_total", "result=\"completed\"")?,
        }))
    }

    /// What it has dropped, in its own words; nothing of rtpengine.
    pub(crate) fn dropped(&self) -> String {
        match &self.running {
            Running::Sallyport(server) => server.dropped().unwrap_or_default(),
            Running::Rtpengine(_) => String::new(),
        }
    }
}

/// Counters of a worker, ever rising.
#[derive(Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) datagrams: f64,
    pub(crate) batches: f64,
    pub(crate) system_calls: f64,
    pub(crate) handshakes: f64,
}

/// Starts something on the relays' processor.
fn pinned<T>(processors: Processors, start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let before = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    run_on(processors.relay)?;
    sys::set_priority(Some(PRIORITY))?;
    let outcome = start();
    sys::set_priority(None)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &before)?;
    outcome
}

/// rtpengine, in user space, with one thread for media.
struct Daemon(Child);

impl Daemon {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .args(["--foreground", "--log-stderr", "--config-file=none", "--table=-1", "--num-threads=1"])
            .args(["--log-level=3", "--port-min=30000", "--port-max=49999", "--timeout=3600", "--silent-timeout=3600"])
            .arg(format!("--interface={RELAY}"))
            .arg(format!("--listen-ng={RTPENGINE_NG}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} (Debian: rtpengine-daemon)", program.display()))?;
        Ok(Self(child))
    }

    fn ng_client(&self) -> anyhow::Result<NgClient> {
        let address: SocketAddr = RTPENGINE_NG.parse()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut ng = NgClient::connect(address)?;
            match ng.command("ping", json!({})) {
                Ok(_) => return Ok(ng),
                Err(error) if Instant::now() > deadline => return Err(error.context("rtpengine does not answer")),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where rtpengine is, unless told otherwise.
pub(crate) fn find_rtpengine() -> anyhow::Result<PathBuf> {
    let places = ["/usr/bin/rtpengine", "/usr/sbin/rtpengine"];
    let found = places.iter().map(Path::new).find(|path| fs::metadata(path).is_ok());
    match found {
        Some(path) => Ok(path.to_owned()),
        None => bail!("no rtpengine: please install rtpengine-daemon, or give --rtpengine"),
    }
}
