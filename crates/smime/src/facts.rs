//! What was found out about a body: plain facts with labels of a bounded set, for metrics and the call's ledger.

use std::fmt;

use crate::asn1::Malformed;
use crate::trust::PeerCertificate;

/// What the layers around a body were.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Who signed.
    pub signature: Signature,
    /// How it was encrypted to us; the weakest layer if there were several.
    pub encryption: Option<Encryption>,
}

impl Facts {
    /// A signature inside of those so far.
    pub(crate) fn add_signature(&mut self, signature: Signature) {
        self.signature = signature.within(std::mem::take(&mut self.signature));
    }

    /// An encryption inside of those so far.
    pub(crate) fn add_encryption(&mut self, encryption: Encryption) {
        self.encryption = Some(encryption.weaker(self.encryption));
    }
}

/// Whether the sender's word stands behind a body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Signature {
    /// Nobody signed.
    #[default]
    None,
    /// Every signature around the body is good, by a trusted certificate whose identity is the sender's.
    Verified {
        /// The sender's address of record, as the certificate has it.
        identity: String,
        /// Of the innermost signature.
        algorithm: SignatureAlgorithm,
        /// The signer's certificate: what to encrypt to in an answer.
        certificate: PeerCertificate,
    },
    /// There is a signature that proves nothing. It says no more than no signature at all.
    Unverified(Unverified),
}

impl Signature {
    /// A label: `none`, `verified`, or that of the reason.
    pub fn label(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Verified { .. } => "verified",
            Self::Unverified(reason) => reason.label(),
        }
    }

    /// Both around one body, `self` inside: one that proves nothing spoils the other.
    fn within(self, outer: Self) -> Self {
        match (self, outer) {
            (Self::None, other) | (other, Self::None) => other,
            (Self::Unverified(reason), _) | (_, Self::Unverified(reason)) => Self::Unverified(reason),
            (inner @ Self::Verified { .. }, Self::Verified { .. }) => inner,
        }
    }
}

macro_rules! labelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in this order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its label, of lower-case letters, digits and underscores.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

labelled! {
    /// Why a signature proves nothing.
    Unverified {
        /// The structure is not CMS's, or has more in it than is read.
        Malformed "malformed",
        /// The content is not what was signed, or nobody with this certificate's key signed it.
        BadSignature "bad_signature",
        /// The digest in the signed attributes is not the content's.
        DigestMismatch "digest_mismatch",
        /// There are no signed attributes, or they lack content type or digest, repeat one, or name another content type.
        Attributes "attributes",
        /// It was signed longer ago than is allowed, or in the future.
        SigningTime "signing_time",
        /// SHA-1, in the signature or in a certificate of its chain.
        Sha1 "sha1",
        /// MD5, in the signature or in a certificate of its chain.
        Md5 "md5",
        /// Another algorithm or key that is not taken.
        UnsupportedAlgorithm "unsupported_algorithm",
        /// The signer's certificate is not in the message (RFC 3261 §23.2), or cannot be read.
        CertificateMissing "certificate_missing",
        /// The certificate, or one above it, is no longer valid.
        Expired "expired",
        /// The certificate, or one above it, is not valid yet.
        NotYetValid "not_yet_valid",
        /// No chain leads to a configured anchor.
        UnknownIssuer "unknown_issuer",
        /// The certificate is its own issuer, and is not pinned.
        SelfSigned "self_signed",
        /// A certificate above the signer's may not issue any (basicConstraints, keyUsage, path length).
        IssuerNotCa "issuer_not_ca",
        /// The chain is broken in another way: a signature in it, a name constraint, an extension that is not known.
        BadChain "bad_chain",
        /// The certificate is not for signing messages (keyUsage, extended key usage).
        KeyUsage "key_usage",
        /// The certificate is trusted, and is somebody else's.
        WrongIdentity "wrong_identity",
    }
}

labelled! {
    /// How a signature was made. Names are those of RFC 8551 and RFC 5754.
    SignatureAlgorithm {
        /// RSA PKCS #1 v1.5 with SHA-256.
        RsaSha256 "rsa_sha256",
        /// RSA PKCS #1 v1.5 with SHA-384.
        RsaSha384 "rsa_sha384",
        /// RSA PKCS #1 v1.5 with SHA-512.
        RsaSha512 "rsa_sha512",
        /// RSASSA-PSS with SHA-256.
        PssSha256 "pss_sha256",
        /// RSASSA-PSS with SHA-384.
        PssSha384 "pss_sha384",
        /// RSASSA-PSS with SHA-512.
        PssSha512 "pss_sha512",
        /// ECDSA with SHA-256.
        EcdsaSha256 "ecdsa_sha256",
        /// ECDSA with SHA-384.
        EcdsaSha384 "ecdsa_sha384",
        /// ECDSA with SHA-512.
        EcdsaSha512 "ecdsa_sha512",
    }
}

labelled! {
    /// How a content is encrypted. Weakest first.
    ContentCipher {
        /// AES-128-CBC, in EnvelopedData.
        Aes128Cbc "aes128_cbc",
        /// AES-256-CBC, in EnvelopedData.
        Aes256Cbc "aes256_cbc",
        /// AES-128-GCM, in AuthEnvelopedData (RFC 5083). What RFC 8551 §2.7 wants of everybody.
        Aes128Gcm "aes128_gcm",
        /// AES-256-GCM, in AuthEnvelopedData.
        Aes256Gcm "aes256_gcm",
    }
}

impl ContentCipher {
    /// Whether what was changed on the way is found out. CBC alone does not: a signature inside must.
    pub fn is_authenticated(self) -> bool {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm)
    }
}

labelled! {
    /// How the key of the content came to us.
    KeyManagement {
        /// RSAES-PKCS1-v1_5.
        RsaPkcs1 "rsa_pkcs1",
        /// RSAES-OAEP.
        RsaOaep "rsa_oaep",
        /// ECDH with an ephemeral key, and AES key wrap (RFC 5753).
        Ecdh "ecdh",
    }
}

/// How a body was encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encryption {
    /// The content.
    pub cipher: ContentCipher,
    /// Its key.
    pub key_management: KeyManagement,
}

impl Encryption {
    /// The weaker of two layers, `self` if they are equal.
    fn weaker(self, other: Option<Self>) -> Self {
        let rank = |cipher: ContentCipher| ContentCipher::ALL.iter().position(|one| *one == cipher);
        match other {
            Some(other) if rank(other.cipher) < rank(self.cipher) => other,
            _ => self,
        }
    }
}

labelled! {
    /// Why an encrypted body could not be opened. What an attacker could learn from is in one variant.
    Undecipherable {
        /// We have no certificate that anything could be encrypted to.
        NoKey "no_key",
        /// None of its recipients is ours.
        NotForUs "not_for_us",
        /// An algorithm that is not taken.
        UnsupportedAlgorithm "unsupported_algorithm",
        /// The structure is not CMS's, or has more in it than is read.
        Malformed "malformed",
        /// Opening it gave nothing sensible: a wrong key, bad padding, a bad tag, or no MIME entity.
        NotOpened "not_opened",
    }
}

impl From<Malformed> for Unverified {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Malformed> for Undecipherable {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
