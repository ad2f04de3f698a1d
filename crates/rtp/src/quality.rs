//! An estimate of how speech sounds, from loss and delay: a short form of the E-model (ITU-T G.107).
//!
//! R = 93.2 − Id − Ie,eff, where 93.2 is what G.107's default values leave of the basic signal-to-noise ratio;
//! * Id = 0.024 d + 0.11 (d − 177.3) H(d − 177.3), d the one-way delay in milliseconds (Cole and Rosenbluth, "Voice over
//!   IP Performance Monitoring", 2001, §3; a fit to G.107 §7.5);
//! * Ie,eff = Ie + (95 − Ie) Ppl / (Ppl / BurstR + Bpl) (G.107 §7.6), Ppl the loss in percent, with Ie and Bpl of the codec
//!   from G.113 appendix I.
//!
//! MOS = 1 + 0.035 R + R (R − 60) (100 − R) 7·10⁻⁶ (G.107 annex B).
//!
//! It says how the network treats speech. It hears no echo, no noise, and no codec that it does not know: those count as
//! G.711 with concealment, so that the figure is an upper bound.

use std::time::Duration;

/// What the network does to a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// How much longer loss runs are than random loss would make them (G.107's BurstR); below 1 counts as 1.
    pub burst_ratio: f64,
    /// Interarrival jitter (RFC 3550 A.8). A receiver's buffer is taken to add twice this to the delay.
    pub jitter: Duration,
    /// There and back; half of it counts.
    pub round_trip: Duration,
}

/// How a codec bears loss (G.113 appendix I).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Codec {
    /// Equipment impairment without loss.
    pub ie: f64,
    /// Robustness against random loss.
    pub bpl: f64,
}

/// Packetisation and decoding, in milliseconds.
const FIXED_DELAY: f64 = 10.0;

impl Codec {
    /// G.711 with packet loss concealment; also for what is not known.
    pub const G711: Self = Self { ie: 0.0, bpl: 25.1 };
    /// G.729A with voice activity detection.
    pub const G729: Self = Self { ie: 11.0, bpl: 19.0 };
    /// G.723.1 at 6.3 kbit/s with voice activity detection.
    pub const G723: Self = Self { ie: 15.0, bpl: 16.1 };

    /// By the static payload type (RFC 3551 §6).
    pub const fn of_payload_type(payload_type: u8) -> Self {
        match payload_type {
            4 => Self::G723,
            18 => Self::G729,
            _ => Self::G711,
        }
    }
}

/// Transmission rating R, 0 to 93.2.
pub fn rating(impairment: &Impairment, codec: Codec) -> f64 {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let delay = milliseconds(impairment.round_trip) / 2.0 + 2.0 * milliseconds(impairment.jitter) + FIXED_DELAY;
    let delay_impairment = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let percent = impairment.loss.clamp(0.0, 1.0) * 100.0;
    let loss_impairment = (95.0 - codec.ie) * percent / (percent / impairment.burst_ratio.max(1.0) + codec.bpl);
    (93.2 - delay_impairment - codec.ie - loss_impairment).clamp(0.0, 100.0)
}

/// Mean opinion score, 1 to 4.5.
pub fn mean_opinion_score(rating: f64) -> f64 {
    let r = rating.clamp(0.0, 100.0);
    // The polynomial dips a little below 1 for small R.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// BurstR: the mean length of the loss runs, over what random loss of the same rate has.
pub fn burst_ratio(lost: u64, runs: u64, expected: u64) -> f64 {
    if runs == 0 || expected <= lost {
        return 1.0;
    }
    let mean_run = lost as f64 / runs as f64;
    (mean_run * (1.0 - lost as f64 / expected as f64)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    #[test]
    fn ratings_become_the_scores_of_g_107_annex_b() {
        // Table B.1 of G.107: R and MOS at the bounds of its categories, to a hundredth.
        for (r, mos) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            close(mean_opinion_score(r), mos, 0.01);
        }
        // The default values of G.107 give R = 93.2, MOS = 4.41.
        close(mean_opinion_score(93.2), 4.41, 0.005);
        close(mean_opinion_score(-3.0), 1.0, 0.0);
        close(mean_opinion_score(5.0), 1.0, 0.0);
    }

    #[test]
    fn delay_and_loss_cost_what_the_formulas_say() {
        let clean = Impairment { burst_ratio: 1.0, ..Impairment::default() };
        close(rating(&clean, Codec::G711), 93.2 - 0.24, 1e-9);
        // 400 ms there and back, 10 ms jitter: d = 200 + 20 + 10 = 230; Id = 5.52 + 5.797.
        let far = Impairment { jitter: Duration::from_millis(10), round_trip: Duration::from_millis(400), ..clean };
        close(rating(&far, Codec::G711), 93.2 - 11.317, 1e-9);
        // 5 % random loss of G.729A: Ie,eff = 11 + 84 * 5 / 24 = 28.5.
        close(rating(&Impairment { loss: 0.05, ..clean }, Codec::G729), 93.2 - 0.24 - 28.5, 1e-9);
        // The same in bursts of twice the length: 11 + 84 * 5 / 21.5.
        let bursts = Impairment { loss: 0.05, burst_ratio: 2.0, ..clean };
        close(rating(&bursts, Codec::G729), 93.2 - 0.24 - 11.0 - 420.0 / 21.5, 1e-9);
        close(rating(&Impairment { loss: 7.0, burst_ratio: f64::NAN, ..clean }, Codec::G711), 17.0, 1.0);
    }

    #[test]
    fn random_loss_has_a_burst_ratio_of_one() {
        close(burst_ratio(0, 0, 100), 1.0, 0.0);
        close(burst_ratio(10, 10, 1000), 1.0, 0.0);
        // Runs of four at 1 %: 4 * 0.99.
        close(burst_ratio(40, 10, 4000), 3.96, 1e-9);
    }
}
