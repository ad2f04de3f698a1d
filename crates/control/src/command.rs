//! Session to pump.

use std::net::SocketAddr;

use crate::Plan;

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
}

/// A port to bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenPort {
    /// The transport that gets it.
    pub transport: TransportId,
    /// Address and port.
    pub local: SocketAddr,
}
