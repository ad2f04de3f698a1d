//! An RTP packet as a view over its bytes (RFC 3550 §5.1) and its header extension (RFC 8285).

/// Length of the fixed header.
pub const HEADER_LEN: usize = 12;

/// An RTP packet, encrypted or not, whose header is whole.
///
/// ```text
///  0                   1                   2                   3
///  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
///  |                           timestamp                           |
///  |                             SSRC                              |
///  |                        CSRCs (0 to 15)                        |
///  |           profile             |  extension length in words    |
///  |                           extension                           |
///  |                     payload, tag, padding                     |
/// ```
#[derive(Clone, Copy)]
pub struct RtpPacket<'a> {
    fixed: &'a [u8; HEADER_LEN],
    csrcs: &'a [u8],
    extension: Option<HeaderExtension<'a>>,
    header_len: usize,
    payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// `None` unless the version is 2 and the header with CSRCs and extension fits.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = packet.split_first_chunk::<HEADER_LEN>()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let (csrcs, mut payload) = rest.split_at_checked(usize::from(fixed[0] & 0x0f) * 4)?;
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let (&[p0, p1, l0, l1], rest) = payload.split_first_chunk::<4>()?;
            let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])) * 4)?;
            extension = Some(HeaderExtension { profile: u16::from_be_bytes([p0, p1]), bytes });
            payload = rest;
        }
        Some(Self { fixed, csrcs, extension, header_len: packet.len() - payload.len(), payload })
    }

    /// Always 2.
    pub fn version(&self) -> u8 {
        self.fixed[0] >> 6
    }

    /// The P bit. With SRTP the padding itself is encrypted.
    pub fn has_padding(&self) -> bool {
        self.fixed[0] & 0x20 != 0
    }

    /// The M bit.
    pub fn marker(&self) -> bool {
        self.fixed[1] & 0x80 != 0
    }

    /// 0 to 127.
    pub fn payload_type(&self) -> u8 {
        self.fixed[1] & 0x7f
    }

    /// Of the packet.
    pub fn sequence_number(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// In units of the payload's clock.
    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.fixed[4], self.fixed[5], self.fixed[6], self.fixed[7]])
    }

    /// The stream's source.
    pub fn ssrc(&self) -> u32 {
        u32::from_be_bytes([self.fixed[8], self.fixed[9], self.fixed[10], self.fixed[11]])
    }

    /// The contributing sources, at most 15.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.csrcs.as_chunks::<4>().0.iter().map(|&bytes| u32::from_be_bytes(bytes))
    }

    /// The header extension, when the X bit is set.
    pub fn extension(&self) -> Option<HeaderExtension<'a>> {
        self.extension
    }

    /// The first extension element with this id (RFC 8285). A two-byte element may be empty.
    pub fn extension_element(&self, id: u8) -> Option<&'a [u8]> {
        self.extension?.elements().find(|element| element.id == id).map(|element| element.value)
    }

    /// Bytes before the payload.
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Everything behind the header: padding too, and of an SRTP packet the tag.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload of a decrypted packet without its padding; `None` when the padding is longer than the payload or
    /// zero (RFC 3550 §5.1).
    pub fn media(&self) -> Option<&'a [u8]> {
        if !self.has_padding() {
            return Some(self.payload);
        }
        let &padding = self.payload.last()?;
        if padding == 0 {
            return None;
        }
        self.payload.get(..self.payload.len().checked_sub(usize::from(padding))?)
    }
}

/// Length of the header with CSRCs and extension; `None` when it does not fit or the version is not 2.
pub fn header_len(packet: &[u8]) -> Option<usize> {
    RtpPacket::parse(packet).map(|packet| packet.header_len)
}

/// Writes the sequence number. A packet too short for a header is left alone.
pub fn set_sequence_number(packet: &mut [u8], sequence_number: u16) {
    write(packet, 2, sequence_number.to_be_bytes());
}

/// Writes the timestamp. A packet too short for a header is left alone.
pub fn set_timestamp(packet: &mut [u8], timestamp: u32) {
    write(packet, 4, timestamp.to_be_bytes());
}

/// Writes the SSRC. A packet too short for a header is left alone.
pub fn set_ssrc(packet: &mut [u8], ssrc: u32) {
    write(packet, 8, ssrc.to_be_bytes());
}

/// Writes the payload type (its lower seven bits) and keeps the marker. A packet too short for a header is left alone.
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(fixed) = packet.first_chunk_mut::<HEADER_LEN>() {
        fixed[1] = fixed[1] & 0x80 | payload_type & 0x7f;
    }
}

/// Writes the M bit. A packet too short for a header is left alone.
pub fn set_marker(packet: &mut [u8], marker: bool) {
    if let Some(fixed) = packet.first_chunk_mut::<HEADER_LEN>() {
        fixed[1] = fixed[1] & 0x7f | u8::from(marker) << 7;
    }
}

fn write<const N: usize>(packet: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(fixed) = packet.first_chunk_mut::<HEADER_LEN>()
        && let Some(field) = fixed.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>())
    {
        *field = bytes;
    }
}

/// The header extension (RFC 3550 §5.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderExtension<'a> {
    /// `0xbede`: one-byte elements. `0x1000` to `0x100f`: two-byte elements. Anything else is the profile's own.
    pub profile: u16,
    /// Without the four bytes of profile and length.
    pub bytes: &'a [u8],
}

impl<'a> HeaderExtension<'a> {
    /// The elements of RFC 8285; none when the profile is neither of its two. Stops at the first that does not fit.
    pub fn elements(self) -> Elements<'a> {
        let form = match self.profile {
            0xbede => Form::OneByte,
            0x1000..=0x100f => Form::TwoByte,
            _ => return Elements { form: Form::OneByte, rest: &[] },
        };
        Elements { form, rest: self.bytes }
    }
}

/// One element of a header extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// 1 to 14 in the one-byte form, 1 to 255 in the two-byte form; what it means is negotiated (`a=extmap`).
    pub id: u8,
    /// 1 to 16 bytes in the one-byte form, 0 to 255 in the two-byte form.
    pub value: &'a [u8],
}

/// Iterates over the elements of a header extension.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Form {
    OneByte,
    TwoByte,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let element = self.take();
        if element.is_none() {
            self.rest = &[];
        }
        element
    }
}

impl<'a> Elements<'a> {
    fn take(&mut self) -> Option<Element<'a>> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            if first == 0 {
                self.rest = rest; // a byte of padding
                continue;
            }
            let (id, len, rest) = match self.form {
                // RFC 8285 §4.2: id 15, and id 0 with a length, end the elements.
                Form::OneByte => match first >> 4 {
                    0 | 15 => return None,
                    id => (id, usize::from(first & 0x0f) + 1, rest),
                },
                Form::TwoByte => {
                    let (&len, rest) = rest.split_first()?;
                    (first, usize::from(len), rest)
                }
            };
            let (value, rest) = rest.split_at_checked(len)?;
            self.rest = rest;
            return Some(Element { id, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Marker, payload type 111, two CSRCs, one-byte extension with id 3 = "mid0" and id 1 = 0x7f, payload "media".
    const PACKET: &[u8] = &[
        0x92, 0xef, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0,
        2, 0x33, b'm', b'i', b'd', b'0', 0x10, 0x7f, 0, b'm', b'e', b'd', b'i', b'a',
    ];

    fn with_extension(profile: u16, bytes: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        packet.extend(profile.to_be_bytes());
        packet.extend(((bytes.len() / 4) as u16).to_be_bytes());
        packet.extend(bytes);
        packet
    }

    #[test]
    fn every_header_field_is_read() {
        let packet = RtpPacket::parse(PACKET).unwrap();
        assert_eq!(packet.version(), 2);
        assert!(packet.marker() && !packet.has_padding());
        assert_eq!(packet.payload_type(), 111);
        assert_eq!(packet.sequence_number(), 0x1234);
        assert_eq!(packet.timestamp(), 0x0102_0304);
        assert_eq!(packet.ssrc(), 0xcafe_babe);
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(packet.extension().unwrap().profile, 0xbede);
        assert_eq!(packet.header_len(), 32);
        assert_eq!(packet.payload(), b"media");
        assert_eq!(packet.media(), Some(&b"media"[..]));
        assert_eq!(header_len(PACKET), Some(32));
    }

    #[test]
    fn one_byte_elements_are_found_by_id() {
        let packet = RtpPacket::parse(PACKET).unwrap();
        assert_eq!(packet.extension_element(3), Some(&b"mid0"[..]));
        assert_eq!(packet.extension_element(1), Some(&[0x7f][..]));
        assert_eq!(packet.extension_element(2), None);
        assert_eq!(packet.extension_element(0), None);
    }

    #[test]
    fn two_byte_elements_are_found_behind_padding_and_may_be_empty() {
        let packet = with_extension(0x1005, &[0, 7, 0, 200, 3, b'a', b'b', b'c', 0, 0, 0, 0]);
        let packet = RtpPacket::parse(&packet).unwrap();
        assert_eq!(packet.extension_element(7), Some(&[][..]));
        assert_eq!(packet.extension_element(200), Some(&b"abc"[..]));
        assert_eq!(packet.extension().unwrap().elements().count(), 2);
    }

    #[test]
    fn elements_end_at_the_reserved_ids_of_the_one_byte_form() {
        for stop in [0xf0, 0x01] {
            let packet = with_extension(0xbede, &[0x10, 1, stop, 9, 0x20, 2, 0, 0]);
            let packet = RtpPacket::parse(&packet).unwrap();
            assert_eq!(packet.extension_element(1), Some(&[1][..]));
            assert_eq!(packet.extension_element(2), None);
        }
    }

    #[test]
    fn an_element_that_does_not_fit_is_not_there() {
        let one_byte = with_extension(0xbede, &[0x13, 1, 2, 3]);
        assert_eq!(RtpPacket::parse(&one_byte).unwrap().extension_element(1), None);
        let two_byte = with_extension(0x1000, &[1, 3, 1, 2]);
        assert_eq!(RtpPacket::parse(&two_byte).unwrap().extension_element(1), None);
    }

    #[test]
    fn another_profile_has_no_elements() {
        let packet = with_extension(0x1010, &[0x10, 1, 1, 1]);
        assert_eq!(RtpPacket::parse(&packet).unwrap().extension().unwrap().elements().count(), 0);
    }

    #[test]
    fn a_header_that_does_not_fit_is_no_packet() {
        for len in 0..32 {
            assert!(RtpPacket::parse(&PACKET[..len]).is_none(), "{len} bytes");
        }
        assert!(RtpPacket::parse(&PACKET[..32]).is_some());
        for first in [0x00, 0x52, 0xd2] {
            let mut packet = PACKET.to_vec();
            packet[0] = first;
            assert!(RtpPacket::parse(&packet).is_none());
        }
    }

    #[test]
    fn padding_is_taken_off_and_must_fit() {
        let mut packet = vec![0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x', 0, 2];
        assert_eq!(RtpPacket::parse(&packet).unwrap().media(), Some(&b"x"[..]));
        packet[14] = 3;
        assert_eq!(RtpPacket::parse(&packet).unwrap().media(), Some(&[][..]));
        for wrong in [0, 4] {
            packet[14] = wrong;
            assert_eq!(RtpPacket::parse(&packet).unwrap().media(), None);
        }
        assert_eq!(RtpPacket::parse(&packet[..12]).unwrap().media(), None);
    }

    #[test]
    fn fields_are_written_in_place_and_nothing_else_changes() {
        let mut packet = PACKET.to_vec();
        set_sequence_number(&mut packet, 0xffff);
        set_timestamp(&mut packet, 5);
        set_ssrc(&mut packet, 6);
        set_payload_type(&mut packet, 8);
        set_marker(&mut packet, false);
        let view = RtpPacket::parse(&packet).unwrap();
        assert_eq!((view.sequence_number(), view.timestamp(), view.ssrc()), (0xffff, 5, 6));
        assert_eq!((view.payload_type(), view.marker()), (8, false));
        assert_eq!(packet[0], PACKET[0]);
        assert_eq!(packet[12..], PACKET[12..]);
        let mut short = [0x80; 11];
        set_ssrc(&mut short, 0);
        set_marker(&mut short, false);
        assert_eq!(short, [0x80; 11]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_view_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), id: u8) {
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            if let Some(packet) = RtpPacket::parse(&bytes) {
                prop_assert_eq!(packet.header_len() + packet.payload().len(), bytes.len());
                let _ = (packet.media(), packet.extension_element(id), packet.csrcs().count());
            }
        }
    }
}
