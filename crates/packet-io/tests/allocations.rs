//! Moving datagrams allocates nothing, whichever way they go.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use datagram::{Backend, Batch, SendRight};
use sallyport_packet_io::{Mmsg, MmsgConfig};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts what the current thread asks for.
struct Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator as it came; counting touches no allocated memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sends `burst` datagrams to every port, and lets the backend send them back from there.
fn round(
    backend: &mut Mmsg,
    batch: &mut Batch,
    peer: &UdpSocket,
    ports: &[(SendRight, SocketAddr)],
    burst: usize,
) -> usize {
    let home = peer.local_addr().unwrap();
    for (_, local) in ports {
        for number in 0..burst {
            peer.send_to(&[number as u8; 172], local).unwrap();
        }
    }
    let mut moved = 0;
    while moved < ports.len() * burst {
        backend.wait(Some(Duration::from_secs(10))).unwrap();
        loop {
            batch.clear();
            let report = backend.receive(batch).unwrap();
            for datagram in batch.datagrams_mut() {
                let (right, _) = ports.iter().find(|(right, _)| right.port() == datagram.port()).unwrap();
                datagram.transmit(right, home);
            }
            moved += backend.send(batch).sent;
            if !report.more {
                break;
            }
        }
    }
    moved
}

#[test]
fn nothing_is_allocated_while_datagrams_move() {
    let mut backend = Mmsg::new(MmsgConfig::default()).unwrap();
    let mut ports = Vec::new();
    while ports.len() < 20 {
        let local = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        if let Ok((_, right)) = backend.bind(local) {
            ports.push((right, local));
        }
    }
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut batch = Batch::new();
    round(&mut backend, &mut batch, &peer, &ports, 10);
    let before = ALLOCATIONS.get();
    let mut moved = 0;
    for _ in 0..20 {
        for burst in [1, 2, 10] {
            moved += round(&mut backend, &mut batch, &peer, &ports, burst);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(moved, 20 * 13 * 20);
}
