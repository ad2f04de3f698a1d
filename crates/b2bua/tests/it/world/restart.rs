//! The process ends and another one begins, the pump is still there, and connections are not.

use std::net::SocketAddr;

use control::frame::Welcome;
use control::{CallKey, CallSnapshot, CallStatistics, KeyingState, TransportId, TransportStatistics};
use sallyport_b2bua::{B2bua, B2buaConfig};
use session::{Clocks, Session};
use sip::Flow;

use super::World;

impl World {
    /// The media half is there.
    pub(super) fn connect(&mut self) {
        let welcome = Welcome {
            instance: 1,
            workers: 1,
            backend: "world".into(),
            fingerprints: self.session_config.fingerprints.clone(),
        };
        self.session.handle_media_half(self.now, &welcome);
        self.collect();
        assert!(self.session.is_media_here());
    }

    /// The process is killed, with all that it was about to do or had not read; another one begins. Connections are gone.
    pub(crate) fn restart(&mut self) {
        let config = self.config.clone();
        self.restart_with(config);
    }

    pub(crate) fn restart_with(&mut self, config: B2buaConfig) {
        self.restarts += 1;
        let passed = self.now - self.clocks.instant;
        let clocks = Clocks { instant: self.now, system: self.clocks.system + passed };
        let seed = [100 + self.restarts; 32];
        self.b2bua = B2bua::new(config, self.users.clone(), self.now, seed, 1 << 62);
        self.b2bua.set_clocks(clocks);
        self.session = Session::new(self.session_config.clone(), clocks, seed);
        self.to_session.clear();
        self.connect();
        self.settle();
    }

    /// The next message is delivered; of what it makes us ask the session, only what is to be remembered gets there.
    pub(crate) fn deliver_and_remember(&mut self) {
        self.collect();
        let (flow, bytes) = self.wire.pop_front().expect("a message");
        self.deliver(flow, &bytes);
        self.collect();
        for (token, request) in std::mem::take(&mut self.to_session) {
            if matches!(request, session::Request::Remember(_)) {
                self.session.handle_request(self.now, token, request);
            }
        }
        self.collect_session();
    }

    pub(super) fn snapshot(&self, call: CallKey) -> CallSnapshot {
        let plan = self.plans.get(&call);
        let transport = |(&id, &local): (&TransportId, &SocketAddr)| TransportStatistics {
            id,
            leg: control::LegId(0),
            component: control::Component::Muxed,
            local,
            remote: None,
            ice: control::IceState::Off,
            keying: KeyingState::Plain,
            rtp_in: Default::default(),
            rtcp_in: Default::default(),
            rtp_out: Default::default(),
            rtcp_out: Default::default(),
            datagrams_in: Default::default(),
            datagrams_out: Default::default(),
            verdicts: Default::default(),
            last_packet_age: None,
            streams_in: Vec::new(),
            streams_out: Vec::new(),
            diagnosis: Default::default(),
        };
        CallSnapshot {
            call,
            media_timeout: plan.and_then(|plan| plan.media_timeout),
            memo: plan.map(|plan| plan.memo.clone()).unwrap_or_default(),
            statistics: CallStatistics { transports: self.open[&call].iter().map(transport).collect() },
        }
    }

    /// A connection that is not there any more.
    pub(super) fn is_gone(&self, flow: &Flow) -> bool {
        let known = self.phones.get(&flow.peer);
        flow.transport.is_reliable() && known.is_some_and(|phone| phone.connection != flow.connection)
    }

    /// The phone has another connection.
    pub(crate) fn reconnect(&mut self, at: &str, connection: u64) {
        self.phone(at).connection = connection;
    }
}
