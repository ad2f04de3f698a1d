//! Real peers, endpoints and scenarios that test the relay from outside.
//!
//! The endpoints are built on other people's protocol code (str0m for WebRTC, webrtc-srtp for the phone), so that an
//! error of ours cannot cancel itself out. The demo and the scenarios share them.

pub mod call;
pub mod chromium;
pub mod namespace;
pub mod ng;
pub mod phone;
pub mod server;
pub mod tally;
pub mod tone;
pub mod web;
