//! Lost packets by their pattern: runs, and bursts (RFC 3611 §4.7.2).

/// A packet that has not come before the 32nd after it comes too late to be played.
const LATEST: u64 = 32;

/// Packets received between two losses that end a burst (Gmin of RFC 3611 §4.7.2).
const BURST_END: u64 = 16;

/// Watches the indices of one stream.
#[derive(Clone, Debug, Default)]
pub struct LossPattern {
    /// First and highest index since the last [`Self::restart`].
    span: Option<(u64, u64)>,
    /// Bit n: the n-th packet before the highest has come.
    come: u32,
    expected: u64,
    lost: u64,
    runs: u64,
    run: u64,
    longest_run: u64,
    bursts: u64,
    lost_in_bursts: u64,
    in_burst: bool,
    /// Packets judged as received since the last loss. `None`: nothing was lost yet.
    since_loss: Option<u64>,
}

impl LossPattern {
    /// Takes in a packet by its extended index.
    pub fn update(&mut self, index: u64) {
        let Some((first, highest)) = self.span else {
            self.span = Some((index, index));
            self.come = 1;
            return;
        };
        let Some(ahead) = index.checked_sub(highest) else {
            let behind = highest - index;
            if behind < LATEST {
                self.come |= 1 << behind;
                self.span = Some((first.min(index), highest));
            }
            return;
        };
        for step in 0..ahead.min(LATEST) {
            // The one that the next shift pushes out; those before the first were never sent to us.
            let judged = (highest + step).checked_sub(LATEST - 1).filter(|&judged| judged >= first);
            if judged.is_some() {
                if self.come >> (LATEST - 1) == 1 { self.received() } else { self.lose(1) }
            }
            self.come <<= 1;
        }
        if ahead > LATEST {
            let from = (highest + 1).max(first);
            self.lose((index + 1 - LATEST).saturating_sub(from));
        }
        if ahead > 0 {
            self.come |= 1;
            self.span = Some((first, index));
        }
    }

    /// Another run of indices begins; those still awaited are forgotten.
    pub fn restart(&mut self) {
        self.span = None;
        self.end_run();
        self.since_loss = None;
        self.in_burst = false;
    }

    /// Packets whose turn has passed, lost ones included.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// Packets that were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Runs of lost packets.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// Packets of the longest run.
    pub fn longest_run(&self) -> u64 {
        self.longest_run
    }

    /// Bursts with at least two losses.
    pub fn bursts(&self) -> u64 {
        self.bursts
    }

    /// Losses in bursts; the others are isolated.
    pub fn lost_in_bursts(&self) -> u64 {
        self.lost_in_bursts
    }

    fn received(&mut self) {
        self.expected += 1;
        self.end_run();
        self.since_loss = self.since_loss.map(|packets| packets.saturating_add(1));
    }

    fn lose(&mut self, packets: u64) {
        if packets == 0 {
            return;
        }
        self.expected = self.expected.saturating_add(packets);
        self.lost = self.lost.saturating_add(packets);
        self.runs += u64::from(self.run == 0);
        self.run = self.run.saturating_add(packets);
        self.longest_run = self.longest_run.max(self.run);
        let near = self.since_loss.is_some_and(|received| received < BURST_END);
        if self.in_burst && near {
            self.lost_in_bursts = self.lost_in_bursts.saturating_add(packets);
        } else if near || packets > 1 {
            // The loss before, if it is near, turns out to have been the burst's first.
            self.in_burst = true;
            self.bursts += 1;
            self.lost_in_bursts = self.lost_in_bursts.saturating_add(packets).saturating_add(u64::from(near));
        } else {
            self.in_burst = false;
        }
        self.since_loss = Some(0);
    }

    fn end_run(&mut self) {
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (expected, lost, runs, longest, bursts, lost in bursts) after these indices and 32 more that push them out.
    fn pattern(indices: impl IntoIterator<Item = u64>) -> [u64; 6] {
        let mut pattern = LossPattern::default();
        let mut last = 0;
        for index in indices {
            pattern.update(index);
            last = last.max(index);
        }
        (1..=LATEST).for_each(|step| pattern.update(last + step));
        let LossPattern { expected, lost, runs, longest_run, bursts, lost_in_bursts, .. } = pattern;
        [expected, lost, runs, longest_run, bursts, lost_in_bursts]
    }

    fn without(lost: &[u64]) -> [u64; 6] {
        pattern((0..=1000).filter(|index| !lost.contains(index)))
    }

    #[test]
    fn losses_are_told_apart_by_their_pattern() {
        assert_eq!(without(&[]), [1001, 0, 0, 0, 0, 0]);
        assert_eq!(without(&[500]), [1001, 1, 1, 1, 0, 0]);
        // 16 packets between them: both isolated. 15: a burst (RFC 3611 §4.7.2, Gmin 16).
        assert_eq!(without(&[500, 517]), [1001, 2, 2, 1, 0, 0]);
        assert_eq!(without(&[500, 516]), [1001, 2, 2, 1, 1, 2]);
        assert_eq!(without(&[500, 501, 502]), [1001, 3, 1, 3, 1, 3]);
        assert_eq!(without(&[100, 500, 501, 503, 900]), [1001, 5, 4, 2, 1, 3]);
    }

    #[test]
    fn a_long_gap_is_one_run() {
        assert_eq!(pattern((0..=10).chain(111..=200)), [201, 100, 1, 100, 1, 100]);
    }

    #[test]
    fn late_packets_are_not_lost_and_very_late_ones_are() {
        assert_eq!(pattern((0..100).chain(101..110).chain([100]).chain(110..200)), [200, 0, 0, 0, 0, 0]);
        assert_eq!(pattern((0..100).chain(101..133).chain([100]).chain(133..200)), [200, 1, 1, 1, 0, 0]);
        assert_eq!(pattern((0..50).chain(0..50)), [50, 0, 0, 0, 0, 0], "repeated");
        assert_eq!(pattern([70_000, 69_999, 70_001]), [3, 0, 0, 0, 0, 0], "begins out of order");
    }

    #[test]
    fn a_restart_loses_nothing() {
        let mut pattern = LossPattern::default();
        (5000..5100).for_each(|index| pattern.update(index));
        pattern.restart();
        (0..100).for_each(|index| pattern.update(index));
        assert_eq!((pattern.lost(), pattern.expected()), (0, 2 * (100 - LATEST)));
    }
}
