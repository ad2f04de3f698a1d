//! State per SSRC: bounded, and created only for packets that verified.

use crate::Rejection;
use crate::index::Reference;
use crate::keyring::RateCache;
use crate::session::Kind;
use crate::window::Window;
use prefetch::prefetch;

/// Indices seen of one SSRC, of RTP or of RTCP.
pub(crate) struct Track {
    /// Where index guesses start.
    pub(crate) reference: Reference,
    /// No packet has been seen under the keys in use: the window says nothing yet.
    fresh: bool,
    window: Window,
    /// Only with a key derivation rate.
    pub(crate) rates: Option<Box<RateCache>>,
}

impl Track {
    fn new(reference: Reference, window: usize) -> Self {
        Self { reference, fresh: true, window: Window::new(window), rates: None }
    }

    /// Whether `index` may be accepted.
    #[inline]
    pub(crate) fn check(&self, index: u64) -> Result<(), Rejection> {
        match self.reference {
            Reference::Highest(highest) if !self.fresh => self.window.check(highest, index),
            _ => Ok(()),
        }
    }

    /// Records `index`, which passed [`Self::check`].
    #[inline]
    pub(crate) fn commit(&mut self, index: u64, window: usize) {
        let highest = match self.reference {
            Reference::Highest(highest) if !self.fresh => highest,
            _ => {
                if self.window.size() == window {
                    self.window.clear();
                } else {
                    self.window = Window::new(window);
                }
                self.fresh = false;
                index
            }
        };
        self.reference = Reference::Highest(self.window.record(highest, index));
    }

    /// Counts every index up to this one as seen.
    pub(crate) fn forgo(&mut self, index: u64) {
        let ahead = matches!(self.reference, Reference::Highest(highest) if !self.fresh && highest >= index);
        if !ahead {
            self.window.fill();
            self.fresh = false;
            self.reference = Reference::Highest(index);
        }
    }

    /// [`Self::highest`], but for what was seen under other keys.
    pub(crate) fn highest_under_these_keys(&self) -> Option<u64> {
        self.highest().filter(|_| !self.fresh)
    }

    /// The highest index accepted, under these keys or the ones before.
    pub(crate) fn highest(&self) -> Option<u64> {
        match self.reference {
            Reference::Highest(highest) => Some(highest),
            Reference::Counter(_) => None,
        }
    }
}

pub(crate) struct Stream {
    ssrc: u32,
    rtp: Option<Track>,
    rtcp: Option<Track>,
}

impl Stream {
    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    #[inline]
    pub(crate) fn track(&self, kind: Kind) -> Option<&Track> {
        match kind {
            Kind::Rtp => self.rtp.as_ref(),
            Kind::Rtcp => self.rtcp.as_ref(),
        }
    }

    /// Nothing has been seen of it under the keys in use, so that forgetting it opens no way to a replay.
    fn is_forgettable(&self) -> bool {
        self.rtp.iter().chain(&self.rtcp).all(|track| track.fresh)
    }

    fn tracks_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        self.rtp.iter_mut().chain(&mut self.rtcp)
    }
}

/// The streams of one context.
#[derive(Default)]
pub(crate) struct Streams {
    /// The SSRCs of `streams`, side by side for the search.
    ssrcs: Vec<u32>,
    streams: Vec<Stream>,
}

impl Streams {
    #[inline]
    pub(crate) fn find(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|known| *known == ssrc)
    }

    #[inline]
    pub(crate) fn track(&self, slot: Option<usize>, kind: Kind) -> Option<&Track> {
        self.streams.get(slot?)?.track(kind)
    }

    /// Asks for the memory of the first stream; with `windows`, which wants that memory already there, for its window.
    #[inline]
    pub(crate) fn prefetch(&self, windows: bool) {
        let Some(stream) = self.streams.first() else { return };
        if windows {
            stream.rtp.iter().for_each(|track| track.window.prefetch());
        } else {
            prefetch(stream, usize::MAX);
            prefetch(self.ssrcs.as_slice(), 1);
        }
    }

    /// The track, made if it is not there; `None` when there is no room for one more SSRC.
    #[inline]
    pub(crate) fn track_mut(&mut self, ssrc: u32, kind: Kind, limits: (usize, usize)) -> Option<&mut Track> {
        let (streams, window) = limits;
        let slot = match self.find(ssrc) {
            Some(slot) => slot,
            None => self.create(ssrc, streams)?,
        };
        let stream = self.streams.get_mut(slot)?;
        let track = match kind {
            Kind::Rtp => &mut stream.rtp,
            Kind::Rtcp => &mut stream.rtcp,
        };
        Some(track.get_or_insert_with(|| Track::new(Reference::Counter(0), window)))
    }

    fn create(&mut self, ssrc: u32, limit: usize) -> Option<usize> {
        let stream = Stream { ssrc, rtp: None, rtcp: None };
        if self.streams.len() < limit {
            if self.streams.is_empty() {
                // One SSRC is the rule.
                self.ssrcs.reserve_exact(1);
                self.streams.reserve_exact(1);
            }
            self.ssrcs.push(ssrc);
            self.streams.push(stream);
            return Some(self.streams.len() - 1);
        }
        let slot = self.streams.iter().position(Stream::is_forgettable)?;
        *self.ssrcs.get_mut(slot)? = ssrc;
        *self.streams.get_mut(slot)? = stream;
        Some(slot)
    }

    /// Other keys are in use from here on: no index has been seen under them.
    pub(crate) fn start_afresh(&mut self) {
        for track in self.streams.iter_mut().flat_map(Stream::tracks_mut) {
            track.fresh = true;
            track.rates = None;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ssrcs.clear();
        self.streams.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter()
    }

    pub(crate) fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        match self.track(self.find(ssrc), Kind::Rtp)?.reference {
            Reference::Counter(counter) => Some(counter),
            Reference::Highest(highest) => u32::try_from(highest >> 16).ok(),
        }
    }

    /// Moves the stream to that counter; what was seen before is forgotten.
    pub(crate) fn set_rollover_counter(&mut self, ssrc: u32, counter: u32, limits: (usize, usize)) -> bool {
        let Some(track) = self.track_mut(ssrc, Kind::Rtp, limits) else { return false };
        track.reference = match track.reference {
            Reference::Counter(_) => Reference::Counter(counter),
            Reference::Highest(highest) => {
                let moved = (u64::from(counter) << 16) | (highest & 0xffff);
                if moved == highest {
                    return true;
                }
                Reference::Highest(moved)
            }
        };
        track.fresh = true;
        true
    }
}
