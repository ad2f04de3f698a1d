//! Every key of the configuration file: its name, how its value is read, and whether a reload can change it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use b2bua::{Bridging, CleartextPolicy, Refer};
use control::{Profile, RocPolicy};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::address::{MediaAddress, PortRange};
use super::value::{Fault, Value};
use super::{BackendChoice, Listen, LogFormat, Settings, sip};

/// One key.
pub(crate) struct Key {
    /// As in the file, with the table before a dot.
    pub(crate) name: &'static str,
    /// True: a reload changes it. False: it takes a restart.
    pub(crate) reloads: bool,
    pub(crate) set: fn(&mut Settings, Value<'_>) -> Result<(), Fault>,
    /// To compare two settings by.
    pub(crate) show: fn(&Settings) -> String,
}

/// `live` settings are those that a reload changes: the place of a setting decides, so that the two cannot disagree.
macro_rules! key {
    ($name:literal, live $(. $field:ident)+, $read:expr) => { key!(@ $name, true, live $(. $field)+, $read) };
    ($name:literal, fixed $(. $field:ident)+, $read:expr) => { key!(@ $name, false, fixed $(. $field)+, $read) };
    (@ $name:literal, $reloads:literal, $half:ident $(. $field:ident)+, $read:expr) => {
        Key {
            name: $name,
            reloads: $reloads,
            set: |settings, value| {
                let read: fn(Value<'_>) -> Result<_, Fault> = $read;
                settings.$half $(. $field)+ = read(value)?;
                Ok(())
            },
            show: |settings| format!("{:?}", settings.$half $(. $field)+),
        }
    };
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// From a second to a day.
const USUAL: RangeInclusive<Duration> = SECOND..=DAY;

/// In the order of `deploy/sallyport.toml`.
pub(crate) const KEYS: &[Key] = &[
    key!("ng", fixed.ng, |value| value.parse()),
    key!("admin", fixed.admin, |value| value.parse()),
    key!("pump_admin", fixed.pump_admin, |value| value.parse()),
    key!("control", fixed.control, |value| value.name().map(PathBuf::from)),
    key!("admin_hosts", live.admin_hosts, |value| value.list(|one| one.name())),
    key!("media", live.interfaces, |value| value.choices(|one| Ok(one.parse::<MediaAddress>()?.0))),
    key!("ports", fixed.ports, |value| value.parse().map(|PortRange(first, last)| (first, last))),
    key!("workers", fixed.workers, |value| value.number(1..=256)),
    key!("pin_workers", fixed.pin_workers, |value| value.flag()),
    key!("backend", fixed.backend, backend),
    key!("records", fixed.records, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("log.level", live.log_level, log_level),
    key!("log.format", fixed.log_format, log_format),
    key!("timeouts.offer", live.timeouts.offer, |value| value.duration(USUAL)),
    key!("timeouts.media", live.timeouts.media, |value| value.duration(USUAL)),
    key!("timeouts.hold", live.timeouts.hold, |value| value.duration(USUAL)),
    key!("timeouts.delete_delay", live.timeouts.delete_delay, |value| value.duration(Duration::ZERO..=DAY)),
    key!("timeouts.worker", live.timeouts.worker, |value| value.duration(SECOND..=Duration::from_secs(60))),
    key!("timeouts.drain", live.drain, |value| value.duration(SECOND..=7 * DAY)),
    key!("limits.calls", live.limits.calls, |value| value.count(1..=1_000_000)),
    key!("limits.legs", live.limits.legs, |value| value.count(2..=1024)),
    key!("limits.sections", live.limits.sections, |value| value.count(1..=128)),
    key!("limits.port_attempts", live.limits.port_attempts, |value| value.count(1..=1024)),
    key!("limits.ng_requests", fixed.ng_bounds.requests, |value| value.count(1..=1_000_000)),
    key!("limits.ng_replies", fixed.ng_bounds.cache_entries, |value| value.count(1..=10_000_000)),
    key!("limits.ng_reply_bytes", fixed.ng_bounds.cache_bytes, |value| value.count(65_536..=u32::MAX)),
    key!("limits.ng_reply_age", fixed.ng_bounds.cache_age, |value| value.duration(SECOND..=HOUR)),
    key!("dtls.certificate", fixed.dtls.certificate, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("dtls.key", fixed.dtls.key, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("dtls.profiles", live.defaults.dtls_profiles, |value| value.choices(dtls_profile)),
    key!("dtls.deadline", live.timeouts.handshake, |value| value.duration(SECOND..=Duration::from_secs(300))),
    key!("dtls.mtu", fixed.dtls.mtu, |value| value.count(576..=9000)),
    key!("dtls.threads", fixed.dtls.threads, |value| value.count(1..=64)),
    key!("dtls.queue", fixed.dtls.queue, |value| value.count(64..=1_000_000)),
    key!("sdes.offer", live.defaults.sdes_offered, |value| value.choices(suite)),
    key!("sdes.accept", live.defaults.sdes_accepted, |value| value.choices(suite)),
    key!("sdes.accept_mki", live.defaults.accept_mki, |value| value.flag()),
    key!("sdes.accept_null", live.defaults.accept_null, |value| value.flag()),
    key!("sdes.accept_unencrypted", live.defaults.accept_unencrypted, |value| value.flag()),
    key!("sdes.roc_on_rekey", fixed.roc_on_rekey, roc_policy),
    key!("packets.traffic_class", live.defaults.traffic_class, |value| value.number(0..=255).map(Some)),
    key!("packets.early_media", fixed.early_media, |value| value.duration(Duration::ZERO..=2 * SECOND)),
    key!("packets.receive_buffer", fixed.sockets.receive_buffer, |value| value.count(4096..=64 << 20)),
    key!("packets.send_buffer", fixed.sockets.send_buffer, |value| value.count(4096..=64 << 20)),
    key!("packets.segmentation", fixed.sockets.segmentation, |value| value.flag()),
    key!("sip.listen", fixed.sip.listen, |value| value.list(|one| one.parse::<Listen>()).map(Some)),
    key!("sip.realm", fixed.sip.realm, sip::realm),
    key!("sip.users", live.sip.users, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.algorithms", fixed.sip.algorithms, |value| value.choices(sip::algorithm)),
    key!("sip.calls", fixed.sip.calls, |value| value.count(1..=100_000)),
    key!("sip.max_calls_per_user", live.sip.max_calls_per_user, |value| value.count(1..=1_000_000).map(Some)),
    key!("sip.phones", live.sip.phones, sip::keying),
    Key {
        name: "sip.phones_smime",
        reloads: true,
        set: |settings, value| sip::smime_layers(value, &mut settings.live.sip.phones_smime),
        show: |settings| {
            let policy = settings.live.sip.phones_smime;
            format!("{:?}", (policy.sign, policy.encrypt))
        },
    },
    key!("sip.phones_smime_required", live.sip.phones_smime.required, |value| value.flag()),
    key!("sip.sdes_over_cleartext", live.sip.sdes_over_cleartext, cleartext),
    key!("sip.sips_bridge", live.sip.sips_bridge, bridging),
    key!("sip.refer", fixed.sip.refer, refer),
    key!("sip.ring_time", live.sip.ring_time, |value| value.duration(SECOND..=Duration::from_secs(180))),
    key!("sip.max_ring_time", fixed.sip.max_ring_time, |value| value.duration(SECOND..=HOUR)),
    key!("sip.pass_headers", live.sip.pass_headers, |value| value.list(|one| one.name())),
    key!("sip.origins", live.sip.origins, |value| value.list(|one| one.name())),
    key!("sip.certificate", fixed.sip.certificate, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.key", fixed.sip.key, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.roots", fixed.sip.roots, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.routes", live.sip.routes, |value| value.list(sip::route)),
    key!("sip.trunks", live.sip.trunks, |value| value.list(sip::trunk)),
    key!("sip.smime.certificate", live.sip.smime.certificate, |value| value
        .name()
        .map(|name| Some(PathBuf::from(name)))),
    key!("sip.smime.key", live.sip.smime.key, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.smime.anchors", live.sip.smime.anchors, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.smime.pinned", live.sip.smime.pinned, |value| value.name().map(|name| Some(PathBuf::from(name)))),
    key!("sip.smime.unverified", live.sip.smime.unverified, sip::unverified),
    key!("sip.smime.cipher", live.sip.smime.cipher, sip::cipher),
];

fn backend(value: Value<'_>) -> Result<BackendChoice, Fault> {
    one_of(value, &[("auto", BackendChoice::Auto), ("mmsg", BackendChoice::Mmsg)])
}

fn cleartext(value: Value<'_>) -> Result<CleartextPolicy, Fault> {
    use CleartextPolicy::{Allow, Refuse, Warn};
    one_of(value, &[("refuse", Refuse), ("warn", Warn), ("allow", Allow)])
}

fn bridging(value: Value<'_>) -> Result<Bridging, Fault> {
    one_of(value, &[("refuse", Bridging::Refuse), ("allow", Bridging::Allow)])
}

fn refer(value: Value<'_>) -> Result<Refer, Fault> {
    one_of(value, &[("refuse", Refer::Refuse), ("blind", Refer::Blind)])
}

fn log_format(value: Value<'_>) -> Result<LogFormat, Fault> {
    one_of(value, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

fn roc_policy(value: Value<'_>) -> Result<RocPolicy, Fault> {
    one_of(value, &[("keep", RocPolicy::Keep), ("reset", RocPolicy::Reset), ("probe", RocPolicy::Probe)])
}

fn log_level(value: Value<'_>) -> Result<String, Fault> {
    let level = value.name()?;
    // The filter takes a misspelt level for a module of that name.
    let bare = level.split(',').map(str::trim).filter(|directive| !directive.contains(['=', '[']));
    if let Some(word) = bare.into_iter().find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(value.fault(format!("{word:?} is none of error, warn, info, debug, trace, off")));
    }
    match EnvFilter::try_new(&level) {
        Ok(_) => Ok(level),
        Err(error) => Err(value.fault(format!("{level:?}: {error}"))),
    }
}

/// A suite of SDES by its name. NULL ones have a switch of their own.
fn suite(value: Value<'_>) -> Result<Profile, Fault> {
    let names = || Profile::all().filter(|profile| !profile.is_null());
    one_of(value, &names().map(|profile| (profile.sdes_name(), profile)).collect::<Vec<_>>())
}

/// A profile that DTLS has a number for, by its name in SDES.
fn dtls_profile(value: Value<'_>) -> Result<Profile, Fault> {
    let names = Profile::all().filter(|profile| !profile.is_null() && profile.dtls_id().is_some());
    one_of(value, &names.map(|profile| (profile.sdes_name(), profile)).collect::<Vec<_>>())
}

pub(super) fn one_of<T: Copy>(value: Value<'_>, choices: &[(&str, T)]) -> Result<T, Fault> {
    let text = value.text()?;
    choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        value.fault(format!("{text:?} is none of {}", names.join(", ")))
    })
}
