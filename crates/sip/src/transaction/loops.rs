//! Loop detection by what our own Via says (RFC 5393 §4.2).

use crate::tokens::hex;
use crate::{Request, SentBy, name};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Makes a token of everything that decides where a request goes, which the branch of the request that carries it on then
/// holds. A request that comes back with our Via and an equal token would go the same way again: a loop. With another token
/// (another Request-URI, for example) it is a spiral, which is allowed.
///
/// Call-ID and tags are no part of the token: a back-to-back user agent changes them, and a Via of ours already ties the
/// two requests together. A loop through an agent that removes our Via is ended by Max-Forwards.
pub struct LoopGuard {
    secret: [u8; 32],
}

impl LoopGuard {
    /// A guard with a random secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The token of a request as it came.
    pub fn token(&self, request: &Request) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        mac.update(request.uri_text().as_bytes());
        for name in [name::ROUTE, name::PROXY_REQUIRE, name::PROXY_AUTHORIZATION] {
            for value in request.headers.values(name) {
                mac.update(b"\n");
                mac.update(value.as_bytes());
            }
            mac.update(b"\r");
        }
        let digest = mac.finalize().into_bytes();
        hex(digest.get(..8).unwrap_or(&digest))
    }

    /// Whether the request has been here and would go the same way: answer it with 482.
    pub fn detects(&self, request: &Request, own: &[SentBy]) -> bool {
        let Ok(vias) = request.headers.vias() else { return false };
        let token = self.token(request);
        vias.iter().any(|via| {
            own.iter().any(|own| own.is_equivalent(&via.sent_by))
                && via.branch().and_then(|branch| branch.rsplit_once('.')).is_some_and(|(_, own)| own == token)
        })
    }
}
