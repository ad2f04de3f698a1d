//! Hand-made packets; layouts from RFC 3550 §6, RFC 4585 §6, RFC 3611 §4, RFC 5104 §4, RFC 8888 §3.

use proptest::prelude::*;

use super::*;

const SENDER: u32 = 0x0a0b_0c0d;
const SUBJECT: u32 = 0xcafe_babe;

/// One packet: header made from type, count and the words of its body.
fn packet(packet_type: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, packet_type];
    bytes.extend((words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

fn block(ssrc: u32, extended: u32) -> [u32; 6] {
    [ssrc, 0x40ff_fffe, extended, 55, 0x1111_2222, 0x0001_0000]
}

fn sender_report() -> Vec<u8> {
    let mut words = vec![SENDER, 0xe000_0000, 0x8000_0000, 160_000, 1000, 160_000];
    words.extend(block(SUBJECT, 0x0002_fffe));
    packet(SR, 1, &words)
}

fn receiver_report() -> Vec<u8> {
    packet(RR, 0, &[SENDER])
}

/// One chunk: CNAME "a@b", then its null and padding.
fn description() -> Vec<u8> {
    packet(SDES, 1, &[SENDER, 0x0103_6140, 0x6200_0000])
}

fn nack() -> Vec<u8> {
    packet(RTPFB, 1, &[SENDER, SUBJECT, 0xfffe_0005, 0x0010_0000])
}

fn picture_loss() -> Vec<u8> {
    packet(PSFB, 1, &[SENDER, SUBJECT])
}

fn goodbye() -> Vec<u8> {
    packet(BYE, 2, &[SENDER, 7, 0x0362_7965])
}

fn extended_report() -> Vec<u8> {
    packet(
        XR,
        0,
        &[
            SENDER,
            // Loss RLE of packets 65534 up to 2.
            0x0100_0003,
            SUBJECT,
            0xfffe_0002,
            0x8000_0000,
            // Receiver reference time.
            0x0400_0002,
            SUBJECT,
            SUBJECT,
            // DLRR.
            0x0500_0003,
            SUBJECT,
            1,
            2,
            // Measurement information: first 0xfffe, extended 0x2fffe to 0x30002.
            0x0e00_0007,
            SUBJECT,
            0x0000_fffe,
            0x0002_fffe,
            0x0003_0002,
            0,
            0,
            0,
        ],
    )
}

fn valid(bytes: &[u8]) -> bool {
    RtcpCompound::parse(bytes).is_some()
}

fn types(bytes: &[u8]) -> Vec<u8> {
    RtcpCompound::parse(bytes).unwrap().packets().map(|packet| packet.packet_type()).collect()
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| u32::from_be_bytes(bytes)).collect()
}

#[test]
fn a_compound_is_taken_apart() {
    let bytes = [sender_report(), description(), nack(), picture_loss(), extended_report(), goodbye()].concat();
    let compound = RtcpCompound::parse(&bytes).unwrap();
    assert!(compound.is_compound());
    assert_eq!(compound.sender_ssrc(), Some(SENDER));
    assert_eq!(types(&bytes), [SR, SDES, RTPFB, PSFB, XR, BYE]);
    assert_eq!(compound.packets().map(|packet| packet.wire_len()).sum::<usize>(), bytes.len());
    assert_eq!(compound.packets().filter(RtcpPacket::is_feedback).count(), 2);
}

#[test]
fn a_sender_report_is_read() {
    let bytes = sender_report();
    let report = RtcpCompound::parse(&bytes).unwrap().packets().next().unwrap();
    let expected = SenderInformation {
        ntp_timestamp: 0xe000_0000_8000_0000,
        rtp_timestamp: 160_000,
        packets: 1000,
        octets: 160_000,
    };
    assert_eq!(report.sender_information(), Some(expected));
    let expected = ReportBlock {
        ssrc: SUBJECT,
        fraction_lost: 64,
        cumulative_lost: -2,
        highest_sequence_number: 0x0002_fffe,
        jitter: 55,
        last_sr: 0x1111_2222,
        delay_since_last_sr: 65_536,
    };
    assert_eq!(report.report_blocks().collect::<Vec<_>>(), [expected]);
    assert_eq!(report.nacks().count() + report.bye_ssrcs().count() + report.xr_blocks().count(), 0);
}

#[test]
fn a_description_and_a_goodbye_are_read() {
    let bytes = [receiver_report(), description(), goodbye()].concat();
    let packets: Vec<_> = RtcpCompound::parse(&bytes).unwrap().packets().collect();
    let chunk = packets[1].sdes_chunks().next().flatten().unwrap();
    assert_eq!(chunk.ssrc, SENDER);
    let items: Vec<_> = chunk.items().collect();
    assert_eq!(items, [SdesItem { item_type: SdesChunk::CNAME, text: b"a@b" }]);
    assert_eq!(packets[2].bye_ssrcs().collect::<Vec<_>>(), [SENDER, 7]);
}

#[test]
fn a_nack_names_every_lost_packet_across_the_wrap() {
    let bytes = nack();
    let packet = RtcpCompound::parse(&bytes).unwrap().packets().next().unwrap();
    assert_eq!(packet.media_ssrc(), Some(SUBJECT));
    let lost: Vec<u16> = packet.nacks().flat_map(Nack::sequence_numbers).collect();
    assert_eq!(lost, [65534, 65535, 1, 16]);
}

#[test]
fn the_blocks_of_an_extended_report_are_read() {
    let bytes = extended_report();
    let packet = RtcpCompound::parse(&bytes).unwrap().packets().next().unwrap();
    let blocks: Vec<_> = packet.xr_blocks().flatten().collect();
    assert_eq!(blocks.iter().map(|block| block.block_type).collect::<Vec<_>>(), [1, 4, 5, 14]);
    assert_eq!(blocks[0].sequence_range(), Some((65534, 2)));
    assert_eq!(blocks.iter().map(XrBlock::ssrc).collect::<Vec<_>>(), [Some(SUBJECT), None, None, Some(SUBJECT)]);
}

#[test]
fn reduced_size_is_well_formed_and_told_apart() {
    let bytes = [nack(), picture_loss()].concat();
    assert!(!RtcpCompound::parse(&bytes).unwrap().is_compound());
}

#[test]
fn lengths_that_lie_are_refused() {
    let whole = [sender_report(), description()].concat();
    for len in 0..whole.len() {
        // Cut behind the first packet, a whole packet is left.
        assert_eq!(valid(&whole[..len]), len == sender_report().len(), "{len} bytes");
    }
    let mut beyond = whole.clone();
    beyond[3] += 1;
    assert!(!valid(&beyond));
    let mut wrong_version = whole.clone();
    wrong_version[0] = 0x41;
    assert!(!valid(&wrong_version));
}

#[test]
fn counts_beyond_the_packet_are_refused() {
    assert!(!valid(&packet(SR, 1, &[0; 6])));
    assert!(valid(&packet(SR, 0, &[0; 6])));
    assert!(!valid(&packet(RR, 2, &[0; 7])));
    assert!(!valid(&packet(RR, 0, &[])));
    assert!(!valid(&packet(BYE, 2, &[1])));
    assert!(!valid(&packet(BYE, 1, &[1, 0x0461_6161])), "a reason of four bytes where three are");
    assert!(!valid(&packet(SDES, 2, &[SENDER, 0x0103_6140, 0x6200_0000])));
    assert!(!valid(&packet(SDES, 1, &[SENDER, 0x0105_6140])), "an item beyond the end");
    assert!(!valid(&packet(SDES, 2, &[SENDER, 0x0102_6140])), "no chunk behind the first");
    assert!(valid(&packet(SDES, 1, &[SENDER, 0x0102_6140])), "the end of the packet in place of the last null");
    assert!(valid(&packet(SDES, 0, &[])));
    assert!(!valid(&packet(RTPFB, 1, &[SENDER])));
    assert!(!valid(&packet(APP, 0, &[SENDER])));
    assert!(!valid(&packet(XR, 0, &[SENDER, 0x0100_0003, 0])), "a block beyond the end");
    assert!(!valid(&packet(XR, 0, &[SENDER, 0x0100_0001, 0])), "a loss block without a range");
}

#[test]
fn padding_is_taken_off_and_only_the_last_packet_may_have_it() {
    let mut padded = packet(RR, 0, &[SENDER, 0, 8]);
    padded[0] |= 0x20;
    let view = RtcpCompound::parse(&padded).unwrap().packets().next().unwrap();
    assert_eq!((view.body().len(), view.wire_len()), (4, 16));
    assert!(valid(&[receiver_report(), padded.clone()].concat()));
    assert!(!valid(&[padded.clone(), receiver_report()].concat()));
    for wrong in [0, 3, 12, 16] {
        *padded.last_mut().unwrap() = wrong;
        assert!(!valid(&padded), "padding of {wrong}");
    }
}

/// Calls the subject 1 and moves it by -0x10000 - 5; calls the sender 2 and moves its timestamp by 100.
struct Back;

impl Translate for Back {
    fn ssrc(&mut self, role: Role, ssrc: u32) -> u32 {
        match (role, ssrc) {
            (Role::Subject, SUBJECT) => 1,
            (Role::Sender, SENDER) => 2,
            _ => ssrc,
        }
    }

    fn sequence_number(&mut self, ssrc: u32, sequence_number: u16) -> u16 {
        if ssrc == SUBJECT { sequence_number.wrapping_sub(5) } else { sequence_number }
    }

    fn extended_sequence_number(&mut self, ssrc: u32, extended: u32) -> u32 {
        if ssrc == SUBJECT { extended.wrapping_sub(0x1_0005) } else { extended }
    }

    fn timestamp(&mut self, ssrc: u32, timestamp: u32) -> u32 {
        if ssrc == SENDER { timestamp + 100 } else { timestamp }
    }
}

fn translated(bytes: Vec<u8>) -> Vec<u32> {
    let mut bytes = bytes;
    assert!(translate(&mut bytes, &mut Back));
    words(&bytes)
}

#[test]
fn reports_are_translated() {
    let mut expected = words(&sender_report());
    expected[1] = 2;
    expected[4] = 160_100;
    expected[7] = 1;
    expected[9] = 0x0001_fff9;
    assert_eq!(translated(sender_report()), expected);

    let two_blocks = [&[SENDER][..], &block(77, 9), &block(SUBJECT, 0x0001_0004)].concat();
    let mut expected = words(&packet(RR, 2, &two_blocks));
    expected[1] = 2;
    expected[8] = 1;
    expected[10] = 0xffff_ffff;
    assert_eq!(translated(packet(RR, 2, &two_blocks)), expected);
}

#[test]
fn feedback_is_translated() {
    assert_eq!(translated(nack())[1..], [2, 1, 0xfff9_0005, 0x000b_0000]);
    assert_eq!(translated(picture_loss())[1..], [2, 1]);
    // FIR and TMMBR name their streams themselves; the media SSRC of zero names none.
    let entries = [SENDER, 0, SUBJECT, 0x0100_0000, 77, 0x0200_0000];
    assert_eq!(translated(packet(PSFB, 4, &entries))[1..], [2, 0, 1, 0x0100_0000, 77, 0x0200_0000]);
    assert_eq!(translated(packet(RTPFB, 3, &entries))[1..], [2, 0, 1, 0x0100_0000, 77, 0x0200_0000]);
    let remb = u32::from_be_bytes(*b"REMB");
    assert_eq!(
        translated(packet(PSFB, 15, &[SENDER, 0, remb, 0x0200_1234, 77, SUBJECT]))[1..],
        [2, 0, remb, 0x0200_1234, 77, 1]
    );
    // RFC 8888: three reports (filled to four) from 65534 on, then another stream, then the timestamp.
    let control = [SENDER, SUBJECT, 0xfffe_0003, 0x8000_8000, 0x8000_0000, 77, 0x0001_0000, 99];
    assert_eq!(
        translated(packet(RTPFB, 11, &[&[SENDER][..], &control[..]].concat()))[1..3],
        [2, SENDER],
        "the first stream is the sender's own and no subject"
    );
    let control = [SENDER, 0, SUBJECT, 0xfffe_0003, 0x8000_8000, 0x8000_0000, 77, 0x0001_0000, 99];
    assert_eq!(
        translated(packet(RTPFB, 11, &control))[1..],
        [2, 0, 1, 0xfff9_0003, 0x8000_8000, 0x8000_0000, 77, 0x0001_0000, 99]
    );
    // Transport-wide congestion control counts by itself.
    assert_eq!(translated(packet(RTPFB, 15, &[SENDER, SUBJECT, 0x0007_0001]))[1..], [2, 1, 0x0007_0001]);
}

#[test]
fn extended_reports_are_translated() {
    let mut expected = words(&extended_report());
    expected[1] = 2;
    expected[3] = 1;
    expected[4] = 0xfff9_fffd;
    expected[10] = 1;
    expected[14] = 1;
    expected[15] = 0x0000_fff9;
    expected[16] = 0x0001_fff9;
    expected[17] = 0x0001_fffd;
    assert_eq!(translated(extended_report()), expected);
}

#[test]
fn descriptions_and_goodbyes_are_translated() {
    let two = [77, 0x0101_6100, SENDER, 0x0103_6140, 0x6200_0000];
    assert_eq!(translated(packet(SDES, 2, &two))[1..], [77, 0x0101_6100, 2, 0x0103_6140, 0x6200_0000]);
    assert_eq!(translated(goodbye())[1..], [2, 7, 0x0362_7965]);
}

#[test]
fn every_packet_of_a_compound_is_translated_and_padding_is_not() {
    let mut padded = packet(RR, 0, &[SENDER, SUBJECT, 8]);
    padded[0] |= 0x20;
    let bytes = [sender_report(), description(), nack(), padded].concat();
    let words = translated(bytes);
    assert_eq!(words.iter().filter(|&&word| word == SENDER).count(), 0);
    assert_eq!(words.iter().filter(|&&word| word == SUBJECT).count(), 1);
}

#[test]
fn a_malformed_packet_is_not_touched() {
    let mut bytes = sender_report();
    bytes.push(0);
    let before = bytes.clone();
    assert!(!translate(&mut bytes, &mut Back));
    assert_eq!(without_feedback(&mut bytes), 0);
    assert_eq!(bytes, before);
}

#[test]
fn feedback_is_taken_out_and_the_compound_stays_one() {
    let mut bytes = [sender_report(), nack(), description(), picture_loss(), goodbye()].concat();
    let len = without_feedback(&mut bytes);
    assert_eq!(bytes[..len], [sender_report(), description(), goodbye()].concat());
}

#[test]
fn padding_goes_with_the_feedback_that_bore_it() {
    let mut padded = packet(PSFB, 1, &[SENDER, SUBJECT, 4]);
    padded[0] |= 0x20;
    let mut bytes = [receiver_report(), description(), padded].concat();
    let len = without_feedback(&mut bytes);
    assert_eq!(bytes[..len], [receiver_report(), description()].concat());
}

#[test]
fn without_feedback_a_compound_is_left_alone() {
    let mut bytes = [sender_report(), description(), extended_report()].concat();
    let before = bytes.clone();
    assert_eq!(without_feedback(&mut bytes), before.len());
    assert_eq!(bytes, before);
}

#[test]
fn reduced_size_packets_leave_nothing_to_a_leg_without_feedback() {
    assert_eq!(without_feedback(&mut [nack(), picture_loss()].concat()), 0);
    assert_eq!(without_feedback(&mut [nack(), goodbye()].concat()), 0);
    assert_eq!(without_feedback(&mut []), 0);
}

proptest! {
    #[test]
    fn no_bytes_make_views_or_edits_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        packet_type in 200u8..=207,
        count in 0u8..32,
    ) {
        if bytes.len() >= 4 {
            bytes.truncate(bytes.len() / 4 * 4);
            bytes[0] = 0x80 | bytes[0] & 0x20 | count;
            bytes[1] = packet_type;
            let length = (bytes.len() / 4 - 1) as u16;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
        }
        if let Some(compound) = RtcpCompound::parse(&bytes) {
            for packet in compound.packets() {
                let _ = (packet.sender_information(), packet.report_blocks().count(), packet.bye_ssrcs().count());
                let _ = (packet.nacks().count(), packet.media_ssrc(), packet.feedback_control());
                prop_assert!(packet.xr_blocks().all(|block| block.is_some()));
                for chunk in packet.sdes_chunks() {
                    prop_assert!(chunk.is_some_and(|chunk| chunk.items().count() <= bytes.len()));
                }
            }
        }
        let mut edited = bytes.clone();
        prop_assert_eq!(translate(&mut edited, &mut Back), RtcpCompound::parse(&bytes).is_some());
        let len = without_feedback(&mut edited);
        prop_assert!(len == 0 || valid(&edited[..len]));
    }

    /// What is translated stays as well formed as it was.
    #[test]
    fn translation_keeps_compounds_whole(order in proptest::collection::vec(0usize..7, 1..10)) {
        let makers = [sender_report, receiver_report, description, nack, picture_loss, goodbye, extended_report];
        let mut bytes: Vec<u8> = order.iter().flat_map(|&maker| makers[maker]()).collect();
        let before = types(&bytes);
        prop_assert!(translate(&mut bytes, &mut Back));
        prop_assert_eq!(&types(&bytes), &before);
        let len = without_feedback(&mut bytes);
        let kept: Vec<u8> = before.into_iter().filter(|kept| !matches!(*kept, RTPFB | PSFB)).collect();
        if matches!(kept.first(), Some(&(SR | RR))) {
            prop_assert_eq!(types(&bytes[..len]), kept);
        } else {
            prop_assert_eq!(len, 0);
        }
    }
}
