//! A certificate authority for one test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use sallyport_sip_transport::{ClientAuth, Identity, Roots, TlsConfig};

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
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) if name.contains(':') => SanType::URI((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.extended_key_usages = purposes.to_vec();
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
