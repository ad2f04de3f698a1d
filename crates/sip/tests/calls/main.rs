//! Calls between two user agents under a virtual clock. A log line says who sent what.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

mod endings;
mod establishing;
mod forks;
mod hostile;
mod offers;
mod requests;
#[path = "../support/mod.rs"]
mod support;

use sallyport_sip::{Headers, Request, StatusCode};

use crate::support::request;

fn none() -> Headers {
    Headers::new()
}

fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

fn stray(method: &str, to_tag: &str) -> Request {
    request(&format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{method}\n\
         From: <sip:x@a.example>;tag=x\nTo: <sip:bob@b.example>{to_tag}\nCall-ID: stray\nCSeq: 1 {method}\n\
         Contact: <sip:x@192.0.2.1>\n\n"
    ))
}
