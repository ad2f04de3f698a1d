//! Offer and answer between two phones through us: whatever both do in whatever order, in the end each phone has agreed with us on
//! what we have agreed with it, and what one says of its media is what the other was told.

use sip::{Body, CallEvent, DialogHandle, StatusCode};

use sallyport_b2bua::B2buaConfig;

use crate::world::{ALICE, BOB, World, config, none, sdp, text};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A re-INVITE with an offer.
    Offer(usize),
    /// A re-INVITE without.
    Ask(usize),
    /// The oldest open offer, or wish for one, gets an answer.
    Answer(usize),
    /// It is refused.
    Refuse(usize),
    /// One message is delivered, wherever it goes.
    Deliver,
}

/// Whichever phone has something to answer.
const ANY: usize = 2;

const PHONES: [&str; 2] = [ALICE, BOB];

struct Model {
    world: World,
    dialogs: [DialogHandle; 2],
    /// Events of a phone that want an answer.
    open: [Vec<DialogHandle>; 2],
    version: u32,
    ended: bool,
}

impl Model {
    fn new() -> Self {
        Self::of(World::new())
    }

    fn remembered() -> Self {
        let config = B2buaConfig { remember: true, ..config() };
        Self::of(World::with(config))
    }

    fn of(mut world: World) -> Self {
        let dialogs = world.established();
        Self { world, dialogs, open: Default::default(), version: 1, ended: false }
    }

    /// A description that no other one is like: its direction and its port say which it is.
    fn body(&mut self, phone: usize) -> Body {
        self.version += 1;
        let (name, address) = [("alice", "192.0.2.10"), ("bob", "192.0.2.20")][phone];
        let direction = ["sendrecv", "sendonly", "recvonly"][self.version as usize % 3];
        let port = 4000 + 2 * self.version;
        let media = format!("m=audio {port} RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=ptime:{}\na={direction}", self.version);
        Body::sdp(sdp(name, address, &media).replace(" 1 1 IN", &format!(" 1 {} IN", self.version)))
    }

    /// An answer takes what was offered: its direction fits.
    fn answer_to(&mut self, phone: usize, offer: Option<&str>) -> Body {
        let body = self.body(phone);
        let Some(offer) = offer else { return body };
        let answered = match offer {
            offer if offer.contains("a=sendonly") => "recvonly",
            offer if offer.contains("a=recvonly") => "sendonly",
            _ => "sendrecv",
        };
        let text = text(&body.bytes);
        let direction =
            text.lines().rev().find(|line| line.starts_with("a=send") || line.starts_with("a=recv")).unwrap();
        Body::sdp(text.replace(direction, &format!("a={answered}")))
    }

    fn step(&mut self, step: Step) {
        let now = self.world.now;
        let any = usize::from(self.open[0].is_empty());
        let step = match step {
            Step::Answer(ANY) => Step::Answer(any),
            Step::Refuse(ANY) => Step::Refuse(any),
            step => step,
        };
        match step {
            Step::Offer(phone) => {
                let body = self.body(phone);
                let dialog = self.dialogs[phone];
                let _ = self.world.phone(PHONES[phone]).agent.reinvite(now, dialog, Some(body));
            }
            Step::Ask(phone) => {
                let dialog = self.dialogs[phone];
                let _ = self.world.phone(PHONES[phone]).agent.reinvite(now, dialog, None);
            }
            Step::Answer(phone) => {
                if let Some(dialog) = self.open[phone].pop() {
                    let offer = self.world.phone(PHONES[phone]).offer.take();
                    let body = self.answer_to(phone, offer.as_deref());
                    let _ = self.world.phone(PHONES[phone]).agent.answer(now, dialog, body);
                }
            }
            Step::Refuse(phone) => {
                if let Some(dialog) = self.open[phone].pop() {
                    let status = StatusCode::NOT_ACCEPTABLE_HERE;
                    let _ = self.world.phone(PHONES[phone]).agent.refuse(now, dialog, status, &none());
                }
            }
            Step::Deliver => {
                self.world.deliver_one();
            }
        }
        self.hear();
    }

    fn hear(&mut self) {
        self.world.collect();
        for phone in [0, 1] {
            while let Some(event) = self.world.phone(PHONES[phone]).events.pop_front() {
                match event {
                    CallEvent::Offer { dialog, body } => {
                        self.world.phone(PHONES[phone]).offer = Some(text(&body.bytes));
                        self.open[phone].push(dialog);
                    }
                    CallEvent::OfferWanted { dialog } => {
                        self.world.phone(PHONES[phone]).offer = None;
                        self.open[phone].push(dialog);
                    }
                    CallEvent::Ended { .. } => self.ended = true,
                    _ => {}
                }
            }
        }
    }

    /// Everything is delivered, every open offer answered, and what we have to put right by ourselves is.
    fn come_to_rest(&mut self) {
        for _ in 0..8 {
            loop {
                while self.world.deliver_one() {
                    self.hear();
                }
                self.hear();
                if self.open.iter().all(Vec::is_empty) {
                    break;
                }
                for phone in [0, 1] {
                    self.step(Step::Answer(phone));
                }
            }
            self.world.run(std::time::Duration::from_secs(5));
            self.hear();
        }
    }

    fn check(&mut self, sequence: &[Step]) -> bool {
        if self.ended {
            // An offer in a 2xx that was refused ends a call, on both legs.
            self.world.assert_forgotten();
            return false;
        }
        let agreed = [0, 1].map(|phone| {
            let own = &self.world.phones[&crate::world::address(PHONES[phone])];
            let negotiation = own.agent.negotiation(self.dialogs[phone]).expect("the dialog lives");
            assert!(negotiation.is_idle(), "{sequence:?}");
            let agreed = negotiation.agreed().expect("something is agreed");
            [text(&agreed.local.bytes), text(&agreed.remote.bytes)]
        });
        // What a phone hears of the other one: a ptime that only this description has, and a direction.
        let ptime = |sdp: &str| sdp.lines().find_map(|line| line.strip_prefix("a=ptime:")).map(str::to_owned);
        let told = [ptime(&agreed[1][1]), ptime(&agreed[0][1])];
        let said = [ptime(&agreed[0][0]), ptime(&agreed[1][0])];
        assert_eq!(told, said, "{sequence:?}\n{:#?}", self.world.log);
        // And media go where each phone said last.
        let plan = self.world.plan();
        for [local, _] in &agreed {
            let port = local.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
            let known = plan.transports.iter().any(|plan| plan.remote.is_some_and(|at| at.port().to_string() == *port));
            assert!(known, "port {port} of {sequence:?}");
        }
        said.iter().any(Option::is_some)
    }
}

/// All sequences of six: shorter ones are those that end with deliveries, which come by themselves.
#[test]
fn both_legs_agree_after_all_sequences_of_offers_answers_and_refusals() {
    let steps = [Step::Offer(0), Step::Offer(1), Step::Answer(ANY), Step::Refuse(ANY), Step::Deliver];
    let total = steps.len().pow(6);
    let changed = (0..total).filter(|number| check(*number, &steps)).count();
    assert!(changed > total / 3, "{changed} of {total} sequences came to another agreement");
}

/// With re-INVITEs that ask for an offer, and with answers that one phone leaves waiting: some of the sequences of six.
#[test]
fn both_legs_agree_whatever_the_phones_do() {
    let steps = [
        Step::Offer(0),
        Step::Offer(1),
        Step::Ask(0),
        Step::Ask(1),
        Step::Answer(0),
        Step::Answer(1),
        Step::Refuse(0),
        Step::Refuse(1),
        Step::Deliver,
    ];
    let numbers = (0..steps.len().pow(6)).step_by(97);
    let total = numbers.len();
    let changed = numbers.filter(|number| check(*number, &steps)).count();
    assert!(changed > total / 3, "{changed} of {total} sequences came to another agreement");
}

/// With a restart after the first three steps have come to rest, and another one at the end.
#[test]
fn both_legs_agree_whatever_went_before_a_restart() {
    let steps = [Step::Offer(0), Step::Offer(1), Step::Answer(ANY), Step::Refuse(ANY), Step::Deliver];
    let numbers = (0..steps.len().pow(6)).step_by(23);
    let total = numbers.len();
    let changed = numbers.filter(|number| {
        let sequence = sequence(*number, &steps);
        let mut model = Model::remembered();
        for half in sequence.chunks(3) {
            half.iter().for_each(|step| model.step(*step));
            model.come_to_rest();
            model.world.restart();
            model.hear();
        }
        model.come_to_rest();
        model.check(&sequence)
    });
    let changed = changed.count();
    assert!(changed > total / 3, "{changed} of {total} sequences came to another agreement");
}

/// With a restart in the middle of whatever is under way: no phone waits for an answer that does not come, and the call can be ended.
#[test]
fn a_restart_at_any_moment_leaves_a_call_that_can_be_changed_and_ended() {
    let steps = [Step::Offer(0), Step::Offer(1), Step::Ask(0), Step::Answer(ANY), Step::Refuse(ANY), Step::Deliver];
    for number in (0..steps.len().pow(6)).step_by(311) {
        let sequence = sequence(number, &steps);
        let mut model = Model::remembered();
        for (place, step) in sequence.iter().enumerate() {
            model.step(*step);
            if place == number % 6 {
                model.world.restart();
            }
        }
        model.come_to_rest();
        model.come_to_rest();
        for (phone, dialog) in PHONES.into_iter().zip(model.dialogs).filter(|_| !model.ended) {
            let own = &model.world.phones[&crate::world::address(phone)];
            let negotiation = own.agent.negotiation(dialog).expect("the dialog lives");
            assert!(negotiation.is_idle() && own.agent.can_offer(dialog), "{sequence:?}\n{:#?}", model.world.log);
        }
        let now = model.world.now;
        for (phone, dialog) in PHONES.into_iter().zip(model.dialogs).skip(number % 2) {
            let _ = model.world.phone(phone).agent.bye(now, dialog, None);
        }
        model.world.run(std::time::Duration::from_secs(300));
        assert!(model.world.b2bua.is_idle(), "{sequence:?}: {:?}\n{:#?}", model.world.b2bua.len(), model.world.log);
        assert_eq!((model.world.session.call_count(), model.world.session.ports_in_use()), (0, 0), "{sequence:?}");
    }
}

fn sequence(number: usize, steps: &[Step]) -> Vec<Step> {
    let mut rest = number;
    let step = |_| {
        let step = steps[rest % steps.len()];
        rest /= steps.len();
        step
    };
    (0..6).map(step).collect()
}

/// True: something else is agreed than before.
fn check(number: usize, steps: &[Step]) -> bool {
    let sequence = sequence(number, steps);
    let mut model = Model::new();
    for step in &sequence {
        model.step(*step);
    }
    model.come_to_rest();
    model.check(&sequence)
}
