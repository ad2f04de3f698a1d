//! Session-Expires (RFC 4028 §4).

use super::{digits, saturating};
use crate::Params;
use crate::text::Scanner;
use std::fmt;

/// Who sends the refreshes: the UAC or UAS of the transaction that agreed on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// `uac`.
    Uac,
    /// `uas`.
    Uas,
}

/// `1800;refresher=uac`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    /// The session interval.
    pub seconds: u32,
    /// Absent in a request that leaves the choice to the UAS.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads the value. An unknown refresher counts as none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        let seconds = saturating(digits(scanner.take_while(|byte| byte.is_ascii_digit()))?);
        let params = Params::scan(&mut scanner)?;
        let refresher = match params.get("refresher") {
            Some(role) if role.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(role) if role.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { seconds, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}
