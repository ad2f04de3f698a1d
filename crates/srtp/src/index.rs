//! Guessing the packet index from a sequence number (RFC 3711 §3.3.1 and appendix A).

use arrayvec::ArrayVec;

use crate::RocPolicy;

/// Half of the sequence space.
const HALF: u16 = 1 << 15;
/// One rollover.
const ROLLOVER: u64 = 1 << 16;
/// Indices have 48 bits.
pub(crate) const INDEX_END: u64 = 1 << 48;

/// What a guess starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reference {
    /// No packet yet: the rollover counter, 0 or as signalling said.
    Counter(u32),
    /// The highest index accepted.
    Highest(u64),
}

impl Reference {
    /// The index that `sequence` most likely belongs to; `None` when it would not fit in 48 bits.
    #[inline]
    pub(crate) fn guess(self, sequence: u16) -> Option<u64> {
        let highest = match self {
            Self::Counter(counter) => return Some(index(u64::from(counter), sequence)),
            Self::Highest(highest) => highest,
        };
        let (counter, last) = (highest >> 16, (highest & 0xffff) as u16);
        let counter = if last < HALF {
            // Below ROC 0 there is nothing: the packet lies ahead.
            if sequence > last && sequence - last > HALF { counter.saturating_sub(1) } else { counter }
        } else if last - HALF > sequence {
            counter + 1
        } else {
            counter
        };
        Some(index(counter, sequence)).filter(|index| *index < INDEX_END)
    }

    /// Other indices that may be tried when the guess fails, most likely first.
    ///
    /// A first packet may come after a wrap whose packets were all lost, so for a new SSRC one rollover more is tried while
    /// the sequence number is small. A known stream that paused for more than half the sequence space is one rollover
    /// further than it seems. The rest is for peers that do not keep the counter over a change of keys.
    #[inline]
    pub(crate) fn alternatives(self, sequence: u16, policy: RocPolicy) -> ArrayVec<u64, 3> {
        let mut others = ArrayVec::new();
        let Some(guess) = self.guess(sequence) else { return others };
        let mut add = |index: Option<u64>| {
            if let Some(index) = index.filter(|index| *index < INDEX_END && *index != guess)
                && !others.contains(&index)
            {
                // Three at most are offered below.
                let _ = others.try_push(index);
            }
        };
        let (above, below) = (guess.checked_add(ROLLOVER), guess.checked_sub(ROLLOVER));
        match self {
            Self::Counter(_) if sequence < HALF => add(above),
            Self::Counter(_) => add(below),
            Self::Highest(_) => add(above),
        }
        if policy == RocPolicy::Probe {
            add(Some(index(0, sequence)));
            match self {
                Self::Counter(_) => add(if sequence < HALF { below } else { above }),
                Self::Highest(_) => add(below),
            }
        }
        others
    }
}

#[inline]
fn index(counter: u64, sequence: u16) -> u64 {
    (counter << 16) | u64::from(sequence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn guesses_of_appendix_a() {
        // (highest, sequence, index)
        let table = [
            (0x0_0000, 0x0001, Some(0x0_0001)),
            (0x0_fffe, 0x0001, Some(0x1_0001)),
            (0x1_0001, 0xfffe, Some(0x0_fffe)),
            (0x1_0001, 0x0002, Some(0x1_0002)),
            // Exactly half the space apart is no wrap, either way.
            (0x1_0000, 0x8000, Some(0x1_8000)),
            (0x1_0000, 0x8001, Some(0x0_8001)),
            (0x1_8000, 0x0000, Some(0x1_0000)),
            (0x1_8001, 0x0000, Some(0x2_0000)),
            // Below ROC 0 there is nothing.
            (0x0_0001, 0xfffe, Some(0x0_fffe)),
            // Above 48 bits neither.
            (0xffff_ffff_ffff, 0x0000, None),
            (0xffff_ffff_fffe, 0xffff, Some(0xffff_ffff_ffff)),
        ];
        for (highest, sequence, expected) in table {
            assert_eq!(Reference::Highest(highest).guess(sequence), expected, "{highest:x} {sequence:x}");
        }
        assert_eq!(Reference::Counter(7).guess(9), Some(0x7_0009));
    }

    #[test]
    fn alternatives_are_few_and_differ_from_the_guess() {
        let list = |reference: Reference, sequence, policy| reference.alternatives(sequence, policy).to_vec();
        assert_eq!(list(Reference::Counter(0), 5, RocPolicy::Keep), [0x1_0005]);
        assert_eq!(list(Reference::Counter(0), 0x8000, RocPolicy::Keep), []);
        assert_eq!(list(Reference::Highest(0x3_0100), 0x0200, RocPolicy::Reset), [0x4_0200]);
        assert_eq!(list(Reference::Highest(0x3_0100), 0x0200, RocPolicy::Probe), [0x4_0200, 0x0_0200, 0x2_0200]);
        assert_eq!(list(Reference::Highest(0x1_0100), 0x0200, RocPolicy::Probe), [0x2_0200, 0x0_0200]);
    }

    proptest! {
        /// Any packet less than half the space from the highest is guessed right.
        #[test]
        fn a_near_packet_is_guessed_right(highest in 0u64..1 << 40, distance in -32767i64..=32767) {
            let index = highest as i64 + distance;
            prop_assume!(index >= 0);
            prop_assert_eq!(Reference::Highest(highest).guess(index as u16), Some(index as u64));
        }

        /// One that lies up to one and a half rollovers ahead is the guess or the first alternative.
        #[test]
        fn a_packet_after_a_long_pause_is_among_the_alternatives(highest in 0u64..1 << 40, distance in 0u64..98_000) {
            let reference = Reference::Highest(highest);
            let index = highest + distance;
            let found = reference.guess(index as u16) == Some(index)
                || reference.alternatives(index as u16, RocPolicy::Keep).first() == Some(&index);
            prop_assert!(found);
        }
    }
}
