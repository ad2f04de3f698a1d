//! EnvelopedData (RFC 5652 §6) with AES-CBC, and AuthEnvelopedData (RFC 5083) with AES-GCM.

use std::borrow::Cow;

use boring::symm::{Cipher, decrypt, decrypt_aead, encrypt, encrypt_aead};
use rand::Rng;
use zeroize::Zeroizing;

use crate::asn1::{
    Algorithm, Element, INTEGER, Malformed, OCTET_STRING, OID, SEQUENCE, SET, constructed, primitive, write,
    write_algorithm, write_oid, write_small,
};
use crate::certificate::Certificate;
use crate::facts::{ContentCipher, Encryption, Undecipherable};
use crate::limits::MAX_RECIPIENTS;
use crate::oid;
use crate::recipient::{OwnKeys, RsaKeyTransport, write_recipient};
use crate::signed::content_info;

/// Bytes of the nonce of AES-GCM (RFC 5084 §3.2: 12 is recommended, and all that is met).
const NONCE: usize = 12;
/// Bytes of the tag that we write. RFC 5084 allows 12 to 16.
const TAG: usize = 16;
/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// An encrypted content as it came.
pub(crate) struct Envelope<'a> {
    recipients: Vec<Element<'a>>,
    algorithm: Algorithm<'a>,
    ciphertext: Cow<'a, [u8]>,
    /// AuthEnvelopedData: the authenticated attributes as the SET that the tag covers, and the tag.
    authentication: Option<(Vec<u8>, &'a [u8])>,
}

impl<'a> Envelope<'a> {
    /// Reads the SEQUENCE of an EnvelopedData, or of an AuthEnvelopedData.
    pub(crate) fn read(element: Element<'a>, authenticated: bool) -> Result<Self, Malformed> {
        let mut fields = element.fields()?;
        fields.expect(INTEGER)?;
        fields.optional(constructed(0))?;
        let recipients = fields.enter(SET)?.rest(MAX_RECIPIENTS)?;
        let mut encrypted = fields.enter(SEQUENCE)?;
        // RFC 8551 §2.4.1: what S/MIME encrypts is data, a MIME entity.
        if encrypted.expect(OID)?.oid()? != oid::DATA {
            return Err(Malformed);
        }
        let algorithm = Algorithm::read(encrypted.element()?)?;
        let ciphertext = octets(encrypted.element()?)?;
        encrypted.end()?;
        let authentication = if authenticated {
            let attributes = match fields.optional(constructed(1))? {
                Some(attributes) => write(SET, &[attributes.content]),
                None => Vec::new(),
            };
            let tag = fields.expect(OCTET_STRING)?.content;
            fields.optional(constructed(2))?;
            Some((attributes, tag))
        } else {
            fields.optional(constructed(1))?;
            None
        };
        fields.end()?;
        Ok(Self { recipients, algorithm, ciphertext, authentication })
    }

    /// Decrypts it with one of our keys. Whatever goes wrong behind the look at its outside is one error.
    pub(crate) fn open(&self, keys: OwnKeys<'_>) -> Result<(Zeroizing<Vec<u8>>, Encryption), Undecipherable> {
        let (content_cipher, iv, tag_len) =
            content_algorithm(&self.algorithm).ok_or(Undecipherable::UnsupportedAlgorithm)?;
        if content_cipher.is_authenticated() != self.authentication.is_some() {
            return Err(Undecipherable::UnsupportedAlgorithm);
        }
        let (cipher, length) = engine(content_cipher);
        let (key, key_management) = keys.content_key(&self.recipients, length)?;
        let content = match &self.authentication {
            Some((attributes, tag)) if tag.len() == tag_len => {
                decrypt_aead(cipher, &key, Some(iv), attributes, &self.ciphertext, tag)
            }
            Some(_) => return Err(Undecipherable::Malformed),
            None => decrypt(cipher, &key, Some(iv), &self.ciphertext),
        };
        let content = content.map_err(|_| Undecipherable::NotOpened)?;
        Ok((Zeroizing::new(content), Encryption { cipher: content_cipher, key_management }))
    }
}

/// An implicitly tagged octet string: whole, or in pieces, which nothing but its place tells from another sequence.
fn octets(element: Element<'_>) -> Result<Cow<'_, [u8]>, Malformed> {
    if element.tag == primitive(0) {
        return Ok(Cow::Borrowed(element.content));
    }
    let mut fields = element.fields()?;
    let mut octets = Vec::new();
    while element.tag == constructed(0) && !fields.is_empty() {
        octets.extend_from_slice(fields.expect(OCTET_STRING)?.content);
    }
    fields.end()?;
    Ok(Cow::Owned(octets))
}

/// The cipher, its nonce or IV, and the length of its tag (RFC 3565 §2.3, RFC 5084 §3.2).
fn content_algorithm<'a>(algorithm: &Algorithm<'a>) -> Option<(ContentCipher, &'a [u8], usize)> {
    let cipher = match algorithm.oid {
        oid::AES128_CBC => ContentCipher::Aes128Cbc,
        oid::AES256_CBC => ContentCipher::Aes256Cbc,
        oid::AES128_GCM => ContentCipher::Aes128Gcm,
        oid::AES256_GCM => ContentCipher::Aes256Gcm,
        _ => return None,
    };
    let parameters = algorithm.parameters?;
    if !cipher.is_authenticated() {
        let fits = parameters.tag == OCTET_STRING && parameters.content.len() == BLOCK;
        return fits.then_some((cipher, parameters.content, 0));
    }
    let mut fields = (parameters.tag == SEQUENCE).then(|| parameters.fields().ok())??;
    let nonce = fields.expect(OCTET_STRING).ok()?.content;
    let tag_len = match fields.optional(INTEGER).ok()? {
        Some(length) => match length.content {
            [length @ 12..=16] => usize::from(*length),
            _ => return None,
        },
        None => 12,
    };
    fields.end().ok()?;
    (nonce.len() == NONCE).then_some((cipher, nonce, tag_len))
}

/// BoringSSL's cipher, and the bytes of its key.
fn engine(cipher: ContentCipher) -> (Cipher, usize) {
    match cipher {
        ContentCipher::Aes128Cbc => (Cipher::aes_128_cbc(), 16),
        ContentCipher::Aes256Cbc => (Cipher::aes_256_cbc(), 32),
        ContentCipher::Aes128Gcm => (Cipher::aes_128_gcm(), 16),
        ContentCipher::Aes256Gcm => (Cipher::aes_256_gcm(), 32),
    }
}

/// Encrypts a content to a certificate: a ContentInfo for `application/pkcs7-mime`. `None` if the engine fails.
pub(crate) fn seal(
    content: &[u8],
    certificate: &Certificate,
    cipher: ContentCipher,
    transport: RsaKeyTransport,
    rng: &mut impl Rng,
) -> Option<Vec<u8>> {
    let (boring_cipher, length) = engine(cipher);
    let mut key = Zeroizing::new(vec![0; length]);
    rng.fill_bytes(&mut key);
    let mut iv = [0; BLOCK];
    rng.fill_bytes(&mut iv);
    let (recipient, version) = write_recipient(certificate, &key, transport, rng)?;
    let recipients = write(SET, &[&recipient]);
    let encrypted = |oid, parameters: &[u8], ciphertext: &[u8]| {
        let algorithm = write_algorithm(oid, parameters);
        write(SEQUENCE, &[&write_oid(oid::DATA), &algorithm, &write(primitive(0), &[ciphertext])])
    };
    if cipher.is_authenticated() {
        let (nonce, mut tag) = (iv.get(..NONCE)?, [0; TAG]);
        let ciphertext = encrypt_aead(boring_cipher, &key, Some(nonce), &[], content, &mut tag).ok()?;
        let oid = if cipher == ContentCipher::Aes128Gcm { oid::AES128_GCM } else { oid::AES256_GCM };
        let parameters = write(SEQUENCE, &[&write(OCTET_STRING, &[nonce]), &write_small(16)]);
        let encrypted = encrypted(oid, &parameters, &ciphertext);
        let fields: [&[u8]; 4] = [&write_small(0), &recipients, &encrypted, &write(OCTET_STRING, &[&tag])];
        Some(content_info(oid::AUTH_ENVELOPED_DATA, &write(SEQUENCE, &fields)))
    } else {
        let ciphertext = encrypt(boring_cipher, &key, Some(&iv), content).ok()?;
        let oid = if cipher == ContentCipher::Aes128Cbc { oid::AES128_CBC } else { oid::AES256_CBC };
        let encrypted = encrypted(oid, &write(OCTET_STRING, &[&iv]), &ciphertext);
        let fields: [&[u8]; 3] = [&write_small(version), &recipients, &encrypted];
        Some(content_info(oid::ENVELOPED_DATA, &write(SEQUENCE, &fields)))
    }
}
