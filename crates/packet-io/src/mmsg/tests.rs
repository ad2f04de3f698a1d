use std::collections::HashMap;
use std::net::UdpSocket;
use std::thread;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn backend() -> Mmsg {
    Mmsg::new(MmsgConfig::default()).unwrap()
}

fn peer(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Binds a port that is free. The system proposes it, and may give it to somebody else in between.
fn bind(backend: &mut Mmsg, address: &str) -> (PortId, SendRight, SocketAddr) {
    for _ in 0..100 {
        let local = UdpSocket::bind(address).unwrap().local_addr().unwrap();
        if let Ok((port, right)) = backend.bind(local) {
            return (port, right, local);
        }
    }
    panic!("no free port");
}

/// Waits and receives until `count` datagrams have come; returns them and the system calls of `receive` and `wait`.
fn receive(backend: &mut Mmsg, count: usize) -> (Vec<(PortId, SocketAddr, Vec<u8>)>, usize) {
    let deadline = Instant::now() + PATIENCE;
    let mut batch = Batch::new();
    let (mut arrived, mut calls) = (Vec::new(), 0);
    while arrived.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} datagrams", arrived.len());
        backend.wait(Some(PATIENCE)).unwrap();
        loop {
            batch.clear();
            let report = backend.receive(&mut batch).unwrap();
            assert_eq!(report.received, batch.len());
            calls += report.calls;
            arrived.extend(batch.datagrams().iter().map(|d| (d.port(), d.remote(), d.bytes().to_vec())));
            if !report.more {
                break;
            }
        }
    }
    (arrived, calls)
}

fn echo_works_on(address: &str) {
    let mut backend = backend();
    let (port, right, local) = bind(&mut backend, address);
    let peer = peer(address);
    for number in 0..100u8 {
        peer.send_to(&[number; 50], local).unwrap();
    }
    let (arrived, calls) = receive(&mut backend, 100);
    for (number, (at, from, bytes)) in arrived.iter().enumerate() {
        assert_eq!((*at, *from), (port, peer.local_addr().unwrap()));
        assert_eq!(bytes, &[number as u8; 50], "order is kept");
    }
    assert!(calls <= 20, "100 datagrams in {calls} calls");

    let mut batch = Batch::new();
    for number in 0..BATCH_CAPACITY as u8 {
        let datagram = batch.push().unwrap();
        // Different lengths: no two can be one segmented message.
        datagram.fill(&vec![number; usize::from(number) + 1]);
        datagram.transmit(&right, peer.local_addr().unwrap());
    }
    let report = backend.send(&mut batch);
    assert_eq!((report.sent, report.failed, report.calls), (BATCH_CAPACITY, 0, 1));
    let mut buffer = [0; 2048];
    for number in 0..BATCH_CAPACITY {
        let (len, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((len, from, buffer[0]), (number + 1, local, number as u8));
    }
}

#[test]
fn many_datagrams_move_with_few_calls_on_ipv4() {
    echo_works_on("127.0.0.1:0");
}

#[test]
fn many_datagrams_move_with_few_calls_on_ipv6() {
    echo_works_on("[::1]:0");
}

#[test]
fn one_datagram_on_each_of_many_sockets_costs_one_call_each() {
    let mut backend = backend();
    let ports: Vec<_> = (0..200).map(|_| bind(&mut backend, "127.0.0.1:0")).collect();
    let peer = peer("127.0.0.1:0");
    for _ in 0..3 {
        for (_, _, local) in &ports {
            peer.send_to(b"x", local).unwrap();
        }
        let (arrived, calls) = receive(&mut backend, 200);
        let distinct: std::collections::HashSet<_> = arrived.iter().map(|(port, ..)| *port).collect();
        assert_eq!(distinct.len(), 200);
        assert!(calls <= 200 + 10, "{calls} calls");
    }
}

#[test]
fn equal_datagrams_to_one_destination_arrive_as_they_were() {
    let mut backend = backend();
    let (_, right, _) = bind(&mut backend, "127.0.0.1:0");
    let peers = [peer("127.0.0.1:0"), peer("127.0.0.1:0")];
    let mut batch = Batch::new();
    // A frame (the last part is shorter), another one that begins with a longer part, and an empty datagram.
    let lengths = [1000, 1000, 1000, 400, 1200, 1200, 0, 7];
    for (number, &len) in lengths.iter().enumerate() {
        for peer in &peers {
            let datagram = batch.push().unwrap();
            datagram.fill(&vec![number as u8; len]);
            datagram.transmit(&right, peer.local_addr().unwrap());
        }
    }
    // Sorted by destination, as a flow's packets come.
    batch.datagrams_mut().sort_by_key(|datagram| datagram.route().unwrap().1);
    let report = backend.send(&mut batch);
    assert_eq!((report.sent, report.failed), (2 * lengths.len(), 0));
    let mut buffer = [0; 2048];
    for peer in &peers {
        for (number, &len) in lengths.iter().enumerate() {
            let received = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..received], &vec![number as u8; len][..]);
        }
    }
}

#[test]
fn runs_of_equal_datagrams_are_found() {
    let one: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let other: SocketAddr = "192.0.2.1:2".parse().unwrap();
    let right = SendRight::issue(PortId(0));
    for (row, expected) in [
        (vec![(10, one)], 1),
        (vec![(10, one), (10, one), (10, one)], 3),
        (vec![(10, one), (10, other)], 1),
        (vec![(10, one), (9, one), (9, one)], 2),
        (vec![(10, one), (11, one)], 1),
        (vec![(10, one), (0, one)], 1),
        (vec![(0, one), (0, one)], 1),
        (vec![(1900, one); 64], 34),
    ] {
        let mut batch = Batch::new();
        for &(len, remote) in &row {
            let datagram = batch.push().unwrap();
            datagram.set_len(len);
            datagram.transmit(&right, remote);
        }
        let members: Vec<_> = (0..row.len()).map(|index| Member::new(PortId(0), index)).collect();
        assert_eq!(equal_span(&members, batch.datagrams()), expected, "{row:?}");
    }
}

#[test]
fn a_datagram_beyond_the_slot_is_marked_and_the_next_is_whole() {
    let mut backend = backend();
    let (_, _, local) = bind(&mut backend, "127.0.0.1:0");
    let peer = peer("127.0.0.1:0");
    let mut batch = Batch::new();
    // Fetched one by one at first, several at once later: both ways tell.
    let (mut marked, mut whole) = (0, 0);
    for _ in 0..20 {
        peer.send_to(&[1; MAX_DATAGRAM + 1], local).unwrap();
        peer.send_to(&[2; MAX_DATAGRAM], local).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while marked + whole < 40 && Instant::now() < deadline {
        backend.wait(Some(PATIENCE)).unwrap();
        batch.clear();
        backend.receive(&mut batch).unwrap();
        for datagram in batch.datagrams() {
            assert_eq!(datagram.len(), MAX_DATAGRAM);
            assert_eq!(datagram.is_truncated(), datagram.bytes()[0] == 1);
            if datagram.is_truncated() { marked += 1 } else { whole += 1 }
        }
    }
    assert_eq!((marked, whole), (20, 20));
}

#[test]
fn a_datagram_that_the_network_refuses_does_not_stop_the_others() {
    let mut backend = backend();
    let (_, right, _) = bind(&mut backend, "127.0.0.1:0");
    let (_, other_right, _) = bind(&mut backend, "127.0.0.1:0");
    let peer = peer("127.0.0.1:0");
    let good = peer.local_addr().unwrap();
    // Port 0 and another address family: refused at once, whichever position they have.
    let bad = ["127.0.0.1:0".parse().unwrap(), "[::1]:9".parse::<SocketAddr>().unwrap()];
    let mut batch = Batch::new();
    for remote in [bad[0], good, bad[1], bad[0], good, good, bad[1]] {
        let datagram = batch.push().unwrap();
        datagram.fill(b"equal");
        datagram.transmit(&right, remote);
    }
    let last = batch.push().unwrap();
    last.fill(b"other");
    last.transmit(&other_right, good);
    let report = backend.send(&mut batch);
    assert_eq!((report.sent, report.failed), (4, 4));
    let mut buffer = [0; 64];
    for _ in 0..4 {
        assert_eq!(peer.recv(&mut buffer).unwrap(), 5);
    }
}

#[test]
fn an_unreachable_peer_does_not_disturb_the_port() {
    let mut backend = backend();
    let (port, right, local) = bind(&mut backend, "127.0.0.1:0");
    let gone = peer("127.0.0.1:0").local_addr().unwrap();
    let mut batch = Batch::new();
    for _ in 0..10 {
        let datagram = batch.push().unwrap();
        datagram.fill(b"x");
        datagram.transmit(&right, gone);
        backend.send(&mut batch);
        batch.clear();
    }
    let peer = peer("127.0.0.1:0");
    peer.send_to(b"still here", local).unwrap();
    let (arrived, _) = receive(&mut backend, 1);
    assert_eq!(arrived[0].0, port);
}

#[test]
fn a_flooded_socket_does_not_starve_another() {
    let mut backend = backend();
    let (_, _, flooded) = bind(&mut backend, "127.0.0.1:0");
    let (quiet_port, _, quiet) = bind(&mut backend, "127.0.0.1:0");
    let peer = peer("127.0.0.1:0");
    for _ in 0..300 {
        peer.send_to(&[0; 100], flooded).unwrap();
    }
    peer.send_to(b"quiet", quiet).unwrap();
    let mut batch = Batch::new();
    backend.wait(Some(PATIENCE)).unwrap();
    backend.receive(&mut batch).unwrap();
    assert!(batch.datagrams().iter().any(|datagram| datagram.port() == quiet_port));
}

#[test]
fn each_of_many_flooded_sockets_gets_its_share() {
    let mut backend = backend();
    let ports: Vec<_> = (0..8).map(|_| bind(&mut backend, "127.0.0.1:0")).collect();
    let peer = peer("127.0.0.1:0");
    for _ in 0..100 {
        for (_, _, local) in &ports {
            peer.send_to(&[0; 10], local).unwrap();
        }
    }
    let (arrived, calls) = receive(&mut backend, 400);
    let mut shares: HashMap<PortId, usize> = HashMap::new();
    for (port, ..) in arrived {
        *shares.entry(port).or_default() += 1;
    }
    assert_eq!(shares.len(), 8);
    assert!(shares.values().all(|&share| share >= 20), "{shares:?}");
    assert!(calls < 100, "{calls} calls");
}

#[test]
fn a_wake_before_the_wait_is_not_lost() {
    let mut backend = backend();
    let waker = backend.waker();
    for _ in 0..3 {
        waker.wake();
        waker.wake();
        backend.wait(None).unwrap();
    }
    let start = Instant::now();
    backend.wait(Some(Duration::from_millis(20))).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20), "a wake-up ends one wait only");
}

#[test]
fn every_wake_is_noticed_however_it_races_with_the_wait() {
    let mut backend = backend();
    let waker = backend.waker();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let rounds = 20_000;
    let thread = thread::spawn({
        let asked = Arc::clone(&asked);
        move || {
            for _ in 0..rounds {
                asked.fetch_add(1, Ordering::Release);
                waker.wake();
            }
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while asked.load(Ordering::Acquire) < rounds {
        backend.wait(Some(PATIENCE)).unwrap();
        assert!(Instant::now() < deadline, "a wake-up was lost");
    }
    thread.join().unwrap();
}

#[test]
fn a_wait_ends_at_its_timeout_with_a_precision_below_a_millisecond() {
    let mut backend = backend();
    let best = (0..20)
        .map(|_| {
            let start = Instant::now();
            backend.wait(Some(Duration::from_micros(200))).unwrap();
            start.elapsed()
        })
        .min()
        .unwrap();
    assert!(best >= Duration::from_micros(200) && best < Duration::from_millis(1), "{best:?}");
}

#[test]
fn a_port_in_use_is_refused_with_its_cause() {
    let mut backend = backend();
    let theirs = peer("127.0.0.1:0");
    let taken = theirs.local_addr().unwrap();
    assert_eq!(backend.bind(taken).unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
    assert_eq!(backend.bind("192.0.2.1:40000".parse().unwrap()).unwrap_err().raw_os_error(), Some(libc::EADDRNOTAVAIL));
    drop(theirs);
    let (port, _) = backend.bind(taken).unwrap();
    assert_eq!(backend.bind(taken).unwrap_err().raw_os_error(), Some(libc::EADDRINUSE));
    backend.close(port);
    assert!(backend.bind(taken).is_ok());
}

#[test]
fn a_closed_port_neither_sends_nor_receives() {
    let mut backend = backend();
    let (port, right, local) = bind(&mut backend, "127.0.0.1:0");
    let peer = peer("127.0.0.1:0");
    peer.send_to(b"late", local).unwrap();
    backend.wait(Some(PATIENCE)).unwrap();
    backend.close(port);
    let mut batch = Batch::new();
    assert_eq!(backend.receive(&mut batch).unwrap().received, 0);
    let datagram = batch.push().unwrap();
    datagram.fill(b"x");
    datagram.transmit(&right, peer.local_addr().unwrap());
    assert_eq!(backend.send(&mut batch).failed, 1);
}

#[test]
fn the_traffic_class_is_set_on_both_families() {
    let mut backend = backend();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (port, ..) = bind(&mut backend, address);
        backend.set_traffic_class(port, 0xb8).unwrap();
        let socket = backend.sockets.get_mut(port).unwrap();
        let class = if socket.is_ipv4 { socket.socket.tos_v4() } else { socket.socket.tclass_v6() };
        assert_eq!(class.unwrap(), 0xb8);
    }
}
