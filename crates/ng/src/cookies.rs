//! Requests that came before: what they were answered, or who waits for it.
//!
//! A retransmission is the same datagram again, from whatever address. The cookie alone would not do: two proxies with
//! the same process id make the same cookies, and one would get the other's session description.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Peer;

/// How long and how much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) age: Duration,
    pub(crate) entries: usize,
    /// Sum over the replies.
    pub(crate) bytes: usize,
}

/// Names a datagram: two keyed hashes of all its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Digest(u64, u64);

pub(crate) enum Seen {
    /// Never before, or too long ago.
    New,
    /// Under way: `peer` gets the reply, too.
    Waiting,
    /// Answered.
    Answered(Arc<[u8]>),
}

pub(crate) struct Cookies {
    bounds: Bounds,
    hashers: (RandomState, RandomState),
    /// Requests under way, with the peers that wait beside the first.
    waiting: HashMap<Digest, Vec<Peer>>,
    answered: HashMap<Digest, Arc<[u8]>>,
    /// The answered ones, oldest first.
    order: VecDeque<(Instant, Digest)>,
    bytes: usize,
}

/// Peers that wait for one reply, at most.
const MAX_PEERS: usize = 8;

impl Cookies {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            hashers: (RandomState::new(), RandomState::new()),
            waiting: HashMap::new(),
            answered: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(crate) fn digest(&self, datagram: &[u8]) -> Digest {
        Digest(self.hashers.0.hash_one(datagram), self.hashers.1.hash_one(datagram))
    }

    pub(crate) fn look_up(&mut self, now: Instant, digest: Digest, peer: Peer) -> Seen {
        self.expire(now);
        if let Some(reply) = self.answered.get(&digest) {
            return Seen::Answered(reply.clone());
        }
        match self.waiting.get_mut(&digest) {
            Some(peers) => {
                if peers.len() < MAX_PEERS && !peers.contains(&peer) {
                    peers.push(peer);
                }
                Seen::Waiting
            }
            None => Seen::New,
        }
    }

    /// A request is under way.
    pub(crate) fn begin(&mut self, digest: Digest, peer: Peer) {
        self.waiting.insert(digest, vec![peer]);
    }

    /// Requests under way.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody will answer a request: whoever waits for it is given back, and it may come again.
    pub(crate) fn give_up(&mut self, digest: Digest) -> Vec<Peer> {
        self.waiting.remove(&digest).unwrap_or_default()
    }

    /// A request is answered; gives back all that wait for it.
    pub(crate) fn finish(&mut self, now: Instant, digest: Digest, reply: Arc<[u8]>) -> Vec<Peer> {
        self.bytes += reply.len();
        if let Some(former) = self.answered.insert(digest, reply) {
            self.bytes -= former.len();
        } else {
            self.order.push_back((now, digest));
        }
        self.expire(now);
        self.waiting.remove(&digest).unwrap_or_default()
    }

    /// Replies kept.
    pub(crate) fn len(&self) -> usize {
        self.answered.len()
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, digest)) = self.order.front() {
            let full = self.order.len() > self.bounds.entries || self.bytes > self.bounds.bytes;
            if !full && now.saturating_duration_since(at) < self.bounds.age {
                break;
            }
            self.order.pop_front();
            if let Some(reply) = self.answered.remove(&digest) {
                self.bytes -= reply.len();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { age: Duration::from_secs(30), entries: 3, bytes: 100 };

    fn peer(number: u64) -> Peer {
        Peer::Connection(number)
    }

    fn answer(cookies: &mut Cookies, now: Instant, name: &[u8], reply: &[u8]) {
        let digest = cookies.digest(name);
        cookies.begin(digest, peer(1));
        cookies.finish(now, digest, Arc::from(reply));
    }

    fn is_answered(cookies: &mut Cookies, now: Instant, name: &[u8]) -> bool {
        let digest = cookies.digest(name);
        matches!(cookies.look_up(now, digest, peer(1)), Seen::Answered(_))
    }

    #[test]
    fn everybody_who_repeats_a_request_under_way_waits_for_its_reply() {
        let now = Instant::now();
        let mut cookies = Cookies::new(BOUNDS);
        let digest = cookies.digest(b"1 de");
        assert!(matches!(cookies.look_up(now, digest, peer(1)), Seen::New));
        cookies.begin(digest, peer(1));
        for port in [1, 2, 2] {
            assert!(matches!(cookies.look_up(now, digest, peer(port)), Seen::Waiting));
        }
        assert_eq!(cookies.finish(now, digest, Arc::from(*b"reply")), [peer(1), peer(2)]);
        assert!(is_answered(&mut cookies, now, b"1 de"));
    }

    #[test]
    fn replies_are_bounded_in_age_number_and_bytes() {
        let now = Instant::now();
        let mut cookies = Cookies::new(BOUNDS);
        for name in [b"1", b"2", b"3", b"4"] {
            answer(&mut cookies, now, name, b"0123456789");
        }
        assert_eq!(cookies.len(), 3);
        assert!(!is_answered(&mut cookies, now, b"1"));
        answer(&mut cookies, now, b"5", &[0; 85]);
        assert_eq!((cookies.len(), cookies.bytes), (2, 95));
        let later = now + Duration::from_secs(30);
        assert!(!is_answered(&mut cookies, later, b"5"));
        assert_eq!((cookies.len(), cookies.bytes, cookies.order.len()), (0, 0, 0));
    }
}
