//! What strangers send, and how much of it.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use sallyport_sip_transport::{Inbound, Refusal, TransportConfig, Transports};
use sip::{Frame, Limits, Method, Received, StreamFramer, Transport};
use support::client::{self, read_to_end, read_until};
use support::{Element, End, PATIENCE, address, config, options_text, target, until};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

fn serve(transports: &[Transport], change: impl FnOnce(&mut TransportConfig)) -> Transports {
    let mut listening = config(transports);
    change(&mut listening);
    Element::bind(listening).serve().0
}

fn unlimited(config: &mut TransportConfig) {
    config.limits.trusted = vec![("127.0.0.0".parse().unwrap(), 8)];
}

/// A connection from another loopback address.
async fn connect_from(source: &str, peer: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(peer).await.unwrap()
}

/// The 49 messages of RFC 4475.
fn torture() -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}/../sip/corpus/rfc4475", env!("CARGO_MANIFEST_DIR"));
    let mut messages: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    messages.sort();
    assert_eq!(messages.len(), 49);
    messages
}

#[tokio::test]
async fn after_each_torture_message_by_udp_the_next_request_is_answered() {
    let server = serve(&[Transport::Udp], unlimited);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address(&server, Transport::Udp)).await.unwrap();
    let own = socket.local_addr().unwrap().to_string();
    let mut buffer = vec![0; 65536];
    for (number, (name, bytes)) in (1..).zip(torture()) {
        socket.send(&bytes).await.unwrap();
        socket.send(options_text(Transport::Udp, &own, number).as_bytes()).await.unwrap();
        // Some are answered themselves.
        loop {
            let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
            let length = received.unwrap_or_else(|_| panic!("after {name}")).unwrap();
            let answer = String::from_utf8_lossy(&buffer[..length]);
            if answer.starts_with("SIP/2.0 200 ") && answer.contains(&format!("Call-ID: {number}@{own}")) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn after_each_torture_message_by_tcp_the_next_request_is_answered() {
    let server = serve(&[Transport::Tcp], unlimited);
    let (mut same, mut fresh) = (0, 0);
    for (number, (name, bytes)) in (1..).zip(torture()) {
        let options = options_text(Transport::Tcp, "client.invalid", number);
        let stream = [bytes.as_slice(), options.as_bytes()].concat();
        // Whether the next message can be found after this one: some lie about their length, or say none.
        let mut framer = StreamFramer::new(Limits::default());
        framer.push(&stream);
        let is_found = std::iter::from_fn(|| framer.next_frame()).any(|frame| match frame {
            Frame::Message(Received::Message(message)) => message.to_bytes() == options.as_bytes(),
            _ => false,
        });
        let mut connection = TcpStream::connect(address(&server, Transport::Tcp)).await.unwrap();
        client::write(&mut connection, &stream).await;
        if !is_found {
            fresh += 1;
            drop(connection);
            connection = TcpStream::connect(address(&server, Transport::Tcp)).await.unwrap();
            client::write(&mut connection, &options).await;
        } else {
            same += 1;
        }
        let answers = read_until(&mut connection, &format!("Call-ID: {number}@client.invalid")).await;
        assert!(answers.contains("SIP/2.0 200 "), "after {name}: {answers}");
    }
    assert!(same > 10 && fresh > 1, "{same} {fresh}");
    until("all connections are gone", || server.stats().connections == [0; 5]).await;
}

#[tokio::test]
async fn a_flood_is_dropped_and_another_source_is_served() {
    let server = serve(&[Transport::Udp], |config| {
        config.limits.rate = 10;
        config.limits.burst = 20;
    });
    let peer = address(&server, Transport::Udp);
    let flood = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let mut client = Element::bind(config(&[Transport::Udp]));
    let target = target(&client.transports, Transport::Udp, peer);
    let began = std::time::Instant::now();
    for round in 0..10 {
        for number in 0..200 {
            let text = options_text(Transport::Udp, "127.0.0.2:9", round * 1000 + number);
            flood.send_to(text.as_bytes(), peer).await.unwrap();
        }
        client.options(&target).await.response();
    }
    let (stats, seconds) = (server.stats(), began.elapsed().as_secs() + 1);
    let passed = stats.messages_in[0] - stats.refusals(Refusal::Rate);
    assert!(passed <= 20 + 10 * seconds + 10 + 10 * seconds, "{passed} in {seconds} s");
    assert!(stats.refusals(Refusal::Rate) > 1000, "{stats:?}");

    // Whoever is trusted has no rate.
    server.set_trusted(vec![("127.0.0.2".parse().unwrap(), 32)]);
    let own = flood.local_addr().unwrap().to_string();
    let before = server.stats().refusals(Refusal::Rate);
    for number in 0..100 {
        flood.send_to(options_text(Transport::Udp, &own, number).as_bytes(), peer).await.unwrap();
        // What was answered before comes first.
        let mut answer = String::new();
        while !answer.contains(&format!("Call-ID: {number}@{own}")) {
            let mut buffer = [0; 2048];
            let length = tokio::time::timeout(PATIENCE, flood.recv(&mut buffer)).await.unwrap().unwrap();
            answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        }
    }
    assert_eq!(server.stats().refusals(Refusal::Rate), before);
}

#[tokio::test]
async fn connections_are_bounded_by_source_and_in_total() {
    let server = serve(&[Transport::Tcp], |config| {
        config.limits.connections_per_source = 3;
        config.limits.connections = 5;
    });
    let peer = address(&server, Transport::Tcp);
    let mut held = Vec::new();
    for source in ["127.0.0.2"; 3].into_iter().chain(["127.0.0.3"; 2]) {
        held.push(connect_from(source, peer).await);
    }
    until("all are in", || server.stats().connections[1] == 5).await;
    assert_eq!(read_to_end(&mut connect_from("127.0.0.2", peer).await).await, "");
    assert_eq!(read_to_end(&mut connect_from("127.0.0.4", peer).await).await, "");
    let stats = server.stats();
    assert_eq!((stats.refusals(Refusal::ConnectionsPerSource), stats.refusals(Refusal::Connections)), (1, 1));
    held.pop();
    until("a place is free", || server.stats().connections[1] == 4).await;
    let mut stream = connect_from("127.0.0.4", peer).await;
    client::write(&mut stream, options_text(Transport::Tcp, "client.invalid", 1)).await;
    read_until(&mut stream, "SIP/2.0 200 ").await;
}

/// Else whoever asks and hangs up would have us connect without end.
#[tokio::test]
async fn a_connection_for_a_lost_answer_takes_a_place_of_the_peer() {
    let mut listening = config(&[Transport::Tcp]);
    listening.limits.connections_per_source = 1;
    let mut server = Element::bind(listening);
    let peer = address(&server.transports, Transport::Tcp);
    let mut stream = TcpStream::connect(peer).await.unwrap();
    client::write(&mut stream, options_text(Transport::Tcp, "client.invalid:5070", 1)).await;
    let Some(Inbound::Message { flow, message, .. }) = server.inbox.recv().await else { panic!("no message") };
    drop(stream);
    assert_eq!(server.inbox.recv().await, Some(Inbound::FlowClosed { flow }));
    let _held = TcpStream::connect(peer).await.unwrap();
    let transports = server.transports.clone();
    until("it is in", || transports.stats().connections[1] == 1).await;
    server.layer.handle_message(std::time::Instant::now(), message, flow);
    server.serve();
    until("the answer is given up", || transports.stats().send_failures[1] == 1).await;
    assert_eq!(transports.stats().refusals(Refusal::ConnectionsPerSource), 1);
}

#[tokio::test]
async fn handshakes_are_bounded_and_established_websockets_are_none() {
    let server = serve(&[Transport::Ws], |config| config.limits.handshakes = 2);
    let peer = address(&server, Transport::Ws);
    let mut open = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(peer).await.unwrap();
        open.push(client::websocket(stream, "ws://localhost/", None, "sip").await.unwrap());
    }
    let _held = (TcpStream::connect(peer).await.unwrap(), TcpStream::connect(peer).await.unwrap());
    until("both are in", || server.stats().connections[3] == 5).await;
    assert_eq!(read_to_end(&mut TcpStream::connect(peer).await.unwrap()).await, "");
    assert_eq!(server.stats().refusals(Refusal::Handshakes), 1);
}

#[tokio::test]
async fn who_is_silent_or_never_ends_a_message_is_let_go() {
    let server = serve(&[Transport::Tcp], |config| {
        config.limits.first_message = Duration::from_secs(1);
        config.limits.message_time = Duration::from_secs(1);
    });
    let peer = address(&server, Transport::Tcp);
    let (mut silent, mut slow) = (TcpStream::connect(peer).await.unwrap(), TcpStream::connect(peer).await.unwrap());
    let mut good = TcpStream::connect(peer).await.unwrap();
    client::write(&mut good, options_text(Transport::Tcp, "client.invalid", 1)).await;
    read_until(&mut good, "SIP/2.0 200 ").await;
    let dripping = tokio::spawn(async move {
        let text = options_text(Transport::Tcp, "client.invalid", 2);
        for byte in text.as_bytes() {
            if tokio::io::AsyncWriteExt::write_all(&mut slow, &[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it was let to send it all");
    });
    assert_eq!(read_to_end(&mut silent).await, "");
    dripping.await.unwrap();
    until("both are counted", || server.stats().refusals(Refusal::Silence) == 2).await;
    // It has its idle time.
    client::write(&mut good, options_text(Transport::Tcp, "client.invalid", 3)).await;
    read_until(&mut good, "3@client.invalid").await;
}

#[tokio::test]
async fn who_has_spoken_may_be_idle_for_a_while() {
    let server = serve(&[Transport::Tcp], |config| config.limits.idle = Duration::from_secs(1));
    let mut stream = TcpStream::connect(address(&server, Transport::Tcp)).await.unwrap();
    let began = std::time::Instant::now();
    // Half of the time each; a keep-alive is enough.
    for number in 0..4 {
        let text = options_text(Transport::Tcp, "client.invalid", number);
        client::write(&mut stream, if number % 2 == 0 { text.as_str() } else { "\r\n\r\n" }).await;
        read_until(&mut stream, "\r\n").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    read_to_end(&mut stream).await;
    assert!(began.elapsed() > Duration::from_millis(2500), "{:?}", began.elapsed());
    until("it is counted", || server.stats().refusals(Refusal::Silence) == 1).await;
}

#[tokio::test]
async fn a_stream_that_lost_its_frame_is_answered_and_closed() {
    let server = serve(&[Transport::Tcp], |_| ());
    let mut stream = TcpStream::connect(address(&server, Transport::Tcp)).await.unwrap();
    let text = options_text(Transport::Tcp, "client.invalid:5070", 1).replace("Content-Length: 0\r\n", "");
    client::write(&mut stream, text).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("SIP/2.0 400 ") && answer.contains("received=127.0.0.1"), "{answer}");
    until("it is gone", || server.stats().connections == [0; 5]).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_a_bounded_queue() {
    let mut listening = config(&[Transport::Tcp]);
    listening.limits.queue_bytes = 110_000;
    listening.limits.message_time = Duration::from_millis(300);
    let mut server = Element::bind(listening);
    let mut stream = TcpStream::connect(address(&server.transports, Transport::Tcp)).await.unwrap();
    client::write(&mut stream, options_text(Transport::Tcp, "client.invalid", 1)).await;
    let Some(Inbound::Message { flow, .. }) = server.inbox.recv().await else { panic!("no message") };
    let (transports, stats) = (server.transports.clone(), Transports::stats);
    let target = transports.target_on(flow).unwrap();
    let mut request = server.request(Method::Message, &target);
    request.set_body(Some("text/plain"), vec![b'x'; 50_000]);
    let mut send = |count: u64| {
        for _ in 0..count {
            let mut request = request.clone();
            request.headers.set(sip::name::CALL_ID, rand::random::<u64>());
            server.layer.send(std::time::Instant::now(), request, &target, None).unwrap();
        }
        server.flush();
    };
    // At once, so that the writer has no chance: all but what the queue holds is refused.
    send(100);
    assert_eq!(stats(&transports).refusals(Refusal::Queue), 98);
    // One after the other, until the system's buffers are full as well.
    let began = std::time::Instant::now();
    while stats(&transports).refusals(Refusal::Stalled) == 0 {
        assert!(began.elapsed() < PATIENCE, "{:?}", stats(&transports));
        send(1);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The failures come first.
    while server.inbox.recv().await.unwrap() != (Inbound::FlowClosed { flow }) {}
    assert!(matches!(server.options(&target).await, End::Unreachable));
}
