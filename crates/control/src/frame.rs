//! The messages of the control link between two processes, and their frames.
//!
//! ```text
//! signalling half                                  media half
//!        ── Greeting (magic, version, shape) ──►
//!        ◄── Greeting ─────────────────────────
//!        ◄── Welcome, or Busy and the end ─────
//!        ── Command ──►     ◄── Event, WorkerFailed ──
//! ```
//!
//! A greeting is 18 bytes and is never changed, so that versions that do not understand each other can say so. After it
//! each message is a frame: its length (4 bytes, the highest first), then so many bytes. A frame above the bound for its
//! direction, or one that cannot be read, ends the link.

use std::fmt;

use zeroize::Zeroizing;

use crate::wire::{self, MESSAGES_SHAPE, Reader, WireError, Writer};
use crate::{Command, Event, Fingerprint, WorkerId};

/// Raised when the meaning or the form of a message changes in a way that [`MESSAGES_SHAPE`] does not see.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"sallyprt";

/// Bytes of a greeting.
pub const GREETING_LEN: usize = 18;

/// Bytes of the length before a frame.
pub const HEADER_LEN: usize = 4;

/// Longest message to the media half: a plan of the largest call with its memo.
pub const MAX_TO_PUMP: usize = 1 << 22;

/// Longest message to the signalling half: the statistics of the largest call.
pub const MAX_TO_SESSION: usize = 1 << 24;

/// The first bytes of either side.
pub fn greeting() -> [u8; GREETING_LEN] {
    let mut bytes = [0; GREETING_LEN];
    let parts =
        MAGIC.into_iter().chain(VERSION.to_be_bytes()).chain((MESSAGES_SHAPE ^ SHAPE.rotate_left(2)).to_be_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    bytes
}

/// Why the other side's greeting is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingError {
    /// Not a control link.
    Stranger,
    /// Another version of the program.
    OtherVersion,
}

impl fmt::Display for GreetingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "the other side does not speak Sallyport's control protocol",
            Self::OtherVersion => "the other side is a version of Sallyport with another control protocol",
        })
    }
}

impl std::error::Error for GreetingError {}

/// Checks the other side's greeting.
pub fn check_greeting(bytes: &[u8; GREETING_LEN]) -> Result<(), GreetingError> {
    match bytes {
        bytes if *bytes == greeting() => Ok(()),
        bytes if bytes.starts_with(&MAGIC) => Err(GreetingError::OtherVersion),
        _ => Err(GreetingError::Stranger),
    }
}

/// What the signalling half says.
pub struct ToPump {
    /// For this worker.
    pub worker: WorkerId,
    /// To be done.
    pub command: Command,
}

/// What the media half says.
#[derive(Debug)]
pub enum ToSession {
    /// First: who is here.
    Welcome(Welcome),
    /// First and last: another signalling half is connected.
    Busy,
    /// Something happened on a worker.
    Event {
        /// Which.
        worker: WorkerId,
        /// What.
        event: Event,
    },
    /// The worker has ended; its ports are closed and its calls are lost.
    WorkerFailed {
        /// Which.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
}

/// What the signalling half has to know of the media half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Another number is another process, which knows nothing of the calls of the one before.
    pub instance: u64,
    /// Workers, numbered from 0.
    pub workers: u16,
    /// Name of the backend.
    pub backend: String,
    /// Of the certificate that handshakes show, in the order of preference.
    pub fingerprints: Vec<Fingerprint>,
}

crate::wire! {
    const SHAPE;
    struct ToPump { worker, command }
    enum ToSession {
        0 => Welcome(welcome),
        1 => Busy,
        2 => Event { worker, event },
        3 => WorkerFailed { worker, reason },
    }
    struct Welcome { instance, workers, backend, fingerprints }
}

/// A message that one side says.
pub trait Message: wire::Wire {
    /// Longest frame, in bytes, without its header.
    const MAX_LEN: usize;
}

impl Message for ToPump {
    const MAX_LEN: usize = MAX_TO_PUMP;
}

impl Message for ToSession {
    const MAX_LEN: usize = MAX_TO_SESSION;
}

/// A message as a frame with its header. Fails on one that is too long.
pub fn encode<M: Message>(message: &M) -> Result<Zeroizing<Vec<u8>>, WireError> {
    let mut writer = Writer::new();
    writer.raw(&[0; HEADER_LEN]);
    message.encode(&mut writer);
    let mut bytes = writer.finish();
    let length = bytes.len() - HEADER_LEN;
    let header = u32::try_from(length).ok().filter(|_| length <= M::MAX_LEN).ok_or(WireError::TooLong)?;
    bytes.iter_mut().zip(header.to_be_bytes()).for_each(|(to, from)| *to = from);
    Ok(bytes)
}

/// How many bytes follow this header. Fails on more than a frame may have.
pub fn frame_len<M: Message>(header: [u8; HEADER_LEN]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(header) as usize;
    if length <= M::MAX_LEN { Ok(length) } else { Err(WireError::TooLong) }
}

/// The message in the bytes of a frame, without its header.
pub fn decode<M: Message>(frame: &[u8]) -> Result<M, WireError> {
    let mut reader = Reader::new(frame);
    let message = M::decode(&mut reader)?;
    reader.end()?;
    Ok(message)
}
