//! From what is agreed to what the pump is to do.

use std::time::Duration;

use control::{
    BranchId, BranchPlan, Component, DtlsPlan, DtlsRole, FlowPlan, IcePlan, Keying, LegId, Plan, Profile, RtcpPolicy,
    Selector, TransportId, TransportPlan,
};

use crate::carried::Carried;
use crate::leg::{Agreed, AgreedKeying, Fork, Leg, MuxOffer, Negotiated, Ports, ProposedKeying, Section};
use crate::peer::PeerSection;
use crate::{Defaults, Timeouts};

/// The whole wanted state of a call.
pub(crate) fn plan(negotiated: &mut Negotiated, timeouts: &Timeouts, defaults: &Defaults) -> Plan {
    let context = Context {
        deadline: timeouts.handshake,
        traffic_class: negotiated.traffic_class.or(defaults.traffic_class),
        profiles: &defaults.dtls_profiles,
    };
    let mut transports = Vec::new();
    for (index, leg) in negotiated.legs.iter().enumerate().filter(|(_, leg)| !leg.gone) {
        for (section_index, section) in leg.sections.iter().enumerate() {
            if let Some(ports) = section.ports {
                context.section(index, leg, section_index, section, ports, &mut transports);
            }
        }
    }
    transports.sort_by_key(|transport: &TransportPlan| transport.id);
    let flows = flows(negotiated);
    let moves = flows.iter().any(|flow| flow.forward_media);
    Plan { transports, flows, media_timeout: moves.then_some(timeouts.media), memo: Vec::new() }
}

struct Context<'a> {
    deadline: Duration,
    traffic_class: Option<u8>,
    /// What we offer and accept in DTLS.
    profiles: &'a [Profile],
}

impl Context<'_> {
    fn section(
        &self,
        leg_index: usize,
        leg: &Leg,
        index: usize,
        section: &Section,
        ports: Ports,
        transports: &mut Vec<TransportPlan>,
    ) {
        let mut users = leg.sections.iter().filter_map(|section| section.agreed.as_ref());
        let agreed = section.agreed.as_ref().filter(|agreed| agreed.carrier == index);
        let agreed = agreed.or_else(|| users.find(|agreed| agreed.carrier == index));
        let offered_mux = section.proposal.as_ref().is_some_and(|proposal| proposal.mux != MuxOffer::No);
        let muxed = agreed.map_or(offered_mux || ports.rtcp.is_none(), |agreed| agreed.mux);
        let carried = agreed.map(|agreed| &agreed.carried).or(section.proposal.as_ref().map(|own| &own.carried));
        let rtp_component = match carried {
            Some(Carried::Datagrams(_)) => Component::Datagrams,
            _ if muxed => Component::Muxed,
            _ => Component::Rtp,
        };
        let mut rtp = self.transport(leg_index, leg, section, agreed, ports.rtp, rtp_component);
        rtp.others = self.others(leg, index, rtp_component);
        transports.push(rtp);
        if let Some(rtcp) = ports.rtcp {
            // A second port of a multiplexed section belongs to an offer that is not answered yet.
            let agreed = agreed.filter(|agreed| agreed.has_rtcp_port());
            let mut rtcp = self.transport(leg_index, leg, section, agreed, rtcp, Component::Rtcp);
            rtcp.others = self.others(leg, index, Component::Rtcp);
            transports.push(rtcp);
        }
    }

    /// What the answers that do not stand in front have agreed for a transport.
    fn others(&self, leg: &Leg, index: usize, component: Component) -> Vec<BranchPlan> {
        let of_fork = |fork: &Fork| {
            let own = fork.agreed.get(index).and_then(Option::as_ref).filter(|agreed| agreed.carrier == index);
            let mut users = fork.agreed.iter().flatten();
            let agreed = own.or_else(|| users.find(|agreed| agreed.carrier == index))?;
            if component == Component::Rtcp && !agreed.has_rtcp_port() {
                return None;
            }
            Some(BranchPlan {
                id: BranchId(fork.branch),
                remote: if component == Component::Rtcp { agreed.peer.rtcp } else { agreed.peer.rtp },
                ice: ice_agreed(agreed, component),
                latching: fork.latching,
                latch_generation: fork.latch_generation,
                keying: self.keying_agreed(agreed),
            })
        };
        leg.forks.iter().filter_map(of_fork).collect()
    }

    fn transport(
        &self,
        leg_index: usize,
        leg: &Leg,
        section: &Section,
        agreed: Option<&Agreed>,
        id: TransportId,
        component: Component,
    ) -> TransportPlan {
        let (remote, ice, keying) = match agreed {
            Some(agreed) => {
                let remote = if component == Component::Rtcp { agreed.peer.rtcp } else { agreed.peer.rtp };
                (remote, ice_agreed(agreed, component), self.keying_agreed(agreed))
            }
            None => (None, ice_proposed(leg, section), self.keying_proposed(section)),
        };
        TransportPlan {
            id,
            leg: LegId(leg_index as u16),
            component,
            remote,
            ice,
            latching: leg.latching,
            latch_generation: leg.latch_generation,
            nat: leg.nat,
            keying,
            branch: BranchId(leg.branch),
            others: Vec::new(),
            traffic_class: self.traffic_class,
        }
    }

    fn keying_agreed(&self, agreed: &Agreed) -> Keying {
        match &agreed.keying {
            AgreedKeying::Plain => Keying::Plain,
            AgreedKeying::Sdes { keys, .. } => Keying::Sdes(keys.clone()),
            AgreedKeying::PassThrough => Keying::PassThrough,
            AgreedKeying::Dtls { role, generation } => self.dtls(*generation, Some(*role), &agreed.peer),
        }
    }

    /// Before the answer nothing is sent: a plain leg has no address to send to, a secure one no keys.
    fn keying_proposed(&self, section: &Section) -> Keying {
        match section.proposal.as_ref().map(|proposal| &proposal.keying) {
            Some(ProposedKeying::Plain) => Keying::Plain,
            Some(ProposedKeying::PassThrough) => Keying::PassThrough,
            Some(ProposedKeying::Dtls) => Keying::Dtls(Box::new(DtlsPlan {
                generation: section.generation.wrapping_add(1),
                role: None,
                fingerprints: Vec::new(),
                profiles: self.profiles.to_vec(),
                deadline: self.deadline,
            })),
            Some(ProposedKeying::Sdes(_) | ProposedKeying::Either(_)) | None => Keying::Pending,
        }
    }

    fn dtls(&self, generation: u32, role: Option<DtlsRole>, peer: &PeerSection) -> Keying {
        Keying::Dtls(Box::new(DtlsPlan {
            generation,
            role,
            fingerprints: peer.fingerprints.clone(),
            profiles: self.profiles.to_vec(),
            deadline: self.deadline,
        }))
    }
}

fn ice_agreed(agreed: &Agreed, component: Component) -> Option<IcePlan> {
    let local = agreed.ice.clone()?;
    let peer = agreed.peer.ice.as_ref();
    let candidates = |peer: &crate::peer::PeerIce| match component {
        Component::Rtcp => peer.rtcp_candidates.clone(),
        Component::Rtp | Component::Muxed | Component::Datagrams => peer.rtp_candidates.clone(),
    };
    Some(IcePlan {
        local,
        remote: peer.map(|peer| peer.credentials.clone()),
        remote_lite: peer.is_some_and(|peer| peer.lite),
        remote_candidates: peer.map(candidates).unwrap_or_default(),
    })
}

fn ice_proposed(leg: &Leg, section: &Section) -> Option<IcePlan> {
    let local = leg.credentials.clone().filter(|_| section.proposal.as_ref().is_some_and(|proposal| proposal.ice))?;
    Some(IcePlan { local, remote: None, remote_lite: false, remote_candidates: Vec::new() })
}

fn flows(negotiated: &mut Negotiated) -> Vec<FlowPlan> {
    let active: Vec<[usize; 2]> =
        negotiated.dialogs.iter().filter(|dialog| negotiated.is_active(dialog)).map(|dialog| dialog.legs).collect();
    let mut flows = Vec::new();
    for [a, b] in active {
        let sections = negotiated.legs.get(a).map_or(0, |leg| leg.sections.len());
        for index in 0..sections {
            let ways = if a == b { vec![(a, a)] } else { vec![(a, b), (b, a)] };
            for (ingress, egress) in ways {
                flows.extend(flow(negotiated, (ingress, index), (egress, index)));
            }
        }
    }
    flows.extend(copies(negotiated));
    flows
}

/// What subscribers hear. Feedback of one party about another is none of theirs.
fn copies(negotiated: &mut Negotiated) -> Vec<FlowPlan> {
    let mut wanted = Vec::new();
    for (number, leg) in negotiated.legs.iter().enumerate().filter(|(_, leg)| !leg.gone) {
        let sources = leg.subscription.iter().flat_map(|subscription| &subscription.sources);
        wanted.extend(sources.enumerate().map(|(section, &source)| (source, (number, section))));
    }
    let lives = |negotiated: &Negotiated, leg: usize| negotiated.legs.get(leg).is_some_and(|leg| !leg.gone);
    let mut flows = Vec::new();
    for (source, subscriber) in wanted {
        if lives(negotiated, source.0) {
            let copy = flow(negotiated, source, subscriber);
            flows.extend(copy.map(|copy| FlowPlan { rtcp: RtcpPolicy::WithoutFeedback, ..copy }));
        }
    }
    flows
}

fn flow(
    negotiated: &mut Negotiated,
    (ingress, index): (usize, usize),
    (egress, egress_index): (usize, usize),
) -> Option<FlowPlan> {
    let (from, to) = (negotiated.legs.get(ingress)?, negotiated.legs.get(egress)?);
    let (from_agreed, to_agreed) = (from.agreed(index)?, to.agreed(egress_index)?);
    let from_ports = from.section(from_agreed.carrier)?.ports?;
    let to_ports = to.section(to_agreed.carrier)?.ports?;
    let rtcp_of = |ports: Ports, agreed: &Agreed| ports.rtcp.filter(|_| agreed.has_rtcp_port()).unwrap_or(ports.rtp);
    let shared = from.sections.iter().filter_map(|section| section.agreed.as_ref());
    let is_shared = shared.filter(|agreed| agreed.carrier == from_agreed.carrier).count() > 1;
    let selector = if is_shared { selector(&from_agreed.peer, from, index) } else { Selector::default() };
    let feedback = to_agreed.carried.has_feedback();
    let mut plan = FlowPlan {
        id: control::FlowId(0),
        ingress_rtp: from_ports.rtp,
        ingress_rtcp: rtcp_of(from_ports, from_agreed),
        egress_rtp: to_ports.rtp,
        egress_rtcp: rtcp_of(to_ports, to_agreed),
        selector,
        forward_media: from_agreed.peer.direction.sends()
            && to_agreed.peer.direction.receives()
            && !to_agreed.peer.zero_address,
        blocked: control::PayloadTypes::default(),
        silenced: control::Silenced::default(),
        rtcp: if feedback { RtcpPolicy::Forward } else { RtcpPolicy::WithoutFeedback },
        echo: from.echo.clone().filter(|_| ingress == egress),
    };
    negotiated.treatments.edit((ingress, egress), [from_agreed, to_agreed], &mut plan);
    Some(FlowPlan { id: negotiated.flow(egress, egress_index), ..plan })
}

/// The name that the peer puts on its packets is the one in its own description, or in ours when it answered.
fn selector(peer: &PeerSection, leg: &Leg, index: usize) -> Selector {
    let offered = leg.section(index).and_then(|section| section.proposal.as_ref()).and_then(|own| own.mid.clone());
    Selector {
        mid: peer.mid.clone().or(offered),
        mid_extension: peer.mid_extension,
        ssrcs: peer.ssrcs.clone(),
        payload_types: peer.payload_types.clone(),
    }
}
