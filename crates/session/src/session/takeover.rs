//! The media half as a process of its own: it goes away, it comes back, and its calls are taken over.
//!
//! ```text
//! Away ── handle_media_half ─► TakingOver: a snapshot of every worker, page by page ─► Here
//!   ▲                              │                                                    │
//!   └──────── handle_media_away ───┴────────────────────────────────────────────────────┘
//! ```
//!
//! A call of the snapshot that is not known is restored from its memo; one that is known stays as it is, unless its memo is
//! newer than ours; one that we have ended is removed. A call of ours that the snapshot does not have is lost. Every call
//! that stays is told its plan again, which closes the ports of offers that came to nothing.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use control::frame::Welcome;
use control::{CallKey, CallSnapshot, Command, KeyingState, RequestId, WorkerId};

use super::{Output, Session};
use crate::call::{Call, Observed, Phase};
use crate::kept::Kept;
use crate::memo::Memo;
use crate::ports::PortPool;
use crate::{EndReason, LedgerNote, Refusal};

/// Where the media half is, as far as this half knows.
pub(super) enum MediaHalf {
    Here,
    Away,
    TakingOver(Takeover),
}

/// A snapshot on its way.
#[derive(Default)]
pub(super) struct Takeover {
    /// Workers that have pages to come.
    pages: BTreeMap<WorkerId, RequestId>,
    seen: HashSet<CallKey>,
    /// Calls without media, told before their page came.
    idle: HashSet<CallKey>,
    restored: usize,
}

impl Session {
    /// The media half, a process of its own, is out of reach. Its calls go on; requests are refused.
    pub fn handle_media_away(&mut self) {
        self.media = MediaHalf::Away;
    }

    /// The media half has ended, and its calls with it.
    pub fn handle_media_lost(&mut self, now: Instant) {
        self.media = MediaHalf::Away;
        self.left_behind.clear();
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            let Some(mut call) = self.take(key) else { continue };
            if !matches!(call.phase, Phase::Removing { .. }) {
                call.note(self.wall(now), "", LedgerNote::Ended(EndReason::PumpLost));
                call.phase = Phase::Removing { deadline: now, reason: EndReason::PumpLost, reply: None };
            }
            self.removed(now, call, None);
        }
        // Nothing can be left in it: whatever it held was bound there.
        self.left_behind.clear();
    }

    /// The media half, a process of its own, is connected: its calls are taken over, and then requests are served.
    pub fn handle_media_half(&mut self, now: Instant, welcome: &Welcome) {
        if self.pump_instance.is_some_and(|instance| instance != welcome.instance) {
            self.handle_media_lost(now);
        }
        if self.pump_instance != Some(welcome.instance) {
            self.pump_instance = Some(welcome.instance);
            self.config.workers = welcome.workers;
            self.config.fingerprints.clone_from(&welcome.fingerprints);
            self.pool = PortPool::new(self.config.ports, welcome.workers);
        }
        let mut takeover = Takeover::default();
        for worker in (0..welcome.workers).map(WorkerId) {
            let request = self.request_id();
            takeover.pages.insert(worker, request);
            self.command(worker, Command::Snapshot { request, after: None });
        }
        self.media = MediaHalf::TakingOver(takeover);
    }

    /// Requests are served.
    pub fn is_media_here(&self) -> bool {
        matches!(self.media, MediaHalf::Here)
    }

    pub(super) fn media_refusal(&self) -> Option<Refusal> {
        match self.media {
            MediaHalf::Here => None,
            MediaHalf::Away => Some(Refusal::MediaHalfAway("the media half is out of reach")),
            MediaHalf::TakingOver(_) => Some(Refusal::MediaHalfAway("the media half's calls are being taken over")),
        }
    }

    pub(super) fn take_page(
        &mut self,
        now: Instant,
        worker: WorkerId,
        request: RequestId,
        calls: &[CallSnapshot],
        more: bool,
    ) {
        let MediaHalf::TakingOver(takeover) = &mut self.media else { return };
        if takeover.pages.get(&worker) != Some(&request) {
            return;
        }
        takeover.pages.remove(&worker);
        takeover.seen.extend(calls.iter().map(|snapshot| snapshot.call));
        for snapshot in calls {
            self.take_snapshot(now, worker, snapshot);
        }
        if let Some(last) = calls.last().filter(|_| more) {
            let request = self.request_id();
            if let MediaHalf::TakingOver(takeover) = &mut self.media {
                takeover.pages.insert(worker, request);
            }
            self.command(worker, Command::Snapshot { request, after: Some(last.call) });
        }
        self.end_takeover(now);
    }

    /// A worker has ended: it has no page to come.
    pub(super) fn forget_pages(&mut self, now: Instant, worker: WorkerId) {
        if let MediaHalf::TakingOver(takeover) = &mut self.media {
            takeover.pages.remove(&worker);
            self.end_takeover(now);
        }
    }

    /// A call without media of which no page has come yet: worth knowing when it comes.
    pub(super) fn note_idle(&mut self, worker: WorkerId, key: CallKey) {
        match &mut self.media {
            MediaHalf::TakingOver(takeover) => drop(takeover.idle.insert(key)),
            // Nobody took it over, and nobody misses it.
            MediaHalf::Here if self.config.split => self.command(worker, Command::Remove { call: key }),
            MediaHalf::Here | MediaHalf::Away => {}
        }
    }

    fn end_takeover(&mut self, now: Instant) {
        let MediaHalf::TakingOver(takeover) = &mut self.media else { return };
        if !takeover.pages.is_empty() {
            return;
        }
        let (seen, restored) = (std::mem::take(&mut takeover.seen), takeover.restored);
        self.media = MediaHalf::Here;
        self.left_behind.clear();
        let calls = self.calls.values().filter(|call| call.is_opened() && !seen.contains(&call.key()));
        let lost: Vec<CallKey> = calls.map(Kept::key).collect();
        for key in lost {
            let Some(call) = self.take(key) else { continue };
            self.removed(now, call, None);
        }
        tracing::info!(calls = seen.len(), restored, "the media half is connected");
    }

    fn take_snapshot(&mut self, now: Instant, worker: WorkerId, snapshot: &CallSnapshot) {
        let key = snapshot.call;
        if self.left_behind.contains(&key) {
            return self.command(worker, Command::Remove { call: key });
        }
        let memo = match Memo::decode(&snapshot.memo) {
            Ok(memo) => Some(memo),
            Err(_) if snapshot.memo.is_empty() => None,
            Err(error) => {
                tracing::warn!(key = key.0, %error, "a call's memo cannot be read");
                None
            }
        };
        if let Some(call) = self.take(key) {
            if matches!(call.phase, Phase::Removing { .. }) {
                self.command(worker, Command::Remove { call: key });
                return self.keep(call);
            }
            let is_newer = memo.as_ref().is_some_and(|memo| memo.revision > call.revision);
            if !is_newer {
                return self.resume(now, call, snapshot);
            }
            self.supersede(now, call);
        }
        let restored = match memo {
            Some(memo) => self.restore(now, worker, snapshot, memo),
            None => Err("without a memo"),
        };
        match restored {
            Ok(call) => {
                if let MediaHalf::TakingOver(takeover) = &mut self.media {
                    takeover.restored += 1;
                }
                self.resume(now, Box::new(call), snapshot);
            }
            Err(reason) if snapshot.media_timeout.is_some() => {
                tracing::warn!(key = key.0, reason, "a call is not taken over; it ends by media timeout");
            }
            Err(reason) => {
                // No media moves, and nobody could ever start it.
                tracing::warn!(key = key.0, reason, "a call without media is not taken over; it ends");
                self.command(worker, Command::Remove { call: key });
            }
        }
    }

    /// Another signalling half has gone on with this call since: what we know of it gives way.
    fn supersede(&mut self, now: Instant, mut call: Box<Call>) {
        if let Some(waiting) = call.waiting.take() {
            for port in &waiting.wanted {
                self.pool.release(port.local);
            }
            self.reply(waiting.token, Err(Refusal::CallEnded));
        }
        for question in std::mem::take(&mut call.questions) {
            self.tell(now, &call, question, None);
        }
        for (token, _) in std::mem::take(&mut call.queue) {
            self.reply(token, Err(Refusal::CallEnded));
        }
        for transport in call.negotiated.transports.values() {
            self.pool.release(transport.local);
        }
        self.forget(&mut call);
    }

    fn restore(
        &mut self,
        now: Instant,
        worker: WorkerId,
        snapshot: &CallSnapshot,
        mut memo: Memo,
    ) -> Result<Call, &'static str> {
        if self.by_call_id.contains_key(&memo.call_id) {
            return Err("another call has its Call-ID");
        }
        let is_open = |id, local| {
            snapshot.statistics.transports.iter().any(|transport| transport.id == id && transport.local == local)
        };
        if !memo.negotiated.transports.iter().all(|(&id, transport)| is_open(id, transport.local)) {
            return Err("a port of it is not open");
        }
        for leg in &mut memo.negotiated.legs {
            let address = memo.interfaces.get(leg.interface);
            let known = self.config.interfaces.iter().position(|interface| Some(&interface.address) == address);
            leg.interface = known.ok_or("its interface is not configured")?;
        }
        for transport in memo.negotiated.transports.values() {
            self.pool.claim(transport.local);
        }
        if self.calls.is_empty() {
            // Descriptions with `loop-protect` carry it: they stay the same, and are known again.
            self.instance = memo.instance;
        }
        let wall = self.wall(now);
        let since = |then| now.checked_sub(wall.duration_since(then).unwrap_or_default()).unwrap_or(now);
        let mut call = Call::new(snapshot.call, &memo.call_id, worker, now, wall);
        (call.created, call.created_at) = (memo.created, since(memo.created));
        (call.last_signal, call.last_signal_at) = (memo.last_signal, since(memo.last_signal));
        call.negotiated = memo.negotiated;
        call.opened = true;
        call.ledger = memo.ledger;
        call.delete_delay = memo.delete_delay;
        call.revision = memo.revision;
        call.signalling = memo.signalling;
        if let Some((at, reason)) = memo.ending {
            call.phase = Phase::Ending { at: now + at.duration_since(wall).unwrap_or_default(), reason };
        }
        if matches!(call.phase, Phase::Live) && !call.signalling.is_empty() {
            let (call_id, state) = (memo.call_id.clone(), call.signalling.clone());
            self.outputs.push_back(Output::Restored { call_id, state });
        }
        self.by_call_id.insert(memo.call_id, call.key);
        Ok(call)
    }

    /// Goes on with a call: takes in what its worker says of it, and tells the worker what is wanted.
    fn resume(&mut self, now: Instant, mut call: Box<Call>, snapshot: &CallSnapshot) {
        for transport in &snapshot.statistics.transports {
            let mut observed = Observed { remote: transport.remote, ..Observed::default() };
            let note = match &transport.keying {
                KeyingState::Secured(by) => {
                    observed.secured_by = Some(by.clone());
                    Some(LedgerNote::Secured(by.clone()))
                }
                KeyingState::Failed(failure) => {
                    observed.failure = Some(*failure);
                    Some(LedgerNote::Failed(*failure))
                }
                KeyingState::Plain | KeyingState::Pending | KeyingState::PassThrough | KeyingState::Handshake(_) => {
                    None
                }
            };
            if let Some(note) = note {
                call.note(self.wall(now), &call.tag_of(transport.id), note);
            }
            call.observed.insert(transport.id, observed);
        }
        self.apply(now, &mut call, true);
        let is_idle = matches!(&self.media, MediaHalf::TakingOver(takeover) if takeover.idle.contains(&call.key));
        if is_idle && matches!(call.phase, Phase::Live) {
            self.end(now, call, EndReason::MediaTimeout, None);
        } else {
            self.keep(call);
        }
    }
}
