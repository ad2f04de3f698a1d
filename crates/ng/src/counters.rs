//! What a server has counted since it began.

use crate::Fault;

/// What a server has counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands answered, by command and result, in the order of `ALL`.
    answered: [[u64; CommandResult::ALL.len()]; CommandName::ALL.len()],
    /// In the order of [`Fault::LABELS`].
    faults: [u64; Fault::LABELS.len()],
    /// Repeated requests: answered from the cache or together with the first, or absorbed.
    pub retransmissions: u64,
    /// Messages without a readable cookie: dropped.
    pub malformed: u64,
}

impl Counters {
    pub(crate) fn count(&mut self, command: CommandName, result: CommandResult) {
        self.answered[command as usize][result as usize] += 1;
    }

    pub(crate) fn count_fault(&mut self, fault: &Fault) {
        if let Some(count) = self.faults.get_mut(fault.index()) {
            *count += 1;
        }
    }

    /// What was refused before it came to the session, or in its place: label and count.
    pub fn faults(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Fault::LABELS.into_iter().zip(self.faults)
    }

    /// Commands answered.
    pub fn of(&self, command: CommandName, result: CommandResult) -> u64 {
        self.answered[command as usize][result as usize]
    }

    /// Every command and result with its count.
    pub fn iter(&self) -> impl Iterator<Item = (CommandName, CommandResult, u64)> + '_ {
        CommandName::ALL.into_iter().flat_map(move |command| {
            CommandResult::ALL.into_iter().map(move |result| (command, result, self.of(command, result)))
        })
    }
}

/// Commands as metrics tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandName {
    /// `ping`
    Ping,
    /// `offer`
    Offer,
    /// `answer`
    Answer,
    /// `delete`
    Delete,
    /// `query`
    Query,
    /// `block media` and the like, and their contraries.
    Treat,
    /// `subscribe request`
    SubscribeRequest,
    /// `subscribe answer`
    SubscribeAnswer,
    /// `unsubscribe`
    Unsubscribe,
    /// `list`
    List,
    /// `statistics`
    Statistics,
    /// A command of the protocol that this relay does not carry out.
    Unsupported,
    /// A command that is none.
    Unrecognized,
    /// A message that cannot be decoded.
    Malformed,
}

impl CommandName {
    /// One of each.
    pub const ALL: [Self; 14] = [
        Self::Ping,
        Self::Offer,
        Self::Answer,
        Self::Delete,
        Self::Query,
        Self::Treat,
        Self::SubscribeRequest,
        Self::SubscribeAnswer,
        Self::Unsubscribe,
        Self::List,
        Self::Statistics,
        Self::Unsupported,
        Self::Unrecognized,
        Self::Malformed,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::Treat => "treat",
            Self::SubscribeRequest => "subscribe_request",
            Self::SubscribeAnswer => "subscribe_answer",
            Self::Unsubscribe => "unsubscribe",
            Self::List => "list",
            Self::Statistics => "statistics",
            Self::Unsupported => "unsupported",
            Self::Unrecognized => "unrecognized",
            Self::Malformed => "malformed",
        }
    }
}

/// What a reply's `result` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandResult {
    /// `ok`
    Ok,
    /// `pong`
    Pong,
    /// `error`
    Error,
    /// `load limit`
    LoadLimit,
}

impl CommandResult {
    /// One of each.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Pong, Self::Error, Self::LoadLimit];

    /// On the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pong => "pong",
            Self::Error => "error",
            Self::LoadLimit => "load limit",
        }
    }

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::LoadLimit => "load_limit",
            other => other.name(),
        }
    }
}
