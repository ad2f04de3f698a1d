//! HTTP for operators: metrics, health and calls.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | Prometheus text |
//! | `/healthz` | 200 while the process answers at all |
//! | `/readyz` | 200 when every worker and listener runs, else 503 with what is missing |
//! | `/calls` | the calls as a JSON list |
//! | `/calls/ID` | one call by its Call-ID, or 404: JSON, or with `Accept: text/plain` why there is audio or not |
//! | `/ng` | POST, from this machine alone: a message of the ng protocol and its reply |
//! | `POST /drain` | take no new calls, and end when the last one has ended; how many that are |
//!
//! What it tells it gets by [`Question`] over a channel, so that this crate knows neither session nor workers. All but
//! `/drain` and `/ng` is GET and HEAD; those are taken from this machine only, and with a content type of their own. `Host` and `Origin` are checked, because a page in an operator's browser can reach a loopback address.

mod calls;
mod guard;
mod listener;
mod metrics;
mod question;
mod server;
mod snapshot;

pub use calls::{Address, CallDetail, CallSummary, Calls, LegDetail, SectionDetail, StreamDetail, TransportDetail};
pub use question::{Draining, Question, Readiness};
pub use server::{Admin, serve};
pub use snapshot::{
    Histogram, Labelled, NgSnapshot, ProcessSnapshot, SessionSnapshot, SipSnapshot, Snapshot, WorkerSnapshot,
};
