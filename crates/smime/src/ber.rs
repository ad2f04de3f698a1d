//! BER into DER. CMS may come in BER (RFC 5652 §2): with lengths that are found only at the end, and octet strings in pieces.

use crate::asn1::{Malformed, OCTET_STRING, write};

/// Constructed elements within each other. A certificate in a signed message has about fifteen.
const MAX_DEPTH: usize = 32;

const PIECEWISE_OCTETS: u8 = 0x20 | OCTET_STRING;

/// The same element with definite lengths of the shortest form and octet strings in one piece. What is DER already comes
/// out as it is, so that what a signature covers stays byte for byte. The cost is linear in the input times the depth.
pub(crate) fn to_der(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(bytes.len());
    let rest = convert(bytes, 0, &mut out)?;
    if rest.is_empty() { Ok(out) } else { Err(Malformed) }
}

/// Converts the first element and returns what follows it.
fn convert<'a>(bytes: &'a [u8], depth: usize, out: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    let (&tag, rest) = bytes.split_first().ok_or(Malformed)?;
    let (length, rest) = length(rest)?;
    let is_constructed = tag & 0x20 != 0;
    if tag == 0 || tag & 0x1F == 0x1F || depth > MAX_DEPTH {
        return Err(Malformed);
    }
    let (mut content, after) = match length {
        Some(length) => rest.split_at_checked(length).ok_or(Malformed)?,
        None if is_constructed => (rest, &[][..]),
        None => return Err(Malformed),
    };
    if !is_constructed {
        out.extend_from_slice(&write(tag, &[content]));
        return Ok(after);
    }
    let mut members = Vec::new();
    let after = loop {
        match (length, content) {
            (Some(_), []) => break after,
            (None, [0, 0, after @ ..]) => break after,
            _ if tag == PIECEWISE_OCTETS => content = piece(content, depth, &mut members)?,
            _ => content = convert(content, depth + 1, &mut members)?,
        }
    };
    let tag = if tag == PIECEWISE_OCTETS { OCTET_STRING } else { tag };
    out.extend_from_slice(&write(tag, &[&members]));
    Ok(after)
}

/// Appends the content of one piece of an octet string.
fn piece<'a>(bytes: &'a [u8], depth: usize, out: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    let mut whole = Vec::new();
    let rest = convert(bytes, depth + 1, &mut whole)?;
    let element = crate::asn1::Element::read(&whole)?;
    if element.tag != OCTET_STRING {
        return Err(Malformed);
    }
    out.extend_from_slice(element.content);
    Ok(rest)
}

/// A length, `None` if it is indefinite, and what follows it.
fn length(bytes: &[u8]) -> Result<(Option<usize>, &[u8]), Malformed> {
    match bytes.split_first().ok_or(Malformed)? {
        (&short @ 0..0x80, rest) => Ok((Some(usize::from(short)), rest)),
        (0x80, rest) => Ok((None, rest)),
        // Four bytes of length are more than any body has.
        (&digits @ 0x81..=0x84, rest) => {
            let (digits, rest) = rest.split_at_checked(usize::from(digits & 0x7F)).ok_or(Malformed)?;
            Ok((Some(digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit))), rest))
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indefinite_lengths_and_pieces_become_der() {
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 1, 7, 0x24, 3, 4, 1, 8, 0, 0, 2, 0x81, 1, 5, 0, 0];
        assert_eq!(to_der(&ber).unwrap(), [0x30, 7, 4, 2, 7, 8, 2, 1, 5]);
    }

    #[test]
    fn der_stays_as_it_is() {
        let der = [0x30, 7, 4, 2, 7, 8, 2, 1, 5];
        assert_eq!(to_der(&der).unwrap(), der);
    }

    #[test]
    fn what_is_no_ber_is_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x80, 0],
            &[0x04, 0x80, 0, 0],
            &[0x30, 2, 4, 1],
            &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            &[0x24, 2, 5, 0],
            &[0x30, 0, 0],
            &[0, 0],
        ] {
            assert!(to_der(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [[0x30, 0x80].repeat(depth), [0, 0].repeat(depth)].concat();
        assert!(to_der(&nested(30)).is_ok());
        assert!(to_der(&nested(40)).is_err());
        assert!(to_der(&nested(40_000)).is_err());
    }
}
