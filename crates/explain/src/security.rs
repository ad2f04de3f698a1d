//! What protects a leg: the summary of its part of the ledger.

use control::{Profile, SecuredBy};
use serde::Serialize;
use session::{CallView, KeyingKind, LegView};

/// What protects a leg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LegSecurity {
    /// `plain`, `pending`, `SDES`, `DTLS-SRTP`; the weakest of the leg's sections.
    pub keying: &'static str,
    /// Profile of what we send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_out: Option<&'static str>,
    /// Profile of what we receive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_in: Option<&'static str>,
    /// Strength of the weaker direction's encryption in bits; 0 is none.
    pub key_bits: u16,
    /// Who has been proved to be there, and how.
    pub authentication: String,
    /// Which way the keys went.
    pub keys_travelled: &'static str,
    /// Everything that made it less than it could be, in words.
    pub downgrades: Vec<String>,
    /// What else the ledger has of it, oldest first, in words; parts may be a stranger's.
    pub notes: Vec<String>,
}

/// Of the leg's sections that are in use, the weakest.
pub(crate) fn security(view: &CallView, leg: &LegView) -> LegSecurity {
    let used = || leg.sections.iter().filter(|section| !section.rejected);
    let keying = used().map(|section| section.keying).min_by_key(|&keying| rank(keying)).unwrap_or(KeyingKind::Pending);
    let secured = used()
        .filter(|section| section.keying == keying)
        .flat_map(|section| &section.transports)
        .find_map(|transport| transport.secured_by.as_ref());
    let profiles: Option<(Profile, Profile)> = secured.map(|secured| match secured {
        SecuredBy::Sdes { outbound, inbound } => (*outbound, *inbound),
        SecuredBy::Dtls { profile, .. } => (*profile, *profile),
    });
    let own = view.ledger.iter().filter(|entry| entry.tag == leg.tag).map(|entry| &entry.note);
    let (downgrades, notes): (Vec<_>, Vec<_>) = own.partition(|note| note.is_downgrade());
    LegSecurity {
        keying: keying.name(),
        profile_out: profiles.map(|(outbound, _)| outbound.sdes_name()),
        profile_in: profiles.map(|(_, inbound)| inbound.sdes_name()),
        key_bits: profiles.map_or(0, |(outbound, inbound)| outbound.strength_bits().min(inbound.strength_bits())),
        authentication: match secured {
            Some(SecuredBy::Dtls { version, hash, .. }) => {
                format!("{version}: the certificate matches the {} fingerprint of the description", hash.name())
            }
            Some(SecuredBy::Sdes { .. }) => "whoever knows the key of the description".into(),
            None => "none".into(),
        },
        keys_travelled: match keying {
            KeyingKind::Plain | KeyingKind::Pending => "no keys",
            KeyingKind::Sdes => "by signalling: whoever reads the SIP messages of this leg can read its media",
            _ => "on the media path; signalling carried the fingerprint only",
        },
        downgrades: downgrades.into_iter().map(ToString::to_string).collect(),
        notes: notes.into_iter().map(ToString::to_string).collect(),
    }
}

fn rank(keying: KeyingKind) -> u8 {
    match keying {
        KeyingKind::Plain => 0,
        KeyingKind::Pending => 1,
        KeyingKind::Sdes => 2,
        _ => 3,
    }
}
