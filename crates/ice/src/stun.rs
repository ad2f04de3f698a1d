//! STUN messages (RFC 8489): decoded as views over bytes, encoded into a caller's buffer.

mod client;
mod encode;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

pub use client::{BindingRequest, ResponseError, Role, decode_binding_response};
pub use encode::Encoder;

/// Bytes before the attributes.
pub const HEADER_LEN: usize = 20;
/// RFC 8489 §5.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;
/// The only method of ICE.
pub const BINDING: u16 = 0x001;

/// Attribute types (RFC 8489 §18.3, RFC 8445 §16.1). Those below 0x8000 must be understood.
pub mod attribute {
    /// `ours:theirs` in ICE.
    pub const USERNAME: u16 = 0x0006;
    /// HMAC-SHA1 of what stands before it.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// Why a request failed.
    pub const ERROR_CODE: u16 = 0x0009;
    /// What had to be understood and was not.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// HMAC-SHA256. ICE does not use it (RFC 8445 §7.1.2).
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// Where the request came from.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// Priority of the peer reflexive candidate that a check may find.
    pub const PRIORITY: u16 = 0x0024;
    /// Nominates the pair.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// A product's name.
    pub const SOFTWARE: u16 = 0x8022;
    /// CRC-32 of what stands before it.
    pub const FINGERPRINT: u16 = 0x8028;
    /// The sender is controlled; with its tie-breaker.
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// The sender controls; with its tie-breaker.
    pub const ICE_CONTROLLING: u16 = 0x802a;
}

const ATTRIBUTE_HEADER: usize = 4;
const INTEGRITY_LEN: usize = 20;
/// RFC 8489 §14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Ties a response to its request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TransactionId(pub [u8; 12]);

/// Kind of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessageClass {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// Success response.
    Success,
    /// Error response.
    Error,
}

/// A STUN message whose header, length and attributes fit.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: MessageClass,
    method: u16,
    transaction_id: TransactionId,
    /// Where MESSAGE-INTEGRITY stands.
    integrity_at: Option<usize>,
    /// Where FINGERPRINT stands: at the end.
    fingerprint_at: Option<usize>,
}

impl<'a> Message<'a> {
    /// `None` unless cookie and length are right, every attribute fits, the lengths of MESSAGE-INTEGRITY and FINGERPRINT
    /// are right, and FINGERPRINT is the last attribute. Linear in the length of the message.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let message_type = u16::from_be_bytes([header[0], header[1]]);
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let fits = bytes.len() == HEADER_LEN + length && length.is_multiple_of(4);
        if message_type & 0xc000 != 0 || cookie != MAGIC_COOKIE || !fits {
            return None;
        }
        let transaction_id = TransactionId(*header.last_chunk::<12>()?);
        let (class, method) = split_type(message_type);
        let mut message = Self { bytes, class, method, transaction_id, integrity_at: None, fingerprint_at: None };
        let mut at = HEADER_LEN;
        while at < bytes.len() {
            let attribute = Attribute::at(bytes, at)?;
            if message.fingerprint_at.is_some() {
                return None;
            }
            match (attribute.attribute_type, attribute.value.len()) {
                (attribute::MESSAGE_INTEGRITY, INTEGRITY_LEN) => {
                    message.integrity_at.get_or_insert(at);
                }
                (attribute::FINGERPRINT, 4) => message.fingerprint_at = Some(at),
                (attribute::MESSAGE_INTEGRITY | attribute::FINGERPRINT, _) => return None,
                _ => {}
            }
            at += attribute.wire_len();
        }
        Some(message)
    }

    /// Length of the whole message in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a message is never empty: it has a header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Kind of message.
    pub fn class(&self) -> MessageClass {
        self.class
    }

    /// [`BINDING`] in ICE.
    pub fn method(&self) -> u16 {
        self.method
    }

    /// Chosen by whoever asked.
    pub fn transaction_id(&self) -> TransactionId {
        self.transaction_id
    }

    /// The attributes before MESSAGE-INTEGRITY, which, once it is verified, are all that may be believed
    /// (RFC 8489 §14.5).
    pub fn attributes(&self) -> Attributes<'a> {
        let end = self.integrity_at.or(self.fingerprint_at).unwrap_or(self.bytes.len());
        Attributes { bytes: self.bytes.get(..end).unwrap_or_default(), at: HEADER_LEN }
    }

    /// Value of the first attribute of this type (RFC 8489 §14: a repetition is ignored).
    pub fn attribute(&self, attribute_type: u16) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.attribute_type == attribute_type).map(|attribute| attribute.value)
    }

    /// Attributes that had to be understood and are not known here.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = u16> + 'a {
        self.attributes().map(|attribute| attribute.attribute_type).filter(|&attribute_type| {
            attribute_type < 0x8000
                && !matches!(
                    attribute_type,
                    // MAPPED-ADDRESS, REALM and NONCE have no meaning in ICE, and do no harm.
                    0x0001
                        | 0x0014
                        | 0x0015
                        | attribute::USERNAME
                        | attribute::ERROR_CODE
                        | attribute::UNKNOWN_ATTRIBUTES
                        | attribute::XOR_MAPPED_ADDRESS
                        | attribute::PRIORITY
                        | attribute::USE_CANDIDATE
                )
        })
    }

    /// True when there is a MESSAGE-INTEGRITY.
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// True when MESSAGE-INTEGRITY is there and right for this short-term password (RFC 8489 §14.5). Takes the same time
    /// whichever byte differs.
    pub fn verify_integrity(&self, password: &str) -> bool {
        let verify = |at: usize| {
            let value = self.bytes.get(at + ATTRIBUTE_HEADER..at + ATTRIBUTE_HEADER + INTEGRITY_LEN)?;
            integrity(self.bytes.get(..at)?, password)?.verify_slice(value).ok()
        };
        self.integrity_at.and_then(verify).is_some()
    }

    /// True when FINGERPRINT is there and right (RFC 8489 §14.7).
    pub fn verify_fingerprint(&self) -> bool {
        let verify = |at: usize| {
            let value = self.bytes.get(at + ATTRIBUTE_HEADER..)?.first_chunk::<4>()?;
            (fingerprint(self.bytes.get(..at)?) == u32::from_be_bytes(*value)).then_some(())
        };
        self.fingerprint_at.and_then(verify).is_some()
    }

    /// USERNAME as its two parts, the receiver's ufrag first (RFC 8445 §7.2.2).
    pub fn username(&self) -> Option<(&'a [u8], &'a [u8])> {
        let username = self.attribute(attribute::USERNAME)?;
        let colon = username.iter().position(|&byte| byte == b':')?;
        Some((username.get(..colon)?, username.get(colon + 1..)?))
    }

    /// PRIORITY; `None` when it is not there or not four bytes long.
    pub fn priority(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.attribute(attribute::PRIORITY)?.try_into().ok()?))
    }

    /// True when USE-CANDIDATE is there.
    pub fn use_candidate(&self) -> bool {
        self.attribute(attribute::USE_CANDIDATE).is_some()
    }

    /// Code of an error response, 300 to 699 (RFC 8489 §14.8).
    pub fn error_code(&self) -> Option<u16> {
        let &[_, _, class, number, ..] = self.attribute(attribute::ERROR_CODE)? else { return None };
        Some(u16::from(class & 7) * 100 + u16::from(number))
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        let (&[_, family, p0, p1], address) = self.attribute(attribute::XOR_MAPPED_ADDRESS)?.split_first_chunk()?;
        let mask = address_mask(self.transaction_id);
        let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
        let ip = match family {
            0x01 => IpAddr::V4(Ipv4Addr::from(xor(*<&[u8; 4]>::try_from(address).ok()?, mask))),
            0x02 => IpAddr::V6(Ipv6Addr::from(xor(*<&[u8; 16]>::try_from(address).ok()?, mask))),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

/// One attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// See [`attribute`].
    pub attribute_type: u16,
    /// Without padding.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let (&[t0, t1, l0, l1], rest) = bytes.get(at..)?.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        rest.get(..len.next_multiple_of(4))?; // padding counts, whatever its bytes are
        Some(Self { attribute_type: u16::from_be_bytes([t0, t1]), value: rest.get(..len)? })
    }

    fn wire_len(&self) -> usize {
        ATTRIBUTE_HEADER + self.value.len().next_multiple_of(4)
    }
}

/// Iterates over attributes.
#[derive(Clone)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let attribute = Attribute::at(self.bytes, self.at)?;
        self.at += attribute.wire_len();
        Some(attribute)
    }
}

/// RFC 8489 §5: the class's two bits stand among those of the method.
fn split_type(message_type: u16) -> (MessageClass, u16) {
    let class = match (message_type & 0x0100 != 0, message_type & 0x0010 != 0) {
        (false, false) => MessageClass::Request,
        (false, true) => MessageClass::Indication,
        (true, false) => MessageClass::Success,
        (true, true) => MessageClass::Error,
    };
    (class, message_type & 0x000f | (message_type & 0x00e0) >> 1 | (message_type & 0x3e00) >> 2)
}

fn join_type(class: MessageClass, method: u16) -> u16 {
    let class = match class {
        MessageClass::Request => 0x0000,
        MessageClass::Indication => 0x0010,
        MessageClass::Success => 0x0100,
        MessageClass::Error => 0x0110,
    };
    class | method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2
}

/// HMAC over `before`, the message up to MESSAGE-INTEGRITY, with a length that ends behind it (RFC 8489 §14.5).
fn integrity(before: &[u8], password: &str) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).ok()?;
    let length = before.len().checked_sub(HEADER_LEN)? + ATTRIBUTE_HEADER + INTEGRITY_LEN;
    mac.update(before.get(..2)?);
    mac.update(&u16::try_from(length).ok()?.to_be_bytes());
    mac.update(before.get(4..)?);
    Some(mac)
}

/// CRC-32 over `before`, the message up to FINGERPRINT, whose length already counts it.
fn fingerprint(before: &[u8]) -> u32 {
    crc32fast::hash(before) ^ FINGERPRINT_XOR
}

/// Cookie and transaction id: what addresses are hidden under from meddling NATs.
fn address_mask(TransactionId(transaction_id): TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(4);
    cookie.copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    rest.copy_from_slice(&transaction_id);
    mask
}

fn xor<const N: usize>(mut bytes: [u8; N], mask: [u8; 16]) -> [u8; N] {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

#[cfg(test)]
mod tests;
