//! One local port with its path, keys and streams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{
    BranchId, CallKey, CheckCounts, Component, Counters, Diagnosis, DtlsProgress, DtlsState, Hypothesis, IceState,
    Keying, KeyingState, LastRejection, LatchState, LegId, MasterKey, Policy, Suspicion, TransportId, TransportPlan,
    TransportStatistics, Verdict, VerdictCounts,
};
use datagram::{PortId, SendRight};
use prefetch::prefetch;
use rtp::Class;
use srtp::{ContextId, Kind, Kinds};

use crate::branch::Branch;
use crate::egress::Egress;
use crate::handshake::Handle;
use crate::latch::Latch;
use crate::path::Path;
use crate::queue::{Bounds, ShortQueue};
use crate::round_trip::RoundTrip;
use crate::route::{Route, RtcpRoute};
use crate::samples::Allowance;
use crate::streams::{StreamsIn, StreamsOut};

/// DTLS that comes before the role is known.
pub(crate) static EARLY_DTLS: Bounds = Bounds { datagrams: 8, bytes: 16 * 1024 };
/// SRTP that comes before its keys: 200 ms of one audio stream and more.
pub(crate) static EARLY_MEDIA: Bounds = Bounds { datagrams: 32, bytes: 32 * 1024 };

/// After this long, new keys are nothing new.
const SETTLED: Duration = Duration::from_secs(5);
/// Least time between two empty datagrams: one goes with each look at a transport at rest, which is once a second.
const PIERCE: Duration = Duration::from_millis(500);
/// Kinds of suspicion that are kept.
const MAX_SUSPICIONS: usize = 8;
/// Packets that the network may put out of order.
const REORDERED: u64 = 64;

/// One local port with its path, keys and streams. What every packet needs lies side by side, in the order of the fields:
/// see [`Transport::prefetch_ingress`] and [`Transport::prefetch_egress`].
#[repr(C, align(64))]
pub(crate) struct Transport {
    pub(crate) component: Component,
    /// False while another branch stands in front for a moment: nothing of it reaches the way out or the session.
    pub(crate) in_front: bool,
    /// Keys have been added that no packet has used yet.
    pub(crate) succession: bool,
    /// The peer has said by close_notify that it wants no more.
    pub(crate) closed_by_peer: bool,
    /// No media leaves before the first packet has come.
    pub(crate) waits_for_peer: bool,
    pub(crate) ingress: Ingress,
    pub(crate) path: Path,
    /// Names the streams that come in: a serial number of the branch.
    pub(crate) source: u64,
    pub(crate) streams_in: StreamsIn,
    pub(crate) routes: Vec<Route>,
    /// The other answers to the same offer. The branch in front: media goes to it, and path, ICE, keying and what comes
    /// in are its own.
    pub(crate) branches: Vec<Branch>,
    /// When keys last changed: for a while an index that steps back is taken for another sequence.
    pub(crate) rekeyed: Option<Instant>,
    pub(crate) last_packet: Option<Instant>,
    pub(crate) rtp_in: Counters,
    pub(crate) verdicts: VerdictCounts,
    pub(crate) streams_out: StreamsOut,
    pub(crate) rtp_out: Counters,
    pub(crate) egress: Egress,
    pub(crate) round_trip: RoundTrip,
    pub(crate) call: CallKey,
    pub(crate) id: TransportId,
    /// Used once in a shard's life, unlike the slot.
    pub(crate) serial: u64,
    pub(crate) port: PortId,
    pub(crate) local: SocketAddr,
    /// As last applied. `None`: the port is open, nothing is known.
    pub(crate) plan: Option<TransportPlan>,
    pub(crate) branch: BranchId,
    pub(crate) ice: IceState,
    pub(crate) parked: Option<Box<Parked>>,
    pub(crate) keying: KeyingState,
    pub(crate) handshake_keys: Option<Box<HandshakeKeys>>,
    /// The peer's keys before its latest ones, for examination.
    pub(crate) former_keys: Option<Box<PeerKeys>>,
    pub(crate) association: Option<Box<Association>>,
    pub(crate) early_dtls: ShortQueue,
    pub(crate) early_media: ShortQueue,
    /// Datagrams of this transport in the queue for the handshake thread.
    pub(crate) handshake_waiting: usize,
    pub(crate) rtcp_routes: Vec<RtcpRoute>,
    pub(crate) rtcp_in: Counters,
    pub(crate) rtcp_out: Counters,
    pub(crate) datagrams_in: Counters,
    pub(crate) datagrams_out: Counters,
    /// Where there is ICE.
    pub(crate) checks: Option<Box<CheckCounts>>,
    pub(crate) last_rejection: Option<Rejected>,
    pub(crate) unclaimed_payload_type: Option<u8>,
    pub(crate) examinations: Allowance,
    /// When an empty datagram was last sent.
    pierced: Option<Instant>,
    suspected: Vec<Suspected>,
}

/// The keys that a peer sends with.
pub(crate) struct PeerKeys {
    pub(crate) policy: Policy,
    pub(crate) keys: Vec<MasterKey>,
}

/// A context whose SDES keys signalling took away: should they come back, its replay windows must not begin anew.
pub(crate) struct Parked {
    pub(crate) context: ContextId,
    pub(crate) keys: Vec<MasterKey>,
}

/// What a handshake has given.
pub(crate) struct HandshakeKeys {
    pub(crate) policy: Policy,
    /// To send with.
    pub(crate) own: MasterKey,
    /// To the peer, for examination.
    pub(crate) peers: MasterKey,
}

/// What examinations have found.
struct Suspected {
    hypothesis: Hypothesis,
    packets: u64,
    at: Instant,
}

/// A datagram that was not accepted.
#[derive(Clone, Copy)]
pub(crate) struct Rejected {
    pub(crate) verdict: Verdict,
    pub(crate) source: SocketAddr,
    pub(crate) at: Instant,
}

/// How media comes in.
#[derive(Clone, Copy)]
pub(crate) enum Ingress {
    /// Nothing is accepted.
    Closed,
    /// In the clear.
    Plain,
    /// Datagrams of another protocol than RTP.
    Datagrams,
    /// Secure, keys under way: a few packets may wait for them.
    Awaiting,
    /// Sealed by the party for the other party.
    Sealed,
    /// Secure.
    Keyed {
        /// The context.
        context: ContextId,
        /// Its replay window: an index further back is of another sequence.
        window: u64,
    },
}

/// One DTLS association of a transport.
pub(crate) struct Association {
    pub(crate) handle: Handle,
    pub(crate) generation: u32,
    /// Since the role is known.
    pub(crate) role_known: Option<Instant>,
    pub(crate) started: bool,
    /// Where a client sends.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) datagrams_in: u64,
    pub(crate) client_hellos_in: u64,
    pub(crate) datagrams_out: u64,
}

impl Transport {
    pub(crate) fn new(
        call: CallKey,
        id: TransportId,
        serial: u64,
        port: PortId,
        local: SocketAddr,
        right: SendRight,
    ) -> Self {
        Self {
            call,
            id,
            serial,
            port,
            local,
            plan: None,
            component: Component::Muxed,
            branch: BranchId::default(),
            branches: Vec::new(),
            in_front: true,
            source: serial,
            path: Path::Latch(Box::new(Latch::new(control::Latching::Strict, None, 0))),
            ice: IceState::Off,
            egress: Egress::new(right),
            ingress: Ingress::Closed,
            parked: None,
            rekeyed: None,
            succession: false,
            keying: KeyingState::Pending,
            handshake_keys: None,
            association: None,
            closed_by_peer: false,
            waits_for_peer: false,
            pierced: None,
            early_dtls: ShortQueue::new(&EARLY_DTLS),
            early_media: ShortQueue::new(&EARLY_MEDIA),
            handshake_waiting: 0,
            routes: Vec::new(),
            rtcp_routes: Vec::new(),
            streams_in: StreamsIn::default(),
            streams_out: StreamsOut::default(),
            last_packet: None,
            rtp_in: Counters::default(),
            rtcp_in: Counters::default(),
            rtp_out: Counters::default(),
            rtcp_out: Counters::default(),
            datagrams_in: Counters::default(),
            datagrams_out: Counters::default(),
            verdicts: VerdictCounts::default(),
            checks: None,
            last_rejection: None,
            unclaimed_payload_type: None,
            round_trip: RoundTrip::default(),
            former_keys: None,
            examinations: Allowance::default(),
            suspected: Vec::new(),
        }
    }

    /// What the port carries.
    pub(crate) fn kinds(&self) -> Kinds {
        match self.component {
            Component::Rtp => Kinds::Only(Kind::Rtp),
            Component::Rtcp => Kinds::Only(Kind::Rtcp),
            Component::Muxed | Component::Datagrams => Kinds::Both,
        }
    }

    /// The receiving contexts of all its branches.
    pub(crate) fn inbounds(&self) -> impl Iterator<Item = ContextId> {
        let front = (self.ingress, self.parked.as_ref());
        let others = self.branches.iter().map(|branch| (branch.ingress, branch.parked.as_ref()));
        std::iter::once(front).chain(others).flat_map(|(ingress, parked)| {
            let current = match ingress {
                Ingress::Keyed { context, .. } => Some(context),
                _ => None,
            };
            [current, parked.map(|parked| parked.context)].into_iter().flatten()
        })
    }

    /// Asks for what every packet needs that comes in here. The verdict of one that is forwarded is counted first.
    pub(crate) fn prefetch_ingress(&self) {
        prefetch(self, std::mem::offset_of!(Self, verdicts) + 8);
    }

    /// Asks for what every packet needs that leaves here.
    pub(crate) fn prefetch_egress(&self) {
        prefetch(self, std::mem::offset_of!(Self, source));
        prefetch(&self.streams_out, usize::MAX);
        prefetch(&self.egress, Egress::HEAD);
    }

    /// The routes that do not lead back to where a packet came from.
    pub(crate) fn onward_routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| route.echo.is_none())
    }

    /// The same of RTCP.
    pub(crate) fn onward_rtcp_routes(&self) -> impl Iterator<Item = &RtcpRoute> {
        self.rtcp_routes.iter().filter(|route| route.echo.is_none())
    }

    /// Where media goes. `None`: it cannot leave, for want of keys, address or consent.
    pub(crate) fn target(&self) -> Option<SocketAddr> {
        let open =
            self.egress.is_ready() && !self.closed_by_peer && !(self.waits_for_peer && self.last_packet.is_none());
        if open { self.path.target() } else { None }
    }

    /// Where an empty datagram is due, for a NAT on the way.
    pub(crate) fn pierce(&mut self, now: Instant) -> Option<SocketAddr> {
        let wanted = self.plan.as_ref().is_some_and(|plan| plan.nat.pierce);
        if !wanted || self.last_packet.is_some() || !matches!(self.path, Path::Latch(_)) {
            return None;
        }
        let remote = self.path.target()?;
        if self.pierced.is_some_and(|at| now.saturating_duration_since(at) < PIERCE) {
            return None;
        }
        self.pierced = Some(now);
        Some(remote)
    }

    /// How far an index may lie behind the highest one and still be of the same sequence. Within the replay window it
    /// is late; shortly after a change of keys, when the peer may have begun anew, the window is no guide.
    pub(crate) fn reach(&self, now: Instant, window: u64) -> u64 {
        let recent = self.rekeyed.is_some_and(|at| now.saturating_duration_since(at) < SETTLED);
        if recent { window.min(REORDERED) } else { window }
    }

    /// Where the handshake stands, while it has not ended.
    pub(crate) fn update_handshake_state(&mut self) {
        let Some(association) = &self.association else { return };
        if matches!(self.keying, KeyingState::Handshake(_)) {
            self.keying = KeyingState::Handshake(match **association {
                Association { role_known: None, .. } => DtlsState::AwaitingRole,
                Association { started: false, .. } => DtlsState::AwaitingPath,
                Association { started: true, .. } => DtlsState::InProgress,
            });
        }
    }

    /// True of RTP and RTCP of a stream that has come in here: what is still on its way when a call turns from audio to
    /// another protocol, and must not leave in the clear where the audio left encrypted.
    pub(crate) fn is_late_media(&self, bytes: &[u8]) -> bool {
        let ssrc = match rtp::classify(bytes) {
            Class::Rtp => bytes.get(8..),
            Class::Rtcp => bytes.get(4..),
            _ => None,
        };
        let ssrc = ssrc.and_then(<[u8]>::first_chunk).copied().map(u32::from_be_bytes);
        ssrc.is_some_and(|ssrc| self.streams_in.find(ssrc).is_some())
    }

    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.keying, KeyingState::Failed(_))
    }

    pub(crate) fn statistics(&self, now: Instant) -> TransportStatistics {
        let others = self.branches.iter().flat_map(|branch| branch.streams_in.statistics(now));
        TransportStatistics {
            id: self.id,
            leg: self.plan.as_ref().map_or(LegId(0), |plan| plan.leg),
            component: self.component,
            local: self.local,
            remote: self.path.target(),
            ice: self.ice,
            keying: self.keying.clone(),
            rtp_in: self.rtp_in,
            rtcp_in: self.rtcp_in,
            rtp_out: self.rtp_out,
            rtcp_out: self.rtcp_out,
            datagrams_in: self.datagrams_in,
            datagrams_out: self.datagrams_out,
            verdicts: self.verdicts.clone(),
            last_packet_age: self.last_packet.map(|last| now.saturating_duration_since(last)),
            streams_in: self.streams_in.statistics(now).into_iter().chain(others).collect(),
            streams_out: self.streams_out.statistics(),
            diagnosis: self.diagnosis(now),
        }
    }

    fn diagnosis(&self, now: Instant) -> Diagnosis {
        Diagnosis {
            latch: match (&self.path, &self.plan) {
                (Path::Latch(latch), Some(_)) => latch.state(),
                _ => LatchState::Off,
            },
            checks: self.checks.as_deref().copied().unwrap_or_default(),
            dtls: self.dtls_progress(),
            last_rtp_age: self.streams_in.heard().map(|heard| now.saturating_duration_since(heard)),
            last_rejection: self.last_rejection.map(|rejected| LastRejection {
                verdict: rejected.verdict,
                source: rejected.source,
                age: now.saturating_duration_since(rejected.at),
            }),
            unclaimed_payload_type: self.unclaimed_payload_type,
            round_trip: self.round_trip.latest(),
            suspicions: self.suspicions(now),
        }
    }

    /// The keys of a handshake are not in use any more.
    pub(crate) fn retire_handshake_keys(&mut self) {
        if let Some(keys) = self.handshake_keys.take() {
            let HandshakeKeys { policy, peers, .. } = *keys;
            self.former_keys = Some(Box::new(PeerKeys { policy, keys: vec![peers] }));
        }
    }

    /// Takes in what an examination has found. Of more kinds than are kept, the one found longest ago goes.
    pub(crate) fn suspect(&mut self, now: Instant, hypothesis: Hypothesis) {
        if let Some(known) = self.suspected.iter_mut().find(|known| known.hypothesis == hypothesis) {
            known.packets += 1;
            known.at = now;
            return;
        }
        if self.suspected.len() >= MAX_SUSPICIONS
            && let Some((oldest, _)) = self.suspected.iter().enumerate().min_by_key(|(_, known)| known.at)
        {
            self.suspected.swap_remove(oldest);
        }
        self.suspected.push(Suspected { hypothesis, packets: 1, at: now });
    }

    fn suspicions(&self, now: Instant) -> Vec<Suspicion> {
        let mut suspicions: Vec<Suspicion> = self
            .suspected
            .iter()
            .map(|known| Suspicion {
                hypothesis: known.hypothesis,
                packets: known.packets,
                age: now.saturating_duration_since(known.at),
            })
            .collect();
        suspicions.sort_by_key(|suspicion| std::cmp::Reverse(suspicion.packets));
        suspicions
    }

    fn dtls_progress(&self) -> DtlsProgress {
        let Some(association) = &self.association else { return DtlsProgress::default() };
        DtlsProgress {
            role: match self.plan.as_ref().map(|plan| &plan.keying) {
                Some(Keying::Dtls(plan)) => plan.role,
                _ => None,
            },
            datagrams_in: association.datagrams_in,
            client_hellos_in: association.client_hellos_in,
            datagrams_out: association.datagrams_out,
            closed_by_peer: self.closed_by_peer,
        }
    }
}
