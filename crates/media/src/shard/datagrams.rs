//! Datagrams of another protocol than RTP, such as UDPTL (T.38): relayed as they are.

use std::time::Instant;

use control::{Component, Keying, KeyingState, TransportEvent, Verdict};
use datagram::Datagram;
use rtp::Class;

use super::Shard;
use crate::latch::Standing;
use crate::path::Path;
use crate::transport::Ingress;

impl Shard {
    /// Brings a transport into or out of this kind, after its keying has been applied.
    pub(super) fn apply_datagrams(&mut self, slot: usize, before: Option<Component>) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        let was = before == Some(Component::Datagrams);
        let plain = transport.plan.as_ref().is_some_and(|plan| plan.keying == Keying::Plain);
        match transport.component {
            Component::Datagrams if plain => {
                transport.ingress = Ingress::Datagrams;
                if transport.in_front {
                    transport.egress.set_datagrams();
                }
            }
            // There is no way to secure them here, and in the clear they must not pass.
            Component::Datagrams => self.withdraw_keys(slot, Ingress::Closed, KeyingState::Pending),
            _ if was && plain => self.open_plain(slot),
            _ => {}
        }
    }

    /// A datagram on a transport of this kind, whatever its first byte says. With ICE, STUN is ICE's.
    pub(super) fn relay(&mut self, now: Instant, slot: usize, datagram: &mut Datagram) -> Verdict {
        let Some(transport) = self.transports.get_mut(slot) else { return Verdict::NoFlow };
        if !matches!(transport.ingress, Ingress::Datagrams) {
            return Verdict::NotKeyed;
        }
        if transport.is_late_media(datagram.bytes()) {
            return Verdict::WrongComponent;
        }
        let source = datagram.remote();
        let standing = match &mut transport.path {
            Path::Ice(_) if rtp::classify(datagram.bytes()) == Class::Stun => {
                return self.answer_stun(now, slot, datagram);
            }
            Path::Ice(agent) if agent.is_validated(source) || agent.selected() == Some(source) => Standing::Peer,
            Path::Ice(_) => Standing::Stranger,
            Path::Latch(latch) => latch.observe_datagram(now, source),
        };
        match standing {
            Standing::Stranger => return Verdict::UnexpectedSource,
            Standing::Candidate => return Verdict::Probation,
            Standing::Peer | Standing::Locked => {}
        }
        transport.last_packet = Some(now);
        transport.datagrams_in.count(datagram.len());
        self.counters.datagrams_in.count(datagram.len());
        // Nothing is known here that would keep two that send everything back from doing so for ever.
        let route = transport.onward_routes().next().map(|route| (route.egress, route.forward_media));
        if standing == Standing::Locked {
            self.say(slot, TransportEvent::Latched { remote: source });
        }
        match route {
            None => Verdict::NoFlow,
            Some((_, false)) => Verdict::Held,
            Some((egress, true)) => self.depart_as_it_is(egress, datagram),
        }
    }

    /// A datagram leaves as it came, if there is where to and if that is a transport of this kind.
    fn depart_as_it_is(&mut self, egress: Option<usize>, datagram: &mut Datagram) -> Verdict {
        let transport = egress.and_then(|egress| self.transports.get_mut(egress));
        let Some((transport, remote)) = transport.and_then(|there| there.path.target().map(|remote| (there, remote)))
        else {
            return Verdict::EgressNotReady;
        };
        if !transport.egress.relay(datagram, remote) {
            return Verdict::EgressNotReady;
        }
        transport.datagrams_out.count(datagram.len());
        self.counters.datagrams_out.count(datagram.len());
        Verdict::Relayed
    }
}
