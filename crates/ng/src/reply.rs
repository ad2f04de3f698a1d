//! A reply of the session becomes a dictionary, in rtpengine's structure.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use session::{CallReport, MediaReport, Refusal, Reply, SessionStatistics, StreamReport, TagReport, Tally, Totals};

use crate::{CommandName, CommandResult, Counters, Dictionary, Value};

/// `error` with its reason.
pub(crate) fn error(reason: &str) -> (CommandResult, Dictionary) {
    (CommandResult::Error, result(CommandResult::Error).with("error-reason", Value::string(reason)))
}

/// To `ping`.
pub(crate) fn pong() -> (CommandResult, Dictionary) {
    (CommandResult::Pong, result(CommandResult::Pong))
}

/// To what the session refused.
pub(crate) fn refusal(refusal: &Refusal, load_limit: bool) -> (CommandResult, Dictionary) {
    match refusal {
        Refusal::LoadLimit(_) if load_limit => {
            let reply = result(CommandResult::LoadLimit).with("message", Value::string(refusal.to_string()));
            (CommandResult::LoadLimit, reply)
        }
        _ => error(&refusal.to_string()),
    }
}

/// To what the session did.
pub(crate) fn done(reply: &Reply, counters: &Counters) -> (CommandResult, Dictionary) {
    let mut dictionary = result(CommandResult::Ok);
    match reply {
        Reply::Sdp(rewritten) => {
            if !rewritten.warnings.is_empty() {
                dictionary.insert("warning", Value::string(rewritten.warnings.join("; ")));
            }
            dictionary.insert("sdp", Value::string(&rewritten.sdp));
        }
        Reply::Deleted(deleted) => {
            if let Some(warning) = deleted.warning {
                dictionary.insert("warning", Value::string(warning));
            }
            if let Some(report) = &deleted.report {
                call(report, &mut dictionary);
            }
        }
        Reply::Query(report) => call(report, &mut dictionary),
        Reply::List(calls) => dictionary.insert("calls", Value::List(calls.iter().map(Value::string).collect())),
        Reply::Statistics(session) => dictionary.insert("statistics", statistics(session, counters).into()),
    }
    (CommandResult::Ok, dictionary)
}

/// What is left of a reply that fits no datagram.
pub(crate) fn shortened(reply: &Reply) -> (CommandResult, Dictionary) {
    match reply {
        Reply::Deleted(_) => {
            let warning = Value::string("Statistics left out: too long for a datagram");
            (CommandResult::Ok, result(CommandResult::Ok).with("warning", warning))
        }
        _ => error("Reply too long for a datagram"),
    }
}

fn result(result: CommandResult) -> Dictionary {
    Dictionary::new().with("result", Value::string(result.name()))
}

fn call(report: &CallReport, dictionary: &mut Dictionary) {
    let created = since_1970(report.created);
    dictionary.insert("created", Value::count(created.as_secs()));
    dictionary.insert("created_us", Value::count(u64::from(created.subsec_micros())));
    dictionary.insert("created_ts", micros(created));
    dictionary.insert("last signal", seconds(report.last_signal));
    dictionary.insert("last redis update", Value::Integer(0));
    let mut ssrcs = Dictionary::new();
    for (ssrc, stream) in &report.ssrcs {
        let entry = Dictionary::new()
            .with("packets", Value::count(stream.packets))
            .with("bytes", Value::count(stream.bytes))
            .with("last RTP timestamp", Value::Integer(i64::from(stream.last_timestamp)))
            .with("last RTP seq", Value::Integer(i64::from(stream.last_sequence_number)))
            .with("cumulative loss", Value::Integer(stream.cumulative_loss))
            .with("jitter", Value::Integer(i64::from(stream.jitter)));
        ssrcs.insert(ssrc.to_string(), entry.into());
    }
    dictionary.insert("SSRC", ssrcs.into());
    let mut tags = Dictionary::new();
    let mut names = HashSet::new();
    for tag in &report.tags {
        // Branches that have not answered have no tag, and a key can stand only once.
        let name = if names.insert(&tag.tag) { Some(&tag.tag) } else { tag.via_branch.as_ref() };
        if let Some(name) = name {
            tags.insert(name, self::tag(tag).into());
        }
    }
    dictionary.insert("tags", tags.into());
    dictionary.insert("totals", totals(&report.totals).into());
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
    dictionary
        .with("last packet", last.clone())
        .with("last kernel packet", Value::Integer(0))
        .with("last user packet", last)
        .with("SSRC", numbers(&stream.ssrcs))
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
