//! What a peer's description says, section by section.

use std::net::{IpAddr, SocketAddr};

use control::{Credentials, Fingerprint};
use sdp::{AttributeFault, Candidate, Direction, Effective, Group, Rtcp, SessionDescription, Setup, Ssrc, name};
use srtp::sdes::{CryptoAttribute, Tolerance};

use crate::capability;
use crate::carried::Carried;
use crate::negotiate::keying;
use crate::{Defaults, MediaProfile, OpportunisticForm, Refusal};

/// SSRCs of one section that are kept to tell bundled sections apart.
const MAX_SSRCS: usize = 64;
/// Candidates of one component that are kept for diagnosis.
pub(crate) const MAX_CANDIDATES: usize = 16;
/// Formats and lines about them that are kept of one section.
const MAX_FORMAT_LINES: usize = 64;
/// The header extension that carries the MID (RFC 9143 §15.2).
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// A description as its author sees it.
#[derive(Clone, PartialEq)]
pub(crate) struct PeerDescription {
    pub(crate) sections: Vec<PeerSection>,
    /// Sections of the BUNDLE group, in its order.
    pub(crate) bundle: Vec<usize>,
}

/// One `m=` section.
#[derive(Clone, PartialEq)]
pub(crate) struct PeerSection {
    pub(crate) kind: String,
    /// As written.
    pub(crate) protocol: String,
    /// Or why it is not relayed.
    pub(crate) carried: Result<Carried, &'static str>,
    /// How it offers security, where it does not insist on it and we take it.
    pub(crate) opportunistic: Option<OpportunisticForm>,
    /// The potential configuration that is in force: what the answer says of it, and the profile beside it.
    pub(crate) configuration: Option<(String, MediaProfile)>,
    pub(crate) line: usize,
    /// Port 0 outside of a bundle.
    pub(crate) rejected: bool,
    pub(crate) rtp: Option<SocketAddr>,
    pub(crate) rtcp: Option<SocketAddr>,
    /// `c=0.0.0.0`: the hold of RFC 2543.
    pub(crate) zero_address: bool,
    pub(crate) ipv6: bool,
    pub(crate) direction: Direction,
    pub(crate) mux: bool,
    pub(crate) crypto: Vec<CryptoAttribute>,
    /// Why crypto lines were passed over.
    pub(crate) crypto_faults: Vec<String>,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) setup: Option<Setup>,
    pub(crate) tls_id: Option<String>,
    pub(crate) ice: Option<PeerIce>,
    pub(crate) mid: Option<String>,
    pub(crate) mid_extension: Option<u8>,
    pub(crate) ssrcs: Vec<u32>,
    pub(crate) payload_types: Vec<u8>,
    /// The formats of the `m=` line, and the lines that say what they are: for those who subscribe to this party.
    pub(crate) formats: Vec<String>,
    pub(crate) format_lines: Vec<String>,
    pub(crate) codec: Option<String>,
    /// What the payload types mean.
    pub(crate) codecs: Vec<PeerCodec>,
}

/// What a payload type means.
#[derive(Clone, PartialEq)]
pub(crate) struct PeerCodec {
    pub(crate) payload_type: u8,
    /// As in `a=rtpmap`.
    pub(crate) name: String,
    /// Hz
    pub(crate) clock_rate: u32,
}

/// ICE of one section.
#[derive(Clone, PartialEq)]
pub(crate) struct PeerIce {
    pub(crate) credentials: Credentials,
    pub(crate) lite: bool,
    pub(crate) rtp_candidates: Vec<SocketAddr>,
    pub(crate) rtcp_candidates: Vec<SocketAddr>,
}

/// How to read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// `SIP-source-address`: takes the place of the addresses in the description.
    pub(crate) source: Option<IpAddr>,
    /// Which key lines may be used.
    pub(crate) defaults: &'a Defaults,
    pub(crate) max_sections: usize,
    /// It is an offer, which may have potential configurations.
    pub(crate) is_offer: bool,
}

impl PeerDescription {
    /// Fails only on what makes the whole description useless; the rest is told in `warnings`.
    pub(crate) fn read(
        description: &SessionDescription,
        reading: Reading<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Refusal> {
        if description.media().is_empty() {
            return Err(Refusal::Incomplete("no m= line".to_owned()));
        }
        if description.media().len() > reading.max_sections {
            return Err(Refusal::Incomplete(format!("more than {} m= lines", reading.max_sections)));
        }
        let mut sections = Vec::new();
        for effective in description.effective_media() {
            sections.push(PeerSection::read(&effective, reading, warnings)?);
        }
        let bundle = bundle_of(description, &sections);
        Ok(Self { sections, bundle })
    }
}

fn bundle_of(description: &SessionDescription, sections: &[PeerSection]) -> Vec<usize> {
    let group = description.session().all::<Group>().find(Group::is_bundle);
    let tags = group.map(|group| group.tags).unwrap_or_default();
    let mut bundle: Vec<usize> = Vec::new();
    for tag in tags {
        let index = sections.iter().position(|section| section.mid.as_deref() == Some(tag.as_str()));
        bundle.extend(index.filter(|index| !bundle.contains(index)));
    }
    bundle
}

impl PeerSection {
    fn read(effective: &Effective<'_>, reading: Reading<'_>, warnings: &mut Vec<String>) -> Result<Self, Refusal> {
        let media = effective.media();
        let line = media.line().unwrap_or(0);
        let connection = effective.connection();
        let ice = read_ice(effective, line, warnings);
        // With ICE it is no hold but what an offer says before there are candidates (RFC 8840 §4.1.1).
        let zero_address = ice.is_none() && connection.as_ref().is_some_and(|connection| connection.is_unspecified());
        let names_no_ip = connection.as_ref().is_some_and(|connection| connection.ip().is_none());
        let ipv6 = connection.as_ref().is_some_and(|connection| connection.addr_type.eq_ignore_ascii_case("IP6"));
        let rejected = media.port() == 0 && !media.has(name::BUNDLE_ONLY);
        if connection.is_none() && !rejected {
            return Err(Refusal::Incomplete(format!("line {line}: m= section without c= line")));
        }
        let signalled = connection.and_then(|connection| connection.ip()).filter(|ip| !ip.is_unspecified());
        if names_no_ip && !rejected {
            warnings.push(format!("line {line}: c= names no IP address"));
        }
        let ip = signalled.map(|ip| reading.source.unwrap_or(ip));
        let rtp = ip.filter(|_| media.port() != 0).map(|ip| SocketAddr::new(ip, media.port()));
        let rtcp = rtcp_address(effective, rtp, reading.source, warnings);
        let (crypto, crypto_faults) = read_crypto(effective.find_all(name::CRYPTO), reading.defaults);
        if !crypto.is_empty() && !media.has(name::CRYPTO) {
            // RFC 4568 §5 has it at media level alone. Every section is keyed by it then.
            warnings.push(format!("line {line}: a=crypto of the session level is used"));
        }
        warnings.extend(crypto_faults.iter().map(|fault| format!("line {line}: {fault}")));
        let codecs = read_codecs(effective);
        let mids = effective.extmaps().find(|extmap| extmap.uri == MID_EXTENSION);
        let mut section = Self {
            kind: media.media_type().to_owned(),
            protocol: media.protocol().name().to_owned(),
            carried: Carried::read(media.protocol()),
            opportunistic: None,
            configuration: None,
            line,
            rejected,
            rtp,
            rtcp,
            zero_address,
            ipv6,
            direction: effective.direction(),
            mux: media.has(name::RTCP_MUX) || media.has(name::RTCP_MUX_ONLY),
            crypto,
            crypto_faults,
            fingerprints: read_fingerprints(effective.fingerprints(), line, warnings),
            setup: effective.setup(),
            tls_id: effective.tls_id().map(str::to_owned),
            ice,
            mid: media.find(name::MID).map(str::to_owned),
            mid_extension: mids.and_then(|extmap| u8::try_from(extmap.id).ok()),
            ssrcs: distinct_ssrcs(effective),
            payload_types: media.payload_types().collect(),
            formats: media.formats().map(str::to_owned).take(MAX_FORMAT_LINES).collect(),
            format_lines: format_lines(media),
            codec: effective.media().payload_types().next().and_then(|first| {
                codecs.iter().find(|codec| codec.payload_type == first).map(|codec| codec.name.clone())
            }),
            codecs,
        };
        if reading.is_offer && !rejected {
            section.configure(effective, reading.defaults, warnings);
        }
        Ok(section)
    }

    /// Puts the first secure potential configuration in force that can be keyed (RFC 5939 §3.6.2). Without one the actual
    /// configuration holds.
    fn configure(&mut self, effective: &Effective<'_>, defaults: &Defaults, warnings: &mut Vec<String>) {
        let Some(actual) = self.profile().filter(|profile| !profile.is_secure()) else { return };
        for potential in capability::potential(effective) {
            let mut section = self.clone();
            section.carried = Ok(Carried::Rtp(potential.profile));
            let gone =
                |name| if effective.media().has(name) { potential.without_media } else { potential.without_session };
            let values = |name: &'static str| {
                let named = potential.attributes.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
                named.map(|&(_, value)| value.trim())
            };
            for (name, clear) in [
                (name::CRYPTO, PeerSection::clear_crypto as fn(&mut Self)),
                (name::FINGERPRINT, |section| section.fingerprints.clear()),
                (name::SETUP, |section| section.setup = None),
                (name::TLS_ID, |section| section.tls_id = None),
            ] {
                if gone(name) || values(name).next().is_some() {
                    clear(&mut section);
                }
            }
            let (crypto, faults) = read_crypto(values(name::CRYPTO), defaults);
            section.crypto.extend(crypto);
            section.crypto_faults.extend(faults);
            section.fingerprints.extend(read_fingerprints(values(name::FINGERPRINT), self.line, warnings));
            section.setup = values(name::SETUP).find_map(|value| sdp::Attribute::parse(value).ok()).or(section.setup);
            section.tls_id = values(name::TLS_ID).next().map(str::to_owned).or(section.tls_id);
            section.mux |= values(name::RTCP_MUX).next().is_some();
            match keying::wanted(&section, false) {
                Ok(_) => {
                    section.opportunistic = Some(OpportunisticForm::Capability);
                    section.configuration = Some((potential.chosen, actual));
                    *self = section;
                    return;
                }
                Err(cause) => warnings.push(format!("a=pcfg passed over: {cause}")),
            }
        }
    }

    fn clear_crypto(&mut self) {
        self.crypto.clear();
        self.crypto_faults.clear();
    }

    /// It has keys, usable or not.
    pub(crate) fn names_keys(&self) -> bool {
        !(self.crypto.is_empty() && self.crypto_faults.is_empty() && self.fingerprints.is_empty())
    }

    /// Under which its RTP comes. `None`: it is none.
    pub(crate) fn profile(&self) -> Option<MediaProfile> {
        self.carried.as_ref().ok()?.profile()
    }

    /// Two descriptions of the same transport: address and ports.
    pub(crate) fn same_address(&self, other: &Self) -> bool {
        self.rtp == other.rtp && self.rtcp == other.rtcp
    }
}

fn rtcp_address(
    effective: &Effective<'_>,
    rtp: Option<SocketAddr>,
    source: Option<IpAddr>,
    warnings: &mut Vec<String>,
) -> Option<SocketAddr> {
    let rtp = rtp?;
    match effective.media().try_all::<Rtcp>().next() {
        Some(Ok(rtcp)) => {
            let named = rtcp.address.as_ref().and_then(|address| address.ip()).filter(|ip| !ip.is_unspecified());
            Some(SocketAddr::new(source.or(named).unwrap_or(rtp.ip()), rtcp.port)).filter(|address| address.port() != 0)
        }
        Some(Err(error)) => {
            warnings.push(error.to_string());
            None
        }
        None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
    }
}

fn read_crypto<'a>(values: impl Iterator<Item = &'a str>, defaults: &Defaults) -> (Vec<CryptoAttribute>, Vec<String>) {
    let (mut usable, mut faults) = (Vec::new(), Vec::new());
    for value in values {
        match read_crypto_line(value, defaults) {
            Ok(attribute) => usable.push(attribute),
            Err(reason) => {
                let tag = value.split_ascii_whitespace().next().unwrap_or("").chars().take(9).collect::<String>();
                faults.push(format!("a=crypto:{tag} passed over: {reason}"));
            }
        }
    }
    (usable, faults)
}

/// A line that can be used and that the operator allows.
pub(crate) fn read_crypto_line(value: &str, defaults: &Defaults) -> Result<CryptoAttribute, String> {
    let tolerance = Tolerance {
        null_cipher: defaults.accept_null,
        unencrypted: defaults.accept_unencrypted,
        ..Tolerance::default()
    };
    let line = CryptoAttribute::parse_with(value, tolerance).map_err(|error| error.to_string())?;
    if !line.profile.is_null() && !defaults.sdes_accepted.contains(&line.profile) {
        return Err(format!("{} is not allowed here", line.profile.sdes_name()));
    }
    if !defaults.accept_mki && line.keys.iter().any(|key| !key.master.mki().is_empty()) {
        return Err("an MKI is not allowed here".to_owned());
    }
    Ok(line)
}

fn read_fingerprints<'a>(
    values: impl Iterator<Item = &'a str>,
    line: usize,
    warnings: &mut Vec<String>,
) -> Vec<Fingerprint> {
    let mut fingerprints = Vec::new();
    for text in values {
        match text.parse::<Fingerprint>() {
            Ok(fingerprint) => fingerprints.push(fingerprint),
            Err(error) => warnings.push(format!("line {line}: a=fingerprint passed over: {error}")),
        }
    }
    fingerprints
}

fn read_ice(effective: &Effective<'_>, line: usize, warnings: &mut Vec<String>) -> Option<PeerIce> {
    let (ufrag, pwd) = (effective.ice_ufrag()?, effective.ice_pwd().unwrap_or(""));
    let credentials = match Credentials::new(ufrag, pwd) {
        Ok(credentials) => credentials,
        Err(error) => {
            warnings.push(format!("line {line}: ICE passed over: {error}"));
            return None;
        }
    };
    let (mut rtp_candidates, mut rtcp_candidates) = (Vec::new(), Vec::new());
    for candidate in effective.media().try_all::<Candidate>() {
        match candidate {
            Ok(candidate) if candidate.is_udp() => {
                let list = if candidate.component == 1 { &mut rtp_candidates } else { &mut rtcp_candidates };
                list.extend(candidate.socket_addr().filter(|_| list.len() < MAX_CANDIDATES));
            }
            Ok(_) => {}
            Err(error) if error.fault == AttributeFault::Missing || error.fault == AttributeFault::NotInRange => {
                warnings.push(format!("line {line}: {error}"));
            }
            Err(_) => {}
        }
    }
    Some(PeerIce { credentials, lite: effective.is_ice_lite(), rtp_candidates, rtcp_candidates })
}

fn distinct_ssrcs(effective: &Effective<'_>) -> Vec<u32> {
    let mut ssrcs: Vec<u32> = Vec::new();
    for ssrc in effective.media().all::<Ssrc>() {
        if ssrcs.last() != Some(&ssrc.id) && !ssrcs.contains(&ssrc.id) && ssrcs.len() < MAX_SSRCS {
            ssrcs.push(ssrc.id);
        }
    }
    ssrcs
}

fn read_codecs(effective: &Effective<'_>) -> Vec<PeerCodec> {
    let maps: Vec<sdp::Rtpmap> = effective.media().all().collect();
    let codec = |payload_type: u8| {
        let (name, clock_rate) = match maps.iter().find(|map| map.payload_type == payload_type) {
            Some(map) => (map.encoding.clone(), map.clock_rate),
            None => {
                let (name, rate) = static_codec(payload_type)?.split_once('/')?;
                (name.to_owned(), rate.parse().ok()?)
            }
        };
        Some(PeerCodec { payload_type, name, clock_rate })
    };
    effective.media().payload_types().filter_map(codec).collect()
}

fn format_lines(media: &sdp::MediaSection) -> Vec<String> {
    let lines = [name::RTPMAP, name::FMTP, "ptime", "maxptime"];
    let of = |name: &'static str| media.find_all(name).map(move |value| format!("{name}:{value}"));
    lines.into_iter().flat_map(of).take(MAX_FORMAT_LINES).collect()
}

/// What a payload type without `a=rtpmap` means (RFC 3551 §6).
pub(crate) fn static_codec(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU/8000",
        3 => "GSM/8000",
        4 => "G723/8000",
        8 => "PCMA/8000",
        9 => "G722/8000",
        13 => "CN/8000",
        15 => "G728/8000",
        18 => "G729/8000",
        26 => "JPEG/90000",
        31 => "H261/90000",
        34 => "H263/90000",
        _ => return None,
    })
}
