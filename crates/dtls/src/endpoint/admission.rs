//! Who may have a tentative association, and whose ends for it.
//!
//! Without ICE and behind NAT nothing tells the peer from a flood of bogus ClientHellos with forged sources, except that
//! the peer goes on: it sends its ClientHello again, and then answers ours. So
//! * a source with standing takes its place from those without;
//! * a ClientHello that comes for the second time takes its place from those that came once, whose senders, if they are
//!   real, will come again;
//! * one that came once takes the place of another such only after that had time to answer;
//! * an association whose peer has answered keeps its place while the peer goes on answering.
//!
//! A flood that repeats each of its forged ClientHellos can still slow an unproven peer down; it cannot end an
//! association, and it cannot touch a source with standing.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Standing;
use crate::association::Association;
use crate::guard::HelloFragment;

/// Tentative associations of one transport.
pub(crate) const MAX_ASSOCIATIONS: usize = 4;

/// Those of one unproven source: the one it gave up and the one it starts instead.
const MAX_PER_SOURCE: usize = 2;

/// Time to answer: a slow path's round trip.
const HOLD: Duration = Duration::from_millis(500);

/// Time between two answers: a few lost flights.
const SILENCE: Duration = Duration::from_secs(5);

/// Making an association costs a key exchange: a burst, and how often a second after it.
const BURST: u32 = 8;
const FIRST_PER_SECOND: u32 = 8;
const RETURNING_PER_SECOND: u32 = 16;
const STANDING_PER_SECOND: u32 = 16;

/// Decides about new associations of one endpoint.
pub(crate) struct Admission {
    first: Bucket,
    returning: Bucket,
    standing: Bucket,
    turned_away: Option<Box<Filter>>,
}

/// What becomes of a ClientHello that belongs to no association.
pub(crate) enum Decision {
    /// It gets one; the association at the index ends for it.
    Admit { returning: bool, instead_of: Option<usize> },
    /// It does not.
    Reject,
}

impl Admission {
    pub(crate) fn new(now: Instant) -> Self {
        let bucket = |per_second| Bucket { left: BURST, per_second, refilled: now };
        Self {
            first: bucket(FIRST_PER_SECOND),
            returning: bucket(RETURNING_PER_SECOND),
            standing: bucket(STANDING_PER_SECOND),
            turned_away: None,
        }
    }

    pub(crate) fn decide(
        &mut self,
        now: Instant,
        source: SocketAddr,
        standing: Standing,
        hello: &HelloFragment,
        associations: &[Association],
    ) -> Decision {
        let returning =
            self.turned_away.as_deref_mut().is_some_and(|filter| filter.contains(now, source, hello.offset));
        let place = Self::place(now, source, standing, returning, associations);
        let bucket = match (standing, returning) {
            (Standing::Unproven, false) => &mut self.first,
            (Standing::Unproven, true) => &mut self.returning,
            _ => &mut self.standing,
        };
        match place {
            Some(instead_of) if bucket.take(now) => Decision::Admit { returning, instead_of },
            _ => {
                if standing == Standing::Unproven {
                    self.turned_away.get_or_insert_with(|| Box::new(Filter::new(now))).insert(
                        now,
                        source,
                        hello.offset,
                    );
                }
                Decision::Reject
            }
        }
    }

    /// `Some(None)`: a free one. `Some(index)`: that association's. `None`: none.
    fn place(
        now: Instant,
        source: SocketAddr,
        standing: Standing,
        returning: bool,
        associations: &[Association],
    ) -> Option<Option<usize>> {
        let same_source = |association: &&Association| association.remote == source;
        let crowded =
            standing == Standing::Unproven && associations.iter().filter(same_source).count() >= MAX_PER_SOURCE;
        if associations.len() < MAX_ASSOCIATIONS && !crowded {
            return Some(None);
        }
        associations
            .iter()
            .enumerate()
            .filter(|(_, incumbent)| !crowded || incumbent.remote == source)
            .filter(|(_, incumbent)| yields(now, incumbent, standing, returning))
            .min_by_key(|(_, incumbent)| {
                (incumbent.standing, incumbent.progressed, incumbent.returning, incumbent.created)
            })
            .map(|(index, _)| Some(index))
    }
}

/// Whether an association ends for a newcomer.
fn yields(now: Instant, incumbent: &Association, standing: Standing, returning: bool) -> bool {
    let held = now.saturating_duration_since(incumbent.created) < HOLD;
    if let Some(progressed) = incumbent.progressed {
        return incumbent.standing < standing || now.saturating_duration_since(progressed) >= SILENCE;
    }
    match incumbent.standing.cmp(&standing) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        // The same source's, with standing: the newest ClientHello is the likeliest, once the others had their time.
        std::cmp::Ordering::Equal if standing > Standing::Unproven => !held,
        std::cmp::Ordering::Equal => match (returning, incumbent.returning) {
            (true, false) => true,
            (false, true) => false,
            _ => !held,
        },
    }
}

/// So many at once, so many a second.
struct Bucket {
    left: u32,
    per_second: u32,
    refilled: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / self.per_second.max(1);
        while self.left < BURST && now.saturating_duration_since(self.refilled) >= each {
            self.left += 1;
            self.refilled += each;
        }
        if self.left == BURST {
            self.refilled = now;
        }
        let taken = self.left.checked_sub(1);
        self.left = taken.unwrap_or(0);
        taken.is_some()
    }
}

const FILTER_WORDS: usize = 1024;
const FILTER_HASHES: u64 = 4;

/// Remembers sources for eight to sixteen seconds, the longest wait between a client's first retransmissions, in 16 KiB
/// whatever comes (a Bloom filter of two generations: it may take a stranger for an acquaintance, never the reverse).
struct Filter {
    hasher: RandomState,
    young: [u64; FILTER_WORDS],
    old: [u64; FILTER_WORDS],
    turned: Instant,
}

const GENERATION: Duration = Duration::from_secs(8);

impl Filter {
    fn new(now: Instant) -> Self {
        Self { hasher: RandomState::new(), young: [0; FILTER_WORDS], old: [0; FILTER_WORDS], turned: now }
    }

    /// The fragment's offset counts too, lest the second half of a ClientHello passes for its return.
    fn bits(&self, source: SocketAddr, offset: usize) -> impl Iterator<Item = (usize, u64)> + use<> {
        let hash = self.hasher.hash_one((source, offset));
        let (one, other) = (hash & 0xffff_ffff, hash >> 32 | 1);
        (0..FILTER_HASHES).map(move |index| {
            let bit = one.wrapping_add(index.wrapping_mul(other)) % (FILTER_WORDS as u64 * 64);
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned);
        if age >= GENERATION {
            self.old = if age >= GENERATION * 2 { [0; FILTER_WORDS] } else { self.young };
            self.young = [0; FILTER_WORDS];
            self.turned = now;
        }
    }

    fn insert(&mut self, now: Instant, source: SocketAddr, offset: usize) {
        self.turn(now);
        for (word, bit) in self.bits(source, offset) {
            if let Some(word) = self.young.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn contains(&mut self, now: Instant, source: SocketAddr, offset: usize) -> bool {
        self.turn(now);
        let has = |words: &[u64; FILTER_WORDS]| {
            self.bits(source, offset).all(|(word, bit)| words.get(word).is_some_and(|word| word & bit != 0))
        };
        has(&self.young) || has(&self.old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn any_time() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let now = any_time();
        let mut bucket = Bucket { left: BURST, per_second: 10, refilled: now };
        assert_eq!((0..100).filter(|_| bucket.take(now)).count(), BURST as usize);
        let taken = (0..1000).filter(|tick| bucket.take(now + Duration::from_millis(10 * tick))).count();
        assert!((99..=101).contains(&taken), "{taken} in ten seconds");
    }

    #[test]
    fn the_filter_knows_a_source_for_eight_to_sixteen_seconds_and_few_others() {
        let now = any_time();
        let mut filter = Filter::new(now);
        let source = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        for port in 1..=2000 {
            filter.insert(now, source(port), 0);
        }
        assert!(filter.contains(now + Duration::from_secs(10), source(7), 0));
        assert!((10_000..20_000).filter(|port| filter.contains(now, source(*port), 0)).count() < 100);
        assert!(!filter.contains(now + Duration::from_secs(30), source(7), 0));
    }
}
