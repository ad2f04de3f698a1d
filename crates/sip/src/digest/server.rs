//! The server's side: challenges, and the verification of credentials (RFC 3261 §22.2 to §22.4, RFC 8760 §2.3).

use super::algorithm::{Computation, DigestAlgorithm, Ha1, HashAlgorithm, session_key};
use super::credentials::{AuthenticationInfo, Challenge, Counted, Credentials, Qop};
use super::failures::network;
use super::nonce::{NonceMint, NonceState};
use crate::{Method, Request, Response, StatusCode, name};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Who asks: decides status and header names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Authenticator {
    /// A user agent server or registrar: 401, WWW-Authenticate, Authorization.
    User,
    /// A proxy: 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

impl Authenticator {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::User => StatusCode::UNAUTHORIZED,
            Self::Proxy => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        }
    }

    pub(crate) fn challenge_name(self) -> &'static str {
        match self {
            Self::User => name::WWW_AUTHENTICATE,
            Self::Proxy => name::PROXY_AUTHENTICATE,
        }
    }

    pub(crate) fn credentials_name(self) -> &'static str {
        match self {
            Self::User => name::AUTHORIZATION,
            Self::Proxy => name::PROXY_AUTHORIZATION,
        }
    }

    pub(crate) fn info_name(self) -> &'static str {
        match self {
            Self::User => name::AUTHENTICATION_INFO,
            Self::Proxy => name::PROXY_AUTHENTICATION_INFO,
        }
    }
}

/// Realm, preferences and bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestServerConfig {
    /// Whose passwords are asked for.
    pub realm: String,
    /// Who asks.
    pub authenticator: Authenticator,
    /// Most preferred first; each is offered in a header of its own. Leave MD5 out to retire it.
    pub algorithms: Vec<DigestAlgorithm>,
    /// What is offered and accepted.
    pub qop: Vec<Qop>,
    /// How long a nonce may be used.
    pub nonce_lifetime: Duration,
    /// Nonces whose counts are remembered at one time.
    pub max_nonces: usize,
}

impl DigestServerConfig {
    /// SHA-512-256, SHA-256 and MD5 in this order; `auth`; nonces for five minutes; 16384 of them.
    pub fn new(realm: &str) -> Self {
        Self {
            realm: realm.to_owned(),
            authenticator: Authenticator::User,
            algorithms: vec![DigestAlgorithm::SHA_512_256, DigestAlgorithm::SHA_256, DigestAlgorithm::MD5],
            qop: vec![Qop::Auth],
            nonce_lifetime: Duration::from_secs(300),
            max_nonces: 16384,
        }
    }
}

/// Where users are looked up.
pub trait UserTable {
    /// The user's HA1 for one hash; `None` if there is no such user or no HA1 for this hash.
    fn ha1(&self, username: &str, realm: &str, hash: HashAlgorithm) -> Option<Ha1>;
}

/// One realm.
pub struct DigestServer {
    config: DigestServerConfig,
    mint: NonceMint,
    /// Stands in for the HA1 of users that do not exist, so that they cost the same.
    nobody: Zeroizing<String>,
}

/// What [`DigestServer::verify`] found.
pub enum Verification {
    /// An ACK or a CANCEL: neither can be challenged (RFC 3261 §22.1).
    Exempt,
    /// The user is who it says.
    Accepted(Box<Accepted>),
    /// No credentials for this realm: challenge.
    Missing,
    /// The nonce is not right, and the digest is or was not looked at: challenge with `stale`. No failed login.
    Stale(StaleNonce),
    /// Challenge without `stale`, and count a failed login.
    Rejected(DigestFault),
}

/// Why a nonce cannot be used. One that is older than two lifetimes counts as unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StaleNonce {
    /// Older than its lifetime.
    Expired,
    /// Not one of ours.
    Unknown,
    /// This count was used, is older than the last 64, or is 0: a replay, or a client that does not count.
    CountReused,
}

/// Why credentials are refused. Wrong password and unknown user are one and the same to everybody but the operator's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestFault {
    /// Not Digest by its grammar.
    Malformed,
    /// An algorithm that is not offered: MD5 after it was retired, for example.
    AlgorithmNotOffered(DigestAlgorithm),
    /// Without qop, or with one that is not offered.
    QopNotOffered,
    /// The response is wrong, or the user unknown.
    Mismatch,
}

/// A user that has shown its password.
pub struct Accepted {
    /// Who.
    pub username: String,
    /// By what: count those that still use MD5.
    pub algorithm: DigestAlgorithm,
    /// Whether digest-uri is not the Request-URI: legitimate after forwarding, so for the log only.
    pub uri_differs: bool,
    credentials: Credentials,
    counted: Counted,
    key: Zeroizing<String>,
    /// Of its nonce.
    scope: String,
}

impl DigestServer {
    /// A realm with secrets of its own; they are lost with it, and its nonces become stale.
    pub fn new(config: DigestServerConfig, now: Instant, seed: [u8; 32]) -> Self {
        let mint = NonceMint::new(now, config.nonce_lifetime, config.max_nonces, seed);
        let nobody = Zeroizing::new(HashAlgorithm::Sha256.hash(&[&seed, b"nobody"]));
        Self { config, mint, nobody }
    }

    /// The realm's configuration.
    pub fn config(&self) -> &DigestServerConfig {
        &self.config
    }

    /// 401 or 407 with one header for each algorithm, without a To tag.
    pub fn challenge(&mut self, now: Instant, request: &Request, stale: bool) -> Response {
        let challenges = self.challenges(now, stale);
        self.challenge_with(request, challenges)
    }

    /// The same, for this source: an IPv4 address or an IPv6 /64. Its nonce is good for [`DigestServer::verify_from`] from there alone.
    pub fn challenge_from(&mut self, now: Instant, source: IpAddr, request: &Request, stale: bool) -> Response {
        let scope = self.scope(Some(source));
        let challenges = self.challenges_within(now, &scope, stale);
        self.challenge_with(request, challenges)
    }

    fn challenge_with(&self, request: &Request, challenges: Vec<Challenge>) -> Response {
        let mut response = request.respond(self.config.authenticator.status());
        for challenge in challenges {
            response.headers.push(self.config.authenticator.challenge_name(), challenge);
        }
        response
    }

    /// What a nonce is good for.
    fn scope(&self, source: Option<IpAddr>) -> String {
        match source {
            Some(source) => format!("{} {}", self.config.realm, network(source)),
            None => self.config.realm.clone(),
        }
    }

    /// One challenge for each algorithm, most preferred first.
    pub fn challenges(&mut self, now: Instant, stale: bool) -> Vec<Challenge> {
        let scope = self.scope(None);
        self.challenges_within(now, &scope, stale)
    }

    fn challenges_within(&mut self, now: Instant, scope: &str, stale: bool) -> Vec<Challenge> {
        let nonce = self.mint.issue(now, scope);
        let challenge = |&algorithm| Challenge {
            realm: self.config.realm.clone(),
            nonce: nonce.clone(),
            opaque: None,
            stale,
            algorithm,
            qop: self.config.qop.clone(),
        };
        self.config.algorithms.iter().map(challenge).collect()
    }

    /// Verifies a request's credentials. Memory is used, and a count marked as used, only when the response is right.
    pub fn verify(&mut self, now: Instant, request: &Request, users: &impl UserTable) -> Verification {
        self.verify_within(now, None, request, users)
    }

    /// The same for a request from this source, with a nonce of [`DigestServer::challenge_from`]. The nonce is looked at first: with
    /// one that was not sent there the digest, right or wrong, is neither a login nor a failed one. Who only forges its source
    /// therefore can do neither in the name of that source.
    pub fn verify_from(
        &mut self,
        now: Instant,
        source: IpAddr,
        request: &Request,
        users: &impl UserTable,
    ) -> Verification {
        self.verify_within(now, Some(source), request, users)
    }

    fn verify_within(
        &mut self,
        now: Instant,
        source: Option<IpAddr>,
        request: &Request,
        users: &impl UserTable,
    ) -> Verification {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return Verification::Exempt;
        }
        let header = self.config.authenticator.credentials_name();
        let mut fault = None;
        let mut found = None;
        for value in request.headers.values(header) {
            match Credentials::parse(&value) {
                Some(credentials) if credentials.realm == self.config.realm => {
                    found = Some(credentials);
                    break;
                }
                Some(_) => {}
                // Another scheme is no fault: it is as if it were not there.
                None if value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("digest ")) => {
                    fault = Some(DigestFault::Malformed);
                }
                None => {}
            }
        }
        match (found, fault) {
            (Some(credentials), _) => self.verify_credentials(now, source, request, credentials, users),
            (None, Some(fault)) => Verification::Rejected(fault),
            (None, None) => Verification::Missing,
        }
    }

    fn verify_credentials(
        &mut self,
        now: Instant,
        source: Option<IpAddr>,
        request: &Request,
        credentials: Credentials,
        users: &impl UserTable,
    ) -> Verification {
        let algorithm = credentials.algorithm;
        if !self.config.algorithms.contains(&algorithm) {
            return Verification::Rejected(DigestFault::AlgorithmNotOffered(algorithm));
        }
        let Some(counted) = credentials.counted.clone().filter(|counted| self.config.qop.contains(&counted.qop)) else {
            return Verification::Rejected(DigestFault::QopNotOffered);
        };
        let scope = self.scope(source);
        let nonce = self.mint.inspect(now, &scope, &credentials.nonce);
        match nonce {
            NonceState::Expired if source.is_some() => return Verification::Stale(StaleNonce::Expired),
            NonceState::Foreign if source.is_some() => return Verification::Stale(StaleNonce::Unknown),
            _ => {}
        }
        let known = users
            .ha1(&credentials.username, &self.config.realm, algorithm.hash)
            .filter(|ha1| ha1.hash() == algorithm.hash);
        let is_known = known.is_some();
        let nobody = || Ha1::new(algorithm.hash, &credentials.username, &self.config.realm, &self.nobody);
        let ha1 = known.unwrap_or_else(nobody);
        let key = session_key(algorithm, &ha1, &credentials.nonce, &counted.cnonce);
        let nc = format!("{:08x}", counted.nc);
        let expected = Computation {
            algorithm,
            key: &key,
            nonce: &credentials.nonce,
            counted: Some((&nc, &counted.cnonce, counted.qop)),
            method: request.method().as_str(),
            uri: &credentials.uri,
            body: request.body(),
        }
        .response();
        let equal = bool::from(expected.as_bytes().ct_eq(credentials.response.as_bytes()));
        if !(equal & is_known) {
            return Verification::Rejected(DigestFault::Mismatch);
        }
        let stamp = match nonce {
            NonceState::Fresh(stamp) => stamp,
            NonceState::Expired => return Verification::Stale(StaleNonce::Expired),
            NonceState::Foreign => return Verification::Stale(StaleNonce::Unknown),
        };
        if !self.mint.is_unused(stamp, counted.nc) {
            return Verification::Stale(StaleNonce::CountReused);
        }
        self.mint.commit(now, stamp, counted.nc);
        Verification::Accepted(Box::new(Accepted {
            username: credentials.username.clone(),
            algorithm,
            uri_differs: credentials.uri != request.uri_text(),
            credentials,
            counted,
            key,
            scope,
        }))
    }

    /// Adds Authentication-Info (RFC 7615) to the final response of an accepted request: rspauth over the response's body, and
    /// with `next` a fresh nonce. A fresh nonce makes the client wait for each response before the next request: for REGISTER.
    pub fn prove(&mut self, now: Instant, accepted: &Accepted, response: &mut Response, next: bool) {
        let nc = format!("{:08x}", accepted.counted.nc);
        let rspauth = Computation {
            algorithm: accepted.algorithm,
            key: &accepted.key,
            nonce: &accepted.credentials.nonce,
            counted: Some((&nc, &accepted.counted.cnonce, accepted.counted.qop)),
            method: "",
            uri: &accepted.credentials.uri,
            body: response.body(),
        }
        .response();
        let info = AuthenticationInfo {
            nextnonce: next.then(|| self.mint.issue(now, &accepted.scope)),
            rspauth: Some(rspauth),
            cnonce: Some(accepted.counted.cnonce.clone()),
            nc: Some(nc),
            qop: Some(accepted.counted.qop),
        };
        response.headers.push(self.config.authenticator.info_name(), info);
    }
}
