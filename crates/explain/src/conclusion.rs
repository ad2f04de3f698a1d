//! From facts to one conclusion per direction.

use std::time::Duration;

use control::{
    Component, DtlsProgress, DtlsRole, DtlsState, Hypothesis, IceState, KeyingState, LegId, TransportFailure,
    TransportStatistics, Verdict,
};
use serde::Serialize;
use session::{CallState, CallView, LegView, SectionView};

use crate::Cause;
use crate::explanation::Facts;

/// Media that came within this long counts as flowing: longer than the pauses of codecs with comfort noise at their usual
/// rate, shorter than an operator's patience.
const FLOWING: Duration = Duration::from_secs(5);

/// Whether what one leg sends is sent on to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// Authentic packets come and are sent on.
    Yes,
    /// They do not, for a reason.
    No,
    /// Not yet: the call is being set up.
    NotYet,
}

/// One direction between two legs, for one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conclusion {
    /// Name of the leg that listens.
    pub listener: String,
    /// Name of the leg that speaks.
    pub speaker: String,
    /// From 1, in the order of the description.
    pub section: usize,
    /// `audio`, `video` …
    pub media: String,
    /// The answer.
    pub heard: Heard,
    /// Why not.
    pub cause: Option<Cause>,
    /// Name of the leg that the cause is about.
    pub about: Option<String>,
    /// The whole as a sentence.
    pub text: String,
}

/// Whose doing it is.
#[derive(Clone, Copy)]
enum Side {
    Speaker,
    Listener,
}

/// What `speaker` sends in this section, as far as it gets towards `listener`.
pub(crate) fn conclude(
    facts: &Facts<'_>,
    view: &CallView,
    speaker: &LegView,
    listener: &LegView,
    section: usize,
) -> Option<Conclusion> {
    let (from, to) = (speaker.sections.get(section)?, listener.sections.get(section)?);
    let obstacle = obstacle(facts, view, [speaker, listener], [from, to]);
    let is_echo = speaker.id == listener.id;
    let name = |id: LegId| facts.name(id);
    let (listening, speaking) = (name(listener.id), name(speaker.id));
    let heard = match obstacle {
        None => Heard::Yes,
        Some((Cause::NotAnswered | Cause::DtlsInProgress, _)) => Heard::NotYet,
        Some(_) => Heard::No,
    };
    let about = obstacle.map(|(_, side)| match side {
        Side::Speaker => speaking.clone(),
        Side::Listener => listening.clone(),
    });
    let answer = match (obstacle, &about) {
        (Some((cause, _)), Some(about)) => {
            let answer = if heard == Heard::NotYet { "not yet" } else { "no" };
            format!("{answer}: {}", cause.words(about, &name))
        }
        _ if is_echo => "yes, what it sends comes back".into(),
        _ => "yes".into(),
    };
    let heard_party = if is_echo { "itself" } else { &speaking };
    let media = if from.kind.is_empty() { &to.kind } else { &from.kind };
    Some(Conclusion {
        text: format!("{listening} hears {heard_party}: {answer}"),
        listener: listening,
        speaker: speaking,
        section: section + 1,
        media: media.clone(),
        heard,
        cause: obstacle.map(|(cause, _)| cause),
        about,
    })
}

fn obstacle(
    facts: &Facts<'_>,
    view: &CallView,
    [speaker, listener]: [&LegView; 2],
    [from, to]: [&SectionView; 2],
) -> Option<(Cause, Side)> {
    // A branch that lost is told apart from a call that nobody answered by the leg that won.
    if view.summary.state == CallState::Offered || !view.legs.iter().any(|leg| leg.active) {
        return Some((Cause::NotAnswered, Side::Listener));
    }
    for (leg, section, side) in [(speaker, from, Side::Speaker), (listener, to, Side::Listener)] {
        if !leg.active {
            return Some((Cause::LostBranch, side));
        }
        if section.rejected {
            return Some((Cause::Refused, side));
        }
    }
    if !from.peer_sends {
        return Some((Cause::SenderHolds, Side::Speaker));
    }
    if !to.peer_receives {
        return Some((Cause::ReceiverHolds, Side::Listener));
    }
    let Some(ingress) = facts.rtp_transport(from) else { return Some((Cause::WorkerSilent, Side::Speaker)) };
    let Some(egress) = facts.rtp_transport(to) else { return Some((Cause::WorkerSilent, Side::Listener)) };
    if let Some(cause) = not_arriving(ingress) {
        return Some((cause, Side::Speaker));
    }
    if let Some(cause) = not_leaving(egress) {
        return Some((cause, Side::Listener));
    }
    not_forwarded(ingress, egress).map(|cause| (cause, Side::Speaker))
}

/// Since the last packet that was media and not only about it.
fn last_media(transport: &TransportStatistics) -> Option<Duration> {
    match transport.component {
        Component::Datagrams => transport.last_packet_age,
        _ => transport.diagnosis.last_rtp_age,
    }
}

/// Why no authentic RTP comes in. `None`: it does.
pub(crate) fn not_arriving(transport: &TransportStatistics) -> Option<Cause> {
    let flows = last_media(transport).is_some_and(|age| age <= FLOWING);
    if flows {
        return suspicion(transport).filter(|found| *found == Cause::Found(Hypothesis::Encrypted));
    }
    not_keyed(transport).or_else(|| no_way_in(transport)).or_else(|| refused(transport)).or(Some(silence(transport)))
}

/// Why nothing can be sent to the peer. `None`: it can.
fn not_leaving(transport: &TransportStatistics) -> Option<Cause> {
    if transport.ice != IceState::Nominated
        && transport.ice != IceState::Off
        && let Some(cause) = no_way_in(transport)
    {
        return Some(cause);
    }
    if transport.ice == IceState::Validated {
        return Some(Cause::NotNominated);
    }
    not_keyed(transport).or_else(|| transport.remote.is_none().then_some(Cause::NoAddress))
}

/// Why packets that are authentic do not leave on the other transport.
fn not_forwarded(ingress: &TransportStatistics, egress: &TransportStatistics) -> Option<Cause> {
    let rejection = ingress.diagnosis.last_rejection?;
    let latest = last_media(ingress).is_none_or(|age| rejection.age <= age);
    if !latest && egress.rtp_out.packets > 0 {
        return None;
    }
    match rejection.verdict {
        Verdict::NoFlow => Some(Cause::NoFlow { payload_type: ingress.diagnosis.unclaimed_payload_type }),
        Verdict::IndexReused | Verdict::TooLong | Verdict::EgressNotReady | Verdict::KeyExhausted => {
            Some(Cause::Dropped(rejection.verdict))
        }
        _ => None,
    }
}

/// Keys that are missing, and why.
fn not_keyed(transport: &TransportStatistics) -> Option<Cause> {
    let progress = &transport.diagnosis.dtls;
    match &transport.keying {
        KeyingState::Pending => Some(Cause::NoKeys),
        KeyingState::Failed(TransportFailure::HandshakeTimeout) => no_way_in(transport)
            .or_else(|| unanswered(transport, progress))
            .or(Some(Cause::Dtls(TransportFailure::HandshakeTimeout))),
        KeyingState::Failed(failure) => Some(Cause::Dtls(*failure)),
        KeyingState::Handshake(DtlsState::AwaitingRole) => Some(Cause::NotAnswered),
        KeyingState::Handshake(DtlsState::AwaitingPath) => no_way_in(transport).or(Some(Cause::DtlsAwaitsPath)),
        KeyingState::Handshake(DtlsState::InProgress) => {
            no_way_in(transport).or_else(|| unanswered(transport, progress)).or(Some(Cause::DtlsInProgress))
        }
        _ => progress.closed_by_peer.then_some(Cause::ClosedByPeer),
    }
}

/// A handshake in which one side says nothing.
fn unanswered(transport: &TransportStatistics, progress: &DtlsProgress) -> Option<Cause> {
    let media = transport.verdicts.of(Verdict::NotKeyed) + transport.verdicts.of(Verdict::Queued) > 0;
    match progress.role? {
        DtlsRole::Client if progress.client_hellos_in > 0 => Some(Cause::BothActive),
        DtlsRole::Client if progress.datagrams_in == 0 && media => Some(Cause::MediaWithoutDtls),
        DtlsRole::Client if progress.datagrams_in == 0 && progress.datagrams_out > 0 => {
            Some(Cause::DtlsUnanswered { datagrams: progress.datagrams_out })
        }
        DtlsRole::Server if progress.datagrams_in == 0 && media => Some(Cause::MediaWithoutDtls),
        DtlsRole::Server if progress.datagrams_in == 0 => Some(Cause::NoClientHello),
        DtlsRole::Client | DtlsRole::Server => None,
    }
}

/// ICE that does not let the peer in.
fn no_way_in(transport: &TransportStatistics) -> Option<Cause> {
    let checks = &transport.diagnosis.checks;
    let source = checks.last_refused;
    match transport.ice {
        IceState::Off | IceState::Nominated | IceState::Validated => None,
        IceState::ConsentLost if transport.diagnosis.dtls.closed_by_peer => Some(Cause::ClosedByPeer),
        IceState::ConsentLost => Some(Cause::ConsentLost),
        IceState::Waiting if checks.bad_integrity > 0 => Some(Cause::WrongIcePassword { source }),
        IceState::Waiting if checks.unknown_user > 0 => Some(Cause::WrongIceUser { source }),
        IceState::Waiting if checks.role_conflict > 0 => Some(Cause::IceRoleConflict),
        IceState::Waiting => Some(Cause::NoChecks),
    }
}

/// Packets that come and are not accepted.
fn refused(transport: &TransportStatistics) -> Option<Cause> {
    let rejection = transport.diagnosis.last_rejection?;
    let newer = last_media(transport).is_none_or(|age| rejection.age <= age);
    if !newer {
        return None;
    }
    if let Some(cause) = suspicion(transport) {
        return Some(cause);
    }
    match rejection.verdict {
        Verdict::BadTag => Some(Cause::AuthenticationFails),
        Verdict::UnknownMki => Some(Cause::UnknownMki),
        Verdict::UnexpectedSource => {
            Some(Cause::UnexpectedSource { source: rejection.source, expected: transport.remote })
        }
        Verdict::NoFlow => Some(Cause::NoFlow { payload_type: transport.diagnosis.unclaimed_payload_type }),
        // These say nothing of media.
        Verdict::UnexpectedStun | Verdict::UnexpectedZrtp => None,
        verdict => Some(Cause::Dropped(verdict)),
    }
}

/// What trials have found, if it is newer than the last packet that was good. A trial that found nothing says less than
/// one that did.
fn suspicion(transport: &TransportStatistics) -> Option<Cause> {
    let good = last_media(transport);
    let candidates = transport.diagnosis.suspicions.iter();
    candidates
        .filter(|suspicion| {
            suspicion.hypothesis == Hypothesis::Encrypted || good.is_none_or(|age| suspicion.age <= age)
        })
        .max_by_key(|suspicion| (suspicion.hypothesis != Hypothesis::Unknown, suspicion.packets))
        .map(|suspicion| Cause::Found(suspicion.hypothesis))
}

fn silence(transport: &TransportStatistics) -> Cause {
    match last_media(transport) {
        Some(age) => Cause::Stopped { age },
        None if transport.rtcp_in.packets > 0 => Cause::OnlyRtcp,
        None => Cause::NothingReceived,
    }
}
