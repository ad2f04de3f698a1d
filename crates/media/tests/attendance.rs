//! Calls with nobody there to end them, and the snapshot for whoever comes.

mod bench;

use std::time::Duration;

use bench::*;
use control::{CallKey, Event, TransportId};
use datagram::{PortId, SendRight};
use sallyport_media::{Shard, ShardConfig};

const MEDIA_TIMEOUT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn call_with_timeout(timeout: Option<Duration>) -> (Bench, [PortId; 2], Peer) {
    let (mut bench, ports, mut plan, alice, _) = sdes_call();
    plan.media_timeout = timeout;
    plan.memo = b"memo".to_vec();
    bench.apply(&plan);
    bench.shard.poll_event();
    (bench, ports, alice)
}

/// Lets time pass as a worker does, and says what became of the call.
fn after(bench: &mut Bench, time: Duration) -> (usize, usize) {
    bench.now += time;
    bench.shard.handle_timeout(bench.now);
    let events: Vec<Event> = std::iter::from_fn(|| bench.shard.poll_event()).collect();
    let count = |of: fn(&Event) -> bool| events.iter().filter(|event| of(event)).count();
    (count(|event| matches!(event, Event::Idle { .. })), count(|event| matches!(event, Event::Removed { .. })))
}

#[test]
fn an_idle_call_is_told_while_somebody_is_there_and_ended_while_nobody_is() {
    let (mut bench, ports, mut alice) = call_with_timeout(Some(MEDIA_TIMEOUT));
    bench.shard.set_attended(bench.now, false);
    assert_eq!(after(&mut bench, MEDIA_TIMEOUT - Duration::from_secs(1)), (0, 0));
    bench.deliver(&[alice.arrival(ports[0], 5, 0, 0)]);
    assert_eq!(after(&mut bench, MEDIA_TIMEOUT - Duration::from_secs(1)), (0, 0), "media keep it");
    bench.shard.set_attended(bench.now, true);
    assert_eq!(after(&mut bench, Duration::from_secs(1)), (1, 0), "who is there decides");
    assert_eq!(after(&mut bench, Duration::from_secs(1)), (0, 0), "and is told once");
    bench.shard.set_attended(bench.now, false);
    assert_eq!(after(&mut bench, Duration::from_secs(1)), (0, 1));
    assert_eq!(bench.shard.calls().count(), 0);
    assert_eq!(std::iter::from_fn(|| bench.shard.poll_close()).count(), 2, "both ports are closed");
}

#[test]
fn whoever_comes_is_told_again_what_the_one_before_was_told() {
    let (mut bench, ..) = call_with_timeout(Some(MEDIA_TIMEOUT));
    assert_eq!(after(&mut bench, MEDIA_TIMEOUT), (1, 0));
    // Gone and back between two ticks.
    bench.shard.set_attended(bench.now, false);
    bench.shard.set_attended(bench.now, true);
    assert_eq!(after(&mut bench, Duration::from_secs(1)), (1, 0));
}

#[test]
fn a_call_on_hold_ends_an_hour_after_the_last_one_has_gone() {
    let (mut bench, ..) = call_with_timeout(None);
    assert_eq!(after(&mut bench, HOUR * 2), (0, 0), "while somebody is there it is theirs to end");
    bench.shard.set_attended(bench.now, false);
    assert_eq!(after(&mut bench, HOUR - Duration::from_secs(1)), (0, 0));
    assert_eq!(after(&mut bench, Duration::from_secs(1)), (0, 1));
}

#[test]
fn a_snapshot_has_every_call_once_page_by_page() {
    let (bench, ..) = call_with_timeout(Some(MEDIA_TIMEOUT));
    let (page, more) = bench.shard.snapshot(bench.now, None);
    assert!(!more);
    assert_eq!((page.len(), page[0].media_timeout, page[0].memo.as_slice()), (1, Some(MEDIA_TIMEOUT), &b"memo"[..]));
    assert_eq!(page[0].statistics.transports.len(), 2);
    assert_eq!(bench.shard.snapshot(bench.now, Some(page[0].call)).0.len(), 0);

    let mut shard = Shard::new(ShardConfig::default());
    let keys: Vec<CallKey> = (0..100).map(CallKey).collect();
    for (&key, port) in keys.iter().zip((1000..).map(PortId)) {
        shard.open_transport(bench.now, key, TransportId(0), port, SendRight::issue(port), address(1));
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (page, more) = shard.snapshot(bench.now, after);
        seen.extend(page.iter().map(|snapshot| snapshot.call));
        after = seen.last().copied();
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!(seen, keys);
    assert!(pages > 1, "a hundred calls are more than a page");
}
