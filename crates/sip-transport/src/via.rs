//! What the transport layer reads and writes in a Via (RFC 3261 §18).

use std::net::SocketAddr;

use sip::{Carriage, Flow, Limits, Message, Response, SentBy, Transport, name, receive};

use crate::table::Key;

/// The same request for TCP, and its branch: the Via says TCP and where we listen for it, and the stream gets its Content-Length
/// (§18.1.1, §18.3).
pub(crate) fn for_tcp(bytes: &[u8], sent_by: &SentBy, limits: &Limits) -> Option<(Vec<u8>, String)> {
    let Ok(Message::Request(mut request)) = receive(bytes, Carriage::Datagram, limits).message() else { return None };
    let mut via = request.headers.via().ok()?;
    let branch = via.branch()?.to_owned();
    via.transport = Transport::Tcp.as_str().to_owned();
    via.sent_by = sent_by.clone();
    request.headers.replace_first_element(name::VIA, via);
    if !request.headers.contains(name::CONTENT_LENGTH) {
        let length = request.body().len();
        request.headers.push(name::CONTENT_LENGTH, length);
    }
    Some((request.to_bytes(), branch))
}

/// Where a response to a connection that is gone is sent by another: the address that the request came from, which is what
/// received says, and the port of the Via (§18.2.2). `None` for what is no response, and for a WebSocket.
pub(crate) fn way_back(bytes: &[u8], flow: Flow, limits: &Limits) -> Option<Key> {
    let Ok(Message::Response(response)) = receive(bytes, Carriage::Datagram, limits).message() else { return None };
    let SentBy { host, port } = response.headers.via().ok()?.sent_by;
    let (port, domain) = match flow.transport {
        Transport::Tcp => (port.unwrap_or(5060), String::new()),
        Transport::Tls => (port.unwrap_or(5061), domain(&host)),
        Transport::Udp | Transport::Ws | Transport::Wss => return None,
    };
    Some(Key { transport: flow.transport, peer: SocketAddr::new(flow.peer.ip(), port), domain })
}

/// A host as the name that a certificate must have.
pub(crate) fn domain(host: &sip::Host) -> String {
    match host.ip() {
        Some(ip) => ip.to_string(),
        None => host.as_str().trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// The answer to a faulty request, and where it goes by UDP: its Via gets received and rport (§18.2.1, RFC 3581).
pub(crate) fn route_refusal(mut response: Response, peer: SocketAddr) -> Option<(Vec<u8>, SocketAddr)> {
    let mut via = response.headers.via().ok()?;
    via.record_source(peer);
    let address = via.response_address()?;
    response.headers.replace_first_element(name::VIA, via);
    Some((response.to_bytes(), address))
}

/// Whether a response's Via is of one of ours (§18.1.2).
pub(crate) fn is_ours<'a>(response: &Response, mut ours: impl Iterator<Item = &'a SentBy>) -> bool {
    let Ok(via) = response.headers.via() else { return false };
    // RFC 3261 §19.1.2, RFC 7118 §5.3.
    let default = match via.transport.as_str() {
        "TLS" => 5061,
        "WS" => 80,
        "WSS" => 443,
        _ => 5060,
    };
    let port = |sent_by: &SentBy| sent_by.port.unwrap_or(default);
    ours.any(|own| own.host.is_equivalent(&via.sent_by.host) && port(own) == port(&via.sent_by))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "OPTIONS sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK7;rport\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 7\r\nCSeq: 1 OPTIONS\r\n\r\nbody";
    const RESPONSE: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS Edge.example.com;branch=z9hG4bK7;received=198.51.100.9\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: 7\r\nCSeq: 1 OPTIONS\r\n\r\n";

    fn response(text: &str) -> Response {
        match receive(text.as_bytes(), Carriage::Datagram, &Limits::default()).message() {
            Ok(Message::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_for_tcp_says_so_and_how_long_it_is() {
        let sent_by = SentBy::from(SocketAddr::from(([192, 0, 2, 1], 5080)));
        let (bytes, branch) = for_tcp(REQUEST.as_bytes(), &sent_by, &Limits::default()).unwrap();
        let expected = REQUEST
            .replace("SIP/2.0/UDP 192.0.2.1:5070", "SIP/2.0/TCP 192.0.2.1:5080")
            .replace("CSeq: 1 OPTIONS\r\n", "CSeq: 1 OPTIONS\r\nContent-Length: 4\r\n");
        assert_eq!((String::from_utf8(bytes).unwrap(), branch.as_str()), (expected, "z9hG4bK7"));
        assert_eq!(for_tcp(RESPONSE.as_bytes(), &sent_by, &Limits::default()), None);
    }

    #[test]
    fn a_way_back_has_the_sources_address_and_the_vias_port() {
        let flow = |transport| Flow {
            transport,
            local: "192.0.2.1:5061".parse().unwrap(),
            peer: "203.0.113.5:40000".parse().unwrap(),
            connection: 9,
        };
        let limits = Limits::default();
        let key = way_back(RESPONSE.as_bytes(), flow(Transport::Tls), &limits).unwrap();
        assert_eq!((key.peer.to_string().as_str(), key.domain.as_str()), ("203.0.113.5:5061", "edge.example.com"));
        let key = way_back(RESPONSE.as_bytes(), flow(Transport::Tcp), &limits).unwrap();
        assert_eq!((key.peer.to_string().as_str(), key.domain.as_str()), ("203.0.113.5:5060", ""));
        assert_eq!(way_back(RESPONSE.as_bytes(), flow(Transport::Wss), &limits), None);
        assert_eq!(way_back(REQUEST.as_bytes(), flow(Transport::Tcp), &limits), None);
    }

    #[test]
    fn a_response_is_ours_if_its_via_is() {
        let own = |text: &str, port| SentBy { host: sip::Host::parse(text).unwrap(), port };
        let is_ours = |own: SentBy| is_ours(&response(RESPONSE), std::iter::once(&own));
        assert!(is_ours(own("edge.example.com", None)) && is_ours(own("EDGE.example.com", Some(5061))));
        assert!(!is_ours(own("edge.example.com", Some(5060))) && !is_ours(own("example.com", None)));
    }
}
