//! Capability negotiation (RFC 5939), as far as it offers security: the first potential configuration that is an RTP
//! profile with keys that we understand. Whatever cannot be read or is not understood is passed over, and the actual
//! configuration holds, as the RFC wants it.

use sdp::{Effective, name};

use crate::MediaProfile;

/// Configurations of one section that are looked at.
const MAX_CONFIGURATIONS: usize = 16;
/// Capabilities of each kind that are known at a time.
const MAX_CAPABILITIES: usize = 64;
/// Alternatives within one configuration.
const MAX_ALTERNATIVES: usize = 16;

/// Attributes of a configuration that we put in force, or that change nothing for us.
const UNDERSTOOD: [&str; 8] = [
    name::CRYPTO,
    name::FINGERPRINT,
    name::SETUP,
    name::TLS_ID,
    name::CONNECTION,
    name::RTCP_FB,
    name::RTCP_MUX,
    name::RTCP_RSIZE,
];

/// A potential configuration that would make a section secure.
pub(crate) struct Potential<'a> {
    pub(crate) profile: MediaProfile,
    /// Attributes that it adds: name and value.
    pub(crate) attributes: Vec<(&'a str, &'a str)>,
    /// The media-level attributes of the actual configuration do not hold.
    pub(crate) without_media: bool,
    /// The session-level attributes do not hold.
    pub(crate) without_session: bool,
    /// What is answered as `a=acfg` when it is chosen.
    pub(crate) chosen: String,
}

/// The secure potential configurations of a section, most preferred first.
pub(crate) fn potential<'a>(effective: &Effective<'a>) -> Vec<Potential<'a>> {
    let media = effective.media();
    if !media.has(name::PCFG) {
        return Vec::new();
    }
    // An extension that the offer requires makes every potential configuration unusable (RFC 5939 §3.3.2).
    let required = effective.lines(name::CREQ).flat_map(|value| value.split(','));
    if required.map(str::trim).any(|option| !option.is_empty() && !option.eq_ignore_ascii_case("cap-v0")) {
        return Vec::new();
    }
    let capabilities = Capabilities::read(effective);
    let mut configurations: Vec<(u32, &str)> = media
        .find_all(name::PCFG)
        .take(MAX_CONFIGURATIONS)
        .filter_map(|value| {
            let (number, list) = value.split_once([' ', '\t']).unwrap_or((value, ""));
            Some((read_number(number)?, list))
        })
        .collect();
    configurations.sort_by_key(|&(number, _)| number);
    let read = |(number, list): (u32, &'a str)| capabilities.configuration(number, list);
    configurations.into_iter().filter_map(read).collect()
}

/// Capabilities by their numbers.
struct Capabilities<'a> {
    transports: Vec<(u32, &'a str)>,
    attributes: Vec<(u32, &'a str, &'a str)>,
}

impl<'a> Capabilities<'a> {
    fn read(effective: &Effective<'a>) -> Self {
        let mut transports = Vec::new();
        for value in effective.lines(name::TCAP) {
            let mut words = value.split_ascii_whitespace();
            let Some(first) = words.next().and_then(read_number) else { continue };
            // The protocols of one line are numbered from the one that it names (RFC 5939 §3.4.2).
            transports.extend((first..).zip(words));
        }
        transports.truncate(MAX_CAPABILITIES);
        let attributes = effective.lines(name::ACAP).filter_map(|value| {
            let (number, attribute) = value.split_once([' ', '\t'])?;
            let (name, value) = attribute.trim_start().split_once(':').unwrap_or((attribute.trim(), ""));
            Some((read_number(number)?, name, value))
        });
        Self { transports, attributes: attributes.take(MAX_CAPABILITIES).collect() }
    }

    fn configuration(&self, number: u32, list: &'a str) -> Option<Potential<'a>> {
        let (mut transport, mut attributes) = (None, None);
        for word in list.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("t", alternatives)) => transport = Some(self.transport(alternatives)?),
                Some(("a", alternatives)) => attributes = Some(self.attributes(alternatives)?),
                // A mandatory extension (RFC 5939 §3.5.1).
                _ if word.starts_with('+') => return None,
                _ => {}
            }
        }
        let (transport, profile) = transport?;
        let mut chosen = format!("{number} t={transport}");
        let selected = attributes.unwrap_or_default();
        if !selected.text.is_empty() {
            chosen.push_str(" a=");
            chosen.push_str(&selected.text);
        }
        Some(Potential {
            profile,
            attributes: selected.attributes,
            without_media: selected.without_media,
            without_session: selected.without_session,
            chosen,
        })
    }

    /// The first alternative that is a secure RTP profile.
    fn transport(&self, alternatives: &str) -> Option<(u32, MediaProfile)> {
        alternatives.split('|').take(MAX_ALTERNATIVES).find_map(|alternative| {
            let number = read_number(alternative)?;
            let (_, protocol) = self.transports.iter().find(|&&(known, _)| known == number)?;
            let profile = protocol.parse().ok().filter(|profile: &MediaProfile| profile.is_secure())?;
            Some((number, profile))
        })
    }

    /// The first alternative of which we understand all that is mandatory.
    fn attributes(&self, text: &str) -> Option<Selected<'a>> {
        let (delete, alternatives) = match text.split_once(':') {
            Some((delete, alternatives)) => (Some(delete), alternatives),
            None => (None, text),
        };
        let (without_media, without_session) = match delete {
            None => (false, false),
            Some("-m") => (true, false),
            Some("-s") => (false, true),
            Some("-ms") => (true, true),
            Some(_) => return None,
        };
        let prefix = delete.map_or(String::new(), |delete| format!("{delete}:"));
        let alternatives = alternatives.split('|').take(MAX_ALTERNATIVES);
        let (attributes, list) = alternatives.filter_map(|alternative| self.all_of(alternative)).next()?;
        Some(Selected { attributes, without_media, without_session, text: prefix + &list })
    }

    /// `1,2,[3,4]`: what is in brackets may be left out.
    fn all_of(&self, alternative: &str) -> Option<(Vec<(&'a str, &'a str)>, String)> {
        let (mut attributes, mut numbers) = (Vec::new(), Vec::new());
        let mut optional = false;
        for word in alternative.split(',').take(MAX_CAPABILITIES) {
            optional |= word.starts_with('[');
            let number = read_number(word.trim_matches(['[', ']']));
            let known = number.and_then(|number| self.attributes.iter().find(|&&(known, ..)| known == number));
            let understood =
                known.filter(|(_, name, _)| UNDERSTOOD.iter().any(|other| other.eq_ignore_ascii_case(name)));
            match (understood, optional) {
                (Some(&(number, name, value)), _) => {
                    attributes.push((name, value));
                    numbers.push(if optional { format!("[{number}]") } else { number.to_string() });
                }
                (None, true) => {}
                (None, false) => return None,
            }
            optional &= !word.ends_with(']');
        }
        Some((attributes, numbers.join(",")))
    }
}

#[derive(Default)]
struct Selected<'a> {
    attributes: Vec<(&'a str, &'a str)>,
    without_media: bool,
    without_session: bool,
    text: String,
}

/// 1 to 2^31-1, without leading zero (RFC 5939 §3.3.1).
fn read_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|&number: &u32| number < 1 << 31)
}
