//! The running server: one task owns the session and the ng protocol's state; everything else talks to it.

mod calls;
mod introduction;
mod link;
mod ng_door;
mod questions;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use admin::{Admin, Question};
use anyhow::Context;
use control::{Command, Fingerprint, WorkerId};
use crossbeam::channel::Receiver;
use pump::Notice;
use rand::TryRng;
use rand::rngs::SysRng;
use session::{Clocks, Session, SessionConfig, Token};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use crate::answers::Tallies;
use crate::machine;
use crate::settings::Settings;
use introduction::introduce;
use link::{Link, MediaHalf};
use questions::DetailWay;

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

    let MediaHalf { link, notices, noticed, backend, workers, fingerprints } = link::start_here(settings.workers)?;
    let session = session(&settings, workers, fingerprints)?;

    let (question_sender, questions) = mpsc::channel(64);
    let (farewell, farewell_said) = oneshot::channel::<()>();
    let admin = Admin { questions: question_sender, hosts: settings.admin_hosts.clone() };
    let admin_task = tokio::spawn(admin::serve(admin_listener, admin, async {
        let _ = farewell_said.await;
    }));
    introduce(&settings, backend, workers, ng_address, admin_address);

    let relay = Relay {
        session,
        ng: ng::Server::new(ng::ServerConfig::default()),
        link,
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

fn session(settings: &Settings, workers: u16, fingerprints: Vec<Fingerprint>) -> anyhow::Result<Session> {
    let config = SessionConfig {
        interfaces: settings.interfaces.clone(),
        ports: settings.ports,
        workers,
        fingerprints,
        ..SessionConfig::default()
    };
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).context("the system gives no random numbers")?;
    Ok(Session::new(config, Clocks { instant: Instant::now(), system: SystemTime::now() }, seed))
}

/// What the one task owns.
struct Relay {
    session: Session,
    ng: ng::Server,
    link: Box<dyn Link>,
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
                    Ok((length, peer)) => self.handle_datagram(peer, &buffer[..length]).await,
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
        self.link.shutdown();
        Ok(())
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
}
