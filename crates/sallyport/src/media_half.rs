//! The media half: how it is set up, and how it runs as a process of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use admin::{Admin, Calls, Question, Readiness, Snapshot};
use anyhow::Context;
use control::frame::Welcome;
use control::{Fingerprint, HashAlgorithm, WorkerId};
use pump::{ControlLink, ControlLinkConfig, Pump, PumpConfig};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::relay::FAREWELL;
use crate::settings::{Fixed, Settings};
use crate::signals::{Signals, Wish};
use crate::{answers, identity, machine, notify};

/// The hashes under which descriptions may show our certificate; the first one is shown unless a request asks for another.
const FINGERPRINT_HASHES: [HashAlgorithm; 3] = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];

/// A pump as the settings want it, and the fingerprints of its certificate. `notify` is called when there is a new notice.
pub(crate) fn config(
    settings: &Fixed,
    notify: impl Fn() + Send + Sync + 'static,
) -> anyhow::Result<(PumpConfig, Vec<Fingerprint>)> {
    let identity = identity::load(&settings.dtls)?;
    let fingerprints = FINGERPRINT_HASHES.map(|hash| identity.fingerprint(hash)).to_vec();
    let mut config = PumpConfig::mmsg(settings.workers.into(), settings.sockets, identity);
    config.pin_workers = settings.pin_workers;
    config.shard.early_media = settings.early_media;
    config.handshake_threads = settings.dtls.threads;
    config.handshake_queue = settings.dtls.queue;
    config.mtu = settings.dtls.mtu;
    config.notify = Arc::new(notify);
    Ok((config, fingerprints))
}

/// Name of a pump's backend.
pub(crate) fn backend(pump: &Pump) -> &'static str {
    pump.capabilities(WorkerId(0)).map_or("none", |capabilities| capabilities.name)
}

/// Moves media for a signalling half that connects, until SIGINT or SIGTERM.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    machine::check_media(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let Fixed { admin, workers, control, .. } = &settings.fixed;
    let listener = TcpListener::bind(admin).await.with_context(|| format!("admin listener on {admin}"))?;
    let address = listener.local_addr()?;
    let (config, fingerprints) = config(&settings.fixed, || {})?;
    let (pump, notices) = Pump::start(config).context("the media half did not start")?;
    let (backend, pump) = (backend(&pump), Arc::new(pump));
    let mut instance = [0; 8];
    SysRng.try_fill_bytes(&mut instance).context("the system gives no random numbers")?;
    let instance = u64::from_be_bytes(instance);
    let welcome = Welcome { instance, workers: *workers, backend: backend.to_owned(), fingerprints };
    let link = ControlLinkConfig { path: control.clone(), welcome, may_bind: may_bind(settings) };
    let link = ControlLink::serve(link, Arc::clone(&pump), notices)
        .with_context(|| format!("control socket {}", control.display()))?;

    let (question_sender, mut questions) = mpsc::channel(64);
    let (farewell, farewell_said) = oneshot::channel::<()>();
    let hosts = watch::Sender::new(settings.live.admin_hosts.clone());
    let admin = Admin { questions: question_sender, hosts: hosts.subscribe() };
    let admin_task = tokio::spawn(admin::serve(listener, admin, async {
        let _ = farewell_said.await;
    }));
    let mut signals = Signals::catch()?;
    introduce(settings, backend, address);
    notify::ready();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let pulse = notify::watchdog_interval();
    loop {
        tokio::select! {
            Some(question) = questions.recv() => answer(question, &pump, &link, started),
            () = sleep(pulse.unwrap_or(Duration::MAX)) => notify::alive(),
            wish = signals.next() => match wish {
                Wish::End => break,
                Wish::Reload => tracing::warn!("reload: nothing of the media half can change while it runs"),
                Wish::Drain => tracing::warn!("drain: tell the signalling half"),
            },
        }
    }
    notify::stopping();
    tracing::info!(calls = calls(&pump), "ending, and with it the calls");
    link.shutdown();
    let _ = farewell.send(());
    let _ = timeout(FAREWELL, admin_task).await;
    Ok(())
}

/// The lines that tell where it is: the first word names the line.
fn introduce(settings: &Settings, backend: &str, admin: SocketAddr) {
    let media: Vec<String> = settings.live.interfaces.iter().map(|interface| interface.address.to_string()).collect();
    let Fixed { control, workers, ports: (first, last), .. } = &settings.fixed;
    let lines = [
        format!("control  {}: sallyport signal connects here", control.display()),
        format!("admin    http://{admin}/ with metrics, healthz, readyz"),
        format!("media    {} ports {first}-{last}", media.join(" ")),
        format!("backend  {backend}, {workers} workers: UDP sockets in batches, which need no privilege"),
    ];
    // Nobody has to read them.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

/// Media addresses and ports of the settings, and no other socket, whatever the signalling half asks for.
fn may_bind(settings: &Settings) -> Box<dyn Fn(SocketAddr) -> bool + Send + Sync> {
    let (first, last) = settings.fixed.ports;
    let addresses: Vec<_> = settings.live.interfaces.iter().map(|interface| interface.address).collect();
    Box::new(move |local| addresses.contains(&local.ip()) && (first..=last).contains(&local.port()))
}

fn calls(pump: &Pump) -> u64 {
    pump.counters().iter().map(|report| report.counters.calls).sum()
}

fn answer(question: Question, pump: &Pump, link: &ControlLink, started: f64) {
    let reports = pump.counters();
    // An answer that nobody waits for any more is no error.
    match question {
        Question::Snapshot(way) => {
            let snapshot = Snapshot {
                version: env!("CARGO_PKG_VERSION"),
                backend: backend(pump),
                started,
                workers: reports.iter().map(answers::worker_snapshot).collect(),
                media_only: true,
                linked: Some(link.is_connected()),
                ..Snapshot::default()
            };
            let _ = way.send(Box::new(snapshot));
        }
        Question::Readiness(way) => {
            let failed = reports.iter().filter(|report| report.failed);
            let mut missing: Vec<String> = failed.map(|report| format!("worker {}", report.worker.0)).collect();
            if !link.is_connected() {
                missing.push("a signalling half".into());
            }
            let _ = way.send(Readiness { missing });
        }
        // Names of calls are the signalling half's.
        Question::Calls(way) => {
            let _ = way.send(Calls { total: usize::try_from(calls(pump)).unwrap_or(usize::MAX), calls: Vec::new() });
        }
        Question::Call(_, way) => {
            let _ = way.send(None);
        }
        // Calls come from the signalling half: it drains them, and it speaks the ng protocol. No answer is a 503.
        Question::Drain(_) | Question::Ng(..) => {}
    }
}
