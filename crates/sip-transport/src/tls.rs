//! Certificates, roots and what they become (RFC 3261 §26, RFC 9325: TLS 1.2 and 1.3 with forward secrecy and AEAD).

mod domain;
mod verify;

pub use domain::PeerIdentity;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use zeroize::{Zeroize, Zeroizing};

use verify::{DomainVerifier, PeerVerifier};

/// TLS for all listeners and connections.
#[derive(Clone)]
pub struct TlsConfig {
    /// Our certificates. A client gets the first whose names hold the one that it asks for by SNI, else the first of all. The
    /// first is also what we show to a server that asks for one.
    pub identities: Vec<Identity>,
    /// Whom we trust when we connect, and for clients' certificates.
    pub roots: Roots,
    /// Whether TLS listeners ask for a certificate. WSS listeners never do.
    pub client_auth: ClientAuth,
}

/// Whether a TLS client shows a certificate. One that is shown must be good: otherwise the handshake fails.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ClientAuth {
    /// It is not asked for one.
    #[default]
    Off,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// Certificate authorities. There is no revocation check.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Roots {
    /// The system's.
    #[default]
    System,
    /// PEM certificates, and no others.
    Pem(Vec<u8>),
}

/// A certificate chain and its key.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: PeerIdentity,
}

impl Identity {
    /// Reads a chain, leaf first, and the key of the leaf (PKCS #8, PKCS #1 or SEC 1), both PEM. The key must belong to the leaf.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::Certificate)?;
        let names = PeerIdentity::of(chain.first().ok_or(TlsError::Certificate)?).ok_or(TlsError::Certificate)?;
        let mut der = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        let key = provider().key_provider.load_private_key(der.clone_key());
        der.zeroize();
        let key = CertifiedKey::new(chain, key.map_err(|_| TlsError::Key)?);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self { key: Arc::new(key), names })
            }
            Err(_) => Err(TlsError::KeyMismatch),
        }
    }

    /// The same from two files.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| TlsError::File(error.kind()));
        Self::from_pem(&read(chain)?, &Zeroizing::new(read(key)?))
    }

    /// What the certificate says it is.
    pub fn names(&self) -> &PeerIdentity {
        &self.names
    }
}

/// What is wrong with TLS material. The configuration is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsError {
    /// A file could not be read.
    File(std::io::ErrorKind),
    /// No PEM certificate, or none that X.509 knows.
    Certificate,
    /// No PEM key, or of an unknown kind.
    Key,
    /// The key belongs to another certificate.
    KeyMismatch,
    /// There is no root certificate.
    Roots,
    /// There is a TLS or WSS listener and no identity.
    NoIdentity,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(kind) => write!(f, "TLS file: {kind}"),
            Self::Certificate => f.write_str("bad certificate"),
            Self::Key => f.write_str("bad private key"),
            Self::KeyMismatch => f.write_str("the private key belongs to another certificate"),
            Self::Roots => f.write_str("no root certificates"),
            Self::NoIdentity => f.write_str("no certificate for a TLS or WSS listener"),
        }
    }
}

impl std::error::Error for TlsError {}

/// What new handshakes use; replaced as a whole.
pub(crate) struct TlsStore(RwLock<TlsSuite>);

/// Sessions are resumed only within one suite, so that nothing outlives a reload.
#[derive(Clone)]
pub(crate) struct TlsSuite {
    pub(crate) sip: Option<Arc<ServerConfig>>,
    pub(crate) web: Option<Arc<ServerConfig>>,
    pub(crate) client: Arc<ClientConfig>,
}

impl TlsStore {
    pub(crate) fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(TlsSuite::new(config)?)))
    }

    pub(crate) fn replace(&self, config: &TlsConfig) -> Result<(), TlsError> {
        let suite = TlsSuite::new(config)?;
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if suite.sip.is_none() && held.sip.is_some() {
            return Err(TlsError::NoIdentity);
        }
        *held = suite;
        Ok(())
    }

    pub(crate) fn suite(&self) -> TlsSuite {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl TlsSuite {
    fn new(config: &TlsConfig) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(PeerVerifier::new(load_roots(&config.roots)?, &provider, config.client_auth));
        let versions = [&version::TLS13, &version::TLS12];
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|_| TlsError::Certificate)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(DomainVerifier(verifier.clone())));
        let client = match config.identities.first() {
            Some(identity) => {
                let single = rustls::sign::SingleCertAndKey::from(identity.key.clone());
                builder.with_client_cert_resolver(Arc::new(single))
            }
            None => builder.with_no_client_auth(),
        };
        let resolver = Arc::new(SniResolver(config.identities.clone()));
        let server = |clients: Arc<dyn rustls::server::danger::ClientCertVerifier>| {
            ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&versions)
                .map(|builder| builder.with_client_cert_verifier(clients).with_cert_resolver(resolver.clone()))
                .map_err(|_| TlsError::Certificate)
        };
        if config.identities.is_empty() {
            return Ok(Self { sip: None, web: None, client: Arc::new(client) });
        }
        let sip = match config.client_auth {
            ClientAuth::Off => server(Arc::new(NoClientAuth))?,
            ClientAuth::Optional | ClientAuth::Required => server(verifier)?,
        };
        let mut web = server(Arc::new(NoClientAuth))?;
        web.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { sip: Some(Arc::new(sip)), web: Some(Arc::new(web)), client: Arc::new(client) })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn load_roots(roots: &Roots) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                tracing::warn!("the system has no root certificates: no TLS server will be trusted");
            }
        }
        Roots::Pem(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                store.add(certificate.map_err(|_| TlsError::Roots)?).map_err(|_| TlsError::Roots)?;
            }
            if store.is_empty() {
                return Err(TlsError::Roots);
            }
        }
    }
    Ok(store)
}

/// Several domains on one port.
struct SniResolver(Vec<Identity>);

impl fmt::Debug for SniResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|identity| &identity.names)).finish()
    }
}

impl ResolvesServerCert for SniResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        let named = asked.and_then(|name| self.0.iter().find(|identity| identity.names.has_host(name)));
        named.or(self.0.first()).map(|identity| identity.key.clone())
    }
}
