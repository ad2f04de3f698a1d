//! Reading, editing and printing descriptions.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sdp::{Protocol, SessionDescription};

const PHONE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

/// As long as a browser's offer of audio and video: some 150 lines.
fn browser() -> String {
    let mut text = String::from(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=msid-semantic: WMS\r\n",
    );
    for (mid, kind) in ["audio", "video"].into_iter().enumerate() {
        write!(text, "m={kind} 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n")
            .unwrap();
        text.push_str("a=ice-ufrag:F7gI\r\na=ice-pwd:x9cml/YzichV2+XlhiMu8g\r\na=setup:actpass\r\na=rtcp-mux\r\n");
        text.push_str("a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n");
        for number in 0..10 {
            write!(text, "a=candidate:{number} 1 udp 2113937151 192.0.2.{number} 54400 typ host generation 0\r\n")
                .unwrap();
        }
        for payload in 96..102 {
            write!(text, "a=rtpmap:{payload} codec{payload}/90000\r\na=fmtp:{payload} apt=96;level=1\r\n").unwrap();
            for feedback in ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"] {
                write!(text, "a=rtcp-fb:{payload} {feedback}\r\n").unwrap();
            }
        }
    }
    text
}

fn descriptions(criterion: &mut Criterion) {
    for (name, text) in [("phone", PHONE.to_owned()), ("browser", browser())] {
        let mut group = criterion.benchmark_group(format!("sdp/{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("parse", |bencher| {
            bencher.iter(|| SessionDescription::parse(black_box(&text)).unwrap());
        });
        let mut description = SessionDescription::parse(&text).unwrap();
        assert_eq!(description.to_string(), text);
        group.bench_function("edit and print", |bencher| {
            bencher.iter(|| {
                description.media_mut()[0].set_protocol(Protocol::RtpSavp);
                black_box(&description).to_string()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, descriptions);
criterion_main!(benches);
