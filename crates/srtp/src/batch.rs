//! Whole batches: the packet path.
//!
//! A batch may hold several packets of one stream, and its result is that of its packets one by one. Receiving goes in
//! phases:
//!
//! 1. guess each packet's key and index and check replay, against committed state;
//! 2. authenticate all, grouped by algorithm, so that independent packets can share a vector kernel;
//! 3. in the order of arrival: guess and check again; where key and index are those of phase 1 its verdict holds, and
//!    where the stream has moved meanwhile the packet is verified once more; commit;
//! 4. decrypt what was accepted, and nothing else.
//!
//! Sending commits all indices in order, then encrypts all, then authenticates all. Contexts whose session keys change
//! on the way (a key derivation rate, a succession of keys under way) take their packets one by one.

use arrayvec::ArrayVec;

use crate::gcm::{GcmLane, TAG, tag_all};
use crate::hmac::{DIGEST, MacLane, digest_all};
use crate::inbound::{Accepted, Known, Prepared};
use crate::outbound::Planned;
use crate::session::{Kind, Lane, Tag, same_tag, widen};
use crate::{ContextId, Contexts, Inbound, Outbound, Rejection};

/// Packets that go through the phases together: what lies on the stack for each is about 300 bytes.
const CHUNK: usize = 64;

/// One packet of a batch.
pub struct Job<'a> {
    /// Whose packet it is.
    pub context: ContextId,
    /// What it is.
    pub kind: Kind,
    /// Holds the packet; when protecting, with room behind it for tag and trailer.
    pub buffer: &'a mut [u8],
    /// Length of the packet in bytes, before and, when `outcome` is `Ok`, after.
    pub len: usize,
    /// Extended index. Unprotecting: set when `outcome` is `Ok`. Protecting RTP: the bits from 16 up are the rollover
    /// counter to use, and the low 16 are set from the packet. Protecting RTCP: set.
    pub index: u64,
    /// How it ended. A rejected packet's bytes are as they were.
    pub outcome: Result<(), Rejection>,
}

/// Authenticates and decrypts a batch in place.
pub fn unprotect_batch(contexts: &mut Contexts<Inbound>, jobs: &mut [Job<'_>]) {
    for chunk in jobs.chunks_mut(CHUNK) {
        unprotect_chunk(contexts, chunk);
    }
}

/// Encrypts and authenticates a batch in place.
pub fn protect_batch(contexts: &mut Contexts<Outbound>, jobs: &mut [Job<'_>]) {
    for chunk in jobs.chunks_mut(CHUNK) {
        protect_chunk(contexts, chunk);
    }
}

fn unprotect_chunk(contexts: &mut Contexts<Inbound>, jobs: &mut [Job<'_>]) {
    let mut prepared: ArrayVec<Option<Prepared>, CHUNK> = ArrayVec::new();
    for job in jobs.iter() {
        let packet = job.buffer.get(..job.len);
        prepared.push(packet.and_then(|packet| contexts.get(job.context)?.prepare(job.kind, packet)));
    }

    let mut known: [Option<Known>; CHUNK] = [None; CHUNK];
    let mut lanes = Lanes::new();
    for (at, (job, prepared)) in jobs.iter().zip(&prepared).enumerate() {
        let Some(Prepared { key, shape, name }) = prepared else { continue };
        let Some(session) = contexts.get(job.context).and_then(|context| context.plain_session(*key, job.kind)) else {
            continue;
        };
        // Without a tag (`UNAUTHENTICATED_SRTP`) there is nothing to compute.
        if shape.tag.0 < shape.tag.1 {
            lanes.push(at, session.lane(job.buffer, shape, name));
        }
    }
    lanes.run(|at, tag| {
        if let (Some(known), Some(job), Some(Some(prepared))) = (known.get_mut(at), jobs.get(at), prepared.get(at)) {
            let authentic = same_tag(prepared.shape.tag_of(job.buffer), tag);
            *known = Some(Known { key: prepared.key, index: prepared.name.index, authentic });
        }
    });

    let mut accepted: [Option<Accepted>; CHUNK] = [None; CHUNK];
    for ((job, known), deferred) in jobs.iter_mut().zip(known).zip(&mut accepted) {
        job.outcome = unprotect_one(contexts, job, known, deferred);
    }

    for (job, accepted) in jobs.iter_mut().zip(accepted) {
        let Some(Accepted { key, shape, name, .. }) = accepted else { continue };
        if let Some(session) = contexts.get(job.context).and_then(|context| context.plain_session(key, name.kind)) {
            session.xor(job.buffer, &shape, &name);
        }
    }
}

/// Commits one packet; leaves its decryption to the last phase where that can wait.
fn unprotect_one(
    contexts: &mut Contexts<Inbound>,
    job: &mut Job<'_>,
    known: Option<Known>,
    deferred: &mut Option<Accepted>,
) -> Result<(), Rejection> {
    let context = contexts.get_mut(job.context).ok_or(Rejection::NoContext)?;
    let packet = job.buffer.get_mut(..job.len).ok_or(Rejection::TooShort)?;
    let was_plain = context.is_plain();
    let accepted = context.accept(job.kind, packet, known)?;
    if was_plain {
        *deferred = Some(accepted);
    } else {
        context.decrypt(packet, &accepted);
    }
    job.len = accepted.shape.body;
    job.index = accepted.name.index;
    Ok(())
}

fn protect_chunk(contexts: &mut Contexts<Outbound>, jobs: &mut [Job<'_>]) {
    let mut planned: ArrayVec<Option<Planned>, CHUNK> = ArrayVec::new();
    for job in jobs.iter_mut() {
        let mut waiting = None;
        job.outcome = plan_one(contexts, job, &mut waiting);
        planned.push(waiting);
    }

    for (job, planned) in jobs.iter_mut().zip(&planned) {
        let Some(Planned { shape, name }) = planned else { continue };
        if let Some(session) = contexts.get(job.context).and_then(|context| context.plain_session(job.kind)) {
            session.xor(job.buffer, shape, name);
        }
    }

    let mut tags: [Tag; CHUNK] = [[0; DIGEST]; CHUNK];
    let mut lanes = Lanes::new();
    for (at, (job, planned)) in jobs.iter().zip(&planned).enumerate() {
        let Some(Planned { shape, name }) = planned else { continue };
        if let Some(session) = contexts.get(job.context).and_then(|context| context.plain_session(job.kind)) {
            lanes.push(at, session.lane(job.buffer, shape, name));
        }
    }
    lanes.run(|at, tag| {
        if let Some(to) = tags.get_mut(at) {
            *to = *tag;
        }
    });

    for ((job, planned), tag) in jobs.iter_mut().zip(&planned).zip(&tags) {
        let Some(planned) = planned else { continue };
        if let Some(context) = contexts.get(job.context) {
            context.finish(job.buffer, planned, tag);
        }
    }
}

/// Commits one packet's index; seals it where that cannot wait.
fn plan_one(
    contexts: &mut Contexts<Outbound>,
    job: &mut Job<'_>,
    waiting: &mut Option<Planned>,
) -> Result<(), Rejection> {
    let context = contexts.get_mut(job.context).ok_or(Rejection::NoContext)?;
    let roc = match job.kind {
        // Indices have 48 bits.
        Kind::Rtp => u32::try_from(job.index >> 16).map_err(|_| Rejection::KeyExhausted)?,
        Kind::Rtcp => 0,
    };
    let planned = context.plan(job.kind, job.buffer, job.len, roc)?;
    if context.is_plain() {
        *waiting = Some(planned);
    } else {
        context.seal(job.buffer, &planned);
    }
    job.len = planned.shape.end;
    job.index = planned.name.index;
    Ok(())
}

/// The packets of a chunk that are to be authenticated, grouped by algorithm, each with its place in the chunk.
struct Lanes<'a> {
    mac: ArrayVec<MacLane<'a>, CHUNK>,
    mac_places: ArrayVec<usize, CHUNK>,
    gcm: ArrayVec<GcmLane<'a>, CHUNK>,
    gcm_places: ArrayVec<usize, CHUNK>,
}

impl<'a> Lanes<'a> {
    fn new() -> Self {
        Self { mac: ArrayVec::new(), mac_places: ArrayVec::new(), gcm: ArrayVec::new(), gcm_places: ArrayVec::new() }
    }

    #[inline]
    fn push(&mut self, at: usize, lane: Lane<'a>) {
        match lane {
            Lane::Mac(lane) => {
                self.mac.push(lane);
                self.mac_places.push(at);
            }
            Lane::Gcm(lane) => {
                self.gcm.push(lane);
                self.gcm_places.push(at);
            }
        }
    }

    /// Computes all tags and hands each over with its place.
    #[inline]
    fn run(self, mut done: impl FnMut(usize, &Tag)) {
        if !self.mac.is_empty() {
            let mut digests: [Tag; CHUNK] = [[0; DIGEST]; CHUNK];
            digest_all(&self.mac, &mut digests);
            for (at, digest) in self.mac_places.iter().zip(&digests) {
                done(*at, digest);
            }
        }
        if !self.gcm.is_empty() {
            let mut tags = [[0; TAG]; CHUNK];
            tag_all(&self.gcm, &mut tags);
            for (at, tag) in self.gcm_places.iter().zip(&tags) {
                done(*at, &widen(*tag));
            }
        }
    }
}

#[cfg(test)]
mod tests;
