//! The egress index of a stream: what it is called on the leg where it leaves.
//!
//! By default SSRC and sequence number stay as they came, and the egress index is the ingress index less the rollover
//! counter at the flow's start, because a peer's fresh context begins at 0. Where that would repeat an index under the
//! same key (another source takes the SSRC over, a source begins anew), or leap so far that the receiver would guess
//! another rollover counter (RFC 3711 §3.3.1: 2^15), the sequence is shifted by a constant, and reports that come back
//! are translated.

/// The largest leap that is left as it is. Half of what a receiver can follow, so that loss on the egress leg may add to
/// it.
const LARGEST_LEAP: u64 = 1 << 14;

/// Indices have 48 bits (RFC 3711 §3.3.1).
const INDEX_LIMIT: i64 = 1 << 48;

/// Who feeds a stream: a transport's serial number and the run of sequence numbers there. Another one is another sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    pub(crate) transport: u64,
    pub(crate) epoch: (u32, u32),
}

/// Maps ingress indices to egress indices.
#[derive(Clone, Debug)]
pub(crate) struct Rebase {
    source: Source,
    /// Egress index less ingress index.
    offset: i64,
    /// The part of the offset that report translation must take back.
    shift: i64,
    /// Highest egress index so far. `None` after a fresh start under a new key.
    highest: Option<u64>,
    /// Egress index from which `shift` counts, and the shift before it.
    since: u64,
    former_shift: i64,
}

/// Where a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapped {
    /// Its egress index.
    pub(crate) index: u64,
    /// True when the sequence was shifted at this packet.
    pub(crate) shifted: bool,
}

impl Rebase {
    /// Begins at the packet `index` of `source`.
    pub(crate) fn new(source: Source, index: u64) -> Self {
        Self { source, offset: -rollovers(index), shift: 0, highest: None, since: 0, former_shift: 0 }
    }

    /// The peer's receiving context begins anew (new association): its rollover counter is 0 again.
    pub(crate) fn restart(&mut self) {
        self.highest = None;
    }

    /// Where the packet `index` of `source` goes. `None`: it lies before the stream's start.
    pub(crate) fn map(&mut self, source: Source, index: u64) -> Option<Mapped> {
        let ingress = i64::try_from(index).ok()?;
        let mut shifted = false;
        let Some(highest) = self.highest else {
            // The sequence number that the mapping so far gives, under rollover counter 0.
            let carried = if source == self.source { self.shift } else { 0 };
            let egress = (ingress + carried) & 0xffff;
            *self =
                Self { offset: egress - ingress, shift: carried, former_shift: carried, ..Self::new(source, index) };
            self.highest = u64::try_from(egress).ok();
            return Some(Mapped { index: self.highest?, shifted: false });
        };
        let next = i64::try_from(highest).ok()? + 1;
        let mut egress = ingress + self.offset;
        if source != self.source {
            let step = (index as u16).wrapping_sub(highest as u16);
            let forward = u64::from(step.wrapping_sub(1)) < LARGEST_LEAP;
            egress = if forward { next - 1 + i64::from(step) } else { next };
            self.source = source;
            self.take_over(egress, ingress, egress - (ingress - rollovers(index)));
            shifted = !forward;
        } else if egress >= next + LARGEST_LEAP as i64 {
            self.take_over(next, ingress, self.shift - (egress - next));
            egress = next;
            shifted = true;
        }
        if !(0..INDEX_LIMIT).contains(&egress) {
            return None;
        }
        let egress = u64::try_from(egress).ok()?;
        self.highest = Some(highest.max(egress));
        Some(Mapped { index: egress, shifted })
    }

    fn take_over(&mut self, egress: i64, ingress: i64, shift: i64) {
        self.offset = egress - ingress;
        self.former_shift = self.shift;
        self.shift = shift;
        self.since = u64::try_from(egress).unwrap_or(0);
    }

    /// True when reports about the stream need translation.
    pub(crate) fn is_shifted(&self) -> bool {
        self.shift != 0 || self.former_shift != 0
    }

    /// The source's own number for an extended one that the receiver reports. Numbers from before the last shift are the
    /// former source's, or lie before the pause: they keep the shift of their time.
    pub(crate) fn extended_back(&self, extended: u32) -> u32 {
        let before = (extended.wrapping_sub(self.since as u32) as i32) < 0;
        extended.wrapping_sub(if before { self.former_shift } else { self.shift } as u32)
    }

    /// The source's own number for one that the receiver reports.
    pub(crate) fn sequence_back(&self, sequence: u16) -> u16 {
        // Long after the last shift nothing from before it is reported any more, and the comparison would wrap.
        let recent = self.highest.is_some_and(|highest| highest < self.since + 0x4000);
        let before = recent && (sequence.wrapping_sub(self.since as u16) as i16) < 0;
        sequence.wrapping_sub(if before { self.former_shift } else { self.shift } as u16)
    }

    /// The rollover counter that it has reached.
    pub(crate) fn rollover_counter(&self) -> u32 {
        self.highest.map_or(0, |highest| (highest >> 16) as u32)
    }
}

fn rollovers(index: u64) -> i64 {
    i64::try_from(index & !0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: Source = Source { transport: 1, epoch: (0, 0) };
    const OTHER: Source = Source { transport: 2, epoch: (0, 0) };

    fn index(rollovers: u64, sequence: u64) -> u64 {
        rollovers << 16 | sequence
    }

    fn mapped(rebase: &mut Rebase, source: Source, at: u64) -> u64 {
        rebase.map(source, at).expect("inside").index
    }

    #[test]
    fn a_stream_joined_late_starts_at_rollover_0_and_keeps_its_sequence_numbers() {
        let mut rebase = Rebase::new(PHONE, index(5, 65_530));
        assert_eq!(mapped(&mut rebase, PHONE, index(5, 65_530)), index(0, 65_530));
        assert_eq!(mapped(&mut rebase, PHONE, index(6, 2)), index(1, 2));
        assert_eq!(mapped(&mut rebase, PHONE, index(5, 65_535)), index(0, 65_535));
        assert!(!rebase.is_shifted());
        assert_eq!(rebase.map(PHONE, index(4, 65_535)), None, "before the start");
    }

    #[test]
    fn a_source_that_takes_over_goes_on_forward() {
        let mut rebase = Rebase::new(PHONE, index(0, 30_000));
        mapped(&mut rebase, PHONE, index(0, 30_000));
        // Backward: shifted to the next index.
        assert_eq!(rebase.map(OTHER, index(0, 100)), Some(Mapped { index: index(0, 30_001), shifted: true }));
        assert_eq!(mapped(&mut rebase, OTHER, index(0, 105)), index(0, 30_006));
        assert_eq!(rebase.extended_back(30_006), 105);
        assert_eq!(rebase.sequence_back(30_001), 100);
        assert_eq!(rebase.sequence_back(29_999), 29_999, "the former source's");
        // Forward within reach: the sequence number stays.
        assert_eq!(rebase.map(PHONE, index(0, 30_500)), Some(Mapped { index: index(0, 30_500), shifted: false }));
        assert_eq!(rebase.extended_back(30_500), 30_500);
    }

    #[test]
    fn taking_over_across_a_rollover_keeps_the_reports_true() {
        let mut rebase = Rebase::new(PHONE, index(0, 65_000));
        mapped(&mut rebase, PHONE, index(0, 65_000));
        mapped(&mut rebase, PHONE, index(1, 10));
        // Another source, at its own rollover counter 3.
        assert_eq!(mapped(&mut rebase, OTHER, index(3, 20)), index(1, 20));
        assert_eq!(rebase.extended_back(index(1, 20) as u32), 20, "its receiver joined at its rollover 0");
    }

    #[test]
    fn a_long_pause_is_closed_and_a_short_one_left() {
        let mut rebase = Rebase::new(PHONE, index(0, 100));
        mapped(&mut rebase, PHONE, index(0, 100));
        assert_eq!(mapped(&mut rebase, PHONE, index(0, 16_000)), index(0, 16_000));
        assert_eq!(rebase.map(PHONE, index(0, 56_000)), Some(Mapped { index: index(0, 16_001), shifted: true }));
        assert_eq!(mapped(&mut rebase, PHONE, index(0, 56_001)), index(0, 16_002));
        assert_eq!(rebase.extended_back(16_002), 56_001);
        assert_eq!(rebase.sequence_back(16_002), 56_001);
        assert_eq!(rebase.sequence_back(15_999), 15_999, "before the pause");
    }

    #[test]
    fn a_new_association_starts_at_rollover_0_with_the_same_numbers() {
        let mut rebase = Rebase::new(PHONE, index(0, 65_535));
        mapped(&mut rebase, PHONE, index(0, 65_535));
        assert_eq!(mapped(&mut rebase, PHONE, index(1, 7)), index(1, 7));
        rebase.restart();
        assert_eq!(mapped(&mut rebase, PHONE, index(1, 8)), index(0, 8));
        assert_eq!(mapped(&mut rebase, PHONE, index(1, 9)), index(0, 9));
    }
}
