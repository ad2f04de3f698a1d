//! Call table, offer/answer negotiation and port policy.

mod config;
mod options;
mod profile;
mod refusal;
mod reply;
mod request;
mod session;
mod view;

pub use config::{Clocks, Defaults, Interface, Limits, SessionConfig, Timeouts};
pub use control::WorkerId;
pub use options::{
    AddressFamily, CodecOptions, DtlsOption, EndpointLearning, Flags, IceLite, IceOption, InterfaceOptions, Options,
    OsrtpOptions, ReplaceOptions, RtcpMuxOptions, SdesOptions, TransportProtocol,
};
pub use profile::{MediaProfile, UnknownProfile};
pub use refusal::Refusal;
pub use reply::{
    CallReport, Deleted, MediaReport, Reply, RewrittenSdp, SessionStatistics, SsrcReport, StreamReport, TagReport,
    Tally, Totals,
};
pub use request::{Delete, Negotiation, Query, Request, Token};
pub use session::{Output, Session};
pub use view::{
    CallState, CallSummary, CallView, EndReason, KeyingKind, LedgerEntry, LedgerNote, LegView, SectionView,
    TransportView,
};
