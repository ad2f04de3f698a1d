//! The media half's end of the control link: one signalling half at a time.
//!
//! A second one is told [`ToSession::Busy`] and may come again; it is the first that decides when it leaves. So a process
//! that was started twice by mistake disturbs nobody, and one that waits takes over when the first is gone.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use control::frame::{ToPump, ToSession, Welcome};
use control::{BindFailure, Command, Event, WorkerId};
use crossbeam::channel::Receiver;
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::{Connection, LinkError};
use crate::{Notice, Pump, SendError};

/// When a worker's queue is full, its command is offered again after this long; no other is taken meanwhile.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 8;

/// Settings of a [`ControlLink`].
pub struct ControlLinkConfig {
    /// Of the socket file. A file that a dead process has left there is replaced.
    pub path: PathBuf,
    /// What a signalling half is told first.
    pub welcome: Welcome,
    /// Whether media may be bound here: whoever holds the other end gets no other socket.
    pub may_bind: Box<dyn Fn(SocketAddr) -> bool + Send + Sync>,
}

/// The running end of the link.
pub struct ControlLink {
    shared: Arc<Shared>,
    listener: UnixListener,
    path: PathBuf,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    pump: Arc<Pump>,
    welcome: Welcome,
    may_bind: Box<dyn Fn(SocketAddr) -> bool + Send + Sync>,
    /// A connection is being served.
    occupied: AtomicBool,
    /// It is that of a signalling half.
    connected: AtomicBool,
    /// Where the signalling half is written to. Locked while a message is written.
    writer: Mutex<Option<Connection>>,
    /// Workers that have ended, for those who connect later.
    failed: Mutex<Vec<(WorkerId, String)>>,
    stopping: AtomicBool,
}

impl ControlLink {
    /// Listens, and takes over the notices of the pump: they go to the signalling half that is connected. While none is,
    /// calls end by themselves (see [`Pump::set_attended`]).
    pub fn serve(config: ControlLinkConfig, pump: Arc<Pump>, notices: Receiver<Notice>) -> io::Result<Self> {
        let listener = listen(&config.path)?;
        pump.set_attended(false);
        let shared = Arc::new(Shared {
            pump,
            welcome: config.welcome,
            may_bind: config.may_bind,
            occupied: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            writer: Mutex::new(None),
            failed: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
        });
        let out = thread::Builder::new().name("control-out".into()).spawn({
            let shared = Arc::clone(&shared);
            move || notices.iter().for_each(|notice| shared.pass_on(notice))
        })?;
        let accept = thread::Builder::new().name("control-accept".into()).spawn({
            let (shared, listener) = (Arc::clone(&shared), listener.try_clone()?);
            move || shared.accept(&listener)
        })?;
        Ok(Self { shared, listener, path: config.path, threads: vec![out, accept] })
    }

    /// A signalling half is connected.
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Acquire)
    }

    /// Ends the link and the pump behind it.
    pub fn shutdown(self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = SockRef::from(&self.listener).shutdown(std::net::Shutdown::Both);
        let _ = std::fs::remove_file(&self.path);
        if let Some(writer) = &*self.shared.writer() {
            writer.close();
        }
        // With its workers the channel of notices ends, and so does the thread that reads from it.
        self.shared.pump.shutdown();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// The file has its mode from the moment when it appears.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let bind = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Linux gives the file the mode of the socket that is bound to it.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        Ok::<_, io::Error>(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
    };
    match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another media half listens there")),
            // What is no socket refuses a connection as well, and is somebody else's file.
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => {
                std::fs::remove_file(path)?;
                bind()
            }
            Err(other) => Err(other),
        },
        other => other,
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

impl Shared {
    fn writer(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Vec<(WorkerId, String)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        while !self.stopping.load(Ordering::Acquire) {
            let connection = match listener.accept() {
                Ok((stream, _)) => Connection::new(stream),
                Err(_) if self.stopping.load(Ordering::Acquire) => return,
                Err(error) => {
                    tracing::warn!(%error, "control link: accept");
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            match connection {
                Ok(connection) if !self.occupied.swap(true, Ordering::AcqRel) => {
                    let shared = Arc::clone(self);
                    let spawned = thread::Builder::new().name("control-in".into()).spawn(move || {
                        shared.serve(connection);
                        shared.occupied.store(false, Ordering::Release);
                    });
                    if let Err(error) = spawned {
                        tracing::error!(%error, "control link: no thread for a signalling half");
                        self.occupied.store(false, Ordering::Release);
                    }
                }
                Ok(mut connection) => {
                    tracing::debug!("control link: a second signalling half was turned away");
                    // It may be gone already.
                    let _ = connection.greet().and_then(|()| connection.send(&ToSession::Busy));
                }
                Err(error) => tracing::warn!(%error, "control link: a connection was turned away"),
            }
        }
    }

    /// Serves one signalling half until it is gone.
    fn serve(&self, mut connection: Connection) {
        let ended = self.welcome(&mut connection).and_then(|()| {
            tracing::info!("a signalling half is connected");
            self.connected.store(true, Ordering::Release);
            self.pump.set_attended(true);
            self.obey(&mut connection)
        });
        let Err(error) = ended;
        connection.close();
        *self.writer() = None;
        self.pump.set_attended(false);
        if self.connected.swap(false, Ordering::AcqRel) {
            tracing::warn!(%error, "no signalling half is connected; calls go on");
        } else {
            tracing::warn!(%error, "control link: a connection was turned away");
        }
    }

    /// From here on notices go to this signalling half.
    fn welcome(&self, connection: &mut Connection) -> Result<(), LinkError> {
        connection.greet()?;
        connection.await_greeting()?;
        let mut writer = self.writer();
        connection.send(&ToSession::Welcome(self.welcome.clone()))?;
        for (worker, reason) in &*self.failed() {
            connection.send(&ToSession::WorkerFailed { worker: *worker, reason: reason.clone() })?;
        }
        *writer = Some(connection.try_clone()?);
        Ok(())
    }

    fn obey(&self, connection: &mut Connection) -> Result<std::convert::Infallible, LinkError> {
        loop {
            let ToPump { worker, command } = connection.receive()?;
            match self.refused(&command) {
                Some(event) => self.tell(ToSession::Event { worker, event }),
                None => self.hand_over(worker, command),
            }
        }
    }

    /// The answer to an `Open` that goes beyond what this process was given.
    fn refused(&self, command: &Command) -> Option<Event> {
        let Command::Open { request, call, ports } = command else { return None };
        let port = ports.iter().find(|port| !(self.may_bind)(port.local))?;
        let cause = BindFailure::Other("the pump's settings have no such media address or port".into());
        Some(Event::Refused { request: *request, call: *call, transport: port.transport, local: port.local, cause })
    }

    /// Waits while the worker has no room: then the signalling half has to wait as well.
    fn hand_over(&self, worker: WorkerId, command: Command) {
        let mut command = command;
        loop {
            match self.pump.send(worker, command) {
                Ok(()) => return,
                Err(SendError::Busy(refused)) if !self.stopping.load(Ordering::Acquire) => {
                    command = refused;
                    thread::sleep(BUSY_PAUSE);
                }
                Err(SendError::Busy(_)) => return,
                Err(SendError::Gone(command)) => {
                    if let Some(event) = command.answer_for_nobody("the worker has ended") {
                        self.tell(ToSession::Event { worker, event });
                    }
                    return;
                }
            }
        }
    }

    fn pass_on(&self, notice: Notice) {
        match notice {
            Notice::Event { worker, event } => self.tell(ToSession::Event { worker, event }),
            Notice::WorkerFailed { worker, reason } => {
                // The lock of the writer spans both, so that one who connects is told once.
                let mut writer = self.writer();
                self.failed().push((worker, reason.clone()));
                Self::write(&mut writer, &ToSession::WorkerFailed { worker, reason });
            }
        }
    }

    fn tell(&self, message: ToSession) {
        Self::write(&mut self.writer(), &message);
    }

    /// Nobody there, nothing said: who connects later takes a snapshot.
    fn write(writer: &mut Option<Connection>, message: &ToSession) {
        let Some(connection) = writer else { return };
        match connection.send(message) {
            Ok(()) => {}
            Err(LinkError::Message(error)) => tracing::warn!(%error, "control link: an event cannot be told"),
            Err(error) => {
                tracing::warn!(%error, "control link: the signalling half takes nothing and is given up");
                // The thread that reads from it sees its end, and clears up.
                connection.close();
                *writer = None;
            }
        }
    }
}
