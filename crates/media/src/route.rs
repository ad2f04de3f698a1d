//! Flows as a transport uses them: which packets are whose, and where they go.

use std::num::NonZeroU32;

use control::{EchoPlan, FlowId, FlowPlan, PayloadTypes, RtcpPolicy, Selector, Silenced};
use rtp::RtpPacket;

/// One flow of an ingress transport's RTP.
pub(crate) struct Route {
    pub(crate) flow: FlowId,
    claim: Claim,
    /// Slot of the transport where it leaves.
    pub(crate) egress: Option<usize>,
    pub(crate) forward_media: bool,
    pub(crate) blocked: PayloadTypes,
    pub(crate) silenced: Silenced,
    /// It goes back to where it came from: what our SSRCs differ by.
    pub(crate) echo: Option<NonZeroU32>,
    /// The next route with the same claim: it gets a copy.
    pub(crate) also: Option<usize>,
}

/// One flow of an ingress transport's RTCP.
pub(crate) struct RtcpRoute {
    pub(crate) flow: FlowId,
    /// Slot of the transport where it leaves.
    pub(crate) egress: Option<usize>,
    /// Slot where the flow's RTP leaves: the side whose streams reports from here are about.
    pub(crate) egress_rtp: Option<usize>,
    /// Slot where the flow's RTP comes in: what we send to this peer leaves there.
    pub(crate) ingress_rtp: Option<usize>,
    pub(crate) policy: RtcpPolicy,
    /// It goes no further: reports are answered with reports of ours.
    pub(crate) echo: Option<EchoPlan>,
}

#[derive(PartialEq, Eq)]
struct Claim {
    mid: Option<(u8, Box<[u8]>)>,
    ssrcs: Vec<u32>,
    /// A bit per payload type.
    payload_types: u128,
    is_empty: bool,
}

impl Claim {
    fn new(selector: &Selector) -> Self {
        let mid = match (&selector.mid, selector.mid_extension) {
            (Some(mid), Some(id)) => Some((id, mid.as_bytes().into())),
            _ => None,
        };
        let payload_types =
            selector.payload_types.iter().filter(|&&pt| pt < 128).fold(0, |types, pt| types | 1_u128 << pt);
        let is_empty = selector.mid.is_none() && selector.ssrcs.is_empty() && selector.payload_types.is_empty();
        Self { mid, ssrcs: selector.ssrcs.clone(), payload_types, is_empty }
    }
}

impl Route {
    /// The RTP routes of one ingress transport; `slot` finds transports by name.
    pub(crate) fn compile<'a>(
        flows: impl Iterator<Item = &'a FlowPlan>,
        slot: impl Fn(control::TransportId) -> Option<usize>,
    ) -> Vec<Self> {
        let flows: Vec<&FlowPlan> = flows.collect();
        let mut routes: Vec<Self> = Vec::with_capacity(flows.len());
        for flow in flows {
            let claim = Claim::new(&flow.selector);
            let number = routes.len();
            if let Some(last) = routes.iter_mut().rfind(|route| route.claim == claim) {
                last.also = Some(number);
            }
            routes.push(Self {
                flow: flow.id,
                claim,
                egress: slot(flow.egress_rtp),
                forward_media: flow.forward_media,
                blocked: flow.blocked,
                silenced: flow.silenced,
                echo: flow.echo.as_ref().map(|echo| echo.ssrc_mask),
                also: None,
            });
        }
        routes
    }
}

/// A route, and those that get copies of what it gets.
pub(crate) fn chain(routes: &[Route], first: Option<usize>) -> impl Iterator<Item = &Route> {
    std::iter::successors(first.and_then(|first| routes.get(first)), |route| routes.get(route.also?))
}

impl Route {
    /// Whether packets of this payload type go no further. Where they are sealed, none can be made silent or get another
    /// SSRC.
    pub(crate) fn holds(&self, payload_type: u8, is_sealed: bool) -> bool {
        let is_edited = self.echo.is_some() || self.silenced.octet(payload_type).is_some();
        self.blocked.contains(payload_type) || (is_sealed && is_edited)
    }
}

/// The first route that claims a packet (RFC 9143 §9.2): by MID, by what was learnt of its SSRC, by signalled SSRC, by
/// payload type, or the one that takes what is left. The packet must be authenticated: `bound` learns from it.
pub(crate) fn select(routes: &[Route], packet: &RtpPacket<'_>, bound: &mut Option<usize>) -> Option<usize> {
    if let [only] = routes
        && only.claim.is_empty
    {
        return Some(0);
    }
    let mut named = false;
    for (number, route) in routes.iter().enumerate() {
        if let Some((id, mid)) = &route.claim.mid
            && let Some(value) = packet.extension_element(*id)
        {
            named = true;
            if value == mid.as_ref() {
                *bound = Some(number);
                return *bound;
            }
        }
    }
    if named {
        // A section that was not negotiated.
        return None;
    }
    if bound.is_some_and(|number| number < routes.len()) {
        return *bound;
    }
    let payload_type = 1_u128 << packet.payload_type();
    *bound = routes
        .iter()
        .position(|route| route.claim.ssrcs.contains(&packet.ssrc()))
        .or_else(|| routes.iter().position(|route| route.claim.payload_types & payload_type != 0))
        .or_else(|| routes.iter().position(|route| route.claim.is_empty));
    *bound
}
