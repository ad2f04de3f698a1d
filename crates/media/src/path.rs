//! Where a transport's peer is: by ICE, or by signalling and latch.

use std::net::SocketAddr;
use std::time::Instant;

use control::{IcePlan, TransportPlan};
use dtls::Standing;
use ice::{LiteAgent, LiteConfig};
use prefetch::prefetch;

use crate::latch::Latch;

/// Bytes of a path that every packet needs.
const AT_THE_HEAD: usize = 192;

/// Where a transport's peer is.
pub(crate) enum Path {
    /// ICE checks decide; between two lite agents the signalled candidate and authenticated packets.
    Ice(Box<LiteAgent>),
    /// Signalling and latch decide.
    Latch(Box<Latch>),
}

impl Path {
    /// The path that a plan asks for.
    pub(crate) fn new(plan: &TransportPlan) -> Self {
        match &plan.ice {
            Some(ice) => Self::Ice(Box::new(LiteAgent::new(config(ice, plan.remote)))),
            None => Self::Latch(Box::new(Latch::new(plan.latching, plan.remote, plan.latch_generation))),
        }
    }

    /// The path to the author of one more answer to the offer that this path was made for.
    pub(crate) fn fork(&self, now: Instant, plan: &TransportPlan) -> Self {
        match (self, &plan.ice) {
            (Self::Ice(agent), Some(ice)) => Self::Ice(Box::new(agent.fork(now, config(ice, plan.remote)))),
            _ => Self::new(plan),
        }
    }

    /// Follows a changed plan.
    pub(crate) fn update(&mut self, now: Instant, before: &TransportPlan, plan: &TransportPlan) {
        match (self, &before.ice, &plan.ice) {
            (Self::Ice(agent), Some(old), Some(new)) => {
                let peer_restarted = old.remote.is_some() && old.remote != new.remote;
                if old.local != new.local || peer_restarted {
                    agent.restart(now, config(new, plan.remote));
                } else if old.remote != new.remote || old.remote_lite != new.remote_lite || before.remote != plan.remote
                {
                    agent.set_remote(now, new.remote.clone(), new.remote_lite, plan.remote);
                }
            }
            (Self::Latch(latch), None, None) => latch.update(now, plan.latching, plan.remote, plan.latch_generation),
            (path, _, _) => *path = Self::new(plan),
        }
    }

    /// Asks for the memory that a packet needs.
    pub(crate) fn prefetch(&self) {
        match self {
            Self::Ice(agent) => prefetch(&**agent, AT_THE_HEAD),
            Self::Latch(latch) => prefetch(&**latch, AT_THE_HEAD),
        }
    }

    /// Where to send.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        match self {
            Self::Ice(agent) => agent.selected(),
            Self::Latch(latch) => latch.target(),
        }
    }

    /// True when a secure packet from `source` may be put to the test of its tag.
    pub(crate) fn admits(&self, source: SocketAddr) -> bool {
        match self {
            Self::Ice(agent) => agent.accepts(source),
            Self::Latch(latch) => latch.admits(source),
        }
    }

    /// A packet from `source` has authenticated. `newest`: it is the newest of its stream; a late one, which may be a copy
    /// that somebody held back and sends from elsewhere, moves nothing. `leads`: it may move a latch. Returns true when
    /// the latch has moved.
    pub(crate) fn authenticated(&mut self, now: Instant, source: SocketAddr, newest: bool, leads: bool) -> bool {
        match self {
            Self::Ice(agent) => {
                if newest {
                    agent.authenticated_packet(now, source);
                }
                false
            }
            Self::Latch(latch) => latch.authenticated(now, source, newest && leads),
        }
    }

    /// What is known of a DTLS datagram's source. `None`: it may not have an association.
    pub(crate) fn standing(&self, plan: &TransportPlan, source: SocketAddr) -> Option<Standing> {
        let signalled = plan.remote == Some(source);
        match self {
            Self::Ice(agent) if agent.is_validated(source) => Some(Standing::Validated),
            _ if signalled => Some(Standing::Signalled),
            Self::Ice(_) if plan.ice.as_ref().is_some_and(|ice| !ice.remote_lite) => None,
            Self::Latch(_) if plan.latching == control::Latching::Strict => None,
            Self::Ice(_) | Self::Latch(_) => Some(Standing::Unproven),
        }
    }
}

fn config(ice: &IcePlan, signalled: Option<SocketAddr>) -> LiteConfig {
    LiteConfig { local: ice.local.clone(), remote: ice.remote.clone(), remote_lite: ice.remote_lite, signalled }
}
