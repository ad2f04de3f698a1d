//! The values of WWW-Authenticate, Authorization, Authentication-Info and their Proxy- forms.

use super::algorithm::DigestAlgorithm;
use super::values::{Values, Writer};
use std::fmt;

/// Quality of protection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qop {
    /// `auth`: method and digest-uri.
    Auth,
    /// `auth-int`: the body too.
    AuthInt,
}

impl Qop {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| qop.as_str().eq_ignore_ascii_case(text))
    }
}

/// A challenge of the Digest scheme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Whose passwords are asked for.
    pub realm: String,
    /// Opaque to the client.
    pub nonce: String,
    /// To be returned.
    pub opaque: Option<String>,
    /// The digest was right but the nonce was not: try again with this one.
    pub stale: bool,
    /// MD5 when it is absent.
    pub algorithm: DigestAlgorithm,
    /// Those that we know; empty if the challenge has none (RFC 2069's form).
    pub qop: Vec<Qop>,
}

impl Challenge {
    /// Reads one header value; `None` if it is malformed, of another scheme, of an unknown algorithm, or if none of its qops
    /// is known: such challenges are to be ignored (RFC 8760 §2.4).
    pub fn parse(text: &str) -> Option<Self> {
        let values = Values::parse_digest(text)?;
        let qop = match values.get("qop") {
            Some(list) => {
                let known: Vec<_> = list.split(',').filter_map(|qop| Qop::parse(qop.trim())).collect();
                (!known.is_empty()).then_some(known)?
            }
            None => Vec::new(),
        };
        Some(Self {
            realm: values.owned("realm")?,
            nonce: values.owned("nonce")?,
            opaque: values.owned("opaque"),
            stale: values.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            algorithm: values.get("algorithm").map_or(Some(DigestAlgorithm::MD5), DigestAlgorithm::parse)?,
            qop,
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::new("Digest");
        writer.quoted("realm", &self.realm);
        if !self.qop.is_empty() {
            let list: Vec<_> = self.qop.iter().map(|qop| qop.as_str()).collect();
            writer.quoted("qop", &list.join(","));
        }
        writer.quoted("nonce", &self.nonce);
        if let Some(opaque) = &self.opaque {
            writer.quoted("opaque", opaque);
        }
        if self.stale {
            writer.plain("stale", "true");
        }
        writer.plain("algorithm", &self.algorithm.to_string());
        f.write_str(&writer.finish())
    }
}

/// Credentials of the Digest scheme.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// The challenge's.
    pub realm: String,
    /// The challenge's.
    pub nonce: String,
    /// digest-uri: the Request-URI as the client wrote it.
    pub uri: String,
    /// 32 or 64 lower-case digits.
    pub response: String,
    /// MD5 when it is absent.
    pub algorithm: DigestAlgorithm,
    /// The challenge's.
    pub opaque: Option<String>,
    /// nc, cnonce and qop; `None` for a client of RFC 2069.
    pub counted: Option<Counted>,
}

/// What qop brings with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Counted {
    /// Which.
    pub qop: Qop,
    /// The client's nonce.
    pub cnonce: String,
    /// How many requests the client has sent with this nonce, from 1.
    pub nc: u32,
}

impl Credentials {
    /// Reads one header value; `None` if it is malformed, of another scheme or of an unknown algorithm.
    pub fn parse(text: &str) -> Option<Self> {
        let values = Values::parse_digest(text)?;
        let algorithm = values.get("algorithm").map_or(Some(DigestAlgorithm::MD5), DigestAlgorithm::parse)?;
        let response = values.owned("response")?;
        let digits = response.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if response.len() != algorithm.hash.digits() || !digits {
            return None;
        }
        let counted = match values.get("qop") {
            Some(qop) => {
                let nc =
                    values.get("nc").filter(|nc| nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
                Some(Counted {
                    qop: Qop::parse(qop)?,
                    cnonce: values.owned("cnonce")?,
                    nc: u32::from_str_radix(nc, 16).ok()?,
                })
            }
            None => None,
        };
        Some(Self {
            username: values.owned("username")?,
            realm: values.owned("realm")?,
            nonce: values.owned("nonce")?,
            uri: values.owned("uri")?,
            response,
            algorithm,
            opaque: values.owned("opaque"),
            counted,
        })
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::new("Digest");
        writer.quoted("username", &self.username).quoted("realm", &self.realm).quoted("nonce", &self.nonce);
        writer.quoted("uri", &self.uri).quoted("response", &self.response);
        writer.plain("algorithm", &self.algorithm.to_string());
        if let Some(counted) = &self.counted {
            writer.quoted("cnonce", &counted.cnonce).plain("qop", counted.qop.as_str());
            writer.plain("nc", &format!("{:08x}", counted.nc));
        }
        if let Some(opaque) = &self.opaque {
            writer.quoted("opaque", opaque);
        }
        f.write_str(&writer.finish())
    }
}

/// Who and by what algorithm; responses are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest {} at {} by {}", self.username, self.realm, self.algorithm)
    }
}

/// Authentication-Info and Proxy-Authentication-Info (RFC 7615).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AuthenticationInfo {
    /// The nonce for the next request.
    pub nextnonce: Option<String>,
    /// The server's proof that it knows the password.
    pub rspauth: Option<String>,
    /// The request's.
    pub cnonce: Option<String>,
    /// The request's, as written.
    pub nc: Option<String>,
    /// The protection of rspauth.
    pub qop: Option<Qop>,
}

impl AuthenticationInfo {
    /// Reads the value; `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let values = Values::parse(text)?;
        Some(Self {
            nextnonce: values.owned("nextnonce"),
            rspauth: values.owned("rspauth"),
            cnonce: values.owned("cnonce"),
            nc: values.owned("nc"),
            qop: values.get("qop").and_then(Qop::parse),
        })
    }
}

impl fmt::Display for AuthenticationInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::new("");
        if let Some(nextnonce) = &self.nextnonce {
            writer.quoted("nextnonce", nextnonce);
        }
        if let Some(qop) = self.qop {
            writer.plain("qop", qop.as_str());
        }
        if let Some(rspauth) = &self.rspauth {
            writer.quoted("rspauth", rspauth);
        }
        if let Some(cnonce) = &self.cnonce {
            writer.quoted("cnonce", cnonce);
        }
        if let Some(nc) = &self.nc {
            writer.plain("nc", nc);
        }
        f.write_str(&writer.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3261 §20.27, RFC 8760 §2.7 in form.
    #[test]
    fn values_print_as_they_are_read() {
        let challenge = r#"Digest realm="biloxi.com", qop="auth,auth-int", nonce="dcd98b", opaque="5ccc06", stale=true, algorithm=SHA-256"#;
        assert_eq!(Challenge::parse(challenge).unwrap().to_string(), challenge);
        let credentials = format!(
            r#"Digest username="b\"ob", realm="biloxi.com", nonce="dcd98b", uri="sip:bob@biloxi.com", response="{}", algorithm=MD5, cnonce="0a4f113b", qop=auth, nc=0000000a, opaque="5ccc06""#,
            "0".repeat(32)
        );
        let parsed = Credentials::parse(&credentials).unwrap();
        assert_eq!((parsed.username.as_str(), parsed.counted.as_ref().unwrap().nc), ("b\"ob", 10));
        assert_eq!(parsed.to_string(), credentials);
        let info = r#"nextnonce="n", qop=auth, rspauth="00", cnonce="c", nc=00000001"#;
        assert_eq!(AuthenticationInfo::parse(info).unwrap().to_string(), info);
    }

    #[test]
    fn what_cannot_be_answered_is_no_challenge() {
        for text in [
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-999",
            "Digest realm=\"x\", nonce=\"y\", qop=\"other\"",
            "Digest realm=\"x\", nonce=\"y\", nonce=\"z\"",
            "Digest realm=\"x, nonce=\"y\"",
            "Digest realm=\"x\", nonce=\"y\",",
        ] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
        assert_eq!(Challenge::parse("digest REALM=\"x\",nonce=y").unwrap().algorithm, DigestAlgorithm::MD5);
    }

    #[test]
    fn credentials_follow_their_grammar() {
        let valid = format!(
            r#"Digest username="a", realm="r", nonce="n", uri="u", response="{}", qop=auth, cnonce="c", nc=00000001"#,
            "a".repeat(32)
        );
        assert!(Credentials::parse(&valid).is_some());
        for (from, to) in [
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=0000000g"),
            (", nc=00000001", ""),
            ("cnonce=\"c\", ", ""),
            ("qop=auth,", "qop=x,"),
            ("aaaa\"", "aaAa\""),
            ("aaaa\"", "aaaaa\""),
            ("nonce=\"n\", ", ""),
            ("uri=\"u\",", "uri=\"u\", algorithm=SHA-256,"),
        ] {
            let text = valid.replacen(from, to, 1);
            assert_ne!(text, valid);
            assert!(Credentials::parse(&text).is_none(), "{text}");
        }
    }
}
