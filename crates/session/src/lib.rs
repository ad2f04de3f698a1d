//! Call table, offer/answer negotiation and port policy.
//!
//! [`Session`] is sans-IO. It is told of requests ([`Session::handle_request`]), of the workers' events
//! ([`Session::handle_event`]) and of time ([`Session::handle_timeout`], due at [`Session::poll_timeout`]); after each of
//! these [`Session::poll_output`] is called until it says `None`, and its [`Output`]s are carried out in order.
//!
//! * Every request gets exactly one reply, at once or after the worker has answered; a silent worker costs
//!   [`Timeouts::worker`].
//! * A [`Refusal`] leaves the call as it was: an offer works on a copy of the call's state, which takes the place of the
//!   state only when its ports are open and its description is written.
//! * Requests about one call are carried out one after the other.
//! * The same offer again gets the same description: ports, keys, `o=` and all; the worker is told nothing, but to remember
//!   it where the halves are two processes.
//! * With [`SessionConfig::split`] the media half is a process of its own: a session that begins takes the media half's
//!   calls over from their memos, and after [`Session::handle_media_half`] serves requests.
//! * A leg's keys are its own: made here, one for each leg, section and suite, and never those of another party.

mod call;
mod capability;
mod carried;
mod config;
mod echo;
mod edits;
mod kept;
mod layout;
mod leg;
mod memo;
mod negotiate;
mod options;
mod peer;
mod plan;
mod ports;
mod profile;
mod refusal;
mod reply;
mod report;
mod request;
mod rewrite;
mod secrets;
mod session;
mod subscribe;
mod treatments;
mod view;

pub use config::{Adjustment, Clocks, Defaults, Interface, InterfacesDiffer, Limits, SessionConfig, Timeouts};
pub use control::WorkerId;
pub use options::{
    AddressFamily, AttributeChange, AttributeEdit, AttributeLevel, CodecOptions, DtlsOption, EndpointLearning, Flags,
    IceLite, IceOption, InterfaceOptions, Options, OsrtpOptions, ReplaceOptions, RtcpMuxOptions, SdesOptions,
    TransportProtocol,
};
pub use profile::{MediaProfile, UnknownProfile};
pub use refusal::Refusal;
pub use reply::{
    CallReport, Deleted, MediaReport, Reply, RewrittenSdp, SessionStatistics, SsrcReport, StreamReport, Subscribed,
    SubscribedMedia, SubscribedParty, TagReport, Tally, Totals,
};
pub use request::{
    Delete, Negotiation, Note, Party, Query, Remember, Request, Subscribe, Token, Treat, Treatment, Unsubscribe,
    Withdraw,
};
pub use session::{Output, Session};
pub use view::{
    CallState, CallSummary, CallView, EndReason, KeyingKind, LedgerEntry, LedgerNote, LegView, OpportunisticForm,
    SectionView, TransportView,
};
