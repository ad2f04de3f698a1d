//! Whole batches.
#![allow(missing_docs, unused_variables)]
use crate::{ContextId, Contexts, Inbound, Outbound, Rejection};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    Rtp,
    Rtcp,
}

pub struct Job<'a> {
    pub context: ContextId,
    pub kind: Kind,
    pub buffer: &'a mut [u8],
    pub len: usize,
    pub index: u64,
    pub outcome: Result<(), Rejection>,
}

pub fn unprotect_batch(contexts: &mut Contexts<Inbound>, jobs: &mut [Job<'_>]) {
    todo!()
}
pub fn protect_batch(contexts: &mut Contexts<Outbound>, jobs: &mut [Job<'_>]) {
    todo!()
}
