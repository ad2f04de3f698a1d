//! The way to the media half, in this process or in another one.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use control::frame::Welcome;
use control::{Command, Event, Fingerprint, WorkerId};
use crossbeam::channel::Receiver;
use pump::{Notice, Pump, SendError, WorkerReport};
use tokio::sync::Notify;

use super::socket_link::SocketLink;
use crate::media_half;
use crate::settings::Fixed;

/// The way to the media half: commands go in here, and what comes of them is said by notices.
pub(crate) trait Link {
    /// Hands a command to a worker. Commands to one worker are dealt with in order. Never blocks.
    fn send(&self, worker: WorkerId, command: Command) -> Result<(), SendError>;

    /// The next notice. [`MediaHalf::noticed`] says when there is one.
    fn poll_notice(&self) -> Option<LinkNotice>;

    /// What the workers have counted; none where the media half serves its own counters.
    fn counters(&self) -> Vec<WorkerReport>;

    /// The media half goes on when this process ends.
    fn outlives_us(&self) -> bool;

    /// Ends the media half where it is ours.
    fn shutdown(&self);
}

/// News of the media half.
pub(crate) enum LinkNotice {
    /// Something happened on a worker.
    Event { worker: WorkerId, event: Event },
    /// A worker has ended; its calls are lost.
    WorkerFailed { worker: WorkerId, reason: String },
    /// A media half in another process is there.
    Connected(Welcome),
    /// It is out of reach; its calls may go on.
    Away { reason: String },
    /// It has ended, and its calls with it.
    Lost { reason: String },
}

/// The media half as the signalling half gets to know it.
pub(crate) struct MediaHalf {
    pub(crate) link: Box<dyn Link>,
    /// Said when there is a new notice.
    pub(crate) noticed: Arc<Notify>,
    /// What it is. `None`: it is another process and will say itself.
    pub(crate) character: Option<Character>,
}

/// What a media half is.
pub(crate) struct Character {
    /// Name of the backend.
    pub(crate) backend: &'static str,
    pub(crate) workers: u16,
    /// Of the certificate that handshakes show.
    pub(crate) fingerprints: Vec<Fingerprint>,
}

/// Starts the media half in this process.
pub(crate) fn start_here(settings: &Fixed) -> anyhow::Result<MediaHalf> {
    let noticed = Arc::new(Notify::new());
    let (config, fingerprints) = media_half::config(settings, {
        let noticed = Arc::clone(&noticed);
        move || noticed.notify_one()
    })?;
    let (pump, notices) = Pump::start(config).context("the media half did not start")?;
    let character = Character { backend: media_half::backend(&pump), workers: settings.workers, fingerprints };
    Ok(MediaHalf { link: Box::new(PumpLink { pump, notices }), noticed, character: Some(character) })
}

/// Connects to a media half in another process, now or when it is there.
pub(crate) fn connect(path: &Path) -> anyhow::Result<MediaHalf> {
    let noticed = Arc::new(Notify::new());
    let link = SocketLink::start(path, Arc::clone(&noticed))?;
    Ok(MediaHalf { link: Box::new(link), noticed, character: None })
}

/// The media half in this process.
struct PumpLink {
    pump: Pump,
    notices: Receiver<Notice>,
}

impl Link for PumpLink {
    fn send(&self, worker: WorkerId, command: Command) -> Result<(), SendError> {
        self.pump.send(worker, command)
    }

    fn poll_notice(&self) -> Option<LinkNotice> {
        Some(match self.notices.try_recv().ok()? {
            Notice::Event { worker, event } => LinkNotice::Event { worker, event },
            Notice::WorkerFailed { worker, reason } => LinkNotice::WorkerFailed { worker, reason },
        })
    }

    fn counters(&self) -> Vec<WorkerReport> {
        self.pump.counters()
    }

    fn outlives_us(&self) -> bool {
        false
    }

    fn shutdown(&self) {
        self.pump.shutdown();
    }
}
