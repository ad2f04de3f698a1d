//! Reports on a call: for `query` and `delete`, and for the operator.

use std::time::SystemTime;

use control::{CallStatistics, Component, LegId, SecuredBy, TransportId, TransportStatistics};

use crate::call::{Call, Phase};
use crate::carried::Carried;
use crate::leg::{Agreed, AgreedKeying, Leg, Section};
use crate::{
    CallReport, CallState, CallSummary, CallView, KeyingKind, LegView, MediaReport, SectionView, SessionConfig,
    SsrcReport, StreamReport, TagReport, Tally, Totals, TransportView,
};

/// With what the worker told, if it told.
pub(crate) fn report(call: &Call, statistics: Option<&CallStatistics>, now: SystemTime) -> CallReport {
    let transports = statistics.map(|statistics| statistics.transports.as_slice()).unwrap_or_default();
    let mut report = CallReport {
        call_id: call.call_id.clone(),
        at: now,
        created: call.created,
        last_signal: call.last_signal,
        totals: Totals::default(),
        ssrcs: Default::default(),
        tags: Vec::new(),
        statistics: statistics.cloned(),
    };
    for transport in transports {
        add(&mut report.totals.rtp, transport.rtp_in.into());
        add(&mut report.totals.rtp, transport.datagrams_in.into());
        add(&mut report.totals.rtcp, transport.rtcp_in.into());
        let dropped = Tally { errors: transport.verdicts.dropped(), ..Tally::default() };
        let rtcp_only = transport.component == Component::Rtcp;
        add(if rtcp_only { &mut report.totals.rtcp } else { &mut report.totals.rtp }, dropped);
        for stream in &transport.streams_in {
            let ssrc: &mut SsrcReport = report.ssrcs.entry(stream.ssrc).or_default();
            ssrc.packets += stream.rtp.packets;
            ssrc.bytes += stream.rtp.bytes;
            ssrc.cumulative_loss = ssrc.cumulative_loss.saturating_add(stream.lost);
            ssrc.last_timestamp = stream.timestamp;
            ssrc.last_sequence_number = stream.sequence_number;
            ssrc.jitter = stream.jitter;
            ssrc.quality = stream.quality.or(ssrc.quality);
        }
    }
    let legs = call.negotiated.legs.iter().enumerate().filter(|(_, leg)| !leg.gone);
    report.tags = legs.map(|(index, leg)| tag_report(call, index, leg, transports, now)).collect();
    report
}

fn add(sum: &mut Tally, tally: Tally) {
    sum.packets += tally.packets;
    sum.bytes += tally.bytes;
    sum.errors += tally.errors;
}

fn tag_report(call: &Call, index: usize, leg: &Leg, transports: &[TransportStatistics], now: SystemTime) -> TagReport {
    let partners = call.negotiated.dialogs_of(index).map(|(_, dialog)| dialog.other(index));
    let tags = partners.filter_map(|other| call.negotiated.legs.get(other)).map(|leg| leg.tag.clone());
    let sections = leg.sections.iter().enumerate();
    TagReport {
        tag: leg.tag.clone(),
        via_branch: leg.via_branch.clone(),
        label: leg.label.clone(),
        created: leg.created,
        in_dialogue_with: tags.filter(|tag| !tag.is_empty()).collect(),
        medias: sections.map(|(number, section)| media_report(call, leg, number, section, transports, now)).collect(),
    }
}

fn media_report(
    call: &Call,
    leg: &Leg,
    number: usize,
    section: &Section,
    transports: &[TransportStatistics],
    now: SystemTime,
) -> MediaReport {
    let agreed = section.agreed.as_ref();
    let peer = agreed.map(|agreed| &agreed.peer);
    let streams: Vec<StreamReport> = transports_of(leg, number, section)
        .into_iter()
        .filter_map(|(id, component)| stream_report(call, agreed, id, component, transports, now))
        .collect();
    let ids: Vec<TransportId> = transports_of(leg, number, section).into_iter().map(|(id, _)| id).collect();
    let own = || transports.iter().filter(|transport| ids.contains(&transport.id));
    MediaReport {
        index: number + 1,
        kind: peer.map(|peer| peer.kind.clone()).unwrap_or_default(),
        protocol: carried(section).map(Carried::name).unwrap_or_default().to_owned(),
        codec: peer.and_then(|peer| peer.codec.clone()),
        flags: media_flags(agreed),
        ingress_ssrcs: own().flat_map(|transport| &transport.streams_in).map(|stream| stream.ssrc).collect(),
        egress_ssrcs: own().flat_map(|transport| &transport.streams_out).map(|stream| stream.ssrc).collect(),
        streams,
    }
}

fn carried(section: &Section) -> Option<&Carried> {
    let agreed = section.agreed.as_ref().map(|agreed| &agreed.carried);
    agreed.or(section.proposal.as_ref().map(|proposal| &proposal.carried))
}

fn media_flags(agreed: Option<&Agreed>) -> Vec<&'static str> {
    let Some(agreed) = agreed else { return Vec::new() };
    let keying = match agreed.keying {
        AgreedKeying::Plain => None,
        AgreedKeying::Sdes { .. } => Some("SDES"),
        AgreedKeying::Dtls { .. } => Some("DTLS-SRTP"),
        AgreedKeying::PassThrough => Some("passthrough"),
    };
    let direction = agreed.peer.direction;
    [
        Some("initialized"),
        direction.sends().then_some("send"),
        direction.receives().then_some("recv"),
        agreed.mux.then_some("rtcp-mux"),
        keying,
        agreed.ice.is_some().then_some("ICE"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn transports_of(leg: &Leg, number: usize, section: &Section) -> Vec<(TransportId, Component)> {
    let carrier = section.agreed.as_ref().map_or(number, |agreed| agreed.carrier);
    let Some(ports) = leg.section(carrier).and_then(|section| section.ports) else { return Vec::new() };
    match ports.rtcp {
        Some(rtcp) => vec![(ports.rtp, Component::Rtp), (rtcp, Component::Rtcp)],
        None if matches!(carried(section), Some(Carried::Datagrams(_))) => vec![(ports.rtp, Component::Datagrams)],
        None => vec![(ports.rtp, Component::Muxed)],
    }
}

fn stream_report(
    call: &Call,
    agreed: Option<&Agreed>,
    id: TransportId,
    component: Component,
    transports: &[TransportStatistics],
    now: SystemTime,
) -> Option<StreamReport> {
    let local = call.negotiated.local(id)?;
    let peer = agreed.map(|agreed| &agreed.peer);
    let advertised = peer.and_then(|peer| if component == Component::Rtcp { peer.rtcp } else { peer.rtp });
    let observed = call.observed.get(&id).cloned().unwrap_or_default();
    let seen = transports.iter().find(|transport| transport.id == id);
    let mut received = Tally::default();
    let mut sent = Tally::default();
    if let Some(seen) = seen {
        add(&mut received, seen.rtp_in.into());
        add(&mut received, seen.rtcp_in.into());
        add(&mut received, seen.datagrams_in.into());
        received.errors = seen.verdicts.dropped();
        add(&mut sent, seen.rtp_out.into());
        add(&mut sent, seen.rtcp_out.into());
        add(&mut sent, seen.datagrams_out.into());
    }
    let crypto_suite = match (&observed.secured_by, agreed.map(|agreed| &agreed.keying)) {
        (Some(SecuredBy::Dtls { profile, .. }), _) => Some(*profile),
        (_, Some(AgreedKeying::Sdes { keys, .. })) => Some(keys.outbound.0.profile),
        _ => None,
    };
    let verified = matches!(observed.secured_by, Some(SecuredBy::Dtls { .. }));
    let kind = match component {
        Component::Rtp => "RTP",
        Component::Rtcp => "RTCP",
        Component::Muxed => "RTP",
        Component::Datagrams => "UDPTL",
    };
    let flags = [
        Some(kind),
        (component == Component::Muxed).then_some("fallback RTCP"),
        verified.then_some("fingerprint verified"),
        observed.remote.is_some().then_some("confirmed"),
    ];
    Some(StreamReport {
        local,
        endpoint: seen.and_then(|seen| seen.remote).or(observed.remote).or(advertised),
        advertised_endpoint: advertised,
        crypto_suite,
        last_packet: seen.and_then(|seen| seen.last_packet_age).and_then(|age| now.checked_sub(age)),
        ssrcs: seen.map(|seen| seen.streams_in.iter().map(|stream| stream.ssrc).collect()).unwrap_or_default(),
        flags: flags.into_iter().flatten().collect(),
        received,
        sent,
    })
}

/// One line.
pub(crate) fn summary(call: &Call) -> CallSummary {
    let state = match call.phase {
        Phase::Ending { .. } | Phase::Removing { .. } => CallState::Ending,
        Phase::Live if call.negotiated.is_answered() => CallState::Answered,
        Phase::Live => CallState::Offered,
    };
    CallSummary {
        call_id: call.call_id.clone(),
        created: call.created,
        worker: call.worker,
        state,
        legs: call.negotiated.legs.iter().filter(|leg| !leg.gone).count(),
        downgraded: call.ledger.iter().any(|entry| entry.note.is_downgrade()),
    }
}

/// Everything.
pub(crate) fn view(call: &Call, config: &SessionConfig) -> CallView {
    let legs = call.negotiated.legs.iter().enumerate().filter(|(_, leg)| !leg.gone);
    let legs = legs.map(|(index, leg)| LegView {
        id: LegId(index as u16),
        partners: partners(call, index),
        tag: leg.tag.clone(),
        via_branch: leg.via_branch.clone(),
        label: leg.label.clone(),
        interface: config.interfaces.get(leg.interface).map(|own| own.name.clone()).unwrap_or_default(),
        active: call.negotiated.dialogs_of(index).any(|(_, dialog)| call.negotiated.is_active(dialog)),
        sections: leg.sections.iter().enumerate().map(|(number, own)| section_view(call, leg, number, own)).collect(),
    });
    CallView { summary: summary(call), legs: legs.collect(), ledger: call.ledger.clone() }
}

/// Of an active leg, those that it talks with now.
fn partners(call: &Call, index: usize) -> Vec<LegId> {
    let dialogs = || call.negotiated.dialogs_of(index).map(|(_, dialog)| dialog);
    let active = dialogs().any(|dialog| call.negotiated.is_active(dialog));
    let shown = dialogs().filter(|dialog| !active || call.negotiated.is_active(dialog));
    shown.map(|dialog| LegId(dialog.other(index) as u16)).collect()
}

fn section_view(call: &Call, leg: &Leg, index: usize, section: &Section) -> SectionView {
    let agreed = section.agreed.as_ref();
    let keying = match agreed.map(|agreed| &agreed.keying) {
        None => KeyingKind::Pending,
        Some(AgreedKeying::Plain) => KeyingKind::Plain,
        Some(AgreedKeying::Sdes { .. }) => KeyingKind::Sdes,
        Some(AgreedKeying::Dtls { .. }) => KeyingKind::Dtls,
        Some(AgreedKeying::PassThrough) => KeyingKind::PassThrough,
    };
    let transports = transports_of(leg, index, section).into_iter().filter_map(|(id, component)| {
        let observed = call.observed.get(&id).cloned().unwrap_or_default();
        let peer = agreed.map(|agreed| &agreed.peer);
        Some(TransportView {
            id,
            component,
            local: call.negotiated.local(id)?,
            signalled: peer.and_then(|peer| if component == Component::Rtcp { peer.rtcp } else { peer.rtp }),
            remote: observed.remote,
            ice: agreed.is_some_and(|agreed| agreed.ice.is_some()),
            secured_by: observed.secured_by,
            failure: observed.failure,
        })
    });
    let proposed = section.proposal.as_ref();
    SectionView {
        index,
        kind: agreed.map(|agreed| agreed.peer.kind.clone()).unwrap_or_default(),
        mid: agreed
            .and_then(|agreed| agreed.peer.mid.clone())
            .or_else(|| proposed.and_then(|proposal| proposal.mid.clone())),
        protocol: carried(section).map(Carried::name).unwrap_or_default().to_owned(),
        keying,
        rejected: agreed.is_none() && section.ports.is_none(),
        peer_receives: agreed.is_some_and(|agreed| agreed.peer.direction.receives() && !agreed.peer.zero_address),
        peer_sends: agreed.is_some_and(|agreed| agreed.peer.direction.sends()),
        transports: transports.collect(),
    }
}
