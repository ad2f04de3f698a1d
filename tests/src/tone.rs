//! Tones in G.711 µ-law, made and found again.

use std::f64::consts::TAU;

use serde_json::Value;

/// Samples a second.
pub const SAMPLE_RATE: u32 = 8000;

/// Samples, and so bytes, of one 20 ms packet.
pub const PACKET_SAMPLES: usize = 160;

/// An endless sine tone, cut in packets of 20 ms.
pub struct Tone {
    frequency: f64,
    position: u64,
}

impl Tone {
    /// A tone of this frequency in Hz.
    pub fn new(frequency: f64) -> Self {
        Self { frequency, position: 0 }
    }

    /// The next 20 ms.
    pub fn next_packet(&mut self) -> [u8; PACKET_SAMPLES] {
        std::array::from_fn(|_| {
            self.position += 1;
            encode_ulaw(sample(self.frequency, self.position - 1))
        })
    }
}

/// So many samples of a tone of this frequency in Hz.
pub fn sine(frequency: f64, samples: usize) -> Vec<i16> {
    (0..samples as u64).map(|position| sample(frequency, position)).collect()
}

fn sample(frequency: f64, position: u64) -> i16 {
    let phase = TAU * frequency * position as f64 / f64::from(SAMPLE_RATE);
    (phase.sin() * 12_000.0) as i16
}

/// Whether a browser has heard this frequency in Hz nearly all the time: in two thirds of its looks, of which a machine
/// under load leaves it fewer.
pub fn is_heard(listened: &Value, frequency: f64) -> bool {
    let peaks = listened["peaks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let near = peaks.iter().filter(|peak| peak.as_f64().is_some_and(|peak| (peak - frequency).abs() < 12.0));
    peaks.len() >= 10 && near.count() * 3 >= peaks.len() * 2
}

/// Share of a signal's power that lies at `frequency`: near 1 for a pure tone, near 0 where it is absent.
pub fn share_of(ulaw: &[u8], frequency: f64) -> f64 {
    share_of_samples(ulaw.iter().map(|&byte| decode_ulaw(byte)), frequency, SAMPLE_RATE)
}

/// [`share_of`] for linear samples, `rate` of them a second (Goertzel).
pub fn share_of_samples(samples: impl IntoIterator<Item = i16>, frequency: f64, rate: u32) -> f64 {
    let samples: Vec<f64> = samples.into_iter().map(f64::from).collect();
    let total: f64 = samples.iter().map(|sample| sample * sample).sum();
    if total == 0.0 {
        return 0.0;
    }
    let coefficient = 2.0 * (TAU * frequency / f64::from(rate)).cos();
    let (mut previous, mut before) = (0.0, 0.0);
    for sample in &samples {
        let current = sample + coefficient * previous - before;
        before = previous;
        previous = current;
    }
    let power = previous * previous + before * before - coefficient * previous * before;
    power / total / (samples.len() as f64 / 2.0)
}

/// ITU-T G.711 µ-law of one sample.
pub fn encode_ulaw(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + BIAS;
    let exponent = 24 - (magnitude as u32).leading_zeros() as i32;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) | mantissa) as u8
}

/// The sample of one ITU-T G.711 µ-law byte.
pub fn decode_ulaw(byte: u8) -> i16 {
    let byte = i32::from(!byte);
    let magnitude = (((byte & 0x0f) << 3) + 0x84) << ((byte >> 4) & 7);
    let sample = magnitude - 0x84;
    (if byte & 0x80 == 0 { sample } else { -sample }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    // ITU-T G.711 table 2a: the decoder's output values at the ends of its segments (14-bit values, times 4).
    #[test]
    fn decoding_follows_the_table() {
        assert_eq!(decode_ulaw(0x80), 32_124);
        assert_eq!(decode_ulaw(0x00), -32_124);
        assert_eq!(decode_ulaw(0xff), 0);
        assert_eq!(decode_ulaw(0x8f), 16_764);
    }

    #[test]
    fn every_byte_but_negative_zero_survives_decoding_and_encoding() {
        for byte in (0..=255u8).filter(|&byte| byte != 0x7f) {
            assert_eq!(encode_ulaw(decode_ulaw(byte)), byte, "byte {byte:#04x}");
        }
    }

    #[test]
    fn a_tone_is_found_at_its_frequency_and_nowhere_else() {
        let mut tone = Tone::new(440.0);
        let heard: Vec<u8> = (0..50).flat_map(|_| tone.next_packet()).collect();
        assert!(share_of(&heard, 440.0) > 0.9);
        assert!(share_of(&heard, 880.0) < 0.01);
    }
}
