//! What has to be known of a call after a restart: kept by the session with its own memo, opaque there.
//!
//! ```text
//! version (1 byte)  shape (8 bytes)  [`Memo`]
//! ```
//!
//! It holds what two dialogs have agreed on, and so media keys: it lives in buffers that are wiped. What is under way in a call
//! (transactions, look-ups, questions to the session) is not in it, and ends with the process.

mod forms;

use std::time::SystemTime;

use control::wire::{self, WireError};
use sip::{DialogState, Flow, Request, Uri};
use zeroize::Zeroizing;

use crate::call::{End, OwnOffer};
use crate::routes::Caller;
use crate::{LegPolicy, Times};

/// Raised when the form or the meaning of a part changes in a way that its shape does not see.
const VERSION: u8 = 1;

/// Most bytes: the session has room for its own beside it.
const MAX_BYTES: usize = 40 * 1024;

/// A call as it is to be found again.
pub(crate) enum Memo {
    /// It was not answered: whoever finds it ends it.
    SettingUp(Box<Setup>),
    /// Both ends talk, or one end hears its echo.
    Talking(Box<Talk>),
}

/// A call that was not answered, and the dialogs of those who have answered already.
pub(crate) struct Setup {
    pub(crate) who: Option<Caller>,
    pub(crate) request: Request,
    pub(crate) flow: Flow,
    pub(crate) route: Option<String>,
    pub(crate) times: Times,
    pub(crate) dialogs: Vec<DialogMemo>,
}

/// A call that was answered.
pub(crate) struct Talk {
    pub(crate) caller: EndMemo,
    /// `None`: the call is an echo.
    pub(crate) called: Option<Called>,
    /// Who is at the caller's end, where that can be proven.
    pub(crate) who: Option<Caller>,
    /// Of the caller's INVITE, what a transfer would carry on.
    pub(crate) request: Request,
    pub(crate) max_forwards: u8,
    pub(crate) loop_token: String,
    /// An offer was open, and nobody knows what became of it: this one of ours settles it.
    pub(crate) unsettled: Option<OwnOffer>,
    pub(crate) transfer: Option<TransferMemo>,
    pub(crate) route: Option<String>,
    pub(crate) times: Times,
    pub(crate) transfers: u16,
}

/// The end that was called.
pub(crate) struct Called {
    pub(crate) end: EndMemo,
    /// Its number among the branches of the call, by which the session knows it, and how many there were.
    pub(crate) branch: u16,
    pub(crate) branches: u16,
    pub(crate) uri: Uri,
    pub(crate) address: Uri,
    pub(crate) trunk: Option<String>,
    pub(crate) user: Option<String>,
}

/// One end of an answered call.
pub(crate) struct EndMemo {
    pub(crate) dialog: DialogMemo,
    /// As it was when the call was made.
    pub(crate) flow: Flow,
    pub(crate) policy: LegPolicy,
    /// What the session calls it.
    pub(crate) tag: String,
    /// Our address on it and the peer's, for S/MIME.
    pub(crate) addresses: Option<(Uri, Uri)>,
    /// DER of the certificate of its last verified signature.
    pub(crate) certificate: Option<Vec<u8>>,
    /// What was in its last description, where that was secured.
    pub(crate) opened: Option<Zeroizing<Vec<u8>>>,
}

/// A dialog, and its session timer beside it.
pub(crate) struct DialogMemo {
    pub(crate) state: DialogState,
    pub(crate) session: Option<SessionMemo>,
}

/// A session timer by the clock on the wall.
pub(crate) struct SessionMemo {
    pub(crate) seconds: u32,
    pub(crate) we_refresh: bool,
    pub(crate) due: SystemTime,
}

/// A transfer whose target had not answered.
pub(crate) struct TransferMemo {
    pub(crate) from: End,
    pub(crate) branch: u16,
}

impl Memo {
    /// As bytes. `None`: the call is too large to be remembered.
    pub(crate) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(wire::to_memo(VERSION, forms::SHAPE, self)).filter(|bytes| bytes.len() <= MAX_BYTES)
    }

    /// From bytes, which must be of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        wire::from_memo(VERSION, forms::SHAPE, bytes)
    }
}
