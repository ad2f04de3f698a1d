//! Telling packets apart by their first bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// One of each kind, as they begin, in 172 bytes.
fn packets() -> Vec<Vec<u8>> {
    let beginnings: [&[u8]; 6] = [
        &[0x80, 0, 0, 1],
        &[0x80, 200, 0, 6],
        &[0, 1, 0, 152, 0x21, 0x12, 0xa4, 0x42],
        &[22, 254, 253, 0],
        &[0x10, 0, 0, 1, b'Z', b'R', b'T', b'P'],
        &[0xff, 0xff, 0xff, 0xff],
    ];
    let whole = |beginning: &[u8]| {
        let mut packet = beginning.to_vec();
        packet.resize(172, 0x55);
        packet
    };
    beginnings.into_iter().map(whole).collect()
}

fn classify(criterion: &mut Criterion) {
    let packets = packets();
    let mut group = criterion.benchmark_group("demux");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("classify", |bencher| {
        bencher.iter(|| {
            for packet in &packets {
                black_box(rtp::classify(black_box(packet)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, classify);
criterion_main!(benches);
