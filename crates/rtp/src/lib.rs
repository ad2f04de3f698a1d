//! RTP and RTCP as views over bytes; demultiplexing by first byte (RFC 7983, RFC 5761).
//!
//! Nothing here allocates, panics or keeps a reference beyond the packet. A view is checked once, when it is made;
//! its accessors cannot fail afterwards. What is read from a view is what the peer wrote: whether it may be believed is
//! for the caller (authenticate first).
//!
//! # Order of use
//! 1. [`classify`] tells what kind of packet a datagram holds.
//! 2. [`RtpPacket::parse`] works on an encrypted packet too: SRTP leaves the header in the clear. Its payload is
//!    ciphertext then, and [`RtpPacket::media`], which removes padding, is for decrypted packets only.
//! 3. [`RtcpCompound::parse`] is for decrypted packets. It accepts compound (RFC 3550 §6.1) and reduced-size packets
//!    (RFC 5506); [`RtcpCompound::is_compound`] tells which.
//! 4. The functions of [`rtcp`] that edit ([`rtcp::translate`], [`rtcp::without_feedback`]) work in place on decrypted
//!    packets. They never make a packet longer. [`rtcp::encode_report`] writes a report of our own.
//! 5. [`SequenceTracker`] follows one SSRC. It has no clock: arrival times are arguments. [`LossPattern`] tells single
//!    losses from bursts; [`quality`] estimates from both how speech sounds.

mod demux;
mod index;
mod loss;
mod packet;
pub mod quality;
pub mod rtcp;
mod sequence;

pub use demux::{Class, classify};
pub use index::ExtendedIndex;
pub use loss::LossPattern;
pub use packet::{
    Element, Elements, HEADER_LEN, HeaderExtension, RtpPacket, header_len, set_marker, set_payload_type,
    set_sequence_number, set_ssrc, set_timestamp,
};
pub use rtcp::{RtcpCompound, RtcpPacket};
pub use sequence::{Arrival, SequenceTracker};
