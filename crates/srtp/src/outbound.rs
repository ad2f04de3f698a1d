//! Sending.
#![allow(missing_docs, unused_variables)]
use crate::{KeyError, MasterKey, Policy, Rejection};

pub struct Outbound {}

impl Outbound {
    pub fn new(policy: Policy, key: &MasterKey) -> Result<Self, KeyError> {
        todo!()
    }
    pub fn rekey(&mut self, policy: Policy, key: &MasterKey) -> Result<(), KeyError> {
        todo!()
    }
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize, roc: u32) -> Result<usize, Rejection> {
        todo!()
    }
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Rejection> {
        todo!()
    }
    pub fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        todo!()
    }
    pub fn take_lifetime_warning(&mut self) -> bool {
        todo!()
    }
}
