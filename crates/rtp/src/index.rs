//! The 48-bit packet index of SRTP: rollover counter and sequence number in one (RFC 3711 §3.3.1).

use std::cmp::Ordering;

/// Rollover counter and sequence number in one number of 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ExtendedIndex(u64);

impl ExtendedIndex {
    /// The last index that a master key may see.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// From its two parts.
    pub const fn new(rollover_counter: u32, sequence_number: u16) -> Self {
        Self((rollover_counter as u64) << 16 | sequence_number as u64)
    }

    /// From the whole number; `None` beyond 48 bits.
    pub const fn from_u64(index: u64) -> Option<Self> {
        if index <= Self::MAX.0 { Some(Self(index)) } else { None }
    }

    /// The whole number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The upper 32 bits.
    pub const fn rollover_counter(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The lower 16 bits.
    pub const fn sequence_number(self) -> u16 {
        self.0 as u16
    }

    /// The index with this sequence number that is nearest to `self` (RFC 3711 §3.3.1, appendix A). `None` when it
    /// would lie below zero or beyond 48 bits.
    pub fn nearest(self, sequence_number: u16) -> Option<Self> {
        let ahead = sequence_number.wrapping_sub(self.sequence_number());
        let behind = self.sequence_number().wrapping_sub(sequence_number);
        let index = match ahead.cmp(&behind) {
            // Half the circle away both are equally near; appendix A keeps the rollover counter then.
            Ordering::Equal => Some(Self::new(self.rollover_counter(), sequence_number).0),
            Ordering::Less => self.0.checked_add(u64::from(ahead)),
            Ordering::Greater => self.0.checked_sub(u64::from(behind)),
        };
        index.and_then(Self::from_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let index = ExtendedIndex::new(0x0102_0304, 0xfffe);
        assert_eq!(index.get(), 0x0102_0304_fffe);
        assert_eq!((index.rollover_counter(), index.sequence_number()), (0x0102_0304, 0xfffe));
        assert_eq!(ExtendedIndex::from_u64(1 << 48), None);
    }

    #[test]
    fn the_nearest_index_follows_rfc_3711_appendix_a() {
        // (highest ROC, highest sequence number, sequence number) -> ROC
        let table: [(u32, u16, u16, Option<u32>); 9] = [
            (5, 100, 101, Some(5)),
            (5, 100, 99, Some(5)),
            (5, 100, 65535, Some(4)),
            (5, 65535, 0, Some(6)),
            (5, 65535, 40000, Some(5)),
            (5, 40000, 1000, Some(6)),
            (5, 20000, 60000, Some(4)),
            (0, 100, 65535, None),
            (u32::MAX, 65535, 0, None),
        ];
        for (roc, highest, sequence_number, expected) in table {
            let index = ExtendedIndex::new(roc, highest).nearest(sequence_number);
            assert_eq!(index, expected.map(|roc| ExtendedIndex::new(roc, sequence_number)), "{roc} {highest}");
        }
    }

    #[test]
    fn half_the_circle_away_the_rollover_counter_stays() {
        // Appendix A: SEQ - s_l > 32768 and s_l - 32768 > SEQ are both false at a distance of exactly 32768.
        assert_eq!(ExtendedIndex::new(7, 100).nearest(32868), Some(ExtendedIndex::new(7, 32868)));
        assert_eq!(ExtendedIndex::new(7, 40000).nearest(7232), Some(ExtendedIndex::new(7, 7232)));
    }
}
