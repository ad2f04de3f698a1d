//! What stays of a call: whose it was, which way it went, when what happened, and who ended it.

use std::time::{Duration, SystemTime};

use sallyport_b2bua::{B2buaConfig, CallFacts, EndedBy};
use sip::{StatusCode, Transport};

use crate::registrations::{call_as, register, users};
use crate::world::{ALICE, BOB, World, address, config, plain};

fn only(world: &mut World) -> CallFacts {
    world.settle();
    assert_eq!(world.over.len(), 1, "{:?}", world.over);
    world.over.pop().unwrap()
}

fn status(code: u16) -> Option<StatusCode> {
    StatusCode::new(code)
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn after(seconds: u64) -> Option<SystemTime> {
    Some(start() + Duration::from_secs(seconds))
}

#[test]
fn a_call_between_users_names_both_and_its_times() {
    for restarts in [false, true] {
        let config = B2buaConfig { remember: true, ..B2buaConfig::new("sallyport.example") };
        let mut world = World::with_users(config, users());
        register(&mut world, "bob", "builder", BOB);
        world.run(Duration::from_secs(10));
        call_as(&mut world, "alice", "wonderland", ALICE, "sip:bob@sallyport.example");
        let (leg, invite) = world.incoming(BOB);
        world.run(Duration::from_secs(1));
        world.ring(BOB, leg, 180, None);
        world.run(Duration::from_secs(4));
        let bob = world.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
        world.run(Duration::from_secs(30));
        let session = world.session.calls()[0].call_id.clone();
        if restarts {
            world.restart();
        }
        let lives = world.b2bua.call_facts(&session).unwrap();
        assert_eq!((lives.ended_by, lives.times.ended), (None, None));
        world.bye(BOB, bob);
        let facts = only(&mut world);
        assert_eq!((&facts.call, facts.uri.as_str()), (&session, "sip:bob@sallyport.example"));
        assert_eq!(facts.route.as_deref(), Some("* → registered"));
        let caller = &facts.caller;
        assert_eq!((caller.user.as_deref(), caller.uri.as_str()), (Some("alice"), "sip:alice@sallyport.example"));
        assert_eq!(caller.call_id, "alice-call@a.example");
        assert_eq!(caller.flow, Some((Transport::Udp, address(ALICE))));
        let [called] = facts.called.as_slice() else { panic!("{:?}", facts.called) };
        assert_eq!((called.user.as_deref(), called.uri.as_str()), (Some("bob"), "sip:bob@192.0.2.20:5060"));
        assert_eq!(called.call_id, invite.headers.call_id().unwrap());
        assert_eq!((called.flow, called.status), (Some((Transport::Udp, address(BOB))), status(200)));
        let times = facts.times;
        assert_eq!(
            (Some(times.invited), times.ringing, times.answered, times.ended),
            (after(10), after(11), after(15), after(45))
        );
        assert_eq!((facts.status, facts.ended_by), (status(200), Some(EndedBy::Called)));
        assert_eq!(facts.why, "the called party hung up");
        // The other call was a challenge, and that is none.
        assert!(world.over.is_empty());
    }
}

#[test]
fn a_call_that_failed_says_who_refused_it() {
    type Deed = fn(&mut World);
    let cases: [(Deed, Option<u16>, EndedBy, Option<u16>); 5] = [
        (
            |world| {
                world.alice_calls_bob();
                let (leg, _) = world.incoming(BOB);
                world.reject(BOB, leg, 486);
            },
            Some(486),
            EndedBy::Called,
            Some(486),
        ),
        (
            |world| {
                let leg = world.alice_calls_bob();
                let (bob, _) = world.incoming(BOB);
                world.ring(BOB, bob, 180, None);
                let now = world.now;
                world.phone(ALICE).agent.cancel(now, leg, None).unwrap();
                world.settle();
            },
            Some(487),
            EndedBy::Caller,
            Some(487),
        ),
        (
            |world| {
                world.deaf.push(address(BOB));
                world.alice_calls_bob();
                world.run(Duration::from_secs(60));
            },
            Some(408),
            EndedBy::Timeout,
            Some(408),
        ),
        (
            |world| {
                world.alice_calls_bob();
                world.b2bua.set_draining(true);
                world.all_workers_say_idle();
            },
            Some(480),
            EndedBy::MediaTimeout,
            None,
        ),
        (
            |world| {
                let uri = "sip:nobody@sallyport.example";
                world.call(ALICE, World::invitation(ALICE, uri, Some(plain("alice", "192.0.2.10"))));
            },
            Some(404),
            EndedBy::Server,
            None,
        ),
    ];
    for (deed, told, by, said) in cases {
        let mut world = World::with(config());
        deed(&mut world);
        world.run(Duration::from_secs(60));
        let facts = only(&mut world);
        assert_eq!((facts.status, facts.ended_by), (told.and_then(StatusCode::new), Some(by)), "{facts:?}");
        assert_eq!(facts.caller.trunk.as_deref(), Some("phones"));
        assert_eq!(facts.times.answered, None);
        assert!(facts.times.ended.is_some() && !facts.why.is_empty(), "{facts:?}");
        if let Some(said) = said {
            assert_eq!(facts.called[0].status, status(said), "{facts:?}");
        }
    }
}

#[test]
fn an_answered_call_says_what_ended_it() {
    let ended = |world: &mut World| only(world).ended_by;
    let mut world = World::new();
    world.established();
    world.worker_says_idle();
    assert_eq!(ended(&mut world), Some(EndedBy::MediaTimeout));

    let mut world = World::new();
    let [alice, _] = world.established();
    world.bye(ALICE, alice);
    assert_eq!(ended(&mut world), Some(EndedBy::Caller));

    // Neither phone knows the call any more: our refresh says so.
    let mut world = World::new();
    world.established();
    for phone in [ALICE, BOB] {
        world.add(phone, Transport::Udp, 0);
    }
    world.run(Duration::from_secs(2000));
    assert_eq!(ended(&mut world), Some(EndedBy::Timeout));

    // One that was not answered when its process ended.
    let mut world = World::with(B2buaConfig { remember: true, ..config() });
    world.alice_calls_bob();
    world.restart();
    let facts = only(&mut world);
    assert_eq!((facts.ended_by, facts.times.invited), (Some(EndedBy::Restart), start()));
    assert_eq!(facts.caller.call_id, "alice-call@a.example");
}

/// Whoever is not let in leaves no record: anybody could fill the disk.
#[test]
fn strangers_leave_no_records() {
    let mut world = World::with_users(B2buaConfig::new("sallyport.example"), users());
    for to in ["sip:bob@sallyport.example", "sip:nobody@sallyport.example"] {
        world.call(ALICE, World::invitation(ALICE, to, Some(plain("alice", "192.0.2.10"))));
    }
    assert!(world.over.is_empty());
}
