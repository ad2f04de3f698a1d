//! Fuzz targets: plain functions of bytes that panic where something is wrong.
//!
//! Each is fuzzed by the binary of this package (`cargo xtask fuzz TARGET`), and its corpus (`corpus/TARGET/`) is replayed by
//! a test on any toolchain. An input that found a bug goes into the corpus.

mod cms_target;
mod media_target;
mod targets;

/// A target with its name, which is the name of its corpus.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "sdp", run: targets::sdp },
    Target { name: "bencode", run: targets::bencode },
    Target { name: "ng", run: targets::ng },
    Target { name: "control", run: targets::control },
    Target { name: "stun", run: targets::stun },
    Target { name: "rtp", run: targets::rtp },
    Target { name: "rtcp", run: targets::rtcp },
    Target { name: "sdes", run: targets::sdes },
    Target { name: "dtls", run: targets::dtls },
    Target { name: "sip", run: sip::fuzz::message },
    Target { name: "sip_stream", run: sip::fuzz::stream },
    Target { name: "sip_digest", run: sip::fuzz::digest },
    Target { name: "sip_websocket", run: sip_transport::fuzz::websocket },
    Target { name: "cms", run: cms_target::run },
    Target { name: "media", run: media_target::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
