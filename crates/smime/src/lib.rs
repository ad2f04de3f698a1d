//! S/MIME bodies in SIP (RFC 3261 §23, RFC 8591, RFC 8551): opened and judged where they come in, signed and sealed where they go out.
//!
//! Sans-IO: bodies in, bodies out. Time is an argument, randomness comes from a seed.
//!
//! # Coming in
//!
//! [`Smime::receive`] takes off up to [`MAX_LAYERS`] layers of signing and encrypting. What it gives back is the
//! innermost body and [`Facts`]. A signature that proves nothing is a fact ([`Signature::Unverified`]) and no refusal:
//! what to do about it is policy. A body that cannot be read is a [`Refusal`], for which [`Smime::reply`] has the answer: 493
//! with our certificate, 415 with Accept.
//!
//! [`Signature::Verified`] says that the sender's certificate is trusted and the sender's, and that its key signed the body.
//! It does not say for which call, and a stranger may send a signed body again within [`SmimeConfig::max_age`]. Of the
//! ciphers, only AES-GCM notices changes; a body that came in CBC and is not signed inside may not be what was sent.
//!
//! ```
//! use sallyport_smime::{Handling, Smime, SmimeConfig, SmimeOutcome};
//! use sip::{Body, Uri};
//! use std::time::SystemTime;
//!
//! let smime = Smime::new(SmimeConfig::default(), [7; 32])?;
//! let alice: Uri = "sip:alice@example.com".parse()?;
//! match smime.receive(SystemTime::UNIX_EPOCH, &Body::sdp("v=0\r\n"), Handling::Required, &alice) {
//!     SmimeOutcome::Received(received) => assert_eq!(received.facts.signature.label(), "none"),
//!     SmimeOutcome::Ignored(_) => println!("as if there were no body"),
//!     SmimeOutcome::Refused(refusal) => println!("{:?}", smime.reply(refusal, &alice).status),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Going out
//!
//! Whoever changes a body (its session description, mostly) has received it without its layers, and puts new ones around it
//! with [`Smime::send`]. No signature of somebody else's is ever passed on.
//!
//! # What is taken
//!
//! | | read | written |
//! |---|---|---|
//! | signatures | RSA PKCS #1 v1.5, RSASSA-PSS, ECDSA (P-256, P-384); SHA-256, SHA-384, SHA-512; detached and opaque | the same with SHA-256, detached |
//! | contents | AES-128 and AES-256, CBC and GCM | the same |
//! | keys of contents | RSAES-OAEP, RSAES-PKCS1-v1_5, ephemeral ECDH with AES key wrap | the same, ECDH with SHA-256 |
//!
//! SHA-1 and MD5 are refused by their names in signatures and chains.
//!
//! # Bounds
//!
//! Everything that is read has a cap ([`MAX_BODY_BYTES`], [`MAX_LAYERS`], [`MAX_CERTIFICATES`], [`MAX_SIGNERS`],
//! [`MAX_RECIPIENTS`]). A layer costs at most one operation with a private key, which is milliseconds with a long RSA key:
//! who lets strangers send bodies limits how many.

mod asn1;
mod ber;
mod certificate;
mod enveloped;
mod facts;
mod hash;
mod identity;
mod limits;
mod mime;
mod oid;
mod outcome;
mod padding;
mod recipient;
mod signature;
mod signed;
mod smime;
mod trust;

pub use certificate::{Certificate, KeyKind};
pub use facts::{
    ContentCipher, Encryption, Facts, KeyManagement, Signature, SignatureAlgorithm, Undecipherable, Unverified,
};
pub use identity::{Misconfigured, OwnIdentity};
pub use limits::{MAX_BODY_BYTES, MAX_CERTIFICATES, MAX_LAYERS, MAX_RECIPIENTS, MAX_SIGNERS};
pub use outcome::{Handling, Received, Refusal, Reply, SmimeOutcome};
pub use recipient::RsaKeyTransport;
pub use smime::{CONTENT_DISPOSITION, Layering, SendError, SendPolicy, Smime, SmimeConfig};
pub use trust::PeerCertificate;
