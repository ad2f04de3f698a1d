//! What the two halves say to each other: [`Command`] (session to pump), [`Event`] and statistics (pump to session).
//! Plain data only: no socket, no clock, no handle. Durations travel, instants do not. Where the halves are two processes,
//! [`mod@wire`] has the data's binary form and [`frame`] the messages of the link between them.
//!
//! # Contract
//! * [`Command::Open`] binds ports. It is answered by [`Event::Opened`], or by [`Event::Refused`] and then none of its
//!   ports is open. The first `Open` of a call makes the call on that worker; later ones add ports to it.
//! * [`Command::Apply`] gives the whole wanted state of a call's media as a [`Plan`]. The worker changes what differs
//!   from the plan before and leaves alone what is equal: the same SDES keys keep their SRTP contexts, the same DTLS
//!   generation keeps its association, the same ICE credentials keep the validated pair. A transport that the plan does
//!   not name is closed. There is no answer; what comes of it is told by [`Event::Transport`].
//! * [`Command::Remove`] closes all. [`Event::Removed`] carries the final statistics. A second `Remove` is answered by
//!   nothing.
//! * [`Command::Query`] is answered by [`Event::Statistics`].
//! * [`Command::Snapshot`] is answered by a page of calls ([`Event::Snapshot`]); the asker goes on after the last key.
//! * Commands about a call that the worker does not know are ignored, but for `Query`, which is answered with `None`.

mod command;
mod diagnosis;
mod event;
mod fingerprint;
pub mod frame;
mod plan;
mod quality;
mod statistics;
mod verdict;
pub mod wire;

pub use command::{CallKey, Command, LegId, OpenPort, RequestId, TransportId, WorkerId};
pub use diagnosis::{CheckCounts, Diagnosis, DtlsProgress, Hypothesis, LastRejection, LatchState, Suspicion};
pub use event::{BindFailure, CallSnapshot, Event, SecuredBy, TransportEvent, TransportFailure};
pub use fingerprint::{Fingerprint, FingerprintError, HashAlgorithm};
pub use ice::Credentials;
pub use plan::{
    BranchId, BranchPlan, Component, DtlsPlan, DtlsRole, EchoPlan, FlowId, FlowPlan, IcePlan, Keying, Latching,
    MAX_BRANCHES, NatTraversal, PayloadTypes, Plan, RtcpPolicy, SdesKeys, Selector, Silenced, TransportPlan,
};
pub use quality::{LossRuns, Quality, QualitySample};
pub use srtp::{MasterKey, Policy, Profile, RocPolicy};
pub use statistics::{
    CallStatistics, Counters, DtlsState, IceState, KeyingState, StreamStatistics, TransportStatistics, VerdictCounts,
};
pub use verdict::Verdict;
