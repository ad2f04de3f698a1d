//! A certificate authority for one test.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sallyport_sip_transport::{ClientAuth, Identity, Roots, TlsConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// PEM of a chain and its key.
#[derive(Clone)]
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn roots(&self) -> Roots {
        Roots::Pem(self.pem().into_bytes())
    }

    /// Names with a colon are URIs, all others DNS names or addresses.
    pub fn issue(&self, names: &[&str], purposes: &[ExtendedKeyUsagePurpose]) -> Pair {
        self.sign(names, purposes, 4096)
    }

    /// Valid until the year 2000.
    pub fn expired(&self, names: &[&str]) -> Pair {
        self.sign(names, &[], 2000)
    }

    fn sign(&self, names: &[&str], purposes: &[ExtendedKeyUsagePurpose], until: i32) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) if name.contains(':') => SanType::URI((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.distinguished_name.push(DnType::CommonName, "Leaf");
        params.extended_key_usages = purposes.to_vec();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    pub fn server(&self, names: &[&str]) -> Pair {
        self.issue(names, &[ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// Our identities, this authority as the only root.
    pub fn tls(&self, pairs: &[&Pair], client_auth: ClientAuth) -> TlsConfig {
        let identities = pairs.iter().map(|pair| pair.identity()).collect();
        TlsConfig { identities, roots: self.roots(), client_auth }
    }
}

impl Pair {
    pub fn identity(&self) -> Identity {
        Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// A bare TLS client, with a certificate or without; it checks the server's by webpki's own rules.
pub async fn connect(
    authority: &Authority,
    pair: Option<&Pair>,
    stream: TcpStream,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config)).connect(name.to_owned().try_into().unwrap(), stream).await
}
