//! RFC 5769 vectors and hand-made messages.

use proptest::prelude::*;

use super::*;
use crate::Credentials;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

/// RFC 5769 §2.1.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
    80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
/// RFC 5769 §2.2.
const IPV4_RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
    002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
/// RFC 5769 §2.3.
const IPV6_RESPONSE: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn rfc_5769_2_1_request() {
    let bytes = bytes(REQUEST);
    let message = Message::decode(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (MessageClass::Request, BINDING));
    assert_eq!(message.transaction_id(), TRANSACTION);
    assert_eq!(message.attribute(attribute::SOFTWARE), Some(&b"STUN test client"[..]));
    assert_eq!(message.username(), Some((&b"evtj"[..], &b"h6vY"[..])));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.attribute(attribute::ICE_CONTROLLED), Some(&0x932f_f9b1_5126_3b36u64.to_be_bytes()[..]));
    assert_eq!(message.unknown_attributes().count(), 0);
    assert!(message.verify_integrity(PASSWORD) && message.verify_fingerprint());
    assert!(!message.verify_integrity("VOkJxbRl1RmTxUk/WvJxBu"));
}

#[test]
fn rfc_5769_2_2_and_2_3_responses() {
    for (hex, address) in
        [(IPV4_RESPONSE, "192.0.2.1:32853"), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let bytes = bytes(hex);
        let message = Message::decode(&bytes).unwrap();
        assert_eq!(message.class(), MessageClass::Success);
        assert_eq!(message.attribute(attribute::SOFTWARE), Some(&b"test vector"[..]));
        assert_eq!(message.xor_mapped_address(), address.parse().ok());
        assert!(message.verify_integrity(PASSWORD) && message.verify_fingerprint());
        assert_eq!(decode_binding_response(&bytes, TRANSACTION, PASSWORD), Ok(address.parse().unwrap()));
    }
}

#[test]
fn the_addresses_of_the_vectors_are_encoded_to_their_bytes() {
    for (hex, address, len) in
        [(IPV4_RESPONSE, "192.0.2.1:32853", 12), (IPV6_RESPONSE, "[2001:db8:1234:5678:11:2233:4455:6677]:32853", 24)]
    {
        let mut buffer = [0; 64];
        let mut encoder = Encoder::new(&mut buffer, MessageClass::Success, BINDING, TRANSACTION);
        let end = encoder.xor_mapped_address(address.parse().unwrap()).finish().unwrap();
        assert_eq!(buffer[..2], [0x01, 0x01]);
        assert_eq!(buffer[20..end], bytes(hex)[36..36 + len]);
    }
}

#[test]
fn integrity_and_fingerprint_are_encoded_as_in_the_vector() {
    // The request of RFC 5769 §2.1 with its attributes in their order; the vector pads USERNAME with spaces, so the
    // padding is part of what is handed in.
    let vector = bytes(REQUEST);
    let mut buffer = [0; 108];
    let mut encoder = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TRANSACTION);
    encoder.attribute(attribute::SOFTWARE, b"STUN test client");
    encoder.attribute(attribute::PRIORITY, &0x6e00_01ffu32.to_be_bytes());
    encoder.attribute(attribute::ICE_CONTROLLED, &vector[52..60]);
    encoder.username("evtj", "h6vY");
    encoder.finish().unwrap();
    buffer[73..76].fill(b' ');
    assert_eq!(buffer[20..76], vector[20..76]);
    let mac = integrity(&vector[..76], PASSWORD).unwrap().finalize().into_bytes();
    assert_eq!(mac[..], vector[80..100]);
    assert_eq!(fingerprint(&vector[..100]), 0xe57a_3bcf);
}

#[test]
fn a_request_of_ours_is_read_back() {
    let remote = Credentials { ufrag: "evtj".into(), pwd: PASSWORD.into() };
    let request = BindingRequest {
        transaction_id: TRANSACTION,
        remote: &remote,
        local_ufrag: "h6vYxyz",
        priority: 7,
        role: Some(Role::Controlling(9)),
        use_candidate: true,
        software: None,
    };
    let mut buffer = [0; 256];
    let len = request.encode(&mut buffer).unwrap();
    let message = Message::decode(&buffer[..len]).unwrap();
    assert!(message.verify_integrity(PASSWORD) && message.verify_fingerprint());
    assert_eq!(message.username(), Some((&b"evtj"[..], &b"h6vYxyz"[..])));
    assert_eq!((message.priority(), message.use_candidate()), (Some(7), true));
    assert_eq!(message.attribute(attribute::ICE_CONTROLLING), Some(&9u64.to_be_bytes()[..]));
    for short in 0..len {
        assert_eq!(request.encode(&mut buffer[..short]), None);
    }
}

#[test]
fn an_ipv4_address_mapped_into_ipv6_is_written_as_ipv4() {
    let mut buffer = [0; 64];
    let mut encoder = Encoder::new(&mut buffer, MessageClass::Success, BINDING, TRANSACTION);
    let len = encoder.xor_mapped_address("[::ffff:192.0.2.1]:5".parse().unwrap()).finish().unwrap();
    assert_eq!(Message::decode(&buffer[..len]).unwrap().xor_mapped_address(), "192.0.2.1:5".parse().ok());
}

#[test]
fn every_class_and_method_survives_its_interleaved_bits() {
    use MessageClass::{Error, Indication, Request, Success};
    for method in 0..0x1000 {
        for class in [Request, Indication, Success, Error] {
            let message_type = join_type(class, method);
            assert_eq!(message_type & 0xc000, 0);
            assert_eq!(split_type(message_type), (class, method));
        }
    }
    // RFC 8489 §5: a Binding request, success and error response.
    assert_eq!([Request, Success, Error].map(|class| join_type(class, BINDING)), [0x0001, 0x0101, 0x0111]);
}

#[test]
fn any_flipped_bit_is_noticed() {
    let vector = bytes(REQUEST);
    for bit in 0..vector.len() * 8 {
        let mut bytes = vector.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let intact = Message::decode(&bytes)
            .is_some_and(|message| message.verify_integrity(PASSWORD) && message.verify_fingerprint());
        assert!(!intact, "bit {bit}");
    }
}

#[test]
fn what_follows_the_integrity_is_not_believed() {
    let mut buffer = [0; 128];
    let mut encoder = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TRANSACTION);
    encoder.integrity(PASSWORD).attribute(attribute::USE_CANDIDATE, &[]).attribute(0x7777, &[]);
    let len = encoder.fingerprint().finish().unwrap();
    let message = Message::decode(&buffer[..len]).unwrap();
    assert!(message.verify_integrity(PASSWORD) && message.verify_fingerprint());
    assert!(!message.use_candidate());
    assert_eq!(message.unknown_attributes().count(), 0);
}

#[test]
fn lengths_that_lie_are_refused() {
    let vector = bytes(REQUEST);
    for len in 0..vector.len() {
        assert!(Message::decode(&vector[..len]).is_none());
    }
    let with = |at: usize, value: u8| {
        let mut bytes = vector.clone();
        bytes[at] = value;
        Message::decode(&bytes).is_none()
    };
    assert!(with(3, 0x54) && with(3, 0x5c) && with(3, 0x57)); // message length
    assert!(with(22, 0xff)); // SOFTWARE reaches beyond the end
    assert!(with(79, 0x10)); // MESSAGE-INTEGRITY of 16 bytes
    assert!(with(4, 0x20)); // cookie
    assert!(with(0, 0x40)); // not STUN
    let mut trailing = vector.clone();
    trailing.extend([0x80, 0x22, 0, 0]);
    trailing[3] += 4;
    assert!(Message::decode(&trailing).is_none(), "FINGERPRINT must be the last attribute");
}

#[test]
fn errors_are_told_apart_from_forgeries() {
    let mut buffer = [0; 64];
    let len = Encoder::new(&mut buffer, MessageClass::Error, BINDING, TRANSACTION)
        .error_code(487)
        .integrity(PASSWORD)
        .fingerprint()
        .finish()
        .unwrap();
    let decode = |bytes: &[u8], password| decode_binding_response(bytes, TRANSACTION, password);
    assert_eq!(decode(&buffer[..len], PASSWORD), Err(ResponseError::Refused(487)));
    assert_eq!(decode(&buffer[..len], "other"), Err(ResponseError::NotAuthentic(Some(487))));
    buffer[8] ^= 1;
    assert_eq!(decode(&buffer[..len], PASSWORD), Err(ResponseError::NoResponse));
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        disguise: bool,
        flips in proptest::collection::vec((0usize..108, any::<u8>()), 0..4),
    ) {
        if disguise && bytes.len() >= HEADER_LEN {
            bytes.truncate(bytes.len() / 4 * 4);
            bytes[0] &= 0x3f;
            let length = (bytes.len() - HEADER_LEN) as u16;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        let mut vector = self::bytes(REQUEST);
        flips.iter().for_each(|&(at, value)| vector[at] = value);
        for bytes in [bytes, vector] {
            let Some(message) = Message::decode(&bytes) else { continue };
            let _ = (message.verify_integrity(PASSWORD), message.verify_fingerprint(), message.username());
            let _ = (message.priority(), message.error_code(), message.xor_mapped_address());
            let _ = (message.unknown_attributes().count(), message.use_candidate());
        }
    }

    #[test]
    fn every_address_survives(octets: [u8; 16], v4: bool, port: u16, transaction_id: [u8; 12]) {
        let ip: IpAddr = if v4 { [octets[0], octets[1], octets[2], octets[3]].into() } else { octets.into() };
        let mut buffer = [0; 64];
        let mut encoder = Encoder::new(&mut buffer, MessageClass::Success, BINDING, TransactionId(transaction_id));
        let len = encoder.xor_mapped_address(SocketAddr::new(ip, port)).finish().unwrap();
        let read = Message::decode(&buffer[..len]).unwrap().xor_mapped_address();
        prop_assert_eq!(read, Some(SocketAddr::new(ip.to_canonical(), port)));
    }
}
