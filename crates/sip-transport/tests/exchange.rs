//! Each transport carries an OPTIONS and its 200, on real sockets.

#![allow(clippy::unwrap_used)]

mod support;

use sallyport_sip_transport::{ClientAuth, Hop, Inbound, MAX_DATAGRAM};
use sip::{Method, StatusCode, Transport};
use support::client::{self, read_until};
use support::pki::Authority;
use support::{Element, End, address, config, options_text, target, until};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

#[tokio::test]
async fn udp_and_tcp_carry_a_request_and_its_answer() {
    let (server, _task) = Element::bind(config(&[Transport::Udp, Transport::Tcp])).serve();
    let mut client = Element::bind(config(&[Transport::Udp, Transport::Tcp]));
    for transport in [Transport::Udp, Transport::Tcp] {
        let target = target(&client.transports, transport, address(&server, transport));
        for _ in 0..3 {
            let (response, flow) = client.options(&target).await.response();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(flow.transport, transport);
            assert!(response.body().starts_with(transport.as_str().as_bytes()));
        }
    }
    // One connection serves all three.
    let stats = client.transports.stats();
    assert_eq!((stats.connections, stats.messages_out), ([0, 1, 0, 0, 0], [3, 3, 0, 0, 0]));
    assert_eq!(server.stats().messages_in, [3, 3, 0, 0, 0]);
}

#[tokio::test]
async fn tls_carries_a_request_to_the_domain_that_was_asked_for() {
    let authority = Authority::new();
    let mut listening = config(&[Transport::Tls]);
    listening.tls = Some(authority.tls(&[&authority.server(&["sip:example.com"])], ClientAuth::Off));
    let (server, _task) = Element::bind(listening).serve();
    let mut calling = config(&[Transport::Tls]);
    calling.tls = Some(authority.tls(&[&authority.server(&["client.example"])], ClientAuth::Off));
    let mut client = Element::bind(calling);
    let hop =
        Hop { transport: Transport::Tls, address: address(&server, Transport::Tls), domain: "example.com".to_owned() };
    let target = client.transports.target(&hop).unwrap();
    let (response, flow) = client.options(&target).await.response();
    assert!(response.body().starts_with(b"TLS"));
    assert!(client.transports.identity(flow).unwrap().is_domain("example.com"));
}

#[tokio::test]
async fn ws_and_wss_carry_text_and_binary_and_answer_on_the_same_connection() {
    let authority = Authority::new();
    let mut listening = config(&[Transport::Ws, Transport::Wss]);
    listening.tls = Some(authority.tls(&[&authority.server(&["localhost"])], ClientAuth::Off));
    let (server, _task) = Element::bind(listening).serve();

    let stream = TcpStream::connect(address(&server, Transport::Ws)).await.unwrap();
    let mut socket = client::websocket(stream, "ws://localhost/sip", None, "sip").await.unwrap();
    let answer = client::ask(&mut socket, &options_text(Transport::Ws, "df7jal23ls0d.invalid", 1)).await;
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("\r\n\r\nWS "), "{answer}");
    assert!(answer.contains("df7jal23ls0d.invalid;branch=z9hG4bK1x;rport="), "{answer}");
    assert_eq!(client::ask(&mut socket, "\r\n\r\n").await, "\r\n", "a keep-alive");
    let bytes = options_text(Transport::Ws, "df7jal23ls0d.invalid", 2).into_bytes();
    futures_util::SinkExt::send(&mut socket, tokio_tungstenite::tungstenite::Message::binary(bytes)).await.unwrap();
    assert!(client::next_text(&mut socket).await.starts_with("SIP/2.0 200 "));

    let stream = TcpStream::connect(address(&server, Transport::Wss)).await.unwrap();
    let stream = support::pki::connect(&authority, None, stream, "localhost").await.unwrap();
    let mut socket = client::websocket(stream, "wss://localhost/sip", None, "sip").await.unwrap();
    let answer = client::ask(&mut socket, &options_text(Transport::Wss, "df7jal23ls0d.invalid", 3)).await;
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("\r\n\r\nWSS "), "{answer}");
}

/// RFC 3581: a client behind NAT, whose Via says nothing true.
#[tokio::test]
async fn an_answer_by_udp_goes_to_where_the_request_came_from() {
    let (server, _task) = Element::bind(config(&[Transport::Udp])).serve();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let own = socket.local_addr().unwrap();
    let text = options_text(Transport::Udp, "10.9.8.7:5999", 1);
    socket.send_to(text.as_bytes(), address(&server, Transport::Udp)).await.unwrap();
    let mut buffer = [0; 2048];
    let length = tokio::time::timeout(support::PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]);
    assert!(answer.contains(&format!(";rport={};received=127.0.0.1", own.port())), "{answer}");
}

#[tokio::test]
async fn a_stream_in_pieces_with_keep_alives_is_the_same_messages() {
    let (server, _task) = Element::bind(config(&[Transport::Tcp])).serve();
    let mut stream = TcpStream::connect(address(&server, Transport::Tcp)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    client::write(&mut stream, "\r\n\r\n").await;
    assert_eq!(read_until(&mut stream, "\r\n").await, "\r\n");
    let text = options_text(Transport::Tcp, "client.invalid", 1) + &options_text(Transport::Tcp, "client.invalid", 2);
    for piece in text.as_bytes().chunks(7) {
        client::write(&mut stream, piece).await;
    }
    let answers = read_until(&mut stream, "2@client.invalid").await;
    assert!(answers.contains("1@client.invalid"), "{answers}");
}

/// Requests to a peer that connected to us go by its connection.
#[tokio::test]
async fn a_request_goes_back_by_the_flow_of_a_request() {
    let mut server = Element::bind(config(&[Transport::Ws]));
    let stream = TcpStream::connect(address(&server.transports, Transport::Ws)).await.unwrap();
    let mut socket = client::websocket(stream, "ws://localhost/", None, "sip").await.unwrap();
    let text = options_text(Transport::Ws, "df7jal23ls0d.invalid", 1);
    futures_util::SinkExt::send(&mut socket, text.into()).await.unwrap();
    let Some(Inbound::Message { flow, .. }) = server.inbox.recv().await else { panic!("no message") };
    let target = server.transports.target_on(flow).unwrap();
    let request = server.request(Method::Options, &target);
    let answered = tokio::spawn(async move {
        let request = client::next_text(&mut socket).await;
        let answer = request.replacen("OPTIONS sip:bob@127.0.0.1", "", 1);
        let headers = answer.split_once("\r\n").unwrap().1;
        futures_util::SinkExt::send(&mut socket, format!("SIP/2.0 200 OK\r\n{headers}").into()).await.unwrap();
        request
    });
    let (response, back) = server.send(request, &target).await.response();
    assert_eq!((response.status(), back), (StatusCode::OK, flow));
    assert!(answered.await.unwrap().contains("Via: SIP/2.0/WS 127.0.0.1:"));
}

/// RFC 3261 §18.1.1
#[tokio::test]
async fn a_large_request_goes_by_tcp_and_by_udp_where_there_is_none() {
    let mut client = Element::bind(config(&[Transport::Udp, Transport::Tcp]));
    // A server whose two transports share a port.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    drop(listener);
    let mut listening = config(&[Transport::Udp, Transport::Tcp]);
    for listener in &mut listening.listeners {
        listener.address = peer;
    }
    let (server, _task) = Element::bind(listening).serve();
    let target = target(&client.transports, Transport::Udp, peer);
    let mut request = client.request(Method::Options, &target);
    request.set_body(Some("text/plain"), vec![b'x'; MAX_DATAGRAM]);
    let (response, flow) = client.send(request.clone(), &target).await.response();
    assert!(flow.transport == Transport::Tcp && response.body().starts_with(b"TCP"), "{response:?}");
    assert_eq!(server.stats().messages_in, [0, 1, 0, 0, 0]);
    assert!(client.options(&target).await.response().0.body().starts_with(b"UDP"), "a small one");
    assert_eq!(server.stats().messages_in, [1, 1, 0, 0, 0]);

    let (server, _task) = Element::bind(config(&[Transport::Udp])).serve();
    let target = support::target(&client.transports, Transport::Udp, address(&server, Transport::Udp));
    let (response, _) = client.send(request, &target).await.response();
    assert!(response.body().starts_with(b"UDP"), "{response:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_at_once() {
    let mut client = Element::bind(config(&[Transport::Tcp]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let target = target(&client.transports, Transport::Tcp, peer);
    drop(listener);
    assert!(matches!(client.options(&target).await, End::Unreachable));
    assert_eq!(client.transports.stats().send_failures, [0, 1, 0, 0, 0]);
    // The destination is as good as before.
    let mut listening = config(&[Transport::Tcp]);
    listening.listeners[0].address = peer;
    let (_server, _task) = Element::bind(listening).serve();
    client.options(&target).await.response();
}

/// RFC 3261 §18.2.2: the second connection goes to the address of the first and the port of the Via.
#[tokio::test]
async fn a_response_whose_connection_is_gone_goes_by_another() {
    let mut server = Element::bind(config(&[Transport::Tcp]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sent_by = format!("client.invalid:{}", listener.local_addr().unwrap().port());
    let mut stream = TcpStream::connect(address(&server.transports, Transport::Tcp)).await.unwrap();
    client::write(&mut stream, options_text(Transport::Tcp, &sent_by, 1)).await;
    let Some(Inbound::Message { flow, message, .. }) = server.inbox.recv().await else { panic!("no message") };
    drop(stream);
    assert_eq!(server.inbox.recv().await, Some(Inbound::FlowClosed { flow }));
    server.layer.handle_message(std::time::Instant::now(), message, flow);
    let serving = tokio::spawn(server.serve().1);
    let (mut stream, _) = tokio::time::timeout(support::PATIENCE, listener.accept()).await.unwrap().unwrap();
    assert!(read_until(&mut stream, "TCP ").await.starts_with("SIP/2.0 200 OK"));
    serving.abort();
}

/// RFC 3261 §18.1.2
#[tokio::test]
async fn a_response_with_a_strangers_via_is_dropped() {
    let (server, _task) = Element::bind(config(&[Transport::Udp])).serve();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let text = options_text(Transport::Udp, "192.0.2.99:5060", 1);
    let response = format!("SIP/2.0 200 OK\r\n{}", text.split_once("\r\n").unwrap().1);
    socket.send_to(response.as_bytes(), address(&server, Transport::Udp)).await.unwrap();
    until("it is counted", || server.stats().refusals(sallyport_sip_transport::Refusal::SentBy) == 1).await;
}

/// RFC 3261 §17.1.1.3: the ACK of a refusal goes by the transport of its INVITE, large or not.
#[tokio::test]
async fn what_belongs_to_a_large_request_goes_by_its_connection() {
    let mut client = Element::bind(config(&[Transport::Udp, Transport::Tcp]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(&client.transports, Transport::Udp, listener.local_addr().unwrap());
    let mut request = client.request(Method::Invite, &target);
    request.set_body(Some("text/plain"), vec![b'x'; MAX_DATAGRAM]);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let invite = read_until(&mut stream, &"x".repeat(MAX_DATAGRAM)).await;
        let head = invite.split_once("\r\n\r\n").unwrap().0.split_once("\r\n").unwrap().1;
        let headers: String =
            head.lines().filter(|line| !line.starts_with("Content-")).map(|line| format!("{line}\r\n")).collect();
        let refusal = format!("SIP/2.0 486 Busy Here\r\n{headers}Content-Length: 0\r\n\r\n");
        client::write(&mut stream, refusal).await;
        let ack = read_until(&mut stream, "\r\n\r\n").await;
        (headers, ack)
    });
    let (response, _) = client.send(request, &target).await.response();
    assert_eq!(response.status(), StatusCode::BUSY_HERE);
    client.flush();
    let (headers, ack) = tokio::time::timeout(support::PATIENCE, server).await.unwrap().unwrap();
    // Its Via is the INVITE's.
    let via = headers.lines().find(|line| line.starts_with("Via: ")).unwrap();
    assert!(ack.starts_with("ACK ") && ack.contains(via) && via.contains("SIP/2.0/TCP"), "{ack} {via}");
    assert_eq!(client.transports.stats().messages_out, [0, 2, 0, 0, 0]);
}

#[tokio::test]
async fn ipv6_is_as_good() {
    let listening = || {
        let mut listening = config(&[Transport::Udp, Transport::Tcp, Transport::Udp]);
        for listener in &mut listening.listeners[..2] {
            listener.address = "[::1]:0".parse().unwrap();
        }
        listening
    };
    let (server, _task) = Element::bind(listening()).serve();
    let mut client = Element::bind(listening());
    for transport in [Transport::Udp, Transport::Tcp] {
        let target = target(&client.transports, transport, address(&server, transport));
        assert!(target.sent_by.to_string().starts_with("[::1]:"));
        client.options(&target).await.response();
    }
}

#[tokio::test]
async fn without_an_inbox_nothing_is_open() {
    let element = Element::bind(config(&[Transport::Udp, Transport::Tcp]));
    let addresses = [Transport::Udp, Transport::Tcp].map(|transport| address(&element.transports, transport));
    let mut stream = TcpStream::connect(addresses[1]).await.unwrap();
    until("it is in", || element.transports.stats().connections[1] == 1).await;
    let transports = element.transports.clone();
    drop(element);
    assert_eq!(client::read_to_end(&mut stream).await, "");
    until("the ports are free", || {
        std::net::UdpSocket::bind(addresses[0]).is_ok() && std::net::TcpListener::bind(addresses[1]).is_ok()
    })
    .await;
    assert_eq!(transports.stats().connections, [0; 5]);
}

#[test]
fn what_cannot_be_bound_is_told() {
    use sallyport_sip_transport::{BindError, TlsError, Transports};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let error = |config| Transports::bind(config).err().unwrap();
    let mut unspecified = config(&[Transport::Udp]);
    unspecified.listeners[0].address = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(error(unspecified.clone()), BindError::Unadvertised(_)));
    unspecified.listeners[0].advertised = Some("192.0.2.1:5060".parse::<std::net::SocketAddr>().unwrap().into());
    let (transports, _inbox) = Transports::bind(unspecified).unwrap();
    assert_eq!(transports.listeners()[0].sent_by.to_string(), "192.0.2.1:5060");
    assert!(matches!(error(config(&[Transport::Wss])), BindError::Tls(TlsError::NoIdentity)));
    let mut taken = config(&[Transport::Udp]);
    taken.listeners[0].address = transports.listeners()[0].address;
    taken.listeners[0].advertised = Some("192.0.2.1:5060".parse::<std::net::SocketAddr>().unwrap().into());
    assert!(matches!(error(taken), BindError::Listener(..)));
}
