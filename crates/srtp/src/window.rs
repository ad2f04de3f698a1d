//! The replay window (RFC 3711 §3.3.2): which of the last indices were seen.

use crate::Rejection;
use prefetch::prefetch;

/// A bitmap ring over the last `size` indices. It does not know the highest index: its owner does.
pub(crate) struct Window {
    size: u64,
    /// A power of two of words, together at least `size` bits.
    words: Box<[u64]>,
}

impl Window {
    /// An empty window over `size` indices.
    pub(crate) fn new(size: usize) -> Self {
        let words = size.max(1).div_ceil(64).next_power_of_two();
        Self { size: size.max(1) as u64, words: vec![0; words].into() }
    }

    /// Asks for its memory.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&*self.words, usize::MAX);
    }

    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    /// Whether `index` may be accepted when `highest` is the highest index seen.
    #[inline]
    pub(crate) fn check(&self, highest: u64, index: u64) -> Result<(), Rejection> {
        if index > highest {
            Ok(())
        } else if highest - index >= self.size {
            Err(Rejection::TooOld)
        } else if self.bit(index) {
            Err(Rejection::Replayed)
        } else {
            Ok(())
        }
    }

    /// Records `index` and returns the highest index from then on.
    #[inline]
    pub(crate) fn record(&mut self, highest: u64, index: u64) -> u64 {
        if index > highest {
            self.advance(highest, index);
        }
        let (word, mask) = self.place(index);
        if let Some(word) = self.words.get_mut(word) {
            *word |= mask;
        }
        highest.max(index)
    }

    /// Records every index of the window.
    pub(crate) fn fill(&mut self) {
        self.words.fill(u64::MAX);
    }

    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Forgets the indices whose places those above `highest` up to `index` take over.
    #[inline]
    fn advance(&mut self, highest: u64, index: u64) {
        let bits = self.words.len() as u64 * 64;
        let gap = index - highest;
        if gap == 1 {
            let (word, mask) = self.place(index);
            if let Some(word) = self.words.get_mut(word) {
                *word &= !mask;
            }
        } else if gap >= bits {
            self.clear();
        } else {
            for passed in highest + 1..=index {
                let (word, mask) = self.place(passed);
                if let Some(word) = self.words.get_mut(word) {
                    *word &= !mask;
                }
            }
        }
    }

    #[inline]
    fn bit(&self, index: u64) -> bool {
        let (word, mask) = self.place(index);
        self.words.get(word).is_some_and(|word| word & mask != 0)
    }

    #[inline]
    fn place(&self, index: u64) -> (usize, u64) {
        let word = (index / 64) & (self.words.len() as u64 - 1);
        (word as usize, 1 << (index % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_edge_of_the_window_is_exact() {
        for size in [64, 100, 1024] {
            let mut window = Window::new(size);
            let highest = window.record(0, 100_000);
            let oldest = highest - size as u64 + 1;
            assert_eq!(window.check(highest, oldest), Ok(()));
            assert_eq!(window.check(highest, oldest - 1), Err(Rejection::TooOld));
            window.record(highest, oldest);
            assert_eq!(window.check(highest, oldest), Err(Rejection::Replayed));
            assert_eq!(window.check(highest, highest), Err(Rejection::Replayed));
            assert_eq!(window.check(highest, highest + 1), Ok(()));
        }
    }

    proptest! {
        /// Against a set of all indices ever recorded.
        #[test]
        fn the_window_agrees_with_a_set(size in 64usize..300, steps in prop::collection::vec((0u8..8, 0u64..700), 1..400)) {
            let mut window = Window::new(size);
            let mut seen = BTreeSet::new();
            let mut highest = 5000;
            highest = window.record(highest, highest);
            seen.insert(highest);
            for (kind, distance) in steps {
                let index = match kind {
                    0 => highest + distance,
                    1..=3 => highest + 1,
                    4 => highest + distance % 5,
                    _ => highest.saturating_sub(distance),
                };
                let expected = if index + size as u64 <= highest {
                    Err(Rejection::TooOld)
                } else if seen.contains(&index) {
                    Err(Rejection::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(highest, index), expected);
                if expected.is_ok() {
                    highest = window.record(highest, index);
                    seen.insert(index);
                }
            }
        }
    }
}
