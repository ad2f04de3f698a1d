//! The whole of what is known and concluded.

use control::{CallStatistics, Component, DtlsState, IceState, KeyingState, LatchState, LegId, TransportStatistics};
use serde::Serialize;
use session::{CallView, LegView, SectionView, TransportView};

use crate::cause::guess;
use crate::conclusion::{conclude, not_arriving};
use crate::security::security;
use crate::{Cause, Conclusion, LegSecurity, StreamQuality};

/// Why a call has audio or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The Call-ID.
    pub call_id: String,
    /// `offered`, `answered`, `ending`.
    pub state: &'static str,
    /// One per direction and section of every two legs that talk, and of every branch; of a leg that hears itself, one per
    /// section.
    pub conclusions: Vec<Conclusion>,
    /// The legs, in the order of their names.
    pub legs: Vec<LegExplanation>,
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LegExplanation {
    /// `A`, `B` … in the order in which they came.
    pub name: String,
    /// Its tag; empty before the answer.
    pub tag: String,
    /// Name of our interface towards it.
    pub interface: String,
    /// False for a branch that lost.
    pub active: bool,
    /// What protects it.
    pub security: LegSecurity,
    /// Its sections.
    pub sections: Vec<SectionExplanation>,
}

/// One `m=` section.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SectionExplanation {
    /// From 1.
    pub index: usize,
    /// `audio`, `video` …
    pub media: String,
    /// `RTP/SAVPF` …
    pub protocol: String,
    /// What the peer's description allows: `sendrecv`, `sendonly`, `recvonly`, `inactive`, or `rejected`.
    pub direction: &'static str,
    /// Its ports; bundled sections name the same.
    pub transports: Vec<TransportExplanation>,
}

/// One local port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransportExplanation {
    /// `rtp`, `rtcp`, `muxed`, or `datagrams` of another protocol.
    pub component: &'static str,
    /// Where we receive.
    pub local: String,
    /// Where we send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Where ICE stands; `off` without.
    pub ice: String,
    /// Where the keys stand.
    pub keying: String,
    /// How the peer's address is known.
    pub latch: &'static str,
    /// Seconds since the last packet that was accepted.
    pub last_packet_seconds: Option<f64>,
    /// Packets accepted, and sent.
    pub packets_in: u64,
    /// RTP and RTCP.
    pub packets_out: u64,
    /// What was not accepted, most first.
    pub drops: Vec<DropExplanation>,
    /// Why no media comes in. `None`: it does, or none is expected here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// What comes in, by SSRC.
    pub streams: Vec<StreamQuality>,
}

/// Datagrams that were not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DropExplanation {
    /// A verdict's label.
    pub verdict: &'static str,
    /// How many.
    pub packets: u64,
    /// The likely cause.
    pub guess: &'static str,
}

/// Why a call has audio or not. `statistics`: what its worker says; `None` when it does not answer.
pub fn explain(view: &CallView, statistics: Option<&CallStatistics>) -> Explanation {
    let facts = Facts { view, statistics };
    let conclusions = pairs(view).flat_map(|(speaker, listener)| {
        let sections = 0..speaker.sections.len().min(listener.sections.len());
        let facts = &facts;
        sections.filter_map(move |section| conclude(facts, view, speaker, listener, section))
    });
    Explanation {
        call_id: view.summary.call_id.clone(),
        state: view.summary.state.name(),
        conclusions: conclusions.collect(),
        legs: view.legs.iter().map(|leg| leg_explanation(&facts, leg)).collect(),
    }
}

/// Every leg with every other one that it talks with; both ways.
fn pairs(view: &CallView) -> impl Iterator<Item = (&LegView, &LegView)> {
    let find = |id: LegId| view.legs.iter().find(move |leg| leg.id == id);
    view.legs.iter().flat_map(move |leg| leg.partners.iter().filter_map(move |&id| Some((find(id)?, leg))))
}

/// What there is to reason about.
pub(crate) struct Facts<'a> {
    view: &'a CallView,
    statistics: Option<&'a CallStatistics>,
}

impl Facts<'_> {
    /// A letter; legs beyond `Z` have their number.
    pub(crate) fn name(&self, id: LegId) -> String {
        let position = self.view.legs.iter().position(|leg| leg.id == id);
        let letter = position.and_then(|position| u8::try_from(position).ok()).filter(|&position| position < 26);
        letter.map_or_else(|| format!("leg {}", id.0), |position| char::from(b'A' + position).to_string())
    }

    /// Where the section's RTP comes in and leaves.
    pub(crate) fn rtp_transport(&self, section: &SectionView) -> Option<&TransportStatistics> {
        let named = section.transports.iter().find(|transport| transport.component != Component::Rtcp)?;
        self.transport(named)
    }

    fn transport(&self, view: &TransportView) -> Option<&TransportStatistics> {
        self.statistics?.transports.iter().find(|transport| transport.id == view.id)
    }
}

fn leg_explanation(facts: &Facts<'_>, leg: &LegView) -> LegExplanation {
    let name = facts.name(leg.id);
    let sections = leg.sections.iter().map(|section| SectionExplanation {
        index: section.index + 1,
        media: section.kind.clone(),
        protocol: section.protocol.clone(),
        direction: direction(section),
        transports: section
            .transports
            .iter()
            .map(|transport| transport_explanation(facts, &name, section, transport))
            .collect(),
    });
    LegExplanation {
        sections: sections.collect(),
        tag: leg.tag.clone(),
        interface: leg.interface.clone(),
        active: leg.active,
        security: security(facts.view, leg),
        name,
    }
}

fn direction(section: &SectionView) -> &'static str {
    match (section.rejected, section.peer_sends, section.peer_receives) {
        (true, ..) => "rejected",
        (_, true, true) => "sendrecv",
        (_, true, false) => "sendonly",
        (_, false, true) => "recvonly",
        (_, false, false) => "inactive",
    }
}

fn transport_explanation(
    facts: &Facts<'_>,
    whose: &str,
    section: &SectionView,
    view: &TransportView,
) -> TransportExplanation {
    let component = match view.component {
        Component::Rtp => "rtp",
        Component::Rtcp => "rtcp",
        Component::Muxed => "muxed",
        Component::Datagrams => "datagrams",
    };
    let Some(seen) = facts.transport(view) else {
        return TransportExplanation {
            component,
            local: view.local.to_string(),
            remote: view.remote.or(view.signalled).map(|remote| remote.to_string()),
            ice: if view.ice { "unknown" } else { "off" }.into(),
            keying: section.keying.name().into(),
            latch: "unknown",
            last_packet_seconds: None,
            packets_in: 0,
            packets_out: 0,
            drops: Vec::new(),
            cause: Some(Cause::WorkerSilent),
            finding: Some(Cause::WorkerSilent.words(whose, &|id| facts.name(id))),
            streams: Vec::new(),
        };
    };
    let expects = view.component != Component::Rtcp && section.peer_sends && !section.rejected;
    let cause = expects.then(|| not_arriving(seen)).flatten();
    TransportExplanation {
        component,
        local: seen.local.to_string(),
        remote: seen.remote.map(|remote| remote.to_string()),
        ice: ice(seen),
        keying: keying(seen),
        latch: latch(seen.diagnosis.latch),
        last_packet_seconds: seen.last_packet_age.map(|age| age.as_secs_f64()),
        packets_in: seen.rtp_in.packets + seen.rtcp_in.packets,
        packets_out: seen.rtp_out.packets + seen.rtcp_out.packets,
        drops: drops(seen),
        cause,
        finding: cause.map(|cause| cause.words(whose, &|id| facts.name(id))),
        streams: seen.streams_in.iter().map(|stream| StreamQuality::of(seen, stream)).collect(),
    }
}

fn ice(transport: &TransportStatistics) -> String {
    let checks = &transport.diagnosis.checks;
    let wrong = checks.bad_integrity + checks.unknown_user;
    match transport.ice {
        IceState::Off => "off".into(),
        IceState::Waiting if wrong > 0 => format!("{wrong} checks with wrong credentials"),
        IceState::Waiting if checks.role_conflict + checks.other > 0 => "checks that are not valid".into(),
        IceState::Waiting => "nothing received".into(),
        IceState::Validated => format!("validated by {} checks, not nominated", checks.valid),
        IceState::Nominated => format!("nominated, {} valid checks", checks.valid),
        IceState::ConsentLost => "consent lost".into(),
    }
}

fn keying(transport: &TransportStatistics) -> String {
    let progress = &transport.diagnosis.dtls;
    let flights = format!("{} datagrams sent, {} received", progress.datagrams_out, progress.datagrams_in);
    match &transport.keying {
        KeyingState::Plain => "plain".into(),
        KeyingState::Pending => "no keys from signalling".into(),
        KeyingState::Handshake(DtlsState::AwaitingRole) => "DTLS: waits for the role".into(),
        KeyingState::Handshake(DtlsState::AwaitingPath) => "DTLS: waits for an address".into(),
        KeyingState::Handshake(DtlsState::InProgress) if progress.datagrams_in == 0 && progress.datagrams_out == 0 => {
            "DTLS: no ClientHello seen".into()
        }
        KeyingState::Handshake(DtlsState::InProgress) => format!("DTLS: in progress, {flights}"),
        KeyingState::Secured(control::SecuredBy::Sdes { outbound, inbound }) => {
            format!("SDES: {} out, {} in", outbound.sdes_name(), inbound.sdes_name())
        }
        KeyingState::Secured(control::SecuredBy::Dtls { profile, version, hash, .. }) => {
            format!("{version}: {}, {} fingerprint matches", profile.sdes_name(), hash.name())
        }
        KeyingState::Failed(failure) => format!("DTLS failed: {failure}; {flights}"),
        KeyingState::PassThrough => "the parties' own: they pass through".into(),
    }
}

fn latch(state: LatchState) -> &'static str {
    match state {
        LatchState::Off => "not used",
        LatchState::Disabled => "turned off",
        LatchState::Signalled => "not moved: the signalled address",
        LatchState::Learnt => "learnt from packets",
        LatchState::Locked => "learnt from packets and locked",
    }
}

fn drops(transport: &TransportStatistics) -> Vec<DropExplanation> {
    let counted = transport.verdicts.iter().filter(|&(verdict, packets)| packets > 0 && !verdict.is_accepted());
    let mut drops: Vec<DropExplanation> = counted
        .map(|(verdict, packets)| DropExplanation { verdict: verdict.label(), packets, guess: guess(verdict) })
        .collect();
    drops.sort_by_key(|dropped| std::cmp::Reverse(dropped.packets));
    drops
}
