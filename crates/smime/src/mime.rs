//! Bodies as MIME entities, and CMS in them (RFC 8551 §3).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sip::{Body, Limits, MediaType, Part, name, split_multipart};

use crate::asn1::Malformed;
use crate::ber::to_der;

const TRANSFER_ENCODING: &str = "Content-Transfer-Encoding";

/// Characters of a line of base64 (RFC 2045 §6.8 allows 76).
const LINE: usize = 64;

/// How a body is secured, by its Content-Type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `multipart/signed` with a CMS signature.
    Detached,
    /// `application/pkcs7-mime`, whatever is in it: `smime-type` is a hint and may be missing (RFC 8551 §3.2.2).
    Cms,
    /// Secured in a way that is not S/MIME's, such as OpenPGP's.
    Foreign,
}

impl Kind {
    /// `None` for a body that is not secured.
    pub(crate) fn of(media: &MediaType) -> Option<Self> {
        if media.is("application", "pkcs7-mime") || media.is("application", "x-pkcs7-mime") {
            Some(Self::Cms)
        } else if media.is("multipart", "signed") {
            let protocol = media.params.get("protocol").unwrap_or("");
            let ours = ["application/pkcs7-signature", "application/x-pkcs7-signature"];
            let is_ours = ours.iter().any(|own| protocol.eq_ignore_ascii_case(own));
            Some(if is_ours { Self::Detached } else { Self::Foreign })
        } else {
            media.is("multipart", "encrypted").then_some(Self::Foreign)
        }
    }
}

/// Why an entity cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntityFault {
    Malformed,
    /// A Content-Transfer-Encoding other than base64 and those that change nothing.
    Encoding,
}

/// A MIME entity as a body, its transfer encoding undone. Without a Content-Type it is text (RFC 2045 §5.2).
pub(crate) fn read_entity(raw: &[u8]) -> Result<Body, EntityFault> {
    let part = Part::parse(raw, &Limits::default()).map_err(|_| EntityFault::Malformed)?;
    body_of(&part)
}

fn body_of(part: &Part<'_>) -> Result<Body, EntityFault> {
    let content_type = part.headers.value(name::CONTENT_TYPE).map_or("text/plain".into(), Cow::into_owned);
    let encoding = part.headers.value(TRANSFER_ENCODING).unwrap_or_default();
    let bytes = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "7bit" | "8bit" | "binary" => part.body.to_vec(),
        "base64" => decode_base64(part.body).ok_or(EntityFault::Malformed)?,
        _ => return Err(EntityFault::Encoding),
    };
    Ok(Body { content_type, bytes })
}

/// The signed entity, byte for byte, and the content of the second part of a `multipart/signed` (RFC 8551 §3.5.3).
pub(crate) fn split_signed<'a>(body: &'a Body, media: &MediaType) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let parts = split_multipart(&body.bytes, media, &Limits::default()).map_err(|_| Malformed)?;
    let [entity, signature] = parts.as_slice() else { return Err(Malformed) };
    Ok((entity.raw, signature.body))
}

/// CMS in DER, from BER or base64 of it. No BER begins as base64 does.
pub(crate) fn read_cms(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    match bytes.first() {
        Some(0x30) => to_der(bytes),
        _ => to_der(&decode_base64(bytes).ok_or(Malformed)?),
    }
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

/// The entity that is signed or encrypted in place of a body. CMS in it is base64, since some mailers' libraries read a signed
/// entity as lines of text.
pub(crate) fn write_entity(body: &Body) -> Vec<u8> {
    // A line end in the type would begin another header.
    let content_type: String = body.content_type.chars().filter(|character| !character.is_control()).collect();
    let mut entity = format!("Content-Type: {content_type}\r\n").into_bytes();
    if MediaType::parse(&content_type).is_some_and(|media| Kind::of(&media) == Some(Kind::Cms)) {
        entity.extend_from_slice(format!("{TRANSFER_ENCODING}: base64\r\n\r\n").as_bytes());
        write_base64(&body.bytes, &mut entity);
    } else {
        entity.extend_from_slice(b"\r\n");
        entity.extend_from_slice(&body.bytes);
    }
    entity
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for line in STANDARD.encode(bytes).as_bytes().chunks(LINE) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

/// `multipart/signed` of an entity and its signature. The boundary must not occur in the entity.
pub(crate) fn write_signed(entity: &[u8], signature: &[u8], micalg: &str, boundary: &str) -> Body {
    let mut bytes = format!("--{boundary}\r\n").into_bytes();
    bytes.extend_from_slice(entity);
    bytes.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    bytes.extend_from_slice(b"Content-Type: application/pkcs7-signature;name=smime.p7s\r\n");
    bytes.extend_from_slice(format!("{TRANSFER_ENCODING}: base64\r\n").as_bytes());
    bytes.extend_from_slice(b"Content-Disposition: attachment;filename=smime.p7s;handling=required\r\n\r\n");
    write_base64(signature, &mut bytes);
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let content_type =
        format!("multipart/signed;protocol=\"application/pkcs7-signature\";micalg={micalg};boundary=\"{boundary}\"");
    Body { content_type, bytes }
}

/// `application/pkcs7-mime` in binary, as SIP carries it.
pub(crate) fn write_cms(cms: Vec<u8>, smime_type: &str, file: &str) -> Body {
    Body { content_type: format!("application/pkcs7-mime;smime-type={smime_type};name={file}"), bytes: cms }
}
