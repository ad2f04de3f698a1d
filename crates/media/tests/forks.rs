//! One offer, several answers: one port, one key of ours, a receive context for each peer.

mod bench;

use std::time::Duration;

use bench::*;
use control::*;
use datagram::PortId;
use dtls::Identity;
use sallyport_media::handshake::Handshakes;

const ALICE: u32 = 5;

/// Leg 1 is Alice's; leg 2 is the one that was forked downstream.
struct Fork {
    bench: Bench,
    ports: [PortId; 2],
    plan: Plan,
    alice: Peer,
    /// What each answer has signalled, by branch.
    branches: Vec<BranchPlan>,
}

fn branch(id: u16, host: u8, keying: Keying) -> BranchPlan {
    BranchPlan {
        id: BranchId(id),
        remote: Some(address(host)),
        ice: None,
        latching: Latching::Authenticated,
        latch_generation: 0,
        keying,
    }
}

impl Fork {
    /// The first branch has answered.
    fn new(branches: Vec<BranchPlan>) -> Self {
        let mut bench = Bench::new();
        let ports = [bench.open(1), bench.open(2)];
        let plan = plan(
            vec![transport(1, Some(address(1)), sdes(CM, 11, 12)), transport(2, None, Keying::Pending)],
            vec![flow(1, 1, 2), flow(2, 2, 1)],
        );
        let mut fork = Self { bench, ports, plan, alice: Peer::new(1, CM, 11, 12), branches };
        fork.answer(0, &[]);
        fork
    }

    /// Branch `front` has answered last, after `others`.
    fn answer(&mut self, front: usize, others: &[usize]) -> Vec<Sent> {
        let chosen = &self.branches[front];
        let leg = &mut self.plan.transports[1];
        leg.branch = chosen.id;
        leg.remote = chosen.remote;
        leg.ice = chosen.ice.clone();
        leg.keying = chosen.keying.clone();
        leg.others = others.iter().map(|&other| self.branches[other].clone()).collect();
        self.bench.apply(&self.plan)
    }

    /// A packet of Alice's; returns what has left for the forked leg.
    fn alice_says(&mut self, sequence: u16) -> Vec<Sent> {
        let arrival = self.alice.arrival(self.ports[0], ALICE, sequence, 0);
        self.bench.deliver(&[arrival])
    }

    /// A packet of a branch; returns what Alice hears.
    fn says(&mut self, peer: &mut Peer, ssrc: u32, sequence: u16) -> Vec<Vec<u8>> {
        let arrival = peer.arrival(self.ports[1], ssrc, sequence, 0);
        let sent = self.bench.deliver(&[arrival]);
        self.alice.open(&sent)
    }

    fn verdict(&self, verdict: Verdict) -> u64 {
        self.bench.verdict(2, verdict)
    }
}

/// Two answers that chose the same suite: each with its own key, both under ours.
fn sdes_fork() -> (Fork, Peer, Peer) {
    let fork = Fork::new(vec![branch(0, 2, sdes(GCM, 21, 22)), branch(1, 3, sdes(GCM, 31, 22))]);
    (fork, Peer::new(2, GCM, 21, 22), Peer::new(3, GCM, 31, 22))
}

#[test]
fn the_latest_answer_is_heard_and_the_earlier_one_authenticated_and_counted() {
    let (mut fork, mut bob, mut carol) = sdes_fork();
    assert_eq!(fork.says(&mut bob, 7, 0), [rtp(7, 0)], "early media of the first");
    assert_eq!(fork.says(&mut carol, 8, 0), Vec::<Vec<u8>>::new());
    assert_eq!(fork.verdict(Verdict::BadTag), 1, "her answer has not come");

    fork.answer(1, &[0]);
    for sequence in 1..20 {
        assert_eq!(fork.says(&mut carol, 8, sequence), [rtp(8, sequence)]);
        assert!(fork.says(&mut bob, 7, sequence).is_empty());
        let sent = fork.alice_says(sequence);
        assert_eq!(sent.iter().map(|sent| sent.remote).collect::<Vec<_>>(), [address(3)]);
        assert_eq!(carol.open(&sent), [rtp(ALICE, sequence)]);
    }
    assert_eq!(fork.verdict(Verdict::OtherBranch), 19);
    let statistics = fork.bench.statistics(2);
    assert_eq!(statistics.rtp_in.packets, 1 + 19 + 19);
    let heard = |ssrc| statistics.streams_in.iter().find(|stream| stream.ssrc == ssrc).map(|it| it.rtp.packets);
    assert_eq!((heard(7), heard(8)), (Some(20), Some(19)));
    let report = bob.protect_rtcp(&receiver_report(7, ALICE, 5));
    assert!(fork.bench.deliver(&[(fork.ports[1], address(2), report)]).is_empty());
    assert_eq!(fork.verdict(Verdict::OtherBranch), 20);
}

#[test]
fn forgeries_and_replays_end_as_without_forks_and_genuine_packets_pass_afterwards() {
    let (mut fork, mut bob, mut carol) = sdes_fork();
    fork.answer(1, &[0]);
    let mut mallory = Peer::new(2, GCM, 99, 98);
    for host in [2, 3, 66] {
        mallory.address = address(host);
        assert!(fork.says(&mut mallory, 7, u16::from(host)).is_empty());
    }
    assert_eq!(fork.verdict(Verdict::BadTag), 3);
    assert!(fork.bench.statistics(2).streams_in.is_empty(), "nothing is learnt of what does not verify");
    assert_eq!(fork.alice_says(0)[0].remote, address(3));

    let early = bob.arrival(fork.ports[1], 7, 1, 0);
    let late = carol.arrival(fork.ports[1], 8, 1, 0);
    fork.bench.deliver(&[early.clone(), late.clone()]);
    fork.bench.deliver(&[early, late]);
    assert_eq!(fork.verdict(Verdict::Replayed), 2);
    assert_eq!(fork.says(&mut carol, 8, 2), [rtp(8, 2)]);
    assert!(fork.says(&mut bob, 7, 2).is_empty());
    assert_eq!(fork.verdict(Verdict::OtherBranch), 2);
}

#[test]
fn a_final_answer_brings_its_branch_back_with_its_windows_and_its_address() {
    let (mut fork, mut bob, mut carol) = sdes_fork();
    bob.address = address(40);
    assert_eq!(fork.says(&mut bob, 7, 0), [rtp(7, 0)]);
    let recorded = bob.arrival(fork.ports[1], 7, 1, 0);
    fork.bench.deliver(std::slice::from_ref(&recorded));
    fork.answer(1, &[0]);
    assert_eq!(fork.says(&mut carol, 8, 0), [rtp(8, 0)]);
    fork.bench.take_events();
    fork.answer(0, &[1]);
    let events = fork.bench.take_events();
    assert!(events.contains(&(2, TransportEvent::Latched { remote: address(40) })), "{events:?}");
    assert!(fork.bench.deliver(&[recorded]).is_empty());
    assert_eq!(fork.verdict(Verdict::Replayed), 1);
    assert_eq!(fork.says(&mut bob, 7, 2), [rtp(7, 2)]);
    let sent = fork.alice_says(0);
    assert_eq!(sent[0].remote, address(40));
    assert_eq!(bob.open(&sent), [rtp(ALICE, 0)]);
    assert!(fork.says(&mut carol, 8, 1).is_empty());
}

#[test]
fn no_index_is_used_twice_under_the_one_key_whoever_it_is_sent_to() {
    let (mut fork, ..) = sdes_fork();
    // Whoever hears all branches under our key would refuse an index that it has seen.
    let mut observer = Peer::new(66, GCM, 0, 22);
    let mut seen = 0;
    let mut hear = |sent: Vec<Sent>| {
        seen += sent.iter().map(|sent| observer.unprotect(sent)).count();
    };
    for sequence in 1000..1010 {
        hear(fork.alice_says(sequence));
    }
    fork.answer(1, &[0]);
    for sequence in 1010..1020 {
        hear(fork.alice_says(sequence));
    }
    // Alice begins anew, under another key and with lower numbers.
    fork.plan.transports[0].keying = sdes(CM, 13, 14);
    fork.bench.apply(&fork.plan);
    fork.alice = Peer::new(1, CM, 13, 14);
    for sequence in 100..110 {
        hear(fork.alice_says(sequence));
    }
    fork.answer(0, &[1]);
    for sequence in 110..120 {
        hear(fork.alice_says(sequence));
    }
    assert_eq!(seen, 40);
    assert_eq!(fork.bench.verdict(1, Verdict::Forwarded), 40);
}

#[test]
fn a_suite_that_is_left_for_another_branch_goes_on_where_it_was() {
    let mut fork = Fork::new(vec![
        branch(0, 2, sdes(GCM, 21, 22)),
        branch(1, 3, sdes(CM, 31, 32)),
        branch(2, 4, sdes(GCM, 41, 22)),
    ]);
    let (mut gcm, mut cm) = (Peer::new(66, GCM, 0, 22), Peer::new(66, CM, 0, 32));
    let rounds = [(0, vec![]), (1, vec![0]), (0, vec![1]), (2, vec![0, 1]), (1, vec![2]), (0, vec![1])];
    for (round, (front, others)) in rounds.into_iter().enumerate() {
        fork.answer(front, &others);
        let host = [2, 3, 4][front];
        let observer = if front == 1 { &mut cm } else { &mut gcm };
        // Alice's source is another one each time, whose numbers lie before those of the last.
        let seed = 50 + 2 * round as u8;
        let first = 10_000 - 1000 * round as u16;
        fork.plan.transports[0].keying = sdes(CM, seed, seed + 1);
        fork.bench.apply(&fork.plan);
        fork.alice = Peer::new(1, CM, seed, seed + 1);
        for sequence in first..first + 10 {
            let sent = fork.alice_says(sequence);
            assert_eq!(sent.iter().map(|sent| sent.remote).collect::<Vec<_>>(), [address(host)]);
            observer.unprotect(&sent[0]);
        }
    }
}

#[test]
fn a_suite_of_a_branch_that_is_gone_goes_on_where_it_was_when_the_last_one_chooses_it() {
    let mut fork = Fork::new(vec![
        branch(0, 2, sdes(GCM, 21, 22)),
        branch(1, 3, sdes(CM, 31, 32)),
        branch(1, 3, sdes(GCM, 41, 22)),
    ]);
    let (mut gcm, mut cm) = (Peer::new(66, GCM, 0, 22), Peer::new(66, CM, 0, 32));
    let report = |fork: &mut Fork, observer: &mut Peer| {
        let packet = fork.alice.protect_rtcp(&receiver_report(ALICE, 7, 1));
        let sent = fork.bench.deliver(&[(fork.ports[0], fork.alice.address, packet)]);
        assert_eq!(observer.unprotect(&sent[0]), receiver_report(ALICE, 7, 1));
    };
    (0..5).for_each(|_| report(&mut fork, &mut gcm));
    fork.answer(1, &[0]);
    report(&mut fork, &mut cm);
    fork.answer(1, &[]);
    report(&mut fork, &mut cm);
    // The observer opens no index twice.
    fork.answer(2, &[]);
    (0..5).for_each(|_| report(&mut fork, &mut gcm));
}

#[test]
fn branches_may_send_the_same_ssrc_and_the_same_numbers() {
    let (mut fork, mut bob, mut carol) = sdes_fork();
    let mut heard = 0;
    for sequence in 0..10 {
        heard += fork.says(&mut bob, 7, sequence).len();
    }
    fork.answer(1, &[0]);
    for sequence in 0..10 {
        heard += fork.says(&mut carol, 7, sequence).len();
        assert!(fork.says(&mut bob, 7, 10 + sequence).is_empty());
    }
    fork.answer(0, &[1]);
    for sequence in 20..30 {
        heard += fork.says(&mut bob, 7, sequence).len();
    }
    // Alice's context has taken each of them: no index came twice.
    assert_eq!(heard, 30);
    assert_eq!((fork.verdict(Verdict::Replayed), fork.verdict(Verdict::BadTag)), (0, 0));
}

#[test]
fn eight_branches_are_told_apart_and_a_flood_costs_a_bounded_number_of_attempts() {
    let branches = (0..8).map(|number| branch(number, 10 + number as u8, sdes(GCM, 21 + number as u8, 22))).collect();
    let mut fork = Fork::new(branches);
    let others: Vec<usize> = (0..7).collect();
    fork.answer(7, &others);
    let mut peers: Vec<Peer> = (0..8).map(|number| Peer::new(10 + number, GCM, 21 + number, 22)).collect();
    let mut mallory = Peer::new(66, GCM, 99, 98);
    let mut forged: Vec<Arrival> =
        (0..200).map(|n| mallory.arrival(fork.ports[1], 1000 + u32::from(n % 30), n, 0)).collect();
    for (number, arrival) in forged.iter_mut().enumerate() {
        arrival.1 = address(10 + number as u8 % 8);
    }
    assert!(fork.bench.deliver(&forged).is_empty());
    assert_eq!(fork.verdict(Verdict::BadTag), 200);
    for (number, peer) in peers.iter_mut().enumerate() {
        // From an address that nobody knows: the tag alone tells whose it is.
        peer.address = address(80 + number as u8);
        let heard = fork.says(peer, 7, 1);
        assert_eq!(heard.len(), usize::from(number == 7));
    }
    assert_eq!(fork.verdict(Verdict::OtherBranch), 7);
    assert_eq!(fork.alice_says(0)[0].remote, address(87), "only the front has moved the path");
}

#[test]
fn a_branch_that_is_dropped_is_a_stranger() {
    let (mut fork, mut bob, mut carol) = sdes_fork();
    fork.answer(1, &[0]);
    assert!(fork.says(&mut bob, 7, 0).is_empty());
    fork.answer(1, &[]);
    assert!(fork.says(&mut bob, 7, 1).is_empty());
    assert_eq!((fork.verdict(Verdict::OtherBranch), fork.verdict(Verdict::BadTag)), (1, 1));
    assert_eq!(fork.says(&mut carol, 8, 0), [rtp(8, 0)]);
}

#[test]
fn a_batch_ends_as_its_packets_one_by_one() {
    let run = |together: bool| {
        let (mut fork, mut bob, mut carol) = sdes_fork();
        fork.answer(1, &[0]);
        let mut mallory = Peer::new(2, GCM, 99, 98);
        let mut arrivals = Vec::new();
        for sequence in 0..40_u16 {
            arrivals.push(bob.arrival(fork.ports[1], 7, sequence, 0));
            arrivals.push(carol.arrival(fork.ports[1], 7, sequence, 0));
            if sequence % 3 == 0 {
                arrivals.push(arrivals[arrivals.len() - 2].clone());
                arrivals.push(mallory.arrival(fork.ports[1], 7, 1000 + sequence, 0));
            }
        }
        let sent = if together {
            fork.bench.deliver(&arrivals)
        } else {
            arrivals.iter().flat_map(|arrival| fork.bench.deliver(std::slice::from_ref(arrival))).collect()
        };
        (sent, fork.bench.statistics(2).verdicts)
    };
    let (sent, verdicts) = run(true);
    assert_eq!(sent.len(), 40);
    let ends = [Verdict::OtherBranch, Verdict::Replayed, Verdict::BadTag].map(|verdict| verdicts.of(verdict));
    assert_eq!(ends, [40, 14, 14]);
    assert!(run(false) == (sent, verdicts));
}

#[test]
fn plain_branches_are_told_apart_by_address_and_an_earlier_one_locks_nothing() {
    let mut fork = Fork::new(vec![branch(0, 2, Keying::Plain), branch(1, 3, Keying::Plain)]);
    let say = |fork: &mut Fork, host: u8, ssrc, sequence| {
        let sent = fork.bench.deliver(&[(fork.ports[1], address(host), rtp(ssrc, sequence))]);
        fork.alice.open(&sent).len()
    };
    let first: usize = (0..10).map(|sequence| say(&mut fork, 2, 7, sequence)).sum();
    assert!(first >= 8, "{first}");
    fork.answer(1, &[0]);
    assert_eq!((10..20).map(|sequence| say(&mut fork, 2, 7, sequence)).sum::<usize>(), 0);
    assert_eq!(fork.verdict(Verdict::OtherBranch), 10);
    assert_eq!(fork.alice_says(0)[0].remote, address(3), "still where the second answer says");
    let second: usize = (0..10).map(|sequence| say(&mut fork, 3, 8, sequence)).sum();
    assert!(second >= 8, "{second}");
    assert_eq!((20..30).map(|sequence| say(&mut fork, 66, 8, sequence)).sum::<usize>(), 0, "a stranger");
    assert!(fork.verdict(Verdict::UnexpectedSource) + fork.verdict(Verdict::Probation) >= 10);
    assert_eq!(say(&mut fork, 3, 8, 10), 1);
}

#[test]
fn each_branch_has_a_dtls_association_of_its_own() {
    let relay = Identity::generate().expect("an identity");
    let phones = [Identity::generate().expect("an identity"), Identity::generate().expect("an identity")];
    let keying = |number: usize| dtls_plan(1 + number as u32, Some(DtlsRole::Server), &phones[number]);
    let mut fork = Fork::new(vec![branch(0, 2, keying(0)), branch(1, 3, keying(1))]);
    fork.bench.handshakes = Some(Handshakes::new(relay.clone(), 1200));
    fork.bench.settle();
    let connect = |fork: &mut Fork, number: usize| {
        let host = 2 + number as u8;
        let mut client = DtlsPeer::new(&fork.bench, host, DtlsRole::Client, &phones[number], &relay);
        client.start(&fork.bench);
        client.converse(&mut fork.bench, fork.ports[1], Vec::new());
        client.peer()
    };
    let mut bob = connect(&mut fork, 0);
    assert_eq!(fork.says(&mut bob, 7, 0), [rtp(7, 0)]);
    assert_eq!(bob.open(&fork.alice_says(0)), [rtp(ALICE, 0)]);
    fork.answer(1, &[0]);
    assert!(fork.alice_says(1).is_empty(), "nothing leaves before the second handshake");
    let mut carol = connect(&mut fork, 1);
    assert_eq!(fork.says(&mut carol, 8, 0), [rtp(8, 0)]);
    assert!(fork.says(&mut bob, 7, 1).is_empty());
    assert_eq!(fork.verdict(Verdict::OtherBranch), 1);
    assert_eq!(carol.open(&fork.alice_says(2)), [rtp(ALICE, 2)]);
    // The final answer is the first branch's: no new handshake.
    fork.answer(0, &[1]);
    assert_eq!(fork.says(&mut bob, 7, 2), [rtp(7, 2)]);
    assert_eq!(bob.open(&fork.alice_says(3)), [rtp(ALICE, 3)]);
    assert!(fork.says(&mut carol, 8, 1).is_empty());
    assert_eq!(fork.verdict(Verdict::OtherBranch), 2);
}

#[test]
fn a_handshake_may_end_while_its_branch_waits() {
    let relay = Identity::generate().expect("an identity");
    let phones = [Identity::generate().expect("an identity"), Identity::generate().expect("an identity")];
    let keying = |number: usize| dtls_plan(1 + number as u32, Some(DtlsRole::Server), &phones[number]);
    let mut fork = Fork::new(vec![branch(0, 2, keying(0)), branch(1, 3, keying(1))]);
    fork.bench.handshakes = Some(Handshakes::new(relay.clone(), 1200));
    fork.answer(1, &[0]);
    let mut client = DtlsPeer::new(&fork.bench, 2, DtlsRole::Client, &phones[0], &relay);
    client.start(&fork.bench);
    client.converse(&mut fork.bench, fork.ports[1], Vec::new());
    let mut bob = client.peer();
    assert!(fork.bench.take_events().iter().all(|(transport, _)| *transport == 1), "the session hears of the front");
    assert!(fork.says(&mut bob, 7, 0).is_empty());
    assert_eq!(fork.verdict(Verdict::OtherBranch), 1);
    fork.answer(0, &[1]);
    let events = fork.bench.take_events();
    assert!(matches!(&events[..], [(2, TransportEvent::Secured(SecuredBy::Dtls { .. }))]), "{events:?}");
    assert_eq!(fork.says(&mut bob, 7, 1), [rtp(7, 1)]);
    assert_eq!(bob.open(&fork.alice_says(0)), [rtp(ALICE, 0)]);
}

fn ice_branch(id: u16, ufrag: &str, keying: Keying) -> BranchPlan {
    let ice = IcePlan {
        local: credentials("L"),
        remote: Some(credentials(ufrag)),
        remote_lite: false,
        remote_candidates: Vec::new(),
    };
    BranchPlan { remote: None, ice: Some(ice), ..branch(id, 0, keying) }
}

fn check_of(ufrag: &str, nominate: bool, transaction: u8) -> Vec<u8> {
    let request = ice::stun::BindingRequest {
        transaction_id: ice::stun::TransactionId([transaction; 12]),
        remote: &credentials("L"),
        local_ufrag: &credentials(ufrag).ufrag,
        priority: 1,
        role: Some(ice::stun::Role::Controlling(1)),
        use_candidate: nominate,
        software: None,
    };
    let mut buffer = vec![0; 256];
    let len = request.encode(&mut buffer).expect("room");
    buffer.truncate(len);
    buffer
}

#[test]
fn each_branch_has_its_own_pairs_and_checks_from_before_its_answer_count() {
    let mut fork = Fork::new(vec![ice_branch(0, "R", sdes(GCM, 21, 22)), ice_branch(1, "S", sdes(GCM, 31, 22))]);
    let (mut bob, mut carol) = (Peer::new(2, GCM, 21, 22), Peer::new(3, GCM, 31, 22));
    let check = |fork: &mut Fork, ufrag: &str, host: u8, transaction| {
        let answered = fork.bench.deliver(&[(fork.ports[1], address(host), check_of(ufrag, true, transaction))]);
        assert_eq!(answered.iter().map(|sent| sent.remote).collect::<Vec<_>>(), [address(host)], "answered once");
    };
    check(&mut fork, "R", 2, 1);
    check(&mut fork, "S", 3, 2);
    assert_eq!(fork.alice_says(0)[0].remote, address(2));
    assert_eq!(fork.says(&mut bob, 7, 0), [rtp(7, 0)]);
    assert!(fork.says(&mut carol, 8, 0).is_empty());
    assert_eq!(fork.verdict(Verdict::UnexpectedSource), 1, "not the peer that has answered");

    fork.answer(1, &[0]);
    assert_eq!(fork.alice_says(1)[0].remote, address(3), "her check came before her answer");
    assert_eq!(fork.says(&mut carol, 8, 1), [rtp(8, 1)]);
    assert!(fork.says(&mut bob, 7, 1).is_empty());
    assert_eq!(fork.verdict(Verdict::OtherBranch), 1);
    // Both go on checking for half a minute and more: neither takes the other's place.
    for round in 0..20 {
        fork.bench.pass(Duration::from_secs(2));
        check(&mut fork, "R", 2, 10 + 2 * round);
        check(&mut fork, "S", 3, 11 + 2 * round);
        assert_eq!(fork.alice_says(2 + u16::from(round))[0].remote, address(3));
    }
    fork.answer(0, &[1]);
    let sent = fork.alice_says(30);
    assert_eq!(sent[0].remote, address(2), "its consent was renewed all the time");
    assert_eq!(fork.says(&mut bob, 7, 2), [rtp(7, 2)]);
    assert_eq!(fork.verdict(Verdict::BadStun), 0);
}
