//! Where a peer without ICE is: the signalled address, or the one that its packets come from (RFC 7362).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use control::{LatchState, Latching};

/// Consistent packets of one source that lock a plain leg.
const PACKETS_TO_LOCK: u8 = 3;
/// Plain sources that are watched at a time. Floods from more addresses than that push each other out.
const CANDIDATES: usize = 16;
/// Steps between sequence numbers of consecutive packets that still look like one stream.
const PLAUSIBLE_STEP: u16 = 100;
/// For this long after signalling has moved the peer, packets from where it was are taken for late ones.
const MOVE: Duration = Duration::from_secs(2);
/// While the expected address was heard this recently, no other one may lock.
const PREFERENCE: Duration = Duration::from_millis(500);

/// Where a peer without ICE is.
pub(crate) struct Latch {
    mode: Latching,
    signalled: Option<SocketAddr>,
    generation: u32,
    learned: Option<SocketAddr>,
    locked: bool,
    /// Where the peer was before signalling moved it, and when that was.
    left: Option<(SocketAddr, Instant)>,
    expected_heard: Option<Instant>,
    /// Who is being watched; only while a plain leg looks for its peer.
    candidates: Option<Box<ArrayVec<Candidate, CANDIDATES>>>,
}

struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    sequence_number: u16,
    packets: u8,
}

/// What a plain packet's source is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// The peer.
    Peer,
    /// The peer from this packet on: three consistent ones have come.
    Locked,
    /// Not yet known.
    Candidate,
    /// Somebody else.
    Stranger,
}

impl Latch {
    pub(crate) fn new(mode: Latching, signalled: Option<SocketAddr>, generation: u32) -> Self {
        Self {
            mode,
            signalled,
            generation,
            learned: None,
            locked: false,
            left: None,
            expected_heard: None,
            candidates: None,
        }
    }

    /// Takes what a plan says. A changed address forgets what was learnt; a new generation alone opens the latch but
    /// goes on sending to the learnt address until another one has proved itself.
    pub(crate) fn update(&mut self, now: Instant, mode: Latching, signalled: Option<SocketAddr>, generation: u32) {
        self.mode = mode;
        let moved = self.signalled != signalled;
        if moved {
            self.left = self.target().filter(|_| signalled.is_some()).map(|target| (target, now));
            self.signalled = signalled;
            self.learned = None;
        }
        if moved || self.generation != generation {
            self.generation = generation;
            self.locked = false;
            self.expected_heard = None;
            self.candidates = None;
        }
    }

    /// Where to send.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        match self.mode {
            // A peer that signals no address is on hold: what was learnt is no permission to go on.
            Latching::Authenticated => self.signalled.and(self.learned).or(self.signalled),
            Latching::Off | Latching::Strict => self.signalled,
        }
    }

    /// How the peer's address is known.
    pub(crate) fn state(&self) -> LatchState {
        match self.mode {
            Latching::Off | Latching::Strict => LatchState::Disabled,
            Latching::Authenticated if self.locked => LatchState::Locked,
            Latching::Authenticated if self.learned.is_some() => LatchState::Learnt,
            Latching::Authenticated => LatchState::Signalled,
        }
    }

    /// True when a secure packet from `source` may be put to the test of its tag.
    pub(crate) fn admits(&self, source: SocketAddr) -> bool {
        self.mode != Latching::Strict || self.signalled == Some(source)
    }

    /// A packet from `source` has authenticated; `newest`: it is the newest of its stream, so that a delayed copy sent
    /// from elsewhere moves nothing. Returns true when media goes to another address from here on.
    pub(crate) fn authenticated(&mut self, now: Instant, source: SocketAddr, newest: bool) -> bool {
        if self.mode != Latching::Authenticated || !newest || self.learned == Some(source) || self.has_left(now, source)
        {
            return false;
        }
        let before = self.target();
        self.learned = Some(source);
        self.target() != before
    }

    /// Judges the source of a plain packet. RTCP has no `sequence_number`; `may_lock` is false for RTCP that shares its
    /// port with RTP.
    pub(crate) fn observe(
        &mut self,
        now: Instant,
        source: SocketAddr,
        ssrc: u32,
        sequence_number: Option<u16>,
        may_lock: bool,
    ) -> Standing {
        if let Some(standing) = self.settled(now, source) {
            return standing;
        }
        let expected = self.signalled == Some(source) || self.learned == Some(source);
        if expected {
            self.expected_heard = Some(now);
        } else if self.expected_heard.is_some_and(|heard| now.saturating_duration_since(heard) < PREFERENCE) {
            return Standing::Stranger;
        }
        if !may_lock {
            return if expected { Standing::Peer } else { Standing::Candidate };
        }
        if self.count(source, ssrc, sequence_number) >= PACKETS_TO_LOCK {
            self.lock(source);
            return if expected { Standing::Peer } else { Standing::Locked };
        }
        if expected { Standing::Peer } else { Standing::Candidate }
    }

    /// Judges the source of a datagram of which nothing is known but where it came from. The first one from where the peer
    /// is expected locks. From elsewhere it takes three in a row with none from another source between them, and where
    /// signalling names an address that no NAT can have replaced, the host must be that one.
    pub(crate) fn observe_datagram(&mut self, now: Instant, source: SocketAddr) -> Standing {
        if let Some(standing) = self.settled(now, source) {
            return standing;
        }
        if self.signalled == Some(source) || self.target() == Some(source) {
            self.lock(source);
            return Standing::Peer;
        }
        let plausible =
            self.signalled.is_some_and(|signalled| signalled.ip() == source.ip() || is_private(signalled.ip()));
        if !plausible {
            return Standing::Stranger;
        }
        self.candidates.iter_mut().for_each(|candidates| candidates.retain(|candidate| candidate.source == source));
        if self.count(source, 0, None) < PACKETS_TO_LOCK {
            return Standing::Candidate;
        }
        self.lock(source);
        Standing::Locked
    }

    /// What a source is worth where nothing is left to find out.
    fn settled(&self, now: Instant, source: SocketAddr) -> Option<Standing> {
        let peer_if = |is_peer: bool| Some(if is_peer { Standing::Peer } else { Standing::Stranger });
        match self.mode {
            Latching::Off => Some(Standing::Peer),
            Latching::Strict => peer_if(self.signalled == Some(source)),
            Latching::Authenticated if self.locked => peer_if(self.learned == Some(source)),
            Latching::Authenticated => self.has_left(now, source).then_some(Standing::Stranger),
        }
    }

    fn lock(&mut self, source: SocketAddr) {
        self.learned = Some(source);
        self.locked = true;
        self.candidates = None;
    }

    fn has_left(&self, now: Instant, source: SocketAddr) -> bool {
        let Some((left, at)) = self.left else { return false };
        left == source && self.signalled != Some(source) && now.saturating_duration_since(at) < MOVE
    }

    /// Consistent packets of `source` so far, this one included.
    fn count(&mut self, source: SocketAddr, ssrc: u32, sequence_number: Option<u16>) -> u8 {
        let sequence = sequence_number.unwrap_or(0);
        let fresh = Candidate { source, ssrc, sequence_number: sequence, packets: 1 };
        let candidates = self.candidates.get_or_insert_default();
        let Some(candidate) = candidates.iter_mut().find(|candidate| candidate.source == source) else {
            if candidates.is_full() {
                // The one that has shown least, and of those the oldest.
                let weakest = candidates.iter().enumerate().min_by_key(|(_, candidate)| candidate.packets);
                if let Some((position, _)) = weakest {
                    candidates.remove(position);
                }
            }
            candidates.push(fresh);
            return 1;
        };
        let step = sequence.wrapping_sub(candidate.sequence_number);
        let step = step.min(step.wrapping_neg());
        if candidate.ssrc != ssrc || step > PLAUSIBLE_STEP {
            *candidate = fresh;
        } else if sequence_number.is_none() || step != 0 {
            candidate.sequence_number = sequence;
            candidate.packets = candidate.packets.saturating_add(1);
        }
        candidate.packets
    }
}

/// An address that means something only on the network of its host, so that packets may arrive from another one: private
/// (RFC 1918), shared (RFC 6598), link-local and loopback, and their like in IPv6.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || shared
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 4000))
    }

    fn plain(latch: &mut Latch, now: Instant, source: u8, ssrc: u32, sequence: u16) -> Standing {
        latch.observe(now, address(source), ssrc, Some(sequence), true)
    }

    // Only ever compared with itself.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn three_consistent_packets_of_another_source_lock_a_plain_leg() {
        let now = start();
        let mut latch = Latch::new(Latching::Authenticated, Some(address(1)), 0);
        assert_eq!(plain(&mut latch, now, 2, 7, 100), Standing::Candidate);
        assert_eq!(plain(&mut latch, now, 2, 7, 101), Standing::Candidate);
        assert_eq!(latch.target(), Some(address(1)));
        assert_eq!(plain(&mut latch, now, 2, 7, 102), Standing::Locked);
        assert_eq!(latch.target(), Some(address(2)));
        for source in [1, 3] {
            for sequence in 0..10 {
                assert_eq!(plain(&mut latch, now, source, 7, sequence), Standing::Stranger);
            }
        }
    }

    #[test]
    fn the_signalled_address_is_preferred() {
        let now = start();
        let mut latch = Latch::new(Latching::Authenticated, Some(address(1)), 0);
        assert_eq!(plain(&mut latch, now, 1, 7, 100), Standing::Peer);
        for sequence in 0..10 {
            assert_eq!(plain(&mut latch, now, 2, 7, sequence), Standing::Stranger);
        }
        assert_eq!(plain(&mut latch, now, 1, 7, 101), Standing::Peer);
        assert_eq!(plain(&mut latch, now, 1, 7, 102), Standing::Peer);
        assert!(latch.locked);
    }

    #[test]
    fn inconsistent_packets_lock_nothing() {
        let now = start();
        let mut latch = Latch::new(Latching::Authenticated, None, 0);
        for packet in 0..50_u16 {
            assert_eq!(plain(&mut latch, now, 2, u32::from(packet), 1), Standing::Candidate);
            assert_eq!(plain(&mut latch, now, 3, 7, packet.wrapping_mul(1000)), Standing::Candidate);
            assert_eq!(plain(&mut latch, now, 4, 7, 9), Standing::Candidate, "a repeated packet is no second one");
        }
    }

    #[test]
    fn only_signalling_opens_a_locked_latch() {
        let now = start();
        let mut latch = Latch::new(Latching::Authenticated, Some(address(1)), 0);
        (100..102).for_each(|sequence| assert_eq!(plain(&mut latch, now, 2, 7, sequence), Standing::Candidate));
        assert_eq!(plain(&mut latch, now, 2, 7, 102), Standing::Locked);
        latch.update(now, Latching::Authenticated, Some(address(1)), 0);
        assert_eq!(plain(&mut latch, now, 3, 7, 1), Standing::Stranger);
        latch.update(now, Latching::Authenticated, Some(address(1)), 1);
        assert_eq!(latch.target(), Some(address(2)), "goes on until another address has proved itself");
        (1..3).for_each(|sequence| assert_eq!(plain(&mut latch, now, 3, 7, sequence), Standing::Candidate));
        assert_eq!(plain(&mut latch, now, 3, 7, 3), Standing::Locked);
        latch.update(now, Latching::Authenticated, Some(address(9)), 1);
        assert_eq!(latch.target(), Some(address(9)));
        latch.update(now, Latching::Authenticated, None, 1);
        assert_eq!(latch.target(), None);
    }

    #[test]
    fn a_secure_leg_follows_the_newest_authenticated_packet_unless_told_not_to() {
        let now = start();
        let mut latch = Latch::new(Latching::Authenticated, Some(address(1)), 0);
        assert!(!latch.authenticated(now, address(1), true));
        assert!(!latch.authenticated(now, address(2), false));
        assert!(latch.authenticated(now, address(2), true));
        assert_eq!(latch.target(), Some(address(2)));
        for mode in [Latching::Off, Latching::Strict] {
            latch.update(now, mode, Some(address(1)), 0);
            assert!(!latch.authenticated(now, address(3), true));
            assert_eq!(latch.target(), Some(address(1)));
            assert_eq!(latch.admits(address(3)), mode == Latching::Off);
        }
    }
}
