//! How the table keeps calls. One that is talking and of which nothing is under way is kept in the binary form that memos
//! have, in which it takes a fifth of the memory; whatever happens to it, it is taken out of the table, and whole, first.

use std::ops::Deref;
use std::time::{Duration, Instant, SystemTime};

use control::wire::{MAX_BYTES, Reader, Wire, WireError, Writer};
use control::{CallKey, WorkerId};
use zeroize::Zeroizing;

use crate::call::{Applied, Call, Phase};

/// A call in the table.
pub(crate) enum Kept {
    Whole(Box<Call>),
    Packed(Box<Packed>),
}

/// A call that was negotiated and waits for nothing.
pub(crate) struct Packed {
    key: CallKey,
    call_id: Box<str>,
    worker: WorkerId,
    created: SystemTime,
    created_at: Instant,
    last_signal: SystemTime,
    last_signal_at: Instant,
    applied: Option<Applied>,
    delete_delay: Option<Duration>,
    timer: Option<Instant>,
    revision: u64,
    remembered: Option<u64>,
    signalling: Zeroizing<Box<[u8]>>,
    census: Census,
    /// What was negotiated, what was observed, and the ledger. Keys are among it.
    rest: Zeroizing<Box<[u8]>>,
}

/// A packed call that cannot be read back.
pub(crate) struct Unreadable {
    pub(crate) worker: WorkerId,
    pub(crate) call_id: String,
    pub(crate) error: WireError,
}

/// What is counted over all calls.
#[derive(Clone, Copy, Default)]
pub(crate) struct Census {
    pub(crate) legs: u64,
    pub(crate) transports: u64,
}

impl Census {
    fn of(call: &Call) -> Self {
        let legs = call.negotiated.legs.iter().filter(|leg| !leg.gone);
        Self { legs: legs.count() as u64, transports: call.negotiated.transports.len() as u64 }
    }
}

/// A whole call, in the table or made for the moment.
pub(crate) enum Look<'a> {
    InTable(&'a Call),
    Made(Box<Call>),
}

impl Deref for Look<'_> {
    type Target = Call;

    fn deref(&self) -> &Call {
        match self {
            Self::InTable(call) => call,
            Self::Made(call) => call,
        }
    }
}

impl Kept {
    /// Packs the call if nothing of it is under way, and if it is not too large for that.
    pub(crate) fn new(call: Box<Call>) -> Self {
        let is_quiet = matches!(call.phase, Phase::Live)
            && call.opened
            && call.waiting.is_none()
            && call.queue.is_empty()
            && call.questions.is_empty()
            && call.negotiated.is_answered();
        let packed = if is_quiet { Packed::new(&call) } else { None };
        debug_assert!(packed.as_ref().is_none_or(Packed::comes_back), "a call is not what it was when it was packed");
        packed.map_or(Self::Whole(call), |packed| Self::Packed(Box::new(packed)))
    }

    /// The whole call. An error is a fault of this program's: a form that cannot be read back.
    pub(crate) fn unpack(self) -> Result<Box<Call>, Unreadable> {
        match self {
            Self::Whole(call) => Ok(call),
            Self::Packed(packed) => packed.unpack().map(Box::new).map_err(|error| Unreadable {
                worker: packed.worker,
                call_id: packed.call_id.into(),
                error,
            }),
        }
    }

    /// The same, for looking at it.
    pub(crate) fn look(&self) -> Option<Look<'_>> {
        match self {
            Self::Whole(call) => Some(Look::InTable(call)),
            Self::Packed(packed) => packed.unpack().ok().map(|call| Look::Made(Box::new(call))),
        }
    }

    pub(crate) fn key(&self) -> CallKey {
        match self {
            Self::Whole(call) => call.key,
            Self::Packed(packed) => packed.key,
        }
    }

    pub(crate) fn call_id(&self) -> &str {
        match self {
            Self::Whole(call) => &call.call_id,
            Self::Packed(packed) => &packed.call_id,
        }
    }

    pub(crate) fn created_at(&self) -> Instant {
        match self {
            Self::Whole(call) => call.created_at,
            Self::Packed(packed) => packed.created_at,
        }
    }

    /// The worker has opened ports for it.
    pub(crate) fn is_opened(&self) -> bool {
        match self {
            Self::Whole(call) => call.opened,
            Self::Packed(_) => true,
        }
    }

    pub(crate) fn census(&self) -> Census {
        match self {
            Self::Whole(call) => Census::of(call),
            Self::Packed(packed) => packed.census,
        }
    }
}

impl Packed {
    fn new(call: &Call) -> Option<Self> {
        // By name, so that a field that is forgotten does not compile.
        let Call {
            key,
            call_id,
            worker,
            created,
            created_at,
            last_signal,
            last_signal_at,
            negotiated,
            applied,
            waiting: _,
            opened: _,
            queue: _,
            questions: _,
            phase: _,
            observed,
            ledger,
            delete_delay,
            timer,
            revision,
            signalling,
            remembered,
        } = call;
        let mut writer = Writer::new();
        negotiated.encode(&mut writer);
        observed.encode(&mut writer);
        ledger.encode(&mut writer);
        let rest = writer.finish();
        (rest.len() <= MAX_BYTES).then(|| Self {
            key: *key,
            call_id: call_id.as_str().into(),
            worker: *worker,
            created: *created,
            created_at: *created_at,
            last_signal: *last_signal,
            last_signal_at: *last_signal_at,
            applied: *applied,
            delete_delay: *delete_delay,
            timer: *timer,
            revision: *revision,
            remembered: *remembered,
            signalling: Zeroizing::new(signalling.as_slice().into()),
            census: Census::of(call),
            rest: Zeroizing::new(rest.as_slice().into()),
        })
    }

    /// What is unpacked is packed into the same bytes.
    fn comes_back(&self) -> bool {
        let again = self.unpack().ok().and_then(|call| Self::new(&call));
        again.is_some_and(|again| again.rest == self.rest && again.signalling == self.signalling)
    }

    fn unpack(&self) -> Result<Call, WireError> {
        let mut reader = Reader::new(&self.rest);
        let call = Call {
            negotiated: Wire::decode(&mut reader)?,
            observed: Wire::decode(&mut reader)?,
            ledger: Wire::decode(&mut reader)?,
            applied: self.applied,
            opened: true,
            delete_delay: self.delete_delay,
            timer: self.timer,
            revision: self.revision,
            remembered: self.remembered,
            signalling: Zeroizing::new(self.signalling.to_vec()),
            last_signal: self.last_signal,
            last_signal_at: self.last_signal_at,
            created_at: self.created_at,
            ..Call::new(self.key, &self.call_id, self.worker, self.created_at, self.created)
        };
        reader.end()?;
        Ok(call)
    }
}
