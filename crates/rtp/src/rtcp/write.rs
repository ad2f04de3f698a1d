//! A report of our own (RFC 3550 §6.4, §6.5), for where we take part in a session and do not only relay it.

use super::{RR, ReportBlock, SDES, SR, SdesChunk, SenderInformation};

/// What a participant with one stream says to another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// Of a sender. `None` makes it a receiver report.
    pub sender: Option<SenderInformation>,
    /// What was received.
    pub block: ReportBlock,
    /// The name of who reports, which every compound packet carries (RFC 3550 §6.1); cut after 255 bytes.
    pub cname: &'a [u8],
}

/// Writes a sender or receiver report and a source description; returns their length. `None`: the buffer is too short.
pub fn encode_report(buffer: &mut [u8], report: &Report<'_>) -> Option<usize> {
    let Report { ssrc, sender, block, cname } = report;
    let cname = cname.get(..0xff).unwrap_or(cname);
    let mut writer = Writer { buffer, at: 0 };
    // Lengths are in words less one: the SSRC, the sender's five, the block's six.
    let (packet_type, words) = if sender.is_some() { (SR, 12) } else { (RR, 7) };
    writer.put([0x81, packet_type, 0, words])?;
    writer.put(ssrc.to_be_bytes())?;
    if let Some(sender) = sender {
        writer.put(sender.ntp_timestamp.to_be_bytes())?;
        for word in [sender.rtp_timestamp, sender.packets, sender.octets] {
            writer.put(word.to_be_bytes())?;
        }
    }
    let lost = u32::from(block.fraction_lost) << 24 | block.cumulative_lost as u32 & 0x00ff_ffff;
    for word in
        [block.ssrc, lost, block.highest_sequence_number, block.jitter, block.last_sr, block.delay_since_last_sr]
    {
        writer.put(word.to_be_bytes())?;
    }
    // SSRC, item type, length, text, and at least one null up to the next word.
    let chunk = (4 + 2 + cname.len() + 1).next_multiple_of(4);
    writer.put([0x81, SDES, 0, (chunk / 4) as u8])?;
    writer.put(ssrc.to_be_bytes())?;
    writer.put([SdesChunk::CNAME, cname.len() as u8])?;
    writer.copy(cname)?;
    for _ in 4 + 2 + cname.len()..chunk {
        writer.put([0])?;
    }
    Some(writer.at)
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        self.copy(&bytes)
    }

    fn copy(&mut self, bytes: &[u8]) -> Option<()> {
        let next = self.at.checked_add(bytes.len())?;
        self.buffer.get_mut(self.at..next)?.copy_from_slice(bytes);
        self.at = next;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0x0a0b_0c0d,
        fraction_lost: 0x40,
        cumulative_lost: -2,
        highest_sequence_number: 0x0001_fffe,
        jitter: 55,
        last_sr: 0x1111_2222,
        delay_since_last_sr: 0x0001_0000,
    };

    // RFC 3550 §6.4.1 and §6.5, by hand.
    #[test]
    fn a_sender_report_with_its_description() {
        let sender = SenderInformation {
            ntp_timestamp: 0xe000_0000_8000_0000,
            rtp_timestamp: 160_000,
            packets: 1000,
            octets: 0x0002_7100,
        };
        let report = Report { ssrc: 0xcafe_babe, sender: Some(sender), block: BLOCK, cname: b"a@b" };
        let mut buffer = [0xee; 100];
        let len = encode_report(&mut buffer, &report).expect("room");
        let expected = [
            0x81c8_000c_u32,
            0xcafe_babe,
            0xe000_0000,
            0x8000_0000,
            0x0002_7100,
            0x0000_03e8,
            0x0002_7100,
            0x0a0b_0c0d,
            0x40ff_fffe,
            0x0001_fffe,
            0x0000_0037,
            0x1111_2222,
            0x0001_0000,
            0x81ca_0003,
            0xcafe_babe,
            0x0103_6140,
            0x6200_0000,
        ];
        assert_eq!(buffer[..len], expected.map(u32::to_be_bytes).concat());
        assert_eq!(buffer[len], 0xee);
    }

    #[test]
    fn a_receiver_report_whose_name_fills_its_words_still_ends_in_a_null() {
        let report = Report { ssrc: 0xcafe_babe, sender: None, block: BLOCK, cname: b"ab" };
        let mut buffer = [0xee; 100];
        let len = encode_report(&mut buffer, &report).expect("room");
        assert_eq!(buffer[..8], [0x81, 201, 0, 7, 0xca, 0xfe, 0xba, 0xbe]);
        assert_eq!(buffer[32..len], [0x81, 202, 0, 3, 0xca, 0xfe, 0xba, 0xbe, 1, 2, b'a', b'b', 0, 0, 0, 0]);
    }

    #[test]
    fn a_report_that_does_not_fit_is_none_and_the_longest_name_is_cut() {
        let report = Report { ssrc: 1, sender: None, block: BLOCK, cname: &[b'x'; 300] };
        let mut buffer = [0; 400];
        let len = encode_report(&mut buffer, &report).expect("room");
        assert_eq!(len, 32 + 4 + 264);
        assert!(crate::RtcpCompound::parse(&buffer[..len]).is_some());
        for short in 0..len {
            assert_eq!(encode_report(&mut buffer[..short], &report), None);
        }
    }
}
