//! A call's memo: everything that a restarted session needs to go on with it, in at most 64 KiB, kept by the media half
//! with the call's plan.
//!
//! ```text
//! version (1 byte)  shape (8 bytes)  the parts of [`Memo`], one after the other
//! ```
//!
//! It holds keys, so it lives in buffers that are wiped. It is made of the whole negotiated state, not of the steps that led
//! there; what is under way (ports being bound, questions to the worker) is not in it, and ends with the session.

mod forms;

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use control::wire::{self, MAX_BYTES, Wire, WireError, Writer};
use zeroize::Zeroizing;

use crate::call::{Call, Phase};
use crate::leg::{Negotiated, digest};
use crate::{EndReason, LedgerEntry};

/// Raised when the form or the meaning of a part changes in a way that its shape does not see.
const VERSION: u8 = 1;

/// What a memo says.
pub(crate) struct Memo {
    pub(crate) call_id: String,
    /// Counts this call's memos.
    pub(crate) revision: u64,
    /// By which `loop-protect` knows our own descriptions.
    pub(crate) instance: String,
    /// Addresses of the interfaces that legs name by their number.
    pub(crate) interfaces: Vec<IpAddr>,
    pub(crate) created: SystemTime,
    pub(crate) last_signal: SystemTime,
    pub(crate) delete_delay: Option<Duration>,
    /// Deleted: when its ports close, and why.
    pub(crate) ending: Option<(SystemTime, EndReason)>,
    pub(crate) negotiated: Negotiated,
    pub(crate) ledger: Vec<LedgerEntry>,
    /// The front door's own: [`Remember`](crate::Remember).
    pub(crate) signalling: Zeroizing<Vec<u8>>,
}

impl Memo {
    /// Of a call, whose `Ending` phase ends at `ending`.
    pub(crate) fn new(
        call: &Call,
        instance: &str,
        interfaces: Vec<IpAddr>,
        ending: Option<(SystemTime, EndReason)>,
    ) -> Self {
        Self {
            call_id: call.call_id.clone(),
            revision: call.revision,
            instance: instance.to_owned(),
            interfaces,
            created: call.created,
            last_signal: call.last_signal,
            delete_delay: call.delete_delay,
            ending,
            negotiated: call.negotiated.clone(),
            ledger: call.ledger.clone(),
            signalling: call.signalling.clone(),
        }
    }

    /// As bytes. `None`: the call is too large to be remembered.
    pub(crate) fn encode(mut self) -> Option<Zeroizing<Vec<u8>>> {
        let whole = self.bytes();
        if whole.len() <= MAX_BYTES {
            return Some(whole);
        }
        // The call can go on without its history, and its media without its signalling.
        self.ledger.clear();
        let without_history = self.bytes();
        if without_history.len() <= MAX_BYTES {
            return Some(without_history);
        }
        self.signalling = Zeroizing::default();
        Some(self.bytes()).filter(|bytes| bytes.len() <= MAX_BYTES)
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        wire::to_memo(VERSION, forms::SHAPE, self)
    }

    /// From bytes, which must be of this version and hang together.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let memo: Self = wire::from_memo(VERSION, forms::SHAPE, bytes)?;
        if memo.hangs_together() { Ok(memo) } else { Err(WireError::Invalid("reference inside a memo")) }
    }

    /// Every number that names a leg, an interface or a transport names one that is there.
    fn hangs_together(&self) -> bool {
        let Negotiated { legs, dialogs, transports, .. } = &self.negotiated;
        let is_leg = |leg: usize| leg < legs.len();
        let sections = || legs.iter().filter(|leg| !leg.gone).flat_map(|leg| &leg.sections);
        let mut ports = sections().filter_map(|section| section.ports);
        legs.iter().all(|leg| leg.interface < self.interfaces.len())
            && dialogs.iter().all(|dialog| dialog.legs.into_iter().all(is_leg))
            && transports.values().all(|transport| is_leg(transport.leg))
            && ports
                .all(|ports| [Some(ports.rtp), ports.rtcp].into_iter().flatten().all(|id| transports.contains_key(&id)))
    }
}

/// Digest of what a memo of this call says, but for what changes with every repetition: the time of an offer, and how many
/// answers there were. Two calls that differ in nothing else go on alike.
pub(crate) fn essence(call: &Call) -> u64 {
    let mut negotiated = call.negotiated.clone();
    let mut answers: Vec<u64> = negotiated.dialogs.iter().filter_map(|dialog| dialog.answered).collect();
    answers.sort_unstable();
    for dialog in &mut negotiated.dialogs {
        // Which answer came later matters, not how many there were.
        let place = |number: u64| answers.iter().position(|&answer| answer == number).unwrap_or(0) as u64;
        dialog.answered = dialog.answered.map(place);
        if let Some(exchange) = &mut dialog.exchange {
            exchange.at = SystemTime::UNIX_EPOCH;
        }
    }
    negotiated.answers = 0;
    let mut writer = Writer::new();
    Wire::encode(&negotiated, &mut writer);
    Wire::encode(&call.delete_delay, &mut writer);
    writer.counted(&call.signalling);
    Wire::encode(&matches!(call.phase, Phase::Ending { .. }), &mut writer);
    digest(&writer.finish())
}
