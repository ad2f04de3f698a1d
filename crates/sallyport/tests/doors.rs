//! The ng protocol's doors: UDP, TCP, HTTP.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::{Process, audio_port, offer, offer_with};

/// A message over HTTP.
fn post(process: &Process, message: &str) -> (u16, String) {
    try_post(process, message).unwrap()
}

/// The same, where the server may close the connection before it has read everything.
fn try_post(process: &Process, message: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(process.admin)?;
    let (admin, length) = (process.admin, message.len());
    let head = format!("POST /ng HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    write!(stream, "{head}Content-Type: application/x-rtpengine-ng\r\n\r\n{message}")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// A connection for the ng protocol.
fn connect(process: &Process) -> TcpStream {
    let stream = TcpStream::connect(process.ng).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// What comes until this text has come.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let (mut read, mut buffer) = (String::new(), [0; 65_536]);
    while !read.contains(text) {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed behind {read}");
        read.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    read
}

#[test]
fn udp_tcp_and_http_serve_the_same_calls() {
    let process = Process::start("26400-26499");
    let mut stream = connect(&process);
    // Two messages in one piece, and one in three.
    let offer = offer("c1", "one");
    write!(stream, "p1 d7:command4:pinge{offer}").unwrap();
    let read = read_until(&mut stream, "\"}");
    let reply = read.strip_prefix("p1 d6:result4:ponge").unwrap_or_else(|| panic!("{read}"));
    assert!((26400..=26499).contains(&audio_port(reply)), "{reply}");
    assert_eq!(process.ask(&offer), reply, "the same request by UDP has the same reply");
    assert_eq!(post(&process, &offer), (200, reply.to_owned()), "and by HTTP");
    for piece in ["c2 d7:comm", "and4:list5:lim", "iti9ee"] {
        stream.write_all(piece.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    assert_eq!(read_until(&mut stream, "oke"), "c2 d5:callsl3:onee6:result2:oke");
    assert_eq!(post(&process, "c3 d7:command4:pinge"), (200, "c3 d6:result4:ponge".into()));
    assert_eq!(post(&process, "nonsense").0, 400);
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_reply() {
    let process = Process::start("26500-26599");
    let mut stream = connect(&process);
    stream.write_all(b"c1 d7:command4:liste").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_until(&mut stream, "oke"), "c1 d5:callsle6:result2:oke");
}

#[test]
fn a_stream_of_nonsense_is_closed_and_disturbs_nobody() {
    let process = Process::start("26600-26699");
    let mut good = connect(&process);
    for nonsense in [&b"c1 le"[..], b"GET / HTTP/1.1\r\n\r\n", b"c1 d9999999999:"] {
        let mut stream = connect(&process);
        stream.write_all(nonsense).unwrap();
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)), "{nonsense:?}");
    }
    good.write_all(b"c1 d7:command4:pinge").unwrap();
    assert_eq!(read_until(&mut good, "ponge"), "c1 d6:result4:ponge");
}

#[test]
fn a_client_that_does_not_read_is_closed_and_the_others_are_served() {
    let process = Process::start("26700-26799");
    let mut deaf = connect(&process);
    deaf.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let command = "x".repeat(50);
    // Each is answered by an error that names it; nobody reads the answers.
    let messages: String = (0..1000).map(|number| format!("{number} d7:command50:{command}e")).collect();
    let closed = (0..400).any(|_| deaf.write_all(messages.as_bytes()).is_err());
    assert!(closed, "40 MB of requests without a reply read");
    assert_eq!(process.ask("1 d7:command4:pinge"), "1 d6:result4:ponge");
}

#[test]
fn more_connections_than_there_may_be_wait_for_a_place() {
    let process = Process::start("26800-26899");
    let mut connections: Vec<TcpStream> = (0..65).map(|_| connect(&process)).collect();
    for stream in &mut connections[..64] {
        stream.write_all(b"c1 d7:command4:pinge").unwrap();
        assert_eq!(read_until(stream, "ponge"), "c1 d6:result4:ponge");
    }
    let mut last = connections.pop().unwrap();
    last.write_all(b"c2 d7:command4:pinge").unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(last.read(&mut [0; 64]).is_err(), "it is not served yet");
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    connections.pop();
    assert_eq!(read_until(&mut last, "ponge"), "c2 d6:result4:ponge");
}

#[test]
fn a_list_that_fits_no_datagram_comes_whole_by_tcp() {
    let process = Process::start("27000-27999");
    let mut stream = connect(&process);
    let name = "x".repeat(900);
    for number in 0..100 {
        assert!(process.ask(&offer(&format!("o{number}"), &format!("{name}{number:03}"))).contains("\"ok\""));
    }
    let list = "c1 d7:command4:list5:limiti1000ee";
    let by_udp = process.ask(list);
    assert!(by_udp.contains("50 of 100 calls: the rest is too long for the transport"), "{}", by_udp.len());
    stream.write_all(list.replace("c1", "c2").as_bytes()).unwrap();
    let by_tcp = read_until(&mut stream, "6:result2:oke");
    assert!(by_tcp.contains(&format!("{name}099")) && by_tcp.len() > 90_000, "{}", by_tcp.len());
}

#[test]
fn what_is_refused_has_the_same_words_in_reply_log_and_metric() {
    let process = Process::start("26900-26999");
    let reply = process.ask(r#"c1 {"command":"offer","call-id":"x","from-tag":"a","sdp":"v=0\r\n","ICE":"forec"}"#);
    assert!(reply.contains("Bad value of ICE: forec"), "{reply}");
    process.logged(&["bad_value", "Bad value of ICE: forec"]);
    let metrics = process.page("/metrics").1;
    assert!(metrics.contains("\nsallyport_refusals_total{cause=\"bad_value\"} 1\n"), "{metrics}");
}

/// An offer over HTTP with so many more lines.
fn offer_of_lines(process: &Process, lines: usize) -> std::io::Result<(u16, String)> {
    let lines = "a=x\r\n".repeat(lines);
    let sdp = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{lines}");
    let dictionary = format!("d7:call-id3:big7:command5:offer8:from-tag1:a3:sdp{}:{sdp}e", sdp.len());
    try_post(process, &format!("big{} {dictionary}", sdp.len()))
}

#[test]
fn what_is_absurd_is_refused_in_the_same_words_everywhere_and_disturbs_nobody() {
    // Room for two transports of two ports.
    let process = Process::start("25000-25004");
    let port = audio_port(&process.ask(&offer("c0", "one")));
    let words = |process: &Process, message: &str, words: &str, cause: &str| {
        let reply = process.ask(message);
        assert!(reply.contains("\"result\":\"error\"") && reply.contains(words), "{reply}");
        process.logged(&[words, cause]);
        assert_eq!(process.metric(&format!("sallyport_refusals_total{{cause=\"{cause}\"}}")), 1.0);
        // Whoever was there is served as before: the same call's offer again, the same port.
        assert_eq!(audio_port(&process.ask(&offer(&format!("again-{cause}"), "one"))), port);
    };
    let secure = r#"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"}"#;
    let key = offer("k1", "key").replace(r#"m=audio 4000 RTP/AVP 0\r\n"}"#, secure);
    words(&process, &key, "a=crypto:1 passed over: key and salt are 3 bytes, not 30", "incomplete");
    let answer = offer("n1", "nobody").replace(r#""offer""#, r#""answer""#).replace(r#""a","#, r#""a","to-tag":"b","#);
    words(&process, &answer, "Unknown call-id", "unknown_call_id");
    // The Call-ID once more, from somebody else, who needs ports of its own.
    let twice = offer("t1", "one").replace(r#""from-tag":"a""#, r#""from-tag":"z""#);
    words(&process, &twice, "Ran out of ports: no free port on 127.0.0.1 in 25000-25003", "out_of_ports");

    let (status, body) = offer_of_lines(&process, 10_000).unwrap();
    assert!(status == 200 && body.contains("error") && body.contains("line"), "{status} {body}");
    // A million lines are more than a request may have: 413, or the connection is closed before they have been read.
    match offer_of_lines(&process, 1_000_000) {
        Ok((status, _)) => assert_eq!(status, 413),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}"),
    }
    assert_eq!(audio_port(&process.ask(&offer("end", "one"))), port);
}

#[test]
fn what_has_no_effect_is_logged_once() {
    let process = Process::start("25010-25099");
    for (number, flag) in ["trust-addres", "trust-addres", "symmetric", "symmetric", "last-one"].into_iter().enumerate()
    {
        let flags = format!(r#","flags":["{flag}"]"#);
        audio_port(&process.ask(&offer_with(&format!("c{number}"), &format!("call-{number}"), &flags)));
    }
    process.logged(&["unknown key or flag, ignored", "last-one"]);
    assert_eq!(process.lines_logged(&["unknown key or flag, ignored", "trust-addres"]), 1);
    assert_eq!(process.lines_logged(&["symmetric"]), 0, "rtpengine ignores it, too");
}
