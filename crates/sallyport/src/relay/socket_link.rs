//! The media half as a process of its own, at the other end of a Unix socket.
//!
//! One thread connects, reads, and connects again with growing pauses; another one writes. What they have to tell joins
//! the notices: who is there, what happened, and that nobody is there any more.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use control::frame::{ToPump, ToSession};
use control::{Command, WorkerId};
use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use pump::{Connection, LinkError, SendError, WorkerReport};
use tokio::sync::Notify;

use super::link::{Link, LinkNotice};

/// Commands that may wait to be written. Beyond, they wait in the relay.
const COMMAND_QUEUE: usize = 1024;

/// Notices that may wait for the relay. Beyond, the media half has to wait.
const NOTICE_QUEUE: usize = 8192;

/// The first pause before connecting again, and the longest; each is twice the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Our end of the control link.
pub(super) struct SocketLink {
    shared: Arc<Shared>,
    notices: Receiver<LinkNotice>,
}

struct Shared {
    path: PathBuf,
    /// Into the thread that writes, while there is one.
    commands: Mutex<Option<Sender<ToPump>>>,
    notices: Sender<LinkNotice>,
    noticed: Arc<Notify>,
}

impl SocketLink {
    /// Starts to connect, and goes on for ever.
    pub(super) fn start(path: &Path, noticed: Arc<Notify>) -> anyhow::Result<Self> {
        let (sender, notices) = channel::bounded(NOTICE_QUEUE);
        let shared = Arc::new(Shared { path: path.to_owned(), commands: Mutex::new(None), notices: sender, noticed });
        thread::Builder::new()
            .name("control-link".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run()
            })
            .context("no thread for the control link")?;
        Ok(Self { shared, notices })
    }
}

impl Link for SocketLink {
    fn send(&self, worker: WorkerId, command: Command) -> Result<(), SendError> {
        let commands = self.shared.commands();
        let Some(commands) = &*commands else { return Err(SendError::Gone(command)) };
        commands.try_send(ToPump { worker, command }).map_err(|refused| match refused {
            TrySendError::Full(message) => SendError::Busy(message.command),
            TrySendError::Disconnected(message) => SendError::Gone(message.command),
        })
    }

    fn poll_notice(&self) -> Option<LinkNotice> {
        self.notices.try_recv().ok()
    }

    fn counters(&self) -> Vec<WorkerReport> {
        // The media half serves its own.
        Vec::new()
    }

    fn outlives_us(&self) -> bool {
        true
    }

    fn shutdown(&self) {}
}

impl Shared {
    fn commands(&self) -> std::sync::MutexGuard<'_, Option<Sender<ToPump>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(self: Arc<Self>) {
        let (first, longest) = PAUSES;
        let mut pause = first;
        // So that a log is not filled with the same line.
        let mut told = String::new();
        loop {
            let mut connected = false;
            let ended = self.connect(&mut connected);
            *self.commands() = None;
            let (is_gone, reason) = match ended {
                Ok(()) => return,
                Err(Ended::Busy) => (false, "another signalling half is connected to it".to_owned()),
                Err(Ended::Link(error)) => (!connected && is_gone(&error), format!("{}: {error}", self.path.display())),
            };
            if connected {
                pause = first;
            }
            if told != reason {
                tracing::warn!(reason, "the media half is out of reach");
                reason.clone_into(&mut told);
            }
            let notice = if is_gone { LinkNotice::Lost { reason } } else { LinkNotice::Away { reason } };
            if self.tell(notice).is_err() {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// Connects and reads until the end. `Ok`: nobody wants to know any more.
    fn connect(self: &Arc<Self>, connected: &mut bool) -> Result<(), Ended> {
        let mut connection = Connection::connect(&self.path)?;
        connection.greet()?;
        connection.await_greeting()?;
        let welcome = match connection.receive::<ToSession>()? {
            ToSession::Welcome(welcome) => welcome,
            _ => return Err(Ended::Busy),
        };
        *connected = true;
        let (commands, to_write) = channel::bounded(COMMAND_QUEUE);
        let writer = connection.try_clone().map_err(LinkError::Io)?;
        thread::Builder::new()
            .name("control-write".into())
            .spawn(move || write(writer, &to_write))
            .map_err(LinkError::Io)?;
        *self.commands() = Some(commands);
        if self.tell(LinkNotice::Connected(welcome)).is_err() {
            return Ok(());
        }
        loop {
            let notice = match connection.receive::<ToSession>()? {
                ToSession::Event { worker, event } => LinkNotice::Event { worker, event },
                ToSession::WorkerFailed { worker, reason } => LinkNotice::WorkerFailed { worker, reason },
                ToSession::Welcome(_) | ToSession::Busy => continue,
            };
            if self.tell(notice).is_err() {
                return Ok(());
            }
        }
    }

    fn tell(&self, notice: LinkNotice) -> Result<(), ()> {
        self.notices.send(notice).map_err(drop)?;
        self.noticed.notify_one();
        Ok(())
    }
}

/// Why there is no connection (any more).
enum Ended {
    Busy,
    Link(LinkError),
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// Nobody listens: the process that did has ended.
fn is_gone(error: &LinkError) -> bool {
    matches!(error, LinkError::Io(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound))
}

/// Writes until nobody commands any more, or nobody reads.
fn write(mut connection: Connection, commands: &Receiver<ToPump>) {
    for message in commands {
        if let Err(error) = connection.send(&message) {
            match error {
                LinkError::Message(error) => tracing::error!(%error, "a command is too long for the control link"),
                // The reading thread sees the end as well.
                _ => return connection.close(),
            }
        }
    }
    connection.close();
}
