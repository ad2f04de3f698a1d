//! Why a call has audio or not: from what is known of it to findings in an operator's words.
//!
//! [`explain`] is a function of two values: what signalling agreed ([`session::CallView`]) and what the worker has seen
//! ([`control::CallStatistics`]). It reads no clock and changes nothing. For each pair of legs and each direction it gives
//! one [`Conclusion`], and for each transport its state, its streams' quality, and its drops with the likely cause.
//! [`Record`] is the same at a call's end, as one line.
//!
//! # How a conclusion is found
//! ```text
//! may it flow?    answered, branch not lost, section not refused, nobody on hold
//! does it come?   from the ingress transport: way (ICE), keys (DTLS, SDES), authentic packets, a flow that claims them
//! can it leave?   by the egress transport: way, keys, consent
//! ```
//! The first question with the answer no is the conclusion. "Yes" says that packets are sent on to the other leg and
//! were authentic; what a phone does with them is beyond the relay.

mod cause;
mod conclusion;
mod explanation;
mod quality;
mod record;
mod security;
mod signalling;
mod text;

pub use cause::Cause;
pub use conclusion::{Conclusion, Heard};
pub use explanation::{
    DropExplanation, Explanation, LegExplanation, SectionExplanation, TransportExplanation, explain,
};
pub use quality::StreamQuality;
pub use record::Record;
pub use security::LegSecurity;
pub use signalling::{Signalling, SignallingParty};
