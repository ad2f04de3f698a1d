//! The state machine: requests and events in, commands and replies out.
//!
//! ```text
//! offer ─► draft ─► Open ─► Opened ─► draft becomes the state ─► Apply, reply with the description
//!            ▲        └──► Refused(InUse): another port ──┐ └─► Refused otherwise: draft dropped, reply with the cause
//!            └────────────────────────────────────────────┘
//! ```

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Instant, SystemTime};

use control::wire;
use control::{CallKey, CallStatistics, Command, Event, RequestId, WorkerId};

use zeroize::Zeroizing;

use crate::call::{Applied, Call, Phase};
use crate::kept::{Census, Kept, Unreadable};
use crate::leg::digest;
use crate::memo::{self, Memo};
use crate::negotiate::Desk;
use crate::ports::PortPool;
use crate::secrets::Secrets;
use crate::{
    Adjustment, CallSummary, CallView, Clocks, EndReason, InterfacesDiffer, Refusal, Reply, Request, SessionConfig,
    SessionStatistics, Token,
};

mod events;
mod fragments;
mod negotiation;
mod requests;
mod takeover;

use takeover::MediaHalf;

/// What the session wants done.
pub enum Output {
    /// For a worker of the pump. Commands for one worker must reach it in this order.
    Command(WorkerId, Command),
    /// For a front door. Every request gets exactly one.
    Reply(Token, Result<Reply, Refusal>),
    /// A master key is at 90 % of its lifetime: an offer with a new one is due. Told by each transport whose key it is.
    KeyNearlySpent {
        /// The Call-ID.
        call_id: String,
        /// The party between whom and us it is used.
        tag: String,
        /// True: ours, for sending to this party. False: the party's.
        outbound: bool,
    },
    /// A call of the media half was taken over whose front door wanted to know something of it: [`Remember`](crate::Remember).
    Restored {
        /// Its Call-ID.
        call_id: String,
        /// What it said last.
        state: Zeroizing<Vec<u8>>,
    },
    /// A call is gone: for the record.
    Ended {
        /// Its Call-ID.
        call_id: String,
        /// Why.
        reason: EndReason,
        /// As it was.
        view: Box<CallView>,
        /// The worker's last word. `None`: it said none.
        statistics: Option<Box<CallStatistics>>,
    },
}

/// The call table and everything that negotiates. The contract is on the crate page.
pub struct Session {
    config: SessionConfig,
    clocks: Clocks,
    secrets: Secrets,
    pool: PortPool,
    calls: HashMap<CallKey, Kept>,
    by_call_id: HashMap<String, CallKey>,
    /// Deadlines; one for each call at most.
    timers: BTreeSet<(Instant, CallKey)>,
    outputs: VecDeque<Output>,
    next_call: u64,
    next_request: u64,
    /// By which `loop-protect` knows our own descriptions.
    instance: String,
    /// No new calls are taken.
    draining: bool,
    statistics: SessionStatistics,
    media: MediaHalf,
    /// Which process the media half was when it was last connected.
    pump_instance: Option<u64>,
    /// Calls that ended while the media half was not here: it may have them still.
    left_behind: HashSet<CallKey>,
}

impl Session {
    /// No calls yet. The seed must come from the operating system's random source: keys are made from it.
    pub fn new(config: SessionConfig, clocks: Clocks, seed: [u8; 32]) -> Self {
        let mut secrets = Secrets::new(seed);
        let instance = secrets.tls_id();
        let pool = PortPool::new(config.ports, config.workers);
        // Keys of the pump must not repeat over a restart of this half, nor may an answer to the half before it be taken
        // for one to this.
        let next_call = secrets.session_id() >> 20 << 20;
        let (media, next_request) = match config.split {
            true => (MediaHalf::Away, secrets.session_id() >> 20 << 20),
            false => (MediaHalf::Here, 0),
        };
        Self {
            config,
            clocks,
            secrets,
            pool,
            calls: HashMap::new(),
            by_call_id: HashMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            next_call,
            next_request,
            instance,
            draining: false,
            statistics: SessionStatistics::default(),
            media,
            pump_instance: None,
            left_behind: HashSet::new(),
        }
    }

    /// A request of a front door. Its reply comes out of [`Session::poll_output`], at once or later.
    pub fn handle_request(&mut self, now: Instant, token: Token, request: Request) {
        match &request {
            Request::Offer(_) | Request::Echo(_) | Request::EchoOffer(_) => self.statistics.offers += 1,
            Request::Answer(_) | Request::EchoAnswer(_) => self.statistics.answers += 1,
            Request::Subscribe(_) | Request::SubscribeAnswer(_) | Request::Unsubscribe(_) => {}
            Request::Delete(_) => self.statistics.deletes += 1,
            Request::Query(_) => self.statistics.queries += 1,
            Request::Withdraw(_)
            | Request::Note(_)
            | Request::Remember(_)
            | Request::Treat(_)
            | Request::List { .. }
            | Request::Statistics => {}
        }
        self.serve(now, token, request);
    }

    /// An event of a worker. Events of calls that are gone are ignored.
    pub fn handle_event(&mut self, now: Instant, worker: WorkerId, event: Event) {
        self.take_event(now, worker, event);
    }

    /// A worker has ended for good: new calls go to others. Its calls are the caller's to delete.
    pub fn handle_worker_lost(&mut self, now: Instant, worker: WorkerId) {
        self.pool.lose(worker);
        self.forget_pages(now, worker);
    }

    /// New calls are refused from here on, or taken again. What concerns calls that exist goes on as ever.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether new calls are refused.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Other timeouts, limits and defaults, and new interfaces. The offer and hold timeouts of calls that exist count
    /// anew, from where they began; all else holds for a call from its next offer or answer on. A lower limit ends no call.
    pub fn adjust(&mut self, adjustment: Adjustment) -> Result<(), InterfacesDiffer> {
        if !adjustment.interfaces.starts_with(&self.config.interfaces) {
            return Err(InterfacesDiffer);
        }
        let Adjustment { interfaces, defaults, timeouts, limits } = adjustment;
        let timeouts_differ = self.config.timeouts != timeouts;
        self.config = SessionConfig { interfaces, defaults, timeouts, limits, ..self.config.clone() };
        if timeouts_differ {
            let keys: Vec<CallKey> = self.calls.keys().copied().collect();
            for call in keys {
                if let Some(call) = self.take(call) {
                    self.keep(call);
                }
            }
        }
        Ok(())
    }

    /// Time has passed: call at [`Session::poll_timeout`], or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.timers.first() {
            if at > now {
                break;
            }
            self.timers.remove(&(at, key));
            if let Some(mut call) = self.take(key) {
                call.timer = None;
                self.expire(now, call);
            }
        }
    }

    /// When to call [`Session::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// What to do next. Call until `None` after every other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Every call, oldest first.
    pub fn calls(&self) -> Vec<CallSummary> {
        self.by_age().into_iter().filter_map(Kept::look).map(|call| crate::report::summary(&call)).collect()
    }

    /// One call in full.
    pub fn call(&self, call_id: &str) -> Option<CallView> {
        let call = self.calls.get(self.by_call_id.get(call_id)?)?.look()?;
        Some(crate::report::view(&call, &self.config))
    }

    /// Totals over all calls.
    pub fn statistics(&self, now: Instant) -> SessionStatistics {
        let listed = self.by_call_id.values().filter_map(|key| self.calls.get(key)).map(Kept::census);
        let (calls, sum) = listed.fold((0, Census::default()), |(calls, sum), one| {
            (calls + 1, Census { legs: sum.legs + one.legs, transports: sum.transports + one.transports })
        });
        SessionStatistics {
            uptime: now.saturating_duration_since(self.clocks.instant),
            calls,
            legs: sum.legs,
            transports: sum.transports,
            ..self.statistics.clone()
        }
    }

    /// Calls that exist, also those that the worker is still closing.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// Whether [`Output::Ended`] of a call of this Call-ID is still to come: it exists, is being closed, or has just ended. Linear in
    /// the number of calls.
    pub fn is_ending(&self, call_id: &str) -> bool {
        let told = |output: &Output| matches!(output, Output::Ended { call_id: own, .. } if own == call_id);
        self.outputs.iter().any(told) || self.calls.values().any(|call| call.call_id() == call_id)
    }

    /// Ports that are open or being opened.
    pub fn ports_in_use(&self) -> usize {
        self.pool.in_use()
    }

    fn by_age(&self) -> Vec<&Kept> {
        let mut calls: Vec<&Kept> = self.by_call_id.values().filter_map(|key| self.calls.get(key)).collect();
        calls.sort_by_key(|call| (call.created_at(), call.key()));
        calls
    }

    fn wall(&self, now: Instant) -> SystemTime {
        self.clocks.wall(now)
    }

    fn desk(&mut self, now: Instant, worker: WorkerId) -> Desk<'_> {
        Desk {
            wall: self.clocks.wall(now),
            config: &self.config,
            secrets: &mut self.secrets,
            pool: &mut self.pool,
            now,
            worker,
            wanted: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn command(&mut self, worker: WorkerId, command: Command) {
        self.outputs.push_back(Output::Command(worker, command));
    }

    fn reply(&mut self, token: Token, reply: Result<Reply, Refusal>) {
        if let Err(refusal) = &reply {
            *self.statistics.refusals.entry(refusal.label()).or_default() += 1;
        }
        self.outputs.push_back(Output::Reply(token, reply));
    }

    /// Takes a call out of the table, whole.
    fn take(&mut self, key: CallKey) -> Option<Box<Call>> {
        match self.calls.remove(&key)?.unpack() {
            Ok(call) => Some(call),
            Err(Unreadable { worker, call_id, error }) => {
                tracing::error!(call = call_id, %error, "a call's own record cannot be read back; it ends");
                self.by_call_id.remove(&call_id);
                self.command(worker, Command::Remove { call: key });
                None
            }
        }
    }

    /// Puts a call back into the table, with its timer.
    fn keep(&mut self, mut call: Box<Call>) {
        let deadline = call.next_deadline(&self.config.timeouts);
        if let Some(old) = call.timer.take() {
            self.timers.remove(&(old, call.key));
        }
        call.timer = deadline;
        if let Some(at) = deadline {
            self.timers.insert((at, call.key));
        }
        self.calls.insert(call.key, Kept::new(call));
    }

    /// Forgets a call that has no ports.
    fn forget(&mut self, call: &mut Call) {
        if let Some(at) = call.timer.take() {
            self.timers.remove(&(at, call.key));
        }
        if self.by_call_id.get(&call.call_id) == Some(&call.key) {
            self.by_call_id.remove(&call.call_id);
        }
    }

    /// Tells the worker what is wanted now, if that is something else than before.
    fn apply(&mut self, now: Instant, call: &mut Call, even_if_equal: bool) {
        let mut plan = crate::plan::plan(&mut call.negotiated, &self.config.timeouts, &self.config.defaults);
        let applied = Applied { digest: digest(&wire::to_bytes(&plan)), media_timeout: plan.media_timeout };
        let equal = call.applied == Some(applied);
        let essence = self.config.split.then(|| memo::essence(call));
        if call.opened && (!equal || even_if_equal || essence != call.remembered) {
            call.applied = Some(applied);
            call.remembered = essence;
            if self.config.split {
                call.revision += 1;
                plan.memo = self.memo(now, call);
            }
            self.command(call.worker, Command::Apply { call: call.key, plan: Box::new(plan) });
        }
        call.observed.retain(|id, _| call.negotiated.transports.contains_key(id));
    }

    fn memo(&self, now: Instant, call: &Call) -> Vec<u8> {
        let interfaces = self.config.interfaces.iter().map(|interface| interface.address).collect();
        let ending = match call.phase {
            Phase::Ending { at, reason } => Some((self.wall(now) + at.saturating_duration_since(now), reason)),
            Phase::Live | Phase::Removing { .. } => None,
        };
        let memo = Memo::new(call, &self.instance, interfaces, ending).encode();
        if memo.is_none() {
            tracing::warn!(call = call.call_id, "the call is too large for a memo: a restart will not take it over");
        }
        memo.map(|mut memo| std::mem::take(&mut *memo)).unwrap_or_default()
    }

    /// Tells the worker to end a call. The Call-ID is free from here on.
    fn end(&mut self, now: Instant, mut call: Box<Call>, reason: EndReason, reply: Option<Token>) {
        let wall = self.wall(now);
        call.note(wall, "", crate::LedgerNote::Ended(reason));
        call.phase = Phase::Removing { deadline: now + self.config.timeouts.worker, reason, reply };
        if self.by_call_id.get(&call.call_id) == Some(&call.key) {
            self.by_call_id.remove(&call.call_id);
        }
        if call.opened {
            self.command(call.worker, Command::Remove { call: call.key });
            self.keep(call);
        } else {
            self.removed(now, call, None);
        }
    }
}
