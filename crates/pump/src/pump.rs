//! Starting, addressing and ending the threads of the media half.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use control::{Command, Event, WorkerId};
use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use datagram::{Backend, Capabilities, Wake};
use dtls::Identity;
use media::examine::Finding;
use media::handshake::{Input, Output};
use media::{Shard, ShardConfig};
use packet_io::{Mmsg, MmsgConfig};

use crate::counters::{Published, WorkerReport};
use crate::examiner;
use crate::handshakes::{Lane, Return};
use crate::worker::{Parts, Worker};

/// Makes a worker's backend, on the worker's thread.
pub type BackendFactory = Box<dyn FnOnce() -> io::Result<Box<dyn Backend>> + Send>;

/// Settings of a [`Pump`].
pub struct PumpConfig {
    /// One for each worker.
    pub backends: Vec<BackendFactory>,
    /// Whether each worker is pinned to a processor of its own, round the processors that the process may use.
    pub pin_workers: bool,
    /// Bounds of every shard; the shard's number is the worker's.
    pub shard: ShardConfig,
    /// Threads for handshakes, at least one.
    pub handshake_threads: usize,
    /// Datagrams and orders that may wait in front of a handshake thread.
    pub handshake_queue: usize,
    /// Our certificate.
    pub identity: Identity,
    /// Longest UDP payload of a handshake, in bytes.
    pub mtu: usize,
    /// Commands that may wait in front of a worker.
    pub command_queue: usize,
    /// Notices that may wait for the session.
    pub notice_queue: usize,
    /// Called, from a worker's thread, when there is a new notice. It must not block.
    pub notify: Arc<dyn Fn() + Send + Sync>,
}

impl PumpConfig {
    /// `workers` workers on UDP sockets, and defaults for the rest.
    pub fn mmsg(workers: usize, config: MmsgConfig, identity: Identity) -> Self {
        let backend = move || -> BackendFactory { Box::new(move || Ok(Box::new(Mmsg::new(config)?))) };
        Self::new((0..workers).map(|_| backend()).collect(), identity)
    }

    /// A worker for each backend, and defaults for the rest.
    pub fn new(backends: Vec<BackendFactory>, identity: Identity) -> Self {
        Self {
            backends,
            pin_workers: false,
            shard: ShardConfig::default(),
            handshake_threads: 1,
            handshake_queue: 1024,
            identity,
            mtu: 1200,
            command_queue: 4096,
            notice_queue: 8192,
            notify: Arc::new(|| {}),
        }
    }
}

/// From the pump to the session.
#[derive(Debug)]
pub enum Notice {
    /// Something happened on a worker.
    Event {
        /// Which.
        worker: WorkerId,
        /// What.
        event: Event,
    },
    /// The worker has ended by a panic or a broken backend. Its ports are closed and its calls are lost.
    WorkerFailed {
        /// Which.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
}

/// Why a command was not taken. The command comes back.
pub enum SendError {
    /// The worker's queue is full, because the session does not take its notices or the worker is overloaded.
    Busy(Command),
    /// There is no such worker, or it has ended.
    Gone(Command),
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(_) => f.write_str("Busy"),
            Self::Gone(_) => f.write_str("Gone"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(_) => f.write_str("the worker's queue is full"),
            Self::Gone(_) => f.write_str("there is no such worker"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a pump did not start. Nothing of it runs.
#[derive(Debug)]
pub enum StartError {
    /// No backend was given, or more than workers can be numbered.
    Workers,
    /// A thread could not be started.
    Thread(io::Error),
    /// A backend could not be made.
    Backend {
        /// Whose.
        worker: WorkerId,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workers => f.write_str("the number of workers must be between 1 and 65535"),
            Self::Thread(error) => write!(f, "a thread could not be started: {error}"),
            Self::Backend { worker, error } => write!(f, "worker {}: no backend: {error}", worker.0),
        }
    }
}

impl std::error::Error for StartError {}

/// What all threads of a pump share.
pub(crate) struct Shared {
    stopping: AtomicBool,
    attended: AtomicBool,
    pub(crate) notify: Arc<dyn Fn() + Send + Sync>,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn is_attended(&self) -> bool {
        self.attended.load(Ordering::Acquire)
    }
}

/// The running media half.
pub struct Pump {
    shared: Arc<Shared>,
    workers: Vec<Address>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What is known of a worker outside its thread.
struct Address {
    id: WorkerId,
    commands: Sender<Command>,
    waker: Arc<dyn Wake>,
    capabilities: Capabilities,
    published: Arc<Published>,
}

/// A worker's word when its backend is made.
struct Ready {
    waker: Arc<dyn Wake>,
    capabilities: Capabilities,
}

impl Pump {
    /// Starts all threads and waits until every worker has its backend.
    pub fn start(config: PumpConfig) -> Result<(Self, Receiver<Notice>), StartError> {
        if config.backends.is_empty() || u16::try_from(config.backends.len()).is_err() {
            return Err(StartError::Workers);
        }
        let (notice_sender, notices) = channel::bounded(config.notice_queue.max(1));
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            attended: AtomicBool::new(true),
            notify: config.notify,
        });
        let mut pump = Self { shared, workers: Vec::new(), threads: Mutex::new(Vec::new()) };

        let lane_count = config.handshake_threads.max(1);
        let (lanes, lane_inputs): (Vec<Sender<Input>>, Vec<Receiver<Input>>) =
            (0..lane_count).map(|_| channel::bounded(config.handshake_queue.max(1))).unzip();
        let cpus = if config.pin_workers { packet_io::allowed_cpus().unwrap_or_default() } else { Vec::new() };
        let mut outputs_by_worker: Vec<Sender<Output>> = Vec::new();
        let (evidence_sender, evidence) = channel::bounded(examiner::QUEUE);
        let mut findings_by_worker: Vec<Sender<Finding>> = Vec::new();

        for (index, factory) in config.backends.into_iter().enumerate() {
            let id = WorkerId(index as u16);
            let (commands, command_receiver) = channel::bounded(config.command_queue.max(1));
            let (output_sender, outputs) = channel::bounded(config.handshake_queue.max(1));
            let (finding_sender, findings) = channel::bounded(examiner::QUEUE);
            let published = Arc::new(Published::new());
            let shard = Shard::new(ShardConfig { shard: id.0, ..config.shard.clone() });
            let parts = Parts {
                id,
                shard,
                commands: command_receiver,
                notices: notice_sender.clone(),
                outputs,
                lanes: lanes.clone(),
                evidence: evidence_sender.clone(),
                findings,
                published: Arc::clone(&published),
                shared: Arc::clone(&pump.shared),
            };
            let (ready_sender, ready) = channel::bounded(1);
            let cpu = cpus.get(index % cpus.len().max(1)).copied();
            pump.spawn(format!("worker-{index}"), move || worker_thread(parts, factory, cpu, &ready_sender))?;
            let ready: io::Result<Ready> =
                ready.recv().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")));
            let Ready { waker, capabilities } = ready.map_err(|error| StartError::Backend { worker: id, error })?;
            outputs_by_worker.push(output_sender);
            findings_by_worker.push(finding_sender);
            pump.workers.push(Address { id, commands, waker, capabilities, published });
        }
        drop(lanes);
        drop(evidence_sender);

        for (index, inputs) in lane_inputs.into_iter().enumerate() {
            let returns = outputs_by_worker.iter().zip(&pump.workers);
            let returns = returns
                .map(|(outputs, worker)| Return { outputs: outputs.clone(), waker: Arc::clone(&worker.waker) })
                .collect();
            let lane = Lane { inputs, returns, identity: config.identity.clone(), mtu: config.mtu };
            pump.spawn(format!("handshake-{index}"), move || lane.run())?;
        }
        pump.spawn("examiner".into(), move || examiner::run(&evidence, &findings_by_worker))?;
        Ok((pump, notices))
    }

    /// The workers.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.iter().map(|worker| worker.id)
    }

    /// What a worker's backend is.
    pub fn capabilities(&self, worker: WorkerId) -> Option<Capabilities> {
        self.workers.get(usize::from(worker.0)).map(|worker| worker.capabilities)
    }

    /// Hands a command to a worker. Commands to one worker are dealt with in order. Never blocks.
    pub fn send(&self, worker: WorkerId, command: Command) -> Result<(), SendError> {
        let Some(worker) = self.workers.get(usize::from(worker.0)) else { return Err(SendError::Gone(command)) };
        worker.commands.try_send(command).map_err(|refused| match refused {
            TrySendError::Full(command) => SendError::Busy(command),
            TrySendError::Disconnected(command) => SendError::Gone(command),
        })?;
        worker.waker.wake();
        Ok(())
    }

    /// Whether somebody is there to take notices and to end calls, as there is from the start. While nobody is, calls end
    /// by themselves: after their media timeout, and those without one after an hour.
    pub fn set_attended(&self, attended: bool) {
        self.shared.attended.store(attended, Ordering::Release);
        self.workers.iter().for_each(|worker| worker.waker.wake());
    }

    /// What every worker has counted, as of its last turn.
    pub fn counters(&self) -> Vec<WorkerReport> {
        self.workers
            .iter()
            .map(|worker| WorkerReport {
                worker: worker.id,
                backend: worker.capabilities.name,
                failed: worker.published.is_failed(),
                counters: worker.published.read(),
            })
            .collect()
    }

    /// Ends all threads and waits for them. Commands and notices that still wait are lost. A second call does nothing.
    pub fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.workers.iter().for_each(|worker| worker.waker.wake());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // Its panic, if it had one, is reported by the thread itself.
            let _ = thread.join();
        }
    }

    fn spawn(&self, name: String, body: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread = thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn worker_thread(parts: Parts, factory: BackendFactory, cpu: Option<usize>, ready: &Sender<io::Result<Ready>>) {
    let worker = parts.id;
    let _span = tracing::info_span!("worker", id = worker.0).entered();
    if let Some(cpu) = cpu
        && let Err(error) = packet_io::pin_to_cpu(cpu)
    {
        tracing::warn!(cpu, %error, "the worker is not pinned");
    }
    let backend = match factory() {
        Ok(backend) => backend,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(Ready { waker: backend.waker(), capabilities: backend.capabilities() }));
    let (notices, published, shared) = (parts.notices.clone(), Arc::clone(&parts.published), Arc::clone(&parts.shared));
    let mut body = Worker::new(parts, backend);
    let reason = match catch_unwind(AssertUnwindSafe(|| body.run())) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("the backend is broken: {error}"),
        Err(panic) => format!("panic: {}", panic_words(panic.as_ref())),
    };
    tracing::error!(reason, "the worker has ended; its calls are lost");
    published.set_failed();
    // Closes the ports and the queues before anybody is told. A state that has panicked may panic once more.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(body)));
    let _ = notices.send_timeout(Notice::WorkerFailed { worker, reason }, Duration::from_secs(1));
    (shared.notify)();
}

fn panic_words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}
