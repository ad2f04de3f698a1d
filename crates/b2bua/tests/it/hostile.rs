//! Messages of strangers, mangled: nothing panics, and nothing is left behind.

use std::time::Duration;

use sallyport_b2bua::Refer;
use sip::{Carriage, Flow, Limits, Received, receive};

use crate::world::{ALICE, BOB, CAROL, US, World, address, config, plain};

/// Deterministic numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// A message with a byte, a line or a header's value of another message in the wrong place.
fn mangled(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..dice.below(4) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        let place = dice.below(lines.len());
        match dice.below(6) {
            0 => drop(lines.remove(place)),
            1 => lines.insert(place, lines[place].clone()),
            2 => {
                let other = String::from_utf8_lossy(&corpus[dice.below(corpus.len())]).into_owned();
                let name = lines[place].split(':').next().unwrap_or_default().to_owned();
                if let Some(line) = other.split("\r\n").find(|line| line.starts_with(&name)) {
                    lines[place] = line.to_owned();
                }
            }
            3 => lines[place] = lines[place].replace(|c: char| c.is_ascii_digit(), &dice.below(10).to_string()),
            4 => lines[place] = lines[place].replace("INVITE", ["BYE", "ACK", "CANCEL", "REFER"][dice.below(4)]),
            _ => {
                let at = dice.below(lines[place].len() + 1);
                if lines[place].is_char_boundary(at) {
                    lines[place].insert(at, char::from(32 + dice.below(95) as u8));
                }
            }
        }
        // Its length is right, so that it gets further.
        let (head, body) = lines.split_at(lines.iter().position(String::is_empty).unwrap_or(lines.len()));
        let body = body.get(1..).unwrap_or_default().join("\r\n");
        let head: Vec<&String> = head.iter().filter(|line| !line.starts_with("Content-Length:")).collect();
        let head: String = head.iter().map(|line| format!("{line}\r\n")).collect();
        bytes = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
    }
    bytes
}

#[test]
fn mangled_messages_are_survived_and_leave_nothing_behind() {
    let mut dice = Dice(0x5eed_0123_4567_89ab);
    for round in 0..64 {
        let mut config = config();
        config.refer = if round % 2 == 0 { Refer::Blind } else { Refer::Refuse };
        config.limits.calls = 20;
        let mut world = World::with(config);
        let [alice, bob] = world.established();
        let now = world.now;
        world.phone(ALICE).agent.reinvite(now, alice, Some(plain("alice", "192.0.2.11"))).unwrap();
        world.settle();
        let mut headers = crate::world::none();
        headers.push("Refer-To", "<sip:carol@sallyport.example>");
        world.phone(BOB).agent.send(now, bob, sip::Method::Refer, None, &headers).unwrap();
        world.settle();
        let mut corpus = world.heard.clone();
        corpus.extend(world.sent.iter().map(|(_, bytes)| bytes.clone()));
        assert!(corpus.len() >= 10, "{}", corpus.len());
        for number in 0..400 {
            let bytes = mangled(&mut dice, &corpus);
            let from = address([ALICE, BOB, CAROL][dice.below(3)]);
            if let Received::Message(message) = receive(&bytes, Carriage::Datagram, &Limits::default()) {
                world.b2bua.handle_message(world.now, message, Flow::udp(address(US), from));
                world.settle();
            }
            if number % 50 == 49 {
                world.run(Duration::from_secs(1));
            }
            assert!(world.b2bua.len().0 <= 20);
        }
        // Nobody is there any more, and no media comes.
        world.deaf = vec![address(ALICE), address(BOB), address(CAROL)];
        for _ in 0..4 {
            world.run(Duration::from_secs(200));
            world.all_workers_say_idle();
        }
        world.run(Duration::from_secs(200));
        assert!(world.b2bua.is_idle(), "round {round}: {:?}", world.b2bua.len());
        assert_eq!(world.session.call_count(), 0);
    }
}
