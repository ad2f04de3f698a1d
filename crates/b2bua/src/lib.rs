//! A sans-IO back-to-back user agent (RFC 7092): it ends a caller's call, makes one of its own to whom the caller wants, and
//! has the session rewrite every description between them.
//!
//! ```text
//! INVITE ─► may it? where to? ─► Locate ─► Session(Offer) ─► INVITE with our description, one for each target
//! 18x, 200 of the first ─► Session(Answer) ─► 18x, 200 ─► ACK
//! re-INVITE, UPDATE of either ─► Session(Offer) ─► re-INVITE ─► Session(Answer), or Session(Withdraw) and both as before
//! BYE, CANCEL, end of the session's call ─► the other leg ends ─► Session(Delete)
//! ```
//!
//! # The order of calls
//!
//! [`B2bua`] is told of messages ([`B2bua::handle_message`]), of the session's replies and ends ([`B2bua::handle_reply`],
//! [`B2bua::handle_ended`], [`B2bua::handle_key_nearly_spent`]), of located targets ([`B2bua::handle_located`]), of transports
//! ([`B2bua::handle_transport_error`], [`B2bua::handle_connection_closed`]) and of time ([`B2bua::handle_timeout`], due at
//! [`B2bua::poll_timeout`]). After each of these take [`B2bua::poll_output`] until it says `None`, and carry out every [`Output`]
//! in its order.
//!
//! * Every [`Output::Session`] wants exactly one [`B2bua::handle_reply`] with its token, every [`Output::Locate`] exactly one
//!   [`B2bua::handle_located`]. What concerns one call is carried out step by step: while a reply is awaited, what else happens to
//!   that call waits in a bounded queue.
//! * Nothing that a peer sends is an error; what becomes of it is in [`Counters`] and in [`Output::Log`].
//! * Nothing changes before authentication: a caller is a known user (digest), a trunk (by address or TLS identity), or gets a
//!   challenge that is the same for users that exist and that do not.
//! * The legs have nothing in common that we do not put there: Call-ID, tags, Via, Contact and Route are each leg's own, and of
//!   other headers only those of [`B2buaConfig::pass_headers`] are carried over. Challenges are not.
//! * A session's call is named by ourselves, never by a peer: nobody gets into a call of others by knowing its Call-ID.
//! * Calls, bindings, queues and failures are bounded; beyond the bounds new calls get 503 with Retry-After.
//! * A description is read only after S/MIME has taken its layers off, and goes out in new ones where the leg's policy says so. No
//!   signature of one leg is ever shown to the other ([`B2bua::set_smime`]).
//!
//! Secrets (HA1s, passwords of trunks) are wiped on drop, have no Debug and reach no log.

mod b2bua;
mod call;
mod config;
mod connections;
mod counters;
mod description;
mod facts;
mod gate;
mod headers;
mod log;
mod memo;
mod policy;
mod registrar;
mod routes;
mod secured;
mod shares;
mod users;

pub use b2bua::{B2bua, LookupId, Output};
pub use config::{
    B2buaConfig, Bridging, CleartextPolicy, Destination, Keying, LegPolicy, Limits, Refer, Route, RouteSource,
    SmimePolicy, Trunk, UnverifiedPolicy, UriTarget,
};
pub use counters::Counters;
pub use facts::{CallFacts, EndedBy, PartyFacts, Times};
pub use log::{Fact, Severity};
pub use routes::Pattern;
pub use secured::SmimeSettings;
pub use users::{User, UserLineMalformed, Users};
