use proptest::prelude::*;

use super::*;
use crate::testing::master_of;

const KEY_4568: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn parsed(line: &str) -> CryptoAttribute {
    CryptoAttribute::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> CryptoError {
    match CryptoAttribute::parse(line) {
        Ok(_) => panic!("{line} was taken"),
        Err(error) => error,
    }
}

/// RFC 4568 §5.1.2 and §6.1: offer, answer and a line with two keys.
#[test]
fn the_examples_of_rfc_4568() {
    let offer = parsed(&format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_4568}|2^20|1:4 FEC_ORDER=FEC_SRTP"));
    assert_eq!((offer.tag, offer.profile), (1, Profile::AesCm128HmacSha1_80));
    assert_eq!(offer.keys.len(), 1);
    assert_eq!(offer.keys[0].lifetime, Some(1 << 20));
    assert_eq!(offer.keys[0].master.mki(), [0, 0, 0, 1]);
    assert_eq!(offer.keys[0].master.key(), b"YS___semctl () {");
    assert_eq!(offer.keys[0].master.salt(), b"\t220;}\n}\nunles");
    assert!(offer.params.fec_before_srtp);
    assert_eq!((offer.policy().srtp_lifetime, offer.policy().srtcp_lifetime), (1 << 20, 1 << 20));

    let answer = parsed("1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|1:4");
    assert_eq!(answer.keys[0].master.key(), b"=-n@%^x!Bjufr9)?");

    let two = parsed(&format!(
        "2 AES_CM_128_HMAC_SHA1_80 inline:{KEY_4568}|2^20|1:4;inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|2:4"
    ));
    assert_eq!(two.master_keys().len(), 2);
    assert_eq!(two.keys[1].master.mki(), [0, 0, 0, 2]);
}

/// Lines as devices send them.
#[test]
fn lines_from_the_field() {
    let line = parsed(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_4568}|2^31|1:1"));
    assert_eq!((line.keys[0].lifetime, line.keys[0].master.mki()), (Some(1 << 31), &[1][..]));

    let key_256 = "A".repeat(61) + "A=="; // 62 characters for 46 bytes
    let line = parsed(&format!("1 AES_256_CM_HMAC_SHA1_80 inline:{key_256}"));
    assert_eq!(line.profile, Profile::AesCm256HmacSha1_80);
    for tag in [5, 6, 8, 9] {
        let line = parsed(&format!("{tag} AES_CM_256_HMAC_SHA1_80 inline:{}", key_256.trim_end_matches('=')));
        assert_eq!((line.tag, line.profile), (tag, Profile::AesCm256HmacSha1_80));
        assert!(
            line.to_string().starts_with(&format!("{tag} AES_CM_256_HMAC_SHA1_80 ")),
            "by the name that it came with"
        );
    }
    assert_eq!(refused("3 AEAD_AES_256_GCM_8 inline:AAAA"), CryptoError::UnknownSuite("AEAD_AES_256_GCM_8".into()));
}

#[test]
fn a_line_is_printed_with_padding_and_read_back() {
    for profile in Profile::all() {
        let mut line = CryptoAttribute::new(7, master_of(profile, 3), profile);
        let text = line.to_string();
        let base64 = text.split_once("inline:").unwrap().1;
        assert_eq!(base64.len() % 4, 0, "{text}");
        let tolerance = Tolerance { null_cipher: true, unencrypted: true, ..Tolerance::default() };
        let without_padding = text.trim_end_matches('=');
        for text in [&text, without_padding] {
            assert!(CryptoAttribute::parse_with(text, tolerance).is_ok_and(|read| read == line), "{text}");
        }

        line.keys[0].lifetime = Some(1000);
        line.keys[0].master = line.keys[0].master.clone().with_mki(&[1, 0]).unwrap();
        line.params.key_derivation_rate = 1 << 16;
        line.params.unencrypted_srtcp = true;
        line.params.window_size_hint = Some(2048);
        let text = line.to_string();
        assert!(text.ends_with("|1000|256:2 KDR=16 UNENCRYPTED_SRTCP WSH=2048"), "{text}");
        assert!(CryptoAttribute::parse_with(&text, tolerance).is_ok_and(|read| read == line), "{text}");
    }
}

#[test]
fn lengths_of_base64_are_those_of_the_suites() {
    let table = [
        (Profile::AesCm128HmacSha1_80, 40),
        (Profile::AesCm192HmacSha1_80, 52),
        (Profile::AesCm256HmacSha1_80, 64),
        (Profile::AeadAes128Gcm, 40),
        (Profile::AeadAes256Gcm, 60),
    ];
    for (profile, expected) in table {
        let text = CryptoAttribute::new(1, master_of(profile, 1), profile).to_string();
        assert_eq!(text.split_once("inline:").unwrap().1.len(), expected, "{profile:?}");
    }
}

#[test]
fn parameters_become_policy() {
    let line = parsed(&format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY_4568} KDR=10 WSH=4096 -NEW=1"));
    let policy = line.policy();
    assert_eq!((policy.key_derivation_rate, policy.replay_window), (1024, 4096));
    assert_eq!((policy.srtp_lifetime, policy.srtcp_lifetime), (1 << 48, 1 << 31));
    let line = parsed(&format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY_4568}|2^48 WSH=64"));
    assert_eq!(line.policy(), Policy::new(Profile::AesCm128HmacSha1_32));

    let tolerance = Tolerance { unencrypted: true, unauthenticated: true, ..Tolerance::default() };
    let text = format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY_4568} UNENCRYPTED_SRTP UNAUTHENTICATED_SRTP");
    let policy = CryptoAttribute::parse_with(&text, tolerance).map(|line| line.policy()).unwrap();
    assert!(!policy.encrypt_rtp && policy.encrypt_rtcp && !policy.authenticate_rtp);
}

#[test]
fn an_unusable_line_says_why() {
    let named = |make: fn(String) -> CryptoError, name: &str| make(name.to_owned());
    let suite = "1 AES_CM_128_HMAC_SHA1_80";
    let line = |rest: &str| format!("{suite} inline:{KEY_4568}{rest}");
    let table = [
        ("".into(), CryptoError::Incomplete),
        (suite.into(), CryptoError::Incomplete),
        ("0x1 AES_CM_128_HMAC_SHA1_80 inline:".into(), CryptoError::Tag),
        (format!("01 AES_CM_128_HMAC_SHA1_80 inline:{KEY_4568}"), CryptoError::Tag),
        (format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY_4568}"), CryptoError::Tag),
        (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY_4568}"), named(CryptoError::UnknownSuite, "F8_128_HMAC_SHA1_80")),
        (format!("1 NULL_HMAC_SHA1_80 inline:{KEY_4568}"), CryptoError::NullCipher),
        (format!("{suite} uri:{KEY_4568}"), named(CryptoError::KeyMethod, "uri")),
        (format!("{suite} {KEY_4568}"), CryptoError::Incomplete),
        (format!("{suite} inline:{KEY_4568}==="), CryptoError::KeyEncoding),
        (format!("{suite} inline:{}*", &KEY_4568[1..]), CryptoError::KeyEncoding),
        (format!("{suite} inline:{}", &KEY_4568[4..]), CryptoError::KeyLength { expected: 30, found: 27 }),
        (format!("{suite} inline:{KEY_4568}AAAA"), CryptoError::KeyLength { expected: 30, found: 33 }),
        (format!("{suite} inline:"), CryptoError::KeyLength { expected: 30, found: 0 }),
        (line("|0"), CryptoError::Lifetime),
        (line("|2^49"), CryptoError::Lifetime),
        (line("|2^99999999999"), CryptoError::Lifetime),
        (line("|"), CryptoError::Lifetime),
        (line("|1:0"), CryptoError::Mki),
        (line("|1:129"), CryptoError::Mki),
        (line("|256:1"), CryptoError::Mki),
        (line("|x:1"), CryptoError::Mki),
        (line("|1:4|2^20"), CryptoError::KeyField),
        (line("|2^20|1:4|5"), CryptoError::KeyField),
        (line(&format!(";inline:{KEY_4568}")), CryptoError::Mki),
        (line(&format!("|1:4;inline:{KEY_4568}|2:2")), CryptoError::Mki),
        (line(&format!("|1:4;inline:{KEY_4568}|1:4")), CryptoError::Mki),
        (line(" KDR=25"), named(CryptoError::InvalidParameter, "KDR")),
        (line(" KDR"), named(CryptoError::InvalidParameter, "KDR")),
        (line(" KDR=1 KDR=2"), named(CryptoError::InvalidParameter, "KDR")),
        (line(" WSH=63"), named(CryptoError::InvalidParameter, "WSH")),
        (line(" FEC_ORDER=SRTP_FEC"), named(CryptoError::UnsupportedParameter, "FEC_ORDER")),
        (line(" FEC_KEY=inline:AAAA"), named(CryptoError::UnsupportedParameter, "FEC_KEY")),
        (line(" NOVEL=1"), named(CryptoError::UnknownParameter, "NOVEL")),
        (line(" UNENCRYPTED_SRTP"), CryptoError::Unencrypted),
        (line(" UNENCRYPTED_SRTCP"), CryptoError::Unencrypted),
        (line(" UNAUTHENTICATED_SRTP"), CryptoError::Unauthenticated),
    ];
    for (text, expected) in table {
        assert_eq!(refused(&text), expected, "{text}");
    }
    let many = vec![format!("inline:{KEY_4568}|1:4"); 20].join(";");
    assert_eq!(refused(&format!("{suite} {many}")), CryptoError::TooManyKeys);
}

#[test]
fn an_aead_suite_is_never_unauthenticated() {
    let text = CryptoAttribute::new(1, master_of(Profile::AeadAes128Gcm, 1), Profile::AeadAes128Gcm).to_string();
    let tolerance = Tolerance { unauthenticated: true, ..Tolerance::default() };
    let read = CryptoAttribute::parse_with(&format!("{text} UNAUTHENTICATED_SRTP"), tolerance);
    assert!(read.is_err_and(|error| error == CryptoError::Unauthenticated));
}

#[test]
fn an_error_shows_no_key() {
    let misplaced = format!("1 inline:{KEY_4568} AES_CM_128_HMAC_SHA1_80");
    assert_eq!(refused(&misplaced).to_string(), "unknown suite inline");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,120}") {
        let _ = CryptoAttribute::parse(&text);
    }

    #[test]
    fn no_text_of_the_right_shape_makes_it_panic(
        text in "[0-9]{0,10} (AES_CM_128_HMAC_SHA1_80|AEAD_AES_256_GCM) inline:[A-Za-z0-9+/=]{0,70}(\\|[0-9^:]{0,8}){0,3}( [-A-Z_=0-9]{0,12}){0,3}"
    ) {
        let tolerance = Tolerance { null_cipher: true, unencrypted: true, unauthenticated: true };
        if let Ok(line) = CryptoAttribute::parse_with(&text, tolerance) {
            let again = CryptoAttribute::parse_with(&line.to_string(), tolerance);
            prop_assert!(again.is_ok_and(|again| again == line));
        }
    }
}
