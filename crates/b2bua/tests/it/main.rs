//! The back-to-back user agent between phones, with a real session and a pump that the test plays, under a clock that it
//! advances.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "any instant serves as the start of the clock")]

// The name by which the bench of its own tests knows it.
extern crate smime as sallyport_smime;

mod attended;
mod calls;
mod early;
mod echo;
mod forks;
mod hostile;
mod limits;
mod model;
mod offers;
mod reach;
mod records;
mod registrations;
mod restarts;
mod secured;
mod security;
mod strangers;
mod transfers;
mod world;
