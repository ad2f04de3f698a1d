//! One Binding request: is it valid, and what is answered (RFC 8489 §6.3, §9.1.3, RFC 8445 §7.3).

use std::net::SocketAddr;

use super::StunVerdict;
use super::generation::ufrag_digest;
use crate::Credentials;
use crate::stun::{BINDING, Encoder, Message, MessageClass, attribute};

/// Unknown attributes named in a 420; a request may hold far more.
const MAX_UNKNOWN: usize = 8;

/// Header, ERROR-CODE, UNKNOWN-ATTRIBUTES, MESSAGE-INTEGRITY, FINGERPRINT. A success response to IPv6 needs 76.
pub(super) const MAX_RESPONSE: usize = 20 + 8 + (4 + 2 * MAX_UNKNOWN) + 24 + 8;

/// A Binding request, not authenticated yet.
pub(super) struct Request<'a> {
    message: &'a Message<'a>,
}

/// A request whose integrity has verified.
pub(super) struct User<'a> {
    credentials: &'a Credentials,
    former: bool,
    /// The peer's ufrag.
    peer: u64,
}

/// A valid check.
pub(super) struct Check {
    /// Made with our credentials from before the restart.
    pub(super) former: bool,
    /// [Digest](ufrag_digest) of the peer's ufrag, as the peer names it.
    pub(super) peer: u64,
    /// `None`: the request has no PRIORITY.
    pub(super) priority: Option<u32>,
    pub(super) use_candidate: bool,
}

/// Why a request is no valid check.
pub(super) enum Refusal<'a> {
    /// Nothing is answered.
    Silent(StunVerdict),
    /// Answered without integrity, and only if the answer is no longer than the request.
    Unauthenticated(StunVerdict, u16),
    /// Answered with integrity.
    Authenticated(StunVerdict, u16, &'a Credentials),
}

impl Refusal<'_> {
    pub(super) fn verdict(&self) -> StunVerdict {
        match *self {
            Self::Silent(verdict) | Self::Unauthenticated(verdict, _) | Self::Authenticated(verdict, ..) => verdict,
        }
    }
}

impl<'a> Request<'a> {
    /// `Err` for messages that are no Binding request.
    pub(super) fn of(message: &'a Message<'a>) -> Result<Self, StunVerdict> {
        match (message.method(), message.class()) {
            (BINDING, MessageClass::Request) => Ok(Self { message }),
            (BINDING, MessageClass::Indication) => Err(StunVerdict::Keepalive),
            _ => Err(StunVerdict::Ignored),
        }
    }

    /// The cheap look at the ufrag first, then the HMAC, then the FINGERPRINT.
    pub(super) fn authenticate<'c>(
        &self,
        current: &'c Credentials,
        former: Option<&'c Credentials>,
    ) -> Result<User<'c>, Refusal<'c>> {
        let username = self.message.attribute(attribute::USERNAME);
        if username.is_none() || !self.message.has_integrity() {
            return Err(Refusal::Unauthenticated(StunVerdict::Incomplete, 400));
        }
        let unknown = Refusal::Unauthenticated(StunVerdict::UnknownUser, 401);
        let Some((ours, theirs)) = self.message.username() else { return Err(unknown) };
        let (credentials, is_former) = match former {
            _ if ours == current.ufrag.as_bytes() => (current, false),
            Some(former) if ours == former.ufrag.as_bytes() => (former, true),
            _ => return Err(unknown),
        };
        if !self.message.verify_integrity(&credentials.pwd) {
            return Err(Refusal::Unauthenticated(StunVerdict::BadIntegrity, 401));
        }
        if !self.message.verify_fingerprint() {
            return Err(Refusal::Silent(StunVerdict::Malformed));
        }
        Ok(User { credentials, former: is_former, peer: ufrag_digest(theirs) })
    }

    /// What RFC 8489 §6.3.1 and RFC 8445 §7.3.1.1 ask of an authenticated request.
    pub(super) fn check<'c>(&self, user: User<'c>) -> Result<Check, Refusal<'c>> {
        let refuse = |verdict, code| Err(Refusal::Authenticated(verdict, code, user.credentials));
        if self.message.unknown_attributes().next().is_some() {
            return refuse(StunVerdict::UnknownAttribute, 420);
        }
        let priority = self.message.priority();
        if priority.is_none() && self.message.attribute(attribute::PRIORITY).is_some() {
            return refuse(StunVerdict::Incomplete, 400);
        }
        if self.message.attribute(attribute::ICE_CONTROLLED).is_some() {
            // A lite agent is always controlled (RFC 8445 §6.1.1): the peer has to change.
            return refuse(StunVerdict::RoleConflict, 487);
        }
        Ok(Check { former: user.former, peer: user.peer, priority, use_candidate: self.message.use_candidate() })
    }

    pub(super) fn write_success(&self, source: SocketAddr, password: &str, response: &mut [u8]) -> Option<usize> {
        let mut encoder = self.response(MessageClass::Success, response);
        encoder.xor_mapped_address(source).integrity(password).fingerprint().finish()
    }

    pub(super) fn write_refusal(&self, refusal: &Refusal<'_>, response: &mut [u8]) -> Option<usize> {
        match *refusal {
            Refusal::Silent(_) => None,
            Refusal::Unauthenticated(_, code) => {
                // Whoever forges a source address gains nothing by us.
                let room = response.len().min(self.message.len());
                let mut encoder = self.response(MessageClass::Error, response.get_mut(..room)?);
                encoder.error_code(code).fingerprint().finish()
            }
            Refusal::Authenticated(_, code, credentials) => {
                let mut encoder = self.response(MessageClass::Error, response);
                encoder.error_code(code);
                if code == 420 {
                    let mut types = [0; 2 * MAX_UNKNOWN];
                    let mut len = 0;
                    for (place, unknown) in types.as_chunks_mut().0.iter_mut().zip(self.message.unknown_attributes()) {
                        *place = unknown.to_be_bytes();
                        len += 2;
                    }
                    encoder.attribute(attribute::UNKNOWN_ATTRIBUTES, types.get(..len)?);
                }
                encoder.integrity(&credentials.pwd).fingerprint().finish()
            }
        }
    }

    fn response<'b>(&self, class: MessageClass, response: &'b mut [u8]) -> Encoder<'b> {
        Encoder::new(response, class, BINDING, self.message.transaction_id())
    }
}
