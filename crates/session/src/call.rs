//! One call: what is negotiated, what is under way, and what has been seen of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use control::{CallKey, OpenPort, RequestId, SecuredBy, TransportFailure, TransportId, WorkerId};

use zeroize::Zeroizing;

use crate::leg::Negotiated;
use crate::negotiate::Work;
use crate::{EndReason, LedgerEntry, LedgerNote, Request, Timeouts, Token};

/// Entries that a ledger keeps: beyond, the oldest but the first go.
const MAX_LEDGER: usize = 128;

pub(crate) struct Call {
    pub(crate) key: CallKey,
    pub(crate) call_id: String,
    pub(crate) worker: WorkerId,
    pub(crate) created: SystemTime,
    pub(crate) created_at: Instant,
    pub(crate) last_signal: SystemTime,
    pub(crate) last_signal_at: Instant,
    pub(crate) negotiated: Negotiated,
    /// What the worker was told last.
    pub(crate) applied: Option<Applied>,
    pub(crate) waiting: Option<Box<Waiting>>,
    /// The worker has opened ports for it, and so knows it.
    pub(crate) opened: bool,
    /// Requests that came while ports were being bound.
    pub(crate) queue: VecDeque<(Token, Request)>,
    pub(crate) questions: Vec<Question>,
    pub(crate) phase: Phase,
    pub(crate) observed: BTreeMap<TransportId, Observed>,
    pub(crate) ledger: Vec<LedgerEntry>,
    /// `delete-delay` of an offer or answer.
    pub(crate) delete_delay: Option<Duration>,
    /// Where the timer queue has this call.
    pub(crate) timer: Option<Instant>,
    /// Counts the memos of this call: the highest is the newest.
    pub(crate) revision: u64,
    /// What the front door wants to know of it after a restart.
    pub(crate) signalling: Zeroizing<Vec<u8>>,
    /// Digest of what the last memo said.
    pub(crate) remembered: Option<u64>,
}

/// What is remembered of a plan that a worker has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Of all but its memo.
    pub(crate) digest: u64,
    pub(crate) media_timeout: Option<Duration>,
}

/// A negotiation whose ports are being bound.
pub(crate) struct Waiting {
    pub(crate) token: Token,
    pub(crate) request: RequestId,
    pub(crate) draft: Negotiated,
    pub(crate) work: Work,
    pub(crate) wanted: Vec<OpenPort>,
    pub(crate) warnings: Vec<String>,
    pub(crate) notes: Vec<(usize, LedgerNote)>,
    pub(crate) attempts: usize,
    pub(crate) deadline: Instant,
}

/// A reply that waits for the worker's statistics.
pub(crate) struct Question {
    pub(crate) token: Token,
    pub(crate) request: RequestId,
    pub(crate) kind: QuestionKind,
    pub(crate) deadline: Instant,
}

pub(crate) enum QuestionKind {
    Query { tags: Vec<String> },
    Delete,
}

pub(crate) enum Phase {
    Live,
    /// Deleted; the ports stay open until then.
    Ending {
        at: Instant,
        reason: EndReason,
    },
    /// The worker was told to remove it.
    Removing {
        deadline: Instant,
        reason: EndReason,
        reply: Option<Token>,
    },
}

/// What the worker told of a transport.
#[derive(Clone, Default)]
pub(crate) struct Observed {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) secured_by: Option<SecuredBy>,
    pub(crate) failure: Option<TransportFailure>,
}

impl Call {
    pub(crate) fn new(key: CallKey, call_id: &str, worker: WorkerId, now: Instant, wall: SystemTime) -> Self {
        Self {
            key,
            call_id: call_id.to_owned(),
            worker,
            created: wall,
            created_at: now,
            last_signal: wall,
            last_signal_at: now,
            negotiated: Negotiated::default(),
            applied: None,
            waiting: None,
            opened: false,
            queue: VecDeque::new(),
            questions: Vec::new(),
            phase: Phase::Live,
            observed: BTreeMap::new(),
            ledger: Vec::new(),
            delete_delay: None,
            timer: None,
            revision: 0,
            signalling: Zeroizing::default(),
            remembered: None,
        }
    }

    /// When something has to happen if nothing else does.
    pub(crate) fn next_deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let waiting = self.waiting.as_ref().map(|waiting| waiting.deadline);
        let questions = self.questions.iter().map(|question| question.deadline).min();
        let phase = match self.phase {
            Phase::Ending { at, .. } => Some(at),
            Phase::Removing { deadline, .. } => Some(deadline),
            Phase::Live => self.expiry(timeouts).map(|(at, _)| at),
        };
        [waiting, questions, phase].into_iter().flatten().min()
    }

    /// When a live call ends by itself, and why. One with media is watched by its worker.
    pub(crate) fn expiry(&self, timeouts: &Timeouts) -> Option<(Instant, EndReason)> {
        if self.waiting.is_some() {
            return None;
        }
        if !self.negotiated.is_answered() {
            return Some((self.last_signal_at + timeouts.offer, EndReason::OfferTimeout));
        }
        let held = self.applied.is_none_or(|plan| plan.media_timeout.is_none());
        held.then(|| (self.last_signal_at + timeouts.hold, EndReason::MediaTimeout))
    }

    /// Enters a note once; the same one of the same leg again says nothing new, and false is returned.
    pub(crate) fn note(&mut self, at: SystemTime, tag: &str, note: LedgerNote) -> bool {
        if self.ledger.iter().any(|entry| entry.tag == tag && entry.note == note) {
            return false;
        }
        if self.ledger.len() >= MAX_LEDGER {
            self.ledger.remove(1);
        }
        self.ledger.push(LedgerEntry { at, tag: tag.to_owned(), note });
        true
    }

    pub(crate) fn tag_of(&self, transport: TransportId) -> String {
        let leg = self.negotiated.transports.get(&transport).and_then(|known| self.negotiated.legs.get(known.leg));
        leg.map(|leg| leg.tag.clone()).unwrap_or_default()
    }
}
