//! One certificate: BoringSSL's view of it, and the fields that CMS compares byte for byte.

use std::cmp::Ordering;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use boring::asn1::Asn1Time;
use boring::nid::Nid;
use boring::pkey::{Id, PKey, Public};
use boring::x509::X509;
use der::asn1::ObjectIdentifier;
use sip::{SipUri, Uri};

use crate::asn1::{
    Algorithm, BIT_STRING, Element, Fields, INTEGER, Malformed, OCTET_STRING, OID, SEQUENCE, constructed, write,
};
use crate::limits::{MAX_EXTENSIONS, MAX_NAMES, RSA_BITS};
use crate::oid;

/// Which key a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// RSA of 2048 to 8192 bits.
    Rsa,
    /// An elliptic curve: P-256.
    P256,
    /// An elliptic curve: P-384.
    P384,
}

/// An X.509 certificate that can be read. Whether it is trusted is another question.
#[derive(Clone)]
pub struct Certificate {
    x509: X509,
    der: Vec<u8>,
    key: PKey<Public>,
    kind: KeyKind,
    fields: TbsFields,
}

/// What CMS and RFC 8550 look at in the TBSCertificate.
#[derive(Clone)]
struct TbsFields {
    signature: ObjectIdentifier,
    /// IssuerAndSerialNumber (RFC 5652 §10.2.4), encoded.
    issuer_and_serial: Vec<u8>,
    is_self_issued: bool,
    subject_key_identifier: Option<Vec<u8>>,
    /// The first byte of keyUsage, whose bits are numbered from the most significant.
    key_usage: Option<u8>,
    /// Extended key usages are given, and none of them is for messages.
    is_for_others: bool,
}

/// What a certificate is used for, as keyUsage has it (RFC 5280 §4.2.1.3): any of these bits will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Signing = 0b1100_0000,
    KeyTransport = 0b0010_0000,
    KeyAgreement = 0b0000_1000,
}

impl Certificate {
    /// Reads DER. `None` for what is no certificate, and for one whose key is of no use here: RSA shorter than 2048 or
    /// longer than 8192 bits, or a curve other than P-256 and P-384.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let fields = TbsFields::read(der).ok()?;
        let x509 = X509::from_der(der).ok()?;
        let key = x509.public_key().ok()?;
        let kind = key_kind(&key)?;
        Some(Self { x509, der: der.to_vec(), key, kind, fields })
    }

    /// Reads all certificates of a PEM file, in their order. `None` if one of them cannot be read, or there is none.
    pub fn from_pem(pem: &[u8]) -> Option<Vec<Self>> {
        let stack = X509::stack_from_pem(pem).ok().filter(|stack| !stack.is_empty())?;
        stack.iter().map(|x509| Self::from_der(&x509.to_der().ok()?)).collect()
    }

    /// The encoded certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Which key it is for.
    pub fn key_kind(&self) -> KeyKind {
        self.kind
    }

    /// The SIP and SIPS URIs among its subject alternative names (RFC 3261 §23.1), at most 32 names in.
    pub fn sip_identities(&self) -> Vec<SipUri> {
        let Some(names) = self.x509.subject_alt_names() else { return Vec::new() };
        let uris = names.iter().take(MAX_NAMES).filter_map(|name| name.uri().and_then(Uri::parse));
        uris.filter_map(|uri| if let Uri::Sip(uri) = uri { Some(uri) } else { None }).collect()
    }

    /// Its name that is this address of record. A URI that is not SIP's is nobody's.
    pub fn identity(&self, uri: &Uri) -> Option<SipUri> {
        let uri = uri.as_sip()?;
        self.sip_identities().into_iter().find(|identity| is_same_address(identity, uri))
    }

    /// Whether one of its names is this address of record.
    pub fn is_for(&self, uri: &Uri) -> bool {
        self.identity(uri).is_some()
    }

    pub(crate) fn x509(&self) -> &X509 {
        &self.x509
    }

    pub(crate) fn key(&self) -> &PKey<Public> {
        &self.key
    }

    pub(crate) fn issuer_and_serial(&self) -> &[u8] {
        &self.fields.issuer_and_serial
    }

    pub(crate) fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.fields.subject_key_identifier.as_deref()
    }

    /// The algorithm of the signature on it.
    pub(crate) fn signature_algorithm(&self) -> ObjectIdentifier {
        self.fields.signature
    }

    /// Whether subject and issuer are one name: with a signature of its own key, it is self-signed.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.fields.is_self_issued
    }

    /// RFC 8550 §4.4.2 and §4.4.4: a usage that is given must allow it, and one that is not given allows all.
    pub(crate) fn allows(&self, usage: Usage) -> bool {
        !self.fields.is_for_others && self.fields.key_usage.is_none_or(|bits| bits & usage as u8 != 0)
    }

    /// Where `now` lies: before its validity, in it (`Equal`), or after it. `None` if its dates cannot be read.
    pub(crate) fn validity(&self, now: SystemTime) -> Option<Ordering> {
        let now = Asn1Time::from_unix(unix_seconds(now)).ok()?;
        if self.x509.not_before().compare(&now).ok()? == Ordering::Greater {
            return Some(Ordering::Less);
        }
        let after = self.x509.not_after().compare(&now).ok()? == Ordering::Less;
        Some(if after { Ordering::Greater } else { Ordering::Equal })
    }
}

/// The names; keys are long and say nothing to a reader.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.sip_identities().iter().map(SipUri::to_string).collect();
        write!(f, "certificate of {names:?} ({:?})", self.kind)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl TbsFields {
    fn read(der: &[u8]) -> Result<Self, Malformed> {
        let mut certificate = Element::read(der)?.fields()?;
        let mut tbs = certificate.enter(SEQUENCE)?;
        tbs.optional(constructed(0))?;
        let serial = tbs.expect(INTEGER)?;
        let signature = Algorithm::read(tbs.element()?)?.oid;
        let issuer = tbs.expect(SEQUENCE)?;
        let _validity = tbs.expect(SEQUENCE)?;
        let subject = tbs.expect(SEQUENCE)?;
        let mut fields = Self {
            signature,
            issuer_and_serial: write(SEQUENCE, &[issuer.whole, serial.whole]),
            is_self_issued: issuer.whole == subject.whole,
            subject_key_identifier: None,
            key_usage: None,
            is_for_others: false,
        };
        while !tbs.is_empty() {
            let element = tbs.element()?;
            if element.tag == constructed(3) {
                for extension in element.fields()?.enter(SEQUENCE)?.rest(MAX_EXTENSIONS)? {
                    fields.extension(extension.fields()?)?;
                }
            }
        }
        Ok(fields)
    }

    fn extension(&mut self, mut extension: Fields<'_>) -> Result<(), Malformed> {
        let oid = extension.expect(OID)?.oid()?;
        let value = match extension.element()? {
            critical if critical.tag == 0x01 => extension.expect(OCTET_STRING)?,
            value => value,
        };
        match oid {
            oid::SUBJECT_KEY_IDENTIFIER => {
                self.subject_key_identifier = Some(Element::read(value.content)?.content.to_vec());
            }
            oid::KEY_USAGE => {
                let bits = Fields::of(value.content)?.expect(BIT_STRING)?;
                self.key_usage = Some(bits.content.get(1).copied().unwrap_or(0));
            }
            oid::EXTENDED_KEY_USAGE => {
                let purposes = Fields::of(value.content)?.enter(SEQUENCE)?.rest(MAX_EXTENSIONS)?;
                let suits = |purpose: &Element<'_>| {
                    purpose.oid().is_ok_and(|oid| oid == oid::EMAIL_PROTECTION || oid == oid::ANY_PURPOSE)
                };
                self.is_for_others = !purposes.iter().any(suits);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Seconds since 1970; zero for moments before.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn key_kind(key: &PKey<Public>) -> Option<KeyKind> {
    match key.id() {
        Id::RSA => RSA_BITS.contains(&key.bits()).then_some(KeyKind::Rsa),
        Id::EC => match key.ec_key().ok()?.group().curve_name()? {
            Nid::X9_62_PRIME256V1 => Some(KeyKind::P256),
            Nid::SECP384R1 => Some(KeyKind::P384),
            _ => None,
        },
        _ => None,
    }
}

/// Whether two URIs are one address of record: user, host and port, without what belongs to one request only (parameters,
/// headers, password). A SIPS URI is the same address as the SIP URI (RFC 3261 §19.1).
fn is_same_address(identity: &SipUri, uri: &SipUri) -> bool {
    let address = |uri: &SipUri| {
        let mut address = SipUri::new(None, uri.host.clone(), uri.port);
        address.user.clone_from(&uri.user);
        address
    };
    identity.user.is_some() && address(identity).is_equivalent(&address(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(identity: &str, uri: &str) -> bool {
        let [identity, uri] = [identity, uri].map(|text| Uri::parse(text).unwrap().as_sip().unwrap().clone());
        is_same_address(&identity, &uri)
    }

    #[test]
    fn an_address_of_record_is_user_host_and_port() {
        assert!(same("sip:alice@example.com", "sip:alice@EXAMPLE.com;transport=tls"));
        assert!(same("sip:alice@example.com", "sips:%61lice@example.com"));
        assert!(same("sip:alice@example.com:5070", "sip:alice@example.com:5070"));
        for other in ["sip:Alice@example.com", "sip:alice@example.org", "sip:example.com", "sip:alice@example.com:5070"]
        {
            assert!(!same("sip:alice@example.com", other), "{other}");
        }
        assert!(!same("sip:example.com", "sip:example.com"), "a domain is nobody's identity");
    }
}
