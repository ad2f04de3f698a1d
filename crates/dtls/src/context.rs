//! How engines are set up: versions, groups, ciphers, and the checks that run inside the handshake.

use std::sync::OnceLock;

use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::pkey::{PKey, Private};
use boring::ssl::{
    ClientHello, ExtensionType, SelectCertError, Ssl, SslAlert, SslContext, SslOptions, SslRef, SslSessionCacheMode,
    SslVerifyError, SslVerifyMode, SslVersion,
};
use control::{Fingerprint, HashAlgorithm, Profile, TransportFailure};

use crate::identity::fingerprint_of;
use crate::{Error, ffi};

/// With the hybrid first: browsers send its share in their first ClientHello.
const GROUPS: &str = "X25519MLKEM768:X25519:P-256:P-384";

/// X25519 (RFC 8446 §4.2.7): what our own first ClientHello has a share of. With one of the hybrid it would need two
/// datagrams, and a server that cannot put them together speaks only DTLS 1.2, where shares mean nothing. A server of
/// DTLS 1.3 that prefers the hybrid asks for its share by a HelloRetryRequest.
pub(crate) const FIRST_SHARE: u16 = 0x001d;

/// For 1.2: forward secrecy always (RFC 8827 §6.5); RSA ones for peers whose certificate is RSA. The two with CBC are
/// for old telephones, and protect nothing but the handshake's own Finished.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA";

/// Versions that may be negotiated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Versions {
    /// DTLS 1.3, or 1.2 with a peer that has no more.
    #[default]
    Both,
    /// DTLS 1.2 alone.
    Dtls12,
    /// DTLS 1.3 alone.
    Dtls13,
}

/// What the checks inside a handshake have found, kept with its engine.
pub(crate) struct Findings {
    /// All of one hash function.
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// Set once the peer's certificate has matched one of them.
    pub(crate) matched: Option<HashAlgorithm>,
    /// Why a check ended the handshake.
    pub(crate) failure: Option<TransportFailure>,
}

/// Where an engine keeps its findings.
pub(crate) fn findings_index() -> Result<Index<Ssl, Findings>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Findings>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

/// Those of the profiles that DTLS-SRTP can negotiate, in BoringSSL's words.
fn profile_names(profiles: &[Profile]) -> String {
    let names: Vec<_> = profiles.iter().filter_map(|profile| profile_name(*profile)).collect();
    names.join(":")
}

fn profile_name(profile: Profile) -> Option<&'static str> {
    match profile {
        Profile::AesCm128HmacSha1_80 => Some("SRTP_AES128_CM_SHA1_80"),
        Profile::AesCm128HmacSha1_32 => Some("SRTP_AES128_CM_SHA1_32"),
        Profile::AeadAes128Gcm => Some("SRTP_AEAD_AES_128_GCM"),
        Profile::AeadAes256Gcm => Some("SRTP_AEAD_AES_256_GCM"),
        // AES-192 and AES-256 counter mode have no DTLS identifier; NULL has one, and must never be agreed on.
        _ => None,
    }
}

pub(crate) fn build(
    certificate: &[u8],
    key: &PKey<Private>,
    profiles: &[Profile],
    versions: Versions,
) -> Result<SslContext, Error> {
    let names = profile_names(profiles);
    if names.is_empty() {
        return Err(Error::NoProfiles);
    }
    let (lowest, highest) = match versions {
        Versions::Both => (SslVersion::DTLS1_2, SslVersion::DTLS1_3),
        Versions::Dtls12 => (SslVersion::DTLS1_2, SslVersion::DTLS1_2),
        Versions::Dtls13 => (SslVersion::DTLS1_3, SslVersion::DTLS1_3),
    };
    let mut context = SslContext::builder(ffi::method())?;
    context.set_min_proto_version(Some(lowest))?;
    context.set_max_proto_version(Some(highest))?;
    context.set_strict_cipher_list(CIPHERS)?;
    context.set_curves_list(GROUPS)?;
    ffi::set_certificate(&mut context, certificate, key)?;
    context.set_tlsext_use_srtp(&names)?;
    // Every association stands alone: a resumed one would skip the certificate, and with it the fingerprint check.
    context.set_options(SslOptions::NO_TICKET);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_custom_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, verify);
    let ids: Vec<u16> = profiles.iter().filter(|p| profile_name(**p).is_some()).filter_map(|p| p.dtls_id()).collect();
    context.set_select_certificate_callback(move |hello| check_use_srtp(hello, &ids));
    ffi::install_clock(&mut context);
    ffi::install_certificate_request_note(&mut context);
    Ok(context.build())
}

/// The certificate must match one fingerprint of the strongest hash that was signalled (RFC 8122 §5). Nothing else of
/// it counts: it is self-signed. That the peer has its key is shown by the rest of the handshake.
fn verify(ssl: &mut SslRef) -> Result<(), SslVerifyError> {
    let refused = || SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE);
    let index = findings_index().map_err(|_| refused())?;
    let hash = ssl.ex_data(index).and_then(|findings| findings.fingerprints.first()).map(Fingerprint::hash);
    let certificate = ffi::peer_certificate(ssl);
    let presented = certificate.zip(hash).and_then(|(certificate, hash)| fingerprint_of(certificate, hash).ok());
    let findings = ssl.ex_data_mut(index).ok_or_else(refused)?;
    match presented {
        Some(presented) if findings.fingerprints.contains(&presented) => {
            findings.matched = Some(presented.hash());
            Ok(())
        }
        _ => {
            findings.failure = Some(TransportFailure::FingerprintMismatch);
            Err(refused())
        }
    }
}

/// As server: without a profile that both allow there is nothing to hand-shake for (RFC 5764 §4.1.1).
fn check_use_srtp(mut hello: ClientHello<'_>, ours: &[u16]) -> Result<(), SelectCertError> {
    let failure = match hello.get_extension(ExtensionType::SRTP) {
        None => TransportFailure::NoUseSrtp,
        Some(extension) => {
            let listed = extension.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
            let list = extension.get(2..).unwrap_or_default();
            let list = list.get(..listed).unwrap_or_default();
            let shared = list.chunks_exact(2).any(|id| ours.iter().any(|our| our.to_be_bytes() == id));
            if shared {
                return Ok(());
            }
            TransportFailure::NoCommonProfile
        }
    };
    let index = findings_index().map_err(|_| SelectCertError::ERROR)?;
    if let Some(findings) = hello.ssl_mut().ex_data_mut(index) {
        findings.failure = Some(failure);
    }
    Err(SelectCertError::ERROR)
}
