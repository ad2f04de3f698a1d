//! User name fragment and password (RFC 8839 §5.4).

use std::fmt;

use zeroize::Zeroize;

/// User name fragment and password of one side of ICE. The password is wiped on drop; there is no Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// 4 to 256 characters.
    pub ufrag: String,
    /// 22 to 256 characters.
    pub pwd: String,
}

/// Why a peer's credentials are not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CredentialsError {
    /// `ice-ufrag` is not 4 to 256 characters long.
    UfragLength(usize),
    /// `ice-pwd` is not 22 to 256 characters long.
    PasswordLength(usize),
    /// `ice-ufrag` has a character that is not visible ASCII, or a colon.
    UfragCharacter,
    /// `ice-pwd` has a character that is not visible ASCII.
    PasswordCharacter,
}

impl Credentials {
    /// Checks what a peer signalled. Lengths are those of RFC 8839 §5.4. Its alphabet (letters, digits, `+`, `/`) is not
    /// insisted on: any visible ASCII will do, but for a colon in the ufrag, which would make USERNAME ambiguous.
    pub fn new(ufrag: impl Into<String>, pwd: impl Into<String>) -> Result<Self, CredentialsError> {
        let credentials = Self { ufrag: ufrag.into(), pwd: pwd.into() };
        let (ufrag, pwd) = (&credentials.ufrag, &credentials.pwd);
        if !(4..=256).contains(&ufrag.len()) {
            return Err(CredentialsError::UfragLength(ufrag.len()));
        }
        if !(22..=256).contains(&pwd.len()) {
            return Err(CredentialsError::PasswordLength(pwd.len()));
        }
        if !ufrag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            return Err(CredentialsError::UfragCharacter);
        }
        if !pwd.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialsError::PasswordCharacter);
        }
        Ok(credentials)
    }

    /// Makes credentials from 24 bytes of a cryptographic random source: an ufrag of 8 characters (48 bits) and a
    /// password of 24 (144 bits; RFC 8445 §5.3 asks for 24 and 128).
    pub fn generate(random: &[u8; 24]) -> Self {
        let mut characters = random.as_chunks::<3>().0.iter().flat_map(|&[a, b, c]| {
            let bits = u32::from_be_bytes([0, a, b, c]);
            [bits >> 18, bits >> 12, bits >> 6, bits].map(ice_char)
        });
        let ufrag = characters.by_ref().take(8).collect();
        let pwd = characters.collect();
        Self { ufrag, pwd }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.pwd.zeroize();
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UfragLength(len) => write!(f, "ice-ufrag of {len} characters, not 4 to 256"),
            Self::PasswordLength(len) => write!(f, "ice-pwd of {len} characters, not 22 to 256"),
            Self::UfragCharacter => f.write_str("ice-ufrag with a character that is not allowed"),
            Self::PasswordCharacter => f.write_str("ice-pwd with a character that is not allowed"),
        }
    }
}

impl std::error::Error for CredentialsError {}

/// RFC 8839 §5.1: ice-char is a letter, a digit, `+` or `/`; 64 in all.
fn ice_char(bits: u32) -> char {
    let bits = (bits & 0x3f) as u8;
    char::from(match bits {
        0..26 => b'A' + bits,
        26..52 => b'a' + (bits - 26),
        52..62 => b'0' + (bits - 52),
        62 => b'+',
        _ => b'/',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_credentials_have_legal_lengths_and_letters() {
        let credentials = Credentials::generate(&std::array::from_fn(|index| (index * 11) as u8));
        assert_eq!((credentials.ufrag.len(), credentials.pwd.len()), (8, 24));
        let all = [credentials.ufrag.as_str(), &credentials.pwd].concat();
        assert!(all.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'));
        assert!(Credentials::new(credentials.ufrag.clone(), credentials.pwd.clone()).is_ok());
    }

    #[test]
    fn every_random_bit_counts() {
        let base = Credentials::generate(&[0; 24]);
        for bit in 0..192 {
            let mut random = [0; 24];
            random[bit / 8] = 1 << (bit % 8);
            assert!(Credentials::generate(&random) != base, "bit {bit}");
        }
    }

    #[test]
    fn lengths_and_characters_of_a_peer_are_checked() {
        let pwd = "p".repeat(22);
        assert!(Credentials::new("abcd", &pwd).is_ok());
        assert!(matches!(Credentials::new("abc", &pwd), Err(CredentialsError::UfragLength(3))));
        assert!(matches!(Credentials::new("a".repeat(257), &pwd), Err(CredentialsError::UfragLength(257))));
        assert!(matches!(Credentials::new("abcd", "p".repeat(21)), Err(CredentialsError::PasswordLength(21))));
        assert!(matches!(Credentials::new("abcd", "p".repeat(257)), Err(CredentialsError::PasswordLength(257))));
        assert!(matches!(Credentials::new("ab:d", &pwd), Err(CredentialsError::UfragCharacter)));
        assert!(matches!(Credentials::new("ab d", &pwd), Err(CredentialsError::UfragCharacter)));
        assert!(matches!(Credentials::new("abcd", "é".repeat(22)), Err(CredentialsError::PasswordCharacter)));
    }
}
