//! HTTP Digest for SIP, both sides (RFC 3261 §22, RFC 7616, RFC 8760).

mod algorithm;
mod client;
mod credentials;
mod failures;
mod nonce;
mod server;
mod values;

pub use algorithm::{DigestAlgorithm, Ha1, HashAlgorithm};
pub use client::{Account, AnswerError, DigestPolicy, DigestSession, PeerProof};
pub use credentials::{AuthenticationInfo, Challenge, Counted, Credentials, Qop};
pub use failures::FailureLimit;
pub use server::{
    Accepted, Authenticator, DigestFault, DigestServer, DigestServerConfig, StaleNonce, UserTable, Verification,
};
