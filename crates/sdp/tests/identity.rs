//! What is not edited is printed byte for byte.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use proptest::prelude::*;
use sallyport_sdp::{
    Attribute, Candidate, Crypto, Extmap, Fmtp, Group, Limits, Rtcp, RtcpFb, Rtpmap, SessionDescription, Ssrc,
};

fn corpus() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 15, "the corpus has gone");
    files
}

#[test]
fn the_corpus_is_printed_byte_for_byte() {
    for (name, text) in corpus() {
        let description = SessionDescription::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(description.to_string(), text, "{name}");
    }
}

#[test]
fn the_corpus_is_printed_byte_for_byte_with_every_line_ending() {
    for (name, text) in corpus() {
        let lines: Vec<&str> = text.split(['\r', '\n']).filter(|line| !line.is_empty()).collect();
        for ending in ["\r\n", "\n", "\r", "\r\r\n", "\n\n"] {
            for last in ["", ending] {
                let text = lines.join(ending) + last;
                let description = SessionDescription::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(description.to_string(), text, "{name}");
            }
        }
    }
}

#[test]
fn setters_that_change_nothing_keep_every_byte() {
    for (name, text) in corpus() {
        let mut description = SessionDescription::parse(&text).unwrap();
        let origin = description.origin().clone();
        description.set_origin(origin);
        if let Some(session_name) = description.session_name().map(str::to_owned) {
            description.set_session_name(&session_name);
        }
        if let Some(connection) = description.connection() {
            description.set_connection(&connection);
        }
        for media in description.media_mut() {
            media.set_port(media.port());
            media.set_port_count(media.port_count());
            media.set_protocol(media.protocol().clone());
            let formats: Vec<String> = media.formats().map(str::to_owned).collect();
            media.set_formats(formats.iter().map(String::as_str));
            if let Some(direction) = media.direction() {
                media.set_direction(direction);
            }
            if let Some(connection) = media.connection() {
                media.set_connection(&connection);
            }
            for attribute in ["mid", "setup", "ice-ufrag", "ice-pwd", "rtcp", "rtcp-mux"] {
                if let Some(value) = media.find(attribute).map(str::to_owned) {
                    media.replace(attribute, &value);
                }
            }
        }
        assert_eq!(description.to_string(), text, "{name}");
    }
}

#[test]
fn readable_attributes_of_the_corpus_print_as_they_were_written() {
    let mut seen = 0;
    for (name, text) in corpus().into_iter().filter(|(name, _)| !name.starts_with("odd")) {
        let description = SessionDescription::parse(&text).unwrap();
        for media in description.media() {
            seen += same::<Candidate>(media, &name);
            seen += same::<Crypto>(media, &name);
            seen += same::<Extmap>(media, &name);
            seen += same::<Fmtp>(media, &name);
            seen += same::<Rtcp>(media, &name);
            seen += same::<RtcpFb>(media, &name);
            seen += same::<Rtpmap>(media, &name);
            seen += same::<Ssrc>(media, &name);
        }
        seen += same::<Group>(description.session(), &name);
    }
    assert!(seen > 190, "only {seen} attributes in the corpus");
}

fn same<T: Attribute>(level: &sallyport_sdp::Level, name: &str) -> usize {
    let read: Vec<String> = level.try_all::<T>().map(|value| value.map(|v| v.to_string()).unwrap()).collect();
    let written: Vec<&str> = level.find_all(T::NAME).collect();
    assert_eq!(read, written, "{name}");
    read.len()
}

/// Lines that are near enough to SDP to reach every branch.
fn line() -> impl Strategy<Value = String> {
    let value = proptest::string::string_regex("[ -~\\t\u{e4}\u{2028}\u{0}]{0,40}").unwrap();
    prop_oneof![
        4 => (proptest::char::range('a', 'z'), value).prop_map(|(kind, value)| format!("{kind}={value}")),
        4 => proptest::sample::select(vec![
            "v=0", "v=", "o=- 1 1 IN IP4 192.0.2.1", "o=a b 1 1 IN IP6 ::1", "s=-", "c=IN IP4 192.0.2.1", "c=IN IP6 ::/3",
            "t=0 0", "b=AS:64", "m=audio 9 RTP/AVP 0", "m=audio 9/2 UDP/TLS/RTP/SAVPF 111 0", "m=audio 70000 RTP/AVP 0",
            "m=audio 4294967296 RTP/AVP 4294967296", "m=x 0 y", "a=sendrecv", "a=mid:0", "a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp-mux",
            "a=candidate:1 1 UDP 1 ::1 9 typ host", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x", "a=setup:actpass", "", " ",
        ])
        .prop_map(str::to_owned),
        1 => proptest::string::string_regex("\\PC{0,20}").unwrap(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let ending = proptest::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\n"]);
    (any::<bool>(), proptest::collection::vec((line(), ending), 0..40), any::<bool>()).prop_map(
        |(proper, lines, terminated)| {
            let mut text = String::new();
            if proper {
                text.push_str("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n");
            }
            let count = lines.len();
            for (index, (line, ending)) in lines.into_iter().enumerate() {
                text.push_str(&line);
                if terminated || index + 1 < count {
                    text.push_str(ending);
                }
            }
            text
        },
    )
}

/// Everything that reads.
fn read_all(description: &SessionDescription) {
    let _ = format!("{description:?}");
    for (index, media) in description.media().iter().enumerate() {
        let effective = description.effective(index).unwrap();
        let _ = (effective.connection(), effective.ip(), effective.direction(), effective.setup(), effective.ice_pwd());
        let _ = (effective.extmaps().count(), effective.ice_options().count(), effective.fingerprints().count());
        let _ = (media.media_type(), media.payload_types().count(), media.bandwidths().count(), media.is_rejected());
        media.try_all::<Candidate>().flatten().for_each(|candidate| {
            candidate.socket_addr();
        });
        let _ = (media.try_all::<Crypto>().count(), media.try_all::<Extmap>().count(), media.try_all::<Rtcp>().count());
        let _ = (media.try_all::<Rtpmap>().count(), media.try_all::<RtcpFb>().count(), media.try_all::<Ssrc>().count());
    }
}

/// Everything that writes, with hostile text.
fn edit_all(description: &mut SessionDescription, hostile: &str) {
    description.set_session_name(hostile);
    description.set_connection(&"2001:db8::1".parse::<std::net::IpAddr>().unwrap().into());
    let mut origin = description.origin().clone();
    origin.username = hostile.to_owned();
    description.set_origin(origin);
    description.session_mut().insert("group", hostile);
    for media in description.media_mut() {
        media.set_port(0);
        media.set_port_count(Some(2));
        media.set_protocol(sallyport_sdp::Protocol::UdpTlsRtpSavpf);
        media.retain_formats(|format| format == "0");
        media.set_formats(["0", "8"]);
        media.replace("mid", hostile);
        media.insert("x-hostile", hostile);
        media.set_direction(sallyport_sdp::Direction::Inactive);
        media.replace_transport(&sallyport_sdp::TransportLines { rtcp_mux: true, ..Default::default() });
        media.arrange();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_parses_prints_as_it_was(text in text()) {
        if let Ok(description) = SessionDescription::parse(&text) {
            prop_assert_eq!(description.to_string(), text);
            read_all(&description);
        }
    }

    #[test]
    fn an_edited_description_parses_again_with_as_many_sections(text in text(), hostile in "\\PC{0,8}[\r\n\u{0}]{0,2}m=audio 1 RTP/AVP 0\\PC{0,8}") {
        if let Ok(mut description) = SessionDescription::parse(&text) {
            edit_all(&mut description, &hostile);
            let printed = description.to_string();
            let again = SessionDescription::parse(&printed).map_err(|error| TestCaseError::fail(format!("{error}: {printed:?}")))?;
            prop_assert_eq!(again.media().len(), description.media().len());
            for media in again.media() {
                prop_assert_eq!((media.port(), media.port_count()), (0, Some(2)));
                prop_assert_eq!(media.protocol(), &sallyport_sdp::Protocol::UdpTlsRtpSavpf);
                prop_assert!(media.formats().eq(["0", "8"]));
                prop_assert!(media.has("rtcp-mux"));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SessionDescription::parse_bytes(&bytes, &Limits::default());
        let mut proper = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n".to_vec();
        proper.extend(bytes);
        if let Ok(description) = SessionDescription::parse_bytes(&proper, &Limits::default()) {
            prop_assert_eq!(description.to_string().into_bytes(), proper);
        }
    }
}
