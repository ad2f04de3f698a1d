//! Floods, a peer that sends whatever it likes, and a wire that loses: nothing is left of the calls.

use sallyport_sip::{CallEvent, Description, StatusCode};

use crate::offers::step;
use crate::support::net::{A, B, Net, sdp};
use crate::{none, stray};

/// Deterministic numbers (xorshift).
struct Dice(u32);

impl Dice {
    fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(2_654_435_761) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % bound
    }
}

#[test]
fn a_flood_of_invites_leaves_no_memory_behind() {
    let mut net = Net::with(|_, config| config.max_legs = 3);
    for number in 0..10 {
        let mut invite = stray("INVITE", "");
        invite.headers.set("Via", format!("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{number}"));
        invite.headers.set("Call-ID", number);
        net.inject(B, invite);
    }
    let refused = net.take_log().iter().filter(|line| *line == "B 503 INVITE").count();
    assert_eq!((refused, net.agents[B].len()), (7, (3, 3)));
}

/// Messages of real calls, changed and in any order, from a peer that knows all tags: no panic, and once the calls are ended
/// nothing is left of them.
#[test]
fn a_hostile_peer_leaves_nothing_behind() {
    for seed in 0..150u32 {
        let mut dice = Dice::new(seed);
        let mut pick = |of| dice.below(of);
        let mut net = Net::seeded(|_, config| config.session_timer = None, seed as u8);
        net.quiet = true;
        let dialogs = net.established();
        let leg = net.call(None);
        net.collect();
        let mut heard: Vec<(usize, Vec<u8>)> = Vec::new();
        for number in 0..150 {
            net.collect();
            for agent in [A, B] {
                heard.extend(net.wire[agent].iter().map(|bytes| (agent, bytes.clone())));
                net.deliver(agent);
            }
            heard.truncate(400);
            let (agent, bytes) = heard[pick(heard.len())].clone();
            let text = String::from_utf8(bytes).unwrap();
            let methods = ["INVITE", "UPDATE", "PRACK", "BYE", "INFO", "ACK", "CANCEL", "OPTIONS"];
            let text = match pick(5) {
                0 => text.replace("INVITE", methods[pick(8)]),
                1 => text.replace("CSeq: ", &format!("CSeq: {}", pick(9) + 1)),
                2 => text.replace(" 200 ", &format!(" {} ", [180, 183, 202, 401, 422, 481, 486, 491][pick(8)])),
                3 => text
                    .replace("z9hG4bK", &format!("z9hG4bK{number}"))
                    .replace("CSeq: ", &format!("CSeq: {}", number + 2)),
                _ => text.replace("Contact: ", "Require: 100rel\r\nRSeq: 1\r\nRAck: 1 7 INVITE\r\nContact: "),
            };
            net.wire[agent].push_back(text.into_bytes());
            if !matches!(
                sallyport_sip::receive(
                    net.wire[agent].back().unwrap(),
                    sallyport_sip::Carriage::Datagram,
                    &sallyport_sip::Limits::default()
                ),
                sallyport_sip::Received::Message(_)
            ) {
                net.wire[agent].pop_back();
            }
            step(&mut net, dialogs, pick(6), number);
            net.now += std::time::Duration::from_millis(pick(1500) as u64);
            for agent in &mut net.agents {
                agent.handle_timeout(net.now);
            }
        }
        let _ = net.agents[A].cancel(net.now, leg, None);
        for _ in 0..3 {
            for agent in [A, B] {
                for event in std::mem::take(&mut net.events[agent]) {
                    let agent = &mut net.agents[agent];
                    match event {
                        CallEvent::Incoming { leg, .. } => {
                            let _ = agent.reject(net.now, leg, StatusCode::BUSY_HERE, &none());
                            for dialog in agent.dialogs_of(leg).to_vec() {
                                let _ = agent.bye(net.now, dialog, None);
                            }
                        }
                        CallEvent::Answered { dialog, .. } | CallEvent::Established { dialog } => {
                            let _ = agent.bye(net.now, dialog, None);
                        }
                        _ => {}
                    }
                }
            }
            for agent in [A, B] {
                let _ = net.agents[agent].bye(net.now, dialogs[agent], None);
            }
            net.run(300_000, true);
        }
        for agent in &net.agents {
            assert!(agent.is_empty(), "seed {seed}: {:?}", agent.len());
        }
    }
}

/// Whatever is lost and whoever gives up when: in the end both have the call, or neither, and nothing else is left.
#[test]
fn losses_and_races_never_leave_half_a_call() {
    let mut outcomes = [0; 2];
    for seed in 0..400u32 {
        let mut dice = Dice::new(seed);
        let mut chance = |of| dice.below(of) == 0;
        let mut net = Net::seeded(|_, config| config.session_timer = None, seed as u8);
        let leg = net.call(chance(2).then_some("offer"));
        let mut callee_leg = None;
        let (mut caller, mut callee) = (None, None);
        for _ in 0..120 {
            net.collect();
            for agent in [A, B] {
                if chance(4) {
                    net.wire[agent].pop_front();
                } else {
                    net.deliver(agent);
                }
            }
            while let Some(event) = net.events[B].pop_front() {
                match event {
                    CallEvent::Incoming { leg, .. } => callee_leg = Some(leg),
                    CallEvent::Ended { .. } | CallEvent::Cancelled { .. } => callee = None,
                    _ => {}
                }
            }
            while let Some(event) = net.events[A].pop_front() {
                match event {
                    CallEvent::Answered { dialog, description, .. } => {
                        caller = Some(dialog);
                        if matches!(description, Some(Description::Offer(_))) {
                            net.agents[A].answer(net.now, dialog, sdp("answer")).unwrap();
                        }
                    }
                    CallEvent::Progress { dialog: Some(dialog), description: Some(Description::Offer(_)), .. } => {
                        net.agents[A].answer(net.now, dialog, sdp("answer")).unwrap();
                    }
                    CallEvent::Ended { dialog, .. } if Some(dialog) == caller => caller = None,
                    _ => {}
                }
            }
            if let Some(leg) = callee_leg {
                if chance(6) {
                    let body = chance(2).then(|| sdp("early"));
                    let _ = net.agents[B].ring(net.now, leg, StatusCode::SESSION_PROGRESS, body, &none());
                }
                if chance(12) {
                    for body in [Some(sdp("accepted")), None] {
                        if let Ok(dialog) = net.agents[B].accept(net.now, leg, body, &none()) {
                            callee = Some(dialog);
                        }
                    }
                }
            }
            if chance(60) {
                let _ = net.agents[A].cancel(net.now, leg, None);
            }
            net.now += std::time::Duration::from_millis(250);
            for agent in &mut net.agents {
                agent.handle_timeout(net.now);
            }
        }
        net.run(400_000, true);
        let alive = |agent: usize| net.agents[agent].len().1;
        assert_eq!(alive(A), alive(B), "seed {seed}: {caller:?} {callee:?} {:?}", net.log);
        outcomes[alive(A)] += 1;
        if alive(A) == 1 {
            net.agreed([caller.unwrap(), callee.unwrap()]);
        } else {
            net.assert_forgotten();
        }
    }
    assert!(outcomes.iter().all(|count| *count > 20), "{outcomes:?}");
}
