//! From a user part to targets.

use std::fmt;

use crate::config::{B2buaConfig, Route, RouteSource};

/// A pattern of user parts: `*` stands for any text, `?` for one character. Letters count as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// From its text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it fits the whole text. Linear in the text for each star.
    pub fn fits(&self, text: &str) -> bool {
        let (pattern, text): (Vec<char>, Vec<char>) = (self.0.chars().collect(), text.chars().collect());
        let (mut at, mut own) = (0, 0);
        // Where the last star stands, and what it stands for ends.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match pattern.get(own) {
                Some('*') => {
                    star = Some((own, at));
                    own += 1;
                }
                Some(c) if *c == '?' || text.get(at) == Some(c) => {
                    own += 1;
                    at += 1;
                }
                _ => {
                    let Some((place, end)) = star else { return false };
                    star = Some((place, end + 1));
                    own = place + 1;
                    at = end + 1;
                }
            }
        }
        pattern.get(own..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who calls, as far as it was proven.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Caller {
    User(String),
    /// By its name, which a reload leaves to it.
    Trunk(String),
}

/// The first route that this caller may take to this user.
pub(crate) fn find<'a>(config: &'a B2buaConfig, caller: &Caller, user: &str) -> Option<&'a Route> {
    let may = |route: &&Route| match (&route.from, caller) {
        (RouteSource::Anybody, _) | (RouteSource::Users, Caller::User(_)) => true,
        (RouteSource::Trunk(name), Caller::Trunk(own)) => name == own,
        _ => false,
    };
    config.routes.iter().filter(may).find(|route| route.pattern.fits(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_user_parts() {
        for (pattern, fits, fits_not) in [
            ("*", vec!["", "bob"], vec![]),
            ("echo", vec!["echo"], vec!["Echo", "echoes", ""]),
            ("+49*", vec!["+49", "+4930123"], vec!["0049", "+4"]),
            ("1??", vec!["100", "1ab"], vec!["10", "1000"]),
            ("a*b*c", vec!["abc", "axxbyybzzc", "abbc"], vec!["ab", "acb", "abcd"]),
        ] {
            let pattern = Pattern::new(pattern);
            assert!(fits.iter().all(|text| pattern.fits(text)), "{pattern}");
            assert!(!fits_not.iter().any(|text| pattern.fits(text)), "{pattern}");
        }
    }
}
