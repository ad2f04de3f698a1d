//! Callers with many calls: the user agent of our SIP crate behind UDP sockets with an address each, since the server bounds
//! the messages of one address.
//!
//! ```text
//! INVITE ─► 401 ─► INVITE with credentials ─► 200 ─► ACK ─► (held) ─► BYE ─► 200
//! └────────────────── waits ──────────────────┘
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use base64::Engine;
use rand::TryRng;
use rand::rngs::SysRng;
use sip::{
    Account, CallEvent, Carriage, DialogHandle, DigestPolicy, DigestSession, EndCause, Flow, LegId, Limits, Method,
    Request, Response, StatusCode, Target, TransactionConfig, Uri, UserAgent, UserAgentConfig, name, next_attempt,
    receive,
};

/// The user that the server makes by itself.
const USER: &str = "demo";
/// After the last call has begun: longer than a transaction waits for its response (RFC 3261 §17.1.1.2: 64 T1).
const PATIENCE: Duration = Duration::from_secs(35);
/// Messages that were received and not looked at.
const QUEUE: usize = 65_536;

/// Some calls at an even rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) calls: u32,
    /// A second.
    pub(crate) rate: f64,
    /// From the 200 to the BYE; `None`: they stay.
    pub(crate) hold: Option<Duration>,
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Outcome {
    /// From the first INVITE to the 200, of each call that was answered.
    pub(crate) waits: Vec<Duration>,
    /// From the INVITE with credentials to the 200.
    pub(crate) answers: Vec<Duration>,
    /// By how much the generator began its calls late.
    pub(crate) lateness: Vec<Duration>,
    /// Messages that were sent a second time: they, or what answers them, took longer than T1 or were lost.
    pub(crate) repeated: u32,
    /// Why calls failed, or ended by themselves.
    pub(crate) failures: Vec<String>,
}

struct Attempt {
    target: Target,
    began: Instant,
    authorized: Option<(DigestSession, Instant)>,
}

pub(crate) struct Generator {
    agent: UserAgent,
    server: SocketAddr,
    /// With their addresses.
    sockets: Vec<(UdpSocket, SocketAddr)>,
    /// When, at which of the sockets, and what.
    received: Receiver<(Instant, usize, Vec<u8>)>,
    next: usize,
    account: Account,
    attempts: HashMap<LegId, Attempt>,
    /// Calls that were answered and are not hung up.
    up: BTreeSet<DialogHandle>,
    hang_ups: BTreeSet<(Instant, DialogHandle)>,
    /// Of the messages that were sent.
    sent: HashSet<u64>,
    hold: Option<Duration>,
    outcome: Outcome,
}

impl Generator {
    /// So many callers, who call this server.
    pub(crate) fn new(server: SocketAddr, password: &str, callers: u16) -> anyhow::Result<Self> {
        let (sender, received) = sync_channel(QUEUE);
        let mut sockets = Vec::new();
        for caller in 0..callers {
            let [high, low] = caller.to_be_bytes();
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), 0))?;
            let (reader, sender, number) = (socket.try_clone()?, sender.clone(), sockets.len());
            std::thread::spawn(move || receive_all(&reader, number, &sender));
            let local = socket.local_addr()?;
            sockets.push((socket, local));
        }
        let config = UserAgentConfig {
            transactions: TransactionConfig { max_clients: 1 << 20, ..TransactionConfig::default() },
            max_legs: 1 << 20,
            ..UserAgentConfig::default()
        };
        Ok(Self {
            agent: UserAgent::new(config, random()?),
            server,
            sockets,
            received,
            next: 0,
            account: Account { realm: None, username: USER.to_owned(), password: password.to_owned().into() },
            attempts: HashMap::new(),
            up: BTreeSet::new(),
            hang_ups: BTreeSet::new(),
            sent: HashSet::new(),
            hold: None,
            outcome: Outcome::default(),
        })
    }

    /// Makes the calls of a phase, and waits until each is answered or has failed, and those that do not stay are hung up.
    pub(crate) fn play(&mut self, phase: Phase) -> anyhow::Result<Outcome> {
        self.hold = phase.hold;
        let began = Instant::now();
        let starts_at = |number: u32| began + Duration::from_secs_f64(f64::from(number) / phase.rate);
        let mut started = 0;
        while started < phase.calls || !self.attempts.is_empty() || !self.hang_ups.is_empty() {
            let now = Instant::now();
            if now > starts_at(phase.calls) + phase.hold.unwrap_or_default() + PATIENCE {
                bail!("{} calls are neither answered nor failed", self.attempts.len());
            }
            let next = starts_at(started);
            if started < phase.calls && next <= now {
                self.outcome.lateness.push(now - next);
                self.call(now)?;
                started += 1;
            }
            let next = if started < phase.calls { starts_at(started) } else { now + Duration::from_millis(100) };
            self.turn(next)?;
        }
        Ok(std::mem::take(&mut self.outcome))
    }

    /// Answers and repeats what there is for a while.
    pub(crate) fn idle(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Ends all calls, evenly, within about a second for every 200 of them.
    pub(crate) fn hang_up_all(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        for (number, dialog) in (0u32..).zip(self.up.clone()) {
            self.hang_ups.insert((now + number * Duration::from_millis(5), dialog));
        }
        while !self.hang_ups.is_empty() {
            self.turn(Instant::now() + Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// The next caller calls.
    fn call(&mut self, now: Instant) -> anyhow::Result<()> {
        self.next = (self.next + 1) % self.sockets.len();
        let &(_, local) = self.sockets.get(self.next).context("no callers")?;
        let target = Target { flow: Flow::udp(local, self.server), sent_by: local.into() };
        let request = self.invitation(local)?;
        let leg = self.agent.invite(now, request, target.clone()).context("a call")?;
        self.attempts.insert(leg, Attempt { target, began: now, authorized: None });
        Ok(())
    }

    fn invitation(&mut self, local: SocketAddr) -> anyhow::Result<Request> {
        let server = self.server;
        let uri = Uri::parse(&format!("sip:echo@{server}")).expect("a URI");
        let mut request = Request::new(Method::Invite, uri);
        let headers = &mut request.headers;
        headers.push(name::MAX_FORWARDS, 70);
        headers.push(name::FROM, format!("<sip:{USER}@sallyport>;tag={}", self.agent.token()));
        headers.push(name::TO, "<sip:echo@sallyport>");
        headers.push(name::CALL_ID, self.agent.token());
        headers.push(name::CSEQ, "1 INVITE");
        headers.push(name::CONTACT, format!("<sip:{USER}@{local}>"));
        let key = base64::engine::general_purpose::STANDARD.encode(random::<30>()?);
        let address = local.ip();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio 9000 RTP/SAVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
        );
        request.set_body(Some("application/sdp"), sdp.into_bytes());
        Ok(request)
    }

    /// Does what is due, then waits for a message until then, and takes all that have come.
    fn turn(&mut self, until: Instant) -> anyhow::Result<()> {
        let now = Instant::now();
        while let Some(&(at, dialog)) = self.hang_ups.first().filter(|(at, _)| *at <= now) {
            self.hang_ups.remove(&(at, dialog));
            if self.up.remove(&dialog) {
                self.agent.bye(now, dialog, None).context("a BYE")?;
            }
        }
        self.agent.handle_timeout(now);
        self.settle(now)?;
        let due = [self.agent.poll_timeout(), self.hang_ups.first().map(|(at, _)| *at), Some(until)];
        let due = due.into_iter().flatten().min().unwrap_or(until);
        let mut wait = due.saturating_duration_since(Instant::now());
        loop {
            let (at, number, bytes) = match self.received.recv_timeout(wait) {
                Ok(received) => received,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("no socket can be read"),
            };
            wait = Duration::ZERO;
            let message = receive(&bytes, Carriage::Datagram, &Limits::default()).message();
            let message = message.map_err(|fault| anyhow::anyhow!("the server sends what is no SIP: {fault:?}"))?;
            let &(_, local) = self.sockets.get(number).context("no such socket")?;
            self.agent.handle_message(at, message, Flow::udp(local, self.server));
            self.settle(at)?;
        }
    }

    fn settle(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some(event) = self.agent.poll_event() {
            match event {
                CallEvent::Answered { leg, dialog, .. } => self.answered(now, leg, dialog),
                CallEvent::Failed { leg, response, request } => self.refused(now, leg, &response, &request)?,
                CallEvent::Ended { dialog, cause, .. } if cause != EndCause::Local => {
                    self.up.remove(&dialog);
                    self.outcome.failures.push(format!("a call ended by itself: {cause:?}"));
                }
                _ => {}
            }
        }
        while let Some(transmit) = self.agent.poll_transmit() {
            let mut hasher = DefaultHasher::new();
            transmit.bytes.hash(&mut hasher);
            if !self.sent.insert(hasher.finish()) {
                self.outcome.repeated += 1;
            }
            let from = self.sockets.iter().find(|(_, local)| *local == transmit.flow.local);
            let (socket, _) = from.context("no such socket")?;
            socket.send_to(&transmit.bytes, transmit.flow.peer).context("sending")?;
        }
        Ok(())
    }

    fn answered(&mut self, now: Instant, leg: LegId, dialog: DialogHandle) {
        let Some(attempt) = self.attempts.remove(&leg) else { return };
        self.outcome.waits.push(now - attempt.began);
        match attempt.authorized {
            Some((_, at)) => self.outcome.answers.push(now - at),
            None => self.outcome.failures.push("a call was answered without a login".to_owned()),
        }
        self.up.insert(dialog);
        if let Some(hold) = self.hold {
            self.hang_ups.insert((now + hold, dialog));
        }
    }

    /// Answers a challenge; anything else is a failure.
    fn refused(&mut self, now: Instant, leg: LegId, response: &Response, request: &Request) -> anyhow::Result<()> {
        let Some(attempt) = self.attempts.remove(&leg) else { return Ok(()) };
        if response.status() != StatusCode::UNAUTHORIZED || attempt.authorized.is_some() {
            self.outcome.failures.push(format!("{} {}", response.status(), response.reason()));
            return Ok(());
        }
        let mut digest = DigestSession::new(DigestPolicy::default(), random()?);
        let mut next = next_attempt(request);
        digest.answer(std::slice::from_ref(&self.account), &mut next, response).context("the challenge")?;
        let leg = self.agent.invite(now, next, attempt.target.clone()).context("a call")?;
        self.attempts.insert(leg, Attempt { authorized: Some((digest, now)), ..attempt });
        Ok(())
    }
}

fn receive_all(socket: &UdpSocket, number: usize, received: &SyncSender<(Instant, usize, Vec<u8>)>) {
    let mut buffer = [0; 8192];
    while let Ok(length) = socket.recv(&mut buffer) {
        if received.send((Instant::now(), number, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn random<const LENGTH: usize>() -> anyhow::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    SysRng.try_fill_bytes(&mut bytes).context("the system's random numbers")?;
    Ok(bytes)
}
