//! How a section is keyed: SDES suites and keys (RFC 4568), DTLS roles and associations (RFC 5763, RFC 8842).

use control::{DtlsRole, MasterKey, Policy, Profile, RocPolicy, SdesKeys};
use sdp::Setup;
use srtp::sdes::CryptoAttribute;

use crate::leg::{Agreed, AgreedKeying, Section};
use crate::peer::PeerSection;
use crate::secrets::Secrets;
use crate::{Defaults, DtlsOption, SdesOptions};

/// The lifetime that `SDES-lifetime` prints, in packets.
const PRINTED_LIFETIME: u64 = 1 << 31;

/// How an offered section wants to be keyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Plain,
    Sdes,
    Dtls,
}

/// How a section of an offer wants to be keyed, or the line and the reason why it cannot be. A section with both
/// a=crypto and a=fingerprint is keyed by DTLS unless SDES is preferred. Keys under a plain profile that cannot be used are
/// declined (RFC 8643 §3.2).
pub(crate) fn wanted(section: &PeerSection, prefer_sdes: bool) -> Result<Wanted, String> {
    let (line, protocol) = (section.line, section.protocol.as_str());
    let Some(profile) = section.profile() else { return Ok(Wanted::Plain) };
    let has_keys = !section.fingerprints.is_empty() || !section.crypto.is_empty();
    if !profile.is_secure() && (section.opportunistic.is_none() || !has_keys) {
        return Ok(Wanted::Plain);
    }
    let has_dtls = !section.fingerprints.is_empty();
    let prefers_sdes = prefer_sdes && !section.crypto.is_empty();
    if profile.is_dtls() || (has_dtls && !prefers_sdes) {
        if !has_dtls {
            return Err(format!("line {line}: {protocol} without a usable a=fingerprint"));
        }
        if section.setup == Some(Setup::HoldConn) {
            return Err(format!("line {line}: a=setup:holdconn cannot key {protocol}"));
        }
        return Ok(Wanted::Dtls);
    }
    if section.crypto.is_empty() {
        let causes = section.crypto_faults.join("; ");
        let causes = if causes.is_empty() { String::new() } else { format!(" ({causes})") };
        return Err(format!("line {line}: {protocol} without a usable a=crypto or a=fingerprint{causes}"));
    }
    Ok(Wanted::Sdes)
}

/// Suites to offer, in order: as offered before if these still are the ones; else the suite in use first, so that a peer
/// has no reason to change.
pub(crate) fn suites(
    options: &SdesOptions,
    defaults: &Defaults,
    from_peer: &[CryptoAttribute],
    before: &[CryptoAttribute],
    in_use: Option<Profile>,
) -> Vec<Profile> {
    let mut suites: Vec<Profile> = Vec::new();
    let named = options.order.iter().chain(&options.only).copied().filter(|suite| !suite.is_null());
    for suite in in_use.into_iter().chain(named).chain(defaults.sdes_offered.iter().copied()) {
        let is_accepted = defaults.sdes_accepted.contains(&suite) || (suite.is_null() && defaults.accept_null);
        if !suites.contains(&suite) && is_accepted && is_allowed(options, suite) {
            suites.push(suite);
        }
    }
    if options.no_new && !from_peer.is_empty() {
        suites.retain(|suite| from_peer.iter().any(|offered| offered.profile == *suite));
    }
    let unchanged = before.len() == suites.len() && before.iter().all(|line| suites.contains(&line.profile));
    if unchanged || (options.fixed && !before.is_empty()) {
        suites = before.iter().map(|line| line.profile).collect();
    }
    suites
}

fn is_allowed(options: &SdesOptions, suite: Profile) -> bool {
    !options.exclude.contains(&suite) && (options.only.is_empty() || options.only.contains(&suite))
}

/// Our crypto lines for an offer: a key for each suite, made once.
pub(crate) fn offer_lines(
    section: &mut Section,
    secrets: &mut Secrets,
    suites: &[Profile],
    lifetime: bool,
) -> Vec<CryptoAttribute> {
    suites.iter().zip(1..).map(|(&suite, tag)| line(section, secrets, tag, suite, lifetime)).collect()
}

/// One crypto line of ours.
pub(crate) fn line(
    section: &mut Section,
    secrets: &mut Secrets,
    tag: u32,
    suite: Profile,
    lifetime: bool,
) -> CryptoAttribute {
    let key = section.keys.entry(suite).or_insert_with(|| secrets.master_key(suite)).clone();
    let mut line = CryptoAttribute::new(tag, key, suite);
    if lifetime {
        for key in &mut line.keys {
            key.lifetime = Some(PRINTED_LIFETIME);
        }
    }
    line
}

/// The line of an offer that we answer: the one in use if it is still there, else by our preference if there is one, else
/// the offerer's first (RFC 4568 §5.1.2).
pub(crate) fn choose<'a>(
    offered: &'a [CryptoAttribute],
    options: &SdesOptions,
    in_use: Option<(u32, Profile)>,
) -> Option<&'a CryptoAttribute> {
    let allowed = || offered.iter().filter(|line| is_allowed(options, line.profile));
    let kept = allowed().find(|line| Some((line.tag, line.profile)) == in_use);
    let preferred =
        || options.offerer_preference.iter().find_map(|suite| allowed().find(|line| line.profile == *suite));
    kept.or_else(preferred).or_else(|| allowed().next())
}

/// Both directions of a section: the peer's line and ours. `None` when the peer sends with our key: two senders under one
/// key would encrypt with one key stream.
pub(crate) fn sdes(peer: &CryptoAttribute, own: MasterKey, roc_on_rekey: RocPolicy) -> Option<AgreedKeying> {
    if peer.keys.iter().any(|key| key.master.key() == own.key()) {
        return None;
    }
    let inbound = Policy { roc_on_rekey, ..peer.policy() };
    // What is negotiated, not declared, holds for both directions (RFC 4568 §6.3).
    let outbound = Policy {
        encrypt_rtp: inbound.encrypt_rtp,
        encrypt_rtcp: inbound.encrypt_rtcp,
        authenticate_rtp: inbound.authenticate_rtp,
        roc_on_rekey,
        ..Policy::new(peer.profile)
    };
    let keys = SdesKeys { inbound: Some((inbound, peer.master_keys())), outbound: (outbound, own) };
    Some(AgreedKeying::Sdes { tag: peer.tag, keys: Box::new(keys) })
}

/// Our role when the peer offered: RFC 8842 §5.3 lets a role stand in a re-offer, and recommends `active` for an answerer.
pub(crate) fn answerer_role(
    offered: Option<Setup>,
    option: Option<DtlsOption>,
    standing: Option<DtlsRole>,
) -> DtlsRole {
    match offered {
        Some(Setup::Passive) => DtlsRole::Client,
        Some(Setup::ActPass) => standing.unwrap_or(match option {
            Some(DtlsOption::Passive) => DtlsRole::Server,
            _ => DtlsRole::Client,
        }),
        // Left out, it means `active` in an offer (RFC 4145 §4.1).
        Some(Setup::Active | Setup::HoldConn) | None => DtlsRole::Server,
    }
}

/// Our role when the peer answered our `actpass`. Left out, it means `passive` in an answer (RFC 4145 §4.1).
pub(crate) fn offerer_role(answered: Option<Setup>) -> DtlsRole {
    match answered {
        Some(Setup::Active | Setup::ActPass | Setup::HoldConn) => DtlsRole::Server,
        Some(Setup::Passive) | None => DtlsRole::Client,
    }
}

/// The association that stands, if this section does not ask for a new one (RFC 8842 §3.1): role and number.
pub(crate) fn standing(before: Option<&Agreed>, section: &PeerSection, ice: bool) -> Option<(DtlsRole, u32)> {
    let before = before?;
    let AgreedKeying::Dtls { role, generation } = before.keying else { return None };
    let same_tls_id = match (&before.peer.tls_id, &section.tls_id) {
        (Some(old), Some(new)) => old == new,
        _ => true,
    };
    let same_set = before.peer.fingerprints.len() == section.fingerprints.len()
        && section.fingerprints.iter().all(|fingerprint| before.peer.fingerprints.contains(fingerprint));
    let same_path = (ice && before.ice.is_some()) || before.peer.same_address(section);
    (same_tls_id && same_set && same_path).then_some((role, generation))
}

/// What we answer as `a=setup`.
pub(crate) fn setup_of(role: DtlsRole) -> Setup {
    match role {
        DtlsRole::Client => Setup::Active,
        DtlsRole::Server => Setup::Passive,
    }
}
