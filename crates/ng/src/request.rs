//! A dictionary becomes a request of the session.

use std::net::IpAddr;
use std::time::Duration;

use session::{Delete, Negotiation, Party, Query, Request, Subscribe, Treat, Treatment, Unsubscribe};

use crate::keys::{Keys, excerpt, normal, number, strings, text};
use crate::reply::Parts;
use crate::{CommandName, Dictionary, Fault, Value, options};

/// Longest time that a delete may ask ports to stay open.
const MAX_DELETE_DELAY: u64 = 24 * 3600;

/// Call-IDs that a `list` gives unless it asks for another number.
const DEFAULT_LIST_LIMIT: usize = 32;

/// Commands of the protocol that this relay does not carry out: the command, why.
const UNSUPPORTED_COMMANDS: [(&str, &str); 19] = [
    ("start-recording", RECORDS),
    ("stop-recording", RECORDS),
    ("pause-recording", RECORDS),
    ("start-forwarding", RECORDS),
    ("stop-forwarding", RECORDS),
    ("play-media", PLAYS),
    ("stop-media", PLAYS),
    ("play-DTMF", PLAYS),
    ("publish", FORKS),
    ("inject-start", FORKS),
    ("inject-stop", FORKS),
    ("connect", JOINS),
    ("mesh", JOINS),
    ("create", JOINS),
    ("create-answer", JOINS),
    ("transform", "this relay does not transcode"),
    ("trigger", "this relay does not detect DTMF"),
    ("cli", "see /metrics and /calls of the admin address"),
    ("trace", "this relay has no such trace"),
];

const RECORDS: &str = "this relay does not record";
const PLAYS: &str = "this relay does not play media";
const FORKS: &str = "this relay does not fork media";
const JOINS: &str = "this relay joins parties by offer and answer";

/// What a message asks.
#[derive(Debug)]
pub(crate) enum Asked {
    /// For the session.
    Request(Box<Request>),
    /// Whether somebody is there.
    Ping,
    /// Nothing that can be done.
    Nothing(Fault),
}

/// A key or flag that was passed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// Nobody knows it.
    Unknown(String),
    /// It is part of the protocol, but what it asks for is so anyway, or matters only to what is not there.
    WithoutEffect(String),
}

impl Ignored {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Unknown(name) | Self::WithoutEffect(name) => name,
        }
    }
}

/// A message, read.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) command: CommandName,
    pub(crate) asked: Asked,
    /// Keys and flags that were ignored.
    pub(crate) ignored: Vec<Ignored>,
    /// The requester understands the result `load limit`.
    pub(crate) load_limit: bool,
    /// What the reply to a query or delete is to have.
    pub(crate) parts: Parts,
}

impl Message {
    pub(crate) fn refused(command: CommandName, fault: Fault) -> Self {
        Self { command, asked: Asked::Nothing(fault), ignored: Vec::new(), load_limit: false, parts: Parts::ALL }
    }
}

pub(crate) fn read(dictionary: Dictionary) -> Message {
    let mut keys = Keys::new(dictionary);
    let load_limit = keys
        .take("supports")
        .and_then(|value| strings("supports", &value).ok())
        .is_some_and(|supports| supports.iter().any(|feature| normal(feature) == "load-limit"));
    let ssrcs = keys
        .take("ssrc-reporting")
        .and_then(|value| text("ssrc-reporting", &value).ok())
        .is_none_or(|reporting| reporting != "none");
    let (command, asked) = match keys.take("command") {
        None => (CommandName::Unrecognized, Err(Fault::NoCommand)),
        Some(Value::String(command)) => read_command(&String::from_utf8_lossy(&command), keys),
        Some(other) => {
            let words = format!("command is {}, not a string", other.kind());
            (CommandName::Unrecognized, Err(Fault::BadValue(words)))
        }
    };
    let (asked, ignored) = asked.unwrap_or_else(|fault| (Asked::Nothing(fault), Vec::new()));
    Message { command, asked, ignored, load_limit, parts: Parts { ssrcs, ..Parts::ALL } }
}

type Read = Result<(Asked, Vec<Ignored>), Fault>;

fn read_command(command: &str, keys: Keys) -> (CommandName, Read) {
    match normal(command).as_str() {
        "ping" => (CommandName::Ping, Ok((Asked::Ping, Vec::new()))),
        "offer" => (CommandName::Offer, negotiation(keys, Request::Offer)),
        "answer" => (CommandName::Answer, negotiation(keys, Request::Answer)),
        "subscribe-request" => (CommandName::SubscribeRequest, subscribe(keys)),
        "subscribe-answer" => (CommandName::SubscribeAnswer, negotiation(keys, Request::SubscribeAnswer)),
        "unsubscribe" => (CommandName::Unsubscribe, unsubscribe(keys)),
        "delete" => (CommandName::Delete, delete(keys)),
        "query" => (CommandName::Query, query(keys)),
        "block-media" => (CommandName::Treat, treat(keys, Treatment::Block, true)),
        "unblock-media" => (CommandName::Treat, treat(keys, Treatment::Block, false)),
        "block-DTMF" => (CommandName::Treat, treat(keys, Treatment::BlockDtmf, true)),
        "unblock-DTMF" => (CommandName::Treat, treat(keys, Treatment::BlockDtmf, false)),
        "silence-media" => (CommandName::Treat, treat(keys, Treatment::Silence, true)),
        "unsilence-media" => (CommandName::Treat, treat(keys, Treatment::Silence, false)),
        "list" => (CommandName::List, list(keys)),
        "statistics" => (CommandName::Statistics, Ok((Asked::Request(Box::new(Request::Statistics)), Vec::new()))),
        other => match UNSUPPORTED_COMMANDS.iter().find(|(name, _)| *name == other) {
            Some((_, reason)) => (CommandName::Unsupported, Err(Fault::UnsupportedCommand(excerpt(command), reason))),
            None => (CommandName::Unrecognized, Err(Fault::UnrecognizedCommand(excerpt(command)))),
        },
    }
}

fn negotiation(mut keys: Keys, kind: impl FnOnce(Box<Negotiation>) -> Request) -> Read {
    let sdp = match keys.take("sdp") {
        None => Vec::new(),
        Some(Value::String(sdp)) => sdp,
        Some(other) => return Err(format!("sdp is {}, not a string", other.kind()).into()),
    };
    let negotiation = Negotiation {
        call_id: keys.name("call-id")?.unwrap_or_default(),
        from_tag: keys.name("from-tag")?.unwrap_or_default(),
        to_tag: filled(keys.name("to-tag")?),
        via_branch: filled(keys.name("via-branch")?),
        sdp,
        received_from: keys.take("received-from").map(|value| received_from(&value)).transpose()?,
        options: Default::default(),
    };
    let (options, ignored) = options::read(keys)?;
    Ok((Asked::Request(Box::new(kind(Box::new(Negotiation { options, ..negotiation })))), ignored))
}

fn subscribe(mut keys: Keys) -> Read {
    let call_id = keys.name("call-id")?.unwrap_or_default();
    let to_tag = filled(keys.name("to-tag")?);
    let from_tag = filled(keys.name("from-tag")?);
    // In an offer it names the party that sends; here it names the one that is to come.
    let label = filled(keys.name("set-label")?);
    for key in ["received-from", "via-branch", "sdp", "supports"] {
        keys.take(key);
    }
    let (mut from_tags, mut options, ignored) = options::read_with_parties(keys)?;
    if from_tags.is_empty() {
        // A list takes the place of the one tag that proxies always send.
        from_tags.extend(from_tag);
    }
    options.to_label = label.or(options.to_label);
    if options.flags.all {
        from_tags.clear();
    }
    let request = Request::Subscribe(Box::new(Subscribe { call_id, from_tags, options, to_tag }));
    Ok((Asked::Request(Box::new(request)), ignored))
}

fn unsubscribe(mut keys: Keys) -> Read {
    let call_id = keys.name("call-id")?.unwrap_or_default();
    let to_tag = filled(keys.name("to-tag")?);
    Ok((Asked::Request(Box::new(Request::Unsubscribe(Unsubscribe { call_id, to_tag }))), left(keys)))
}

/// `["IP4", "192.0.2.1"]`, or the address alone.
fn received_from(value: &Value) -> Result<IpAddr, String> {
    address("received-from", value)
}

fn address(key: &str, value: &Value) -> Result<IpAddr, String> {
    let words = strings(key, value)?;
    let address = words.last().map(String::as_str).unwrap_or_default();
    address.parse().map_err(|_| format!("Bad value of {key}: {}", excerpt(address)))
}

fn delete(mut keys: Keys) -> Read {
    let mut delete = Delete {
        call_id: keys.name("call-id")?.unwrap_or_default(),
        from_tag: filled(keys.name("from-tag")?),
        to_tag: filled(keys.name("to-tag")?),
        via_branch: filled(keys.name("via-branch")?),
        ..Delete::default()
    };
    if let Some(value) = keys.take("delete-delay") {
        // Below zero is the configured delay, as if the key were not there.
        let seconds = u64::try_from(number("delete-delay", &value)?).ok();
        delete.delay = seconds.map(|seconds| Duration::from_secs(seconds.min(MAX_DELETE_DELAY)));
    }
    let mut ignored = Vec::new();
    if let Some(flags) = keys.take("flags") {
        for flag in strings("flags", &flags)? {
            match normal(&flag).as_str() {
                "fatal" => delete.fatal = true,
                "to-tag" => delete.match_to_tag = true,
                "fast" => delete.fast = true,
                _ => ignored.push(Ignored::Unknown(excerpt(&flag))),
            }
        }
    }
    ignored.extend(left(keys));
    Ok((Asked::Request(Box::new(Request::Delete(delete))), ignored))
}

fn query(mut keys: Keys) -> Read {
    let query = Query {
        call_id: keys.name("call-id")?.unwrap_or_default(),
        from_tag: filled(keys.name("from-tag")?),
        to_tag: filled(keys.name("to-tag")?),
    };
    Ok((Asked::Request(Box::new(Request::Query(query))), left(keys)))
}

/// The party is named by `from-tag`, `label` or `address`, the other end by `to-tag` or `to-label`.
fn treat(mut keys: Keys, treatment: Treatment, on: bool) -> Read {
    let call_id = keys.name("call-id")?.unwrap_or_default();
    let tag = filled(keys.name("from-tag")?).map(Party::Tag);
    let label = filled(keys.name("label")?.or(keys.name("from-label")?)).map(Party::Label);
    let address = keys.take("address").map(|value| address("address", &value)).transpose()?.map(Party::Address);
    let set_label = filled(keys.name("set-label")?);
    let to_tag = filled(keys.name("to-tag")?).map(Party::Tag);
    let to_label = filled(keys.name("to-label")?).map(Party::Label);
    let mut all = match keys.take("all") {
        None => false,
        Some(value) => match text("all", &value)?.as_str() {
            "none" => false,
            "all" | "flows" | "offer-answer" => true,
            other => return Err(format!("Bad value of all: {}", excerpt(other)).into()),
        },
    };
    if let Some(mode) = keys.take("DTMF-security").filter(|_| treatment == Treatment::BlockDtmf) {
        let mode = text("DTMF-security", &mode)?;
        if !matches!(mode.as_str(), "drop" | "off") {
            return Err(format!("Bad value of DTMF-security: {} (this relay can only drop)", excerpt(&mode)).into());
        }
    }
    let mut from = tag.or(label).or(address);
    let mut to = to_tag.or(to_label);
    let mut ignored = Vec::new();
    if let Some(flags) = keys.take("flags") {
        for flag in strings("flags", &flags)? {
            match normal(&flag).as_str() {
                "all" => all = true,
                // What the party hears, not what it says.
                "egress" => std::mem::swap(&mut from, &mut to),
                // A party that is named is meant.
                "directional" => ignored.push(Ignored::WithoutEffect("directional".to_owned())),
                _ => ignored.push(Ignored::Unknown(excerpt(&flag))),
            }
        }
    }
    ignored.extend(left(keys));
    let treat = Treat { call_id, treatment, on, from, to, all, label: set_label };
    Ok((Asked::Request(Box::new(Request::Treat(treat))), ignored))
}

fn list(mut keys: Keys) -> Read {
    let limit = match keys.take("limit") {
        None => DEFAULT_LIST_LIMIT,
        Some(value) => usize::try_from(number("limit", &value)?)
            .ok()
            .filter(|&limit| limit > 0)
            .ok_or_else(|| "limit must be above zero".to_owned())?,
    };
    Ok((Asked::Request(Box::new(Request::List { limit })), left(keys)))
}

/// Empty counts as missing.
fn filled(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty())
}

/// Keys that a command other than offer and answer has no use for, without those that proxies always send.
fn left(keys: Keys) -> Vec<Ignored> {
    let always = ["received-from", "via-branch", "from-tag", "to-tag", "metadata"];
    keys.rest()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| !always.contains(&key.as_str()))
        .map(|key| Ignored::Unknown(excerpt(&key)))
        .collect()
}
