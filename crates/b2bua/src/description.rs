//! What a leg's session description says of its security, as far as it decides before the session has read it.

use sip::{Body, Limits, MediaType, split_multipart};

/// The session description in a body, alone or as a part of it.
pub(crate) fn of(body: &Body) -> Option<Vec<u8>> {
    let media = MediaType::parse(&body.content_type)?;
    if media.is("application", "sdp") {
        return Some(body.bytes.clone());
    }
    if !media.is_multipart() {
        return None;
    }
    let parts = split_multipart(&body.bytes, &media, &Limits::default()).ok()?;
    let is_sdp = |part: &&sip::Part<'_>| {
        part.headers.content_type().is_ok_and(|media| media.is_some_and(|media| media.is("application", "sdp")))
    };
    parts.iter().find(is_sdp).map(|part| part.body.to_vec())
}

/// Whether it has keys that whoever reads it can use.
pub(crate) fn has_sdes_keys(sdp: &[u8]) -> bool {
    lines(sdp).any(|line| line.starts_with(b"a=crypto:"))
}

/// Whether any medium is offered as SRTP and nothing else.
pub(crate) fn is_secure(sdp: &[u8]) -> bool {
    lines(sdp).any(|line| {
        let profile = line.strip_prefix(b"m=").and_then(|rest| rest.split(|&byte| byte == b' ').nth(2));
        profile.is_some_and(|profile| profile.to_ascii_uppercase().windows(4).any(|part| part == b"SAVP"))
    })
}

/// The same, ready to send and receive: who was on hold is not for whom it is joined with.
pub(crate) fn without_hold(sdp: &[u8]) -> Vec<u8> {
    let holds = |line: &[u8]| [&b"a=sendonly"[..], b"a=recvonly", b"a=inactive"].contains(&line.trim_ascii_end());
    let kept = sdp.split_inclusive(|&byte| byte == b'\n').filter(|line| !holds(line));
    kept.collect::<Vec<_>>().concat()
}

fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    sdp.split(|&byte| byte == b'\n' || byte == b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_found_in_a_multipart_body() {
        let mixed = Body {
            content_type: "multipart/mixed;boundary=x".into(),
            bytes: b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--\r\n"
                .to_vec(),
        };
        assert_eq!(of(&mixed), Some(b"v=0".to_vec()));
        assert_eq!(of(&Body::sdp("v=0\r\n")), Some(b"v=0\r\n".to_vec()));
        assert_eq!(of(&Body { content_type: "text/plain".into(), bytes: b"v=0".to_vec() }), None);
    }

    #[test]
    fn a_hold_is_taken_out() {
        assert_eq!(
            without_hold(b"v=0\r\na=inactive\r\nm=audio 1 RTP/AVP 0\r\na=recvonly\r\na=ptime:20"),
            b"v=0\r\nm=audio 1 RTP/AVP 0\r\na=ptime:20"
        );
    }

    #[test]
    fn security_is_seen_in_the_lines() {
        assert!(
            is_secure(b"v=0\r\nm=audio 4000 RTP/SAVP 0\r\n") && !is_secure(b"v=0\r\nm=audio 4000 RTP/AVP 0\r\na=SAVP")
        );
        assert!(is_secure(b"m=audio 9 UDP/TLS/RTP/SAVPF 111"));
        assert!(
            has_sdes_keys(b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x") && !has_sdes_keys(b"s=a=crypto:1")
        );
    }
}
