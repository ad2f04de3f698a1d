//! Caps on what is read. Beyond them a body is refused, whatever it holds.

/// Bytes of a body with S/MIME in it. A session description with its certificates and signature has about ten thousand.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// Layers of signing and encrypting around a body: signed, in an envelope, in a signature.
pub const MAX_LAYERS: usize = 3;

/// Certificates in one signed message.
pub const MAX_CERTIFICATES: usize = 8;

/// Signers of one message. Each may cost one verification and the check of one chain.
pub const MAX_SIGNERS: usize = 4;

/// Recipients of one message. At most one of them costs an operation with a private key.
pub const MAX_RECIPIENTS: usize = 32;

/// Attributes of one signer.
pub(crate) const MAX_ATTRIBUTES: usize = 16;

/// Extensions of a certificate, and purposes in its extended key usage.
pub(crate) const MAX_EXTENSIONS: usize = 32;

/// Names of a certificate that are compared with a URI.
pub(crate) const MAX_NAMES: usize = 32;

/// Digest algorithms, revocation lists and unprotected attributes, which are counted and passed over.
pub(crate) const MAX_PASSED_OVER: usize = 32;

/// Certificates between a signer's and an anchor.
pub(crate) const MAX_CHAIN: i32 = 4;

/// Bits of an RSA key (RFC 8551 §4.3: below 2048 is of historic use only, above 8192 invites denial of service).
pub(crate) const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;
