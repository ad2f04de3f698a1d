//! The running server: one task owns the session and the ng protocol's state; everything else talks to it.

mod call_records;
mod calls;
mod introduction;
mod link;
mod ng_door;
mod operations;
mod questions;
mod sip_door;
mod socket_link;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use admin::{Admin, Question};
use anyhow::Context;
use control::{Command, WorkerId};
use rand::TryRng;
use rand::rngs::SysRng;
use session::{Clocks, Session, SessionConfig, Token};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use crate::answers::Tallies;
use crate::drain::Drain;
use crate::log::Log;
use crate::machine;
use crate::ng_stream::{self, Knock};
use crate::notify;
use crate::records::Records;
use crate::reload::Reload;
use crate::settings::{Arguments, Fixed, Role, Settings};
use crate::signals::Signals;
use crate::sip_start;
use call_records::CallRecords;
use introduction::introduce;
use link::{Character, Link, MediaHalf};
use ng_door::ConnectionWay;
use operations::Pulse;
use questions::DetailWay;
use sip_door::{FIRST_SIP_TOKEN, SipDoor, SipInbox};

/// Longest ng datagram.
const MAX_REQUEST: usize = 65_536;

/// When a worker's queue is full, its commands are offered again after this long.
const BACKLOG_PAUSE: Duration = Duration::from_millis(5);

/// The ng protocol numbers its requests from 0; our own begin here.
const FIRST_OWN_TOKEN: u64 = 1 << 63;

/// How long the end of the calls may take, and that of the admin listener.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// Starts everything, serves until it is to end (SIGINT, SIGTERM, or a drain that is over), ends everything in order.
pub(crate) fn run(arguments: Arguments, settings: Settings, log: Log) -> anyhow::Result<()> {
    if settings.fixed.role == Role::Both {
        machine::check_media(&settings)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(Reload::new(arguments, settings, log)))
}

async fn serve(reload: Reload) -> anyhow::Result<()> {
    let settings = reload.settings();
    let Fixed { ng, admin, .. } = settings.fixed;
    let (ng_socket, ng_listener) = bind_ng(ng).await?;
    let admin_listener = TcpListener::bind(admin).await.with_context(|| format!("admin listener on {admin}"))?;
    let (ng_address, admin_address) = (ng_socket.local_addr()?, admin_listener.local_addr()?);

    let MediaHalf { link, noticed, character } = match settings.fixed.role {
        Role::Signal => link::connect(&settings.fixed.control)?,
        Role::Both | Role::Pump => link::start_here(&settings.fixed)?,
    };
    let sip = sip_start::start(settings, FIRST_SIP_TOKEN)?;
    let session = session(settings, character.as_ref())?;
    let signals = Signals::catch()?;
    let records = settings.fixed.records.as_deref().map(Records::begin).transpose()?;

    let (question_sender, questions) = mpsc::channel(64);
    let (farewell, farewell_said) = oneshot::channel::<()>();
    let admin = Admin { questions: question_sender, hosts: reload.admin_hosts() };
    let admin_task = tokio::spawn(admin::serve(admin_listener, admin, async {
        let _ = farewell_said.await;
    }));
    let told = sip_start::introduction(sip.as_ref(), settings);
    introduce(settings, character.as_ref(), ng_address, admin_address, &told);
    let sip = sip.map(|sip| (sip.demo_password, SipDoor::new(sip.b2bua, sip.transports, sip.inbox)));
    let (demo_password, sip, mut sip_inbox) = match sip {
        Some((password, (door, inbox))) => (password, Some(door), Some(inbox)),
        None => (None, None, None),
    };

    let (door, knocks) = mpsc::channel(64);
    tokio::spawn(ng_stream::serve(ng_listener, door));

    let relay = Relay {
        session,
        ng: ng::Server::new(settings.fixed.ng_bounds),
        link,
        ng_socket,
        backlog: BTreeMap::new(),
        tallies: Tallies::default(),
        failed_workers: Vec::new(),
        media_missing: character.is_none().then(|| "the media half is not connected yet".to_owned()),
        details: HashMap::new(),
        connections: HashMap::new(),
        own_requests: 0,
        drain: None,
        pulse: Pulse::begin(Instant::now()),
        reload,
        records: CallRecords::new(records),
        sip,
        demo_password,
    };
    notify::ready();
    relay.run(&noticed, questions, knocks, &mut sip_inbox, signals).await;
    let _ = farewell.send(());
    let _ = timeout(FAREWELL, admin_task).await;
    Ok(())
}

/// UDP and TCP on the same address and port.
async fn bind_ng(address: SocketAddr) -> anyhow::Result<(UdpSocket, TcpListener)> {
    // Where the system chooses, what it has for UDP may be taken for TCP.
    let attempts = if address.port() == 0 { 16 } else { 1 };
    let mut result = Err(std::io::ErrorKind::AddrInUse.into());
    for _ in 0..attempts {
        let socket = UdpSocket::bind(address).await.with_context(|| format!("ng listener on {address}"))?;
        match TcpListener::bind(socket.local_addr()?).await {
            Ok(listener) => return Ok((socket, listener)),
            Err(error) => result = Err(error),
        }
    }
    result.with_context(|| format!("ng listener on {address} (TCP)"))
}

fn session(settings: &Settings, media: Option<&Character>) -> anyhow::Result<Session> {
    // A media half in another process says itself what it is.
    let (workers, fingerprints) = media.map_or((1, Vec::new()), |media| (media.workers, media.fingerprints.clone()));
    let config = SessionConfig {
        interfaces: settings.live.interfaces.clone(),
        ports: settings.fixed.ports,
        workers,
        fingerprints,
        defaults: settings.defaults(),
        timeouts: settings.live.timeouts,
        limits: settings.live.limits,
        split: media.is_none(),
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
    /// Why a media half in another process is out of reach.
    media_missing: Option<String>,
    /// Calls that somebody asked about over HTTP and whose worker has been queried.
    details: HashMap<Token, (String, DetailWay)>,
    /// Ways back to those who asked the ng protocol on a connection.
    connections: HashMap<u64, ConnectionWay>,
    own_requests: u64,
    /// Under way: new calls are refused.
    drain: Option<Drain>,
    pulse: Pulse,
    reload: Reload,
    records: CallRecords,
    /// `None`: SIP is off.
    sip: Option<SipDoor>,
    /// Of the user `demo`, for a reload without a users file.
    demo_password: Option<zeroize::Zeroizing<String>>,
}

impl Relay {
    async fn run(
        mut self,
        noticed: &Notify,
        mut questions: mpsc::Receiver<Question>,
        mut knocks: mpsc::Receiver<Knock>,
        sip_inbox: &mut Option<SipInbox>,
        mut signals: Signals,
    ) {
        let mut buffer = vec![0; MAX_REQUEST];
        loop {
            let sip_waits = self.sip_waits_until();
            let deadline = self.deadline();
            let deadline = sip_waits.map_or(deadline, |until| until.min(deadline));
            tokio::select! {
                received = self.ng_socket.recv_from(&mut buffer) => match received {
                    Ok((length, peer)) => self.handle_datagram(peer, &buffer[..length]).await,
                    // An ICMP error of an earlier reply: nothing is wrong with the socket.
                    Err(error) => tracing::debug!(%error, "ng: receive"),
                },
                () = noticed.notified() => self.handle_notices(),
                Some(question) = questions.recv() => self.answer(question).await,
                Some(knock) = knocks.recv() => self.handle_knock(knock).await,
                event = SipInbox::next(sip_inbox), if sip_waits.is_none() => if let Some(door) = &mut self.sip {
                    door.handle(Instant::now(), event);
                },
                () = sleep_until(deadline.into()) => {
                    self.session.handle_timeout(Instant::now());
                    if let Some(door) = &mut self.sip {
                        door.b2bua.handle_timeout(Instant::now());
                    }
                    self.give_up_requests().await;
                }
                wish = signals.next() => if self.obey(wish) {
                    break;
                },
            }
            self.carry_out().await;
            if self.look_after() {
                break;
            }
        }
        notify::stopping();
        if self.link.outlives_us() {
            tracing::info!(calls = self.session.call_count(), "ending; the calls go on in the media half");
            return;
        }
        tokio::select! {
            () = self.end_calls(noticed) => {}
            () = sleep(FAREWELL) => tracing::warn!("some calls did not end in time"),
            () = signals.end() => {}
        }
        self.link.shutdown();
    }

    fn own_token(&mut self) -> Token {
        self.own_requests += 1;
        Token(FIRST_OWN_TOKEN + self.own_requests)
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let backlog = (!self.backlog.is_empty()).then(|| now + BACKLOG_PAUSE);
        let sip = self.sip.as_ref().and_then(|door| door.b2bua.poll_timeout());
        let deadlines = [self.session.poll_timeout(), self.ng.poll_timeout(), self.operations_due(), backlog, sip];
        deadlines.into_iter().flatten().min().unwrap_or(now + Duration::from_secs(60))
    }
}
