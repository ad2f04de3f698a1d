//! ICE-lite agent and the STUN messages it needs (RFC 8445, RFC 8489).
//!
//! A [`LiteAgent`] belongs to one transport, that is to one local candidate. It only ever answers: it checks nothing, is
//! always controlled, and learns from the checks of a full agent where media goes. It does no I/O and has no clock.
//!
//! # Contract
//! * [`LiteAgent::handle_datagram`] takes what RFC 7983 calls STUN and writes the answer, which goes to where the request
//!   came from. Nothing on the wire is an error; every message ends in a [`StunVerdict`].
//! * [`LiteAgent::selected`] is the only address to send to. It is `None` until a pair is nominated, and again while
//!   consent is lost. It does not look at a clock, so [`LiteAgent::handle_timeout`] is to be called at
//!   [`LiteAgent::poll_timeout`].
//! * [`LiteAgent::accepts`] says whose packets are worth authenticating; each one that authenticates is told to
//!   [`LiteAgent::authenticated_packet`]. [`LiteAgent::is_validated`] is the stricter question, for DTLS.
//! * [`LiteAgent::poll_event`] is to be called until it gives `None` after each of the others. Events that nobody fetches
//!   are bounded; the oldest go first.
//! * Memory is allocated when an agent is made and when credentials change, never by a packet.
//!
//! # What is answered
//! | request | answer | effect |
//! |---|---|---|
//! | no whole STUN message; FINGERPRINT missing or wrong (RFC 8489 §6.3) | none | none |
//! | response, Binding indication, another method | none | none |
//! | USERNAME or MESSAGE-INTEGRITY missing (§9.1.3) | 400 | none |
//! | USERNAME does not begin with our ufrag and a colon, or integrity does not verify (§9.1.3) | 401 | none |
//! | attribute that must be understood and is not (§6.3.1) | 420, naming up to eight | none |
//! | PRIORITY that is not four bytes long | 400 | none |
//! | ICE-CONTROLLED (RFC 8445 §7.3.1.1; a lite agent does not change its role) | 487 | none |
//! | any other | success with XOR-MAPPED-ADDRESS | validates the pair, renews consent |
//!
//! The first 400 and the 401 are answered as RFC 8489 asks, but bear no integrity, since no password is proven, no reason
//! phrase, and are left out when they would be longer than the request: who forges a source address gains nothing.
//! All others bear MESSAGE-INTEGRITY. Attributes behind MESSAGE-INTEGRITY are not looked at. A missing PRIORITY is let
//! pass. Checks are answered before the peer's credentials are known, as our own password is all it takes, and they count.
//!
//! # Which pair is selected
//! USE-CANDIDATE nominates. Of several nominated pairs the one of highest priority is selected (RFC 8445 §8.1.1), as a
//! peer that nominates aggressively nominates all (RFC 5245 §8.1.1.2). A later nomination of equal priority wins (the same
//! candidate behind a new NAT mapping), and one of lower priority wins once the peer has ceased to nominate the selected
//! pair: its last check was without USE-CANDIDATE, or there was none for 3 s.
//!
//! Once the peer's ufrag is known, a check that names another one is answered and has no effect: it is from another
//! answerer of the same offer. It takes effect when [`LiteAgent::set_remote`] names that one.
//!
//! # Restart
//! New credentials of ours begin a new generation of pairs. Until one is nominated in it, media keeps flowing on the pair
//! selected before and checks under the former credentials renew its consent; afterwards the former pairs are accepted
//! from for [`LiteAgent::OVERLAP`].
//!
//! # Consent
//! A valid check on the selected pair or a packet from it that authenticates renews consent for 30 s (RFC 7675 §5.1).
//! When it expires, another nominated pair that still has consent takes over; if there is none,
//! [`IceEvent::ConsentLost`]. Only a valid check regains it, on whichever pair it comes.
//!
//! # Both sides lite
//! Nobody checks, so there is no consent to lose: a call whose peer has gone ends by media timeout. The signalled address
//! is selected, until a packet authenticates that comes from another one.

mod agent;
mod credentials;
pub mod stun;

pub use agent::{IceEvent, LiteAgent, LiteConfig, Outcome, StunVerdict};
pub use credentials::{Credentials, CredentialsError};
