//! Writes STUN messages.

use std::net::{IpAddr, SocketAddr};

use hmac::Mac;

use super::{
    HEADER_LEN, INTEGRITY_LEN, MAGIC_COOKIE, MessageClass, TransactionId, address_mask, attribute, fingerprint,
    integrity, join_type, xor,
};

/// Writes one message into a buffer, attribute by attribute. When the buffer is too short, everything after is passed
/// over and [`Encoder::finish`] says so.
pub struct Encoder<'a> {
    buffer: &'a mut [u8],
    /// `None` once something did not fit.
    len: Option<usize>,
    transaction_id: TransactionId,
}

impl<'a> Encoder<'a> {
    /// Begins a message: its header.
    pub fn new(buffer: &'a mut [u8], class: MessageClass, method: u16, transaction_id: TransactionId) -> Self {
        let mut encoder = Self { buffer, len: Some(0), transaction_id };
        encoder.append(&join_type(class, method).to_be_bytes());
        encoder.append(&[0, 0]);
        encoder.append(&MAGIC_COOKIE.to_be_bytes());
        encoder.append(&transaction_id.0);
        encoder
    }

    /// Any attribute; padded with zeros.
    pub fn attribute(&mut self, attribute_type: u16, value: &[u8]) -> &mut Self {
        self.attribute_of(attribute_type, &[value])
    }

    /// USERNAME: the receiver's ufrag, a colon, the sender's.
    pub fn username(&mut self, receiver: &str, sender: &str) -> &mut Self {
        self.attribute_of(attribute::USERNAME, &[receiver.as_bytes(), b":", sender.as_bytes()])
    }

    /// XOR-MAPPED-ADDRESS. An IPv4 address mapped into IPv6 is written as IPv4.
    pub fn xor_mapped_address(&mut self, address: SocketAddr) -> &mut Self {
        let mask = address_mask(self.transaction_id);
        let port = xor(address.port().to_be_bytes(), mask);
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                self.attribute_of(attribute::XOR_MAPPED_ADDRESS, &[&[0, 1], &port, &xor(ip.octets(), mask)])
            }
            IpAddr::V6(ip) => {
                self.attribute_of(attribute::XOR_MAPPED_ADDRESS, &[&[0, 2], &port, &xor(ip.octets(), mask)])
            }
        }
    }

    /// ERROR-CODE without a reason phrase, which is for diagnosis only (RFC 8489 §14.8).
    pub fn error_code(&mut self, code: u16) -> &mut Self {
        let (class, number) = (((code / 100) & 7) as u8, (code % 100) as u8);
        self.attribute(attribute::ERROR_CODE, &[0, 0, class, number])
    }

    /// MESSAGE-INTEGRITY over what is written so far.
    pub fn integrity(&mut self, password: &str) -> &mut Self {
        let mac = self.written().and_then(|before| integrity(before, password));
        match mac {
            Some(mac) => {
                let value: [u8; INTEGRITY_LEN] = mac.finalize().into_bytes().into();
                self.attribute(attribute::MESSAGE_INTEGRITY, &value)
            }
            None => {
                self.len = None;
                self
            }
        }
    }

    /// FINGERPRINT over what is written so far; the last attribute.
    pub fn fingerprint(&mut self) -> &mut Self {
        // Its own place is counted before the sum is taken.
        self.attribute(attribute::FINGERPRINT, &[0; 4]);
        if let Some(len) = self.len
            && let Some((before, rest)) = self.buffer.split_at_mut_checked(len.saturating_sub(8))
            && let Some(value) = rest.get_mut(4..8)
        {
            value.copy_from_slice(&fingerprint(before).to_be_bytes());
        }
        self
    }

    /// Length of the message; `None` when it did not fit.
    pub fn finish(&self) -> Option<usize> {
        self.len
    }

    fn attribute_of(&mut self, attribute_type: u16, parts: &[&[u8]]) -> &mut Self {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        match u16::try_from(len) {
            Ok(len) => {
                self.append(&attribute_type.to_be_bytes());
                self.append(&len.to_be_bytes());
            }
            Err(_) => self.len = None,
        }
        for part in parts {
            self.append(part);
        }
        self.append(&[0; 3][..(4 - len % 4) % 4]);
        self.write_length();
        self
    }

    fn append(&mut self, bytes: &[u8]) {
        self.len = self.len.and_then(|len| {
            let end = len.checked_add(bytes.len())?;
            self.buffer.get_mut(len..end)?.copy_from_slice(bytes);
            Some(end)
        });
    }

    fn write_length(&mut self) {
        self.len = self.len.and_then(|len| {
            let length = u16::try_from(len.checked_sub(HEADER_LEN)?).ok()?;
            self.buffer.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
            Some(len)
        });
    }

    fn written(&self) -> Option<&[u8]> {
        self.buffer.get(..self.len?)
    }
}
