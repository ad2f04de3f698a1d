//! Whatever the order of requests: no panic, one reply each, and no port left behind.

use std::time::Duration;

use control::{BindFailure, Event};
use proptest::prelude::*;
use sallyport_session::{
    Delete, DtlsOption, IceOption, MediaProfile, Options, Query, Request, SessionConfig, TransportProtocol,
};

use crate::support::{Bench, config, negotiation, rewritten};

const PARTS: [&str; 12] = [
    "m=audio 4000 RTP/AVP 0 8\na=rtcp-mux",
    "m=audio 4002 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
    "m=audio 4004 RTP/SAVPF 0\na=crypto:2 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=rtcp-mux\na=setup:actpass\na=ice-ufrag:abcd\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa",
    "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:1\na=rtcp-mux\na=setup:active\na=ice-ufrag:abcd\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa",
    "m=video 0 RTP/AVP 96",
    "m=image 5000 udptl t38",
    "m=audio 4006 RTP/SAVP 0\na=setup:passive",
    "m=video 0 UDP/TLS/RTP/SAVPF 96\na=mid:1\na=bundle-only\na=rtcp-mux\na=setup:actpass",
    "m=audio 4008 RTP/AVPF 0\nc=IN IP4 0.0.0.0\na=inactive",
    "m=audio 4010 UDP/TLS/RTP/SAVP 0\na=setup:holdconn",
    "m=audio 4012 RTP/AVP 0\na=rtcp:4013 IN IP4 192.0.2.9\na=mid:0",
];

const FINGERPRINT: &str = "a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20";

fn description() -> impl Strategy<Value = String> {
    (proptest::collection::vec(0..PARTS.len(), 1..4), any::<bool>(), any::<bool>()).prop_map(
        |(parts, print, bundle)| {
            let mut text = "v=0\no=x 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n".to_owned();
            if bundle {
                text += "a=group:BUNDLE 0 1\n";
            }
            if print {
                text += &format!("{FINGERPRINT}\n");
            }
            for part in parts {
                text += &format!("{}\n", PARTS[part]);
            }
            text
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    let protocol = proptest::option::of(proptest::sample::select(MediaProfile::ALL.to_vec()));
    let ice = proptest::option::of(proptest::sample::select(vec![
        IceOption::Remove,
        IceOption::Force,
        IceOption::Default,
        IceOption::Optional,
    ]));
    let dtls =
        proptest::option::of(proptest::sample::select(vec![DtlsOption::Off, DtlsOption::Passive, DtlsOption::Active]));
    (protocol, ice, dtls, any::<[bool; 8]>()).prop_map(|(protocol, ice, dtls, on)| {
        let mut options =
            Options { transport_protocol: protocol.map(TransportProtocol::Profile), ice, dtls, ..Options::default() };
        options.rtcp_mux.offer = on[0];
        options.rtcp_mux.require = on[1] && on[2];
        options.rtcp_mux.demux = on[2];
        options.rtcp_mux.reject = on[3] && on[4];
        options.flags.generate_mid = on[4];
        options.flags.reset = on[5] && on[6];
        options.flags.web_rtc = on[6] && on[7];
        options.sdes.off = on[5] && on[7];
        if on[3] && on[7] {
            options.media_remove.push("video".to_owned());
        }
        options
    })
}

#[derive(Clone, Debug)]
enum Step {
    Offer(usize, Option<usize>, Option<usize>, String, Options),
    Answer(usize, usize, Option<usize>, String, Options),
    Delete(Option<usize>, Option<u64>),
    Query,
    Idle,
    Wait(u64),
    /// So many ports are refused.
    Refuse(u32, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let tag = 0..3_usize;
    let maybe = || proptest::option::of(0..3_usize);
    prop_oneof![
        6 => (tag.clone(), maybe(), maybe(), description(), options())
            .prop_map(|(from, to, branch, sdp, options)| Step::Offer(from, to, branch, sdp, options)),
        6 => (tag.clone(), tag, maybe(), description(), options())
            .prop_map(|(from, to, branch, sdp, options)| Step::Answer(from, to, branch, sdp, options)),
        1 => (maybe(), proptest::option::of(0..40_u64)).prop_map(|(branch, delay)| Step::Delete(branch, delay)),
        1 => Just(Step::Query),
        1 => Just(Step::Idle),
        2 => (1..20_u64).prop_map(Step::Wait),
        1 => (1..5_u32, any::<bool>()).prop_map(|(count, in_use)| Step::Refuse(count, in_use)),
    ]
}

fn branch(index: usize) -> String {
    format!("z{index}")
}

fn run(bench: &mut Bench, step: Step) {
    let tags = ["a", "b", "c"];
    match step {
        Step::Offer(from, to, via, sdp, options) => {
            let mut offer = negotiation(tags[from], to.map(|to| tags[to]), &sdp, options);
            offer.via_branch = via.map(branch);
            let again = offer.clone();
            let first = bench.ask(Request::Offer(Box::new(offer)));
            if let (Ok(sallyport_session::Reply::Sdp(first)), false) = (first, again.options.flags.reset) {
                let second = bench.ask(Request::Offer(Box::new(again)));
                let second = rewritten(second);
                assert_eq!(String::from_utf8(first.sdp), String::from_utf8(second.sdp), "the same offer again");
            }
        }
        Step::Answer(from, to, via, sdp, options) => {
            let mut answer = negotiation(tags[from], Some(tags[to]), &sdp, options);
            answer.via_branch = via.map(branch);
            let _ = bench.ask(Request::Answer(Box::new(answer)));
        }
        Step::Delete(via, delay) => {
            let delete = Delete {
                call_id: "call".into(),
                via_branch: via.map(branch),
                delay: delay.map(Duration::from_secs),
                ..Delete::default()
            };
            bench.ask(Request::Delete(delete)).expect("a delete always succeeds");
        }
        Step::Query => {
            let _ = bench.ask(Request::Query(Query { call_id: "call".into(), ..Query::default() }));
        }
        Step::Idle => {
            let calls: Vec<_> = bench.workers.iter().map(|(key, worker)| (*key, *worker)).collect();
            for (call, worker) in calls {
                bench.event(worker, Event::Idle { call });
            }
        }
        Step::Wait(seconds) => bench.advance(Duration::from_secs(seconds)),
        Step::Refuse(mut count, in_use) => {
            bench.refuse = Box::new(move |_| {
                count = count.saturating_sub(1);
                let cause = if in_use { BindFailure::InUse } else { BindFailure::Other("no".into()) };
                (count > 0).then_some(cause)
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_order_of_requests_panics_or_leaks_a_port(steps in proptest::collection::vec(step(), 1..24), few in any::<bool>()) {
        let ports = if few { (10_000, 10_015) } else { (10_000, 29_999) };
        let mut bench = Bench::with(SessionConfig { ports, ..config() });
        for step in steps {
            run(&mut bench, step);
            // What is bound is what the session believes to be bound, and what the plan uses.
            prop_assert_eq!(bench.ports_open(), bench.session.ports_in_use());
            for (call, open) in &bench.open {
                let planned = bench.plans.get(call).map_or(0, |plan| plan.transports.len());
                prop_assert_eq!(open.len(), planned);
            }
        }
        bench.advance(Duration::from_secs(4000));
        bench.advance(Duration::from_secs(4000));
        let left: Vec<_> = bench.workers.iter().map(|(key, worker)| (*key, *worker)).collect();
        for (call, worker) in left {
            bench.event(worker, Event::Idle { call });
        }
        prop_assert_eq!(bench.ports_open(), 0);
        prop_assert_eq!(bench.session.ports_in_use(), 0);
        prop_assert_eq!(bench.session.poll_timeout(), None);
        prop_assert!(bench.session.calls().is_empty());
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", tail in description()) {
        let mut bench = Bench::new();
        let mut offer = negotiation("a", None, "", Options::default());
        offer.sdp = format!("{tail}{text}").into_bytes();
        let _ = bench.ask(Request::Offer(Box::new(offer)));
    }
}
