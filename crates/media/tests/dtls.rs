//! Legs that are keyed by a DTLS handshake.

mod bench;

use std::time::Duration;

use bench::*;
use control::*;
use datagram::PortId;
use dtls::Identity;
use sallyport_media::handshake::{Handshakes, Input, Output};

struct Call {
    bench: Bench,
    ports: [PortId; 2],
    plan: Plan,
    relay: Identity,
    browser: Identity,
    phone: Peer,
}

fn call(role: Option<DtlsRole>, ice: bool) -> Call {
    let mut call = slow_call(role, ice);
    call.bench.handshakes = Some(Handshakes::new(call.relay.clone(), 1200));
    call.bench.settle();
    call
}

/// Leg 1 is keyed by DTLS, leg 2 by SDES. The handshake thread is not there yet.
fn slow_call(role: Option<DtlsRole>, ice: bool) -> Call {
    let relay = Identity::generate().expect("an identity");
    let browser = Identity::generate().expect("an identity");
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let mut leg = transport(1, Some(address(1)), dtls_plan(1, role, &browser));
    if ice {
        leg.ice = Some(ice_plan(false));
        leg.remote = None;
    }
    let plan = plan(vec![leg, transport(2, Some(address(2)), sdes(CM, 21, 22))], vec![flow(1, 1, 2), flow(2, 2, 1)]);
    bench.apply(&plan);
    Call { bench, ports, plan, relay, browser, phone: Peer::new(2, CM, 21, 22) }
}

impl Call {
    fn peer(&self, role: DtlsRole) -> DtlsPeer {
        DtlsPeer::new(&self.bench, 1, role, &self.browser, &self.relay)
    }

    fn nominate(&mut self) -> Vec<Sent> {
        self.bench.deliver(&[(self.ports[0], address(1), check(&credentials("L"), true, 1))])
    }

    /// A client's whole handshake.
    fn connect(&mut self) -> Peer {
        let mut client = self.peer(DtlsRole::Client);
        client.start(&self.bench);
        client.converse(&mut self.bench, self.ports[0], Vec::new());
        client.peer()
    }

    fn both_ways(&mut self, browser: &mut Peer, range: std::ops::Range<u16>) {
        for sequence in range {
            let arrival = browser.arrival(self.ports[0], 5, sequence, 0);
            assert_eq!(self.phone.open(&self.bench.deliver(&[arrival])), [rtp(5, sequence)]);
            let arrival = self.phone.arrival(self.ports[1], 7, sequence, 0);
            assert_eq!(browser.open(&self.bench.deliver(&[arrival])), [rtp(7, sequence)]);
        }
    }

    fn secured(&mut self) -> Vec<SecuredBy> {
        let events = self.bench.take_events().into_iter();
        events
            .filter_map(|(transport, event)| match event {
                TransportEvent::Secured(by) if transport == 1 => Some(by),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_browser_and_an_sdes_phone_hear_each_other() {
    let mut call = call(Some(DtlsRole::Server), true);
    call.nominate();
    let mut browser = call.connect();
    let by = call.secured();
    assert!(
        matches!(&by[..], [SecuredBy::Dtls { profile: GCM, hash: HashAlgorithm::Sha256, remote, .. }]
            if *remote == address(1)),
        "{by:?}"
    );
    call.both_ways(&mut browser, 0..100);
    let report = browser.protect_rtcp(&receiver_report(5, 7, 99));
    let sent = call.bench.deliver(&[(call.ports[0], address(1), report)]);
    assert_eq!(call.phone.open(&sent), [receiver_report(5, 7, 99)]);
    assert!(matches!(call.bench.statistics(1).keying, KeyingState::Secured(_)));
    assert_eq!(call.bench.verdict(1, Verdict::Forwarded), 101);
}

#[test]
fn as_client_we_begin_when_a_pair_is_nominated() {
    let mut call = call(Some(DtlsRole::Client), true);
    assert_eq!(call.bench.statistics(1).keying, KeyingState::Handshake(DtlsState::AwaitingPath));
    let mut server = call.peer(DtlsRole::Server);
    let sent = call.nominate();
    assert_eq!(call.bench.statistics(1).keying, KeyingState::Handshake(DtlsState::InProgress));
    server.converse(&mut call.bench, call.ports[0], sent);
    let mut browser = server.peer();
    call.both_ways(&mut browser, 0..20);
}

#[test]
fn a_path_that_never_comes_is_a_handshake_that_fails() {
    let mut call = call(Some(DtlsRole::Client), true);
    call.bench.pass(Duration::from_secs(21));
    let events = call.bench.take_events();
    let failed = (1, TransportEvent::Failed(TransportFailure::HandshakeTimeout));
    assert_eq!(events.iter().filter(|event| **event == failed).count(), 1);
}

#[test]
fn datagrams_wait_until_the_role_is_known() {
    let mut call = call(None, false);
    let mut client = call.peer(DtlsRole::Client);
    client.start(&call.bench);
    client.converse(&mut call.bench, call.ports[0], Vec::new());
    let waiting = call.bench.verdict(1, Verdict::Queued);
    assert!(waiting > 0);
    assert_eq!(call.bench.statistics(1).keying, KeyingState::Handshake(DtlsState::AwaitingRole));
    call.plan.transports[0].keying = dtls_plan(1, Some(DtlsRole::Server), &call.browser);
    let sent = call.bench.apply(&call.plan);
    client.converse(&mut call.bench, call.ports[0], sent);
    assert!(call.bench.verdict(1, Verdict::Dtls) > waiting);
    let mut browser = client.peer();
    call.both_ways(&mut browser, 0..20);
}

#[test]
fn the_queue_before_the_role_is_short() {
    let mut call = call(None, false);
    let junk: Vec<Arrival> = (0..100).map(|_| (call.ports[0], address(9), vec![22; 1000])).collect();
    assert!(call.bench.deliver(&junk).is_empty());
    assert_eq!(call.bench.verdict(1, Verdict::Queued), 8);
    assert_eq!(call.bench.verdict(1, Verdict::QueueFull), 92);
}

#[test]
fn nothing_leaves_or_enters_before_the_keys() {
    let mut call = call(Some(DtlsRole::Server), true);
    call.nominate();
    let arrival = call.phone.arrival(call.ports[1], 7, 0, 0);
    assert!(call.bench.deliver(&[arrival]).is_empty());
    assert_eq!(call.bench.verdict(2, Verdict::EgressNotReady), 1);
    let plain = (call.ports[0], address(1), rtp(5, 0));
    assert!(call.bench.deliver(&[plain]).is_empty());
    let mut browser = call.connect();
    // What waited was not authentic.
    assert_eq!(call.bench.verdict(1, Verdict::Queued), 1);
    assert_eq!(call.bench.verdict(1, Verdict::BadTag), 1);
    call.both_ways(&mut browser, 1..20);
}

#[test]
fn media_that_overtakes_the_keys_is_not_lost() {
    let mut call = call(Some(DtlsRole::Server), false);
    let mut client = call.peer(DtlsRole::Client);
    // Another thread has the handshake: its outputs come late.
    let mut handshakes = call.bench.handshakes.take().expect("there");
    client.start(&call.bench);
    let mut late = Vec::new();
    for _ in 0..10 {
        let flights: Vec<Arrival> = std::iter::from_fn(|| client.endpoint.poll_transmit())
            .map(|transmit| (call.ports[0], client.address, transmit.bytes))
            .collect();
        call.bench.deliver(&flights);
        for input in call.bench.inputs() {
            handshakes.handle_input(call.bench.now, input);
        }
        while let Some(output) = handshakes.poll_output() {
            if matches!(output, Output::Keyed { .. }) {
                late.push(output);
            } else {
                call.bench.shard.handle_handshake(call.bench.now, output);
            }
        }
        for sent in call.bench.settle() {
            let standing = dtls::Standing::Signalled;
            client.endpoint.handle_datagram(call.bench.now, DtlsPeer::relay(), standing, &sent.bytes);
        }
        while let Some(event) = client.endpoint.poll_event() {
            if let dtls::EndpointEvent::Keyed(keyed) = event {
                client.keyed = Some(keyed);
            }
        }
    }
    let mut browser = client.peer();
    let early: Vec<_> = (0..10).map(|sequence| browser.arrival(call.ports[0], 5, sequence, 0)).collect();
    assert!(call.bench.deliver(&early).is_empty());
    assert_eq!(call.bench.verdict(1, Verdict::Queued), 10);
    call.bench.now += Duration::from_millis(150);
    for output in late {
        call.bench.shard.handle_handshake(call.bench.now, output);
    }
    let sent = call.bench.settle();
    assert_eq!(call.phone.sequences(&sent), (0..10).collect::<Vec<_>>());
    assert_eq!(call.bench.verdict(1, Verdict::Forwarded), 10);
}

#[test]
fn early_media_does_not_wait_long() {
    let mut call = call(Some(DtlsRole::Server), false);
    call.bench.deliver(&[(call.ports[0], address(1), rtp(5, 0))]);
    call.bench.pass(Duration::from_millis(500));
    assert_eq!(call.bench.verdict(1, Verdict::NotKeyed), 1);
    call.connect();
    assert_eq!(call.bench.verdict(1, Verdict::BadTag), 0);
}

#[test]
fn a_certificate_that_was_not_signalled_gets_no_media() {
    let mut call = call(Some(DtlsRole::Server), true);
    call.nominate();
    let stranger = Identity::generate().expect("an identity");
    let mut client = DtlsPeer::new(&call.bench, 1, DtlsRole::Client, &stranger, &call.relay);
    client.start(&call.bench);
    client.converse(&mut call.bench, call.ports[0], Vec::new());
    let failed = TransportEvent::Failed(TransportFailure::FingerprintMismatch);
    assert!(call.bench.take_events().contains(&(1, failed)));
    assert_eq!(call.bench.statistics(1).keying, KeyingState::Failed(TransportFailure::FingerprintMismatch));
    let arrival = call.phone.arrival(call.ports[1], 7, 0, 0);
    assert!(call.bench.deliver(&[arrival]).is_empty());
    assert!(call.bench.deliver(&[(call.ports[0], address(1), rtp(5, 0))]).is_empty());
    assert_eq!(call.bench.verdict(1, Verdict::NotKeyed), 1);
}

#[test]
fn dtls_from_a_source_without_standing_is_refused_and_disturbs_nothing() {
    let mut call = call(Some(DtlsRole::Server), true);
    call.nominate();
    let mut attacker = DtlsPeer::new(&call.bench, 66, DtlsRole::Client, &call.relay, &call.relay);
    attacker.start(&call.bench);
    attacker.converse(&mut call.bench, call.ports[0], Vec::new());
    assert!(call.bench.verdict(1, Verdict::RejectedDtls) > 0);
    assert_eq!(call.bench.verdict(1, Verdict::Dtls), 0);
    let mut browser = call.connect();
    call.both_ways(&mut browser, 0..20);
}

#[test]
fn dtls_on_an_sdes_leg_is_not_expected() {
    let mut call = call(Some(DtlsRole::Server), true);
    call.bench.deliver(&[(call.ports[1], address(2), vec![22; 100])]);
    assert_eq!(call.bench.verdict(2, Verdict::UnexpectedDtls), 1);
}

#[test]
fn a_flood_of_dtls_fills_a_queue_and_no_more() {
    let mut call = call(Some(DtlsRole::Server), false);
    let handshakes = call.bench.handshakes.take();
    let junk: Vec<Arrival> = (0..200).map(|_| (call.ports[0], address(1), vec![22; 100])).collect();
    call.bench.deliver(&junk);
    assert_eq!(call.bench.verdict(1, Verdict::Dtls), 32);
    assert_eq!(call.bench.verdict(1, Verdict::QueueFull), 168);
    // A message that the thread had no room for comes again, in its place.
    let input = call.bench.shard.poll_handshake().expect("one waits");
    let name = |input: &Input| (input.handle(), std::mem::discriminant(input));
    let first = name(&input);
    call.bench.shard.return_handshake(input);
    let again = call.bench.shard.poll_handshake().expect("it is back");
    assert_eq!(name(&again), first);
    call.bench.shard.return_handshake(again);
    call.bench.handshakes = handshakes;
    call.bench.settle();
    let mut browser = call.connect();
    call.both_ways(&mut browser, 0..20);
}

#[test]
fn a_new_association_takes_over_without_a_gap() {
    let mut call = call(Some(DtlsRole::Server), false);
    let mut first = call.connect();
    call.both_ways(&mut first, 1000..1020);
    let old_handles = call.secured().len();
    assert_eq!(old_handles, 1);

    let renewed = Identity::generate().expect("an identity");
    call.browser = renewed;
    call.plan.transports[0].keying = dtls_plan(2, Some(DtlsRole::Server), &call.browser);
    call.bench.apply(&call.plan);
    // While the handshake runs, the keys before go on in both directions.
    call.both_ways(&mut first, 1020..1040);
    let mut second = call.connect();
    assert_eq!(call.secured().len(), 1);
    // Packets that were on their way are still taken; what we send is under the new keys.
    let late = first.arrival(call.ports[0], 5, 1040, 0);
    assert_eq!(call.phone.sequences(&call.bench.deliver(&[late])), [1040]);
    call.both_ways(&mut second, 1041..1060);
    // After the first packet under the new keys the old ones are gone.
    let late = first.arrival(call.ports[0], 5, 1061, 0);
    assert!(call.bench.deliver(&[late]).is_empty());
    assert_eq!(call.bench.verdict(1, Verdict::BadTag), 1);
}

#[test]
fn the_same_generation_keeps_its_association() {
    let mut call = call(Some(DtlsRole::Server), false);
    let mut browser = call.connect();
    call.secured();
    call.plan.transports[0].latch_generation += 1;
    call.bench.apply(&call.plan);
    assert!(call.bench.take_events().is_empty());
    call.both_ways(&mut browser, 0..20);
}

#[test]
fn a_message_of_an_association_that_was_given_up_is_ignored() {
    let mut call = slow_call(Some(DtlsRole::Server), false);
    let handle = call.bench.inputs()[0].handle();
    call.plan.transports[0].keying = dtls_plan(2, Some(DtlsRole::Server), &call.browser);
    call.bench.apply(&call.plan);
    call.bench.take_events();
    for output in [
        Output::Failed { handle, failure: TransportFailure::Internal },
        Output::Transmit { handle, remote: address(9), bytes: vec![22; 20] },
        Output::Closed { handle },
    ] {
        call.bench.shard.handle_handshake(call.bench.now, output);
        assert!(call.bench.settle().is_empty());
    }
    assert!(call.bench.take_events().is_empty());
}

#[test]
fn a_peer_that_says_goodbye_is_sent_nothing_more() {
    let mut call = slow_call(Some(DtlsRole::Server), false);
    let mut handshakes = Handshakes::new(call.relay.clone(), 1200);
    let start = call.bench.shard.poll_handshake().expect("the start");
    let handle = start.handle();
    handshakes.handle_input(call.bench.now, start);
    call.bench.handshakes = Some(handshakes);
    let mut browser = call.connect();
    call.both_ways(&mut browser, 0..5);
    call.bench.take_events();
    call.bench.shard.handle_handshake(call.bench.now, Output::Closed { handle });
    call.bench.settle();
    assert_eq!(call.bench.take_events(), [(1, TransportEvent::ConsentLost)]);
    let arrival = call.phone.arrival(call.ports[1], 7, 9, 0);
    assert!(call.bench.deliver(&[arrival]).is_empty());
}

#[test]
fn a_leg_of_two_ports_has_two_associations() {
    let mut call = call(Some(DtlsRole::Server), false);
    let rtcp_port = call.bench.open(3);
    let mut rtp_leg = call.plan.transports[0].clone();
    rtp_leg.component = Component::Rtp;
    let mut rtcp_leg = rtp_leg.clone();
    rtcp_leg.id = TransportId(3);
    rtcp_leg.component = Component::Rtcp;
    rtcp_leg.remote = Some(address(3));
    call.plan.transports[0] = rtp_leg;
    call.plan.transports.push(rtcp_leg);
    call.plan.flows[0].ingress_rtcp = TransportId(3);
    call.plan.flows[1].egress_rtcp = TransportId(3);
    call.bench.apply(&call.plan);
    let mut rtp_peer = call.connect();
    let mut client = DtlsPeer::new(&call.bench, 3, DtlsRole::Client, &call.browser, &call.relay);
    client.start(&call.bench);
    client.converse(&mut call.bench, rtcp_port, Vec::new());
    let mut rtcp_peer = client.peer();
    call.both_ways(&mut rtp_peer, 0..5);
    let report = call.phone.protect_rtcp(&receiver_report(7, 5, 4));
    let sent = call.bench.deliver(&[(call.ports[1], address(2), report)]);
    assert_eq!(rtcp_peer.open(&sent), [receiver_report(7, 5, 4)]);
    let report = rtcp_peer.protect_rtcp(&receiver_report(5, 7, 4));
    let sent = call.bench.deliver(&[(rtcp_port, address(3), report)]);
    assert_eq!(call.phone.open(&sent), [receiver_report(5, 7, 4)]);
}
