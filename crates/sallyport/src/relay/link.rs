//! The way to the media half.

use std::sync::Arc;

use anyhow::Context;
use control::{Command, Fingerprint, HashAlgorithm, WorkerId};
use crossbeam::channel::Receiver;
use pump::{Notice, Pump, PumpConfig, SendError, WorkerReport};
use tokio::sync::Notify;

use crate::identity;
use crate::settings::Fixed;

/// The hashes under which descriptions may show our certificate; the first one is shown unless a request asks for another.
const FINGERPRINT_HASHES: [HashAlgorithm; 3] = [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];

/// The way to the media half: commands go in here, and what comes of them arrives on the channel of notices that
/// came with it.
pub(crate) trait Link {
    /// Hands a command to a worker. Commands to one worker are dealt with in order. Never blocks.
    fn send(&self, worker: WorkerId, command: Command) -> Result<(), SendError>;

    /// What the workers have counted.
    fn counters(&self) -> Vec<WorkerReport>;

    /// Ends the link, and the media half with it where that is ours.
    fn shutdown(&self);
}

/// The media half as the signalling half gets to know it.
pub(crate) struct MediaHalf {
    pub(crate) link: Box<dyn Link>,
    pub(crate) notices: Receiver<Notice>,
    /// Said when there is something new among the notices.
    pub(crate) noticed: Arc<Notify>,
    /// Name of the backend.
    pub(crate) backend: &'static str,
    pub(crate) workers: u16,
    /// Of the certificate that handshakes show.
    pub(crate) fingerprints: Vec<Fingerprint>,
}

/// Starts the media half in this process.
pub(crate) fn start_here(settings: &Fixed) -> anyhow::Result<MediaHalf> {
    let workers = settings.workers;
    let identity = identity::load(&settings.dtls)?;
    let fingerprints = FINGERPRINT_HASHES.map(|hash| identity.fingerprint(hash)).to_vec();
    let noticed = Arc::new(Notify::new());
    let mut config = PumpConfig::mmsg(workers.into(), settings.sockets, identity);
    config.pin_workers = settings.pin_workers;
    config.shard.early_media = settings.early_media;
    config.handshake_threads = settings.dtls.threads;
    config.handshake_queue = settings.dtls.queue;
    config.mtu = settings.dtls.mtu;
    config.notify = Arc::new({
        let noticed = Arc::clone(&noticed);
        move || noticed.notify_one()
    });
    let (pump, notices) = Pump::start(config).context("the media half did not start")?;
    let backend = pump.capabilities(WorkerId(0)).map_or("none", |capabilities| capabilities.name);
    Ok(MediaHalf { link: Box::new(pump), notices, noticed, backend, workers, fingerprints })
}

impl Link for Pump {
    fn send(&self, worker: WorkerId, command: Command) -> Result<(), SendError> {
        Pump::send(self, worker, command)
    }

    fn counters(&self) -> Vec<WorkerReport> {
        Pump::counters(self)
    }

    fn shutdown(&self) {
        Pump::shutdown(self);
    }
}
