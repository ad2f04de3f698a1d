//! Hashes and the computation of responses (RFC 7616 §3.4).

use super::credentials::Qop;
use crate::tokens::hex;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use std::fmt;
use zeroize::Zeroizing;

/// A hash that RFC 8760 allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum HashAlgorithm {
    /// For old peers.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256 of FIPS 180-4, which is not a truncated SHA-512.
    Sha512_256,
}

impl HashAlgorithm {
    /// Digits of a result.
    pub(crate) fn digits(self) -> usize {
        if self == Self::Md5 { 32 } else { 64 }
    }

    /// Of the parts, joined by colons, as lower-case hexadecimal.
    pub(crate) fn hash(self, parts: &[&[u8]]) -> String {
        fn run<D: Digest>(parts: &[&[u8]]) -> String {
            let mut digest = D::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    digest.update(b":");
                }
                digest.update(part);
            }
            hex(&digest.finalize())
        }
        match self {
            Self::Md5 => run::<Md5>(parts),
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha512_256 => run::<Sha512_256>(parts),
        }
    }
}

/// The `algorithm` parameter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DigestAlgorithm {
    /// The hash.
    pub hash: HashAlgorithm,
    /// `-sess`: the key of a nonce is made once, with the first cnonce.
    pub session: bool,
}

impl DigestAlgorithm {
    /// `MD5`.
    pub const MD5: Self = Self { hash: HashAlgorithm::Md5, session: false };
    /// `SHA-256`.
    pub const SHA_256: Self = Self { hash: HashAlgorithm::Sha256, session: false };
    /// `SHA-512-256`.
    pub const SHA_512_256: Self = Self { hash: HashAlgorithm::Sha512_256, session: false };

    /// Reads the parameter, without regard to case; `None` if it is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, session) = match text.len().checked_sub(5).and_then(|at| text.split_at_checked(at)) {
            Some((name, end)) if end.eq_ignore_ascii_case("-sess") => (name, true),
            _ => (text, false),
        };
        [Self::MD5, Self::SHA_256, Self::SHA_512_256]
            .into_iter()
            .find(|known| known.to_string().eq_ignore_ascii_case(name))
            .map(|known| Self { session, ..known })
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.hash {
            HashAlgorithm::Md5 => "MD5",
            HashAlgorithm::Sha256 => "SHA-256",
            HashAlgorithm::Sha512_256 => "SHA-512-256",
        })?;
        f.write_str(if self.session { "-sess" } else { "" })
    }
}

/// H(username:realm:password), which is as good as the password for its realm: wiped on drop, without Debug.
#[derive(Clone)]
pub struct Ha1 {
    hash: HashAlgorithm,
    hex: Zeroizing<String>,
}

impl Ha1 {
    /// From a password.
    pub fn new(hash: HashAlgorithm, username: &str, realm: &str, password: &str) -> Self {
        let hex = hash.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]);
        Self { hash, hex: Zeroizing::new(hex) }
    }

    /// As stored: 32 or 64 hexadecimal digits.
    pub fn from_hex(hash: HashAlgorithm, text: &str) -> Option<Self> {
        let valid = text.len() == hash.digits() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid.then(|| Self { hash, hex: Zeroizing::new(text.to_ascii_lowercase()) })
    }

    /// As it is to be stored.
    pub fn to_hex(&self) -> &str {
        &self.hex
    }

    pub(crate) fn hash(&self) -> HashAlgorithm {
        self.hash
    }
}

/// H(A1): with `-sess` nonce and cnonce go in (RFC 7616 §3.4.2).
pub(super) fn session_key(algorithm: DigestAlgorithm, ha1: &Ha1, nonce: &str, cnonce: &str) -> Zeroizing<String> {
    if algorithm.session {
        Zeroizing::new(algorithm.hash.hash(&[ha1.hex.as_bytes(), nonce.as_bytes(), cnonce.as_bytes()]))
    } else {
        ha1.hex.clone()
    }
}

/// What a response is computed from. `method` is empty for rspauth (RFC 7616 §3.5).
pub(super) struct Computation<'a> {
    pub(super) algorithm: DigestAlgorithm,
    pub(super) key: &'a str,
    pub(super) nonce: &'a str,
    /// nc as eight digits, cnonce and qop; `None` for a challenge without qop (RFC 2069's form).
    pub(super) counted: Option<(&'a str, &'a str, Qop)>,
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
}

impl Computation<'_> {
    pub(super) fn response(&self) -> String {
        let hash = self.algorithm.hash;
        let a2 = match self.counted {
            Some((.., Qop::AuthInt)) => {
                hash.hash(&[self.method.as_bytes(), self.uri.as_bytes(), hash.hash(&[self.body]).as_bytes()])
            }
            _ => hash.hash(&[self.method.as_bytes(), self.uri.as_bytes()]),
        };
        match self.counted {
            Some((nc, cnonce, qop)) => hash.hash(&[
                self.key.as_bytes(),
                self.nonce.as_bytes(),
                nc.as_bytes(),
                cnonce.as_bytes(),
                qop.as_str().as_bytes(),
                a2.as_bytes(),
            ]),
            None => hash.hash(&[self.key.as_bytes(), self.nonce.as_bytes(), a2.as_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        algorithm: DigestAlgorithm,
        user: [&'static str; 3],
        nonce: &'static str,
        cnonce: &'static str,
        qop: Qop,
        method: &'static str,
        uri: &'static str,
        body: &'static [u8],
        response: &'static str,
    }

    fn check(vector: &Vector) {
        let [username, realm, password] = vector.user;
        let ha1 = Ha1::new(vector.algorithm.hash, username, realm, password);
        let key = session_key(vector.algorithm, &ha1, vector.nonce, vector.cnonce);
        let response = Computation {
            algorithm: vector.algorithm,
            key: &key,
            nonce: vector.nonce,
            counted: Some(("00000001", vector.cnonce, vector.qop)),
            method: vector.method,
            uri: vector.uri,
            body: vector.body,
        }
        .response();
        assert_eq!(response, vector.response, "{} {}", vector.algorithm, vector.qop.as_str());
    }

    /// RFC 7616 §3.9.1; RFC 2617 §3.5; RFC 7616 §3.9.2 with the corrected value (the printed one is of a truncated SHA-512).
    #[test]
    fn responses_are_those_of_the_rfcs() {
        let mufasa = ["Mufasa", "http-auth@example.org", "Circle of Life"];
        let vector = Vector {
            algorithm: DigestAlgorithm::MD5,
            user: mufasa,
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            qop: Qop::Auth,
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
            response: "8ca523f5e9506fed4657c9700eebdbec",
        };
        check(&vector);
        check(&Vector {
            algorithm: DigestAlgorithm::SHA_256,
            response: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ..vector
        });
        check(&Vector {
            user: ["Mufasa", "testrealm@host.com", "Circle Of Life"],
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            response: "6629fae49393a05397450978507c4ef1",
            ..vector
        });
        check(&Vector {
            algorithm: DigestAlgorithm::SHA_512_256,
            user: ["J\u{e4}s\u{f8}n Doe", "api@example.org", "Secret, or not?"],
            nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            uri: "/doe.json",
            response: "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
            ..vector
        });
    }

    /// Computed with Python's hashlib.
    #[test]
    fn responses_are_those_of_another_implementation() {
        for (algorithm, qop, with_body, response) in VECTORS {
            check(&Vector {
                algorithm: DigestAlgorithm::parse(algorithm).unwrap(),
                user: ["bob", "biloxi.com", "zanzibar"],
                nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
                cnonce: "0a4f113b",
                qop,
                method: "REGISTER",
                uri: "sip:biloxi.com",
                body: if with_body { b"v=0\r\n" } else { b"" },
                response,
            });
        }
    }

    const VECTORS: [(&str, Qop, bool, &str); 9] = [
        ("MD5", Qop::Auth, false, "9e2d1006810044fd79f39476209ae31a"),
        ("SHA-256", Qop::Auth, false, "93e0e23c30bf2e3b139a3410a7edc9a5b15b1cfd8fd557ca8ee303e4372339a1"),
        ("SHA-512-256", Qop::Auth, false, "4bf969d821d66b375c5b96ab92a04ea44a9f7a2a259b9351753b177ccd0cd062"),
        ("MD5-sess", Qop::Auth, false, "d20652dbd76d31d860900c50052719f5"),
        ("sha-256-SESS", Qop::Auth, false, "c7a3482824c9edb1f43c541a2b65b28ac79600c0718ae1c33ad53facdeb09577"),
        ("SHA-512-256-sess", Qop::Auth, false, "d4d982175dbbf48bfe8ada69e6a51f82c872e88fe8ff37627b13b15108fba843"),
        ("MD5", Qop::AuthInt, false, "21b30cb3720f1d6f22eba30b35c52265"),
        ("SHA-256", Qop::AuthInt, true, "36ba2f6e54ec92aaffb7babad9d9d6eac56cb1de8626a7c7b889a19120505eae"),
        ("SHA-512-256-sess", Qop::AuthInt, true, "5c44e59d1787e8a6ca01e6bea2d7d6549ea7f2cb6ccfc29e533db531393bc141"),
    ];
}
