//! One worker: a thread with a backend and a shard.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::{BindFailure, CallKey, Command, Event, OpenPort, RequestId, WorkerId};
use crossbeam::channel::{Receiver, Sender, TrySendError};
use datagram::{Backend, Batch};
use media::Shard;
use media::examine::{Evidence, Finding};
use media::handshake::{Input, Output};

use crate::counters::{Published, WorkerCounters};
use crate::pump::{Notice, Shared};

/// Batches received before commands have their turn again.
const BATCHES_PER_TURN: usize = 16;

/// Commands dealt with before packets have their turn again.
const COMMANDS_PER_TURN: usize = 64;

/// Messages of handshake threads dealt with before packets have their turn again.
const OUTPUTS_PER_TURN: usize = 256;

/// Findings of examinations dealt with in a turn.
const FINDINGS_PER_TURN: usize = 64;

/// Events that wait for a session that does not listen. Beyond it, news of transports are dropped: a peer can cause
/// them without end, while answers come from commands, which are not taken meanwhile.
const BACKLOG_LIMIT: usize = 16_384;

/// When to try again what found a queue full.
const RETRY: Duration = Duration::from_millis(5);

/// What a worker is made of, but for its backend, which is made on its own thread.
pub(crate) struct Parts {
    pub(crate) id: WorkerId,
    pub(crate) shard: Shard,
    pub(crate) commands: Receiver<Command>,
    pub(crate) notices: Sender<Notice>,
    pub(crate) outputs: Receiver<Output>,
    /// By handshake thread.
    pub(crate) lanes: Vec<Sender<Input>>,
    /// To the thread that examines packets, and what it has found.
    pub(crate) evidence: Sender<Evidence>,
    pub(crate) findings: Receiver<Finding>,
    pub(crate) published: Arc<Published>,
    pub(crate) shared: Arc<Shared>,
}

/// A worker.
pub(crate) struct Worker {
    parts: Parts,
    backend: Box<dyn Backend>,
    batch: Batch,
    counters: WorkerCounters,
    /// Events that found the session's queue full.
    backlog: VecDeque<Event>,
    /// True when the session has something new to look at.
    told: bool,
    /// True when a handshake thread had no room.
    stalled: bool,
    /// What the shard was told of somebody being there.
    attended: bool,
}

impl Worker {
    pub(crate) fn new(parts: Parts, backend: Box<dyn Backend>) -> Self {
        Self {
            parts,
            backend,
            batch: Batch::new(),
            counters: WorkerCounters::default(),
            backlog: VecDeque::new(),
            told: false,
            stalled: false,
            attended: true,
        }
    }

    /// Runs until the pump is shut down. An `Err` is a broken backend.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut rested = Instant::now();
        let mut timeout = Some(Duration::ZERO);
        while !self.parts.shared.is_stopping() {
            self.backend.wait(timeout)?;
            let now = Instant::now();
            self.turn(now)?;
            let done = Instant::now();
            timeout = self.timeout(done);
            self.counters.turns += 1;
            self.counters.waited_nanoseconds += nanoseconds(now.saturating_duration_since(rested));
            self.counters.busy_nanoseconds += nanoseconds(done.saturating_duration_since(now));
            rested = done;
            self.publish();
        }
        Ok(())
    }

    fn turn(&mut self, now: Instant) -> io::Result<()> {
        let attended = self.parts.shared.is_attended();
        if self.attended != attended {
            self.attended = attended;
            self.parts.shard.set_attended(now, attended);
        }
        self.take_commands(now);
        for output in self.parts.outputs.try_iter().take(OUTPUTS_PER_TURN) {
            match &output {
                Output::Keyed { .. } => self.counters.handshakes_keyed += 1,
                Output::Failed { failure, .. } => self.counters.count_handshake_failure(*failure),
                Output::Transmit { .. } | Output::Closed { .. } => {}
            }
            self.parts.shard.handle_handshake(now, output);
        }
        for _ in 0..BATCHES_PER_TURN {
            self.batch.clear();
            let report = self.backend.receive(&mut self.batch)?;
            self.counters.system_calls += report.calls as u64;
            if report.received > 0 {
                self.counters.count_batch(report.received);
                self.parts.shard.handle_batch(now, &mut self.batch);
                self.send();
                self.transmit(now);
            }
            if !report.more {
                break;
            }
        }
        if self.parts.shard.poll_timeout().is_some_and(|due| due <= now) {
            self.parts.shard.handle_timeout(now);
        }
        self.transmit(now);
        self.start_handshakes();
        self.examine(now);
        self.settle();
        if std::mem::take(&mut self.told) {
            (self.parts.shared.notify)();
        }
        Ok(())
    }

    /// How long the next wait may be.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.parts.outputs.is_empty() || (!self.parts.commands.is_empty() && self.backlog.is_empty()) {
            return Some(Duration::ZERO);
        }
        let due = self.parts.shard.poll_timeout().map(|due| due.saturating_duration_since(now));
        if self.stalled || !self.backlog.is_empty() { Some(due.map_or(RETRY, |due| due.min(RETRY))) } else { due }
    }

    fn take_commands(&mut self, now: Instant) {
        self.tell_backlog();
        for _ in 0..COMMANDS_PER_TURN {
            // A session that does not listen gets no more to hear.
            if !self.backlog.is_empty() {
                return;
            }
            let Ok(command) = self.parts.commands.try_recv() else { return };
            self.counters.commands += 1;
            self.obey(now, command);
            // After each: a port that one command closes may be the one that the next command opens.
            self.settle();
        }
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { request, call, ports } => self.open(now, request, call, &ports),
            Command::Apply { call, plan } => self.parts.shard.apply(now, call, &plan),
            Command::Query { request, call } => {
                let statistics = self.parts.shard.statistics(now, call).map(Box::new);
                self.tell(Event::Statistics { request, call, statistics });
            }
            Command::Remove { call } => self.parts.shard.remove(now, call),
            Command::Snapshot { request, after } => {
                let (calls, more) = self.parts.shard.snapshot(now, after);
                self.tell(Event::Snapshot { request, calls, more });
            }
        }
    }

    /// All ports or none.
    fn open(&mut self, now: Instant, request: RequestId, call: CallKey, ports: &[OpenPort]) {
        let mut bound = Vec::with_capacity(ports.len());
        for wanted in ports {
            match self.backend.bind(wanted.local) {
                Ok(port) => bound.push(port),
                Err(error) => {
                    for (port, _) in bound {
                        self.backend.close(port);
                    }
                    let OpenPort { transport, local } = *wanted;
                    let cause = bind_failure(&error);
                    self.tell(Event::Refused { request, call, transport, local, cause });
                    return;
                }
            }
        }
        for (wanted, (port, right)) in ports.iter().zip(bound) {
            self.parts.shard.open_transport(now, call, wanted.transport, port, right, wanted.local);
        }
        self.tell(Event::Opened { request, call });
    }

    /// Does to the ports what the shard wants done, and passes on what it has to tell.
    fn settle(&mut self) {
        while let Some((port, class)) = self.parts.shard.poll_traffic_class() {
            if let Err(error) = self.backend.set_traffic_class(port, class) {
                tracing::warn!(class, %error, "the traffic class was not set");
            }
        }
        while let Some(port) = self.parts.shard.poll_close() {
            self.backend.close(port);
        }
        while let Some(event) = self.parts.shard.poll_event() {
            self.tell(event);
        }
    }

    /// Lets a scrape see what has been counted.
    fn publish(&mut self) {
        self.counters.shard.clone_from(self.parts.shard.counters());
        self.counters.transports = self.parts.shard.transports() as u64;
        // The iterator knows its length: nothing is walked through.
        self.counters.calls = self.parts.shard.calls().size_hint().0 as u64;
        self.parts.published.publish(&mut self.counters);
    }

    fn send(&mut self) {
        let report = self.backend.send(&mut self.batch);
        self.counters.sent += report.sent as u64;
        self.counters.send_failures += report.failed as u64;
        self.counters.system_calls += report.calls as u64;
    }

    /// Sends what the shard has of its own.
    fn transmit(&mut self, now: Instant) {
        loop {
            self.batch.clear();
            let more = self.parts.shard.poll_transmit(now, &mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            self.send();
            if !more {
                return;
            }
        }
    }

    fn start_handshakes(&mut self) {
        self.stalled = false;
        while let Some(input) = self.parts.shard.poll_handshake() {
            let started = matches!(input, Input::Start(_));
            let lane = input.handle().lane(self.parts.lanes.len());
            let Some(lane) = self.parts.lanes.get(lane) else { return };
            match lane.try_send(input) {
                Ok(()) => self.counters.handshakes_started += u64::from(started),
                Err(TrySendError::Full(input)) => {
                    self.parts.shard.return_handshake(input);
                    self.counters.handshake_stalls += 1;
                    self.stalled = true;
                    return;
                }
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Gives packets out for examination, while there is room, and takes in what came of others.
    fn examine(&mut self, now: Instant) {
        for finding in self.parts.findings.try_iter().take(FINDINGS_PER_TURN) {
            self.parts.shard.handle_finding(now, &finding);
        }
        while let Some(evidence) = self.parts.shard.poll_evidence() {
            // Full: that thread has enough to do. There will be other packets.
            let _ = self.parts.evidence.try_send(evidence);
        }
    }

    fn tell(&mut self, event: Event) {
        if self.backlog.len() >= BACKLOG_LIMIT && matches!(event, Event::Transport { .. }) {
            self.counters.notices_dropped += 1;
            return;
        }
        self.backlog.push_back(event);
        self.tell_backlog();
    }

    fn tell_backlog(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.parts.notices.try_send(Notice::Event { worker: self.parts.id, event }) {
                Ok(()) => self.told = true,
                Err(TrySendError::Full(Notice::Event { event, .. })) => {
                    self.backlog.push_front(event);
                    return;
                }
                // Nobody listens any more: the pump is about to be shut down.
                Err(_) => {}
            }
        }
    }
}

/// The system's answer in the session's words.
fn bind_failure(error: &io::Error) -> BindFailure {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => BindFailure::InUse,
        Some(libc::EADDRNOTAVAIL) => BindFailure::AddressNotAvailable,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC) => {
            BindFailure::Exhausted(error.to_string())
        }
        _ => BindFailure::Other(error.to_string()),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_failed_bind_is_kept() {
        let of = |errno| bind_failure(&io::Error::from_raw_os_error(errno));
        assert_eq!(of(libc::EADDRINUSE), BindFailure::InUse);
        assert_eq!(of(libc::EADDRNOTAVAIL), BindFailure::AddressNotAvailable);
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::ENOSPC] {
            assert!(matches!(of(errno), BindFailure::Exhausted(words) if words.contains(&errno.to_string())));
        }
        assert!(matches!(of(libc::EACCES), BindFailure::Other(words) if words.contains("ermission")));
    }
}
