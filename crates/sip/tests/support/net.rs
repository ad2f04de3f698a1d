//! Two user agents and a wire between them on which the test holds messages and the clock.

#![allow(clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

use sallyport_sip::{
    Body, CallEvent, Carriage, DialogHandle, Flow, Headers, LegId, Limits, Message, Received, Request, Target,
    Transmit, UserAgent, UserAgentConfig, receive,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub struct Net {
    pub agents: [UserAgent; 2],
    pub start: Instant,
    pub now: Instant,
    /// Towards each agent.
    pub wire: [VecDeque<Vec<u8>>; 2],
    /// `A INVITE`, `B 200 INVITE`: who sent what.
    pub log: Vec<String>,
    /// Keep no log: for tests of many calls.
    pub quiet: bool,
    pub events: [VecDeque<CallEvent>; 2],
}

pub const A: usize = 0;
pub const B: usize = 1;

pub fn address(agent: usize) -> SocketAddr {
    ["192.0.2.1:5060", "192.0.2.2:5060"][agent].parse().unwrap()
}

pub fn sdp(text: &str) -> Body {
    Body::sdp(text)
}

impl Net {
    pub fn new() -> Self {
        Self::with(|_, _| {})
    }

    pub fn with(edit: impl Fn(usize, &mut UserAgentConfig)) -> Self {
        Self::seeded(edit, 1)
    }

    pub fn seeded(edit: impl Fn(usize, &mut UserAgentConfig), seed: u8) -> Self {
        let now = Instant::now();
        let agent = |number: usize| {
            let mut config = UserAgentConfig::default();
            edit(number, &mut config);
            UserAgent::new(config, [seed.wrapping_mul(2).wrapping_add(number as u8); 32])
        };
        Self {
            agents: [agent(A), agent(B)],
            start: now,
            now,
            wire: Default::default(),
            log: Vec::new(),
            quiet: false,
            events: Default::default(),
        }
    }

    /// An INVITE from A to B, with an offer if there is one.
    pub fn invite(offer: Option<&str>) -> Request {
        let mut request = super::request(
            "INVITE sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP x\nMax-Forwards: 70\nFrom: <sip:alice@a.example>;tag=a1\n\
             To: <sip:bob@b.example>\nCall-ID: c1\nCSeq: 7 INVITE\nContact: <sip:alice@192.0.2.1>\n\n",
        );
        request.headers.remove("Via");
        if let Some(offer) = offer {
            request.set_body(Some("application/sdp"), offer.into());
        }
        request
    }

    pub fn call(&mut self, offer: Option<&str>) -> LegId {
        self.call_with(Self::invite(offer))
    }

    pub fn call_with(&mut self, request: Request) -> LegId {
        let target = Target { flow: Flow::udp(address(A), address(B)), sent_by: address(A).into() };
        self.agents[A].invite(self.now, request, target).unwrap()
    }

    /// Takes what the agents have to say.
    pub fn collect(&mut self) {
        for agent in [A, B] {
            while let Some(transmit) = self.agents[agent].poll_transmit() {
                if !self.quiet {
                    self.log.push(format!("{} {}", ["A", "B"][agent], describe(&transmit)));
                }
                self.wire[1 - agent].push_back(transmit.bytes);
            }
            while let Some(event) = self.agents[agent].poll_event() {
                self.events[agent].push_back(event);
            }
        }
    }

    /// Hands one message to an agent; false if there is none.
    pub fn deliver(&mut self, agent: usize) -> bool {
        self.collect();
        let Some(bytes) = self.wire[agent].pop_front() else { return false };
        let flow = Flow::udp(address(agent), address(1 - agent));
        match receive(&bytes, Carriage::Datagram, &Limits::default()) {
            Received::Message(message) => drop(self.agents[agent].handle_message(self.now, message, flow)),
            Received::Refused { fault, .. } => panic!("{fault}: {}", String::from_utf8_lossy(&bytes)),
        }
        self.collect();
        true
    }

    /// Hands a text to an agent as if the other had sent it.
    pub fn inject(&mut self, agent: usize, message: impl Into<Message>) {
        self.collect();
        self.wire[agent].push_back(message.into().to_bytes());
        while self.deliver(agent) {}
    }

    /// Delivers until nothing is on its way.
    pub fn settle(&mut self) {
        while self.deliver(A) || self.deliver(B) {}
    }

    /// Loses what is on its way.
    pub fn lose(&mut self) {
        self.collect();
        self.wire = Default::default();
    }

    /// Runs the clock for this long, and delivers all that is sent on the way if `deliver` says so.
    pub fn run(&mut self, millis: u64, deliver: bool) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            self.collect();
            if deliver {
                self.settle();
            } else {
                self.lose();
            }
            let next = self.agents.iter().filter_map(UserAgent::poll_timeout).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            for agent in &mut self.agents {
                agent.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    pub fn event(&mut self, agent: usize) -> CallEvent {
        self.collect();
        self.events[agent].pop_front().unwrap_or_else(|| panic!("no event of {agent}; log {:?}", self.log))
    }

    pub fn no_event(&mut self, agent: usize) {
        self.collect();
        assert_eq!(self.events[agent].front(), None);
    }

    pub fn take_log(&mut self) -> Vec<String> {
        self.collect();
        std::mem::take(&mut self.log)
    }

    pub fn incoming(&mut self, agent: usize) -> (LegId, Box<Request>) {
        match self.event(agent) {
            CallEvent::Incoming { leg, request, .. } => (leg, request),
            other => panic!("{other:?}"),
        }
    }

    pub fn answered(&mut self, agent: usize) -> DialogHandle {
        loop {
            match self.event(agent) {
                CallEvent::Answered { dialog, .. } => return dialog,
                CallEvent::Progress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// A call with `offer1` and `answer1`, established on both sides.
    pub fn established(&mut self) -> [DialogHandle; 2] {
        self.call(Some("offer1"));
        self.settle();
        let (leg, _) = self.incoming(B);
        let callee = self.agents[B].accept(self.now, leg, Some(sdp("answer1")), &Headers::new()).unwrap();
        self.settle();
        let caller = self.answered(A);
        assert_eq!(self.event(B), CallEvent::Established { dialog: callee });
        self.take_log();
        [caller, callee]
    }

    /// Local and remote description of both sides, which must mirror one another.
    pub fn agreed(&self, dialogs: [DialogHandle; 2]) -> (String, String) {
        let of = |agent: usize| {
            let agreed = self.agents[agent].negotiation(dialogs[agent]).unwrap().agreed().unwrap();
            let text = |body: &Body| String::from_utf8(body.bytes.clone()).unwrap();
            (text(&agreed.local), text(&agreed.remote))
        };
        let (a, b) = (of(A), of(B));
        assert_eq!((&a.0, &a.1), (&b.1, &b.0));
        a
    }

    /// After the longest timers nothing is left.
    pub fn assert_forgotten(&mut self) {
        self.run(200_000, true);
        for agent in &self.agents {
            assert!(agent.is_empty(), "{:?}", agent.len());
        }
    }
}

fn describe(transmit: &Transmit) -> String {
    match super::sent(transmit) {
        Message::Request(request) => {
            let body = if request.body().is_empty() { "" } else { " " };
            format!("{}{body}{}", request.method(), String::from_utf8_lossy(request.body()))
        }
        Message::Response(response) => {
            let method = response.headers.cseq().unwrap().method;
            let body = if response.body().is_empty() { "" } else { " " };
            format!("{} {method}{body}{}", response.status(), String::from_utf8_lossy(response.body()))
        }
    }
}
