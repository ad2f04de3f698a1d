//! The packet path does not allocate.

// A global allocator cannot be written without it; it forwards to the system's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sallyport_srtp::{
    Contexts, Inbound, Job, Kind, MasterKey, Outbound, Policy, Profile, RocPolicy, protect_batch, unprotect_batch,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: both calls go to `System` unchanged, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 64;

#[test]
fn a_known_stream_costs_no_allocation() {
    for profile in Profile::all() {
        for key_derivation_rate in [0, 16] {
            let policy = Policy { key_derivation_rate, roc_on_rekey: RocPolicy::Probe, ..Policy::new(profile) };
            let key = MasterKey::new(profile, &[7; 32][..profile.key_len()], &[9; 14][..profile.salt_len()])
                .and_then(|key| key.with_mki(b"mki"))
                .expect("the lengths are the profile's");
            let keys = std::slice::from_ref(&key);
            let mut inbounds = Contexts::new();
            let mut outbounds = Contexts::new();
            let inbound = inbounds.insert(Inbound::new(policy.clone(), keys).expect("a good policy"));
            let outbound = outbounds.insert(Outbound::new(policy, &key).expect("a good policy"));
            let mut buffers = vec![[0u8; 300]; BATCH];
            let mut costs = Vec::with_capacity(10);
            for round in 0..10u64 {
                let mut jobs = Vec::with_capacity(BATCH);
                for (at, buffer) in buffers.iter_mut().enumerate() {
                    let index = round * BATCH as u64 + at as u64;
                    buffer[0] = 0x80;
                    buffer[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                    let kind = if at % 8 == 7 { Kind::Rtcp } else { Kind::Rtp };
                    jobs.push(Job { context: outbound, kind, buffer, len: 172, index, outcome: Ok(()) });
                }
                let before = ALLOCATIONS.get();
                protect_batch(&mut outbounds, &mut jobs);
                for job in &mut jobs {
                    assert_eq!(job.outcome, Ok(()));
                    job.context = inbound;
                }
                // A packet that fails costs none either.
                if let Some(job) = jobs.last_mut() {
                    job.buffer[20] ^= 1;
                }
                unprotect_batch(&mut inbounds, &mut jobs);
                costs.push(ALLOCATIONS.get() - before);
                let opened = jobs.iter().filter(|job| job.outcome.is_ok()).count();
                assert_eq!(opened, BATCH - 1);
            }
            // With a rate of 16, a batch derives session keys for its five periods and for packets that it guesses ahead, on
            // both sides.
            let most = if key_derivation_rate == 0 { 0 } else { BATCH };
            assert!(costs[1..].iter().all(|cost| *cost <= most), "{profile:?} {key_derivation_rate}: {costs:?}");
        }
    }
}
