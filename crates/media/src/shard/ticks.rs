//! What happens as time goes by.

use std::time::{Duration, Instant};

use control::{Event, IceState, KeyingState, TransportEvent, Verdict};
use srtp::Inbound;

use super::{Flight, Shard};
use crate::path::Path;
use crate::transport::{Ingress, Transport};

/// Timers are looked at this often: none of them is finer.
const TICK: Duration = Duration::from_millis(100);

/// Where nothing is under way a transport has its turn at every tick of so many.
const STRIDE: usize = 10;

/// When to look at which transport. Thousands of them at every tick would push out of the cache what packets need.
#[derive(Default)]
pub(super) struct Ticks {
    next: Option<Instant>,
    /// The turn of those at rest: their slot, modulo the stride.
    turn: usize,
    /// By slot: something is under way, which wants every tick.
    stirred: Vec<bool>,
}

impl Ticks {
    /// There is something to look at.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next.get_or_insert(now + TICK);
    }

    /// There is nothing any more.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// Something has begun at a slot.
    pub(super) fn stir(&mut self, slot: usize) {
        if self.stirred.len() <= slot {
            self.stirred.resize(slot + 1, false);
        }
        self.set(slot, true);
    }

    fn set(&mut self, slot: usize, stirred: bool) {
        self.stirred.get_mut(slot).into_iter().for_each(|place| *place = stirred);
    }

    fn concerns(&self, slot: usize) -> bool {
        slot % STRIDE == self.turn || self.stirred.get(slot).is_some_and(|&stirred| stirred)
    }
}

impl Shard {
    /// Lets timers act that have run out.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ticks.next.is_none_or(|tick| now < tick) {
            return;
        }
        self.ticks.next = Some(now + TICK);
        self.ticks.turn = (self.ticks.turn + 1) % STRIDE;
        // By number, so that no list of slots is needed: keys lie below the capacity.
        for slot in 0..self.transports.capacity() {
            if self.ticks.concerns(slot) && self.transports.contains(slot) {
                self.tick_transport(now, slot);
                let at_rest = self.transports.get(slot).is_none_or(is_at_rest);
                self.ticks.set(slot, !at_rest);
            }
        }
        self.tick_calls(now);
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ticks.next
    }

    fn tick_transport(&mut self, now: Instant, slot: usize) {
        self.tick_branch(now, slot);
        let branches = self.transports.get(slot).map_or(0, |transport| transport.branches.len());
        for place in 0..branches {
            self.with_branch(slot, place, |shard| shard.tick_branch(now, slot));
        }
    }

    fn tick_branch(&mut self, now: Instant, slot: usize) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        let expired = transport.early_media.expire(now, self.config.early_media);
        if let Path::Ice(agent) = &mut transport.path {
            agent.handle_timeout(now);
        }
        let inbound_spent = match transport.ingress {
            Ingress::Keyed { context, .. } => {
                self.inbounds.get_mut(context).is_some_and(Inbound::take_lifetime_warning)
            }
            _ => false,
        };
        let outbound_spent = transport.in_front && transport.egress.take_lifetime_warning(&mut self.outbounds);
        if transport.in_front
            && self.flights.len() < self.config.transmit_queue
            && let Some(remote) = transport.pierce(now)
        {
            self.flights.push_back(Flight { slot, serial: transport.serial, remote, bytes: Vec::new() });
        }
        for _ in 0..expired {
            self.count(slot, Verdict::NotKeyed);
        }
        if inbound_spent {
            self.say(slot, TransportEvent::KeyNearlySpent { outbound: false });
        }
        if outbound_spent {
            self.say(slot, TransportEvent::KeyNearlySpent { outbound: true });
        }
        self.follow_ice(now, slot);
        self.advance_handshake(now, slot);
    }

    fn tick_calls(&mut self, now: Instant) {
        let Self { calls, transports, events, .. } = self;
        let mut over = Vec::new();
        for (&key, call) in calls {
            if call.quiet_until.is_some_and(|until| now < until) {
                continue;
            }
            let Some(timeout) = call.media_timeout.flatten() else {
                let gone = self.unattended_since.map(|since| now.saturating_duration_since(since.max(call.idle_since)));
                if gone.is_some_and(|gone| gone >= self.config.unattended) {
                    over.push(key);
                }
                continue;
            };
            let heard = call.transports.iter().filter_map(|&(_, slot)| transports.get(slot)?.last_packet).max();
            let since = heard.map_or(call.idle_since, |heard| heard.max(call.idle_since));
            let idle = now.saturating_duration_since(since) >= timeout;
            if idle && self.unattended_since.is_some() {
                over.push(key);
            } else if idle && !call.idle_said {
                events.push_back(Event::Idle { call: key });
            }
            call.idle_said = idle;
            call.quiet_until = since.checked_add(timeout).filter(|_| !idle);
        }
        for call in over {
            self.remove(now, call);
        }
    }
}

/// Nothing is under way that a second's delay could harm.
fn is_at_rest(transport: &Transport) -> bool {
    let settled = match (&transport.path, &transport.keying) {
        (_, KeyingState::Handshake(_)) => false,
        (Path::Latch(_), _) => true,
        (Path::Ice(_), _) => transport.ice == IceState::Nominated,
    };
    settled && transport.branches.is_empty() && transport.early_media.is_empty() && transport.early_dtls.is_empty()
}
