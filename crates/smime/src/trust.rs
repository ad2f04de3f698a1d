//! Whether a certificate is to be believed: anchors, chains, pins (RFC 3261 §23.2, RFC 8550 §4).

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::SystemTime;

use boring::error::ErrorStack;
use boring::stack::Stack;
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::{X509, X509StoreContext, X509VerifyError};
use sip::Uri;

use crate::certificate::{Certificate, unix_seconds};
use crate::facts::Unverified;
use crate::limits::MAX_CHAIN;
use crate::oid;

/// A certificate that was trusted, and whose identity was that of the party when it was checked. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate(Arc<Certificate>);

impl PeerCertificate {
    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.0
    }
}

/// Whom we believe.
pub(crate) struct Trust {
    anchors: X509Store,
    pinned: Vec<Certificate>,
}

impl Trust {
    pub(crate) fn new(anchors: &[Certificate], pinned: Vec<Certificate>) -> Result<Self, ErrorStack> {
        let mut builder = X509StoreBuilder::new()?;
        for anchor in anchors {
            builder.add_cert(anchor.x509())?;
        }
        Ok(Self { anchors: builder.build(), pinned })
    }

    pub(crate) fn pinned(&self) -> &[Certificate] {
        &self.pinned
    }

    /// Trusts a certificate that is pinned, or from which a chain leads to an anchor, and that is this party's. The other
    /// certificates of the message may stand in the chain.
    pub(crate) fn check(
        &self,
        now: SystemTime,
        certificate: &Certificate,
        others: &[Certificate],
        party: &Uri,
    ) -> Result<PeerCertificate, Unverified> {
        match certificate.validity(now) {
            Some(Ordering::Equal) => {}
            Some(Ordering::Less) => return Err(Unverified::NotYetValid),
            Some(Ordering::Greater) => return Err(Unverified::Expired),
            None => return Err(Unverified::BadChain),
        }
        if !self.pinned.contains(certificate) {
            self.check_chain(now, certificate, others)?;
        }
        if certificate.is_for(party) {
            Ok(PeerCertificate(Arc::new(certificate.clone())))
        } else {
            Err(Unverified::WrongIdentity)
        }
    }

    fn check_chain(&self, now: SystemTime, leaf: &Certificate, others: &[Certificate]) -> Result<(), Unverified> {
        // Before the engine is asked: it takes SHA-1 and calls MD5 a bad signature.
        check_algorithm(leaf)?;
        let engine = |_: ErrorStack| Unverified::BadChain;
        let mut untrusted = Stack::new().map_err(engine)?;
        for other in others.iter().filter(|other| *other != leaf) {
            untrusted.push(other.x509().clone()).map_err(engine)?;
        }
        let mut context = X509StoreContext::new().map_err(engine)?;
        let (result, chain) = context
            .init(&self.anchors, leaf.x509(), &untrusted, |context| {
                let parameters = context.verify_param_mut();
                parameters.set_time(unix_seconds(now));
                parameters.set_depth(MAX_CHAIN);
                context.verify_cert()?;
                let chain: Vec<X509> =
                    context.chain().map_or_else(Vec::new, |chain| chain.iter().map(|one| one.to_owned()).collect());
                Ok((context.verify_result(), chain))
            })
            .map_err(engine)?;
        if let Err(error) = result {
            return Err(reason(error, leaf, others));
        }
        // The last one is the anchor, which nobody has to vouch for.
        let above = chain.split_last().map_or(&[][..], |(_, below)| below);
        for x509 in above {
            let certificate = x509.to_der().ok().and_then(|der| Certificate::from_der(&der));
            check_algorithm(&certificate.ok_or(Unverified::UnsupportedAlgorithm)?)?;
        }
        Ok(())
    }
}

/// Refuses signatures of a certificate's issuer that could be forged by a collision.
fn check_algorithm(certificate: &Certificate) -> Result<(), Unverified> {
    match certificate.signature_algorithm() {
        oid::SHA1_WITH_RSA | oid::SHA1_WITH_ECDSA => Err(Unverified::Sha1),
        oid::MD5_WITH_RSA => Err(Unverified::Md5),
        oid::SHA256_WITH_RSA
        | oid::SHA384_WITH_RSA
        | oid::SHA512_WITH_RSA
        // BoringSSL takes RSASSA-PSS on certificates with SHA-256, SHA-384 and SHA-512 only.
        | oid::RSA_PSS
        | oid::SHA256_WITH_ECDSA
        | oid::SHA384_WITH_ECDSA
        | oid::SHA512_WITH_ECDSA => Ok(()),
        _ => Err(Unverified::UnsupportedAlgorithm),
    }
}

fn reason(error: X509VerifyError, leaf: &Certificate, others: &[Certificate]) -> Unverified {
    match error {
        X509VerifyError::CERT_HAS_EXPIRED => Unverified::Expired,
        X509VerifyError::CERT_NOT_YET_VALID => Unverified::NotYetValid,
        X509VerifyError::DEPTH_ZERO_SELF_SIGNED_CERT => Unverified::SelfSigned,
        X509VerifyError::UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        | X509VerifyError::UNABLE_TO_GET_ISSUER_CERT
        | X509VerifyError::UNABLE_TO_VERIFY_LEAF_SIGNATURE => {
            // The engine passes over an issuer whose keyUsage is not for certificates, as if it were not there.
            let is_unfit =
                |other: &Certificate| other.x509().issued(leaf.x509()) == Err(X509VerifyError::KEYUSAGE_NO_CERTSIGN);
            match others.iter().any(is_unfit) {
                _ if leaf.is_self_issued() => Unverified::SelfSigned,
                true => Unverified::IssuerNotCa,
                false => Unverified::UnknownIssuer,
            }
        }
        X509VerifyError::SELF_SIGNED_CERT_IN_CHAIN => Unverified::UnknownIssuer,
        X509VerifyError::INVALID_CA | X509VerifyError::PATH_LENGTH_EXCEEDED => Unverified::IssuerNotCa,
        _ => Unverified::BadChain,
    }
}
