//! Which domains a certificate speaks for (RFC 5922 §7).

use rustls::pki_types::CertificateDer;
use sip::Uri;
use webpki::EndEntityCert;

/// The SIP domains of a certificate, in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerIdentity {
    domains: Vec<String>,
    hosts: Vec<String>,
}

impl PeerIdentity {
    /// The domain identities of RFC 5922 §7.1: hosts of `sip:` URIs without user; if there is none, DNS names. The common
    /// name is never looked at, an entry with a wildcard is none.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Whether the certificate speaks for this domain: equal without case, and neither a suffix nor a wildcard (§7.2).
    pub fn is_domain(&self, domain: &str) -> bool {
        contains(&self.domains, domain)
    }

    /// Whether a client that asks for this name by SNI can use the certificate: any DNS name or SIP domain of it.
    pub(super) fn has_host(&self, host: &str) -> bool {
        contains(&self.hosts, host) || self.is_domain(host)
    }

    /// Of a certificate's subject alternative names. `None` if it is no X.509 certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        Some(Self::from_names(certificate.valid_uri_names(), certificate.valid_dns_names()))
    }

    fn from_names<'a>(uris: impl Iterator<Item = &'a str>, names: impl Iterator<Item = &'a str>) -> Self {
        let hosts: Vec<_> = names.filter(|name| !name.contains('*')).map(normal).collect();
        let mut domains: Vec<_> = uris.filter_map(sip_domain).collect();
        if domains.is_empty() {
            domains.clone_from(&hosts);
        }
        Self { domains, hosts }
    }
}

/// The host of `sip:host`. A URI with a user names a person, one with `sips:` nothing (RFC 5922 §7.1).
fn sip_domain(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri)?;
    let uri = uri.as_sip().filter(|uri| !uri.secure && uri.user.is_none() && !uri.host.as_str().contains('*'))?;
    Some(normal(uri.host.as_str()))
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn contains(names: &[String], name: &str) -> bool {
    let name = normal(name);
    !name.is_empty() && names.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uris: &[&str], names: &[&str]) -> PeerIdentity {
        PeerIdentity::from_names(uris.iter().copied(), names.iter().copied())
    }

    #[test]
    fn sip_uris_go_before_dns_names() {
        let both = identity(&["SIP:Example.COM"], &["proxy.example.net"]);
        assert!(both.is_domain("example.com") && both.is_domain("EXAMPLE.com."));
        assert!(!both.is_domain("proxy.example.net"));
        assert!(both.has_host("proxy.example.net"));
        let unusable =
            identity(&["sip:alice@example.com", "sips:example.com", "https://example.com"], &["example.net"]);
        assert_eq!(unusable.domains(), ["example.net"]);
    }

    #[test]
    fn neither_wildcards_nor_suffixes_match() {
        let wild = identity(&[], &["*.example.com", "example.org"]);
        assert_eq!(wild.domains(), ["example.org"]);
        for other in ["a.example.com", "*.example.com", "sip.example.org", "org", ""] {
            assert!(!wild.is_domain(other), "{other}");
        }
    }
}
