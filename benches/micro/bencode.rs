//! Reading and writing the control protocol's dictionaries.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ng::{Dictionary, Value, bencode};

/// An offer as an SBC sends it.
fn offer() -> Value {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n".to_owned()
        + &"a=candidate:1 1 udp 2113937151 192.0.2.1 54400 typ host generation 0\r\n".repeat(20);
    let list = |words: &[&str]| Value::List(words.iter().map(Value::string).collect());
    Value::Dictionary(
        Dictionary::new()
            .with("command", Value::string("offer"))
            .with("call-id", Value::string("3848276298220188511@192.0.2.1"))
            .with("from-tag", Value::string("9fxced76sl"))
            .with("flags", list(&["trust-address", "generate-mid"]))
            .with("replace", list(&["origin", "session-connection"]))
            .with("received-from", list(&["IP4", "192.0.2.1"]))
            .with("ICE", Value::string("remove"))
            .with("transport-protocol", Value::string("RTP/SAVP"))
            .with("sdp", Value::string(sdp)),
    )
}

fn codec(criterion: &mut Criterion) {
    let value = offer();
    let bytes = bencode::encode(&value);
    let mut group = criterion.benchmark_group("bencode");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode", |bencher| bencher.iter(|| bencode::decode(black_box(&bytes)).unwrap()));
    group.bench_function("encode", |bencher| bencher.iter(|| bencode::encode(black_box(&value))));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
