//! Elements of DER, read one after the other, and written (X.690). The reading is `der`'s.

use der::asn1::ObjectIdentifier;
use der::{Decode, Header, Reader, SliceReader};

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// `[number]` around or in place of a constructed element.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xA0 | number
}

/// `[number]` in place of a primitive element.
pub(crate) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// The bytes are not what the syntax asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

impl From<der::Error> for Malformed {
    fn from(_: der::Error) -> Self {
        Self
    }
}

/// One element: tag, content, and both with the length between them.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The only element of these bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::of(bytes)?;
        let element = fields.element()?;
        fields.end()?;
        Ok(element)
    }

    /// What a constructed element holds.
    pub(crate) fn fields(&self) -> Result<Fields<'a>, Malformed> {
        if self.tag & 0x20 == 0 { Err(Malformed) } else { Fields::of(self.content) }
    }

    pub(crate) fn oid(&self) -> Result<ObjectIdentifier, Malformed> {
        Ok(ObjectIdentifier::from_der(self.whole)?)
    }

    /// The bytes of a BIT STRING that has no unused bits.
    pub(crate) fn whole_bits(&self) -> Result<&'a [u8], Malformed> {
        match self.content.split_first() {
            Some((0, bytes)) if self.tag == BIT_STRING => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// Elements that follow each other.
#[derive(Clone)]
pub(crate) struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    pub(crate) fn of(content: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self(SliceReader::new(content)?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) fn element(&mut self) -> Result<Element<'a>, Malformed> {
        let whole = self.0.tlv_bytes()?;
        let mut reader = SliceReader::new(whole)?;
        let length = Header::decode(&mut reader)?.length();
        let content = reader.read_slice(length)?;
        match whole.first() {
            // Nothing in CMS or X.509 has a tag number of several bytes.
            Some(tag) if tag & 0x1F != 0x1F => Ok(Element { tag: *tag, content, whole }),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        self.element().and_then(|element| if element.tag == tag { Ok(element) } else { Err(Malformed) })
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        if self.0.peek_byte() == Some(tag) { self.element().map(Some) } else { Ok(None) }
    }

    /// Enters the next element, which has this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.expect(tag)?.fields()
    }

    /// All that is left, at most `limit` elements.
    pub(crate) fn rest(mut self, limit: usize) -> Result<Vec<Element<'a>>, Malformed> {
        let mut elements = Vec::new();
        while !self.is_empty() {
            if elements.len() == limit {
                return Err(Malformed);
            }
            elements.push(self.element()?);
        }
        Ok(elements)
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// AlgorithmIdentifier (RFC 5280 §4.1.1.2).
#[derive(Clone, Copy)]
pub(crate) struct Algorithm<'a> {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) parameters: Option<Element<'a>>,
    pub(crate) whole: &'a [u8],
}

impl<'a> Algorithm<'a> {
    pub(crate) fn read(element: Element<'a>) -> Result<Self, Malformed> {
        if element.tag != SEQUENCE {
            return Err(Malformed);
        }
        let mut fields = element.fields()?;
        let oid = fields.expect(OID)?.oid()?;
        let parameters = if fields.is_empty() { None } else { Some(fields.element()?) };
        fields.end()?;
        Ok(Self { oid, parameters, whole: element.whole })
    }

    /// Whether the parameters are absent or NULL.
    pub(crate) fn is_plain(&self) -> bool {
        self.parameters.is_none_or(|parameters| parameters.tag == NULL)
    }
}

/// An element with these pieces as its content.
pub(crate) fn write(tag: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut bytes = Vec::with_capacity(length + 6);
    bytes.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let length = length.to_be_bytes();
            let from = length.iter().position(|byte| *byte != 0).unwrap_or(0);
            let digits = length.get(from..).unwrap_or(&[]);
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            bytes.extend_from_slice(digits);
        }
    }
    pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}

pub(crate) fn write_oid(oid: ObjectIdentifier) -> Vec<u8> {
    write(OID, &[oid.as_bytes()])
}

/// AlgorithmIdentifier with parameters as given, already encoded; none if empty.
pub(crate) fn write_algorithm(oid: ObjectIdentifier, parameters: &[u8]) -> Vec<u8> {
    write(SEQUENCE, &[&write_oid(oid), parameters])
}

/// An INTEGER of one byte.
pub(crate) fn write_small(value: u8) -> Vec<u8> {
    write(INTEGER, &[&[value & 0x7F]])
}

/// A SET OF: its members in DER's order (X.690 §11.6).
pub(crate) fn write_set(tag: u8, mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    let members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    write(tag, &members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for (length, head) in [(0, &[4, 0][..]), (127, &[4, 127]), (128, &[4, 0x81, 128]), (300, &[4, 0x82, 1, 44])] {
            let content = vec![7; length];
            let bytes = write(OCTET_STRING, &[&content]);
            assert_eq!(bytes[..head.len()], *head);
            assert_eq!(Element::read(&bytes).unwrap().content, content);
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in [
            &[0x04, 0x05, 1][..],
            &[0x04, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            &[0x04, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x04, 0x81, 0x01, 1],
            &[0x04, 0x80, 0, 0],
            &[0x30, 0x80],
            &[0x04],
            &[],
            &[0x1F, 0x81, 0x01, 0x00],
        ] {
            assert!(Element::read(bytes).is_err(), "{bytes:02x?}");
        }
        assert!(Element::read(&[0x04, 0x01, 1]).is_ok());
    }

    #[test]
    fn lists_are_counted_while_they_are_read() {
        let list = [5, 0].repeat(4);
        assert!(Fields::of(&list).unwrap().rest(3).is_err());
        assert_eq!(Fields::of(&list).unwrap().rest(4).unwrap().len(), 4);
    }
}
