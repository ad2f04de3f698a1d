use proptest::prelude::*;
use session::MediaProfile;

use super::*;
use crate::Dictionary;

fn list(words: &[&str]) -> Value {
    Value::List(words.iter().map(Value::string).collect())
}

fn try_one(key: &str, value: Value) -> Result<(Options, Vec<Ignored>), String> {
    read(Keys::new(Dictionary::new().with(key, value)))
}

/// Options of a message with this one key, of which nothing was ignored.
fn one(key: &str, value: Value) -> Options {
    let (options, ignored) = try_one(key, value).unwrap();
    assert!(ignored.is_empty(), "{key}: {ignored:?}");
    options
}

/// What is ignored of these flags.
fn ignored(flags: &[&str]) -> Vec<Ignored> {
    try_one("flags", list(flags)).unwrap().1
}

fn flags(flags: &[&str]) -> Options {
    one("flags", list(flags))
}

#[test]
fn hyphens_spaces_and_underscores_are_the_same_in_keys_and_flags() {
    for key in ["transport-protocol", "transport protocol", "transport_protocol"] {
        let expected = Some(TransportProtocol::Profile(MediaProfile::RtpSavpf));
        assert_eq!(one(key, Value::string("RTP/SAVPF")).transport_protocol, expected, "{key}");
    }
    for flag in ["strict-source", "strict source", "strict_source"] {
        assert!(flags(&[flag]).flags.strict_source, "{flag}");
    }
    for part in ["session-connection", "session connection", "session_connection"] {
        assert!(one("replace", list(&[part])).replace.session_connection, "{part}");
    }
}

#[test]
fn a_string_stands_for_a_list_of_one() {
    assert!(one("rtcp-mux", Value::string("demux")).rtcp_mux.demux);
    assert!(one("flags", Value::string("generate mid")).flags.generate_mid);
    assert!(one("SDES", Value::string("off")).sdes.off);
}

#[test]
fn a_prefixed_flag_is_its_list() {
    let options = flags(&[
        "SDES-off",
        "SDES-no-AES_CM_128_HMAC_SHA1_32",
        "SDES-only-AEAD_AES_256_GCM",
        "SDES-order:AEAD_AES_128_GCM;AES_CM_128_HMAC_SHA1_80;",
        "SDES-offerer_pref:AES_CM_128_HMAC_SHA1_80",
        "SDES-UNENCRYPTED_SRTCP",
        "rtcp-mux-demux",
        "rtcp_mux_require",
        "replace-origin",
        "replace-session-connection",
        "OSRTP-offer",
        "codec-strip-telephone-event",
        "codec-strip-AMR_WB",
        "codec-except-PCMU/8000",
        "endpoint-learning-off",
    ]);
    assert!(options.sdes.off);
    assert_eq!(options.sdes.exclude, [Profile::AesCm128HmacSha1_32]);
    assert_eq!(options.sdes.only, [Profile::AeadAes256Gcm]);
    assert_eq!(options.sdes.order, [Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80]);
    assert_eq!(options.sdes.offerer_preference, [Profile::AesCm128HmacSha1_80]);
    assert_eq!(options.sdes.encrypt_rtcp, Some(false));
    assert!(options.rtcp_mux.demux && options.rtcp_mux.require);
    assert!(options.replace.origin && options.replace.session_connection);
    assert!(options.osrtp.offer && !options.osrtp.accept);
    assert_eq!(options.codec.strip, ["telephone-event", "AMR_WB"]);
    assert_eq!(options.codec.except, ["PCMU/8000"]);
    assert_eq!(options.endpoint_learning, Some(EndpointLearning::Off));
    assert_eq!(options.unsupported, [""; 0]);
}

#[test]
fn every_flag_sets_its_own_field_and_nothing_else() {
    type Field = fn(&mut session::Flags) -> &mut bool;
    let table: [(&str, Field); 23] = [
        ("trust-address", |flags| &mut flags.trust_address),
        ("SIP-source-address", |flags| &mut flags.sip_source_address),
        ("symmetric", |flags| &mut flags.symmetric),
        ("asymmetric", |flags| &mut flags.asymmetric),
        ("strict-source", |flags| &mut flags.strict_source),
        ("pierce-NAT", |flags| &mut flags.pierce_nat),
        ("NAT-wait", |flags| &mut flags.nat_wait),
        ("media-handover", |flags| &mut flags.media_handover),
        ("generate-mid", |flags| &mut flags.generate_mid),
        ("reset", |flags| &mut flags.reset),
        ("port-latching", |flags| &mut flags.port_latching),
        ("no-port-latching", |flags| &mut flags.no_port_latching),
        ("no-rtcp-attribute", |flags| &mut flags.no_rtcp_attribute),
        ("full-rtcp-attribute", |flags| &mut flags.full_rtcp_attribute),
        ("loop-protect", |flags| &mut flags.loop_protect),
        ("trickle-ICE", |flags| &mut flags.trickle_ice),
        ("WebRTC", |flags| &mut flags.web_rtc),
        ("original-sendrecv", |flags| &mut flags.original_sendrecv),
        ("reject-ICE", |flags| &mut flags.reject_ice),
        ("single-codec", |flags| &mut flags.single_codec),
        ("reorder-codecs", |flags| &mut flags.reorder_codecs),
        ("strip-extmap", |flags| &mut flags.strip_extmap),
        ("fragment", |flags| &mut flags.fragment),
    ];
    for (flag, field) in table {
        let mut expected = Options::default();
        *field(&mut expected.flags) = true;
        for flag in [flag.to_owned(), flag.replace('-', " "), flag.replace('-', "_")] {
            assert_eq!(try_one("flags", list(&[&flag])).unwrap().0, expected, "{flag}");
        }
    }
}

#[test]
fn a_flag_that_changes_nothing_is_named_and_one_that_everybody_sends_is_not() {
    for flag in ["recrypt", "unidirectional", "port-latching", "pad-crypto", "debug", "symmetric-codecs"] {
        assert_eq!(ignored(&[flag]), [Ignored::WithoutEffect(flag.into())]);
    }
    assert_eq!(
        ignored(&["trust-address", "symmetric", "codec-ignore-opus"]),
        [Ignored::WithoutEffect("codec ignore".into())]
    );
    assert_eq!(try_one("metadata", Value::string("a:b")).unwrap().1, [Ignored::WithoutEffect("metadata".into())]);
}

#[test]
fn codecs_are_edited_as_text() {
    let masked = one("codec", Dictionary::new().with("mask", list(&["opus", "G722"])).into());
    assert_eq!(masked.codec.mask, ["opus", "G722"]);
    let options = flags(&["codec-offer-PCMA", "codec-mask-all", "codec-except-PCMU", "codec-strip=[G722 G729]"]);
    assert_eq!((options.codec.offer, options.codec.mask), (vec!["PCMA".to_owned()], vec!["all".to_owned()]));
    assert_eq!(
        (options.codec.except, options.codec.strip),
        (vec!["PCMU".to_owned()], vec!["G722".into(), "G729".into()])
    );
}

#[test]
fn attribute_edits_are_read_from_the_dictionary_and_from_flags() {
    let pair = list(&["sendrecv", "sendonly"]);
    let audio = Dictionary::new().with("add", list(&["ptime:20"])).with("remove", list(&["ssrc:"]));
    let none = Dictionary::new().with("substitute", Value::List(vec![pair]));
    let value = Dictionary::new().with("audio", audio.into()).with("none", none.into());
    let edit = |level: &AttributeLevel, change| AttributeEdit { level: level.clone(), change };
    let audio = AttributeLevel::Media("audio".into());
    let expected = [
        edit(&audio, AttributeChange::Add("ptime:20".into())),
        edit(&audio, AttributeChange::Remove("ssrc:".into())),
        edit(&AttributeLevel::Session, AttributeChange::Substitute("sendrecv".into(), "sendonly".into())),
    ];
    assert_eq!(one("sdp-attr", value.into()).attributes, expected);
    let written =
        ["sdp-attr-add-audio-ptime:20", "sdp-attr-remove-audio-ssrc:", "sdp-attr-substitute-none-sendrecv>sendonly"];
    assert_eq!(flags(&written).attributes, expected);
    let escaped = flags(&["sdp-attr-add-audio-fmtp:101..0--15"]).attributes;
    assert_eq!(escaped, [edit(&audio, AttributeChange::Add("fmtp:101 0=15".into()))]);
    assert_eq!(flags(&["sdp-media-remove-video"]).media_remove, ["video"]);
    assert_eq!(one("sdp_media_remove", list(&["video", "image"])).media_remove, ["video", "image"]);
    let error = try_one("flags", list(&["sdp-attr-replace-audio-x"])).unwrap_err();
    assert_eq!(error, "Bad value of sdp-attr: replace");
    let stripped = one("extmap", Dictionary::new().with("strip", list(&["urn:x"])).into());
    assert_eq!(stripped.extmap_strip, ["urn:x"]);
}

#[test]
fn telephone_events_can_be_blocked_and_nothing_else_of_dtmf() {
    assert_eq!(one("DTMF-security", Value::string("drop")).block_dtmf, Some(true));
    assert_eq!(one("DTMF-security", Value::string("off")).block_dtmf, Some(false));
    assert_eq!(flags(&["block DTMF"]).block_dtmf, Some(true));
    let tone = one("DTMF-security", Value::string("tone"));
    assert_eq!(
        (tone.block_dtmf, tone.unsupported),
        (None, vec!["DTMF-security (this relay can only drop telephone events)".into()])
    );
}

#[test]
fn words_of_ice_dtls_and_addresses_are_read() {
    for (word, ice) in [
        ("remove", IceOption::Remove),
        ("force", IceOption::Force),
        ("default", IceOption::Default),
        ("force-relay", IceOption::ForceRelay),
        ("force_relay", IceOption::ForceRelay),
        ("optional", IceOption::Optional),
    ] {
        assert_eq!(one("ICE", Value::string(word)).ice, Some(ice), "{word}");
    }
    let both = one("ICE", list(&["force", "trickle", "lite-both"]));
    assert_eq!((both.ice, both.ice_lite, both.flags.trickle_ice), (Some(IceOption::Force), Some(IceLite::Both), true));
    for (word, dtls) in [
        ("off", DtlsOption::Off),
        ("no", DtlsOption::Off),
        ("disable", DtlsOption::Off),
        ("passive", DtlsOption::Passive),
        ("active", DtlsOption::Active),
    ] {
        assert_eq!(one("DTLS", Value::string(word)).dtls, Some(dtls), "{word}");
    }
    assert_eq!(one("DTLS-fingerprint", Value::string("SHA-512")).dtls_fingerprint, Some(HashAlgorithm::Sha512));
    assert_eq!(one("address family", Value::string("IP6")).address_family, Some(AddressFamily::Ip6));
    assert_eq!(one("media address", Value::string("2001:d8::1")).media_address, "2001:d8::1".parse().ok());
    assert_eq!(one("transport-protocol", Value::string("accept")).transport_protocol, Some(TransportProtocol::Accept));
    let interfaces = one("direction", list(&["priv", "pub"])).interfaces;
    assert_eq!((interfaces.from.as_deref(), interfaces.to.as_deref()), (Some("priv"), Some("pub")));
}

#[test]
fn labels_name_the_sender_or_the_other_party() {
    for key in ["label", "from-label", "from_label", "set label"] {
        let options = one(key, Value::string("x"));
        assert_eq!((options.label.as_deref(), options.to_label), (Some("x"), None), "{key}");
    }
    assert_eq!(one("to-label", Value::string("x")).to_label.as_deref(), Some("x"));
}

#[test]
fn numbers_may_be_strings() {
    assert_eq!(one("TOS", Value::string("184")).traffic_class, Some(184));
    assert_eq!(one("TOS", Value::Integer(-1)).traffic_class, None);
    assert_eq!(one("TOS", Value::Integer(256)).traffic_class, None);
    assert_eq!(one("delete delay", Value::string("5")).delete_delay, Some(Duration::from_secs(5)));
    assert_eq!(try_one("TOS", Value::string("high")).unwrap_err(), "TOS is not a number: high");
}

#[test]
fn what_is_not_there_is_named_with_its_reason() {
    for (key, value, name) in [
        ("flags", list(&["codec-transcode-opus/48000/2"]), "codec transcode (this relay does not transcode)"),
        ("flags", list(&["always-transcode"]), "always-transcode (this relay does not transcode)"),
        ("flags", list(&["record call"]), "record-call (this relay does not record)"),
        ("flags", list(&["inject-DTMF"]), "inject-DTMF (this relay does not play media)"),
        ("flags", list(&["T38-decode"]), "T.38 decode (this relay does not transcode)"),
        ("record-call", Value::string("yes"), "record-call (this relay does not record)"),
        ("generate RTCP", Value::string("on"), "generate-RTCP (this relay passes RTCP on)"),
        ("ptime", Value::Integer(20), "ptime (this relay does not repacketize)"),
        ("template", Value::string("x"), "template (this relay has no such edit of the description)"),
        (
            "codec",
            Dictionary::new().with("consume", list(&["x"])).into(),
            "codec consume (this relay does not transcode)",
        ),
        ("trigger", Value::string("123"), "trigger (this relay does not detect DTMF)"),
    ] {
        assert_eq!(one(key, value).unsupported, [name]);
    }
    for (key, value) in [("record-call", "no"), ("generate-RTCP", "off"), ("audio-player", "default"), ("ptime", "0")] {
        assert_eq!(one(key, Value::string(value)), Options::default(), "{key}");
    }
}

#[test]
fn harmless_unknown_ones_are_ignored_and_named() {
    let unknown = |name: &str| Ignored::Unknown(name.to_owned());
    let (options, ignored) = try_one("flags", list(&["trust-addres", "symmetric"])).unwrap();
    assert!(options.flags.symmetric);
    assert_eq!(ignored, [unknown("trust-addres")]);
    assert_eq!(try_one("b2b-url", Value::string("192.0.2.1")).unwrap().1, [unknown("b2b-url")]);
    let long = "x".repeat(100_000);
    assert!(try_one("flags", list(&[&long])).unwrap().1[0].name().len() < 100);
}

#[test]
fn a_bad_value_of_a_known_key_is_an_error_that_names_it() {
    for (key, value, error) in [
        ("ICE", Value::string("forec"), "Bad value of ICE: forec"),
        ("DTLS", Value::string("on\r\n"), "Bad value of DTLS: on??"),
        ("transport-protocol", Value::string("RTP/XAVP"), "Bad value of transport-protocol: RTP/XAVP"),
        ("rtcp-mux", list(&["of"]), "Bad value of rtcp-mux: of"),
        ("SDES", list(&["only-ROT13"]), "Bad value of SDES: only-ROT13"),
        ("address-family", Value::string("IP5"), "Bad value of address-family: IP5"),
        ("media-address", Value::string("relay.example"), "Bad value of media-address: relay.example"),
        ("flags", list(&["SDES-of"]), "Bad value of SDES: of"),
        ("ICE", Dictionary::new().into(), "ICE is a dictionary, not a string"),
        ("flags", Value::List(vec![list(&["a"])]), "flags is a list, not a string"),
        ("label", Value::string(b"\xff"), "label is not UTF-8 at byte 0"),
        ("label", Value::string("x".repeat(1025)), "label is longer than 1024 bytes"),
    ] {
        assert_eq!(try_one(key, value).unwrap_err(), error);
    }
}

#[test]
fn a_flag_string_is_taken_apart() {
    let text = "RTP/SAVPF ICE=force DTLS=passive SDES-off rtcp-mux=[offer require] replace-origin \
                direction=priv direction=pub codec=[strip=[G722 G729] except=PCMU] TOS=184 trust-address";
    let options = one("rtpp-flags", Value::string(text));
    assert_eq!(options.transport_protocol, Some(TransportProtocol::Profile(MediaProfile::RtpSavpf)));
    assert_eq!((options.ice, options.dtls), (Some(IceOption::Force), Some(DtlsOption::Passive)));
    assert!(options.sdes.off && options.rtcp_mux.offer && options.rtcp_mux.require && options.replace.origin);
    assert_eq!(options.interfaces.from.as_deref(), Some("priv"));
    assert_eq!(options.interfaces.to.as_deref(), Some("pub"));
    assert_eq!(options.codec.strip, ["G722", "G729"]);
    assert_eq!(options.codec.except, ["PCMU"]);
    assert_eq!(options.traffic_class, Some(184));
    assert!(options.flags.trust_address);
}

proptest! {
    #[test]
    fn any_flag_string_is_read_or_refused(text in "[a-zA-Z0-9=\\[\\] :;/_.-]{0,200}") {
        let _ = try_one("rtpp-flags", Value::string(&text));
        let _ = try_one("flags", list(&[&text]));
    }

    #[test]
    fn prefixes_cut_no_character_in_two(prefix in "(SDES|OSRTP|codec|rtcp mux|replace|T38|endpoint_learning|sdp-attr)", rest in "\\PC{0,20}") {
        let _ = try_one("flags", list(&[&format!("{prefix}-{rest}")]));
        let _ = try_one("flags", list(&[&format!("{prefix}{rest}")]));
    }
}
