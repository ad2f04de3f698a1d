//! The protocol's state: requests under way, and replies kept.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session::{Refusal, Reply, Request, Token};

use crate::cookies::{Bounds, Cookies, Digest, Seen};
use crate::request::{self, Asked, Message};
use crate::{CommandName, CommandResult, Counters, Dictionary, Encoding, Frame, reply};

/// Longest UDP payload over IPv4.
const MAX_REPLY: usize = 65_507;

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
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { cache_age: Duration::from_secs(30), cache_entries: 100_000, cache_bytes: 64 << 20, requests: 4096 }
    }
}

/// What becomes of a datagram.
#[derive(Debug)]
pub enum Outcome {
    /// For the session; its reply goes to [`Server::handle_reply`].
    Request(Token, Box<Request>),
    /// To be sent at once.
    Reply(Datagram),
    /// Nothing: no cookie, or the request is under way already.
    Absorbed,
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub peer: SocketAddr,
    /// What.
    pub bytes: Arc<[u8]>,
}

/// The protocol's state: requests under way, and replies kept. The contract is on the crate page.
pub struct Server {
    config: ServerConfig,
    cookies: Cookies,
    under_way: HashMap<Token, UnderWay>,
    next_token: u64,
    counters: Counters,
    logged: HashSet<String>,
}

/// A request that the session works on.
struct UnderWay {
    digest: Digest,
    cookie: Box<[u8]>,
    encoding: Encoding,
    command: CommandName,
    load_limit: bool,
}

impl Server {
    /// Nothing under way.
    pub fn new(config: ServerConfig) -> Self {
        let bounds = Bounds { age: config.cache_age, entries: config.cache_entries, bytes: config.cache_bytes };
        Self {
            config,
            cookies: Cookies::new(bounds),
            under_way: HashMap::new(),
            next_token: 0,
            counters: Counters::default(),
            logged: HashSet::new(),
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, peer: SocketAddr, datagram: &[u8]) -> Outcome {
        let Some(frame) = Frame::parse(datagram) else {
            self.counters.malformed += 1;
            tracing::debug!(%peer, bytes = datagram.len(), "ng: no cookie, dropped");
            return Outcome::Absorbed;
        };
        let digest = self.cookies.digest(datagram);
        match self.cookies.look_up(now, digest, peer) {
            Seen::New => {}
            Seen::Waiting => {
                self.counters.retransmissions += 1;
                return Outcome::Absorbed;
            }
            Seen::Answered(bytes) => {
                self.counters.retransmissions += 1;
                return Outcome::Reply(Datagram { peer, bytes });
            }
        }
        let message = match frame.decode() {
            Ok(dictionary) => request::read(dictionary),
            Err(error) => Message {
                command: CommandName::Malformed,
                asked: Asked::Nothing(format!("Failed to decode message: {error}")),
                ignored: Vec::new(),
                load_limit: false,
            },
        };
        self.log_ignored(&message);
        match message.asked {
            Asked::Request(request) if self.under_way.len() < self.config.requests => {
                let token = Token(self.next_token);
                self.next_token += 1;
                let under_way = UnderWay {
                    digest,
                    cookie: frame.cookie.into(),
                    encoding: frame.encoding,
                    command: message.command,
                    load_limit: message.load_limit,
                };
                self.under_way.insert(token, under_way);
                self.cookies.begin(digest, peer);
                Outcome::Request(token, request)
            }
            Asked::Request(_) => {
                let refusal = Refusal::LoadLimit("Too many requests at a time".into());
                // Not kept: the same request may succeed a moment later.
                let bytes = self.print(message.command, &frame, reply::refusal(&refusal, message.load_limit));
                Outcome::Reply(Datagram { peer, bytes })
            }
            Asked::Ping => {
                let bytes = self.print(message.command, &frame, reply::pong());
                self.cookies.finish(now, digest, bytes.clone());
                Outcome::Reply(Datagram { peer, bytes })
            }
            Asked::Nothing(error) => {
                tracing::debug!(%peer, error, "ng: refused");
                let bytes = self.print(message.command, &frame, reply::error(&error));
                self.cookies.finish(now, digest, bytes.clone());
                Outcome::Reply(Datagram { peer, bytes })
            }
        }
    }

    /// Takes the session's reply; gives the datagrams to send, one for every peer that asked. A token that is not under
    /// way gives none.
    pub fn handle_reply(&mut self, now: Instant, token: Token, answer: &Result<Reply, Refusal>) -> Vec<Datagram> {
        let Some(UnderWay { digest, cookie, encoding, command, load_limit }) = self.under_way.remove(&token) else {
            return Vec::new();
        };
        let (mut result, dictionary) = match answer {
            Ok(done) => reply::done(done, &self.counters),
            Err(refusal) => reply::refusal(refusal, load_limit),
        };
        let mut bytes = encoding.print(&cookie, dictionary);
        if bytes.len() > MAX_REPLY {
            let shortened = match answer {
                Ok(done) => reply::shortened(done),
                Err(_) => reply::error("Reply too long for a datagram"),
            };
            result = shortened.0;
            bytes = encoding.print(&cookie, shortened.1);
        }
        self.counters.count(command, result);
        let bytes: Arc<[u8]> = bytes.into();
        let peers = self.cookies.finish(now, digest, bytes.clone());
        peers.into_iter().map(|peer| Datagram { peer, bytes: bytes.clone() }).collect()
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

    fn print(
        &mut self,
        command: CommandName,
        frame: &Frame<'_>,
        (result, dictionary): (CommandResult, Dictionary),
    ) -> Arc<[u8]> {
        self.counters.count(command, result);
        frame.encoding.print(frame.cookie, dictionary).into()
    }

    fn log_ignored(&mut self, message: &Message) {
        for name in &message.ignored {
            if self.logged.len() < MAX_LOGGED && self.logged.insert(name.clone()) {
                tracing::info!(command = message.command.label(), name, "ng: unknown key or flag, ignored");
            }
        }
    }
}
