//! Session to pump.

use std::net::SocketAddr;

use crate::{BindFailure, Event, Plan};

/// The pump's name of a call. Made by the session, never used twice. (A Call-ID is the network's word and stays above.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallKey(pub u64);

/// Names a worker of the pump, counted from 0. A call lives on one worker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId(pub u16);

/// Names a transport inside its call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransportId(pub u16);

/// Names a leg inside its call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LegId(pub u16);

/// Ties an answer to its command.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Session to pump. The contract is on the crate page.
#[derive(Clone)]
pub enum Command {
    /// Bind ports: all or none.
    Open {
        /// Comes back in the answer.
        request: RequestId,
        /// The call that the ports belong to; made if new.
        call: CallKey,
        /// The ports.
        ports: Vec<OpenPort>,
    },
    /// Bring the call's media into this state.
    Apply {
        /// The call.
        call: CallKey,
        /// Its wanted state, whole.
        plan: Box<Plan>,
    },
    /// Ask for statistics.
    Query {
        /// Comes back in the answer.
        request: RequestId,
        /// The call.
        call: CallKey,
    },
    /// End the call.
    Remove {
        /// The call.
        call: CallKey,
    },
    /// Ask for the worker's calls, a page at a time: for a session that has just begun.
    Snapshot {
        /// Comes back in the answer.
        request: RequestId,
        /// Calls with a key above this one; `None`: from the first.
        after: Option<CallKey>,
    },
}

impl Command {
    /// What a worker that has ended, or that is out of reach, would say: nothing can be opened, and nothing is left.
    /// Without it everybody who asks would have to wait for a deadline. `None` where no answer is due.
    pub fn answer_for_nobody(self, cause: &str) -> Option<Event> {
        match self {
            Self::Open { request, call, ports } => {
                let port = ports.first()?;
                let cause = BindFailure::Exhausted(cause.to_owned());
                Some(Event::Refused { request, call, transport: port.transport, local: port.local, cause })
            }
            Self::Query { request, call } => Some(Event::Statistics { request, call, statistics: None }),
            Self::Remove { call } => Some(Event::Removed { call, statistics: Box::default() }),
            Self::Snapshot { request, .. } => Some(Event::Snapshot { request, calls: Vec::new(), more: false }),
            Self::Apply { .. } => None,
        }
    }
}

/// A port to bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenPort {
    /// The transport that gets it.
    pub transport: TransportId,
    /// Address and port.
    pub local: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_a_dead_worker_is_answered_at_once() {
        let (request, call) = (RequestId(7), CallKey(1));
        let local = "192.0.2.1:30000".parse().expect("address");
        let ports = vec![OpenPort { transport: TransportId(2), local }];
        let answer = |command: Command| command.answer_for_nobody("the worker has ended");
        let Some(Event::Refused { cause, .. }) = answer(Command::Open { request, call, ports }) else { panic!() };
        assert_eq!(cause.to_string(), "out of resources: the worker has ended");
        let told = answer(Command::Query { request, call });
        assert!(matches!(told, Some(Event::Statistics { request: RequestId(7), statistics: None, .. })));
        assert!(matches!(answer(Command::Remove { call }), Some(Event::Removed { call: CallKey(1), .. })));
        let page = answer(Command::Snapshot { request, after: None });
        assert!(matches!(page, Some(Event::Snapshot { calls, more: false, .. }) if calls.is_empty()));
    }
}
