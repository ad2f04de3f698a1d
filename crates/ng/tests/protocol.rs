//! Datagrams in, datagrams out, with a session played by the test.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use control::{Quality, QualitySample};
use proptest::prelude::*;
use sallyport_ng::{
    CommandName, CommandResult, Dictionary, MAX_STREAM_MESSAGE, Outcome, Outgoing, Peer, Server, ServerConfig, Value,
    bencode,
};
use session::{
    AddressFamily, CallReport, CodecOptions, Deleted, DtlsOption, Flags, IceOption, InterfaceOptions, MediaProfile,
    MediaReport, Negotiation, Options, OsrtpOptions, Party, Refusal, ReplaceOptions, Reply, Request, RewrittenSdp,
    RtcpMuxOptions, SdesOptions, SessionStatistics, SsrcReport, StreamReport, Subscribed, SubscribedMedia,
    SubscribedParty, TagReport, Tally, Token, Totals, TransportProtocol, Treat, Treatment, Unsubscribe,
};

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

fn peer(port: u16) -> Peer {
    Peer::Datagram(SocketAddr::from(([192, 0, 2, 9], port)))
}

fn server() -> Server {
    Server::new(ServerConfig::default())
}

/// The reply to a datagram that needs no session.
fn reply(server: &mut Server, datagram: &[u8]) -> String {
    match server.handle_message(Instant::now(), peer(1), datagram) {
        Outcome::Reply(reply) => String::from_utf8(reply.bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn request(server: &mut Server, datagram: &[u8]) -> (Token, Request) {
    match server.handle_message(Instant::now(), peer(1), datagram) {
        Outcome::Request(token, request) => (token, *request),
        other => panic!("{other:?}"),
    }
}

/// The whole exchange of one datagram for which the session has this answer.
fn exchange(datagram: &[u8], answer: Result<Reply, Refusal>) -> String {
    let mut server = server();
    let (token, _) = request(&mut server, datagram);
    let replies = server.handle_reply(Instant::now(), token, &answer);
    assert_eq!(replies.len(), 1);
    String::from_utf8(replies[0].bytes.to_vec()).unwrap()
}

fn sdp_reply(warnings: &[&str]) -> Result<Reply, Refusal> {
    let warnings = warnings.iter().map(|&warning| warning.into()).collect();
    Ok(Reply::Sdp(RewrittenSdp { sdp: b"v=0\r\n".to_vec(), warnings }))
}

#[test]
fn ping_is_answered_at_once_in_its_own_encoding() {
    let mut server = server();
    assert_eq!(reply(&mut server, b"5323_1 d7:command4:pinge"), "5323_1 d6:result4:ponge");
    assert_eq!(reply(&mut server, br#"5323_2 {"command": "ping"}"#), r#"5323_2 {"result":"pong"}"#);
    assert_eq!(server.counters().of(CommandName::Ping, CommandResult::Pong), 2);
}

/// As Kamailio 5.6.3's rtpengine module wrote it on the wire.
#[test]
fn an_offer_of_kamailio_is_understood_to_the_last_key() {
    let datagram = format!(
        "0_4711_3 d8:supportsl10:load limite3:sdp90:{SDP}3:ICE5:force4:DTLS7:passive5:label6:caller3:TOSi184e14:address-\
         family3:IP413:media-address9:127.0.0.19:directionl8:external8:internale5:flagsl13:trust-address12:generate-\
         mid13:strict-source12:OSRTP-accepte7:replacel6:origin18:session-connectione5:codecd5:stripl4:G722ee18:transport-\
         protocol9:RTP/SAVPF8:rtcp-muxl5:offer6:accepte4:SDESl3:off20:no-NULL_HMAC_SHA1_32e7:call-id31:a84b4c76e66710@\
         pc33.example.com10:via-branch10:z9hG4bKxyz13:received-froml3:IP49:127.0.0.1e8:from-tag10:19283017746:to-tag7:\
         a6c85cf7:command5:offere"
    );
    let mut server = server();
    let (token, request) = request(&mut server, datagram.as_bytes());
    let null = session_profile("NULL_HMAC_SHA1_32");
    let expected = Negotiation {
        call_id: "a84b4c76e66710@pc33.example.com".into(),
        from_tag: "1928301774".into(),
        to_tag: Some("a6c85cf".into()),
        via_branch: Some("z9hG4bKxyz".into()),
        sdp: SDP.into(),
        received_from: "127.0.0.1".parse().ok(),
        options: Options {
            transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavpf)),
            ice: Some(IceOption::Force),
            dtls: Some(DtlsOption::Passive),
            sdes: SdesOptions { off: true, exclude: vec![null], ..SdesOptions::default() },
            osrtp: OsrtpOptions { accept: true, accept_legacy: true, ..OsrtpOptions::default() },
            rtcp_mux: RtcpMuxOptions { offer: true, accept: true, ..RtcpMuxOptions::default() },
            interfaces: InterfaceOptions { from: Some("external".into()), to: Some("internal".into()) },
            replace: ReplaceOptions { origin: true, session_connection: true, ..ReplaceOptions::default() },
            flags: Flags { trust_address: true, generate_mid: true, strict_source: true, ..Flags::default() },
            address_family: Some(AddressFamily::Ip4),
            media_address: "127.0.0.1".parse().ok(),
            label: Some("caller".into()),
            traffic_class: Some(184),
            codec: CodecOptions { strip: vec!["G722".into()], ..CodecOptions::default() },
            ..Options::default()
        },
    };
    assert_eq!(request, Request::Offer(Box::new(expected)));
    let replies = server.handle_reply(Instant::now(), token, &sdp_reply(&[]));
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].peer, peer(1));
    assert_eq!(&*replies[0].bytes, b"0_4711_3 d6:result2:ok3:sdp5:v=0\r\ne");
}

fn session_profile(name: &str) -> control::Profile {
    control::Profile::from_sdes_name(name).unwrap()
}

#[test]
fn an_answer_in_json_gets_its_reply_in_json() {
    let datagram =
        br#"c1 {"command":"answer","call-id":"c","from-tag":"a","to-tag":"b","sdp":"v=0\r\n","flags":["WebRTC"]}"#;
    let mut server = server();
    let (token, request) = request(&mut server, datagram);
    let Request::Answer(answer) = request else { panic!() };
    assert_eq!(
        (answer.call_id.as_str(), answer.to_tag.as_deref(), answer.sdp.as_slice()),
        ("c", Some("b"), &b"v=0\r\n"[..])
    );
    assert!(answer.options.flags.web_rtc);
    let replies = server.handle_reply(Instant::now(), token, &sdp_reply(&["one", "two"]));
    assert_eq!(&*replies[0].bytes, br#"c1 {"result":"ok","warning":"one; two","sdp":"v=0\r\n"}"#);
}

#[test]
fn delete_reads_its_flags_and_answers_with_a_warning_or_statistics() {
    let datagram =
        b"c d7:command6:delete7:call-id1:c8:from-tag1:a6:to-tag1:b5:flagsl5:fatal4:fast6:to-tage12:delete delay1:0e";
    let mut server = server();
    let (_, request) = request(&mut server, datagram);
    let Request::Delete(delete) = request else { panic!() };
    assert!(delete.fatal && delete.fast && delete.match_to_tag);
    assert_eq!((delete.delay, delete.from_tag.as_deref()), (Some(Duration::ZERO), Some("a")));
    let unknown = Deleted { report: None, warning: Some("Call-ID not found or tags didn't match") };
    assert_eq!(
        exchange(b"c d7:command6:delete7:call-id1:ce", Ok(Reply::Deleted(unknown))),
        "c d6:result2:ok7:warning38:Call-ID not found or tags didn't matche"
    );
}

fn call_report() -> CallReport {
    CallReport {
        call_id: "c".into(),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_402_064_200),
        created: SystemTime::UNIX_EPOCH + Duration::from_micros(1_402_064_111_250_000),
        last_signal: SystemTime::UNIX_EPOCH + Duration::from_secs(1_402_064_116),
        totals: Totals {
            rtp: Tally { packets: 705, bytes: 100_287, errors: 1 },
            rtcp: Tally { packets: 22, bytes: 2244, errors: 0 },
        },
        ssrcs: BTreeMap::from([(
            77,
            SsrcReport {
                packets: 5,
                bytes: 800,
                last_timestamp: 160,
                last_sequence_number: 9,
                cumulative_loss: -1,
                jitter: 3,
                quality: None,
            },
        )]),
        tags: vec![TagReport {
            tag: "a".into(),
            via_branch: Some("z9".into()),
            label: Some("caller".into()),
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_402_064_111),
            in_dialogue_with: vec!["b".into()],
            medias: vec![MediaReport {
                index: 1,
                kind: "audio".into(),
                protocol: "RTP/SAVPF".into(),
                codec: Some("opus".into()),
                flags: vec!["ICE", "DTLS-SRTP"],
                ingress_ssrcs: vec![77],
                egress_ssrcs: vec![78],
                streams: vec![StreamReport {
                    local: "192.0.2.1:30018".parse().unwrap(),
                    endpoint: "192.0.2.2:57370".parse().ok(),
                    advertised_endpoint: "[2001:db8::2]:57371".parse().ok(),
                    crypto_suite: Some(session_profile("AEAD_AES_128_GCM")),
                    last_packet: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_402_064_124)),
                    ssrcs: vec![77],
                    flags: vec!["RTP"],
                    received: Tally { packets: 343, bytes: 56_950, errors: 1 },
                    sent: Tally { packets: 3, bytes: 300, errors: 0 },
                }],
            }],
        }],
        statistics: None,
    }
}

#[test]
fn a_query_is_answered_in_rtpengines_structure() {
    let expected = concat!(
        r#"1 {"result":"ok","created":1402064111,"created_us":250000,"created_ts":1402064111250000,"#,
        r#""last signal":1402064116,"last redis update":0,"#,
        r#""SSRC":{"77":{"packets":5,"bytes":800,"last RTP timestamp":160,"last RTP seq":9,"cumulative loss":-1,"jitter":3}},"#,
        r#""tags":{"a":{"tag":"a","via-branch":"z9","label":"caller","created":1402064111,"in dialogue with":"b","#,
        r#""subscriptions":[{"tag":"b","type":"offer/answer"}],"subscribers":[{"tag":"b","type":"offer/answer"}],"#,
        r#""medias":[{"index":1,"type":"audio","protocol":"RTP/SAVPF","codec":"opus","#,
        r#""streams":[{"local port":30018,"local address":"192.0.2.1","family":"IPv4","#,
        r#""endpoint":{"family":"IPv4","address":"192.0.2.2","port":57370},"#,
        r#""advertised endpoint":{"family":"IPv6","address":"2001:db8::2","port":57371},"#,
        r#""crypto suite":"AEAD_AES_128_GCM","last packet":1402064124,"last kernel packet":0,"last user packet":1402064124,"#,
        r#""SSRC":77,"flags":["RTP"],"stats":{"packets":343,"bytes":56950,"errors":1},"#,
        r#""stats_out":{"packets":3,"bytes":300,"errors":0}}],"#,
        r#""flags":["ICE","DTLS-SRTP"],"ingress SSRCs":[77],"egress SSRCs":[78]}]}},"#,
        r#""totals":{"RTP":{"packets":705,"bytes":100287,"errors":1},"RTCP":{"packets":22,"bytes":2244,"errors":0}}}"#,
    );
    let asked = br#"1 {"command":"query","call-id":"c"}"#;
    assert_eq!(exchange(asked, Ok(Reply::Query(Box::new(call_report())))), expected);
}

fn treat(datagram: &[u8]) -> Treat {
    match request(&mut server(), datagram) {
        (_, Request::Treat(treat)) => treat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn media_is_blocked_silenced_and_freed_in_either_spelling() {
    for (command, treatment, on) in [
        ("block media", Treatment::Block, true),
        ("unblock-media", Treatment::Block, false),
        ("block_DTMF", Treatment::BlockDtmf, true),
        ("unblock DTMF", Treatment::BlockDtmf, false),
        ("silence media", Treatment::Silence, true),
        ("unsilence media", Treatment::Silence, false),
    ] {
        // As Kamailio sends it: no more than this.
        let length = command.len();
        let datagram = format!(
            "1 d8:supportsl10:load limite7:command{length}:{command}7:call-id1:c13:received-froml3:IP49:127.0.0.1ee"
        );
        let expected = Treat { call_id: "c".into(), treatment, on, from: None, to: None, all: false, label: None };
        assert_eq!(treat(datagram.as_bytes()), expected);
    }
    assert_eq!(exchange(b"1 d7:command11:block media7:call-id1:ce", Ok(Reply::Done)), "1 d6:result2:oke");
}

#[test]
fn a_party_is_named_by_tag_label_or_address() {
    let tagged = treat(
        br#"1 {"command":"block media","call-id":"c","from-tag":"a","to-label":"x","set-label":"y","flags":["all"]}"#,
    );
    assert_eq!((tagged.from, tagged.to), (Some(Party::Tag("a".into())), Some(Party::Label("x".into()))));
    assert_eq!((tagged.all, tagged.label.as_deref()), (true, Some("y")));
    let labelled = treat(br#"1 {"command":"block DTMF","call-id":"c","label":"x","all":"all"}"#);
    assert_eq!((labelled.from, labelled.all), (Some(Party::Label("x".into())), true));
    let addressed = treat(br#"1 {"command":"block DTMF","call-id":"c","address":"192.0.2.1","flags":["egress"]}"#);
    assert_eq!((addressed.from, addressed.to), (None, Some(Party::Address("192.0.2.1".parse().unwrap()))));
    let text = reply(&mut server(), br#"1 {"command":"block DTMF","call-id":"c","DTMF-security":"tone"}"#);
    assert!(text.contains("Bad value of DTMF-security: tone (this relay can only drop)"), "{text}");
}

#[test]
fn the_parties_of_a_subscription_are_named_in_a_list_or_by_flags() {
    let parties = |more: &str| {
        let text = format!(r#"1 {{"command":"subscribe request","call-id":"c","from-tag":"z"{more}}}"#);
        let (_, Request::Subscribe(asked)) = request(&mut server(), text.as_bytes()) else { panic!("{text}") };
        asked.from_tags
    };
    for (more, tags) in [
        ("", &["z"][..]),
        (r#","from-tags":["a","B_b"]"#, &["a", "B_b"]),
        (r#","flags":["from-tags-a","from_tags-B_b"]"#, &["a", "B_b"]),
        (r#","rtpp-flags":"SIPREC from-tags-a from-tags-B_b""#, &["a", "B_b"]),
        (r#","rtpp-flags":"from-tags=[a B_b]""#, &["a", "B_b"]),
        (r#","flags":["all","from-tags-a"]"#, &[]),
    ] {
        assert_eq!(parties(more), tags, "{more}");
    }
}

#[test]
fn a_subscription_is_answered_in_rtpengines_structure() {
    let mut server = server();
    let asked = br#"1_1 {"command":"subscribe request","call-id":"c","from-tag":"a","from-tags":["a","b"],"to_tag":"r",
        "set-label":"recorder","flags":["SIPREC"],"transport-protocol":"RTP/SAVP","received-from":["IP4","192.0.2.1"]}"#;
    let (token, asked) = request(&mut server, asked);
    let Request::Subscribe(asked) = asked else { panic!("{asked:?}") };
    assert_eq!((asked.call_id.as_str(), &asked.from_tags[..]), ("c", &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((asked.to_tag.as_deref(), asked.options.to_label.as_deref()), (Some("r"), Some("recorder")));
    assert!(asked.options.flags.siprec && !asked.options.flags.all);
    let media = |label: Option<&str>| SubscribedMedia {
        index: 1,
        kind: "audio".into(),
        label: label.map(str::to_owned),
        mode: "sendrecv",
    };
    let party = |tag: &str, label: Option<&str>, media| SubscribedParty {
        tag: tag.into(),
        label: label.map(str::to_owned),
        medias: vec![media],
    };
    let told = |sources| {
        let offer = RewrittenSdp { sdp: b"v=0".to_vec(), warnings: Vec::new() };
        Ok(Reply::Subscribed(Box::new(Subscribed { offer, to_tag: "r".into(), sources })))
    };
    let sources = vec![party("a", Some("caller"), media(Some("0"))), party("b", None, media(Some("1")))];
    let replies = server.handle_reply(Instant::now(), token, &told(sources));
    assert_eq!(
        String::from_utf8(replies[0].bytes.to_vec()).unwrap(),
        concat!(
            r#"1_1 {"result":"ok","sdp":"v=0","from-tags":["a","b"],"to-tag":"r","tag-medias":["#,
            r#"{"tag":"a","label":"caller","medias":[{"index":1,"type":"audio","label":"0","mode":"sendrecv"}]},"#,
            r#"{"tag":"b","medias":[{"index":1,"type":"audio","label":"1","mode":"sendrecv"}]}],"#,
            r#""media-labels":{"0":{"index":1,"type":"audio","tag":"a","mode":"sendrecv","label":"caller"},"#,
            r#""1":{"index":1,"type":"audio","tag":"b","mode":"sendrecv"}}}"#,
        )
    );
    let only = exchange(
        b"1_2 d7:command17:subscribe request7:call-id1:c8:from-tag1:a5:flagsl3:allee",
        told(vec![party("a", None, media(None))]),
    );
    assert_eq!(
        only,
        "1_2 d8:from-tag1:a9:from-tagsl1:ae6:result2:ok3:sdp3:v=010:tag-mediasld6:mediasld5:indexi1e4:mode8:sendrecv\
         4:type5:audioee3:tag1:aee6:to-tag1:re"
    );
}

#[test]
fn a_subscriber_answers_and_leaves() {
    let mut server = server();
    let asked = br#"1_1 {"command":"subscribe_answer","call-id":"c","to-tag":"r","sdp":"v=0"}"#;
    let (token, asked) = request(&mut server, asked);
    assert!(matches!(&asked, Request::SubscribeAnswer(answer) if answer.to_tag.as_deref() == Some("r")), "{asked:?}");
    let replies = server.handle_reply(Instant::now(), token, &Ok(Reply::Done));
    assert_eq!(replies[0].bytes.as_ref(), br#"1_1 {"result":"ok"}"#);
    let (_, asked) = request(&mut server, br#"1_2 {"command":"unsubscribe","call-id":"c","to-tag":"r"}"#);
    let expected = Unsubscribe { call_id: "c".into(), to_tag: Some("r".into()) };
    assert!(matches!(&asked, Request::Unsubscribe(asked) if *asked == expected), "{asked:?}");
    assert_eq!(server.counters().of(CommandName::SubscribeAnswer, CommandResult::Ok), 1);
}

#[test]
fn list_and_statistics_are_answered() {
    let mut server = server();
    let (_, first) = request(&mut server, b"1 d7:command4:liste");
    let (_, second) = request(&mut server, b"2 d7:command4:list5:limit2:10e");
    assert_eq!((first, second), (Request::List { limit: 32 }, Request::List { limit: 10 }));
    assert_eq!(
        reply(&mut server, b"3 d7:command4:list5:limiti0ee"),
        "3 d12:error-reason24:limit must be above zero6:result5:errore"
    );
    let calls = Ok(Reply::List(vec!["x".into(), "y".into()]));
    assert_eq!(exchange(b"1 d7:command4:liste", calls), "1 d5:callsl1:x1:ye6:result2:oke");
    let statistics = SessionStatistics { calls: 2, offers: 7, ..SessionStatistics::default() };
    let text = exchange(br#"1 {"command":"statistics"}"#, Ok(Reply::Statistics(Box::new(statistics))));
    let json: serde_json::Value = serde_json::from_str(text.strip_prefix("1 ").unwrap()).unwrap();
    assert_eq!(json["statistics"]["currentstatistics"]["sessionstotal"], 2);
    assert_eq!(json["statistics"]["controlstatistics"]["totaloffercount"], 7);
    assert_eq!(json["statistics"]["totalstatistics"]["uptime"], "0");
}

#[test]
fn refusals_are_errors_in_the_sessions_words() {
    let offer = b"1 d7:command5:offere";
    for (refusal, reason) in [
        (Refusal::NoCallId, "No call-id in message"),
        (Refusal::NoSdp, "No SDP body in message"),
        (Refusal::UnknownCallId, "Unknown call-id"),
        (Refusal::Unsupported("codec transcode".into()), "Unsupported option: codec transcode"),
    ] {
        let expected = format!("1 d12:error-reason{}:{reason}6:result5:errore", reason.len());
        assert_eq!(exchange(offer, Err(refusal)), expected);
    }
}

#[test]
fn a_load_limit_is_an_error_unless_the_requester_knows_better() {
    let full = || Err(Refusal::LoadLimit("100 calls".into()));
    assert_eq!(exchange(b"1 d7:command5:offere", full()), "1 d12:error-reason9:100 calls6:result5:errore");
    assert_eq!(
        exchange(b"1 d8:supportsl10:load limite7:command5:offere", full()),
        "1 d7:message9:100 calls6:result10:load limite"
    );
}

#[test]
fn unbuilt_and_unknown_commands_are_refused_by_name() {
    let mut server = server();
    for (command, reason) in [
        ("play media", "Unsupported command: play media (this relay does not play media)"),
        ("start recording", "Unsupported command: start recording (this relay does not record)"),
        ("publish", "Unsupported command: publish (this relay does not fork media)"),
        ("inject start", "Unsupported command: inject start (this relay does not fork media)"),
        ("offfer", "Unrecognized command: offfer"),
        ("", "Unrecognized command: "),
    ] {
        let datagram = format!("{} d7:command{}:{command}e", command.len() + 50, command.len());
        let text = reply(&mut server, datagram.as_bytes());
        assert!(text.ends_with(&format!("d12:error-reason{}:{reason}6:result5:errore", reason.len())), "{text}");
    }
    assert_eq!(server.counters().of(CommandName::Unsupported, CommandResult::Error), 4);
    assert_eq!(server.counters().of(CommandName::Unrecognized, CommandResult::Error), 2);
}

#[test]
fn malformed_messages_get_an_error_that_names_the_place() {
    let mut server = server();
    for (body, reason) in [
        ("", "Failed to decode message: message ends inside a value at byte 0"),
        (
            "d7:command5:offer3:sdp4294967296:v=0e",
            "Failed to decode message: string longer than the message at byte 22",
        ),
        ("d7:command99999999999999999999:e", "Failed to decode message: string longer than the message at byte 10"),
        ("d7:command5:offer", "Failed to decode message: message ends inside a value at byte 17"),
        ("d7:commandi1ee", "command is a number, not a string"),
        ("de", "No command in message"),
        ("le", "Failed to decode message: message is a list, not a dictionary"),
        ("d7:command5:offer3:sdpi1ee", "sdp is a number, not a string"),
        ("d7:command5:offer7:call-idlee", "call-id is a list, not a string"),
        ("d7:command5:offer13:received-from3:anye", "Bad value of received-from: any"),
    ] {
        let text = reply(&mut server, format!("c {body}").as_bytes());
        assert_eq!(text, format!("c d12:error-reason{}:{reason}6:result5:errore", reason.len()), "{body}");
    }
    let text = reply(&mut server, br#"c {"command": "#);
    assert_eq!(
        text,
        r#"c {"result":"error","error-reason":"Failed to decode message: EOF while parsing a value at line 1 column 12"}"#
    );
}

#[test]
fn what_has_no_cookie_is_dropped_and_counted() {
    let mut server = server();
    for datagram in [&b""[..], b"\x80\x00\x12\x34", b"nospace", b" d7:command4:pinge"] {
        assert!(matches!(server.handle_message(Instant::now(), peer(1), datagram), Outcome::Unreadable));
    }
    assert_eq!(server.counters().malformed, 4);
}

#[test]
fn a_description_of_a_million_lines_passes_through_as_bytes() {
    let sdp = "a\n".repeat(1_000_000);
    let datagram = format!("1 d7:command5:offer3:sdp{}:{sdp}e", sdp.len());
    let (_, request) = request(&mut server(), datagram.as_bytes());
    let Request::Offer(offer) = request else { panic!() };
    assert_eq!(offer.sdp.len(), 2_000_000);
}

#[test]
fn a_repeated_request_is_done_once_and_answered_to_everybody() {
    let now = Instant::now();
    let mut server = server();
    let datagram = b"0_1_7 d7:command5:offere";
    let (token, _) = request(&mut server, datagram);
    for port in [1, 2] {
        assert!(matches!(server.handle_message(now, peer(port), datagram), Outcome::Absorbed));
    }
    let replies = server.handle_reply(now, token, &sdp_reply(&[]));
    assert_eq!(replies.iter().map(|reply| reply.peer).collect::<Vec<_>>(), [peer(1), peer(2)]);
    assert_eq!(replies[0].bytes, replies[1].bytes);
    let Outcome::Reply(again) = server.handle_message(now, peer(3), datagram) else { panic!() };
    assert_eq!((again.peer, &again.bytes), (peer(3), &replies[0].bytes));
    assert_eq!(server.counters().retransmissions, 3);
    assert_eq!(server.counters().of(CommandName::Offer, CommandResult::Ok), 1);
    assert!(server.handle_reply(now, token, &sdp_reply(&[])).is_empty());
    // After its time it is a request once more.
    let later = now + Duration::from_secs(31);
    assert!(matches!(server.handle_message(later, peer(1), datagram), Outcome::Request(..)));
}

#[test]
fn two_proxies_with_the_same_cookie_do_not_get_each_others_reply() {
    let mut server = server();
    let (first, _) = request(&mut server, b"0_1_7 d7:call-id1:x7:command5:offere");
    server.handle_reply(Instant::now(), first, &sdp_reply(&[]));
    let (_, second) = request(&mut server, b"0_1_7 d7:call-id1:y7:command5:offere");
    let Request::Offer(offer) = second else { panic!() };
    assert_eq!(offer.call_id, "y");
}

#[test]
fn beyond_the_bound_requests_are_refused_and_may_be_repeated() {
    let mut server = Server::new(ServerConfig { requests: 1, ..ServerConfig::default() });
    let (token, _) = request(&mut server, b"1 d7:command5:offere");
    let second = b"2 d8:supportsl10:load limite7:command5:offere";
    assert_eq!(reply(&mut server, second), "2 d7:message27:Too many requests at a time6:result10:load limite");
    server.handle_reply(Instant::now(), token, &sdp_reply(&[]));
    request(&mut server, second);
    assert_eq!(server.under_way(), 1);
}

fn list_of(calls: usize) -> Result<Reply, Refusal> {
    Ok(Reply::List((0..calls).map(|number| format!("call-{number:05}")).collect()))
}

#[test]
fn a_reply_of_65507_bytes_is_whole_and_one_more_is_shortened() {
    // `1 d5:callsl` … `e6:result2:oke`: 25 bytes around a single Call-ID with its length.
    let sized = |length: usize| Ok(Reply::List(vec!["x".repeat(length - 25 - "65476:".len())]));
    let asked = b"1 d7:command4:list5:limiti10000ee";
    let whole = exchange(asked, sized(65_507));
    assert_eq!(whole.len(), 65_507);
    assert!(whole.ends_with("xe6:result2:oke"), "{}", &whole[65_400..]);
    assert_eq!(exchange(asked, sized(65_508)), "1 d12:error-reason32:Reply too long for its transport6:result5:errore");
}

#[test]
fn of_a_list_as_much_comes_as_fits() {
    let text = exchange(b"1 d7:command4:list5:limiti10000ee", list_of(10_000));
    assert!(
        text.contains("59:5000 of 10000 calls: the rest is too long for the transport"),
        "{}",
        &text[text.len() - 200..]
    );
    assert!(text.contains("10:call-04999e6:result2:ok") && !text.contains("call-05000") && text.len() < 65_507);
}

#[test]
fn on_a_connection_the_same_reply_is_whole() {
    let now = Instant::now();
    let mut server = server();
    let asked = b"1 d7:command4:list5:limiti10000ee";
    let (token, _) = request(&mut server, asked);
    assert!(matches!(server.handle_message(now, Peer::Connection(4), asked), Outcome::Absorbed));
    let replies = server.handle_reply(now, token, &list_of(10_000));
    let of = |peer: Peer| replies.iter().find(|reply| reply.peer == peer).unwrap().bytes.len();
    assert!(of(peer(1)) < 65_507 && of(Peer::Connection(4)) > 130_000);
    assert!(of(Peer::Connection(4)) <= MAX_STREAM_MESSAGE);
}

#[test]
fn a_long_report_keeps_what_an_sbc_makes_variables_of() {
    let mut report = call_report();
    let tag = report.tags[0].clone();
    report.tags = (0..200).map(|number| TagReport { tag: format!("tag-{number}"), ..tag.clone() }).collect();
    let text = exchange(br#"1 {"command":"query","call-id":"c"}"#, Ok(Reply::Query(Box::new(report))));
    let json: serde_json::Value = serde_json::from_str(text.strip_prefix("1 ").unwrap()).unwrap();
    assert_eq!(json["warning"], "tags left out: too long for the transport");
    assert_eq!((&json["totals"]["RTP"]["packets"], &json["SSRC"]["77"]["packets"]), (&705.into(), &5.into()));
    assert!(json.get("tags").is_none());
}

/// What Kamailio makes its MOS variables of: by SSRC, and by label through the SSRC of the party's first stream.
#[test]
fn quality_is_told_in_rtpengines_units() {
    let sample = |mos, loss, jitter, round_trip| QualitySample {
        age: Duration::from_secs(40),
        mos,
        loss,
        jitter: Duration::from_micros(jitter),
        round_trip: Some(Duration::from_micros(round_trip)),
    };
    let mut report = call_report();
    let stream = report.ssrcs.get_mut(&77).unwrap();
    stream.quality = Some(Quality {
        samples: 3,
        average: sample(414, 149, 3200, 297_329),
        latest: QualitySample::default(),
        lowest: sample(396, 400, 900, 249_450),
        highest: sample(435, 0, 1000, 261_626),
    });
    let text = exchange(br#"1 {"command":"query","call-id":"c"}"#, Ok(Reply::Query(Box::new(report))));
    let expected = concat!(
        r#""average MOS":{"MOS":41,"round-trip time":297329,"round-trip time leg":297329,"jitter":3,"packet loss":1,"samples":3},"#,
        r#""lowest MOS":{"MOS":40,"round-trip time":249450,"round-trip time leg":249450,"jitter":0,"packet loss":4,"reported at":1402064160},"#,
        r#""highest MOS":{"MOS":44,"round-trip time":261626,"round-trip time leg":261626,"jitter":1,"packet loss":0,"reported at":1402064160}"#,
    );
    assert!(text.contains(expected), "{text}");
}

#[test]
fn ssrc_reporting_none_leaves_the_ssrcs_out() {
    let asked = br#"1 {"command":"query","call-id":"c","ssrc-reporting":"none"}"#;
    let text = exchange(asked, Ok(Reply::Query(Box::new(call_report()))));
    assert!(text.contains("\"tags\"") && !text.contains("\"SSRC\":{"), "{text}");
}

#[test]
fn every_party_of_a_reply_has_a_key_of_its_own() {
    let mut report = call_report();
    let named = |tag: &str, branch: &str| TagReport {
        tag: tag.into(),
        via_branch: Some(branch.into()),
        ..call_report().tags[0].clone()
    };
    report.tags = vec![named("a", "x"), named("", "a"), named("", "b"), named("", "c"), named("b", "c")];
    let text = exchange(br#"1 {"command":"query","call-id":"c"}"#, Ok(Reply::Query(Box::new(report))));
    let json: serde_json::Value = serde_json::from_str(text.strip_prefix("1 ").unwrap()).unwrap();
    let tags = json["tags"].as_object().unwrap();
    let branch_of = |key: &str| tags[key]["via-branch"].as_str().unwrap();
    assert_eq!(tags.len(), 5, "{tags:?}");
    assert_eq!(
        (branch_of("a"), branch_of(""), branch_of("#2"), branch_of("c"), branch_of("b")),
        ("x", "a", "b", "c", "c")
    );
}

#[test]
fn pings_and_errors_drive_no_reply_out_of_the_cache() {
    let now = Instant::now();
    let mut server = Server::new(ServerConfig { cache_entries: 2, ..ServerConfig::default() });
    let offer = b"0_1_7 d7:command5:offere";
    let (token, _) = request(&mut server, offer);
    let first = server.handle_reply(now, token, &sdp_reply(&[]));
    for number in 0..10 {
        reply(&mut server, format!("p{number} d7:command4:pinge").as_bytes());
        reply(&mut server, format!("e{number} d7:command1:xe").as_bytes());
    }
    assert_eq!(server.cached(), 1);
    let Outcome::Reply(again) = server.handle_message(now, peer(1), offer) else { panic!() };
    assert_eq!(again.bytes, first[0].bytes);
}

#[test]
fn a_request_that_nobody_answers_ends_with_an_error_and_may_come_again() {
    let now = Instant::now();
    let config = ServerConfig { requests: 1, patience: Duration::from_secs(60), ..ServerConfig::default() };
    let mut server = Server::new(config);
    let offer = b"1 d7:command5:offere";
    let (token, _) = request(&mut server, offer);
    let started = server.poll_timeout().unwrap() - Duration::from_secs(60);
    assert!(server.handle_timeout(started + Duration::from_millis(59_999)).is_empty());
    let replies = server.handle_timeout(started + Duration::from_secs(60));
    let expected = b"1 d12:error-reason34:The session did not answer in time6:result5:errore";
    assert_eq!(replies, [Outgoing { peer: peer(1), bytes: expected.to_vec().into() }]);
    assert_eq!((server.under_way(), server.poll_timeout()), (0, None));
    assert!(server.handle_reply(now, token, &sdp_reply(&[])).is_empty(), "too late");
    request(&mut server, offer);
    assert!(server.counters().faults().any(|fault| fault == ("no_answer", 1)));
}

#[test]
fn what_is_refused_here_is_counted_by_cause() {
    let mut server = server();
    for body in ["x", "de", "d7:command1:xe", "d7:command3:clie", "d7:command5:offer3:ICE1:xe"] {
        reply(&mut server, format!("c {body}").as_bytes());
    }
    let counted: Vec<_> = server.counters().faults().filter(|&(_, count)| count > 0).collect();
    let expected = ["malformed_message", "no_command", "unrecognized_command", "unsupported_command", "bad_value"]
        .map(|label| (label, 1));
    assert_eq!(counted, expected);
}

proptest! {
    #[test]
    fn arbitrary_datagrams_never_panic(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
        server().handle_message(Instant::now(), peer(1), &datagram);
    }

    #[test]
    fn arbitrary_dictionaries_are_answered_or_handed_on(
        command in "(ping|offer|answer|delete|query|list|statistics|play media|x)",
        entries in prop::collection::vec(("(flags|ICE|SDES|codec|replace|direction|TOS|limit|supports|call-id|rtcp-mux|rtpp-flags|delete delay|[a-z_ -]{1,12})", any_value()), 0..6),
    ) {
        let mut dictionary = Dictionary::new().with("command", Value::string(command));
        for (key, value) in entries {
            dictionary.insert(key, value);
        }
        let datagram = [b"1 ".as_slice(), &bencode::encode(&dictionary.into())].concat();
        prop_assert!(!matches!(server().handle_message(Instant::now(), peer(1), &datagram), Outcome::Absorbed));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        "\\PC{0,20}".prop_map(Value::string),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(("[a-z]{1,8}", inner), 0..4).prop_map(|entries| {
                let mut dictionary = Dictionary::new();
                entries.into_iter().for_each(|(key, value)| dictionary.insert(key, value));
                dictionary.into()
            }),
        ]
    })
}
