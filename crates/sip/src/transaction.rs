//! The four transactions (RFC 3261 §17, RFC 6026, RFC 4320).

mod client;
mod key;
mod layer;
mod loops;
mod server;

pub use layer::TransactionLayer;
pub use loops::LoopGuard;

use crate::{Fault, Flow, Request, Response, SentBy};
use std::time::Duration;

/// A client transaction of ours. Numbers are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClientId(pub(crate) u64);

/// A server transaction. Numbers are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ServerId(pub(crate) u64);

/// Either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum TransactionId {
    /// We sent the request.
    Client(ClientId),
    /// We answer it.
    Server(ServerId),
}

/// Timers and bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionConfig {
    /// Estimate of the round trip (RFC 3261 §17.1.1.1): 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions of non-INVITE requests and INVITE responses: 4 s.
    pub t2: Duration,
    /// How long a message may stay in the network: 5 s.
    pub t4: Duration,
    /// Timer C: how long an INVITE may ring after its last provisional response before it is cancelled (RFC 3261 §16.8: more
    /// than 3 minutes): 185 s.
    pub timer_c: Duration,
    /// After this the layer answers an INVITE with 100 in the user's stead (RFC 3261 §17.2.1): 200 ms.
    pub trying_after: Duration,
    /// Client transactions at one time, CANCELs included: 16384.
    pub max_clients: usize,
    /// Server transactions at one time: 16384. Beyond it requests are answered with 503 and no memory.
    pub max_servers: usize,
    /// Retry-After of that 503, in seconds: 5.
    pub overload_retry_after: u32,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(185),
            trying_after: Duration::from_millis(200),
            max_clients: 16384,
            max_servers: 16384,
            overload_retry_after: 5,
        }
    }
}

/// Where a request goes and what its Via says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The next hop.
    pub flow: Flow,
    /// Where responses find us.
    pub sent_by: SentBy,
}

/// Bytes to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to. For a response over a connection that is gone, the transport opens another to `flow.peer`.
    pub flow: Flow,
    /// One whole message.
    pub bytes: Vec<u8>,
    /// Who is to hear of a failure: see [`TransactionLayer::handle_transport_error`].
    pub transaction: Option<TransactionId>,
}

/// The first line; the rest holds credentials and keys.
impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = self.bytes.split(|&byte| byte == b'\r').next().unwrap_or(&[]);
        write!(f, "{} to {} {:?}", String::from_utf8_lossy(line), self.flow.peer, self.transaction)
    }
}

/// What the transaction user hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransactionEvent {
    /// A request begins a server transaction. Answer it with [`TransactionLayer::respond`].
    Request {
        /// The transaction.
        server: ServerId,
        /// The request; its topmost Via has received and rport.
        request: Request,
        /// How it came.
        flow: Flow,
        /// A fresh tag for To in all responses, if To has none.
        local_tag: String,
    },
    /// The ACK of a 2xx. (An ACK of another final response stays in the layer.)
    Ack {
        /// The ACK.
        request: Request,
        /// How it came.
        flow: Flow,
    },
    /// The peer gave up an INVITE that has no final response. The CANCEL is answered; answer the INVITE with 487.
    Cancelled {
        /// The INVITE's transaction.
        server: ServerId,
        /// The CANCEL, for its Reason.
        cancel: Request,
    },
    /// A response: each provisional one, the final one, and every 2xx to an INVITE, repetitions and forks included.
    Response {
        /// The transaction.
        client: ClientId,
        /// The response.
        response: Response,
        /// How it came.
        flow: Flow,
    },
    /// No final response came in time (Timers B, F, C, or after CANCEL). The transaction is over: act as on 408.
    ClientTimeout {
        /// The transaction that was.
        client: ClientId,
    },
    /// The request could not be sent. The transaction is over: act as on 503.
    ClientUnreachable {
        /// The transaction that was.
        client: ClientId,
    },
    /// The final response was not acknowledged (Timer H), could not be sent, or was not given in time (non-INVITE). The
    /// transaction is over.
    ServerFailed {
        /// The transaction that was.
        server: ServerId,
    },
}

/// How a message ended. Every message has exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A request that begins a transaction.
    Request,
    /// An ACK of a 2xx, passed on.
    Ack,
    /// An ACK of another final response, done with.
    AckAbsorbed,
    /// A CANCEL that cancels.
    Cancelled,
    /// A CANCEL that came after the final response: answered with 200 and without effect.
    CancelLate,
    /// A CANCEL of nothing: answered with 481.
    CancelUnmatched,
    /// A request again; its last response goes out again.
    RequestRepeated,
    /// The same request by another way: answered with 482 (RFC 3261 §8.2.2.2).
    Merged,
    /// No room: answered with 503.
    Overloaded,
    /// A response, passed on.
    Response,
    /// A final response again; absorbed, acknowledged again if it is an INVITE's.
    ResponseRepeated,
    /// A response to nothing.
    ResponseUnmatched,
    /// A response with more than our Via (RFC 3261 §8.1.3.3).
    ResponseMisrouted,
    /// Views that [`receive`](crate::receive) would have refused.
    Malformed(Fault),
}

/// Why a call to the layer did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionError {
    /// [`TransactionConfig::max_clients`].
    Exhausted,
    /// The transaction is over or never was.
    Unknown,
    /// The response is not allowed in this state, or never: a second final one, a 408 or a provisional one but 100 to a
    /// non-INVITE request (RFC 4320).
    NotAllowed,
}

impl std::fmt::Display for TransactionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "too many transactions",
            Self::Unknown => "no such transaction",
            Self::NotAllowed => "response not allowed in this state",
        })
    }
}

impl std::error::Error for TransactionError {}
