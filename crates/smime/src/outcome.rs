//! What became of a body, and what its sender is told.

use sip::{Body, Headers, StatusCode, name};

use crate::asn1::Malformed;
use crate::facts::{Facts, Undecipherable};

/// What a 415 says we take (RFC 3261 §21.4.13).
pub(crate) const ACCEPT: &str =
    "application/sdp, multipart/signed, application/pkcs7-mime, application/pkcs7-signature";

/// Whether a body must be understood (RFC 3261 §20.11).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Handling {
    /// It must: what we do not understand is refused.
    #[default]
    Required,
    /// It may be passed over.
    Optional,
}

impl Handling {
    /// Reads Content-Disposition. Whoever says nothing means `required`.
    pub fn of(headers: &Headers) -> Self {
        let disposition = headers.value(name::CONTENT_DISPOSITION).unwrap_or_default();
        let is_optional = |parameter: &str| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("handling") && value.trim().eq_ignore_ascii_case("optional")
            })
        };
        if disposition.split(';').skip(1).any(is_optional) { Self::Optional } else { Self::Required }
    }
}

/// What became of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SmimeOutcome {
    /// It can be read. A signature that proves nothing is among its facts, not a refusal.
    Received(Received),
    /// It cannot be read and need not be: as if it were not there.
    Ignored(Refusal),
    /// It cannot be read and must be: see [`Smime::reply`](crate::Smime::reply).
    Refused(Refusal),
}

/// A body without its layers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// What was inside. A body that had no layers is here as it came.
    pub body: Body,
    /// What the layers were.
    pub facts: Facts,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// It is encrypted, and not so that we can open it.
    Undecipherable(Undecipherable),
    /// It is secured in a way that we do not know, carries only certificates, or has an unknown transfer encoding.
    Unsupported,
    /// It is not what its Content-Type says.
    Malformed,
    /// It has more bytes than [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES) or more layers than [`MAX_LAYERS`](crate::MAX_LAYERS).
    TooLarge,
}

impl Refusal {
    /// The status that tells the sender.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Undecipherable(_) => StatusCode::UNDECIPHERABLE,
            Self::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::MESSAGE_TOO_LARGE,
        }
    }

    /// A label of a bounded set: `undecipherable_…`, `unsupported`, `malformed`, `too_large`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Undecipherable(Undecipherable::NoKey) => "undecipherable_no_key",
            Self::Undecipherable(Undecipherable::NotForUs) => "undecipherable_not_for_us",
            Self::Undecipherable(Undecipherable::UnsupportedAlgorithm) => "undecipherable_unsupported_algorithm",
            Self::Undecipherable(Undecipherable::Malformed) => "undecipherable_malformed",
            Self::Undecipherable(Undecipherable::NotOpened) => "undecipherable_not_opened",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// What answers a request whose body was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// 493, 415, 400 or 513.
    pub status: StatusCode,
    /// The value of Accept, with 415.
    pub accept: Option<&'static str>,
    /// With 493 the certificate to encrypt to, if we have one (RFC 3261 §23.2).
    pub body: Option<Body>,
}
