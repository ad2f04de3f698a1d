//! The protocol's state: requests under way, and replies kept.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use session::{Refusal, Reply, Request, Token};

use crate::cookies::{Bounds, Cookies, Digest, Seen};
use crate::reply::Parts;
use crate::request::{self, Asked, Ignored, Message};
use crate::{CommandName, CommandResult, Counters, Dictionary, Encoding, Fault, Frame, Peer, reply};

/// Names of ignored keys and flags that are remembered, so that each is logged once.
const MAX_LOGGED: usize = 256;

/// Upper bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// How long a reply is kept for a repeated request.
    pub cache_age: Duration,
    /// Replies kept.
    pub cache_entries: usize,
    /// Bytes of replies kept.
    pub cache_bytes: usize,
    /// Requests that the session works on at a time. Further ones are refused.
    pub requests: usize,
    /// A request that the session has not answered for this long is given up. (An SBC gives up after a few seconds.)
    pub patience: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            cache_age: Duration::from_secs(30),
            cache_entries: 100_000,
            cache_bytes: 64 << 20,
            requests: 4096,
            patience: Duration::from_secs(60),
        }
    }
}

/// What becomes of a message.
#[derive(Debug)]
pub enum Outcome {
    /// For the session; its reply goes to [`Server::handle_reply`].
    Request(Token, Box<Request>),
    /// To be sent at once.
    Reply(Outgoing),
    /// The same request is under way: its reply will go to this peer, too.
    Absorbed,
    /// No cookie can be read: there is nothing to answer.
    Unreadable,
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub peer: Peer,
    /// What.
    pub bytes: Arc<[u8]>,
}

/// The protocol's state: requests under way, and replies kept. The contract is on the crate page.
pub struct Server {
    config: ServerConfig,
    cookies: Cookies,
    /// Oldest first: tokens count up.
    under_way: BTreeMap<Token, UnderWay>,
    next_token: u64,
    counters: Counters,
    logged: HashSet<String>,
}

/// A request that the session works on.
struct UnderWay {
    since: Instant,
    digest: Digest,
    cookie: Box<[u8]>,
    encoding: Encoding,
    command: CommandName,
    load_limit: bool,
    parts: Parts,
    /// The first one that asked.
    peer: Peer,
}

impl Server {
    /// Nothing under way.
    pub fn new(config: ServerConfig) -> Self {
        let bounds = Bounds { age: config.cache_age, entries: config.cache_entries, bytes: config.cache_bytes };
        Self {
            config,
            cookies: Cookies::new(bounds),
            under_way: BTreeMap::new(),
            next_token: 0,
            counters: Counters::default(),
            logged: HashSet::new(),
        }
    }

    /// Takes a message: a datagram, or what a [`StreamDecoder`](crate::StreamDecoder) gave.
    pub fn handle_message(&mut self, now: Instant, peer: Peer, bytes: &[u8]) -> Outcome {
        let Some(frame) = Frame::parse(bytes) else {
            self.counters.malformed += 1;
            tracing::debug!(?peer, bytes = bytes.len(), "ng: no cookie, dropped");
            return Outcome::Unreadable;
        };
        let digest = self.cookies.digest(bytes);
        match self.cookies.look_up(now, digest, peer) {
            Seen::New => {}
            Seen::Waiting => {
                self.counters.retransmissions += 1;
                return Outcome::Absorbed;
            }
            // One that was kept for a connection may be too long for a datagram.
            Seen::Answered(bytes) if bytes.len() > peer.max_reply() => {}
            Seen::Answered(bytes) => {
                self.counters.retransmissions += 1;
                return Outcome::Reply(Outgoing { peer, bytes });
            }
        }
        let message = match frame.decode() {
            Ok(dictionary) => request::read(dictionary),
            Err(error) => Message::refused(CommandName::Malformed, Fault::Malformed(error)),
        };
        self.log_ignored(&message);
        let (command, load_limit) = (message.command, message.load_limit);
        let reply = match message.asked {
            Asked::Request(request) if self.under_way.len() < self.config.requests => {
                let token = Token(self.next_token);
                self.next_token += 1;
                let under_way = UnderWay {
                    since: now,
                    digest,
                    cookie: frame.cookie.into(),
                    encoding: frame.encoding,
                    command,
                    load_limit,
                    parts: message.parts,
                    peer,
                };
                self.under_way.insert(token, under_way);
                self.cookies.begin(digest, peer);
                return Outcome::Request(token, request);
            }
            Asked::Request(_) => self.refuse(command, &Fault::TooManyRequests, load_limit),
            Asked::Ping => reply::pong(),
            Asked::Nothing(fault) => self.refuse(command, &fault, load_limit),
        };
        self.counters.count(command, reply.0);
        Outcome::Reply(Outgoing { peer, bytes: frame.encoding.print(frame.cookie, reply.1).into() })
    }

    /// Takes the session's reply; gives the messages to send, one for every peer that asked. A token that is not under
    /// way gives none.
    pub fn handle_reply(&mut self, now: Instant, token: Token, answer: &Result<Reply, Refusal>) -> Vec<Outgoing> {
        let Some(under_way) = self.under_way.remove(&token) else {
            return Vec::new();
        };
        let (result, dictionary) = match answer {
            Ok(done) => reply::done(done, &self.counters, under_way.parts),
            Err(refusal) => reply::refusal(refusal, under_way.load_limit),
        };
        self.counters.count(under_way.command, result);
        let bytes: Arc<[u8]> = under_way.encoding.print(&under_way.cookie, dictionary).into();
        // A repeated request most likely comes by the same transport.
        let kept = self.fitting(&bytes, &under_way, answer, under_way.peer);
        let peers = self.cookies.finish(now, under_way.digest, kept);
        let outgoing = peers.into_iter().map(|peer| {
            let bytes = self.fitting(&bytes, &under_way, answer, peer);
            Outgoing { peer, bytes }
        });
        outgoing.collect()
    }

    /// The reply, or as much of it as this peer's transport takes.
    fn fitting(
        &mut self,
        bytes: &Arc<[u8]>,
        under_way: &UnderWay,
        answer: &Result<Reply, Refusal>,
        peer: Peer,
    ) -> Arc<[u8]> {
        let limit = peer.max_reply();
        if bytes.len() <= limit {
            return bytes.clone();
        }
        let print = |dictionary: Dictionary| under_way.encoding.print(&under_way.cookie, dictionary);
        let parts = answer.as_ref().ok().into_iter().flat_map(reply::shortened);
        let part = parts.map(|(_, dictionary)| print(dictionary)).find(|bytes| bytes.len() <= limit);
        part.unwrap_or_else(|| print(self.refuse(under_way.command, &Fault::ReplyTooLong, false).1)).into()
    }

    /// Time has passed: call at [`Server::poll_timeout`]. Gives up what the session has not answered, and says so.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        while let Some(entry) = self.under_way.first_entry() {
            if entry.get().since + self.config.patience > now {
                break;
            }
            let UnderWay { digest, cookie, encoding, command, .. } = entry.remove();
            let (result, dictionary) = self.refuse(command, &Fault::NoAnswer, false);
            self.counters.count(command, result);
            let bytes: Arc<[u8]> = encoding.print(&cookie, dictionary).into();
            let peers = self.cookies.give_up(digest).into_iter();
            outgoing.extend(peers.map(|peer| Outgoing { peer, bytes: bytes.clone() }));
        }
        outgoing
    }

    /// When to call [`Server::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|(_, first)| first.since + self.config.patience)
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Replies kept for repeated requests.
    pub fn cached(&self) -> usize {
        self.cookies.len()
    }

    /// Requests that the session works on.
    pub fn under_way(&self) -> usize {
        debug_assert_eq!(self.under_way.len(), self.cookies.waiting());
        self.under_way.len()
    }

    /// Logs and counts a fault; gives the reply.
    fn refuse(&mut self, command: CommandName, fault: &Fault, load_limit: bool) -> (CommandResult, Dictionary) {
        tracing::info!(command = command.label(), reason = fault.label(), "refused: {fault}");
        self.counters.count_fault(fault);
        reply::fault(fault, load_limit)
    }

    fn log_ignored(&mut self, message: &Message) {
        for ignored in &message.ignored {
            let name = ignored.name();
            if self.logged.len() < MAX_LOGGED && self.logged.insert(name.to_owned()) {
                let command = message.command.label();
                match ignored {
                    Ignored::Unknown(_) => tracing::info!(command, name, "ng: unknown key or flag, ignored"),
                    Ignored::WithoutEffect(_) => tracing::info!(command, name, "ng: has no effect here, ignored"),
                }
            }
        }
    }
}
