//! The lines that tell a peer where and how to reach us.

use crate::{
    Candidate, Crypto, Direction, FingerprintText, IceOptions, IcePwd, IceUfrag, MediaSection, Rtcp, Setup, TlsId, name,
};

/// The lines that tell a peer where and how to reach us: everything that is ours and not the other party's.
#[derive(Clone, Default)]
pub struct TransportLines {
    /// `None` leaves the received one where it is.
    pub direction: Option<Direction>,
    /// a=rtcp
    pub rtcp: Option<Rtcp>,
    /// a=rtcp-mux
    pub rtcp_mux: bool,
    /// a=rtcp-mux-only
    pub rtcp_mux_only: bool,
    /// a=crypto
    pub crypto: Vec<Crypto>,
    /// a=setup
    pub setup: Option<Setup>,
    /// a=fingerprint
    pub fingerprints: Vec<FingerprintText>,
    /// a=tls-id
    pub tls_id: Option<TlsId>,
    /// a=ice-ufrag
    pub ice_ufrag: Option<IceUfrag>,
    /// a=ice-pwd
    pub ice_pwd: Option<IcePwd>,
    /// a=ice-options
    pub ice_options: Option<IceOptions>,
    /// a=candidate
    pub candidates: Vec<Candidate>,
    /// a=end-of-candidates
    pub end_of_candidates: bool,
}

impl TransportLines {
    /// The attributes that [`MediaSection::replace_transport`] takes out of a section: all that it may write, and those
    /// that mean nothing beside ours.
    pub const NAMES: [&'static str; 18] = [
        name::RTCP,
        name::RTCP_MUX,
        name::RTCP_MUX_ONLY,
        name::CRYPTO,
        name::SETUP,
        name::CONNECTION,
        name::FINGERPRINT,
        name::TLS_ID,
        "dtls-id",
        name::ICE_UFRAG,
        name::ICE_PWD,
        name::ICE_OPTIONS,
        name::ICE_LITE,
        name::ICE_PACING,
        name::ICE_MISMATCH,
        name::CANDIDATE,
        name::REMOTE_CANDIDATES,
        name::END_OF_CANDIDATES,
    ];
}

impl MediaSection {
    /// Removes the received transport lines and writes these, behind what was received and in
    /// [the order of what we write](crate::Level::insert).
    pub fn replace_transport(&mut self, lines: &TransportLines) {
        self.remove_any(&TransportLines::NAMES);
        if let Some(direction) = lines.direction {
            self.remove_direction();
            self.set_direction(direction);
        }
        lines.rtcp.iter().for_each(|rtcp| self.add(rtcp));
        self.insert_flag(name::RTCP_MUX, lines.rtcp_mux);
        self.insert_flag(name::RTCP_MUX_ONLY, lines.rtcp_mux_only);
        lines.crypto.iter().for_each(|crypto| self.add(crypto));
        lines.setup.iter().for_each(|setup| self.add(setup));
        lines.fingerprints.iter().for_each(|fingerprint| self.add(fingerprint));
        lines.tls_id.iter().for_each(|tls_id| self.add(tls_id));
        lines.ice_ufrag.iter().for_each(|ufrag| self.add(ufrag));
        lines.ice_pwd.iter().for_each(|pwd| self.add(pwd));
        lines.ice_options.iter().for_each(|options| self.add(options));
        lines.candidates.iter().for_each(|candidate| self.add(candidate));
        self.insert_flag(name::END_OF_CANDIDATES, lines.end_of_candidates);
    }

    fn insert_flag(&mut self, name: &str, wanted: bool) {
        if wanted {
            self.insert(name, "");
        }
    }
}
