//! Whole packets, byte for byte.

use crate::packet::{RtpHeader, Shape, write_at};
use crate::session::{Kind, PacketName, Session};
use crate::testing::{hex, master_3711};
use crate::{Inbound, MasterKey, Outbound, Policy, Profile};

const RTP: &str = "800f1234decafbadcafebabe abababababababababababababababab";
const RTCP: &str = "81c8000bcafebabe abababababababababababababababab";

/// Protects and unprotects, and expects exactly those bytes.
fn check(kind: Kind, policy: &Policy, master: &MasterKey, plain: &str, protected: &str) {
    let (plain, protected) = (hex(plain), hex(protected));
    let mut buffer = plain.clone();
    buffer.resize(plain.len() + 64, 0xee);
    let mut outbound = Outbound::new(policy.clone(), master).unwrap();
    // The packets were made by an implementation that starts at 1.
    outbound.advance_rtcp_index(1);
    let len = match kind {
        Kind::Rtp => outbound.protect_rtp(&mut buffer, plain.len(), 0),
        Kind::Rtcp => outbound.protect_rtcp(&mut buffer, plain.len()),
    }
    .unwrap();
    assert_eq!(buffer[..len], protected);
    assert!(buffer[len..].iter().all(|byte| *byte == 0xee), "nothing is written behind the packet");

    let mut inbound = Inbound::new(policy.clone(), std::slice::from_ref(master)).unwrap();
    let opened = match kind {
        Kind::Rtp => inbound.unprotect_rtp(&mut buffer, len),
        Kind::Rtcp => inbound.unprotect_rtcp(&mut buffer, len),
    }
    .unwrap();
    assert_eq!(buffer[..opened.len], plain);
}

/// libsrtp 2.5, test/srtp_driver.c, with the master key and salt of RFC 3711 B.3.
#[test]
fn libsrtp_packets_aes_128() {
    let (policy, master) = (Policy::new(Profile::AesCm128HmacSha1_80), master_3711());
    let with_mki = master.clone().with_mki(&hex("e1f97a0d")).unwrap();
    let table = [
        (Kind::Rtp, &master, "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb"),
        (
            Kind::Rtp,
            &with_mki,
            "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 e1f97a0d b78d6acc99ea179b8dbb",
        ),
        (Kind::Rtcp, &master, "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798"),
        (
            Kind::Rtcp,
            &with_mki,
            "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 e1f97a0d 993e08cd54d6c1230798",
        ),
    ];
    for (kind, master, protected) in table {
        check(kind, &policy, master, if kind == Kind::Rtp { RTP } else { RTCP }, protected);
    }
}

/// The same driver: the SRTP tag of SHA1_32 is the beginning of SHA1_80's, the SRTCP tag stays.
#[test]
fn a_32_bit_tag_is_the_beginning_of_the_long_one_and_srtcp_keeps_80_bits() {
    let (policy, master) = (Policy::new(Profile::AesCm128HmacSha1_32), master_3711());
    check(Kind::Rtp, &policy, &master, RTP, "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc");
    check(
        Kind::Rtcp,
        &policy,
        &master,
        RTCP,
        "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
    );
}

/// libsrtp 2.5, test/srtp_driver.c: NULL cipher with SHA1_80; NULL never sets the E bit.
#[test]
fn libsrtp_packets_null() {
    let (policy, master) = (Policy::new(Profile::NullHmacSha1_80), master_3711());
    check(Kind::Rtp, &policy, &master, RTP, &format!("{RTP} aba136270b679134ce9b"));
    check(Kind::Rtcp, &policy, &master, RTCP, &format!("{RTCP} 00000001 fe88c7fdfd37ebce615d"));
}

/// `UNENCRYPTED_SRTP` and `UNENCRYPTED_SRTCP` under AES-CM are the same bytes as NULL.
#[test]
fn unencrypted_packets_are_authenticated_as_they_are() {
    let policy = Policy { encrypt_rtp: false, encrypt_rtcp: false, ..Policy::new(Profile::AesCm128HmacSha1_80) };
    check(Kind::Rtp, &policy, &master_3711(), RTP, &format!("{RTP} aba136270b679134ce9b"));
    check(Kind::Rtcp, &policy, &master_3711(), RTCP, &format!("{RTCP} 00000001 fe88c7fdfd37ebce615d"));
}

/// libsrtp 2.5, test/srtp_driver.c, with the master keys of RFC 6188 §7.4 and §7.2; rtpengine, t/aes-crypt.c.
#[test]
fn libsrtp_and_rtpengine_packets_aes_192_and_256() {
    let master = |profile, key: &str, salt: &str| MasterKey::new(profile, &hex(key), &hex(salt)).unwrap();
    let rtpengine = hex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6c173c317f2dabe357793b6960b3aabe6");
    let sliced = |profile: Profile| {
        let (key, rest) = rtpengine.split_at(profile.key_len());
        MasterKey::new(profile, key, &rest[..14]).unwrap()
    };
    let (p192, p256) = (Profile::AesCm192HmacSha1_80, Profile::AesCm256HmacSha1_80);
    let table = [
        (
            Kind::Rtp,
            p192,
            master(p192, "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1", "c8522f3acd4ce86d5add78edbb11"),
            "800f0000decafbad00000000 abababababababababababababababab",
            "800f0000decafbad00000000 d98865552f2762c3ef37f837acfdb712 2d6bc4dc84c76f74aea5",
        ),
        (
            Kind::Rtp,
            p256,
            master(
                p256,
                "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
                "3b04803de51ee7c96423ab5b78d2",
            ),
            RTP,
            "800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b",
        ),
        (
            Kind::Rtp,
            p192,
            sliced(p192),
            RTP,
            "800f1234decafbadcafebabe 015781894462529d91cf3659d2462db3 08d9a044c5d7d68b26ba",
        ),
        (
            Kind::Rtcp,
            p192,
            sliced(p192),
            RTCP,
            "81c8000bcafebabe 966d603e71f9af335cf9091a50ca4d3a 80000001 d42b40218dde4990bdef",
        ),
        (
            Kind::Rtp,
            p256,
            sliced(p256),
            RTP,
            "800f1234decafbadcafebabe 0098219f7ebdba1c3d22f4936f1eac99 06f6b227c84961a7b428",
        ),
        (
            Kind::Rtcp,
            p256,
            sliced(p256),
            RTCP,
            "81c8000bcafebabe 0a865d339e312693592387d45b99a557 80000001 84f3b4f2b595615af9b5",
        ),
    ];
    for (kind, profile, master, plain, protected) in table {
        check(kind, &Policy::new(profile), &master, plain, protected);
    }
}

/// RFC 7714 gives session keys, not master keys.
fn seal_7714(key_len: u8, kind: Kind, plain: &[u8], index: u64, encrypted: bool) -> Vec<u8> {
    let profile = if key_len == 16 { Profile::AeadAes128Gcm } else { Profile::AeadAes256Gcm };
    let policy = Policy::new(profile);
    let key: Vec<u8> = (0..key_len).collect();
    let session = Session::gcm_from_parts(&key, b"Quid pro quo");
    let (shape, ssrc) = match kind {
        Kind::Rtp => {
            let header = RtpHeader::read(plain).unwrap();
            (Shape::rtp(&policy, 0, header.len, plain.len()), header.ssrc)
        }
        Kind::Rtcp => (Shape::rtcp(&policy, 0, plain.len()), u32::from_be_bytes(plain[4..8].try_into().unwrap())),
    };
    let name = PacketName { kind, ssrc, index, encrypted };
    let mut packet = plain.to_vec();
    packet.resize(shape.end, 0);
    session.xor(&mut packet, &shape, &name);
    let tag = session.lane(&packet, &shape, &name).tag();
    write_at(&mut packet, shape.tag.0, &tag[..16]);
    if kind == Kind::Rtcp {
        write_at(&mut packet, shape.trailer, &name.trailer().to_be_bytes());
    }
    assert!(session.verify(&packet, &shape, &name));
    let mut opened = packet.clone();
    session.xor(&mut opened, &shape, &name);
    assert_eq!(opened[..plain.len()], *plain);
    packet
}

/// RFC 7714 §16: "Gallia est omnis divisa in partes tres", encrypted and authenticated only.
#[test]
fn rfc_7714_16_srtp() {
    let plain =
        hex("8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let index = 0xf17b;
    let table = [
        (
            16,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf88 33899d7f27beb16a9152cf765ee4390cce",
            "22493f82d2bce397e9d79e3b19aa4216",
        ),
        (
            32,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b8 7b7aa3db36dfffd6b0f9bb7878d7a76c13",
            "a866d5910f887463067ceefec45215d4",
        ),
    ];
    for (key_len, sealed, tag_only) in table {
        assert_eq!(seal_7714(key_len, Kind::Rtp, &plain, index, true), [&plain[..12], &hex(sealed)].concat());
        assert_eq!(seal_7714(key_len, Kind::Rtp, &plain, index, false), [&plain[..], &hex(tag_only)].concat());
    }
}

/// RFC 7714 §17: SRTCP with index 5d4, encrypted and tagged only.
#[test]
fn rfc_7714_17_srtcp() {
    let plain = hex(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    );
    let table = [
        (
            16,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b \
             c84aa45896cf4d2fc5abf87245d9eade 800005d4",
            "841dd9683dd78ec92ae58790125f62b3 000005d4",
        ),
        (
            32,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad \
             1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
            "91db4afbfeee5a978fab4393ed2615fe 000005d4",
        ),
    ];
    for (key_len, sealed, tag_only) in table {
        assert_eq!(seal_7714(key_len, Kind::Rtcp, &plain, 0x5d4, true), [&plain[..8], &hex(sealed)].concat());
        assert_eq!(seal_7714(key_len, Kind::Rtcp, &plain, 0x5d4, false), [&plain[..], &hex(tag_only)].concat());
    }
}
