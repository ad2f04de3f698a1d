//! What is refused, and with which words.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use sallyport_sdp::{Limits, ParseError, ParseFault, SessionDescription};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n";

fn refusal(text: &str) -> ParseError {
    SessionDescription::parse(text).expect_err(text)
}

#[test]
fn every_refusal_names_line_and_reason() {
    let table = [
        ("", 1, ParseFault::Empty),
        ("v=\nv=0\r\n", 1, ParseFault::VersionUnsupported),
        ("v=1\r\n", 1, ParseFault::VersionUnsupported),
        ("\r\nv=0\r\n", 1, ParseFault::VersionMissing),
        ("o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", 1, ParseFault::VersionMissing),
        ("{\"v\":0}", 1, ParseFault::VersionMissing),
        ("v=0\r\n", 1, ParseFault::OriginMissing),
        ("v=0", 1, ParseFault::OriginMissing),
        ("v=0\r\ns=-\r\nm=audio 9 RTP/AVP 0\r\n", 3, ParseFault::OriginMissing),
        ("v=0\r\no=- 1 1 IN IP4\r\n", 2, ParseFault::OriginMalformed),
        ("v=0\r\no=\r\n", 2, ParseFault::OriginMalformed),
    ];
    for (text, line, fault) in table {
        assert_eq!(refusal(text), ParseError { line, fault }, "{text:?}");
    }
    let table = [
        ("v=0\r\n", ParseFault::VersionRepeated),
        ("o=- 2 2 IN IP4 192.0.2.2\r\n", ParseFault::OriginRepeated),
        ("a=x:\0y\r\n", ParseFault::Nul),
        ("\0", ParseFault::Nul),
        ("nonsense\r\n", ParseFault::NotTypeAndValue),
        (" a=x\r\n", ParseFault::NotTypeAndValue),
        ("=\r\n", ParseFault::NotTypeAndValue),
        ("ä=x\r\n", ParseFault::NotTypeAndValue),
        ("c=IN IP4\r\n", ParseFault::ConnectionMalformed),
        ("c=\r\n", ParseFault::ConnectionMalformed),
        ("c=IN IP4 192.0.2.1 more\r\n", ParseFault::ConnectionMalformed),
        ("m=\r\n", ParseFault::MediaMalformed),
        ("m=audio 9\r\n", ParseFault::MediaMalformed),
        ("m=audio 65536 RTP/AVP 0\r\n", ParseFault::PortMalformed),
        ("m=audio 4294967296 RTP/AVP 0\r\n", ParseFault::PortMalformed),
        ("m=audio -1 RTP/AVP 0\r\n", ParseFault::PortMalformed),
        ("m=audio +9 RTP/AVP 0\r\n", ParseFault::PortMalformed),
        ("m=audio /2 RTP/AVP 0\r\n", ParseFault::PortMalformed),
        ("m=audio 9/0 RTP/AVP 0\r\n", ParseFault::PortMalformed),
        ("m=audio 9/ RTP/AVP 0\r\n", ParseFault::PortMalformed),
    ];
    for (text, fault) in table {
        assert_eq!(refusal(&format!("{HEAD}{text}")), ParseError { line: 3, fault }, "{text:?}");
    }
}

#[test]
fn a_refusal_reads_as_a_sentence_for_people() {
    let text = format!("{HEAD}s=-\r\nt=0 0\r\na=x\r\na=y\r\nm=audio 65536 RTP/AVP 0\r\n");
    assert_eq!(refusal(&text).to_string(), "line 7: m= port is not a number of 0 to 65535");
}

#[test]
fn a_refusal_never_quotes_a_key() {
    let text = format!("{HEAD}xa=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n");
    let error = refusal(&text);
    assert!(!format!("{error} {error:?}").contains("c2VjcmV0"));
}

#[test]
fn each_limit_has_its_error_at_the_line_that_crosses_it() {
    let limits =
        Limits { bytes: 400, lines: 12, line_bytes: 100, sections: 2, formats: 3, candidates: 2, crypto_lines: 1 };
    let section = "m=audio 9 RTP/AVP 0\r\n";
    let candidate = "a=candidate:1\r\n";
    let table = [
        (format!("a=x\r\na={}\r\n", "x".repeat(500)), 4, ParseFault::TooManyBytes(400)),
        ("a=x\n".repeat(11), 13, ParseFault::TooManyLines(12)),
        ("\n".repeat(11), 13, ParseFault::TooManyLines(12)),
        (format!("a={}\r\n", "x".repeat(99)), 3, ParseFault::LineTooLong(100)),
        (section.repeat(3), 5, ParseFault::TooManySections(2)),
        ("m=audio 9 RTP/AVP 0 1 2 3\r\n".to_owned(), 3, ParseFault::TooManyFormats(3)),
        (format!("{section}{}", candidate.repeat(3)), 6, ParseFault::TooManyCandidates(2)),
        (format!("{section}a=crypto:1 x\r\na=CRYPTO:2 x\r\n"), 5, ParseFault::TooManyCryptoLines(1)),
    ];
    for (text, line, fault) in table {
        let text = format!("{HEAD}{text}");
        let error = SessionDescription::parse_with(&text, &limits).expect_err(&text);
        assert_eq!(error, ParseError { line, fault }, "{text:?}");
    }
}

#[test]
fn what_just_meets_each_limit_is_taken() {
    let limits =
        Limits { bytes: 243, lines: 9, line_bytes: 100, sections: 2, formats: 3, candidates: 2, crypto_lines: 1 };
    let section = "m=audio 9 RTP/AVP 0 1 2\r\na=candidate:1\r\na=candidate:2\r\n";
    let text = format!("{HEAD}{section}a=crypto:1 x\r\n{section}")
        .replace("crypto:1 x", &format!("crypto:1 {}", "x".repeat(89)));
    assert_eq!((text.len(), text.lines().count()), (limits.bytes, limits.lines));
    assert_eq!(SessionDescription::parse_with(&text, &limits).unwrap().to_string(), text);
}

#[test]
fn a_million_lines_are_refused_fast() {
    let text = format!("{HEAD}{}", "a=x\r\n".repeat(1_000_000));
    let begin = Instant::now();
    assert_eq!(refusal(&text).fault, ParseFault::TooManyBytes(65536));
    let wide = Limits { bytes: usize::MAX, ..Limits::default() };
    let error = SessionDescription::parse_with(&text, &wide).unwrap_err();
    assert_eq!(error, ParseError { line: 2001, fault: ParseFault::TooManyLines(2000) });
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_their_line() {
    let error =
        SessionDescription::parse_bytes(b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=J\xfcrgen\r\n", &Limits::default());
    assert_eq!(error.unwrap_err().to_string(), "line 3: not UTF-8");
}

#[test]
fn a_payload_type_that_is_no_number_of_seven_bits_does_no_harm() {
    let text = format!("{HEAD}m=audio 9 RTP/AVP 0 4294967296 128 -1 +8 127\r\na=rtpmap:4294967296 PCMU/8000\r\n");
    let description = SessionDescription::parse(&text).unwrap();
    let media = &description.media()[0];
    assert!(media.payload_types().eq([0, 127]));
    assert!(media.first::<sallyport_sdp::Rtpmap>().is_none());
    let error = media.try_all::<sallyport_sdp::Rtpmap>().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "a=rtpmap: payload type is not a number in its range");
    assert_eq!(description.to_string(), text);
}

#[test]
fn a_carriage_return_cannot_hide_an_attribute() {
    let text = format!("{HEAD}m=audio 9 RTP/AVP 0\r\na=x:y\ra=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n");
    let mut description = SessionDescription::parse(&text).unwrap();
    assert_eq!(description.media_mut()[0].remove_all("crypto"), 1);
    assert!(!description.to_string().contains("inline"));
}

#[test]
fn debug_output_shows_no_secret() {
    let text = format!(
        "{HEAD}k=clear:hidden\r\nm=audio 9 RTP/SAVP 0\r\na=crypto:1 X inline:hidden\r\na=ice-pwd:hidden\r\na=acap:1 crypto:1 X inline:hidden\r\na=key-mgmt:mikey hidden\r\n"
    );
    let description = SessionDescription::parse(&text).unwrap();
    assert!(!format!("{description:?}").contains("hidden"));
}
