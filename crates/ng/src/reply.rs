//! A reply of the session becomes a dictionary, in rtpengine's structure.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use control::QualitySample;
use session::{
    CallReport, MediaReport, Refusal, Reply, SessionStatistics, SsrcReport, StreamReport, Subscribed, TagReport, Tally,
    Totals,
};

use crate::{CommandName, CommandResult, Counters, Dictionary, Fault, Value};

/// Which parts of a query's reply are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) ssrcs: bool,
    pub(crate) tags: bool,
}

impl Parts {
    pub(crate) const ALL: Self = Self { ssrcs: true, tags: true };
}

/// `error` with its reason.
fn error(reason: &str) -> (CommandResult, Dictionary) {
    (CommandResult::Error, result(CommandResult::Error).with("error-reason", Value::string(reason)))
}

/// `load limit` with its message.
fn load_limit(message: &str) -> (CommandResult, Dictionary) {
    (CommandResult::LoadLimit, result(CommandResult::LoadLimit).with("message", Value::string(message)))
}

/// To `ping`.
pub(crate) fn pong() -> (CommandResult, Dictionary) {
    (CommandResult::Pong, result(CommandResult::Pong))
}

/// To what did not come to the session.
pub(crate) fn fault(fault: &Fault, knows_load_limit: bool) -> (CommandResult, Dictionary) {
    match fault {
        Fault::TooManyRequests if knows_load_limit => load_limit(&fault.to_string()),
        _ => error(&fault.to_string()),
    }
}

/// To what the session refused.
pub(crate) fn refusal(refusal: &Refusal, knows_load_limit: bool) -> (CommandResult, Dictionary) {
    match refusal {
        Refusal::LoadLimit(_) if knows_load_limit => load_limit(&refusal.to_string()),
        _ => error(&refusal.to_string()),
    }
}

/// To what the session did.
pub(crate) fn done(reply: &Reply, counters: &Counters, parts: Parts) -> (CommandResult, Dictionary) {
    let mut dictionary = result(CommandResult::Ok);
    match reply {
        Reply::Sdp(rewritten) => {
            if !rewritten.warnings.is_empty() {
                dictionary.insert("warning", Value::string(rewritten.warnings.join("; ")));
            }
            dictionary.insert("sdp", Value::string(&rewritten.sdp));
        }
        Reply::Subscribed(told) => subscribed(told, &mut dictionary),
        Reply::Deleted(deleted) => {
            if let Some(warning) = deleted.warning {
                dictionary.insert("warning", Value::string(warning));
            }
            if let Some(report) = &deleted.report {
                call(report, parts, &mut dictionary);
            }
        }
        Reply::Query(report) => call(report, parts, &mut dictionary),
        Reply::Done => {}
        Reply::List(calls) => dictionary.insert("calls", list(calls)),
        Reply::Statistics(session) => dictionary.insert("statistics", statistics(session, counters).into()),
    }
    (CommandResult::Ok, dictionary)
}

/// Ever less of a reply that does not fit its transport; nothing where a part would be of no use.
pub(crate) fn shortened(reply: &Reply) -> impl Iterator<Item = (CommandResult, Dictionary)> + '_ {
    // What an SBC makes variables of (totals, SSRC) stays longest.
    let parts = [(Parts { tags: false, ..Parts::ALL }, "tags"), (Parts { tags: false, ssrcs: false }, "tags and SSRC")];
    let report = match reply {
        Reply::Deleted(deleted) => deleted.report.as_deref(),
        Reply::Query(report) => Some(&**report),
        _ => None,
    };
    let reports = parts.into_iter().filter_map(move |(parts, missing)| {
        let warning = format!("{missing} left out: too long for the transport");
        let mut dictionary = result(CommandResult::Ok).with("warning", Value::string(warning));
        call(report?, parts, &mut dictionary);
        Some((CommandResult::Ok, dictionary))
    });
    let calls = match reply {
        Reply::List(calls) => calls.as_slice(),
        _ => &[],
    };
    let halves =
        std::iter::successors(Some(calls.len() / 2), |length| Some(length / 2)).take_while(|&length| length > 0);
    let lists = halves.filter_map(|length| Some((length, calls.get(..length)?))).map(|(length, some)| {
        let warning = format!("{length} of {} calls: the rest is too long for the transport", calls.len());
        (CommandResult::Ok, result(CommandResult::Ok).with("warning", Value::string(warning)).with("calls", list(some)))
    });
    reports.chain(lists)
}

fn list(calls: &[String]) -> Value {
    Value::List(calls.iter().map(Value::string).collect())
}

/// One party is named by `from-tag`, several by `from-tags`; each of the subscriber's sections by its label, if it has one.
fn subscribed(told: &Subscribed, dictionary: &mut Dictionary) {
    if !told.offer.warnings.is_empty() {
        dictionary.insert("warning", Value::string(told.offer.warnings.join("; ")));
    }
    dictionary.insert("sdp", Value::string(&told.offer.sdp));
    if let [only] = told.sources.as_slice() {
        dictionary.insert("from-tag", Value::string(&only.tag));
    }
    let tags = told.sources.iter().map(|party| Value::string(&party.tag)).collect();
    dictionary.insert("from-tags", Value::List(tags));
    dictionary.insert("to-tag", Value::string(&told.to_tag));
    let mut parties = Vec::new();
    let mut labels = Dictionary::new();
    for party in &told.sources {
        let mut entry = Dictionary::new().with("tag", Value::string(&party.tag));
        if let Some(label) = &party.label {
            entry.insert("label", Value::string(label));
        }
        let mut medias = Vec::new();
        for media in &party.medias {
            let described = || {
                Dictionary::new()
                    .with("index", Value::count(media.index as u64))
                    .with("type", Value::string(&media.kind))
            };
            let mode = Value::string(media.mode);
            let mut own = described();
            if let Some(label) = &media.label {
                own.insert("label", Value::string(label));
                let mut named = described().with("tag", Value::string(&party.tag)).with("mode", mode.clone());
                if let Some(label) = &party.label {
                    named.insert("label", Value::string(label));
                }
                labels.insert(label, named.into());
            }
            medias.push(own.with("mode", mode).into());
        }
        parties.push(entry.with("medias", Value::List(medias)).into());
    }
    dictionary.insert("tag-medias", Value::List(parties));
    if !labels.0.is_empty() {
        dictionary.insert("media-labels", labels.into());
    }
}

fn result(result: CommandResult) -> Dictionary {
    Dictionary::new().with("result", Value::string(result.name()))
}

fn call(report: &CallReport, parts: Parts, dictionary: &mut Dictionary) {
    let created = since_1970(report.created);
    dictionary.insert("created", Value::count(created.as_secs()));
    dictionary.insert("created_us", Value::count(u64::from(created.subsec_micros())));
    dictionary.insert("created_ts", micros(created));
    dictionary.insert("last signal", seconds(report.last_signal));
    dictionary.insert("last redis update", Value::Integer(0));
    if parts.ssrcs {
        let mut ssrcs = Dictionary::new();
        for (number, stream) in &report.ssrcs {
            ssrcs.insert(number.to_string(), self::ssrc(stream, report.at).into());
        }
        dictionary.insert("SSRC", ssrcs.into());
    }
    if parts.tags {
        dictionary.insert("tags", tags(&report.tags).into());
    }
    dictionary.insert("totals", totals(&report.totals).into());
}

fn ssrc(report: &SsrcReport, now: SystemTime) -> Dictionary {
    let mut dictionary = Dictionary::new()
        .with("packets", Value::count(report.packets))
        .with("bytes", Value::count(report.bytes))
        .with("last RTP timestamp", Value::Integer(i64::from(report.last_timestamp)))
        .with("last RTP seq", Value::Integer(i64::from(report.last_sequence_number)))
        .with("cumulative loss", Value::Integer(report.cumulative_loss))
        .with("jitter", Value::Integer(i64::from(report.jitter)));
    if let Some(quality) = &report.quality {
        let average = mos(&quality.average).with("samples", Value::Integer(i64::from(quality.samples)));
        dictionary.insert("average MOS", average.into());
        for (name, sample) in [("lowest MOS", &quality.lowest), ("highest MOS", &quality.highest)] {
            let at = now.checked_sub(sample.age).unwrap_or(now);
            dictionary.insert(name, mos(sample).with("reported at", seconds(at)).into());
        }
    }
    dictionary
}

/// In rtpengine's units: tenths, microseconds, milliseconds, percent.
fn mos(sample: &QualitySample) -> Dictionary {
    let round_trip = micros(sample.round_trip.unwrap_or_default());
    Dictionary::new()
        .with("MOS", Value::Integer(i64::from((sample.mos + 5) / 10)))
        .with("round-trip time", round_trip.clone())
        .with("round-trip time leg", round_trip)
        .with("jitter", Value::Integer(i64::try_from(sample.jitter.as_millis()).unwrap_or(i64::MAX)))
        .with("packet loss", Value::Integer(i64::from((sample.loss + 50) / 100)))
}

/// Every party under a key of its own: its tag, or where it has none yet, what tells it apart.
fn tags(reports: &[TagReport]) -> Dictionary {
    let mut dictionary = Dictionary::new();
    let mut names: HashSet<String> = reports.iter().map(|report| report.tag.clone()).collect();
    let mut seen = HashSet::new();
    for (index, report) in reports.iter().enumerate() {
        let own = Some(&report.tag).filter(|tag| seen.insert((*tag).clone())).cloned();
        let branch = || report.via_branch.clone().filter(|branch| names.insert(branch.clone()));
        let number = || (index..).map(|number| format!("#{number}"));
        let name = own.or_else(branch).or_else(|| number().find(|name| names.insert(name.clone())));
        if let Some(name) = name {
            dictionary.insert(name, tag(report).into());
        }
    }
    dictionary
}

fn tag(tag: &TagReport) -> Dictionary {
    let mut dictionary = Dictionary::new().with("tag", Value::string(&tag.tag));
    if let Some(branch) = &tag.via_branch {
        dictionary.insert("via-branch", Value::string(branch));
    }
    if let Some(label) = &tag.label {
        dictionary.insert("label", Value::string(label));
    }
    dictionary.insert("created", seconds(tag.created));
    if let Some(other) = tag.in_dialogue_with.first() {
        dictionary.insert("in dialogue with", Value::string(other));
    }
    let others = |kind: &str| {
        let entry = |other: &String| {
            Value::from(Dictionary::new().with("tag", Value::string(other)).with("type", Value::string(kind)))
        };
        Value::List(tag.in_dialogue_with.iter().map(entry).collect())
    };
    dictionary.insert("subscriptions", others("offer/answer"));
    dictionary.insert("subscribers", others("offer/answer"));
    dictionary.insert("medias", Value::List(tag.medias.iter().map(|media| self::media(media).into()).collect()));
    dictionary
}

fn media(media: &MediaReport) -> Dictionary {
    let mut dictionary = Dictionary::new()
        .with("index", Value::count(media.index as u64))
        .with("type", Value::string(&media.kind))
        .with("protocol", Value::string(&media.protocol));
    if let Some(codec) = &media.codec {
        dictionary.insert("codec", Value::string(codec));
    }
    dictionary
        .with("streams", Value::List(media.streams.iter().map(|stream| self::stream(stream).into()).collect()))
        .with("flags", words(&media.flags))
        .with("ingress SSRCs", numbers(&media.ingress_ssrcs))
        .with("egress SSRCs", numbers(&media.egress_ssrcs))
}

fn stream(stream: &StreamReport) -> Dictionary {
    let mut dictionary = Dictionary::new()
        .with("local port", Value::Integer(i64::from(stream.local.port())))
        .with("local address", Value::string(stream.local.ip().to_string()))
        .with("family", Value::string(family(stream.local)));
    if let Some(address) = stream.endpoint {
        dictionary.insert("endpoint", endpoint(address).into());
    }
    if let Some(address) = stream.advertised_endpoint {
        dictionary.insert("advertised endpoint", endpoint(address).into());
    }
    if let Some(profile) = stream.crypto_suite {
        dictionary.insert("crypto suite", Value::string(profile.sdes_name()));
    }
    let last = stream.last_packet.map_or(Value::Integer(0), seconds);
    dictionary.insert("last packet", last.clone());
    dictionary.insert("last kernel packet", Value::Integer(0));
    dictionary.insert("last user packet", last);
    // A number, not a list: Kamailio finds by it which statistics belong to a label. All are under `ingress SSRCs`.
    if let Some(&ssrc) = stream.ssrcs.first() {
        dictionary.insert("SSRC", Value::Integer(i64::from(ssrc)));
    }
    dictionary
        .with("flags", words(&stream.flags))
        .with("stats", tally(stream.received).into())
        .with("stats_out", tally(stream.sent).into())
}

/// As `rtpengine-ctl list jsonstats` names things; only what there is here.
fn statistics(session: &SessionStatistics, counters: &Counters) -> Dictionary {
    let ended = session.ended_by_delete + session.ended_by_media_timeout + session.ended_by_offer_timeout;
    let average = session.ended_duration.as_secs_f64() / ended.max(1) as f64;
    let refused: u64 = session.refusals.values().sum();
    let media = session.ended_media;
    let pings = counters.of(CommandName::Ping, CommandResult::Pong);
    let current = Dictionary::new()
        .with("sessionsown", Value::count(session.calls))
        .with("sessionsforeign", Value::Integer(0))
        .with("sessionstotal", Value::count(session.calls))
        .with("transcodedmedia", Value::Integer(0))
        .with("legs", Value::count(session.legs))
        .with("transports", Value::count(session.transports));
    let totals = Dictionary::new()
        .with("uptime", Value::string(session.uptime.as_secs().to_string()))
        .with("managedsessions", Value::count(ended))
        .with("rejectedsessions", Value::count(refused))
        .with("timeoutsessions", Value::count(session.ended_by_media_timeout))
        .with("silenttimeoutsessions", Value::count(session.ended_by_media_timeout))
        .with("offertimeoutsessions", Value::count(session.ended_by_offer_timeout))
        .with("regularterminatedsessions", Value::count(session.ended_by_delete))
        .with("forcedterminatedsessions", Value::Integer(0))
        .with("relayedpackets", Value::count(media.rtp.packets + media.rtcp.packets))
        .with("relayedbytes", Value::count(media.rtp.bytes + media.rtcp.bytes))
        .with("relayedpacketerrors", Value::count(media.rtp.errors + media.rtcp.errors))
        .with("avgcallduration", Value::string(format!("{average:.6}")));
    let control = Dictionary::new()
        .with("totalpingcount", Value::count(pings))
        .with("totaloffercount", Value::count(session.offers))
        .with("totalanswercount", Value::count(session.answers))
        .with("totaldeletecount", Value::count(session.deletes))
        .with("totalquerycount", Value::count(session.queries))
        .with("totallistcount", Value::count(of(counters, CommandName::List)));
    Dictionary::new()
        .with("currentstatistics", current.into())
        .with("totalstatistics", totals.into())
        .with("controlstatistics", control.into())
}

fn of(counters: &Counters, command: CommandName) -> u64 {
    CommandResult::ALL.into_iter().map(|result| counters.of(command, result)).sum()
}

fn totals(totals: &Totals) -> Dictionary {
    Dictionary::new().with("RTP", tally(totals.rtp).into()).with("RTCP", tally(totals.rtcp).into())
}

fn tally(tally: Tally) -> Dictionary {
    Dictionary::new()
        .with("packets", Value::count(tally.packets))
        .with("bytes", Value::count(tally.bytes))
        .with("errors", Value::count(tally.errors))
}

fn endpoint(address: SocketAddr) -> Dictionary {
    Dictionary::new()
        .with("family", Value::string(family(address)))
        .with("address", Value::string(address.ip().to_string()))
        .with("port", Value::Integer(i64::from(address.port())))
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn words(words: &[&str]) -> Value {
    Value::List(words.iter().map(Value::string).collect())
}

fn numbers(numbers: &[u32]) -> Value {
    Value::List(numbers.iter().map(|&number| Value::Integer(i64::from(number))).collect())
}

fn seconds(time: SystemTime) -> Value {
    Value::count(since_1970(time).as_secs())
}

fn micros(duration: Duration) -> Value {
    Value::Integer(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
