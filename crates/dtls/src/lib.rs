//! DTLS-SRTP endpoints on BoringSSL (RFC 5763, RFC 5764, RFC 8842), DTLS 1.2 and 1.3, both roles.
//!
//! ```text
//!              ClientHellos, flights, noise
//!                         │ handle_datagram(now, source, standing, …)
//!          guard::Survey  │ well-formed records only; plaintext alerts are set aside
//!                         ▼
//!   Endpoint ── admission: at most four tentative associations
//!        ├── Association ── guard::Guard ── engine      Waiting ──► Keyed ──► Over (Closed)
//!        ├── Association ── …                               └─────────────────► Over (Failed)
//!        ▼
//!   poll_transmit, poll_event, poll_timeout
//! ```
//!
//! # Contract
//! * One [`Endpoint`] is one transport and one DTLS generation. Another generation (RFC 8842) is another endpoint.
//! * After every `start`, `retarget`, `handle_datagram` and `handle_timeout`: `poll_transmit` and `poll_event` until they
//!   give `None`, then `poll_timeout`. `now` never goes back. Nothing here blocks or reads a clock: BoringSSL's timers
//!   run on `now`.
//! * Noise on the wire is never an `Err`. The only errors are ours, and they come from making things.
//! * There is one [`EndpointEvent::Keyed`] or one [`EndpointEvent::Failed`], never both. `Keyed` says that the handshake
//!   is complete, that the certificate matched a fingerprint of the strongest signalled hash, that both sides presented
//!   one, that a profile was agreed on, and with DTLS 1.2 that the master secret is an extended one (RFC 7627).
//! * Keep the endpoint after `Keyed`: the peer may have missed our last flight, and gets it again.
//!
//! # Who fails whom
//! * A mismatch of the fingerprint ends its association with `bad_certificate`. Over [`Standing::Validated`] the endpoint
//!   fails at once, else at the deadline if no other association was complete by then.
//! * Other failures from a source with standing fail the endpoint a second later, unless the peer has begun anew.
//! * Failures of sources without standing end their own association. At the deadline the most telling failure is told,
//!   or `HandshakeTimeout` if there was none.
//! * Plaintext alerts never reach the engine, since anybody can forge one. One from a source with standing is believed
//!   when the source says nothing else for a second. Where a source has several associations (its ClientHellos had
//!   different randoms) each gets what comes from there, and none sends its alert while another lives.
//! * [`Standing::Unproven`] sources are sent at most three times the bytes that came from them, until the handshake is
//!   complete. A small DTLS 1.2 ClientHello must come twice before the whole answer may go.
//!
//! # After the handshake
//! Tickets are off and nothing is resumed. Application data is thrown away. KeyUpdate, ACKs and tickets of DTLS 1.3 are
//! dealt with and change no SRTP key. The ClientHello of a DTLS 1.2 renegotiation gets no answer at all: BoringSSL would
//! refuse it with a fatal alert, and a peer that hears it ends its media; without an answer it keeps its old keys. Keys
//! change by a new association, which signalling asks for.

mod association;
mod context;
mod endpoint;
mod engine;
mod ffi;
pub mod guard;
mod identity;

pub use context::Versions;
pub use endpoint::{Endpoint, EndpointConfig, EndpointEvent, Keyed, Standing, Transmit, Verdict};
pub use identity::{Error, Identity};
