//! The process is killed in the middle of calls, and another one takes them over.

use std::time::Duration;

use sallyport_b2bua::{B2buaConfig, Fact, Output, Refer};
use session::EndReason;
use sip::{Body, CallEvent, EndCause, Method, StatusCode, Transport};

use crate::offers::{agreed, answer, answered, hold, offer, reinvite};
use crate::transfers::{notified, refer, takes_offer};
use crate::world::{ALICE, BOB, CAROL, World, address, config, plain, sdp};

pub(crate) fn remembering(mut config: B2buaConfig) -> B2buaConfig {
    config.remember = true;
    config
}

pub(crate) fn world() -> World {
    World::with(remembering(config()))
}

pub(crate) fn is_bye(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Ended { cause: EndCause::Bye(_), .. })
}

/// Of a request that we sent.
fn cseq(bytes: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap().to_owned();
    line.split(' ').next().unwrap().parse().unwrap()
}

fn sent_to(world: &World, at: &str, method: &str) -> Vec<Vec<u8>> {
    let sent = world.sent.iter().filter(|(peer, bytes)| *peer == address(at) && bytes.starts_with(method.as_bytes()));
    sent.map(|(_, bytes)| bytes.clone()).collect()
}

#[test]
fn who_hangs_up_after_a_restart_ends_both_legs() {
    for (at, other, place) in [(ALICE, BOB, 0), (BOB, ALICE, 1)] {
        let mut world = world();
        let dialogs = world.established();
        world.restart();
        assert_eq!(world.b2bua.len().0, 1);
        world.no_event(ALICE);
        world.no_event(BOB);
        world.bye(at, dialogs[place]);
        world.event(at);
        assert!(is_bye(&world.event(other)));
        world.assert_forgotten();
        assert!(world.take_log().iter().all(|line| !line.contains("481")));
    }
}

/// RFC 3264 §8: the version of o= counts up, and all else of a description stays.
#[test]
fn either_end_offers_again_after_a_restart_with_ports_and_origin_as_they_were() {
    for (at, other, place) in [(ALICE, BOB, 0), (BOB, ALICE, 1)] {
        let mut world = world();
        let dialogs = world.established();
        let before = agreed(&world, dialogs);
        let (ports, transports) =
            (world.session.ports_in_use(), world.plans.values().next().unwrap().transports.clone());
        world.restart();
        let (name, ip) = if at == ALICE { ("alice", "192.0.2.10") } else { ("bob", "192.0.2.20") };
        let (other_name, other_ip) = if at == ALICE { ("bob", "192.0.2.20") } else { ("alice", "192.0.2.10") };
        reinvite(&mut world, at, dialogs[place], Some(hold(name, ip)));
        let (dialog, offered) = offer(&mut world, other);
        // What the other one had of us before; the version of its o= counts up.
        let had = &before[if other == BOB { 3 } else { 1 }];
        let origin = |text: &str| text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
        let version = |text: &str| origin(text).split(' ').nth(2).unwrap().parse::<u64>().unwrap();
        assert_eq!(version(&offered), version(had) + 1);
        let rest = |text: &str| {
            text.lines()
                .filter(|line| !line.starts_with("o=") && !line.starts_with("a=send"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(rest(&offered), rest(had));
        assert!(offered.contains("a=sendonly"));
        let held = sdp(other_name, other_ip, "m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=recvonly");
        answer(&mut world, other, dialog, Body::sdp(held));
        assert!(answered(&mut world, at).contains("a=recvonly"));
        assert_eq!(world.session.ports_in_use(), ports);
        let now: Vec<_> = world.plans.values().next().unwrap().transports.iter().map(|own| own.id).collect();
        assert_eq!(now, transports.iter().map(|own| own.id).collect::<Vec<_>>());
        // What is held stays so over another restart, and is taken up again.
        world.restart();
        reinvite(&mut world, at, dialogs[place], Some(plain(name, ip)));
        let (dialog, offered) = offer(&mut world, other);
        assert!(!offered.contains("a=sendonly"));
        answer(&mut world, other, dialog, plain(other_name, other_ip));
        answered(&mut world, at);
        world.bye(other, dialogs[1 - place]);
        world.assert_forgotten();
    }
}

/// RFC 3261 §12.2.1.1: a peer refuses what is not above the number before.
#[test]
fn our_numbers_never_go_back() {
    let mut world = world();
    let [alice, bob] = world.established();
    let mut last = 0;
    for round in 0..3 {
        for _ in 0..40 {
            let now = world.now;
            let headers = sip::Headers::new();
            let body = Body { content_type: "application/dtmf-relay".into(), bytes: b"Signal=5\r\n".to_vec() };
            world.phone(ALICE).agent.send(now, alice, Method::Info, Some(body), &headers).unwrap();
            let CallEvent::Request { server, request, .. } = world.event(BOB) else { panic!() };
            world.phone(BOB).agent.respond(now, server, request.respond(StatusCode::OK)).unwrap();
            let CallEvent::Response { response, .. } = world.event(ALICE) else { panic!() };
            assert_eq!(response.status(), StatusCode::OK, "round {round}");
        }
        let numbers: Vec<u32> = sent_to(&world, BOB, "INFO").iter().map(|bytes| cseq(bytes)).collect();
        assert!(numbers.is_sorted() && numbers[0] > last, "{numbers:?}");
        last = *numbers.last().unwrap();
        world.sent.clear();
        world.restart();
    }
    world.bye(BOB, bob);
    assert!(is_bye(&{
        let mut event = world.event(ALICE);
        while matches!(event, CallEvent::Response { .. }) {
            event = world.event(ALICE);
        }
        event
    }));
    world.assert_forgotten();
}

#[test]
fn the_session_timers_go_on() {
    let mut world = world();
    world.established();
    world.run(Duration::from_secs(600));
    world.take_log();
    world.restart();
    // Half of 1800 s after the beginning, not after the restart: neither phone has timers, so that we refresh (RFC 4028 §9).
    world.run(Duration::from_secs(290));
    assert_eq!(world.take_log(), Vec::<String>::new());
    world.run(Duration::from_secs(20));
    let log = world.take_log();
    assert!(log.contains(&"us>alice INVITE".to_owned()) || log.contains(&"us>alice UPDATE".to_owned()), "{log:?}");
    assert_eq!(world.b2bua.len().0, 1);
}

#[test]
fn a_session_that_nobody_refreshes_ends() {
    let mut world = world();
    let mut invite = World::invitation(ALICE, "sip:bob@sallyport.example", Some(plain("alice", "192.0.2.10")));
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "1800;refresher=uac");
    world.call(ALICE, invite);
    let (leg, _) = world.incoming(BOB);
    world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    world.answered(ALICE);
    world.event(BOB);
    // Alice has lost it all.
    world.add(ALICE, Transport::Udp, 0);
    world.run(Duration::from_secs(1000));
    world.restart();
    // A third less than 1800 s, or 32 s (RFC 4028 §10).
    world.run(Duration::from_secs(767));
    assert_eq!(world.b2bua.len().0, 1);
    world.take_log();
    world.run(Duration::from_secs(2));
    assert!(is_bye(&world.event(BOB)));
    assert_eq!(world.take_log()[..2], ["us>alice BYE", "us>bob BYE"]);
    world.assert_forgotten();
}

#[test]
fn without_media_after_a_restart_both_legs_hear_that_it_is_over() {
    let mut world = world();
    world.established();
    world.restart();
    world.worker_says_idle();
    for at in [ALICE, BOB] {
        let CallEvent::Ended { cause: EndCause::Bye(bye), .. } = world.event(at) else { panic!() };
        assert!(bye.headers.value("Reason").unwrap().contains("no media"));
    }
    assert_eq!(world.ended.last().unwrap().1, EndReason::MediaTimeout);
    world.assert_forgotten();
}

#[test]
fn the_winner_of_a_fork_has_the_call_still() {
    let mut config = config();
    let all = ["sip:bob@192.0.2.20:5060", "sip:carol@192.0.2.30:5060"].map(crate::world::target).to_vec();
    config.routes[0].to = sallyport_b2bua::Destination::Targets(vec![all]);
    let mut world = World::with(remembering(config));
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 180, None);
    let (leg, _) = world.incoming(CAROL);
    let carol = world.accept(CAROL, leg, Some(plain("carol", "192.0.2.30")));
    let (alice, _) = world.answered(ALICE);
    world.event(CAROL);
    world.event(BOB);
    world.restart();
    reinvite(&mut world, CAROL, carol, Some(plain("carol", "192.0.2.31")));
    let (dialog, _) = offer(&mut world, ALICE);
    answer(&mut world, ALICE, dialog, plain("alice", "192.0.2.10"));
    answered(&mut world, CAROL);
    world.bye(ALICE, alice);
    assert!(is_bye(&world.event(CAROL)));
    world.no_event(BOB);
    world.assert_forgotten();
}

#[test]
fn who_hears_itself_does_so_still() {
    let mut world = world();
    let to = "sip:echo@sallyport.example";
    world.call(ALICE, World::invitation(ALICE, to, Some(plain("alice", "192.0.2.10"))));
    let (alice, _) = world.answered(ALICE);
    world.restart();
    reinvite(&mut world, ALICE, alice, Some(plain("alice", "192.0.2.11")));
    answered(&mut world, ALICE);
    let remote = world.plans.values().next().unwrap().transports[0].remote.unwrap();
    assert_eq!(remote.ip().to_string(), "192.0.2.11");
    world.bye(ALICE, alice);
    world.assert_forgotten();
}

/// Its ports are closed; what its parties do with what they have begun is theirs.
#[test]
fn a_call_that_rings_is_over() {
    let mut world = world();
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    world.ring(BOB, leg, 180, None);
    assert_eq!(world.session.call_count(), 1);
    world.restart();
    assert_eq!((world.session.call_count(), world.session.ports_in_use(), world.b2bua.len().0), (0, 0, 0));
    assert!(world.open.is_empty());
    assert!(world.facts.iter().any(|fact| matches!(fact, Fact::Over { why, .. } if why.contains("restart"))));
}

/// Bob has answered, and the session has not yet said what Alice is to hear of it.
#[test]
fn whoever_had_answered_hears_that_it_is_over() {
    let mut world = world();
    world.alice_calls_bob();
    let (leg, _) = world.incoming(BOB);
    let now = world.now;
    world.phone(BOB).agent.accept(now, leg, Some(plain("bob", "192.0.2.20")), &crate::world::none()).unwrap();
    world.deliver_and_remember();
    assert_eq!(world.log.last().unwrap(), "us>bob ACK");
    world.restart();
    let mut event = world.event(BOB);
    if matches!(event, CallEvent::Established { .. }) {
        event = world.event(BOB);
    }
    assert!(is_bye(&event));
    assert_eq!((world.session.call_count(), world.b2bua.len().0), (0, 0));
}

/// Bob's answer to an offer of Alice's was lost with the process: her offer is refused, and both are brought to agree again.
#[test]
fn an_offer_that_was_open_is_settled_anew() {
    let mut world = world();
    let [alice, bob] = world.established();
    reinvite(&mut world, ALICE, alice, Some(plain("alice", "192.0.2.11")));
    let (dialog, _) = offer(&mut world, BOB);
    world.restart();
    let CallEvent::OfferRefused { response, .. } = world.event(ALICE) else { panic!() };
    assert_eq!(response.status(), StatusCode::SERVER_INTERNAL_ERROR);
    // Bob answers the process that is no more; without an ACK it would end the call after 32 s.
    answer(&mut world, BOB, dialog, plain("bob", "192.0.2.21"));
    let mut rounds = [0, 0];
    for _ in 0..10 {
        world.run(Duration::from_secs(4));
        for (place, (at, name, ip)) in
            [(ALICE, "alice", "192.0.2.10"), (BOB, "bob", "192.0.2.21")].into_iter().enumerate()
        {
            while let Some(event) = world.phone(at).events.pop_front() {
                if let CallEvent::Offer { dialog, .. } = event {
                    answer(&mut world, at, dialog, plain(name, ip));
                    rounds[place] += 1;
                }
            }
        }
    }
    assert_eq!(rounds, [1, 1], "{:?}", world.log);
    let told = agreed(&world, [alice, bob]).remove(1);
    assert!(told.contains("c=IN IP4 203.0.113.7"), "Alice is told last, what Bob has said: {told}");
    let remotes: Vec<_> = world.plans.values().next().unwrap().transports.iter().filter_map(|own| own.remote).collect();
    assert!(remotes.iter().any(|remote| remote.ip().to_string() == "192.0.2.10"), "{remotes:?}");
    // Alice may offer again.
    reinvite(&mut world, ALICE, alice, Some(plain("alice", "192.0.2.11")));
    let (dialog, _) = offer(&mut world, BOB);
    answer(&mut world, BOB, dialog, plain("bob", "192.0.2.21"));
    answered(&mut world, ALICE);
    world.bye(BOB, bob);
    world.assert_forgotten();
}

#[test]
fn a_transfer_whose_target_had_not_answered_leaves_the_call_as_it_was() {
    let mut config = config();
    config.refer = Refer::Blind;
    let mut world = World::with(remembering(config));
    let [alice, bob] = world.established();
    assert_eq!(refer(&mut world, BOB, bob, "sip:carol@sallyport.example"), StatusCode::ACCEPTED);
    assert_eq!(notified(&mut world, BOB), "SIP/2.0 100 Trying\r\n");
    world.incoming(CAROL);
    let ports = world.session.ports_in_use();
    world.restart();
    assert_eq!(notified(&mut world, BOB), "SIP/2.0 503 Service Unavailable\r\n");
    assert!(world.session.ports_in_use() < ports, "what Carol was offered is closed");
    reinvite(&mut world, ALICE, alice, Some(plain("alice", "192.0.2.11")));
    takes_offer(&mut world, BOB, "bob", "192.0.2.20");
    answered(&mut world, ALICE);
    // Another one is carried out.
    assert_eq!(refer(&mut world, BOB, bob, "sip:carol@sallyport.example"), StatusCode::ACCEPTED);
    assert_eq!(notified(&mut world, BOB), "SIP/2.0 100 Trying\r\n");
    let (leg, invite) = world.incoming(CAROL);
    assert_eq!(invite.headers.value("Subject").as_deref(), Some("lunch"));
    world.accept(CAROL, leg, Some(plain("carol", "192.0.2.30")));
    assert_eq!(notified(&mut world, BOB), "SIP/2.0 200 OK\r\n");
    assert!(is_bye(&world.event(BOB)));
    takes_offer(&mut world, ALICE, "alice", "192.0.2.11");
    // Who has come in the place of another is remembered as such.
    world.restart();
    world.bye(ALICE, alice);
    world.event(CAROL);
    assert!(is_bye(&world.event(CAROL)));
}

#[test]
fn nothing_is_remembered_where_nobody_asks_and_of_no_call_that_is_over() {
    let mut world = World::new();
    world.established();
    assert!(world.plans.values().all(|plan| plan.memo.is_empty()));

    let mut world = self::world();
    let [alice, _] = world.established();
    world.bye(ALICE, alice);
    world.settle();
    assert!(world.plans.is_empty() && world.open.is_empty());
    world.restart();
    assert_eq!((world.b2bua.len().0, world.session.call_count()), (0, 0));
}

/// Only the pump could do so; it shall not bring us down with it.
#[test]
fn a_memo_that_is_cut_or_bent_is_refused_or_makes_a_call_that_can_be_ended() {
    let state = {
        let mut world = world();
        world.established();
        world.remembered.pop().unwrap()
    };
    let mut bent: Vec<Vec<u8>> = (0..state.len()).step_by(11).map(|length| state[..length].to_vec()).collect();
    bent.extend((0..state.len()).step_by(3).map(|at| {
        let mut state = state.clone();
        state[at] ^= 0x15;
        state
    }));
    let (mut refused, mut taken) = (0, 0);
    let mut b2bua = self::world().b2bua;
    let mut now = std::time::Instant::now();
    for state in bent {
        b2bua.handle_restored(now, "sip-bent", &state);
        let outputs = std::iter::from_fn(|| b2bua.poll_output());
        let mut facts = outputs.filter(|output| matches!(output, Output::Log(Fact::NotRestored { .. })));
        match facts.next() {
            Some(_) => refused += 1,
            None => taken += 1,
        }
        b2bua.handle_ended(now, "sip-bent", EndReason::MediaTimeout);
        for _ in 0..400 {
            now += Duration::from_millis(500);
            b2bua.handle_timeout(now);
            while b2bua.poll_output().is_some() {}
        }
        assert!(b2bua.is_idle());
    }
    assert!(refused > 100 && taken > 10, "{refused} {taken}");
}

#[test]
fn a_call_that_is_too_large_keeps_its_media_alone() {
    let mut world = world();
    let lines = "a=x-padding:0123456789012345678901234567890123456789012345678901234567890123456789\n".repeat(250);
    let media = format!("m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n{lines}");
    let offer = Body::sdp(sdp("alice", "192.0.2.10", &media));
    world.call(ALICE, World::invitation(ALICE, "sip:bob@sallyport.example", Some(offer)));
    let (leg, _) = world.incoming(BOB);
    let bob = world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    world.answered(ALICE);
    world.event(BOB);
    assert!(world.remembered.last().unwrap().is_empty());
    world.restart();
    assert_eq!((world.b2bua.len().0, world.session.call_count()), (0, 1));
    world.bye(BOB, bob);
    assert!(world.take_log().contains(&"us>bob 481 BYE".to_owned()));
    world.worker_says_idle();
    assert_eq!(world.session.call_count(), 0);
}

#[test]
fn calls_from_before_count_in_the_limit_of_a_user() {
    let mut config = B2buaConfig::new("sallyport.example");
    config.max_calls_per_user = Some(1);
    let mut world = World::with_users(remembering(config), crate::registrations::users());
    crate::registrations::register(&mut world, "bob", "builder", BOB);
    crate::registrations::call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
    let (leg, _) = world.incoming(BOB);
    let bob = world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
    world.answered(ALICE);
    world.event(BOB);
    world.restart();
    crate::registrations::call_as(&mut world, "alice", "wonderland", ALICE, "sip:echo@sallyport.example");
    assert_eq!(world.failure(ALICE).status(), StatusCode::SERVICE_UNAVAILABLE);
    world.bye(BOB, bob);
    world.event(ALICE);
    crate::registrations::call_as(&mut world, "alice", "wonderland", ALICE, "sip:echo@sallyport.example");
    world.answered(ALICE);
}
