//! A flood leaves no memory behind. Alone in its process: what is measured is the whole of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{config, origin};
use control::DtlsRole;
use sallyport_dtls::{Endpoint, Identity, Standing};

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A fragment of a ClientHello of 16 KiB that will never be whole.
fn fragment(number: u32) -> Vec<u8> {
    const BODY: usize = 1000;
    let offset = (number % 15) * BODY as u32;
    let mut bytes = vec![22, 0xfe, 0xfd, 0, 0, 0, 0];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&(12 + BODY as u16).to_be_bytes());
    bytes.extend_from_slice(&[1, 0, 0x40, 0, 0, 0]);
    bytes.extend_from_slice(&offset.to_be_bytes()[1..]);
    bytes.extend_from_slice(&(BODY as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[number as u8; BODY]);
    bytes
}

fn flood(endpoint: &mut Endpoint, from: u32, count: u32, start: std::time::Instant) {
    for number in from..from + count {
        let now = start + Duration::from_micros(u64::from(number) * 100);
        let [_, b, c, d] = (number % 50_000).to_be_bytes();
        // Few sources and many, with standing and without.
        let (source, standing) = match number % 4 {
            0 => (SocketAddr::from(([198, 51, b, c], 1000 + u16::from(d))), Standing::Unproven),
            1 => (SocketAddr::from(([203, 0, 113, 1], 1000 + (number % 7) as u16)), Standing::Unproven),
            2 => (SocketAddr::from(([192, 0, 2, 1], 5000)), Standing::Validated),
            _ => (SocketAddr::from(([192, 0, 2, 2], 5000)), Standing::Signalled),
        };
        endpoint.handle_datagram(now, source, standing, &fragment(number));
        if endpoint.poll_timeout().is_some_and(|when| when <= now) {
            endpoint.handle_timeout(now);
        }
        while endpoint.poll_transmit().is_some() {}
    }
}

#[test]
fn two_hundred_thousand_fragments_leave_memory_as_it_was() {
    let ours = Identity::generate().unwrap();
    let start = origin();
    let mut endpoint = Endpoint::new(start, &ours, config(DtlsRole::Server, &ours)).unwrap();
    flood(&mut endpoint, 0, 20_000, start);
    let before = resident_kib();
    flood(&mut endpoint, 20_000, 200_000, start);
    let after = resident_kib();
    assert!(after < before + 2048, "{before} KiB before, {after} KiB after");
}
