//! A phone that is not our code hears itself through session and pump on real sockets, and nobody else.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use control::{CallStatistics, HashAlgorithm};
use pump::{Notice, Pump, PumpConfig};
use sallyport_tests::phone::{Phone, SSRC};
use sallyport_tests::tally::Tally;
use sallyport_tests::tone::share_of;
use sallyport_tests::until;
use session::{
    Clocks, Delete, Interface, MediaProfile, Negotiation, Options, Output, Query, Reply, Request, Session,
    SessionConfig, Token, TransportProtocol,
};

const PATIENCE: Duration = Duration::from_secs(20);
const TONE: f64 = 1000.0;

/// Session and pump in one process, without a front door.
struct Relay {
    session: Session,
    pump: Pump,
    notices: crossbeam::channel::Receiver<Notice>,
    next: u64,
}

impl Relay {
    fn start() -> Self {
        let identity = dtls::Identity::generate().unwrap();
        let config = SessionConfig {
            interfaces: vec![Interface::new("default", "127.0.0.1".parse().unwrap())],
            fingerprints: vec![identity.fingerprint(HashAlgorithm::Sha256)],
            workers: 1,
            ..SessionConfig::default()
        };
        let (pump, notices) = Pump::start(PumpConfig::mmsg(1, Default::default(), identity)).unwrap();
        let clocks = Clocks { instant: Instant::now(), system: SystemTime::now() };
        Self { session: Session::new(config, clocks, [7; 32]), pump, notices, next: 0 }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.next += 1;
        let token = Token(self.next);
        self.session.handle_request(Instant::now(), token, request);
        loop {
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Command(worker, command) => assert!(self.pump.send(worker, command).is_ok()),
                    Output::Reply(of, reply) if of == token => return reply.unwrap(),
                    _ => {}
                }
            }
            match self.notices.recv_timeout(PATIENCE).unwrap() {
                Notice::Event { worker, event } => self.session.handle_event(Instant::now(), worker, event),
                Notice::WorkerFailed { reason, .. } => panic!("{reason}"),
            }
        }
    }

    fn echo(&mut self, offer: String) -> String {
        let (call_id, from_tag, sdp) = ("call".into(), "phone".into(), offer.into_bytes());
        let offer = Negotiation { call_id, from_tag, sdp, ..Negotiation::default() };
        match self.ask(Request::Echo(Box::new(offer))) {
            Reply::Sdp(answer) => String::from_utf8(answer.sdp).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The phone asks for the offer, and answers it.
    fn echo_by_our_offer(&mut self, phone: &Phone) -> String {
        let options = Options {
            transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)),
            ..Options::default()
        };
        let negotiation = |sdp, options| {
            Box::new(Negotiation {
                call_id: "call".into(),
                from_tag: "phone".into(),
                sdp,
                options,
                ..Default::default()
            })
        };
        let Reply::Sdp(offer) = self.ask(Request::EchoOffer(negotiation(Vec::new(), options))) else { panic!() };
        let offer = String::from_utf8(offer.sdp).unwrap();
        let answer = phone.answer(&offer).unwrap().into_bytes();
        let taken = self.ask(Request::EchoAnswer(negotiation(answer, Options::default())));
        assert!(matches!(taken, Reply::Done));
        offer
    }

    fn statistics(&mut self) -> CallStatistics {
        match self.ask(Request::Query(Query { call_id: "call".into(), ..Query::default() })) {
            Reply::Query(report) => report.statistics.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_phone_hears_what_it_says_once_and_under_another_ssrc() {
    for (suite, is_late) in
        [("AES_CM_128_HMAC_SHA1_80", false), ("AEAD_AES_256_GCM", false), ("AES_CM_128_HMAC_SHA1_80", true)]
    {
        let mut relay = Relay::start();
        let phone = Phone::new("127.0.0.1", suite).unwrap();
        let answer = if is_late { relay.echo_by_our_offer(&phone) } else { relay.echo(phone.offer().unwrap()) };
        let relayed: SocketAddr = sallyport_tests::phone::media_address(&answer).unwrap();
        // What it sends and what it hears is one direction.
        let tally = Tally::default();
        let call = phone.start(&answer, TONE, tally.clone(), tally.clone()).unwrap();
        call.start_sending();
        until("two seconds of it came back", PATIENCE, || Ok(tally.progress().1 >= 100)).unwrap();
        // A stranger's packet does not come back to the stranger, nor to the phone.
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(&[0x80; 60], relayed).unwrap();
        call.stop_sending();
        let all_is_back = || Ok(matches!(tally.progress(), (sent, arrived) if sent == arrived));
        until("all of it came back", PATIENCE, all_is_back).unwrap();
        until("the stranger was heard of", PATIENCE, || {
            Ok(relay.statistics().transports.iter().any(|transport| transport.verdicts.dropped() == 1))
        })
        .unwrap();
        let statistics = relay.statistics();
        let media = statistics.transports.iter().find(|transport| transport.rtp_in.packets > 0).unwrap();
        assert_eq!(media.streams_in.iter().map(|stream| stream.ssrc).collect::<Vec<_>>(), [SSRC]);
        assert!(media.streams_out.len() == 1 && media.streams_out[0].ssrc != SSRC);
        relay.ask(Request::Delete(Delete { call_id: "call".into(), delay: Some(Duration::ZERO), ..Delete::default() }));
        assert_eq!(call.end().unwrap(), 0, "nothing came that was not authentic");
        let summary = tally.summary();
        assert!(summary.is_perfect(), "{suite}: {summary:?}");
        assert!(share_of(&tally.heard()[8000..], TONE) > 0.9);
        relay.pump.shutdown();
    }
}
