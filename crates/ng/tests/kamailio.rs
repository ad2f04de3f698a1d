//! A call as Kamailio 5.6 signals it, datagrams in and out, against a real session. The pump binds whatever it is asked for.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::time::{Instant, SystemTime};

use control::{CallStatistics, Command, Event, Fingerprint, HashAlgorithm};
use sallyport_ng::{Outcome, Peer, Server, ServerConfig};
use session::{Clocks, Interface, Output, Session, SessionConfig};

struct Door {
    server: Server,
    session: Session,
    cookies: usize,
}

impl Door {
    fn new() -> Self {
        let config = SessionConfig {
            interfaces: ["external", "internal"].map(|name| Interface::new(name, "127.0.0.1".parse().unwrap())).into(),
            fingerprints: vec![Fingerprint::new(HashAlgorithm::Sha256, &[7; 32]).unwrap()],
            ..SessionConfig::default()
        };
        let clocks = Clocks { instant: Instant::now(), system: SystemTime::now() };
        let session = Session::new(config, clocks, [3; 32]);
        Self { server: Server::new(ServerConfig::default()), session, cookies: 0 }
    }

    /// The reply to a dictionary, as JSON.
    fn ask(&mut self, dictionary: &str) -> serde_json::Value {
        self.cookies += 1;
        let datagram = format!("0_4711_{} {dictionary}", self.cookies);
        let peer = Peer::Datagram("127.0.0.1:5070".parse().unwrap());
        let now = Instant::now();
        let Outcome::Request(token, request) = self.server.handle_message(now, peer, datagram.as_bytes()) else {
            panic!("no request: {datagram}");
        };
        self.session.handle_request(now, token, *request);
        let mut replies = Vec::new();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Command(worker, Command::Open { request, call, .. }) => {
                    self.session.handle_event(now, worker, Event::Opened { request, call });
                }
                Output::Command(worker, Command::Query { request, call }) => {
                    let statistics = Some(Box::new(CallStatistics::default()));
                    self.session.handle_event(now, worker, Event::Statistics { request, call, statistics });
                }
                Output::Reply(token, reply) => replies.extend(self.server.handle_reply(now, token, &reply)),
                _ => {}
            }
        }
        assert_eq!(replies.len(), 1, "{dictionary}");
        let text = std::str::from_utf8(&replies[0].bytes).unwrap();
        serde_json::from_str(text.split_once(' ').unwrap().1).unwrap()
    }
}

const PHONE: &str = r"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 9 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const BROWSER: &str = r"v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\na=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20\r\na=setup:active\r\na=rtcp-mux\r\n";

/// Every key that was captured from its rtpengine module.
const CAPTURED: &str = r#""supports":["load limit"],"ICE":"force","DTLS":"passive","label":"caller","TOS":184,"address-family":"IP4","media-address":"127.0.0.1","direction":["external","internal"],"flags":["trust-address","generate-mid","strict-source","OSRTP-accept"],"replace":["origin","session-connection"],"codec":{"strip":["G722"]},"transport-protocol":"RTP/SAVPF","rtcp-mux":["offer","accept"],"SDES":["off","no-NULL_HMAC_SHA1_32"],"call-id":"c","via-branch":"z9hG4bKxyz","received-from":["IP4","127.0.0.1"],"from-tag":"a""#;

#[test]
fn a_call_of_kamailio_goes_through_without_a_warning() {
    let mut door = Door::new();
    let offer = door.ask(&format!(r#"{{{CAPTURED},"sdp":"{PHONE}","command":"offer"}}"#));
    assert_eq!((&offer["result"], offer.get("warning")), (&"ok".into(), None), "{offer}");
    let sdp = offer["sdp"].as_str().unwrap();
    for line in ["o=- 1 1 IN IP4 127.0.0.1\r\n", "a=mid:0\r\n", "a=setup:actpass\r\n", "a=rtcp-mux\r\n", "a=ice-ufrag:"]
    {
        assert!(sdp.contains(line), "{line} is not in {sdp}");
    }
    assert!(!sdp.contains("a=crypto") && !sdp.contains("G722"), "{sdp}");
    let options = r#""supports":["load limit"],"ICE":"remove","flags":["trust-address"],"replace":["origin","session-connection"],"rtcp-mux":["demux"],"call-id":"c","via-branch":"z9hG4bKxyz","received-from":["IP4","127.0.0.1"],"from-tag":"a","to-tag":"b""#;
    let answer = door.ask(&format!(r#"{{{options},"sdp":"{BROWSER}","command":"answer"}}"#));
    assert_eq!((&answer["result"], answer.get("warning")), (&"ok".into(), None), "{answer}");
    let party = r#""supports":["load limit"],"call-id":"c","received-from":["IP4","127.0.0.1"]"#;
    for command in ["block media", "unblock media", "silence media", "unsilence media", "block DTMF", "unblock DTMF"] {
        let reply = door.ask(&format!(r#"{{{party},"command":"{command}"}}"#));
        assert_eq!(reply, serde_json::json!({"result": "ok"}), "{command}");
    }
    let query = door.ask(&format!(r#"{{{party},"from-tag":"a","to-tag":"b","command":"query"}}"#));
    assert_eq!((&query["tags"]["a"]["label"], query.get("warning")), (&"caller".into(), None), "{query}");
    assert!(query["totals"]["RTP"]["bytes"].is_u64() && query["SSRC"].is_object(), "{query}");
    let delete = door.ask(&format!(r#"{{{party},"from-tag":"a","to-tag":"b","command":"delete"}}"#));
    assert_eq!((&delete["result"], delete.get("warning")), (&"ok".into(), None), "{delete}");
}
