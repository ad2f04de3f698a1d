use proptest::prelude::*;

use super::*;
use crate::testing::{master_of, rtcp_packet, rtp_packet, sealed_rtcp, sealed_rtp};
use crate::{MasterKey, Policy, Profile, RocPolicy};

const SSRC: u32 = 0xcafe_babe;

/// The receivers of a batch: profiles mixed, one with a key derivation rate, one amid a succession, one for few streams,
/// one that probes after a rekey, one without authentication.
struct Receivers {
    /// Policies and keys that their senders may use.
    senders: Vec<Vec<(Policy, MasterKey)>>,
    contexts: Contexts<Inbound>,
    ids: Vec<ContextId>,
}

impl Receivers {
    fn new() -> Self {
        let plain = |profile| Policy::new(profile);
        let (cm, gcm) = (Profile::AesCm128HmacSha1_80, Profile::AeadAes256Gcm);
        let first = vec![
            plain(cm),
            plain(gcm),
            plain(Profile::AesCm192HmacSha1_32),
            Policy { key_derivation_rate: 16, ..plain(cm) },
            plain(cm),
            Policy { max_streams: 2, ..plain(gcm) },
            plain(cm),
            Policy { authenticate_rtp: false, ..plain(cm) },
            Policy { srtp_lifetime: 5, ..plain(Profile::NullHmacSha1_80) },
        ];
        let mut receivers = Self { senders: Vec::new(), contexts: Contexts::new(), ids: Vec::new() };
        for (at, policy) in first.into_iter().enumerate() {
            let key = master_of(policy.profile, 1);
            let mut inbound = Inbound::new(policy.clone(), std::slice::from_ref(&key)).unwrap();
            let mut senders = vec![(policy, key)];
            let next = match at {
                4 => Some((Policy { roc_on_rekey: RocPolicy::Reset, ..plain(gcm) }, master_of(gcm, 2))),
                6 => Some((Policy { roc_on_rekey: RocPolicy::Probe, ..plain(cm) }, master_of(cm, 2))),
                _ => None,
            };
            if let Some((policy, key)) = next {
                inbound.set_rollover_counter(SSRC, 1);
                if at == 4 {
                    inbound.succeed(policy.clone(), std::slice::from_ref(&key)).unwrap();
                } else {
                    inbound.rekey(policy.clone(), std::slice::from_ref(&key)).unwrap();
                }
                senders.push((policy, key));
            }
            receivers.senders.push(senders);
            receivers.ids.push(receivers.contexts.insert(inbound));
        }
        receivers
    }

    fn inbound(&mut self, at: usize) -> &mut Inbound {
        self.contexts.get_mut(self.ids[at]).unwrap()
    }
}

/// One packet on the wire.
#[derive(Clone, Debug)]
struct Arrival {
    context: usize,
    kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Event {
    /// A genuine packet: context, sender, kind, SSRC, distance from the stream's last index.
    Genuine { context: usize, sender: usize, kind: Kind, ssrc: u32, step: i64 },
    /// A copy of an earlier packet.
    Duplicate { back: usize },
    /// A copy of an earlier packet with a bit turned.
    Damaged { back: usize, bit: usize },
    /// A packet that nobody sealed.
    Forged { context: usize, kind: Kind, ssrc: u32, sequence: u16 },
    /// Bytes.
    Noise { context: usize, kind: Kind, bytes: Vec<u8> },
}

fn event() -> impl Strategy<Value = Event> {
    let kind = || prop::sample::select(vec![Kind::Rtp, Kind::Rtp, Kind::Rtp, Kind::Rtcp]);
    let ssrc = || (0u32..4).prop_map(|n| SSRC + n);
    let step = prop_oneof![
        6 => 1i64..4,
        2 => -20i64..20,
        1 => -2000i64..2000,
        1 => 30_000i64..70_000,
    ];
    prop_oneof![
        8 => (0usize..9, 0usize..2, kind(), ssrc(), step)
            .prop_map(|(context, sender, kind, ssrc, step)| Event::Genuine { context, sender, kind, ssrc, step }),
        3 => (0usize..20).prop_map(|back| Event::Duplicate { back }),
        1 => (0usize..20, any::<usize>()).prop_map(|(back, bit)| Event::Damaged { back, bit }),
        2 => (0usize..9, kind(), ssrc(), any::<u16>())
            .prop_map(|(context, kind, ssrc, sequence)| Event::Forged { context, kind, ssrc, sequence }),
        1 => (0usize..9, kind(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(context, kind, bytes)| Event::Noise { context, kind, bytes }),
    ]
}

fn arrivals(events: &[Event], start: u64) -> Vec<Arrival> {
    let receivers = Receivers::new();
    let mut last = std::collections::HashMap::new();
    let mut arrivals: Vec<Arrival> = Vec::new();
    let earlier = |arrivals: &[Arrival], back: usize| arrivals.iter().rev().nth(back % arrivals.len().max(1)).cloned();
    for event in events {
        let arrival = match event.clone() {
            Event::Genuine { context, sender, kind, ssrc, step } => {
                let senders = &receivers.senders[context];
                let (policy, key) = &senders[sender % senders.len()];
                let index = last.entry((context, kind, ssrc)).or_insert(start as i64);
                *index = (*index + step).max(0);
                let bytes = match kind {
                    Kind::Rtp => sealed_rtp(policy, key, ssrc, *index as u64),
                    Kind::Rtcp => sealed_rtcp(policy, key, ssrc, *index as u32),
                };
                Some(Arrival { context, kind, bytes })
            }
            Event::Duplicate { back } => earlier(&arrivals, back),
            Event::Damaged { back, bit } => earlier(&arrivals, back).map(|mut arrival| {
                let bit = bit % (arrival.bytes.len() * 8).max(1);
                if let Some(byte) = arrival.bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                arrival
            }),
            Event::Forged { context, kind: Kind::Rtp, ssrc, sequence } => {
                Some(Arrival { context, kind: Kind::Rtp, bytes: rtp_packet(ssrc, sequence, 40) })
            }
            Event::Forged { context, kind, ssrc, .. } => Some(Arrival { context, kind, bytes: rtcp_packet(ssrc, 40) }),
            Event::Noise { context, kind, bytes } => Some(Arrival { context, kind, bytes }),
        };
        arrivals.extend(arrival);
    }
    arrivals
}

type Results = Vec<(Result<(usize, u64), Rejection>, Vec<u8>)>;

fn one_by_one(receivers: &mut Receivers, arrivals: &[Arrival]) -> Results {
    let open = |arrival: &Arrival| {
        let mut bytes = arrival.bytes.clone();
        let len = bytes.len();
        let inbound = receivers.inbound(arrival.context);
        let opened = match arrival.kind {
            Kind::Rtp => inbound.unprotect_rtp(&mut bytes, len),
            Kind::Rtcp => inbound.unprotect_rtcp(&mut bytes, len),
        };
        (opened.map(|opened| (opened.len, opened.index)), bytes)
    };
    arrivals.iter().map(open).collect()
}

fn in_batches(receivers: &mut Receivers, arrivals: &[Arrival], size: usize) -> Results {
    let mut results = Vec::new();
    for batch in arrivals.chunks(size) {
        let mut buffers: Vec<Vec<u8>> = batch.iter().map(|arrival| arrival.bytes.clone()).collect();
        let mut jobs: Vec<Job<'_>> = batch
            .iter()
            .zip(&mut buffers)
            .map(|(arrival, buffer)| Job {
                context: receivers.ids[arrival.context],
                kind: arrival.kind,
                len: buffer.len(),
                buffer,
                index: 0,
                outcome: Ok(()),
            })
            .collect();
        unprotect_batch(&mut receivers.contexts, &mut jobs);
        let outcomes: Vec<_> = jobs.iter().map(|job| job.outcome.map(|()| (job.len, job.index))).collect();
        results.extend(outcomes.into_iter().zip(buffers));
    }
    results
}

fn assert_batch_equals_one_by_one(arrivals: &[Arrival], size: usize) -> Results {
    let (mut single, mut batched) = (Receivers::new(), Receivers::new());
    let results = one_by_one(&mut single, arrivals);
    assert_eq!(in_batches(&mut batched, arrivals, size), results);
    for at in 0..single.ids.len() {
        let (single, batched) = (single.inbound(at), batched.inbound(at));
        assert!(single.streams().eq(batched.streams()));
        assert!(single.key_usage().eq(batched.key_usage()));
        assert_eq!(single.probe_count(), batched.probe_count());
        assert_eq!(single.take_lifetime_warning(), batched.take_lifetime_warning());
    }
    results
}

fn genuine(context: usize, index: u64) -> Arrival {
    let receivers = Receivers::new();
    let (policy, key) = &receivers.senders[context][0];
    Arrival { context, kind: Kind::Rtp, bytes: sealed_rtp(policy, key, SSRC, index) }
}

fn outcomes(results: &Results) -> Vec<Result<u64, Rejection>> {
    results.iter().map(|(result, _)| result.map(|(_, index)| index)).collect()
}

#[test]
fn of_five_duplicates_in_one_batch_one_is_accepted_and_the_others_stay_sealed() {
    for context in [0, 1, 2] {
        let packet = genuine(context, 77);
        let results = assert_batch_equals_one_by_one(&vec![packet.clone(); 5], 5);
        assert_eq!(results[0].0.map(|(_, index)| index), Ok(77));
        for (result, bytes) in &results[1..] {
            assert_eq!(*result, Err(Rejection::Replayed));
            assert_eq!(*bytes, packet.bytes);
        }
    }
}

#[test]
fn a_new_ssrc_may_wrap_inside_one_batch() {
    for context in [0, 1, 3] {
        let batch: Vec<Arrival> = (0xfffc..0x1_0004).map(|index| genuine(context, index)).collect();
        let results = assert_batch_equals_one_by_one(&batch, batch.len());
        assert_eq!(outcomes(&results), (0xfffc..0x1_0004).map(Ok).collect::<Vec<_>>());
    }
}

#[test]
fn a_forged_far_ahead_sequence_does_no_harm_to_its_batch() {
    for context in [0, 1] {
        let mut batch: Vec<Arrival> = (100..110).map(|index| genuine(context, index)).collect();
        for (at, sequence) in [(3, 0x9000), (5, 0xffff), (7, 0x7fff)] {
            batch.insert(at, Arrival { context, kind: Kind::Rtp, bytes: rtp_packet(SSRC, sequence, 30) });
        }
        let results = assert_batch_equals_one_by_one(&batch, batch.len());
        let expected: Vec<_> = (100..110).map(Ok).collect();
        assert_eq!(outcomes(&results).into_iter().filter(Result::is_ok).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_job_for_no_context_or_beyond_its_buffer_is_refused_alone() {
    let mut receivers = Receivers::new();
    let void = receivers.contexts.insert(
        Inbound::new(Policy::new(Profile::AesCm128HmacSha1_80), &[master_of(Profile::AesCm128HmacSha1_80, 1)]).unwrap(),
    );
    receivers.contexts.remove(void);
    let good = genuine(0, 5);
    let mut buffers = vec![good.bytes.clone(); 3];
    let mut jobs: Vec<Job<'_>> = buffers
        .iter_mut()
        .zip([(void, 0), (receivers.ids[0], 1), (receivers.ids[0], 0)])
        .map(|(buffer, (context, more))| Job {
            context,
            kind: Kind::Rtp,
            len: buffer.len() + more,
            buffer,
            index: 0,
            outcome: Ok(()),
        })
        .collect();
    unprotect_batch(&mut receivers.contexts, &mut jobs);
    let outcomes: Vec<_> = jobs.iter().map(|job| job.outcome).collect();
    assert_eq!(outcomes, [Err(Rejection::NoContext), Err(Rejection::TooShort), Ok(())]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_batch_has_the_result_of_its_packets_one_by_one(
        events in prop::collection::vec(event(), 1..150),
        start in prop::sample::select(vec![0u64, 0x7ff0, 0xfff8, 0x1_0003]),
        size in 1usize..150,
    ) {
        assert_batch_equals_one_by_one(&arrivals(&events, start), size);
    }

    /// The same for sending: repeated indices, several streams and profiles, packets without room.
    #[test]
    fn protecting_a_batch_equals_protecting_one_by_one(
        packets in prop::collection::vec((0usize..4, any::<bool>(), 0u32..3, 0u64..40, 0usize..60, 10usize..40), 1..150),
    ) {
        let policies = [
            Policy::new(Profile::AesCm256HmacSha1_32),
            Policy { srtcp_lifetime: 4, ..Policy::new(Profile::AeadAes128Gcm) },
            Policy { key_derivation_rate: 8, ..Policy::new(Profile::AesCm128HmacSha1_80) },
            Policy { max_streams: 1, encrypt_rtp: false, ..Policy::new(Profile::AeadAes256Gcm) },
        ];
        let make = |policy: &Policy| {
            let key = master_of(policy.profile, 5).with_mki(b"id").unwrap();
            Outbound::new(policy.clone(), &key).unwrap()
        };
        let mut single: Vec<Outbound> = policies.iter().map(make).collect();
        let mut contexts = Contexts::new();
        let ids: Vec<ContextId> = policies.iter().map(|policy| contexts.insert(make(policy))).collect();

        let plain: Vec<(Kind, usize, u64, usize, Vec<u8>)> = packets
            .into_iter()
            .map(|(at, rtcp, ssrc, index, payload, room)| {
                let index = index + 0xfff0;
                let (kind, mut bytes) = if rtcp {
                    (Kind::Rtcp, rtcp_packet(ssrc, payload / 4 * 4))
                } else {
                    (Kind::Rtp, rtp_packet(ssrc, index as u16, payload))
                };
                let len = bytes.len();
                bytes.resize(len + room, 0);
                (kind, at, index, len, bytes)
            })
            .collect();
        let mut buffers: Vec<Vec<u8>> = plain.iter().map(|packet| packet.4.clone()).collect();
        let mut jobs: Vec<Job<'_>> = plain
            .iter()
            .zip(&mut buffers)
            .map(|((kind, at, index, len, _), buffer)| Job {
                context: ids[*at], kind: *kind, buffer, len: *len, index: *index, outcome: Ok(()),
            })
            .collect();
        protect_batch(&mut contexts, &mut jobs);
        for (job, (kind, at, index, len, bytes)) in jobs.iter().zip(&plain) {
            let mut bytes = bytes.clone();
            let sent = match kind {
                Kind::Rtp => single[*at].protect_rtp(&mut bytes, *len, (index >> 16) as u32),
                Kind::Rtcp => single[*at].protect_rtcp(&mut bytes, *len),
            };
            prop_assert_eq!(job.outcome.map(|()| job.len), sent);
            prop_assert_eq!(&*job.buffer, &bytes[..]);
        }
    }
}
