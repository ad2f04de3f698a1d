//! The side that asks. A lite agent never does; its tests and the peers in them do.

use std::net::SocketAddr;

use super::{BINDING, Encoder, Message, MessageClass, TransactionId, attribute};
use crate::Credentials;

/// A connectivity check (RFC 8445 §7.2.2).
#[derive(Clone, Copy)]
pub struct BindingRequest<'a> {
    /// Random.
    pub transaction_id: TransactionId,
    /// Of the agent that is checked: its ufrag stands first in USERNAME, its password is the key.
    pub remote: &'a Credentials,
    /// Of the agent that checks.
    pub local_ufrag: &'a str,
    /// PRIORITY.
    pub priority: u32,
    /// The role that the checking agent believes to have; `None` sends neither attribute.
    pub role: Option<Role>,
    /// USE-CANDIDATE.
    pub use_candidate: bool,
    /// SOFTWARE.
    pub software: Option<&'a str>,
}

/// An agent's role, with its tie-breaker (RFC 8445 §16.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It nominates.
    Controlling(u64),
    /// It does not.
    Controlled(u64),
}

/// Why a response proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseError {
    /// No whole Binding response with this transaction id and a right FINGERPRINT.
    NoResponse,
    /// MESSAGE-INTEGRITY is missing or wrong. An error response may well be so: then its code, not to be relied on.
    NotAuthentic(Option<u16>),
    /// An authentic error response.
    Refused(u16),
    /// A success response without an address.
    NoAddress,
}

impl BindingRequest<'_> {
    /// Writes the request; `None` when the buffer is too short.
    pub fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut encoder = Encoder::new(buffer, MessageClass::Request, BINDING, self.transaction_id);
        if let Some(software) = self.software {
            encoder.attribute(attribute::SOFTWARE, software.as_bytes());
        }
        encoder.username(&self.remote.ufrag, self.local_ufrag);
        encoder.attribute(attribute::PRIORITY, &self.priority.to_be_bytes());
        match self.role {
            Some(Role::Controlling(tie_breaker)) => {
                encoder.attribute(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes());
            }
            Some(Role::Controlled(tie_breaker)) => {
                encoder.attribute(attribute::ICE_CONTROLLED, &tie_breaker.to_be_bytes());
            }
            None => {}
        }
        if self.use_candidate {
            encoder.attribute(attribute::USE_CANDIDATE, &[]);
        }
        encoder.integrity(&self.remote.pwd).fingerprint().finish()
    }
}

/// Verifies the response to a [`BindingRequest`]: the address that the peer saw. `password` is that of the request.
pub fn decode_binding_response(
    bytes: &[u8],
    transaction_id: TransactionId,
    password: &str,
) -> Result<SocketAddr, ResponseError> {
    let message = Message::decode(bytes)
        .filter(|message| message.method() == BINDING && message.transaction_id() == transaction_id)
        .filter(|message| matches!(message.class(), MessageClass::Success | MessageClass::Error))
        .filter(Message::verify_fingerprint)
        .ok_or(ResponseError::NoResponse)?;
    if !message.verify_integrity(password) {
        return Err(ResponseError::NotAuthentic(message.error_code()));
    }
    if message.class() == MessageClass::Error {
        return Err(ResponseError::Refused(message.error_code().unwrap_or(0)));
    }
    message.xor_mapped_address().ok_or(ResponseError::NoAddress)
}
