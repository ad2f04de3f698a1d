//! The running server: one task owns the session and the ng protocol's state; everything else talks to it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use admin::{Admin, CallDetail, Question, Readiness};
use anyhow::{Context, anyhow};
use control::{BindFailure, Command, Event, HashAlgorithm, WorkerId};
use crossbeam::channel::Receiver;
use dtls::Identity;
use ng::Outcome;
use packet_io::MmsgConfig;
use pump::{Notice, Pump, PumpConfig, SendError};
use rand::TryRng;
use rand::rngs::SysRng;
use session::{CallSummary, Clocks, Delete, Output, Query, Refusal, Reply, Request, Session, SessionConfig, Token};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use crate::answers::{self, Tallies};
use crate::machine;
use crate::settings::Settings;

/// Longest ng datagram.
const MAX_REQUEST: usize = 65_536;

/// When a worker's queue is full, its commands are offered again after this long.
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);

/// The ng protocol numbers its requests from 0; our own begin here.
const FIRST_OWN_TOKEN: u64 = 1 << 63;

/// How long the end of the calls may take, and that of the admin listener.
const FAREWELL: Duration = Duration::from_secs(2);

/// Starts everything, serves until SIGINT or SIGTERM, ends everything in order.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    for interface in &settings.interfaces {
        machine::check_address(interface.address).with_context(|| format!("media address {}", interface.address))?;
    }
    machine::check_limits(settings.ports);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let ng_socket = UdpSocket::bind(settings.ng).await.with_context(|| format!("ng listener on {}", settings.ng))?;
    let admin_listener =
        TcpListener::bind(settings.admin).await.with_context(|| format!("admin listener on {}", settings.admin))?;
    let (ng_address, admin_address) = (ng_socket.local_addr()?, admin_listener.local_addr()?);

    let identity = Identity::generate().map_err(|error| anyhow!("no certificate: {error}"))?;
    let session = session(&settings, &identity)?;
    let noticed = Arc::new(Notify::new());
    let mut pump_config = PumpConfig::mmsg(settings.workers.into(), MmsgConfig::default(), identity);
    pump_config.notify = Arc::new({
        let noticed = Arc::clone(&noticed);
        move || noticed.notify_one()
    });
    let (pump, notices) = Pump::start(pump_config).context("the media half did not start")?;

    let (question_sender, questions) = mpsc::channel(64);
    let (farewell, farewell_said) = oneshot::channel::<()>();
    let admin = Admin { questions: question_sender, hosts: settings.admin_hosts.clone() };
    let admin_task = tokio::spawn(admin::serve(admin_listener, admin, async {
        let _ = farewell_said.await;
    }));
    introduce(&settings, &pump, ng_address, admin_address);

    let relay = Relay {
        session,
        ng: ng::Server::new(ng::ServerConfig::default()),
        pump,
        ng_socket,
        backlog: BTreeMap::new(),
        tallies: Tallies::default(),
        failed_workers: Vec::new(),
        details: HashMap::new(),
        own_requests: 0,
    };
    relay.run(notices, &noticed, questions).await?;
    let _ = farewell.send(());
    let _ = timeout(FAREWELL, admin_task).await;
    Ok(())
}

fn session(settings: &Settings, identity: &Identity) -> anyhow::Result<Session> {
    let config = SessionConfig {
        interfaces: settings.interfaces.clone(),
        ports: settings.ports,
        workers: settings.workers,
        fingerprints: [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512]
            .map(|hash| identity.fingerprint(hash))
            .to_vec(),
        ..SessionConfig::default()
    };
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).context("the system gives no random numbers")?;
    Ok(Session::new(config, Clocks { instant: Instant::now(), system: SystemTime::now() }, seed))
}

/// The lines that a newcomer reads, and a program takes the addresses from: the first word names the line.
fn introduce(settings: &Settings, pump: &Pump, ng: SocketAddr, admin: SocketAddr) {
    let backend = pump.capabilities(WorkerId(0)).map_or("none", |capabilities| capabilities.name);
    let media: Vec<String> = settings
        .interfaces
        .iter()
        .map(|interface| match interface.advertised {
            Some(advertised) => format!("{}={}/{advertised}", interface.name, interface.address),
            None => format!("{}={}", interface.name, interface.address),
        })
        .collect();
    let (first, last) = settings.ports;
    let lines = [
        format!("ng       {ng} (UDP): point Kamailio's or OpenSIPS's rtpengine module here"),
        format!("admin    http://{admin}/ with metrics, healthz, readyz, calls, calls/ID"),
        format!("media    {} ports {first}-{last}", media.join(" ")),
        format!("backend  {backend}, {} workers: UDP sockets in batches, which need no privilege", settings.workers),
        format!("try      cargo xtask demo, or curl http://{admin}/metrics; Ctrl-C ends"),
    ];
    // Nobody has to read them.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

/// The way back to somebody who asked about a call.
type DetailWay = oneshot::Sender<Option<Box<CallDetail>>>;

/// What the one task owns.
struct Relay {
    session: Session,
    ng: ng::Server,
    pump: Pump,
    ng_socket: UdpSocket,
    /// Commands that a worker had no room for, in order: a queue for each, so that one that hangs holds up no other.
    backlog: BTreeMap<WorkerId, VecDeque<Command>>,
    tallies: Tallies,
    failed_workers: Vec<(WorkerId, String)>,
    /// Calls that somebody asked about over HTTP and whose worker has been queried.
    details: HashMap<Token, (String, DetailWay)>,
    own_requests: u64,
}

impl Relay {
    async fn run(
        mut self,
        notices: Receiver<Notice>,
        noticed: &Notify,
        mut questions: mpsc::Receiver<Question>,
    ) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut buffer = vec![0; MAX_REQUEST];
        loop {
            let deadline = self.deadline();
            tokio::select! {
                received = self.ng_socket.recv_from(&mut buffer) => match received {
                    Ok((length, peer)) => self.handle_request(peer, &buffer[..length]).await,
                    // An ICMP error of an earlier reply: nothing is wrong with the socket.
                    Err(error) => tracing::debug!(%error, "ng: receive"),
                },
                () = noticed.notified() => self.handle_notices(&notices),
                Some(question) = questions.recv() => self.answer(question),
                () = sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now()),
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
            }
            self.carry_out().await;
        }
        tokio::select! {
            () = self.end_calls(&notices, noticed) => {}
            () = sleep(FAREWELL) => tracing::warn!("some calls did not end in time"),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        self.pump.shutdown();
        Ok(())
    }

    /// Deletes every call, and waits until the workers have closed them.
    async fn end_calls(&mut self, notices: &Receiver<Notice>, noticed: &Notify) {
        tracing::info!(calls = self.session.calls().len(), "ending");
        self.delete_calls(|_| true);
        self.carry_out().await;
        while !self.session.calls().is_empty() {
            let deadline = self.deadline();
            tokio::select! {
                () = noticed.notified() => self.handle_notices(notices),
                () = sleep_until(deadline.into()) => self.session.handle_timeout(Instant::now()),
            }
            self.carry_out().await;
        }
    }

    fn delete_calls(&mut self, which: impl Fn(&CallSummary) -> bool) {
        for call in self.session.calls().into_iter().filter(which) {
            let delete = Delete { call_id: call.call_id, delay: Some(Duration::ZERO), fast: true, ..Delete::default() };
            let token = self.own_token();
            self.session.handle_request(Instant::now(), token, Request::Delete(delete));
        }
    }

    fn own_token(&mut self) -> Token {
        self.own_requests += 1;
        Token(FIRST_OWN_TOKEN + self.own_requests)
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let session = self.session.poll_timeout().unwrap_or(now + Duration::from_secs(60));
        if self.backlog.is_empty() { session } else { session.min(now + BACKLOG_PAUSE) }
    }

    async fn handle_request(&mut self, peer: SocketAddr, datagram: &[u8]) {
        let now = Instant::now();
        match self.ng.handle_datagram(now, peer, datagram) {
            Outcome::Request(token, request) => self.session.handle_request(now, token, *request),
            Outcome::Reply(reply) => self.send(&reply).await,
            Outcome::Absorbed => {}
        }
    }

    fn handle_notices(&mut self, notices: &Receiver<Notice>) {
        while let Ok(notice) = notices.try_recv() {
            self.handle_notice(notice);
        }
    }

    fn handle_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Event { worker, event } => {
                self.tallies.count(&event);
                self.session.handle_event(Instant::now(), worker, event);
            }
            Notice::WorkerFailed { worker, reason } => {
                tracing::error!(worker = worker.0, reason, "a worker has ended; its calls are lost");
                self.failed_workers.push((worker, reason));
                self.session.handle_worker_lost(worker);
                self.delete_calls(|call| call.worker == worker);
            }
        }
    }

    /// Does what the session wants done, and what could not be done before.
    async fn carry_out(&mut self) {
        self.flush_backlog();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Command(worker, command) => {
                    self.backlog.entry(worker).or_default().push_back(command);
                    self.flush_backlog();
                }
                Output::Reply(token, reply) => match self.details.remove(&token) {
                    Some((id, way)) => self.send_detail(&id, way, reply),
                    None => self.reply(token, &reply).await,
                },
                Output::Ended { call_id, reason, ledger } => {
                    self.tallies.count_end(reason);
                    tracing::debug!(call = call_id, reason = reason.label(), ledger = ledger.len(), "call ended");
                }
            }
        }
    }

    async fn reply(&mut self, token: Token, reply: &Result<Reply, Refusal>) {
        if let Err(refusal) = reply {
            tracing::info!(reason = refusal.label(), "refused: {refusal}");
        }
        for datagram in self.ng.handle_reply(Instant::now(), token, reply) {
            self.send(&datagram).await;
        }
    }

    async fn send(&self, datagram: &ng::Datagram) {
        if let Err(error) = self.ng_socket.send_to(&datagram.bytes, datagram.peer).await {
            tracing::warn!(peer = %datagram.peer, bytes = datagram.bytes.len(), %error, "ng: reply not sent");
        }
    }

    fn flush_backlog(&mut self) {
        let (pump, mut events) = (&self.pump, Vec::new());
        self.backlog.retain(|&worker, commands| {
            while let Some(command) = commands.pop_front() {
                match pump.send(worker, command) {
                    Ok(()) => {}
                    Err(SendError::Busy(command)) => {
                        commands.push_front(command);
                        return true;
                    }
                    Err(SendError::Gone(command)) => events.extend(on_behalf(command).map(|event| (worker, event))),
                }
            }
            false
        });
        for (worker, event) in events {
            self.session.handle_event(Instant::now(), worker, event);
        }
    }

    fn answer(&mut self, question: Question) {
        let now = Instant::now();
        // An answer that nobody waits for any more is no error.
        match question {
            Question::Snapshot(way) => {
                let snapshot = answers::snapshot(now, &self.session, &self.ng, &self.pump.counters(), &self.tallies);
                let _ = way.send(Box::new(snapshot));
            }
            Question::Readiness(way) => {
                let missing = self
                    .failed_workers
                    .iter()
                    .map(|(worker, reason)| format!("worker {}: {reason}", worker.0))
                    .collect();
                let _ = way.send(Readiness { missing });
            }
            Question::Calls(way) => {
                let _ = way.send(answers::calls(&self.session));
            }
            Question::Call(id, way) => {
                if self.session.call(&id).is_none() {
                    let _ = way.send(None);
                    return;
                }
                // The worker's numbers come with the answer to a query.
                let token = self.own_token();
                self.details.insert(token, (id.clone(), way));
                self.session.handle_request(now, token, Request::Query(Query { call_id: id, ..Query::default() }));
            }
        }
    }

    fn send_detail(&mut self, id: &str, way: DetailWay, reply: Result<Reply, Refusal>) {
        let report = match &reply {
            Ok(Reply::Query(report)) => Some(&**report),
            _ => None,
        };
        let _ = way.send(self.session.call(id).map(|view| Box::new(answers::call(&view, report))));
    }
}

/// What a worker that has ended would say: nothing can be opened, and nothing is left. Without it every request about
/// its calls would have to wait for a deadline.
fn on_behalf(command: Command) -> Option<Event> {
    match command {
        Command::Open { request, call, ports } => {
            let port = ports.first()?;
            let cause = BindFailure::Exhausted("the worker has ended".into());
            Some(Event::Refused { request, call, transport: port.transport, local: port.local, cause })
        }
        Command::Query { request, call } => Some(Event::Statistics { request, call, statistics: None }),
        Command::Remove { call } => Some(Event::Removed { call, statistics: Box::default() }),
        Command::Apply { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use control::{CallKey, OpenPort, RequestId, TransportId};

    use super::*;

    #[test]
    fn whoever_asks_a_dead_worker_is_answered_at_once() {
        let (request, call) = (RequestId(7), CallKey(1));
        let local = "192.0.2.1:30000".parse().unwrap();
        let ports = vec![OpenPort { transport: TransportId(2), local }];
        let Some(Event::Refused { cause, .. }) = on_behalf(Command::Open { request, call, ports }) else { panic!() };
        assert_eq!(cause.to_string(), "out of resources: the worker has ended");
        let answer = on_behalf(Command::Query { request, call });
        assert!(matches!(answer, Some(Event::Statistics { request: RequestId(7), statistics: None, .. })));
        assert!(matches!(on_behalf(Command::Remove { call }), Some(Event::Removed { call: CallKey(1), .. })));
    }
}
