//! A pump from outside: commands in, notices out, packets on real sockets.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use control::{
    BindFailure, BranchId, CallKey, CallStatistics, Command, Component, DtlsPlan, DtlsRole, Event, FlowId, FlowPlan,
    HashAlgorithm, Keying, Latching, LegId, OpenPort, PayloadTypes, Plan, Profile, RequestId, RtcpPolicy, SecuredBy,
    Selector, Silenced, TransportEvent, TransportId, TransportPlan, Verdict, WorkerId,
};
use crossbeam::channel::Receiver;
use datagram::{Backend, Batch, Capabilities, PortId, ReceiveReport, SendReport, SendRight, Wake};
use dtls::Identity;
use packet_io::{Mmsg, MmsgConfig, SimNetwork};
use sallyport_pump::{BackendFactory, Notice, Pump, PumpConfig, SendError, StartError};

const PATIENCE: Duration = Duration::from_secs(20);
const CALL: CallKey = CallKey(1);
const FIRST: WorkerId = WorkerId(0);

fn identity() -> Identity {
    Identity::generate().unwrap()
}

fn pump(workers: usize) -> (Pump, Receiver<Notice>) {
    Pump::start(PumpConfig::mmsg(workers, MmsgConfig::default(), identity())).unwrap()
}

fn sim_pump(network: &SimNetwork, local: SocketAddr) -> (Pump, Receiver<Notice>) {
    let backend = network.backend(&[local.ip()]);
    let factory: BackendFactory = Box::new(move || Ok(Box::new(backend)));
    Pump::start(PumpConfig::new(vec![factory], identity())).unwrap()
}

fn next(notices: &Receiver<Notice>) -> Event {
    match notices.recv_timeout(PATIENCE).unwrap() {
        Notice::Event { event, .. } => event,
        Notice::WorkerFailed { reason, .. } => panic!("worker failed: {reason}"),
    }
}

/// The next event that `pick` takes; others are passed over.
fn await_event<T>(notices: &Receiver<Notice>, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        if let Some(picked) = pick(next(notices)) {
            return picked;
        }
    }
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Ports that are free. They are held while they are chosen, so they differ.
fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let sockets: [UdpSocket; N] = std::array::from_fn(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

fn open(pump: &Pump, worker: WorkerId, call: CallKey, locals: &[SocketAddr]) {
    let ports = locals
        .iter()
        .enumerate()
        .map(|(index, &local)| OpenPort { transport: TransportId(index as u16), local })
        .collect();
    pump.send(worker, Command::Open { request: RequestId(7), call, ports }).unwrap();
}

/// Opens ports on the first worker that are free, though others may take them in between.
fn opened<const N: usize>(pump: &Pump, notices: &Receiver<Notice>, worker: WorkerId, call: CallKey) -> [SocketAddr; N] {
    for _ in 0..100 {
        let locals = free_ports();
        open(pump, worker, call, &locals);
        match next(notices) {
            Event::Opened { request, call: of } => {
                assert_eq!((request, of), (RequestId(7), call));
                return locals;
            }
            Event::Refused { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("no free ports");
}

fn transport(number: u16, remote: SocketAddr, keying: Keying) -> TransportPlan {
    TransportPlan {
        id: TransportId(number),
        leg: LegId(number),
        component: Component::Muxed,
        remote: Some(remote),
        ice: None,
        latching: Latching::Authenticated,
        latch_generation: 0,
        nat: control::NatTraversal::default(),
        keying,
        branch: BranchId::default(),
        others: Vec::new(),
        traffic_class: Some(0xb8),
    }
}

fn flow(number: u16, from: u16, to: u16) -> FlowPlan {
    FlowPlan {
        id: FlowId(number),
        ingress_rtp: TransportId(from),
        ingress_rtcp: TransportId(from),
        egress_rtp: TransportId(to),
        egress_rtcp: TransportId(to),
        selector: Selector::default(),
        forward_media: true,
        blocked: PayloadTypes::default(),
        silenced: Silenced::default(),
        rtcp: RtcpPolicy::Forward,
        echo: None,
    }
}

fn plan(transports: Vec<TransportPlan>, flows: Vec<FlowPlan>) -> Box<Plan> {
    Box::new(Plan { transports, flows, media_timeout: None, memo: Vec::new() })
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

fn statistics(pump: &Pump, notices: &Receiver<Notice>, call: CallKey) -> Option<CallStatistics> {
    pump.send(FIRST, Command::Query { request: RequestId(99), call }).unwrap();
    await_event(notices, |event| match event {
        Event::Statistics { request: RequestId(99), statistics, .. } => Some(statistics.map(|boxed| *boxed)),
        _ => None,
    })
}

#[test]
fn plain_rtp_passes_both_ways_until_the_call_is_removed() {
    let (pump, notices) = pump(1);
    let locals: [SocketAddr; 2] = opened(&pump, &notices, FIRST, CALL);
    let peers = [peer(), peer()];
    let transports = (0..2).map(|n| transport(n, peers[usize::from(n)].local_addr().unwrap(), Keying::Plain)).collect();
    pump.send(FIRST, Command::Apply { call: CALL, plan: plan(transports, vec![flow(0, 0, 1), flow(1, 1, 0)]) })
        .unwrap();

    const PACKETS: u16 = 200;
    for (from, to) in [(0, 1), (1, 0)] {
        let mut buffer = [0; 2048];
        let mut arrived = HashMap::new();
        for sequence in 1000..1000 + PACKETS {
            peers[from].send_to(&rtp(from as u32 + 1, sequence), locals[from]).unwrap();
        }
        // The first packets of a plain source are probation (RFC 3550 A.1); the last one is certain to come.
        let last = rtp(from as u32 + 1, 1000 + PACKETS - 1);
        while !arrived.contains_key(&last) {
            let (len, source) = peers[to].recv_from(&mut buffer).unwrap();
            assert_eq!(source, locals[to]);
            *arrived.entry(buffer[..len].to_vec()).or_insert(0) += 1;
        }
        assert!(arrived.len() >= usize::from(PACKETS) - 5, "{} packets", arrived.len());
        assert!(arrived.values().all(|&times| times == 1));
    }

    let statistics = statistics(&pump, &notices, CALL).unwrap();
    assert_eq!(statistics.transports.len(), 2);
    for (transport, local) in statistics.transports.iter().zip(locals) {
        assert_eq!(transport.local, local);
        assert!(transport.verdicts.of(Verdict::Forwarded) >= u64::from(PACKETS) - 5);
    }
    assert!(self::statistics(&pump, &notices, CallKey(404)).is_none());

    pump.send(FIRST, Command::Remove { call: CALL }).unwrap();
    let last_words = await_event(&notices, |event| match event {
        Event::Removed { call, statistics } => Some((call, statistics)),
        _ => None,
    });
    assert_eq!((last_words.0, last_words.1.transports.len()), (CALL, 2));
    let deadline = Instant::now() + PATIENCE;
    while locals.iter().any(|local| UdpSocket::bind(local).is_err()) {
        assert!(Instant::now() < deadline, "the ports stay bound");
    }

    let deadline = Instant::now() + PATIENCE;
    let counters = loop {
        let [report] = &pump.counters()[..] else { panic!("one worker") };
        if report.counters.transports == 0 {
            break report.counters.clone();
        }
        assert!(Instant::now() < deadline);
    };
    let sent = u64::from(2 * PACKETS);
    assert_eq!(counters.received, sent);
    assert_eq!(counters.shard.verdicts.iter().map(|(_, count)| count).sum::<u64>(), sent);
    assert!(counters.sent >= sent - 10 && counters.send_failures == 0);
    assert_eq!(counters.batch_sizes.iter().sum::<u64>(), counters.batches);
    assert_eq!(counters.calls, 0);
    assert!(counters.busy_nanoseconds > 0 && counters.waited_nanoseconds > 0);
}

#[test]
fn a_port_in_use_is_refused_with_its_cause_and_nothing_stays_bound() {
    let (pump, notices) = pump(1);
    let taken = peer();
    let [before, after] = free_ports();
    let taken_address = taken.local_addr().unwrap();
    open(&pump, FIRST, CALL, &[before, taken_address, after]);
    match next(&notices) {
        Event::Refused { request, call, transport, local, cause } => {
            assert_eq!((request, call, transport, local), (RequestId(7), CALL, TransportId(1), taken_address));
            assert_eq!(cause, BindFailure::InUse);
        }
        other => panic!("{other:?}"),
    }
    UdpSocket::bind(before).unwrap();
    UdpSocket::bind(after).unwrap();
    assert!(statistics(&pump, &notices, CALL).is_none(), "there is no call");

    open(&pump, FIRST, CALL, &["192.0.2.1:40000".parse().unwrap()]);
    assert!(matches!(next(&notices), Event::Refused { cause: BindFailure::AddressNotAvailable, .. }));
}

#[test]
fn a_port_that_one_command_closes_can_be_opened_by_the_next() {
    let (pump, notices) = pump(1);
    let locals: [SocketAddr; 2] = opened(&pump, &notices, FIRST, CALL);
    pump.send(FIRST, Command::Remove { call: CALL }).unwrap();
    open(&pump, FIRST, CallKey(2), &locals);
    assert!(matches!(next(&notices), Event::Removed { call: CALL, .. }));
    assert!(matches!(next(&notices), Event::Opened { call: CallKey(2), .. }));
}

#[test]
fn exhausted_descriptors_are_told_in_the_systems_words() {
    let network = SimNetwork::new(1);
    let local: SocketAddr = "192.0.2.10:30000".parse().unwrap();
    let other: SocketAddr = "192.0.2.10:30002".parse().unwrap();
    network.refuse_bind(other, Some(24));
    let (pump, notices) = sim_pump(&network, local);
    open(&pump, FIRST, CALL, &[local, other]);
    match next(&notices) {
        Event::Refused { cause: BindFailure::Exhausted(words), .. } => assert!(words.contains("Too many open files")),
        other => panic!("{other:?}"),
    }
    assert!(network.host(local).is_ok(), "the first port is free again");
}

#[test]
fn two_workers_key_each_other_by_dtls_and_secured_media_passes() {
    let identity = identity();
    let fingerprint = identity.fingerprint(HashAlgorithm::Sha256);
    let mut config = PumpConfig::mmsg(2, MmsgConfig::default(), identity);
    config.handshake_threads = 2;
    let (pump, notices) = Pump::start(config).unwrap();
    let (calls, workers) = ([CallKey(1), CallKey(2)], [WorkerId(0), WorkerId(1)]);
    // Phone 0 — plain — [call 1: DTLS client] — [DTLS server: call 2] — plain — phone 1.
    let locals: [[SocketAddr; 2]; 2] = std::array::from_fn(|n| opened(&pump, &notices, workers[n], calls[n]));
    let phones = [peer(), peer()];
    for (n, role) in [(0, DtlsRole::Client), (1, DtlsRole::Server)] {
        let dtls = DtlsPlan {
            generation: 1,
            role: Some(role),
            fingerprints: vec![fingerprint.clone()],
            profiles: vec![Profile::AeadAes128Gcm],
            deadline: PATIENCE,
        };
        let transports = vec![
            transport(0, phones[n].local_addr().unwrap(), Keying::Plain),
            transport(1, locals[1 - n][1], Keying::Dtls(Box::new(dtls))),
        ];
        let plan = plan(transports, vec![flow(0, 0, 1), flow(1, 1, 0)]);
        pump.send(workers[n], Command::Apply { call: calls[n], plan }).unwrap();
    }
    for _ in 0..2 {
        let secured = await_event(&notices, |event| match event {
            Event::Transport { event: TransportEvent::Secured(by), .. } => Some(by),
            Event::Transport { event: TransportEvent::Failed(failure), .. } => panic!("{failure}"),
            _ => None,
        });
        assert!(matches!(secured, SecuredBy::Dtls { profile: Profile::AeadAes128Gcm, .. }), "{secured:?}");
    }
    let mut buffer = [0; 2048];
    for sequence in 0..50 {
        phones[0].send_to(&rtp(5, sequence), locals[0][0]).unwrap();
    }
    let last = rtp(5, 49);
    loop {
        let (len, source) = phones[1].recv_from(&mut buffer).unwrap();
        assert_eq!(source, locals[1][0]);
        if buffer[..len] == last[..] {
            break;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counters: Vec<_> = pump.counters().into_iter().map(|report| report.counters).collect();
        if counters.iter().all(|counters| (counters.handshakes_started, counters.handshakes_keyed) == (1, 1)) {
            break;
        }
        assert!(Instant::now() < deadline, "{counters:?}");
    }
}

#[test]
fn a_session_that_does_not_listen_is_told_busy_and_loses_nothing() {
    let mut config = PumpConfig::mmsg(1, MmsgConfig::default(), identity());
    (config.notice_queue, config.command_queue) = (2, 4);
    let told = Arc::new(AtomicUsize::new(0));
    config.notify = {
        let told = Arc::clone(&told);
        Arc::new(move || {
            told.fetch_add(1, Ordering::Relaxed);
        })
    };
    let (pump, notices) = Pump::start(config).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut asked = 0;
    loop {
        match pump.send(FIRST, Command::Query { request: RequestId(asked), call: CALL }) {
            Ok(()) => asked += 1,
            // Two notices, one in hand and four commands: once more than that are refused, the worker holds back.
            Err(SendError::Busy(Command::Query { .. })) if asked >= 6 => break,
            Err(SendError::Busy(_)) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(Instant::now() < deadline && asked < 100);
    }
    for number in 0..asked {
        assert!(matches!(next(&notices), Event::Statistics { request, statistics: None, .. } if request.0 == number));
    }
    assert!(told.load(Ordering::Relaxed) > 0);
}

/// A backend that goes wrong when it is woken.
struct Fragile {
    inner: Mmsg,
    panics: bool,
    waits: usize,
}

impl Fragile {
    fn factory(panics: bool) -> BackendFactory {
        Box::new(move || Ok(Box::new(Self { inner: Mmsg::new(MmsgConfig::default())?, panics, waits: 0 })))
    }
}

impl Backend for Fragile {
    fn bind(&mut self, local: SocketAddr) -> io::Result<(PortId, SendRight)> {
        self.inner.bind(local)
    }
    fn close(&mut self, port: PortId) {
        self.inner.close(port);
    }
    fn receive(&mut self, batch: &mut Batch) -> io::Result<ReceiveReport> {
        self.inner.receive(batch)
    }
    fn send(&mut self, batch: &mut Batch) -> SendReport {
        self.inner.send(batch)
    }
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.wait(timeout)?;
        self.waits += 1;
        if self.waits <= 2 {
            return Ok(());
        }
        assert!(!self.panics, "the backend has a fault");
        Err(io::Error::other("the interface is gone"))
    }
    fn waker(&self) -> Arc<dyn Wake> {
        self.inner.waker()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "fragile", batch: 1 }
    }
}

#[test]
fn a_worker_that_breaks_is_reported_and_the_others_go_on() {
    for (panics, words) in [(true, "panic: the backend has a fault"), (false, "broken: the interface is gone")] {
        let healthy: BackendFactory = Box::new(|| Ok(Box::new(Mmsg::new(MmsgConfig::default())?)));
        let (pump, notices) =
            Pump::start(PumpConfig::new(vec![Fragile::factory(panics), healthy], identity())).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let (worker, reason) = loop {
            // Every command wakes the worker once more, until it breaks.
            let outcome = pump.send(FIRST, Command::Query { request: RequestId(0), call: CALL });
            assert!(!matches!(outcome, Err(SendError::Busy(_))) && Instant::now() < deadline);
            match notices.recv_timeout(Duration::from_millis(10)) {
                Ok(Notice::WorkerFailed { worker, reason }) => break (worker, reason),
                Ok(Notice::Event { .. }) | Err(_) => {}
            }
        };
        assert_eq!(worker, FIRST);
        assert!(reason.contains(words), "{reason}");
        let failed: Vec<_> = pump.counters().iter().map(|report| report.failed).collect();
        assert_eq!(failed, [true, false]);
        let gone = pump.send(FIRST, Command::Remove { call: CALL });
        assert!(matches!(gone, Err(SendError::Gone(_))));
        let _locals: [SocketAddr; 1] = opened(&pump, &notices, WorkerId(1), CALL);
    }
}

#[test]
fn a_pump_whose_backend_cannot_be_made_does_not_start() {
    let broken: BackendFactory = Box::new(|| Err(io::Error::other("no such device")));
    let healthy: BackendFactory = Box::new(|| Ok(Box::new(Mmsg::new(MmsgConfig::default())?)));
    match Pump::start(PumpConfig::new(vec![healthy, broken], identity())) {
        Err(StartError::Backend { worker: WorkerId(1), error }) => assert_eq!(error.to_string(), "no such device"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("started"),
    }
    assert!(matches!(Pump::start(PumpConfig::new(Vec::new(), identity())), Err(StartError::Workers)));
}

#[test]
fn shutdown_ends_every_thread_and_closes_every_port() {
    let (pump, notices) = pump(2);
    let locals: [SocketAddr; 1] = opened(&pump, &notices, WorkerId(1), CALL);
    assert!(UdpSocket::bind(locals[0]).is_err());
    pump.shutdown();
    pump.shutdown();
    assert!(UdpSocket::bind(locals[0]).is_ok());
    assert!(matches!(pump.send(FIRST, Command::Remove { call: CALL }), Err(SendError::Gone(_))));
    // The channel ends when the last worker has.
    assert!(notices.iter().next().is_none());
}

#[test]
fn an_idle_worker_sleeps() {
    let (pump, notices) = pump(1);
    let _locals: [SocketAddr; 2] = opened(&pump, &notices, FIRST, CALL);
    let turns = || pump.counters()[0].counters.turns;
    let (before, start) = (turns(), Instant::now());
    assert!(notices.recv_timeout(Duration::from_millis(300)).is_err(), "nothing happens");
    // Nothing but the shard's timer wakes the worker, and that is no finer than 20 ms.
    assert!(turns() - before <= 2 + (start.elapsed().as_millis() / 20) as u64);
}
