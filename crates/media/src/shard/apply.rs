//! Bringing a call into the state of its plan.

use std::time::Instant;

use control::{CallKey, FlowId, IceState, Plan, TransportId, TransportPlan};
use zeroize::Zeroizing;

use super::Shard;
use crate::path::Path;
use crate::route::{Route, RtcpRoute};

impl Shard {
    /// Brings the call's media into the state of `plan`: what differs from the plan before is changed, what is equal is
    /// left alone, a transport that is not named is closed. Ignored for a call that has no transport yet. A transport
    /// that was never opened is ignored as well.
    pub fn apply(&mut self, now: Instant, call: CallKey, plan: &Plan) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let unwanted: Vec<usize> = entry
            .transports
            .extract_if(.., |(id, _)| !plan.transports.iter().any(|transport| transport.id == *id))
            .map(|(_, slot)| slot)
            .collect();
        entry.memo = Zeroizing::new(plan.memo.as_slice().into());
        let before = entry.media_timeout.replace(plan.media_timeout);
        if before.is_none_or(|before| before != plan.media_timeout) {
            entry.idle_since = now;
            entry.idle_said = false;
            entry.quiet_until = None;
        }
        for transport in &plan.transports {
            if let Some(slot) = self.slot(call, transport.id) {
                self.apply_transport(now, slot, transport);
            }
        }
        self.share_usage(call, &unwanted);
        for slot in unwanted {
            self.close(slot);
        }
        self.apply_flows(call, plan);
    }

    /// Lets no index be used twice under a key that has moved from one port of the call to another.
    fn share_usage(&mut self, call: CallKey, unwanted: &[usize]) {
        let Self { calls, transports, outbounds, .. } = self;
        let Some(entry) = calls.get(&call) else { return };
        let slots = entry.transports.iter().map(|&(_, slot)| slot).chain(unwanted.iter().copied());
        crate::egress::share_usage(outbounds, slots.filter_map(|slot| Some(&transports.get(slot)?.egress)));
    }

    fn slot(&self, call: CallKey, id: TransportId) -> Option<usize> {
        self.calls.get(&call)?.slot(id)
    }

    fn apply_transport(&mut self, now: Instant, slot: usize, plan: &TransportPlan) {
        self.ticks.stir(slot);
        let Some(transport) = self.transports.get_mut(slot) else { return };
        let is_alone = plan.others.is_empty() && transport.branches.is_empty();
        if is_alone && (transport.plan.is_none() || transport.branch == plan.branch) {
            transport.branch = plan.branch;
            self.apply_branch(now, slot, plan);
        } else {
            self.apply_branches(now, slot, plan);
        }
    }

    /// Brings the branch in front into the state of its plan.
    pub(super) fn apply_branch(&mut self, now: Instant, slot: usize, plan: &TransportPlan) {
        let Some(transport) = self.transports.get_mut(slot) else { return };
        if transport.plan.as_ref() == Some(plan) {
            return;
        }
        let before = transport.plan.replace(plan.clone());
        if transport.component != plan.component {
            transport.component = plan.component;
            let kinds = transport.kinds();
            transport.egress.set_kinds(&mut self.outbounds, kinds);
            for context in transport.inbounds() {
                if let Some(inbound) = self.inbounds.get_mut(context) {
                    inbound.set_kinds(kinds);
                }
            }
        }
        match &before {
            Some(before) => transport.path.update(now, before, plan),
            // The path of one more answer to an offer was made with what was known before.
            None if transport.in_front && transport.branches.is_empty() => transport.path = Path::new(plan),
            None => {}
        }
        if plan.ice.is_some() {
            transport.checks.get_or_insert_default();
        }
        transport.ice = match (&transport.path, transport.ice) {
            (Path::Latch(_), _) => IceState::Off,
            (Path::Ice(_), IceState::Off) => IceState::Waiting,
            (Path::Ice(_), state) => state,
        };
        transport.waits_for_peer = plan.nat.wait && plan.ice.is_none();
        let class = plan.traffic_class;
        if let Some(class) = class.filter(|_| before.as_ref().is_none_or(|before| before.traffic_class != class)) {
            self.traffic_classes.push_back((transport.port, class));
        }
        self.apply_keying(now, slot, before.as_ref().map(|before| &before.keying), &plan.keying);
        self.apply_datagrams(slot, before.map(|before| before.component));
        self.follow_ice(now, slot);
        self.advance_handshake(now, slot);
    }

    /// Compiles the flows anew. What was learnt of streams stays where its flow stays.
    fn apply_flows(&mut self, call: CallKey, plan: &Plan) {
        let Some(entry) = self.calls.get(&call) else { return };
        let find = |id: TransportId| entry.slot(id);
        for &(id, slot) in &entry.transports {
            let Some(transport) = self.transports.get_mut(slot) else { continue };
            let routes = Route::compile(plan.flows.iter().filter(|flow| flow.ingress_rtp == id), find);
            let former: Vec<FlowId> = transport.routes.iter().map(|route| route.flow).collect();
            let rebound = |number: usize| {
                let flow = former.get(number)?;
                routes.iter().position(|route| route.flow == *flow)
            };
            transport.streams_in.rebind(rebound);
            transport.branches.iter_mut().for_each(|branch| branch.streams_in.rebind(rebound));
            transport.routes = routes;
            let rtcp = plan.flows.iter().filter(|flow| flow.ingress_rtcp == id);
            let mut rtcp_routes = Vec::with_capacity(rtcp.clone().count());
            rtcp_routes.extend(rtcp.map(|flow| RtcpRoute {
                flow: flow.id,
                egress: find(flow.egress_rtcp),
                egress_rtp: find(flow.egress_rtp),
                ingress_rtp: find(flow.ingress_rtp),
                policy: flow.rtcp,
                echo: flow.echo.clone(),
            }));
            transport.rtcp_routes = rtcp_routes;
        }
    }
}
