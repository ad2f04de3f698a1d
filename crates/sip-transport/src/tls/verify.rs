//! Verifies the other side's chain by webpki and its name by RFC 5922.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter};

use super::{ClientAuth, PeerIdentity};

/// Chains of clients and servers.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    roots: RootCertStore,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
    client_auth: ClientAuth,
}

impl PeerVerifier {
    pub(super) fn new(roots: RootCertStore, provider: &CryptoProvider, client_auth: ClientAuth) -> Self {
        Self { subjects: roots.subjects(), roots, algorithms: provider.signature_verification_algorithms, client_auth }
    }

    fn verify_chain(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purposes: Purposes,
    ) -> Result<(), Error> {
        let (algorithms, roots) = (self.algorithms.all, &self.roots.roots);
        match certificate.verify_for_usage(algorithms, roots, intermediates, now, purposes, None, None) {
            Ok(_) => Ok(()),
            Err(error) => Err(blame(error)),
        }
    }
}

/// A server must have the domain that was asked for, not the name that DNS led to (RFC 5922 §7.3).
#[derive(Debug)]
pub(super) struct DomainVerifier(pub(super) Arc<PeerVerifier>);

impl ServerCertVerifier for DomainVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = EndEntityCert::try_from(certificate).map_err(blame)?;
        self.0.verify_chain(&parsed, intermediates, now, SERVER_PURPOSES)?;
        let is_named = match server_name {
            ServerName::DnsName(name) => {
                PeerIdentity::of(certificate).is_some_and(|identity| identity.is_domain(name.as_ref()))
            }
            // An address has no domain: RFC 5922 knows no such identity, RFC 5280 does.
            ServerName::IpAddress(_) => parsed.verify_is_valid_for_subject_name(server_name).is_ok(),
            _ => false,
        };
        if is_named { Ok(ServerCertVerified::assertion()) } else { Err(CertificateError::NotValidForName.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Whose certificate it is decides nothing here: the user reads [`PeerIdentity`].
impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.client_auth == ClientAuth::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let parsed = EndEntityCert::try_from(certificate).map_err(blame)?;
        self.verify_chain(&parsed, intermediates, now, CLIENT_PURPOSES)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Extended key usages of which a certificate must have one, if it has any.
#[derive(Clone, Copy)]
struct Purposes(&'static [&'static [u8]]);

/// 2.5.29.37.0
const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// 1.3.6.1.5.5.7.3.2
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// 1.3.6.1.5.5.7.3.20 (RFC 5924)
const SIP_DOMAIN: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x14];

const SERVER_PURPOSES: Purposes = Purposes(&[SERVER_AUTH, SIP_DOMAIN, ANY]);
/// A proxy connects with the certificate that it also serves with, and public authorities issue it for servers only.
const CLIENT_PURPOSES: Purposes = Purposes(&[CLIENT_AUTH, SERVER_AUTH, SIP_DOMAIN, ANY]);

impl ExtendedKeyUsageValidator for Purposes {
    fn validate(&self, present: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut is_empty = true;
        for id in present {
            let id = id?;
            is_empty = false;
            if self.0.iter().any(|accepted| KeyPurposeId::new(accepted) == id) {
                return Ok(());
            }
        }
        if is_empty { Ok(()) } else { Err(webpki::Error::EmptyEkuExtension) }
    }
}

/// The alert that the other side sees.
fn blame(error: webpki::Error) -> Error {
    use webpki::Error as Webpki;
    match error {
        Webpki::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Webpki::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        Webpki::UnknownIssuer => CertificateError::UnknownIssuer,
        Webpki::EmptyEkuExtension => CertificateError::InvalidPurpose,
        Webpki::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        _ => CertificateError::BadEncoding,
    }
    .into()
}
