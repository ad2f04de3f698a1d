//! The client's side: answers to challenges (RFC 3261 §22.1 to §22.3, RFC 8760 §2.4).

use super::algorithm::{Computation, Ha1, HashAlgorithm, session_key};
use super::credentials::{AuthenticationInfo, Challenge, Counted, Credentials, Qop};
use super::server::Authenticator;
use crate::tokens::Tokens;
use crate::{Method, Request, Response};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Challenges that are answered in one request, and rounds of challenge and answer for one request.
const MAX_ANSWERS: usize = 8;
const MAX_ROUNDS: u8 = 4;

/// A name and a password for one realm, or for any. Wiped on drop, without Debug.
#[derive(Clone)]
pub struct Account {
    /// `None`: for whatever realm asks. Only for a peer that is known by other means.
    pub realm: Option<String>,
    /// The name.
    pub username: String,
    /// The password.
    pub password: Zeroizing<String>,
}

/// What the client agrees to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigestPolicy {
    /// Whether MD5 is answered; without it such a challenge is passed over (RFC 8760 §3: what a man in the middle leaves).
    pub allow_md5: bool,
    /// `auth-int` where both are offered.
    pub prefer_integrity: bool,
}

impl Default for DigestPolicy {
    fn default() -> Self {
        Self { allow_md5: true, prefer_integrity: false }
    }
}

/// What one Call-ID has learnt: nonces and their counts. Not to be shared between calls (RFC 3261 §22.3).
pub struct DigestSession {
    policy: DigestPolicy,
    tokens: Tokens,
    contexts: Vec<Context>,
    rounds: u8,
}

struct Context {
    authenticator: Authenticator,
    challenge: Challenge,
    qop: Option<Qop>,
    cnonce: String,
    /// Requests sent with this nonce.
    nc: u32,
    /// Answered to a challenge of the present request, so that another challenge means a wrong password.
    fresh: bool,
}

/// Why a challenge is not answered: the 401 or 407 is the final response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerError {
    /// The response holds no challenge that can be answered.
    NotUnderstood,
    /// There is no account for any of its realms.
    NoAccount,
    /// The credentials were answered to a challenge of this request and rejected: they must not be tried again.
    Rejected,
    /// The peer keeps calling nonces stale.
    TooManyRounds,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUnderstood => "no challenge that can be answered",
            Self::NoAccount => "no account for the realm",
            Self::Rejected => "credentials rejected",
            Self::TooManyRounds => "challenged too often",
        })
    }
}

impl std::error::Error for AnswerError {}

/// What Authentication-Info said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerProof {
    /// Nothing; most servers do not.
    Absent,
    /// The server knows the password.
    Verified,
    /// It does not, or the response was changed on its way: do not trust it.
    Mismatch,
}

impl DigestSession {
    /// Nothing learnt yet.
    pub fn new(policy: DigestPolicy, seed: [u8; 32]) -> Self {
        Self { policy, tokens: Tokens::new(seed), contexts: Vec::new(), rounds: 0 }
    }

    /// Puts credentials into a request that answers a 401 or 407 to it. Per realm the topmost challenge that is understood is
    /// answered, and others of the same realm only where equal algorithms show that they are other servers' (RFC 8760 §2.4).
    /// The caller then takes out the Via, counts CSeq up and sends the request as a new one (RFC 3261 §22.2).
    pub fn answer(
        &mut self,
        accounts: &[Account],
        request: &mut Request,
        response: &Response,
    ) -> Result<(), AnswerError> {
        let mut chosen: Vec<(Authenticator, Challenge)> = Vec::new();
        for authenticator in [Authenticator::User, Authenticator::Proxy] {
            for value in response.headers.values(authenticator.challenge_name()) {
                let Some(challenge) = Challenge::parse(&value).filter(|challenge| self.agrees_to(challenge)) else {
                    continue;
                };
                let same_realm = |(other, own): &&(Authenticator, Challenge)| {
                    *other == authenticator && own.realm == challenge.realm
                };
                let top = chosen.iter().find(same_realm).map(|(_, own)| own.algorithm);
                let repeated = chosen.iter().filter(same_realm).any(|(_, own)| own.nonce == challenge.nonce);
                if top.is_none_or(|top| top == challenge.algorithm) && !repeated && chosen.len() < MAX_ANSWERS {
                    chosen.push((authenticator, challenge));
                }
            }
        }
        if chosen.is_empty() {
            return Err(AnswerError::NotUnderstood);
        }
        if self.rounds >= MAX_ROUNDS {
            return Err(AnswerError::TooManyRounds);
        }
        chosen.retain(|(_, challenge)| account(accounts, &challenge.realm).is_some());
        if chosen.is_empty() {
            return Err(AnswerError::NoAccount);
        }
        let rejected = chosen.iter().any(|(authenticator, challenge)| {
            !challenge.stale
                && self.contexts.iter().any(|own| own.fresh && own.is_for(*authenticator, &challenge.realm))
        });
        if rejected {
            return Err(AnswerError::Rejected);
        }
        self.rounds += 1;
        for (authenticator, challenge) in &chosen {
            self.contexts.retain(|own| !own.is_for(*authenticator, &challenge.realm));
        }
        for (authenticator, challenge) in chosen {
            let qop = self.choose_qop(&challenge);
            let cnonce = self.tokens.token();
            self.contexts.push(Context { authenticator, challenge, qop, cnonce, nc: 0, fresh: true });
        }
        self.write_credentials(accounts, request);
        Ok(())
    }

    /// Puts credentials for all that was learnt into a new request of the same Call-ID. Not for ACK, which repeats those of
    /// its INVITE, nor for CANCEL.
    pub fn authorize(&mut self, accounts: &[Account], request: &mut Request) {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return;
        }
        self.rounds = 0;
        for context in &mut self.contexts {
            context.fresh = false;
        }
        self.write_credentials(accounts, request);
    }

    /// Checks rspauth in a final response to a request that [`DigestSession::answer`] or [`DigestSession::authorize`] wrote,
    /// and takes up nextnonce if it is proven.
    pub fn check_proof(&mut self, accounts: &[Account], request: &Request, response: &Response) -> PeerProof {
        let mut proof = PeerProof::Absent;
        for authenticator in [Authenticator::User, Authenticator::Proxy] {
            let Some(value) = response.headers.value(authenticator.info_name()) else { continue };
            let Some(info) = AuthenticationInfo::parse(&value) else { return PeerProof::Mismatch };
            let Some(rspauth) = info.rspauth.as_deref() else { continue };
            // Which of several servers speaks is shown by the nonce it proves.
            let proven = request
                .headers
                .values(authenticator.credentials_name())
                .filter_map(|value| Credentials::parse(&value))
                .find(|credentials| {
                    let expected = account(accounts, &credentials.realm)
                        .and_then(|account| expected_rspauth(account, credentials, response.body()));
                    expected.is_some_and(|expected| bool::from(expected.as_bytes().ct_eq(rspauth.as_bytes())))
                });
            let Some(credentials) = proven else { return PeerProof::Mismatch };
            proof = PeerProof::Verified;
            let own = self.contexts.iter_mut().find(|own| own.challenge.nonce == credentials.nonce);
            if let (Some(own), Some(next)) = (own, info.nextnonce) {
                own.challenge.nonce = next;
                own.nc = 0;
            }
        }
        proof
    }

    fn agrees_to(&self, challenge: &Challenge) -> bool {
        self.policy.allow_md5 || challenge.algorithm.hash != HashAlgorithm::Md5
    }

    fn choose_qop(&self, challenge: &Challenge) -> Option<Qop> {
        let preferred = if self.policy.prefer_integrity { Qop::AuthInt } else { Qop::Auth };
        challenge.qop.iter().find(|qop| **qop == preferred).or(challenge.qop.first()).copied()
    }

    fn write_credentials(&mut self, accounts: &[Account], request: &mut Request) {
        for authenticator in [Authenticator::User, Authenticator::Proxy] {
            let header = authenticator.credentials_name();
            if self.contexts.iter().any(|own| own.authenticator == authenticator) {
                request.headers.remove(header);
            }
            for context in self.contexts.iter_mut().filter(|own| own.authenticator == authenticator) {
                if let Some(account) = account(accounts, &context.challenge.realm) {
                    let credentials = context.credentials(account, request);
                    request.headers.push(header, credentials);
                }
            }
        }
    }
}

impl Context {
    fn is_for(&self, authenticator: Authenticator, realm: &str) -> bool {
        self.authenticator == authenticator && self.challenge.realm == realm
    }

    fn credentials(&mut self, account: &Account, request: &Request) -> Credentials {
        self.nc = self.nc.saturating_add(1);
        let Challenge { realm, nonce, opaque, algorithm, .. } = self.challenge.clone();
        let ha1 = Ha1::new(algorithm.hash, &account.username, &realm, &account.password);
        let key = session_key(algorithm, &ha1, &nonce, &self.cnonce);
        let uri = request.uri_text();
        let nc = format!("{:08x}", self.nc);
        let response = Computation {
            algorithm,
            key: &key,
            nonce: &nonce,
            counted: self.qop.map(|qop| (nc.as_str(), self.cnonce.as_str(), qop)),
            method: request.method().as_str(),
            uri: &uri,
            body: request.body(),
        }
        .response();
        let counted = self.qop.map(|qop| Counted { qop, cnonce: self.cnonce.clone(), nc: self.nc });
        Credentials { username: account.username.clone(), realm, nonce, uri, response, algorithm, opaque, counted }
    }
}

/// An account of this realm, else one for any.
fn account<'a>(accounts: &'a [Account], realm: &str) -> Option<&'a Account> {
    let of = |wanted: Option<&str>| accounts.iter().find(|account| account.realm.as_deref() == wanted);
    of(Some(realm)).or_else(|| of(None))
}

fn expected_rspauth(account: &Account, credentials: &Credentials, body: &[u8]) -> Option<String> {
    let Counted { qop, cnonce, nc } = credentials.counted.as_ref()?;
    let ha1 = Ha1::new(credentials.algorithm.hash, &account.username, &credentials.realm, &account.password);
    let key = session_key(credentials.algorithm, &ha1, &credentials.nonce, cnonce);
    let nc = format!("{nc:08x}");
    let computation = Computation {
        algorithm: credentials.algorithm,
        key: &key,
        nonce: &credentials.nonce,
        counted: Some((&nc, cnonce, *qop)),
        method: "",
        uri: &credentials.uri,
        body,
    };
    Some(computation.response())
}
