//! SRTP by the batch: one packet of each of many streams, as a worker has them.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use srtp::{
    ContextId, Contexts, Inbound, Job, Kind, MasterKey, Outbound, Policy, Profile, protect_batch, unprotect_batch,
};

const PROFILES: [Profile; 3] = [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];
/// As many as keys stay warm for in a busy relay, and more than one batch.
const STREAMS: usize = 1000;
const BATCH: usize = 64;
/// G.711 of 20 ms, and a video packet.
const PAYLOADS: [usize; 2] = [160, 1200];

struct Ends {
    outbound: Contexts<Outbound>,
    senders: Vec<ContextId>,
    inbound: Contexts<Inbound>,
    receivers: Vec<ContextId>,
    next: u32,
}

impl Ends {
    fn new(profile: Profile) -> Self {
        let (mut outbound, mut inbound) = (Contexts::new(), Contexts::new());
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for number in 0..STREAMS {
            let key = vec![number as u8; profile.key_len()];
            let key = MasterKey::new(profile, &key, &vec![(number >> 8) as u8; profile.salt_len()]).unwrap();
            let policy = Policy::new(profile);
            senders.push(outbound.insert(Outbound::new(policy.clone(), &key).unwrap()));
            receivers.push(inbound.insert(Inbound::new(policy, std::slice::from_ref(&key)).unwrap()));
        }
        Self { outbound, senders, inbound, receivers, next: 0 }
    }

    /// The next batch, in the clear, each with its stream, and the index of the round that they are in.
    fn packets(&mut self, payload: usize) -> (Vec<Packet>, u64) {
        let round = u64::from(self.next) / STREAMS as u64;
        let packets = (0..BATCH).map(|_| {
            let stream = self.next as usize % STREAMS;
            let sequence_number = (self.next / STREAMS as u32) as u16;
            self.next += 1;
            let mut buffer = vec![0x55; 12 + payload + 148];
            buffer[..2].copy_from_slice(&[0x80, 0]);
            buffer[2..4].copy_from_slice(&sequence_number.to_be_bytes());
            buffer[8..12].copy_from_slice(&(stream as u32).to_be_bytes());
            Packet { stream, buffer, len: 12 + payload }
        });
        (packets.collect(), round)
    }

    /// Protects the next batch, and opens it again; how long one of them takes.
    fn turn(&mut self, payload: usize, timed: Timed) -> Duration {
        let (mut packets, index) = self.packets(payload);
        let mut jobs: Vec<Job<'_>> = packets.iter_mut().map(|packet| packet.job(&self.senders, index)).collect();
        let start = Instant::now();
        protect_batch(&mut self.outbound, &mut jobs);
        let protecting = start.elapsed();
        assert!(jobs.iter().all(|job| job.outcome.is_ok()));
        if timed == Timed::Protect {
            return protecting;
        }
        for (job, receiver) in jobs.iter_mut().zip(self.receivers.iter().cycle().skip(self.first(BATCH))) {
            job.context = *receiver;
        }
        let start = Instant::now();
        unprotect_batch(&mut self.inbound, &mut jobs);
        let opening = start.elapsed();
        assert!(jobs.iter().all(|job| job.outcome.is_ok()));
        opening
    }

    /// The stream of the first of the last packets that were made.
    fn first(&self, count: usize) -> usize {
        (self.next as usize - count) % STREAMS
    }
}

struct Packet {
    stream: usize,
    buffer: Vec<u8>,
    len: usize,
}

impl Packet {
    fn job(&mut self, contexts: &[ContextId], index: u64) -> Job<'_> {
        let context = contexts[self.stream];
        Job { context, kind: Kind::Rtp, buffer: &mut self.buffer, len: self.len, index, outcome: Ok(()) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Timed {
    Protect,
    Unprotect,
}

fn batches(criterion: &mut Criterion) {
    for payload in PAYLOADS {
        let mut group = criterion.benchmark_group(format!("srtp/{payload}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        for profile in PROFILES {
            for (name, timed) in [("protect", Timed::Protect), ("unprotect", Timed::Unprotect)] {
                let mut ends = Ends::new(profile);
                group.bench_function(BenchmarkId::new(name, profile.sdes_name()), |bencher| {
                    bencher.iter_custom(|turns| (0..turns).map(|_| ends.turn(payload, timed)).sum());
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, batches);
criterion_main!(benches);
