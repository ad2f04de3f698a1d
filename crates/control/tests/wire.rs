//! The binary form: whatever is said comes back as it was, and no bytes do harm.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sallyport_control as control;

use control::frame::{self, GreetingError, ToPump, ToSession, Welcome};
use control::wire::{self, MAX_BYTES, MAX_LIST, Wire, WireError, from_bytes, to_bytes};
use control::{
    BindFailure, BranchId, BranchPlan, CallKey, CallSnapshot, CallStatistics, Command, Component, Counters,
    Credentials, Diagnosis, DtlsPlan, DtlsProgress, DtlsRole, DtlsState, EchoPlan, Event, Fingerprint, FlowId,
    FlowPlan, HashAlgorithm, Hypothesis, IcePlan, IceState, Keying, KeyingState, LastRejection, LatchState, Latching,
    LegId, LossRuns, MasterKey, NatTraversal, OpenPort, PayloadTypes, Plan, Policy, Profile, Quality, QualitySample,
    RequestId, RtcpPolicy, SdesKeys, SecuredBy, Selector, Silenced, StreamStatistics, Suspicion, TransportEvent,
    TransportFailure, TransportId, TransportPlan, TransportStatistics, Verdict, VerdictCounts, WorkerId,
};

/// What holds keys is not shown, not even by a test that fails.
#[derive(Clone)]
struct Hidden<T>(T);

impl<T> std::fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hidden")
    }
}

fn revealed<T>(hidden: Vec<Hidden<T>>) -> Vec<T> {
    hidden.into_iter().map(|Hidden(value)| value).collect()
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..1_u64 << 32, 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds))
}

fn profile() -> impl Strategy<Value = Profile> {
    (0..Profile::all().count()).prop_map(|at| Profile::all().nth(at).expect("below the count"))
}

fn master(profile: Profile) -> impl Strategy<Value = Hidden<MasterKey>> {
    let parts = (vec(any::<u8>(), profile.key_len()), vec(any::<u8>(), profile.salt_len()), vec(any::<u8>(), 0..5));
    parts.prop_map(move |(key, salt, mki)| {
        Hidden(MasterKey::new(profile, &key, &salt).expect("fits").with_mki(&mki).expect("short"))
    })
}

fn policy(profile: Profile) -> impl Strategy<Value = Policy> {
    (any::<[bool; 4]>(), 64..4096_usize, 0..25_u32).prop_map(move |(on, replay_window, rate)| Policy {
        encrypt_rtp: on[0],
        encrypt_rtcp: on[1],
        authenticate_rtp: on[2],
        accept_unencrypted_rtcp: on[3],
        replay_window,
        key_derivation_rate: 1 << rate,
        ..Policy::new(profile)
    })
}

fn credentials() -> impl Strategy<Value = Hidden<Credentials>> {
    any::<[u8; 24]>().prop_map(|random| Hidden(Credentials::generate(&random)))
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    vec(any::<u8>(), 32).prop_map(|digest| Fingerprint::new(HashAlgorithm::Sha256, &digest).expect("32 bytes"))
}

fn keying() -> impl Strategy<Value = Hidden<Keying>> {
    let sdes = profile().prop_flat_map(|profile| {
        (option::of((policy(profile), vec(master(profile), 1..3))), (policy(profile), master(profile)))
    });
    let sdes = sdes.prop_map(|(inbound, (policy, Hidden(own)))| {
        let inbound = inbound.map(|(policy, keys)| (policy, revealed(keys)));
        Hidden(Keying::Sdes(Box::new(SdesKeys { inbound, outbound: (policy, own) })))
    });
    let role = prop_oneof![Just(DtlsRole::Client), Just(DtlsRole::Server)];
    let dtls = (any::<u32>(), option::of(role), vec(fingerprint(), 0..3), vec(profile(), 0..4), duration());
    let dtls = dtls.prop_map(|(generation, role, fingerprints, profiles, deadline)| {
        Hidden(Keying::Dtls(Box::new(DtlsPlan { generation, role, fingerprints, profiles, deadline })))
    });
    prop_oneof![Just(Hidden(Keying::Plain)), Just(Hidden(Keying::Pending)), sdes, dtls]
}

fn transport_plan() -> impl Strategy<Value = Hidden<TransportPlan>> {
    let ice = (credentials(), option::of(credentials()), any::<bool>(), vec(address(), 0..4));
    let ice = ice.prop_map(|(Hidden(local), remote, remote_lite, remote_candidates)| {
        let remote = remote.map(|Hidden(remote)| remote);
        Hidden(IcePlan { local, remote, remote_lite, remote_candidates })
    });
    let component = prop_oneof![Just(Component::Rtp), Just(Component::Rtcp), Just(Component::Muxed)];
    let latching = prop_oneof![Just(Latching::Authenticated), Just(Latching::Off), Just(Latching::Strict)];
    let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<Option<u8>>());
    let nat = (any::<bool>(), any::<bool>()).prop_map(|(pierce, wait)| NatTraversal { pierce, wait });
    (numbers, component, option::of(address()), option::of(ice), (latching, nat), keying()).prop_map(
        |((id, leg, latch_generation, traffic_class), component, remote, ice, (latching, nat), Hidden(keying))| {
            Hidden(TransportPlan {
                id: TransportId(id),
                leg: LegId(leg),
                component,
                remote,
                ice: ice.map(|Hidden(ice)| ice),
                latching,
                latch_generation,
                nat,
                keying,
                traffic_class,
                branch: BranchId(2),
                others: vec![BranchPlan {
                    id: BranchId(1),
                    remote,
                    ice: None,
                    latching,
                    latch_generation,
                    keying: Keying::PassThrough,
                }],
            })
        },
    )
}

fn flow() -> impl Strategy<Value = FlowPlan> {
    let selector = (any::<Option<String>>(), any::<Option<u8>>(), vec(any::<u32>(), 0..4), vec(any::<u8>(), 0..4));
    let selector = selector.prop_map(|(mid, mid_extension, ssrcs, payload_types)| Selector {
        mid,
        mid_extension,
        ssrcs,
        payload_types,
    });
    let rtcp = prop_oneof![Just(RtcpPolicy::Forward), Just(RtcpPolicy::WithoutFeedback), Just(RtcpPolicy::Drop)];
    let fields = (any::<[u16; 5]>(), selector, any::<bool>(), rtcp, any::<u32>());
    fields.prop_map(|(ids, selector, forward_media, rtcp, ssrc_mask)| FlowPlan {
        id: FlowId(ids[0]),
        ingress_rtp: TransportId(ids[1]),
        ingress_rtcp: TransportId(ids[2]),
        egress_rtp: TransportId(ids[3]),
        egress_rtcp: TransportId(ids[4]),
        selector,
        forward_media,
        rtcp,
        blocked: [8, 101].into_iter().collect(),
        silenced: Silenced { mu_law: PayloadTypes::ALL, ..Silenced::default() },
        echo: NonZeroU32::new(ssrc_mask).map(|ssrc_mask| EchoPlan { ssrc_mask, cname: ssrc_mask.to_string() }),
    })
}

fn plan() -> impl Strategy<Value = Hidden<Plan>> {
    (vec(transport_plan(), 0..4), vec(flow(), 0..4), option::of(duration()), vec(any::<u8>(), 0..300)).prop_map(
        |(transports, flows, media_timeout, memo)| {
            Hidden(Plan { transports: revealed(transports), flows, media_timeout, memo })
        },
    )
}

fn secured_by() -> impl Strategy<Value = SecuredBy> {
    prop_oneof![
        (profile(), profile()).prop_map(|(outbound, inbound)| SecuredBy::Sdes { outbound, inbound }),
        (profile(), any::<String>(), address()).prop_map(|(profile, version, remote)| SecuredBy::Dtls {
            profile,
            version,
            hash: HashAlgorithm::Sha384,
            remote,
        }),
    ]
}

fn statistics() -> impl Strategy<Value = CallStatistics> {
    vec(transport_statistics(), 0..3).prop_map(|transports| CallStatistics { transports })
}

fn transport_statistics() -> impl Strategy<Value = TransportStatistics> {
    let keying = prop_oneof![
        Just(KeyingState::Plain),
        Just(KeyingState::Handshake(DtlsState::AwaitingPath)),
        secured_by().prop_map(KeyingState::Secured),
        any::<u8>().prop_map(|code| KeyingState::Failed(TransportFailure::AlertReceived(code))),
    ];
    let counters = || any::<(u64, u64)>().prop_map(|(packets, bytes)| Counters { packets, bytes });
    let counters = (counters(), counters(), counters(), counters(), counters(), counters());
    let stream = (any::<(u32, u8, u16, u32, u32)>(), any::<(i64, u32)>());
    let stream =
        stream.prop_map(|((ssrc, payload_type, sequence_number, timestamp, rollover_counter), (lost, jitter))| {
            let rtp = Counters { packets: 5, bytes: 860 };
            let quality = Some(Quality {
                samples: 3,
                latest: QualitySample { mos: 440, loss: 7, ..QualitySample::default() },
                ..Quality::default()
            });
            let loss_runs = LossRuns { expected: 9, lost: 2, runs: 1, longest_run: 2, bursts: 1, lost_in_bursts: 2 };
            StreamStatistics {
                ssrc,
                rtp,
                payload_type,
                sequence_number,
                timestamp,
                rollover_counter,
                lost,
                jitter,
                clock_rate: 48_000,
                loss_runs,
                quality,
            }
        });
    let verdicts = any::<u32>().prop_map(|first| {
        let mut counts = VerdictCounts::default();
        (u64::from(first)..).zip(counts.as_mut_slice()).for_each(|(number, count)| *count = number);
        counts
    });
    (keying, counters, vec(stream, 0..3), verdicts, (address(), option::of(address()), option::of(duration())))
        .prop_map(|(keying, counters, streams, verdicts, (local, remote, last_packet_age))| TransportStatistics {
            id: TransportId(3),
            leg: LegId(1),
            component: Component::Muxed,
            local,
            remote,
            ice: IceState::Nominated,
            keying,
            rtp_in: counters.0,
            rtcp_in: counters.1,
            rtp_out: counters.2,
            rtcp_out: counters.3,
            datagrams_in: counters.4,
            datagrams_out: counters.5,
            verdicts,
            last_packet_age,
            streams_in: streams.clone(),
            streams_out: streams,
            diagnosis: Diagnosis {
                latch: LatchState::Learnt,
                dtls: DtlsProgress { role: Some(DtlsRole::Server), closed_by_peer: true, ..DtlsProgress::default() },
                last_rejection: Some(LastRejection {
                    verdict: Verdict::BadTag,
                    source: local,
                    age: Duration::from_millis(3),
                }),
                suspicions: [
                    Hypothesis::RolloverCounter { offset: -2 },
                    Hypothesis::OurKeyOfLeg(LegId(4)),
                    Hypothesis::OtherProfile(Profile::AeadAes256Gcm),
                    Hypothesis::MkiUnexpected { length: 200 },
                ]
                .map(|hypothesis| Suspicion { hypothesis, packets: 5, age: Duration::from_secs(1) })
                .to_vec(),
                ..Diagnosis::default()
            },
        })
}

fn command() -> impl Strategy<Value = Hidden<Command>> {
    let ports = vec((any::<u16>(), address()), 0..5).prop_map(|ports| {
        ports.into_iter().map(|(id, local)| OpenPort { transport: TransportId(id), local }).collect::<Vec<_>>()
    });
    let (request, call) = (any::<u64>().prop_map(RequestId), any::<u64>().prop_map(CallKey));
    (request, call, ports, plan(), any::<bool>(), 0..5_u8).prop_map(
        |(request, call, ports, Hidden(plan), first, which)| {
            Hidden(match which {
                0 => Command::Open { request, call, ports },
                1 => Command::Apply { call, plan: Box::new(plan) },
                2 => Command::Query { request, call },
                3 => Command::Remove { call },
                _ => Command::Snapshot { request, after: (!first).then_some(call) },
            })
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let cause = prop_oneof![
        Just(BindFailure::InUse),
        Just(BindFailure::AddressNotAvailable),
        any::<String>().prop_map(BindFailure::Exhausted),
        any::<String>().prop_map(BindFailure::Other),
    ];
    let news = prop_oneof![
        address().prop_map(|remote| TransportEvent::Nominated { remote }),
        Just(TransportEvent::ConsentLost),
        secured_by().prop_map(TransportEvent::Secured),
        address().prop_map(|remote| TransportEvent::Latched { remote }),
        Just(TransportEvent::Failed(TransportFailure::NoUseSrtp)),
        any::<bool>().prop_map(|outbound| TransportEvent::KeyNearlySpent { outbound }),
    ];
    let (request, call) = (any::<u64>().prop_map(RequestId), any::<u64>().prop_map(CallKey));
    let snapshot = (option::of(duration()), vec(any::<u8>(), 0..300));
    ((request, call, address(), 0..7_u8, any::<bool>()), cause, news, statistics(), snapshot).prop_map(
        |((request, call, local, which, more), cause, event, statistics, (media_timeout, memo))| {
            let transport = TransportId(7);
            match which {
                0 => Event::Opened { request, call },
                1 => Event::Refused { request, call, transport, local, cause },
                2 => Event::Statistics { request, call, statistics: more.then(|| Box::new(statistics)) },
                3 => Event::Transport { call, transport, event },
                4 => Event::Idle { call },
                5 => Event::Removed { call, statistics: Box::new(statistics) },
                _ => {
                    let calls = vec![CallSnapshot { call, media_timeout, memo, statistics }];
                    Event::Snapshot { request, calls, more }
                }
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_plan_comes_back_as_it_was(Hidden(plan) in plan()) {
        let back: Plan = from_bytes(&to_bytes(&plan)).expect("readable");
        prop_assert!(back.transports == plan.transports && back.flows == plan.flows);
        prop_assert!(back.media_timeout == plan.media_timeout && back.memo == plan.memo);
    }

    #[test]
    fn statistics_come_back_as_they_were(statistics in statistics()) {
        let back: CallStatistics = from_bytes(&to_bytes(&statistics)).expect("readable");
        prop_assert_eq!(statistics, back);
    }

    #[test]
    fn a_command_comes_back_for_the_same_worker(Hidden(command) in command(), worker in any::<u16>()) {
        let message = ToPump { worker: WorkerId(worker), command };
        let bytes = frame::encode(&message).expect("short enough");
        let (header, body) = bytes.split_first_chunk().expect("a header");
        prop_assert_eq!(frame::frame_len::<ToPump>(*header), Ok(body.len()));
        let back: ToPump = frame::decode(body).expect("readable");
        prop_assert_eq!(back.worker, WorkerId(worker));
        prop_assert_eq!(std::mem::discriminant(&back.command), std::mem::discriminant(&message.command));
        prop_assert!(frame::encode(&back).expect("as before") == bytes);
    }

    #[test]
    fn an_event_comes_back_as_it_was(event in event()) {
        let memo = |event: &Event| match event {
            Event::Snapshot { calls, .. } => calls[0].memo.clone(),
            _ => Vec::new(),
        };
        let (told, told_memo) = (format!("{event:?}"), memo(&event));
        let bytes = frame::encode(&ToSession::Event { worker: WorkerId(2), event }).expect("short enough");
        let back = frame::decode(&bytes[frame::HEADER_LEN..]).expect("readable");
        let ToSession::Event { worker: WorkerId(2), event } = back else { panic!("an event of worker 2") };
        prop_assert_eq!((told, told_memo), (format!("{event:?}"), memo(&event)));
    }

    #[test]
    fn no_beginning_of_a_message_is_a_message(Hidden(command) in command(), cut in any::<prop::sample::Index>()) {
        let bytes = to_bytes(&command);
        let cut = cut.index(bytes.len());
        prop_assert!(from_bytes::<Command>(&bytes[..cut]).is_err());
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        prop_assert!(from_bytes::<Command>(&longer).is_err());
    }

    #[test]
    fn a_bent_message_is_refused_or_is_another_message(
        Hidden(command) in command(),
        at in any::<prop::sample::Index>(),
        with in 1..=255_u8,
    ) {
        let mut bytes = to_bytes(&command).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        if let Ok(other) = from_bytes::<Command>(&bytes) {
            let again: Command = from_bytes(&to_bytes(&other)).expect("readable");
            prop_assert!(to_bytes(&again) == to_bytes(&other), "what was read is what is written");
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..600)) {
        let _ = frame::decode::<ToPump>(&bytes);
        let _ = frame::decode::<ToSession>(&bytes);
        let _ = from_bytes::<CallStatistics>(&bytes);
    }

    #[test]
    fn a_number_takes_seven_bits_a_byte(number in any::<u64>(), signed in any::<i64>()) {
        let bytes = to_bytes(&number);
        prop_assert_eq!(bytes.len(), (64 - number.leading_zeros() as usize).div_ceil(7).max(1));
        prop_assert_eq!(from_bytes::<u64>(&bytes), Ok(number));
        prop_assert_eq!(from_bytes::<i64>(&to_bytes(&signed)), Ok(signed));
    }
}

#[test]
fn numbers_have_the_form_of_the_dwarf_standard() {
    // DWARF 5 §7.6, figure 22.
    let table = [(2_u64, &[2][..]), (127, &[0x7F]), (128, &[0x80, 1]), (129, &[0x81, 1]), (12857, &[0xB9, 0x64])];
    for (number, bytes) in table {
        assert_eq!(**to_bytes(&number), *bytes);
    }
    let too_large = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
    assert_eq!(from_bytes::<u64>(&too_large), Err(WireError::TooLong));
    assert_eq!(from_bytes::<u64>(&[0x80; 11]), Err(WireError::TooLong));
    assert_eq!(from_bytes::<u16>(&[0x80, 0x80, 4]), Err(WireError::TooLong));
}

#[test]
fn a_length_makes_no_memory_before_its_elements_have_come() {
    let claim = |length: usize, content: &[u8]| {
        let mut writer = wire::Writer::new();
        writer.number(length as u64);
        writer.raw(content);
        writer.finish()
    };
    assert_eq!(from_bytes::<Vec<u64>>(&claim(MAX_LIST, &[])), Err(WireError::Truncated));
    assert_eq!(from_bytes::<Vec<u64>>(&claim(MAX_LIST + 1, &[0; MAX_LIST + 1])), Err(WireError::TooLong));
    assert_eq!(from_bytes::<String>(&claim(MAX_BYTES + 1, &[b'x'; MAX_BYTES + 1])), Err(WireError::TooLong));
}

#[test]
fn what_a_type_forbids_is_no_value() {
    let parts = |parts: &[&[u8]]| {
        let mut writer = wire::Writer::new();
        parts.iter().for_each(|part| writer.counted(part));
        writer.finish()
    };
    // Longer than a clock bears, and more nanoseconds than a second has.
    assert_eq!(from_bytes::<Duration>(&to_bytes(&((1_u64 << 32) + 1, 0_u32))), Err(WireError::Invalid("duration")));
    assert_eq!(from_bytes::<Duration>(&to_bytes(&(0_u64, 1_000_000_000_u32))), Err(WireError::Invalid("duration")));
    let key = from_bytes::<MasterKey>(&parts(&[&[7; 15], &[7; 14], &[]]));
    assert_eq!(key.err(), Some(WireError::Invalid("master key")));
    let password = from_bytes::<Credentials>(&parts(&[b"user", b"pwd"]));
    assert_eq!(password.err(), Some(WireError::Invalid("ICE credentials")));
    let mut short = wire::Writer::new();
    HashAlgorithm::Sha256.encode(&mut short);
    short.counted(&[1; 31]);
    assert_eq!(from_bytes::<Fingerprint>(&short.finish()), Err(WireError::Invalid("fingerprint")));
    assert_eq!(from_bytes::<NonZeroU32>(&[0]), Err(WireError::Invalid("number that is not 0")));
    assert_eq!(from_bytes::<bool>(&[2]), Err(WireError::Unknown("bool")));
    assert_eq!(from_bytes::<HashAlgorithm>(&[9]), Err(WireError::Unknown("HashAlgorithm")));
}

#[test]
fn a_frame_is_bounded_both_ways() {
    let header = |length: usize| u32::try_from(length).expect("fits").to_be_bytes();
    assert_eq!(frame::frame_len::<ToPump>(header(frame::MAX_TO_PUMP)), Ok(frame::MAX_TO_PUMP));
    assert_eq!(frame::frame_len::<ToPump>(header(frame::MAX_TO_PUMP + 1)), Err(WireError::TooLong));
    assert_eq!(frame::frame_len::<ToSession>(header(frame::MAX_TO_SESSION + 1)), Err(WireError::TooLong));
    let flow = |id| FlowPlan {
        id: FlowId(id),
        ingress_rtp: TransportId(0),
        ingress_rtcp: TransportId(0),
        egress_rtp: TransportId(0),
        egress_rtcp: TransportId(0),
        selector: Selector { mid: Some("w".repeat(MAX_BYTES)), ..Selector::default() },
        forward_media: true,
        rtcp: RtcpPolicy::Forward,
        blocked: PayloadTypes::default(),
        silenced: Silenced::default(),
        echo: None,
    };
    let plan = Plan { transports: vec![], flows: (0..80).map(flow).collect(), media_timeout: None, memo: vec![] };
    let command = Command::Apply { call: CallKey(1), plan: Box::new(plan) };
    assert_eq!(frame::encode(&ToPump { worker: WorkerId(0), command }).err(), Some(WireError::TooLong));
}

#[test]
fn strangers_and_other_versions_are_told_apart() {
    let ours = frame::greeting();
    assert_eq!(frame::check_greeting(&ours), Ok(()));
    let mut other = ours;
    other[9] ^= 1;
    assert_eq!(frame::check_greeting(&other), Err(GreetingError::OtherVersion));
    other[0] = b'S';
    assert_eq!(frame::check_greeting(&other), Err(GreetingError::Stranger));
}

#[test]
fn a_welcome_comes_back_as_it_was() {
    let welcome = Welcome {
        instance: u64::MAX,
        workers: 3,
        backend: "mmsg".into(),
        fingerprints: vec![Fingerprint::new(HashAlgorithm::Sha512, &[9; 64]).expect("64 bytes")],
    };
    let bytes = frame::encode(&ToSession::Welcome(welcome.clone())).expect("short");
    let back = frame::decode(&bytes[frame::HEADER_LEN..]).expect("readable");
    assert!(matches!(back, ToSession::Welcome(same) if same == welcome));
}

#[test]
fn blanks_do_not_change_a_shape_and_names_do() {
    assert_eq!(wire::shape("struct A { b, c }"), wire::shape("struct A{b,\n c}"));
    assert_ne!(wire::shape("struct A { b, c }"), wire::shape("struct A { b, d }"));
}
