//! Sans-IO SIP: RFC 3261 and what updates it.
//!
//! # Messages
//!
//! [`receive`] reads a datagram or a whole stream message, [`StreamFramer`] cuts a stream into messages. Both check all that
//! can be checked without knowing who we are; a faulty request comes back as a [`Fault`] with the response to send.
//! A message is kept as the lines it came in: what is not edited prints byte for byte and in its order. Typed views
//! ([`Headers::via`], [`Headers::from`], …) are read from the lines on demand; an edit rewrites one line, and CR, LF and NUL
//! in it become spaces. [`Capabilities::inspect`] then says what a server cannot serve.
//!
//! Reading is linear, does not recurse and is bounded by [`Limits`].
//!
//! # Transactions
//!
//! [`TransactionLayer`] runs the four transactions for one element. It reads no clock: every call takes `now`. After any call,
//! take [`TransactionLayer::poll_transmit`] and [`TransactionLayer::poll_event`] until `None`, and see to it that
//! [`TransactionLayer::handle_timeout`] is called at [`TransactionLayer::poll_timeout`]. Noise on the wire is a [`Verdict`],
//! an `Err` means that this call did nothing. The number of transactions is bounded; beyond it requests are answered with
//! 503 and leave nothing behind.
//!
//! # Calls
//!
//! [`UserAgent`] makes and takes calls on top of a transaction layer of its own, with the same order of calls:
//!
//! * [`UserAgent::invite`] calls; [`CallEvent::Incoming`] is a call, answered by [`UserAgent::ring`], [`UserAgent::accept`] or
//!   [`UserAgent::reject`]. ACK, PRACK, CANCEL's consequences, repeated 2xx and session timers are its own affair, and so is
//!   the end of a second 2xx of a fork.
//! * Offers come as [`CallEvent::Offer`] (or [`Description::Offer`] in a response) and are answered by [`UserAgent::answer`] or
//!   [`UserAgent::refuse`], whatever carries them. Ours go out by [`UserAgent::reinvite`] and [`UserAgent::update`], one at a
//!   time. A [`Negotiation`] per dialog holds what is agreed; a refused or lost offer leaves it as it was.
//! * A leg ends by [`CallEvent::Failed`] or [`CallEvent::Cancelled`], a dialog by [`CallEvent::Ended`], once, whatever races.
//!   An `Err` means that the call did nothing.
//! * 401 and 407 come to the user: give the request to [`DigestSession::answer`], then [`next_attempt`] and
//!   [`UserAgent::invite`], or [`UserAgent::send_again`] inside a dialog. REFER comes as [`CallEvent::Request`].
//!
//! [`Fork`] is the logic of one call to several targets, to be run beside it: who is called when, who wins, and which response
//! is the best, with all challenges in it.
//!
//! # Digest
//!
//! [`DigestServer`] challenges and verifies, [`DigestSession`] answers. A nonce costs no memory until a right response has used
//! it. Passwords and HA1s are wiped on drop and have no Debug.
//!
//! ```
//! use sallyport_sip::{Carriage, Limits, Message, StatusCode, receive};
//! let text = "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK77\r\nf: <sip:a@example.com>;tag=1\r\n\
//!     t: <sip:bob@example.com>\r\ni: 7@192.0.2.1\r\nCSeq: 1 OPTIONS\r\nX-Kept:  as   is\r\nl: 0\r\n\r\n";
//! let message = receive(text.as_bytes(), Carriage::Datagram, &Limits::default()).message()?;
//! assert_eq!(message.to_bytes(), text.as_bytes());
//! let Message::Request(request) = message else { unreachable!() };
//! assert_eq!(request.headers.from()?.tag(), Some("1"));
//! let mut response = request.respond(StatusCode::OK);
//! response.set_to_tag("2");
//! # Ok::<(), sallyport_sip::Fault>(())
//! ```

mod capabilities;
mod check;
mod dialog;
mod digest;
mod fault;
mod flow;
mod fork;
mod frame;
pub mod fuzz;
mod header;
mod headers;
mod limits;
mod message;
mod method;
pub mod name;
mod negotiation;
mod params;
mod parse;
mod session_timer;
mod status;
mod text;
mod timers;
mod tokens;
mod transaction;
mod ua;
mod uri;

pub use capabilities::{Capabilities, next_max_forwards};
pub use dialog::{Dialog, DialogId, next_attempt};
pub use digest::{
    Accepted, Account, AnswerError, AuthenticationInfo, Authenticator, Challenge, Counted, Credentials,
    DigestAlgorithm, DigestFault, DigestPolicy, DigestServer, DigestServerConfig, DigestSession, FailureLimit, Ha1,
    HashAlgorithm, PeerProof, Qop, StaleNonce, UserTable, Verification,
};
pub use fault::Fault;
pub use flow::{Flow, Transport};
pub use fork::{BranchId, DEFAULT_MAX_BREADTH, Fork, ForkAction, best_response};
pub use frame::{Frame, StreamFramer};
pub use header::{
    CSeq, Date, MediaType, NameAddr, Part, RAck, Reason, Refresher, Replaces, RetryAfter, SentBy, SessionExpires, Via,
    Warning, split_multipart,
};
pub use headers::{HeaderLine, Headers};
pub use limits::Limits;
pub use message::{Body, Message, Request, Response};
pub use method::Method;
pub use negotiation::{Agreed, Negotiation, NegotiationError};
pub use params::Params;
pub use parse::{Carriage, Received, receive};
pub use session_timer::SessionTimerConfig;
pub use status::StatusCode;
pub use transaction::{
    ClientId, LoopGuard, ServerId, Target, TransactionConfig, TransactionError, TransactionEvent, TransactionId,
    TransactionLayer, Transmit, Verdict,
};
pub use ua::{
    CallError, CallEvent, Description, DialogHandle, DialogState, EndCause, LegId, Refusal, SessionInterval, UserAgent,
    UserAgentConfig,
};
pub use uri::{Host, OtherUri, SipUri, Uri, UriMalformed};
