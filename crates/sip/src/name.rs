//! Header names in their usual spelling. Names are compared without case, and a compact form equals its long one.

macro_rules! names {
    ($($id:ident $name:literal;)*) => {
        $(#[doc = $name] pub const $id: &str = $name;)*
    };
}

names! {
    ACCEPT "Accept";
    ALLOW "Allow";
    AUTHENTICATION_INFO "Authentication-Info";
    AUTHORIZATION "Authorization";
    CALL_ID "Call-ID";
    CONTACT "Contact";
    CONTENT_DISPOSITION "Content-Disposition";
    CONTENT_ENCODING "Content-Encoding";
    CONTENT_LENGTH "Content-Length";
    CONTENT_TYPE "Content-Type";
    CSEQ "CSeq";
    DATE "Date";
    EVENT "Event";
    EXPIRES "Expires";
    FROM "From";
    MAX_BREADTH "Max-Breadth";
    MAX_FORWARDS "Max-Forwards";
    MIN_SE "Min-SE";
    PROXY_AUTHENTICATE "Proxy-Authenticate";
    PROXY_AUTHENTICATION_INFO "Proxy-Authentication-Info";
    PROXY_AUTHORIZATION "Proxy-Authorization";
    PROXY_REQUIRE "Proxy-Require";
    RACK "RAck";
    REASON "Reason";
    RECORD_ROUTE "Record-Route";
    REFER_TO "Refer-To";
    REFERRED_BY "Referred-By";
    REPLACES "Replaces";
    REQUIRE "Require";
    RETRY_AFTER "Retry-After";
    ROUTE "Route";
    RSEQ "RSeq";
    SERVER "Server";
    SESSION_EXPIRES "Session-Expires";
    SUPPORTED "Supported";
    TIMESTAMP "Timestamp";
    TO "To";
    UNSUPPORTED "Unsupported";
    USER_AGENT "User-Agent";
    VIA "Via";
    WARNING "Warning";
    WWW_AUTHENTICATE "WWW-Authenticate";
}

/// Compact forms of the IANA registry.
const COMPACT: [(u8, &str); 20] = [
    (b'a', "Accept-Contact"),
    (b'b', REFERRED_BY),
    (b'c', CONTENT_TYPE),
    (b'd', "Request-Disposition"),
    (b'e', CONTENT_ENCODING),
    (b'f', FROM),
    (b'i', CALL_ID),
    (b'j', "Reject-Contact"),
    (b'k', SUPPORTED),
    (b'l', CONTENT_LENGTH),
    (b'm', CONTACT),
    (b'n', "Identity-Info"),
    (b'o', EVENT),
    (b'r', REFER_TO),
    (b's', "Subject"),
    (b't', TO),
    (b'u', "Allow-Events"),
    (b'v', VIA),
    (b'x', SESSION_EXPIRES),
    (b'y', "Identity"),
];

/// The long form of a name.
pub fn long_form(name: &str) -> &str {
    match name.as_bytes() {
        [letter] => {
            let letter = letter.to_ascii_lowercase();
            COMPACT.iter().find(|(compact, _)| *compact == letter).map_or(name, |(_, long)| long)
        }
        _ => name,
    }
}

/// Whether two names mean one header.
pub fn is_same(own: &str, other: &str) -> bool {
    long_form(own).eq_ignore_ascii_case(long_form(other))
}
