//! A dictionary becomes a request of the session.

use std::net::IpAddr;
use std::time::Duration;

use session::{Delete, Negotiation, Query, Request};

use crate::keys::{Keys, excerpt, normal, number, strings};
use crate::{CommandName, Dictionary, Value, options};

/// Longest time that a delete may ask ports to stay open.
const MAX_DELETE_DELAY: u64 = 24 * 3600;

/// Call-IDs that a `list` gives unless it asks for another number.
const DEFAULT_LIST_LIMIT: usize = 32;

/// Commands of the protocol that this relay does not carry out: the command, why.
const UNSUPPORTED_COMMANDS: [(&str, &str); 28] = [
    ("block-media", "this relay does not block media"),
    ("unblock-media", "this relay does not block media"),
    ("block-DTMF", "this relay does not block media"),
    ("unblock-DTMF", "this relay does not block media"),
    ("silence-media", "this relay does not replace media"),
    ("unsilence-media", "this relay does not replace media"),
    ("start-recording", "this relay does not record"),
    ("stop-recording", "this relay does not record"),
    ("pause-recording", "this relay does not record"),
    ("start-forwarding", "this relay does not record"),
    ("stop-forwarding", "this relay does not record"),
    ("play-media", "this relay does not play media"),
    ("stop-media", "this relay does not play media"),
    ("play-DTMF", "this relay does not play media"),
    ("subscribe-request", "this relay does not fork media"),
    ("subscribe-answer", "this relay does not fork media"),
    ("unsubscribe", "this relay does not fork media"),
    ("publish", "this relay does not fork media"),
    ("connect", "this relay joins parties by offer and answer"),
    ("mesh", "this relay joins parties by offer and answer"),
    ("create", "this relay joins parties by offer and answer"),
    ("create-answer", "this relay joins parties by offer and answer"),
    ("inject-start", "this relay does not fork media"),
    ("inject-stop", "this relay does not fork media"),
    ("transform", "this relay does not transcode"),
    ("trigger", "this relay does not detect DTMF"),
    ("cli", "see /metrics and /calls of the admin address"),
    ("trace", "this relay has no such trace"),
];

/// What a message asks.
#[derive(Debug)]
pub(crate) enum Asked {
    /// For the session.
    Request(Box<Request>),
    /// Whether somebody is there.
    Ping,
    /// Nothing that can be done: the words of the error.
    Nothing(String),
}

/// A message, read.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) command: CommandName,
    pub(crate) asked: Asked,
    /// Names of keys and flags that were ignored.
    pub(crate) ignored: Vec<String>,
    /// The requester understands the result `load limit`.
    pub(crate) load_limit: bool,
}

pub(crate) fn read(dictionary: Dictionary) -> Message {
    let mut keys = Keys::new(dictionary);
    let load_limit = keys
        .take("supports")
        .and_then(|value| strings("supports", &value).ok())
        .is_some_and(|supports| supports.iter().any(|feature| normal(feature) == "load-limit"));
    let (command, asked) = match keys.take("command") {
        None => (CommandName::Unrecognized, Err("No command in message".to_owned())),
        Some(Value::String(command)) => read_command(&String::from_utf8_lossy(&command), keys),
        Some(other) => (CommandName::Unrecognized, Err(format!("command is {}, not a string", other.kind()))),
    };
    let (asked, ignored) = asked.unwrap_or_else(|error| (Asked::Nothing(error), Vec::new()));
    Message { command, asked, ignored, load_limit }
}

type Read = Result<(Asked, Vec<String>), String>;

fn read_command(command: &str, keys: Keys) -> (CommandName, Read) {
    match normal(command).as_str() {
        "ping" => (CommandName::Ping, Ok((Asked::Ping, Vec::new()))),
        "offer" => (CommandName::Offer, negotiation(keys, Request::Offer)),
        "answer" => (CommandName::Answer, negotiation(keys, Request::Answer)),
        "delete" => (CommandName::Delete, delete(keys)),
        "query" => (CommandName::Query, query(keys)),
        "list" => (CommandName::List, list(keys)),
        "statistics" => (CommandName::Statistics, Ok((Asked::Request(Box::new(Request::Statistics)), Vec::new()))),
        other => match UNSUPPORTED_COMMANDS.iter().find(|(name, _)| *name == other) {
            Some((_, reason)) => {
                (CommandName::Unsupported, Err(format!("Unsupported command: {} ({reason})", excerpt(command))))
            }
            None => (CommandName::Unrecognized, Err(format!("Unrecognized command: {}", excerpt(command)))),
        },
    }
}

fn negotiation(mut keys: Keys, kind: impl FnOnce(Box<Negotiation>) -> Request) -> Read {
    let sdp = match keys.take("sdp") {
        None => Vec::new(),
        Some(Value::String(sdp)) => sdp,
        Some(other) => return Err(format!("sdp is {}, not a string", other.kind())),
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

/// `["IP4", "192.0.2.1"]`, or the address alone.
fn received_from(value: &Value) -> Result<IpAddr, String> {
    let words = strings("received-from", value)?;
    let address = words.last().map(String::as_str).unwrap_or_default();
    address.parse().map_err(|_| format!("Bad value of received-from: {}", excerpt(address)))
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
                _ => ignored.push(excerpt(&flag)),
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

fn list(mut keys: Keys) -> Read {
    let limit = match keys.take("limit") {
        None => DEFAULT_LIST_LIMIT,
        Some(value) => usize::try_from(number("limit", &value)?)
            .ok()
            .filter(|&limit| limit > 0)
            .ok_or("limit must be above zero")?,
    };
    Ok((Asked::Request(Box::new(Request::List { limit })), left(keys)))
}

/// Empty counts as missing.
fn filled(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty())
}

/// Keys that a command other than offer and answer has no use for, without those that proxies always send.
fn left(keys: Keys) -> Vec<String> {
    let always = ["received-from", "via-branch", "from-tag", "to-tag", "metadata"];
    keys.rest()
        .into_iter()
        .map(|(key, _)| key)
        .filter(|key| !always.contains(&key.as_str()))
        .map(|key| excerpt(&key))
        .collect()
}
