//! What is refused, with the reason, and what is taken without effect.

pub(super) const TRANSCODES: &str = "this relay does not transcode";
pub(super) const RECORDS: &str = "this relay does not record";
pub(super) const PLAYS: &str = "this relay does not play media";
pub(super) const EDITS: &str = "this relay has no such edit of the description";
const FORKS: &str = "this relay does not fork media on an offer";
pub(super) const DTMF: &str = "this relay can only drop telephone events";
const LENGTHS: &str = "this relay does not judge packets by their length";

/// Flags that ask for what changes a call and is not there: the flag, why.
pub(super) const UNSUPPORTED_FLAGS: [(&str, &str); 17] = [
    ("always-transcode", TRANSCODES),
    ("force-transcoding", TRANSCODES),
    ("inject-DTMF", PLAYS),
    ("detect-DTMF", PLAYS),
    ("block-short", LENGTHS),
    ("block-short-packets", LENGTHS),
    ("audio-player", PLAYS),
    ("generate-RTCP", "this relay passes RTCP on"),
    ("mirror-RTCP", FORKS),
    ("RTCP-mirror", FORKS),
    ("mix", "this relay does not mix"),
    ("record-call", RECORDS),
    ("start-recording", RECORDS),
    ("media-echo", PLAYS),
    ("block-media", "use the command block media"),
    ("silence-media", "use the command silence media"),
    ("block-egress", "use the command block media"),
];

/// Flags that name what is so anyway, or what matters only for things that are not there.
pub(super) const FLAGS_WITHOUT_EFFECT: [&str; 35] = [
    "allow-asymmetric-codecs",
    "allow-no-codec-media",
    "allow-transcoding",
    "asymmetric-codecs",
    "bidirectional",
    "debug",
    "debugging",
    "directional",
    "discard-recording",
    "discard-recording-db",
    "early-media",
    "egress",
    "exclude-recording",
    "exclude-recording-db",
    "full-rtcp-attribute",
    "inactive",
    "new-branch",
    "no-codec-renegotiation",
    "no-jitter-buffer",
    "no-player",
    "no-port-latching",
    "no-redis-update",
    "pad-crypto",
    "port-latching",
    "provisional",
    "recrypt",
    "reuse-codecs",
    "skip-recording-db",
    "static-codecs",
    "symmetric",
    "symmetric-codecs",
    "trust-address",
    "unidirectional",
    "unsubscribe",
    "force",
];

/// Flags without effect that every SBC's configuration has: nobody needs to be told.
pub(super) const QUIET_FLAGS: [&str; 2] = ["trust-address", "symmetric"];

/// Keys that matter to no call that this relay can make.
pub(super) const KEYS_WITHOUT_EFFECT: [&str; 17] = [
    "SIP-message-type",
    "sip-message-type",
    "SIP-code",
    "sip-code",
    "sip-response-code",
    "instance",
    "metadata",
    "output-destination",
    "recording-dir",
    "recording-file",
    "recording-path",
    "recording-pattern",
    "recording-vsc",
    "xmlrpc-callback",
    "T38-version",
    "volume",
    "all",
];
