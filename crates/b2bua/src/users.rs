//! Our users and what proves that they know their passwords: an HA1 for each hash (RFC 8760 §2).

use std::collections::HashMap;
use std::fmt;

use sip::{Ha1, HashAlgorithm, UserTable};
use zeroize::Zeroizing;

/// The hashes of a line, in its order.
const HASHES: [HashAlgorithm; 3] = [HashAlgorithm::Md5, HashAlgorithm::Sha256, HashAlgorithm::Sha512_256];

/// Longest name of a user or realm.
const MAX_NAME: usize = 128;

/// A user. Without Debug: the HA1s are as good as the password.
#[derive(Clone)]
pub struct User {
    name: String,
    realm: String,
    /// In the order of the hashes.
    keys: [Ha1; 3],
}

/// Why a line of the users file cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UserLineMalformed {
    /// Not five parts with colons between them.
    Parts,
    /// An empty name or realm, a very long one, or one with a colon, a blank, a control character or one of `"\<>@`.
    Name,
    /// Not the hexadecimal digits of this hash.
    Digits(&'static str),
}

impl fmt::Display for UserLineMalformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts => {
                f.write_str("a line is NAME:REALM:MD5:SHA-256:SHA-512-256, as `sallyport user add` makes it")
            }
            Self::Name => f.write_str("a name or realm is empty, too long, or has a character that it may not have"),
            Self::Digits(hash) => write!(f, "the {hash} part is no {hash} in hexadecimal digits"),
        }
    }
}

impl std::error::Error for UserLineMalformed {}

impl User {
    /// From a password.
    pub fn new(name: &str, realm: &str, password: &str) -> Result<Self, UserLineMalformed> {
        if !is_name(name) || !is_name(realm) {
            return Err(UserLineMalformed::Name);
        }
        let keys = HASHES.map(|hash| Ha1::new(hash, name, realm, password));
        Ok(Self { name: name.to_owned(), realm: realm.to_owned(), keys })
    }

    /// A line of the users file: `NAME:REALM:MD5:SHA-256:SHA-512-256`, the HA1s in hexadecimal digits.
    pub fn parse(line: &str) -> Result<Self, UserLineMalformed> {
        let parts: Vec<&str> = line.trim().split(':').collect();
        let [name, realm, md5, sha256, sha512_256] = parts.as_slice() else { return Err(UserLineMalformed::Parts) };
        if !is_name(name) || !is_name(realm) {
            return Err(UserLineMalformed::Name);
        }
        let key = |hash, text: &str, name| Ha1::from_hex(hash, text).ok_or(UserLineMalformed::Digits(name));
        let keys = [
            key(HashAlgorithm::Md5, md5, "MD5")?,
            key(HashAlgorithm::Sha256, sha256, "SHA-256")?,
            key(HashAlgorithm::Sha512_256, sha512_256, "SHA-512-256")?,
        ];
        Ok(Self { name: (*name).to_owned(), realm: (*realm).to_owned(), keys })
    }

    /// The line.
    pub fn to_line(&self) -> Zeroizing<String> {
        let [md5, sha256, sha512_256] = &self.keys;
        let keys = [md5, sha256, sha512_256].map(Ha1::to_hex).join(":");
        Zeroizing::new(format!("{}:{}:{keys}", self.name, self.realm))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The realm that the HA1s are for.
    pub fn realm(&self) -> &str {
        &self.realm
    }
}

/// As it can stand between quotes in a header and in a URI without surprises.
fn is_name(text: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !":\"\\<>@".contains(c);
    !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain)
}

/// All users.
#[derive(Clone, Default)]
pub struct Users {
    by_name: HashMap<String, User>,
}

impl Users {
    /// Later ones of the same name win.
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        Self { by_name: users.into_iter().map(|user| (user.name.clone(), user)).collect() }
    }

    /// Reads a users file. Empty lines and lines that begin with `#` are passed over. `Err` has the number of each faulty line.
    pub fn parse(text: &str) -> Result<Self, Vec<(usize, UserLineMalformed)>> {
        let (mut users, mut faults) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match User::parse(line) {
                Ok(user) => users.push(user),
                Err(fault) => faults.push((number, fault)),
            }
        }
        if faults.is_empty() { Ok(Self::new(users)) } else { Err(faults) }
    }

    /// Whether there is one of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// A user whose HA1s are of another realm, and which.
    pub fn foreign(&self, realm: &str) -> Option<(&str, &str)> {
        let user = self.by_name.values().find(|user| user.realm != realm)?;
        Some((&user.name, &user.realm))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl UserTable for Users {
    fn ha1(&self, username: &str, realm: &str, hash: HashAlgorithm) -> Option<Ha1> {
        let user = self.by_name.get(username).filter(|user| user.realm == realm)?;
        let place = HASHES.iter().position(|own| *own == hash)?;
        user.keys.get(place).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by `md5sum`, `sha256sum` and Python's hashlib over `bob:biloxi.com:zanzibar`.
    #[test]
    fn a_line_holds_the_ha1_of_each_hash() {
        let user = User::new("bob", "biloxi.com", "zanzibar").unwrap();
        let line = user.to_line();
        assert_eq!(*line, LINE);
        assert_eq!(*User::parse(LINE).unwrap().to_line(), LINE);
        let users = Users::parse(&format!("# ours\n\n{LINE}\n")).ok().unwrap();
        assert_eq!(users.ha1("bob", "biloxi.com", HashAlgorithm::Md5).unwrap().to_hex(), &LINE[15..47]);
        assert!(users.ha1("bob", "other.com", HashAlgorithm::Md5).is_none());
        assert!(users.ha1("eve", "biloxi.com", HashAlgorithm::Md5).is_none());
    }

    const LINE: &str = concat!(
        "bob:biloxi.com:",
        "12af60467a33e8518da5c68bbff12b11",
        ":e65db393e748c5228939a6b4b2879e9ea5625cd79fd5267868cb568d69f6b97e",
        ":a969680ab364e333ec5c93ff823d570a79841c8d40270655dd42f37b755dfc38"
    );

    #[test]
    fn faulty_lines_are_named() {
        let bad = format!("bob\n{}\n", LINE.replace("bob", ""));
        let faults = Users::parse(&bad).err().unwrap();
        assert_eq!(faults, [(1, UserLineMalformed::Parts), (2, UserLineMalformed::Name)]);
        let short = LINE.replacen(&LINE[15..17], "", 1);
        assert_eq!(User::parse(&short).err(), Some(UserLineMalformed::Digits("MD5")));
        assert!(User::new("a b", "r", "p").is_err() && User::new("a:b", "r", "p").is_err());
    }
}
