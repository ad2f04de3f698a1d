use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn drain(host: &SimHost) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| host.receive_from()).map(|(bytes, _)| bytes).collect()
}

fn lossy_run(seed: u64) -> Vec<Vec<u8>> {
    let network = SimNetwork::new(seed);
    let alice = network.host(address("192.0.2.1:1000")).unwrap();
    let bob = network.host(address("192.0.2.2:1000")).unwrap();
    network.set_default_faults(Faults {
        loss: 0.1,
        duplication: 0.1,
        reordering: 0.1,
        delay: Duration::from_millis(10),
        ..Faults::NONE
    });
    for number in 0..1000u32 {
        alice.send_to(&number.to_be_bytes(), bob.local());
        network.advance(Duration::from_millis(1));
    }
    network.advance(Duration::from_secs(1));
    drain(&bob)
}

#[test]
fn equal_seeds_give_equal_outcomes_and_others_do_not() {
    assert_eq!(lossy_run(3), lossy_run(3));
    assert_ne!(lossy_run(3), lossy_run(4));
}

#[test]
fn loss_duplication_and_reordering_come_at_their_rates() {
    let arrived = lossy_run(5);
    // 1000 sent, a tenth lost, a tenth of the rest doubled: 990 expected, standard deviation about 14.
    assert!((920..1060).contains(&arrived.len()), "{}", arrived.len());
    let distinct: std::collections::HashSet<_> = arrived.iter().collect();
    assert!((850..950).contains(&distinct.len()), "{}", distinct.len());
    let backward = arrived.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((50..250).contains(&backward), "{backward}");
}

#[test]
fn faults_apply_to_their_direction_only() {
    let network = SimNetwork::new(1);
    let alice = network.host(address("192.0.2.1:1000")).unwrap();
    let bob = network.host(address("192.0.2.2:1000")).unwrap();
    network.set_faults(alice.local().ip(), bob.local().ip(), Faults { loss: 1.0, ..Faults::NONE });
    alice.send_to(b"lost", bob.local());
    bob.send_to(b"heard", alice.local());
    assert_eq!(drain(&bob), Vec::<Vec<u8>>::new());
    assert_eq!(drain(&alice), [b"heard".to_vec()]);
}

#[test]
fn datagrams_arrive_in_order_of_their_time() {
    let network = SimNetwork::new(1);
    let slow = network.host(address("192.0.2.1:1000")).unwrap();
    let fast = network.host(address("192.0.2.3:1000")).unwrap();
    let bob = network.host(address("192.0.2.2:1000")).unwrap();
    network.set_faults(
        slow.local().ip(),
        bob.local().ip(),
        Faults { delay: Duration::from_millis(50), ..Faults::NONE },
    );
    slow.send_to(b"first", bob.local());
    fast.send_to(b"second", bob.local());
    assert_eq!(network.next_arrival(), Some(network.now() + Duration::from_millis(50)));
    network.advance(Duration::from_millis(49));
    assert_eq!(drain(&bob), [b"second".to_vec()]);
    network.advance(Duration::from_millis(1));
    assert_eq!(drain(&bob), [b"first".to_vec()]);
}

#[test]
fn a_backend_receives_and_sends_from_its_ports() {
    let network = SimNetwork::new(1);
    let local = address("192.0.2.10:30000");
    let mut backend = network.backend(&[local.ip()]);
    let (port, right) = backend.bind(local).unwrap();
    let peer = network.host(address("192.0.2.1:1000")).unwrap();
    peer.send_to(b"ping", local);
    peer.send_to(&[7; MAX_DATAGRAM + 1], local);

    let mut batch = Batch::new();
    let report = backend.receive(&mut batch).unwrap();
    assert_eq!((report.received, report.more), (2, false));
    let first = &mut batch.datagrams_mut()[0];
    assert_eq!((first.port(), first.remote(), first.bytes()), (port, peer.local(), &b"ping"[..]));
    first.fill(b"pong");
    first.transmit(&right, peer.local());
    assert!(batch.datagrams()[1].is_truncated());
    assert_eq!(backend.send(&mut batch).sent, 1);
    assert_eq!(batch.datagrams()[0].route(), None);
    assert_eq!(peer.receive_from(), Some((b"pong".to_vec(), local)));
}

#[test]
fn a_closed_port_is_free_again_and_what_waited_in_it_is_gone() {
    let network = SimNetwork::new(1);
    let local = address("192.0.2.10:30000");
    let mut backend = network.backend(&[local.ip()]);
    let (port, right) = backend.bind(local).unwrap();
    let peer = network.host(address("192.0.2.1:1000")).unwrap();
    peer.send_to(b"late", local);
    backend.close(port);
    let mut batch = Batch::new();
    assert_eq!(backend.receive(&mut batch).unwrap().received, 0);
    batch.push().unwrap().transmit(&right, peer.local());
    assert_eq!(backend.send(&mut batch).failed, 1);
    let (again, _) = backend.bind(local).unwrap();
    assert_ne!(again, port);
}

#[test]
fn binding_fails_as_an_operating_system_would() {
    let network = SimNetwork::new(1);
    let local = address("192.0.2.10:30000");
    let mut backend = network.backend(&[local.ip()]);
    let errno = |outcome: io::Result<(PortId, SendRight)>| outcome.unwrap_err().raw_os_error();
    assert_eq!(errno(backend.bind(address("192.0.2.11:30000"))), Some(libc::EADDRNOTAVAIL));
    let _bound = backend.bind(local).unwrap();
    assert_eq!(errno(backend.bind(local)), Some(libc::EADDRINUSE));
    let other = address("192.0.2.10:30002");
    network.refuse_bind(other, Some(libc::EMFILE));
    assert_eq!(errno(backend.bind(other)), Some(libc::EMFILE));
    network.refuse_bind(other, None);
    assert!(backend.bind(other).is_ok());
}

#[test]
fn a_wake_before_the_wait_is_not_lost() {
    let network = SimNetwork::new(1);
    let mut backend = network.backend(&[]);
    backend.waker().wake();
    backend.wait(None).unwrap();
    backend.wait(Some(Duration::ZERO)).unwrap();
}

// RFC 4787 §4.1: the outside endpoints that a server sees when one inside endpoint sends to X1, to another port of X,
// and to Y.
#[test]
fn a_mapping_depends_on_what_its_class_says() {
    for (mapping, same_for_port, same_for_address) in [
        (Dependence::Endpoint, true, true),
        (Dependence::Address, true, false),
        (Dependence::AddressAndPort, false, false),
    ] {
        let network = SimNetwork::new(1);
        let nat = network.nat(address("203.0.113.9:0").ip(), NatBehaviour::new(mapping, Dependence::AddressAndPort));
        let inside = nat.host(address("10.0.0.2:5000")).unwrap();
        let seen = |remote: &str| {
            let server = network.host(address(remote)).unwrap();
            inside.send_to(b"x", server.local());
            server.receive_from().unwrap().1
        };
        let (first, port, other) = (seen("192.0.2.1:1"), seen("192.0.2.1:2"), seen("192.0.2.2:1"));
        assert_eq!(first.ip(), address("203.0.113.9:0").ip());
        assert_eq!((port == first, other == first), (same_for_port, same_for_address), "{mapping:?}");
        assert_eq!(seen("192.0.2.1:1"), first, "a mapping is used again");
    }
}

// RFC 4787 §5: whether the known endpoint, its address with another port, and a stranger come in.
#[test]
fn a_filter_lets_in_what_its_class_says() {
    for (filtering, port_in, stranger_in) in [
        (Dependence::Endpoint, true, true),
        (Dependence::Address, true, false),
        (Dependence::AddressAndPort, false, false),
    ] {
        let network = SimNetwork::new(1);
        let nat = network.nat(address("203.0.113.9:0").ip(), NatBehaviour::new(Dependence::Endpoint, filtering));
        let inside = nat.host(address("10.0.0.2:5000")).unwrap();
        let server = network.host(address("192.0.2.1:1")).unwrap();
        inside.send_to(b"x", server.local());
        let outside = server.receive_from().unwrap().1;
        let comes_in = |from: &SimHost| {
            from.send_to(b"y", outside);
            inside.receive_from().is_some()
        };
        assert!(comes_in(&server));
        assert_eq!(comes_in(&network.host(address("192.0.2.1:2")).unwrap()), port_in, "{filtering:?}");
        assert_eq!(comes_in(&network.host(address("192.0.2.2:1")).unwrap()), stranger_in, "{filtering:?}");
    }
}

#[test]
fn a_rebound_nat_gives_new_ports_and_forgets_the_old() {
    let network = SimNetwork::new(1);
    let nat = network.nat(address("203.0.113.9:0").ip(), NatBehaviour::new(Dependence::Endpoint, Dependence::Endpoint));
    let inside = nat.host(address("10.0.0.2:5000")).unwrap();
    let server = network.host(address("192.0.2.1:1")).unwrap();
    inside.send_to(b"x", server.local());
    let before = server.receive_from().unwrap().1;
    nat.rebind();
    server.send_to(b"y", before);
    assert_eq!(inside.receive_from(), None);
    inside.send_to(b"x", server.local());
    assert_ne!(server.receive_from().unwrap().1, before);
}

#[test]
fn a_mapping_ends_when_nothing_leaves_through_it_for_its_lifetime() {
    let network = SimNetwork::new(1);
    let nat = network.nat(address("203.0.113.9:0").ip(), NatBehaviour::new(Dependence::Endpoint, Dependence::Endpoint));
    let inside = nat.host(address("10.0.0.2:5000")).unwrap();
    let server = network.host(address("192.0.2.1:1")).unwrap();
    inside.send_to(b"x", server.local());
    let outside = server.receive_from().unwrap().1;
    network.advance(Duration::from_secs(120));
    server.send_to(b"y", outside);
    assert!(inside.receive_from().is_some());
    network.advance(Duration::from_secs(1));
    server.send_to(b"y", outside);
    assert!(inside.receive_from().is_none(), "what comes in does not keep a mapping");
}

#[test]
fn hosts_behind_one_nat_reach_each_other_directly_and_by_hairpin() {
    let network = SimNetwork::new(1);
    let nat = network.nat(address("203.0.113.9:0").ip(), NatBehaviour::new(Dependence::Endpoint, Dependence::Endpoint));
    let alice = nat.host(address("10.0.0.2:5000")).unwrap();
    let bob = nat.host(address("10.0.0.3:5000")).unwrap();
    alice.send_to(b"direct", bob.local());
    assert_eq!(bob.receive_from(), Some((b"direct".to_vec(), alice.local())));
    let server = network.host(address("192.0.2.1:1")).unwrap();
    bob.send_to(b"x", server.local());
    let outside = server.receive_from().unwrap().1;
    alice.send_to(b"hairpin", outside);
    let (bytes, source) = bob.receive_from().unwrap();
    assert_eq!(bytes, b"hairpin");
    assert_eq!(source.ip(), outside.ip(), "RFC 4787 REQ-9: external source address");
}
