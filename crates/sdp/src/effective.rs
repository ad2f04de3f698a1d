//! What holds for a section.

use std::net::IpAddr;

use crate::line::words;
use crate::{Direction, Extmap, Level, MediaSection, NetworkAddress, Setup, name};

/// What holds for a section: its own lines, else those of the session level.
#[derive(Clone, Copy, Debug)]
pub struct Effective<'a> {
    session: &'a Level,
    media: &'a MediaSection,
}

impl<'a> Effective<'a> {
    pub(crate) fn new(session: &'a Level, media: &'a MediaSection) -> Self {
        Self { session, media }
    }

    /// The section itself.
    pub fn media(&self) -> &'a MediaSection {
        self.media
    }

    /// The first value of this attribute, without blanks around it; empty for a flag.
    pub fn find(&self, name: &str) -> Option<&'a str> {
        self.media.find(name).or_else(|| self.session.find(name))
    }

    /// All values of this attribute in the section; if there are none, those of the session level.
    pub fn find_all(&self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let level: &'a Level = if self.media.has(name) { self.media } else { self.session };
        level.find_all(name)
    }

    /// All values of this attribute at both levels, those of the section first.
    pub fn lines(&self, name: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.media.find_all(name).chain(self.session.find_all(name))
    }

    /// RFC 8866 §5.7.
    pub fn connection(&self) -> Option<NetworkAddress> {
        self.media.connection().or_else(|| self.session.connection())
    }

    /// The address of the c= line that holds; `None` also for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.connection()?.ip()
    }

    /// `sendrecv` when neither level says anything (RFC 8866 §6.7).
    pub fn direction(&self) -> Direction {
        self.media.direction().or_else(|| self.session.direction()).unwrap_or_default()
    }

    /// Values of a=fingerprint. Those of a section replace those of the session level (RFC 8122 §5).
    pub fn fingerprints(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.find_all(name::FINGERPRINT)
    }

    /// RFC 4145 §4: at either level.
    pub fn setup(&self) -> Option<Setup> {
        self.media.first().or_else(|| self.session.first())
    }

    /// RFC 8842 §4.
    pub fn tls_id(&self) -> Option<&'a str> {
        self.find(name::TLS_ID)
    }

    /// RFC 8839 §5.4.
    pub fn ice_ufrag(&self) -> Option<&'a str> {
        self.find(name::ICE_UFRAG)
    }

    /// RFC 8839 §5.4.
    pub fn ice_pwd(&self) -> Option<&'a str> {
        self.find(name::ICE_PWD)
    }

    /// Words of a=ice-options (RFC 8839 §5.6).
    pub fn ice_options(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        words(self.find(name::ICE_OPTIONS).unwrap_or(""))
    }

    /// A session-level flag (RFC 8839 §5.3); at media level it is tolerated.
    pub fn is_ice_lite(&self) -> bool {
        self.session.has(name::ICE_LITE) || self.media.has(name::ICE_LITE)
    }

    /// Header extensions of the section and of the session level (RFC 8285 §5).
    pub fn extmaps(&self) -> impl Iterator<Item = Extmap> + use<'a> {
        self.media.all().chain(self.session.all())
    }
}
