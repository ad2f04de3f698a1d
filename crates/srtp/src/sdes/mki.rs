//! MKI values: decimal numbers in up to 128 big-endian bytes.

/// The big-endian bytes of a decimal number in exactly `len` bytes; `None` when it is no number or does not fit.
pub(super) fn from_decimal(digits: &str, len: usize) -> Option<Vec<u8>> {
    // 10^309 needs more than 128 bytes; leading zeros are refused with the rest of what nobody sends.
    if digits.is_empty() || digits.len() > 309 || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let mut bytes = vec![0u8; len];
    for digit in digits.chars() {
        let mut carry = digit.to_digit(10)?;
        for byte in bytes.iter_mut().rev() {
            let value = u32::from(*byte) * 10 + carry;
            *byte = (value & 0xff) as u8;
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

/// The decimal number in those bytes.
pub(super) fn to_decimal(bytes: &[u8]) -> String {
    let mut rest = bytes.to_vec();
    let mut digits = Vec::new();
    while digits.is_empty() || rest.iter().any(|byte| *byte != 0) {
        let mut remainder = 0;
        for byte in &mut rest {
            let value = remainder * 256 + u32::from(*byte);
            *byte = (value / 10) as u8;
            remainder = value % 10;
        }
        digits.push(char::from_digit(remainder, 10).unwrap_or('0'));
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_survive() {
        let table: [(&str, usize, &[u8]); 5] = [
            ("0", 1, &[0]),
            ("1", 4, &[0, 0, 0, 1]),
            ("255", 1, &[255]),
            ("3791223309", 4, &[0xe1, 0xf9, 0x7a, 0x0d]),
            ("18446744073709551616", 9, &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (digits, len, bytes) in table {
            assert_eq!(from_decimal(digits, len).as_deref(), Some(bytes), "{digits}");
            assert_eq!(to_decimal(bytes), digits);
        }
        let longest = to_decimal(&[255; 128]);
        assert_eq!(from_decimal(&longest, 128), Some(vec![255; 128]));
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused() {
        for (digits, len) in [("256", 1), ("", 1), ("01", 4), ("1x", 4), ("-1", 4), ("٣", 4)] {
            assert_eq!(from_decimal(digits, len), None, "{digits}");
        }
        assert_eq!(from_decimal(&"9".repeat(400), 128), None);
    }
}
