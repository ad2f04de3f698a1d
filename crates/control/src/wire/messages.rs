//! The forms of commands, events and statistics.

use super::{MAX_BYTES, Reader, Wire, WireError, Writer, foreign};
use crate::{
    BindFailure, BranchId, BranchPlan, CallKey, CallSnapshot, CallStatistics, CheckCounts, Command, Component,
    Counters, Diagnosis, DtlsPlan, DtlsProgress, DtlsRole, DtlsState, EchoPlan, Event, Fingerprint, FlowId, FlowPlan,
    HashAlgorithm, Hypothesis, IcePlan, IceState, Keying, KeyingState, LastRejection, LatchState, Latching, LegId,
    LossRuns, NatTraversal, OpenPort, PayloadTypes, Plan, Quality, QualitySample, RequestId, RtcpPolicy, SdesKeys,
    SecuredBy, Selector, Silenced, StreamStatistics, Suspicion, TransportEvent, TransportFailure, TransportId,
    TransportPlan, TransportStatistics, Verdict, VerdictCounts, WorkerId,
};

crate::wire! {
    const SHAPE;
    newtype CallKey;
    newtype WorkerId;
    newtype TransportId;
    newtype LegId;
    newtype RequestId;
    newtype FlowId;
    newtype BranchId;

    enum Command {
        0 => Open { request, call, ports },
        1 => Apply { call, plan },
        2 => Query { request, call },
        3 => Remove { call },
        4 => Snapshot { request, after },
    }
    struct OpenPort { transport, local }
    struct Plan { transports, flows, media_timeout, memo via memo }
    struct TransportPlan {
        id,
        leg,
        component,
        remote,
        ice,
        latching,
        latch_generation,
        nat,
        keying,
        traffic_class,
        branch,
        others,
    }
    struct BranchPlan { id, remote, ice, latching, latch_generation, keying }
    enum Component { 0 => Rtp, 1 => Rtcp, 2 => Muxed, 3 => Datagrams }
    struct IcePlan { local, remote, remote_lite, remote_candidates }
    enum Latching { 0 => Authenticated, 1 => Off, 2 => Strict }
    struct NatTraversal { pierce, wait }
    enum Keying { 0 => Plain, 1 => Pending, 2 => Sdes(keys), 3 => Dtls(plan), 4 => PassThrough }
    struct SdesKeys { inbound, outbound }
    struct DtlsPlan { generation, role, fingerprints, profiles, deadline }
    enum DtlsRole { 0 => Client, 1 => Server }
    struct FlowPlan {
        id,
        ingress_rtp,
        ingress_rtcp,
        egress_rtp,
        egress_rtcp,
        selector,
        forward_media,
        rtcp,
        blocked,
        silenced,
        echo,
    }
    struct EchoPlan { ssrc_mask, cname }
    newtype PayloadTypes;
    struct Silenced { mu_law, a_law }
    struct Selector { mid, mid_extension, ssrcs, payload_types }
    enum RtcpPolicy { 0 => Forward, 1 => WithoutFeedback, 2 => Drop }
    enum HashAlgorithm { 0 => Sha1, 1 => Sha224, 2 => Sha256, 3 => Sha384, 4 => Sha512 }

    enum Event {
        0 => Opened { request, call },
        1 => Refused { request, call, transport, local, cause },
        2 => Statistics { request, call, statistics },
        3 => Transport { call, transport, event },
        4 => Idle { call },
        5 => Removed { call, statistics },
        6 => Snapshot { request, calls, more },
    }
    enum BindFailure { 0 => InUse, 1 => AddressNotAvailable, 2 => Exhausted(words), 3 => Other(words) }
    enum TransportEvent {
        0 => Nominated { remote },
        1 => ConsentLost,
        2 => Secured(secured_by),
        3 => Latched { remote },
        4 => Failed(failure),
        5 => KeyNearlySpent { outbound },
    }
    enum SecuredBy { 0 => Sdes { outbound, inbound }, 1 => Dtls { profile, version, hash, remote } }
    enum TransportFailure {
        0 => FingerprintMismatch,
        1 => CertificateMissing,
        2 => NoUseSrtp,
        3 => NoCommonProfile,
        4 => Version,
        5 => HandshakeTimeout,
        6 => AlertReceived(code),
        7 => ProtocolViolation,
        8 => NoExtendedMasterSecret,
        9 => Internal,
    }
    struct CallSnapshot { call, media_timeout, memo via memo, statistics }
    struct CallStatistics { transports }
    struct TransportStatistics {
        id,
        leg,
        component,
        local,
        remote,
        ice,
        keying,
        rtp_in,
        rtcp_in,
        rtp_out,
        rtcp_out,
        datagrams_in,
        datagrams_out,
        verdicts,
        last_packet_age,
        streams_in,
        streams_out,
        diagnosis,
    }
    struct Counters { packets, bytes }
    struct StreamStatistics {
        ssrc,
        rtp,
        payload_type,
        sequence_number,
        timestamp,
        rollover_counter,
        lost,
        jitter,
        clock_rate,
        loss_runs,
        quality,
    }
    struct LossRuns { expected, lost, runs, longest_run, bursts, lost_in_bursts }
    struct Quality { samples, average, latest, lowest, highest }
    struct QualitySample { age, mos, loss, jitter, round_trip }
    struct Diagnosis {
        latch,
        checks,
        dtls,
        last_rtp_age,
        last_rejection,
        unclaimed_payload_type,
        round_trip,
        suspicions,
    }
    enum LatchState { 0 => Off, 1 => Disabled, 2 => Signalled, 3 => Learnt, 4 => Locked }
    struct CheckCounts { valid, unknown_user, bad_integrity, role_conflict, other, last_refused }
    struct DtlsProgress { role, datagrams_in, client_hellos_in, datagrams_out, closed_by_peer }
    struct LastRejection { verdict, source, age }
    struct Suspicion { hypothesis, packets, age }
    enum Hypothesis {
        0 => RolloverCounter { offset },
        1 => RolloverCounterRestarted,
        2 => PreviousKey,
        3 => PeerKeyOfLeg(leg),
        4 => OurKeyOfLeg(leg),
        5 => OurKey,
        6 => OtherProfile(profile),
        7 => MkiMissing,
        8 => MkiUnexpected { length },
        9 => Plain,
        10 => Encrypted,
        11 => Unknown,
    }
    enum IceState { 0 => Off, 1 => Waiting, 2 => Validated, 3 => Nominated, 4 => ConsentLost }
    enum KeyingState { 0 => Plain, 1 => Pending, 2 => Handshake(state), 3 => Secured(by), 4 => Failed(failure), 5 => PassThrough }
    enum DtlsState { 0 => AwaitingRole, 1 => AwaitingPath, 2 => InProgress }
}

/// Of everything that crosses the control link. [`Verdict`]s are written as a list of counts in their order.
pub const MESSAGES_SHAPE: u64 = SHAPE ^ foreign::SHAPE.rotate_left(1) ^ Verdict::ALL.len() as u64;

/// A memo is bytes, not a list of numbers.
mod memo {
    use super::{MAX_BYTES, Reader, WireError, Writer};

    pub(super) fn encode(memo: &[u8], writer: &mut Writer) {
        // Bounded by contract; one that is not would make the whole message unreadable.
        writer.counted(if memo.len() <= MAX_BYTES { memo } else { &[] });
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
        reader.counted().map(<[u8]>::to_vec)
    }
}

/// By its place among all.
impl Wire for Verdict {
    fn encode(&self, writer: &mut Writer) {
        self.index().encode(writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::ALL.get(usize::decode(reader)?).copied().ok_or(WireError::Unknown("verdict"))
    }
}

impl Wire for Fingerprint {
    fn encode(&self, writer: &mut Writer) {
        self.hash().encode(writer);
        writer.counted(self.digest());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let hash = HashAlgorithm::decode(reader)?;
        Self::new(hash, reader.counted()?).map_err(|_| WireError::Invalid("fingerprint"))
    }
}

impl Wire for VerdictCounts {
    fn encode(&self, writer: &mut Writer) {
        self.iter().for_each(|(_, count)| count.encode(writer));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut counts = Self::default();
        for count in counts.as_mut_slice() {
            *count = reader.number()?;
        }
        Ok(counts)
    }
}
