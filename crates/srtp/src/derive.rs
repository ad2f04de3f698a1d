//! Session keys from a master key (RFC 3711 §4.3).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc, Block};
use zeroize::Zeroize;

use crate::MasterKey;
use crate::key::MAX_SALT;

/// What a session key is for (RFC 3711 §4.3.1, §4.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the session key of `label` for the packets of number `rate_index` = index DIV key derivation rate.
///
/// The PRF is AES in counter mode with the size of the master key (RFC 6188 §3, RFC 7714 §11); a 96-bit salt is padded
/// with zeros.
pub(crate) fn derive(master: &MasterKey, label: Label, rate_index: u64, out: &mut [u8]) {
    let mut x = [0u8; 16];
    for (to, from) in x.iter_mut().zip(master.padded_salt()) {
        *to = from;
    }
    // key_id = label || r, aligned right with the 112-bit salt: the label is its byte 7. SRTCP's r is held in the same 48
    // bits, as every implementation does.
    let [_, label_byte, rest @ ..] = (((label as u64) << 48) | (rate_index & ((1 << 48) - 1))).to_be_bytes();
    for (to, from) in x.iter_mut().skip(MAX_SALT - 7).zip(std::iter::once(label_byte).chain(rest)) {
        *to ^= from;
    }
    let key = master.key();
    if let Ok(aes) = Aes128Enc::new_from_slice(key) {
        fill(&aes, x, out);
    } else if let Ok(aes) = Aes192Enc::new_from_slice(key) {
        fill(&aes, x, out);
    } else if let Ok(aes) = Aes256Enc::new_from_slice(key) {
        fill(&aes, x, out);
    }
}

fn fill(aes: &impl BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>, x: [u8; 16], out: &mut [u8]) {
    let base = u128::from_be_bytes(x);
    for (chunk, counter) in out.chunks_mut(16).zip(0u128..) {
        let mut block = Block::from((base ^ counter).to_be_bytes());
        aes.encrypt_block(&mut block);
        for (to, from) in chunk.iter_mut().zip(block.iter()) {
            *to = *from;
        }
        block.as_mut_slice().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::testing::{hex, master_3711};

    fn derived(master: &MasterKey, label: Label, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        derive(master, label, 0, &mut out);
        out
    }

    /// RFC 3711 B.3; the SRTCP keys are those of the same master key under labels 3 to 5.
    #[test]
    fn rfc_3711_b_3() {
        let master = master_3711();
        let table: [(Label, &str); 6] = [
            (Label::RtpEncryption, "C61E7A93744F39EE10734AFE3FF7A087"),
            (Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1"),
            (
                Label::RtpAuthentication,
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF7227098\
                 6371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2",
            ),
            (Label::RtcpEncryption, "4c1aa45a81f73d61c800bbb00fbb1eaa"),
            (Label::RtcpAuthentication, "8d54534feb49ae8e7993a6bd0b844fc323a93dfd"),
            (Label::RtcpSalt, "9581c7ad87b3e530bf3e4454a8b3"),
        ];
        for (label, expected) in table {
            let expected = hex(expected);
            assert_eq!(derived(&master, label, expected.len()), expected);
        }
    }

    /// RFC 6188 §7.2 and §7.4.
    #[test]
    fn rfc_6188_7() {
        let aes_256 = MasterKey::new(
            Profile::AesCm256HmacSha1_80,
            &hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6"),
            &hex("3b04803de51ee7c96423ab5b78d2"),
        )
        .unwrap();
        let aes_192 = MasterKey::new(
            Profile::AesCm192HmacSha1_80,
            &hex("73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1"),
            &hex("c8522f3acd4ce86d5add78edbb11"),
        )
        .unwrap();
        let table: [(&MasterKey, Label, &str); 6] = [
            (&aes_256, Label::RtpEncryption, "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"),
            (&aes_256, Label::RtpSalt, "fa31791685ca444a9e07c6c64e93"),
            (&aes_256, Label::RtpAuthentication, "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"),
            (&aes_192, Label::RtpEncryption, "31874736a8f1143870c26e4857d8a5b2c4a354407faadabb"),
            (&aes_192, Label::RtpSalt, "2372b82d639b6d8503a47adc0a6c"),
            (&aes_192, Label::RtpAuthentication, "355b10973cd95b9eacf4061c7e1a7151e7cfbfcb"),
        ];
        for (master, label, expected) in table {
            let expected = hex(expected);
            assert_eq!(derived(master, label, expected.len()), expected);
        }
    }

    /// RFC 9335 A.2: the GCM master key of its packets, and the session key and salt that they were made with.
    #[test]
    fn rfc_9335_a_2() {
        let master = MasterKey::new(
            Profile::AeadAes128Gcm,
            &hex("000102030405060708090a0b0c0d0e0f"),
            &hex("a0a1a2a3a4a5a6a7a8a9aaab"),
        )
        .unwrap();
        assert_eq!(derived(&master, Label::RtpEncryption, 16), hex("077c6143cb221bc355ff23d5f984a16e"));
        assert_eq!(derived(&master, Label::RtpSalt, 12), hex("9af3e95364ebac9c99c5a7c4"));
    }

    /// The key derivation rate changes the last six bytes of x: a hand-made case, from B.3's salt with r XORed into it.
    #[test]
    fn the_rate_index_enters_at_the_right_end_of_the_salt() {
        let master = master_3711();
        let mut shifted_salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        for (to, from) in shifted_salt[8..].iter_mut().zip([0x01, 0x02, 0x03, 0x04, 0x05, 0x06]) {
            *to ^= from;
        }
        let shifted =
            MasterKey::new(Profile::AesCm128HmacSha1_80, &hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &shifted_salt)
                .unwrap();
        let mut out = [0; 16];
        derive(&master, Label::RtpEncryption, 0x0102_0304_0506, &mut out);
        assert_eq!(out.to_vec(), derived(&shifted, Label::RtpEncryption, 16));
    }
}
