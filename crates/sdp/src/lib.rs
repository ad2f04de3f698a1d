//! Lossless model, parser, printer and editor of session descriptions (RFC 8866).
//!
//! A description is kept as the lines it came in. What is not edited is printed byte for byte and in its order, line
//! endings included; typed views are read from those lines on demand, and a setter rewrites one line or one token of it.
//!
//! [`SessionDescription::parse`] is linear, does not recurse and is capped by [`Limits`]. It fails only where nobody
//! could go on (see [`ParseFault`]); an attribute that cannot be read is kept as text and refused when somebody asks for
//! its typed form. Text given to a setter can never become a line of its own: CR, LF and NUL in it become spaces.
//!
//! ```
//! use sallyport_sdp::{SessionDescription, Protocol};
//! let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=x-kept: as  is\r\n";
//! let mut description = SessionDescription::parse(text)?;
//! description.media_mut()[0].set_protocol(Protocol::RtpSavp);
//! assert_eq!(description.to_string(), text.replace("RTP/AVP", "RTP/SAVP"));
//! # Ok::<(), sallyport_sdp::ParseError>(())
//! ```

mod address;
mod attribute;
mod description;
mod direction;
mod effective;
mod error;
mod level;
mod limits;
mod line;
mod media;
pub mod name;
mod order;
mod origin;
mod parse;
mod protocol;
mod transport;

pub use address::NetworkAddress;
pub use attribute::{
    Attribute, AttributeError, AttributeFault, Candidate, CandidateKind, Crypto, Extmap, FingerprintText, Fmtp, Group,
    IceOptions, IcePwd, IceUfrag, Label, Maxptime, Mid, Ptime, Rtcp, RtcpFb, Rtpmap, Setup, Ssrc, SsrcGroup, TlsId,
    ZrtpHash,
};
pub use description::SessionDescription;
pub use direction::Direction;
pub use effective::Effective;
pub use error::{ParseError, ParseFault};
pub use level::{AttributeLine, Level};
pub use limits::Limits;
pub use media::MediaSection;
pub use origin::Origin;
pub use protocol::Protocol;
pub use transport::TransportLines;
