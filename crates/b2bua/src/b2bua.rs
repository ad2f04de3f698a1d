//! The tables, and what comes in.

mod dispatch;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use session::{EndReason, Refusal, Reply, Request as SessionRequest, Token};
use sip::{
    Body, Capabilities, DialogHandle, Flow, Headers, LegId, LoopGuard, Message, Method, Target, TransactionConfig,
    TransactionId, Transmit, Uri, UserAgent, UserAgentConfig, Verdict, name,
};

use crate::call::{Call, CallNumber, End, Job, Place};
use crate::connections::Connections;
use crate::gate::Gate;
use crate::registrar::Registrar;
use crate::secured::Secured;
use crate::shares::Shares;
use crate::{B2buaConfig, CallFacts, Counters, Fact, Refer, SmimeSettings, Users};

/// Peers whose keys in the clear have been logged; beyond, they are counted alone.
const MAX_WARNED: usize = 4096;

/// Timer C of a leg is longer by this than a call may ring.
const TIMER_C_MARGIN: Duration = Duration::from_secs(5);

/// A question where a URI can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LookupId(pub u64);

/// Whom a look-up is for.
#[derive(Clone, Copy)]
enum Sought {
    Branch(usize),
    End(End),
}

/// What the back-to-back user agent wants done.
#[derive(Debug)]
pub enum Output {
    /// To be sent; a failure goes to [`B2bua::handle_transport_error`] if it names a transaction.
    Transmit(Transmit),
    /// For the session; its reply goes to [`B2bua::handle_reply`].
    Session(Token, Box<SessionRequest>),
    /// Where is this (RFC 3263)? The answer goes to [`B2bua::handle_located`].
    Locate {
        /// Of the answer.
        lookup: LookupId,
        /// A SIP or SIPS URI; the latter only by TLS.
        uri: Uri,
    },
    /// For the log.
    Log(Fact),
    /// A call is over, or was refused after it was known whose it is: what stays of its signalling.
    Over(Box<CallFacts>),
}

/// A back-to-back user agent. The contract is on the crate page.
pub struct B2bua {
    pub(crate) config: B2buaConfig,
    pub(crate) ua: UserAgent,
    pub(crate) capabilities: Capabilities,
    /// What a request may have in it that goes on to the other end as it is.
    pub(crate) passed: Capabilities,
    pub(crate) gate: Gate,
    pub(crate) registrar: Registrar,
    pub(crate) users: Users,
    pub(crate) loops: LoopGuard,
    pub(crate) secured: Secured,
    pub(crate) calls: HashMap<CallNumber, Call>,
    pub(crate) shares: Shares,
    pub(crate) by_leg: HashMap<LegId, (CallNumber, Place)>,
    pub(crate) by_dialog: HashMap<DialogHandle, (CallNumber, Place)>,
    pub(crate) by_session: HashMap<String, CallNumber>,
    by_token: HashMap<Token, CallNumber>,
    by_lookup: HashMap<LookupId, (CallNumber, Sought)>,
    /// Calls that may have to be remembered anew.
    pub(crate) touched: BTreeSet<CallNumber>,
    pub(crate) connections: Connections,
    /// Ends whose connections are gone, by user.
    pub(crate) out_of_reach: HashMap<String, Vec<(CallNumber, End)>>,
    timers: BTreeSet<(Instant, CallNumber)>,
    outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
    pub(crate) rng: ChaCha20Rng,
    warned: HashSet<IpAddr>,
    pub(crate) draining: bool,
    next_number: u64,
    first_token: u64,
}

impl B2bua {
    /// Without calls and bindings. The seed is secret: tags, nonces and Call-IDs are made from it. Tokens of session requests begin
    /// at `first_token` and grow.
    pub fn new(config: B2buaConfig, users: Users, now: Instant, seed: [u8; 32], first_token: u64) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let passed = passed(&config);
        let mut capabilities = passed.clone();
        // What is sealed is sealed to us: we open it, and nobody behind us could.
        capabilities.content_types.push("application/pkcs7-mime".to_owned());
        let mut transactions = TransactionConfig::default();
        // Our own limit comes first.
        transactions.timer_c = transactions.timer_c.max(config.max_ring_time + TIMER_C_MARGIN);
        let agent = UserAgentConfig {
            capabilities: capabilities.clone(),
            // An answer that went ahead reliably could not be another branch's any more.
            prefer_reliable_provisional: false,
            asks_who_is_elsewhere: true,
            tells_of_changes: true,
            max_legs: config.limits.calls.saturating_mul(4).max(64),
            transactions,
            ..UserAgentConfig::default()
        };
        Self {
            ua: UserAgent::new(agent, draw(&mut rng)),
            gate: Gate::new(&config, users.clone(), now, draw(&mut rng)),
            loops: LoopGuard::new(draw(&mut rng)),
            secured: Secured::nobody(now, draw(&mut rng)),
            registrar: Registrar::default(),
            capabilities,
            passed,
            users,
            calls: HashMap::new(),
            shares: Shares::default(),
            by_leg: HashMap::new(),
            by_dialog: HashMap::new(),
            by_session: HashMap::new(),
            by_token: HashMap::new(),
            by_lookup: HashMap::new(),
            touched: BTreeSet::new(),
            connections: Connections::default(),
            out_of_reach: HashMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            warned: HashSet::new(),
            draining: false,
            next_number: 0,
            first_token,
            rng,
            config,
        }
    }

    /// Other routes, trunks, policies and users, for calls and registrations from here on. Realm, algorithms, advertised addresses,
    /// bounds and the longest time to ring stay.
    pub fn reconfigure(&mut self, config: B2buaConfig, users: Users) {
        let B2buaConfig { realm, algorithms, advertised, remember, limits, max_ring_time, .. } = self.config.clone();
        self.config = B2buaConfig { realm, algorithms, advertised, remember, limits, max_ring_time, ..config };
        self.gate.set_users(users.clone());
        self.users = users;
    }

    /// Other certificates, whom to believe among them, for bodies from here on. Without this nobody is believed, nothing can be
    /// opened, and nothing is signed. `Err` changes nothing.
    pub fn set_smime(&mut self, settings: SmimeSettings) -> Result<(), smime::Misconfigured> {
        let seed = self.seed();
        self.secured = Secured::new(settings, seed)?;
        Ok(())
    }

    /// What the clock on the wall says: signatures and certificates have their time.
    pub fn set_clocks(&mut self, clocks: session::Clocks) {
        self.secured.set_clocks(clocks);
    }

    /// New calls get 503 from here on, or are taken again.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Takes a message that [`sip::receive`] accepted.
    pub fn handle_message(&mut self, now: Instant, message: Message, flow: Flow) -> Verdict {
        let verdict = self.ua.handle_message(now, message, flow);
        self.settle(now);
        verdict
    }

    /// What [`Output::Transmit`] gave with this transaction could not be sent.
    pub fn handle_transport_error(&mut self, now: Instant, transaction: TransactionId) {
        self.ua.handle_transport_error(now, transaction);
        self.settle(now);
    }

    /// The transport has verified that the peer of this connection has a certificate of these names (RFC 5922).
    pub fn handle_identity(&mut self, connection: u64, names: Vec<String>) {
        self.gate.set_identities(connection, names);
    }

    /// A connection is gone. Who has registered on it cannot be reached, and whose calls went by it is looked for elsewhere.
    pub fn handle_connection_closed(&mut self, now: Instant, connection: u64) {
        self.registrar.forget_connection(connection);
        self.gate.forget_connection(connection);
        for dialog in self.connections.close(connection) {
            self.lose(now, dialog);
        }
        self.settle(now);
    }

    /// The session's reply to a request. One to a token that nobody waits for is passed over.
    pub fn handle_reply(&mut self, now: Instant, token: Token, reply: Result<Reply, Refusal>) {
        if let Some(number) = self.by_token.remove(&token) {
            self.with(now, number, |own, call| own.take_reply(now, call, token, reply));
        }
        self.settle(now);
    }

    /// A call of the session has ended by itself, or because we wanted it.
    pub fn handle_ended(&mut self, now: Instant, call_id: &str, reason: EndReason) {
        if let Some(&number) = self.by_session.get(call_id) {
            self.enqueue(now, number, Job::SessionEnded(reason));
        }
        self.settle(now);
    }

    /// A master key of a call of the session is at 90 % of its lifetime: the party of this tag gets an offer with new keys.
    pub fn handle_key_nearly_spent(&mut self, now: Instant, call_id: &str, tag: &str) {
        if let Some(&number) = self.by_session.get(call_id) {
            self.enqueue(now, number, Job::KeySpent(tag.to_owned()));
        }
        self.settle(now);
    }

    /// Where a URI can be reached, best first. `Err` says why nowhere.
    pub fn handle_located(&mut self, now: Instant, lookup: LookupId, targets: Result<Vec<Target>, String>) {
        if let Some((number, sought)) = self.by_lookup.remove(&lookup) {
            let job = match sought {
                Sought::Branch(branch) => Job::Located { branch, targets },
                Sought::End(end) => Job::Found { end, targets },
            };
            self.enqueue(now, number, job);
        }
        self.settle(now);
    }

    /// Runs all timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.registrar.expire(now);
        self.ua.handle_timeout(now);
        while let Some(&(at, number)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, number));
            self.with(now, number, |_, call| {
                call.timer = None;
                call.queue.push_back(Job::Due);
            });
        }
        self.settle(now);
    }

    /// When [`B2bua::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = self.timers.first().map(|(at, _)| *at);
        [own, self.ua.poll_timeout(), self.registrar.next_expiry()].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Calls at this moment, and contacts of users.
    pub fn len(&self) -> (usize, usize) {
        (self.calls.len(), self.registrar.len())
    }

    /// Whether there is no call, no dialog and no transaction.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && self.ua.is_empty()
            && self.by_leg.is_empty()
            && self.by_dialog.is_empty()
            && self.shares.is_empty()
            && self.connections.is_empty()
            && self.out_of_reach.is_empty()
    }

    /// The session's Call-ID of the call that has this Call-ID on one of its legs; itself if the session knows it by that.
    pub fn session_call_id(&self, call_id: &str) -> Option<&str> {
        let known = self.by_session.get_key_value(call_id).map(|(own, _)| own.as_str());
        known.or_else(|| self.calls.values().find(|call| call.has_call_id(call_id)).map(|call| call.session.as_str()))
    }

    /// Whether a call that the session knows by this Call-ID is one of ours, and not over.
    pub fn knows(&self, session_call_id: &str) -> bool {
        self.by_session.contains_key(session_call_id)
    }

    /// What is known of the signalling of a call that the session knows by this Call-ID.
    pub fn call_facts(&self, session_call_id: &str) -> Option<CallFacts> {
        let number = self.by_session.get(session_call_id)?;
        self.calls.get(number).map(Call::facts)
    }

    pub(crate) fn tell_over(&mut self, facts: CallFacts) {
        self.outputs.push_back(Output::Over(Box::new(facts)));
    }

    /// When to try again that of which there is too much.
    pub(crate) fn retry_after(&self) -> Headers {
        let mut headers = Headers::new();
        headers.push(name::RETRY_AFTER, self.config.limits.retry_after);
        headers
    }

    pub(crate) fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Asks the session something; who waits for the reply is up to the caller.
    pub(crate) fn ask(&mut self, request: SessionRequest) -> Token {
        let token = Token(self.first_token + self.new_number());
        self.outputs.push_back(Output::Session(token, Box::new(request)));
        token
    }

    pub(crate) fn expect(&mut self, token: Token, number: CallNumber) {
        self.by_token.insert(token, number);
    }

    pub(crate) fn locate(&mut self, number: CallNumber, branch: usize, uri: Uri) {
        self.look_up(number, Sought::Branch(branch), uri);
    }

    /// Where an end may be whose connection is gone.
    pub(crate) fn seek(&mut self, number: CallNumber, end: End, uri: Uri) {
        self.look_up(number, Sought::End(end), uri);
    }

    fn look_up(&mut self, number: CallNumber, sought: Sought, uri: Uri) {
        let lookup = LookupId(self.new_number());
        self.by_lookup.insert(lookup, (number, sought));
        self.outputs.push_back(Output::Locate { lookup, uri });
    }

    pub(crate) fn tell(&mut self, fact: Fact) {
        self.outputs.push_back(Output::Log(fact));
    }

    /// Whether keys in the clear of this peer have not been logged yet.
    pub(crate) fn warns_first(&mut self, peer: IpAddr) -> bool {
        self.warned.len() < MAX_WARNED && self.warned.insert(peer)
    }

    pub(crate) fn wake(&mut self, call: &mut Call, at: Instant) {
        if let Some(old) = call.timer.replace(at) {
            self.timers.remove(&(old, call.number));
        }
        self.timers.insert((at, call.number));
    }

    pub(crate) fn seed(&mut self) -> [u8; 32] {
        draw(&mut self.rng)
    }

    /// The description that the peer of a dialog agreed by, whoever of us offered.
    pub(crate) fn last_said(&self, dialog: DialogHandle) -> Option<&Body> {
        Some(&self.ua.negotiation(dialog)?.agreed()?.remote)
    }

    /// The dialog at one end of a call.
    pub(crate) fn dialog_at(&self, call: &Call, end: End) -> Option<DialogHandle> {
        match end {
            End::Caller => call.caller.dialog,
            End::Called => call.called_branch().and_then(|branch| branch.dialog),
        }
    }
}

fn passed(config: &B2buaConfig) -> Capabilities {
    let mut capabilities = Capabilities::default();
    // Neither are we a party to a call that another call could replace, nor do we send REFER.
    capabilities.extensions.retain(|tag| tag != "replaces");
    capabilities.methods.retain(|method| *method != Method::Notify);
    if config.refer == Refer::Refuse {
        capabilities.methods.retain(|method| *method != Method::Refer);
    }
    let types = ["application/dtmf-relay", "application/dtmf", "application/media_control+xml"];
    capabilities.content_types.extend(types.map(str::to_owned));
    capabilities
}

fn draw(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}
