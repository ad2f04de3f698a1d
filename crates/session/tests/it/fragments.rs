//! Trickled candidates.

use sallyport_session::{Flags, Options, Refusal, Reply, Request};

use crate::support::{Bench, negotiation};

const WEB: &str = "
    v=0
    o=- 5 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=ice-options:trickle
    m=audio 9 UDP/TLS/RTP/SAVPF 0
    c=IN IP4 0.0.0.0
    a=mid:a
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    a=rtcp-mux
";
const PHONE: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 UDP/TLS/RTP/SAVPF 0
    a=ice-ufrag:efgh
    a=ice-pwd:bbbbbbbbbbbbbbbbbbbbbbbb
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:active
    a=rtcp-mux
";
const PIECE: &str = "
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    m=audio 9 RTP/AVP 0
    a=mid:a
    a=candidate:1 1 udp 2130706431 192.0.2.20 50000 typ host
    a=candidate:2 1 tcp 1518280447 192.0.2.20 9 typ host tcptype active
    a=candidate:3 1 udp 1 nonsense
";

fn fragment(from: &str, to: Option<&str>, text: &str) -> Request {
    let options = Options { flags: Flags { fragment: true, ..Flags::default() }, ..Options::default() };
    Request::Offer(Box::new(negotiation(from, to, text, options)))
}

fn candidates(bench: &Bench) -> Vec<String> {
    let ice = bench.plan().transports[0].ice.as_ref().expect("ICE");
    ice.remote_candidates.iter().map(ToString::to_string).collect()
}

fn done(reply: Result<Reply, Refusal>) {
    assert!(matches!(reply, Ok(Reply::Done)), "{reply:?}");
}

#[test]
fn trickled_candidates_reach_the_plan_before_the_answer_and_after_it() {
    let mut bench = Bench::new();
    bench.offer(WEB, Options::default());
    done(bench.ask(fragment("a", None, PIECE)));
    bench.answer(PHONE, Options::default());
    assert_eq!(candidates(&bench), ["192.0.2.20:50000"]);
    done(bench.ask(fragment("a", Some("b"), &PIECE.replace("50000", "50002"))));
    done(bench.ask(fragment("a", Some("b"), &PIECE.replace("50000", "50002"))));
    assert_eq!(candidates(&bench), ["192.0.2.20:50000", "192.0.2.20:50002"]);
    assert_eq!(bench.ports_open(), 2, "a piece asks for nothing");
}

#[test]
fn candidates_of_another_generation_or_section_are_passed_over() {
    let mut bench = Bench::new();
    bench.offer(WEB, Options::default());
    bench.answer(PHONE, Options::default());
    done(bench.ask(fragment("a", None, &PIECE.replace("ufrag:abcd", "ufrag:old"))));
    done(bench.ask(fragment("a", None, &PIECE.replace("mid:a", "mid:b"))));
    assert_eq!(candidates(&bench), [""; 0]);
}

#[test]
fn candidates_have_a_bound() {
    let mut bench = Bench::new();
    bench.offer(WEB, Options::default());
    bench.answer(PHONE, Options::default());
    let many: String =
        (0..1000).map(|n| format!("a=candidate:1 1 udp 1 192.0.2.20 {} typ host\n", 20_000 + n)).collect();
    done(bench.ask(fragment("a", None, &format!("m=audio 9 RTP/AVP 0\na=mid:a\n{many}"))));
    assert_eq!(candidates(&bench).len(), 16);
}

#[test]
fn a_piece_belongs_to_a_call_and_a_party() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(fragment("a", None, PIECE)).unwrap_err(), Refusal::UnknownCallId);
    bench.offer(WEB, Options::default());
    assert_eq!(bench.ask(fragment("x", None, PIECE)).unwrap_err(), Refusal::FromTagNotFound);
    let mut whole = negotiation("a", None, WEB, Options::default());
    whole.options.flags.fragment = true;
    assert!(matches!(bench.ask(Request::Offer(Box::new(whole))), Ok(Reply::Sdp(_))), "a whole description is none");
}
