//! Writes the description that goes to a leg: the other party's words, with our addresses, keys and transports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use control::{Credentials, Fingerprint};
use sdp::{
    Candidate, Crypto, Direction, FingerprintText, Group, IceOptions, IcePwd, IceUfrag, MediaSection, NetworkAddress,
    Origin, Protocol, Rtcp, SessionDescription, Setup, TlsId, TransportLines, name,
};
use srtp::sdes::CryptoAttribute;

use crate::carried::Carried;
use crate::leg::{AgreedKeying, Exchange, Leg, LocalOrigin, MuxOffer, Negotiated, ProposedKeying, digest};
use crate::negotiate::keying::{line, setup_of};
use crate::negotiate::offer::makes_bundle;
use crate::negotiate::{Desk, Work, WorkKind};
use crate::peer::static_codec;
use crate::{MediaProfile, Options, Refusal, edits};

/// Attributes that carry keys or promises past us: capability negotiation (RFC 5939) may hold `crypto` lines of the other
/// party, and ZRTP is not passed through.
const NOT_PASSED: [&str; 12] =
    ["acap", "tcap", "pcfg", "acfg", "csup", "creq", "mcap", "rmcap", "sescap", "key-mgmt", "zrtp-hash", "encryption"];

/// Binds a ZRTP association to signalling (RFC 6189 §8.1): a promise of the parties, that holds where nobody ends it.
const ZRTP_HASH: &str = "zrtp-hash";

/// Priority of a host candidate on the only address, RTP (RFC 8445 §5.1.2.1); RTCP has one less.
const PRIORITY: u32 = 2_130_706_431;

/// Session attribute by which we know our own text again (`loop-protect`).
const LOOP_ATTRIBUTE: &str = "x-sallyport";

/// A section as it is to be written.
enum Outgoing {
    Rejected(Option<String>),
    Live(Box<Live>),
}

struct Live {
    carried: Carried,
    rtp: SocketAddr,
    rtcp: Option<SocketAddr>,
    mux: bool,
    crypto: Vec<CryptoAttribute>,
    dtls: Option<(Setup, Option<String>)>,
    ice: Option<Credentials>,
    mid: Option<String>,
    zero_address: bool,
    /// The potential configuration that is answered (RFC 5939).
    configuration: Option<String>,
    /// How the parties key each other: the other one's own words.
    passed: Option<Passed>,
}

/// What goes through untouched (RFC 7879 §3.1.1).
#[derive(Default)]
struct Passed {
    crypto: Vec<Crypto>,
    setup: Option<Setup>,
    fingerprints: Vec<FingerprintText>,
    tls_id: Option<String>,
    zrtp_hashes: Vec<String>,
}

/// The text for the party at the other end of this exchange.
pub(crate) fn write(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    work: &Work,
    instance: &str,
) -> Result<Vec<u8>, Refusal> {
    let lost = || Refusal::NotRewritable("the exchange is gone".to_owned());
    let exchange = match work.kind {
        WorkKind::Subscription | WorkKind::SubscriptionAnswer => crate::subscribe::exchange(negotiated, desk, work.to),
        WorkKind::Offer | WorkKind::Answer | WorkKind::Echo | WorkKind::EchoOffer | WorkKind::EchoAnswer => {
            negotiated.dialogs.get(work.dialog).and_then(|dialog| dialog.exchange.clone())
        }
    };
    let exchange = exchange.ok_or_else(lost)?;
    let (outgoing, bundle) = match work.kind {
        WorkKind::Offer | WorkKind::EchoOffer | WorkKind::Subscription => {
            (proposed(negotiated, work.to, &exchange), proposed_bundle(negotiated, work.to, &exchange))
        }
        WorkKind::Answer | WorkKind::Echo | WorkKind::EchoAnswer | WorkKind::SubscriptionAnswer => {
            let outgoing = agreed(negotiated, desk, work, &exchange);
            (outgoing, answered_bundle(negotiated, work.to, &exchange))
        }
    };
    let mut description = work.description.clone();
    let mut outgoing = outgoing;
    for (outgoing, effective) in outgoing.iter_mut().zip(description.effective_media()) {
        if let Outgoing::Live(live) = outgoing
            && live.passed.is_some()
        {
            live.passed = Some(Passed {
                crypto: effective.media().all().collect(),
                setup: effective.setup(),
                fingerprints: effective.fingerprints().map(|text| FingerprintText(text.to_owned())).collect(),
                tls_id: effective.tls_id().map(str::to_owned),
                zrtp_hashes: effective.media().find_all(ZRTP_HASH).map(str::to_owned).collect(),
            });
        }
    }
    write_session(&mut description, &outgoing, &bundle, &work.options, instance);
    let session_direction = description.session().direction();
    for (index, outgoing) in outgoing.iter().enumerate() {
        let Some(section) = description.media_mut().get_mut(index) else { continue };
        let offered = exchange.offer.sections.get(index);
        let public = negotiated.legs.get(work.to).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |leg| leg.public);
        match outgoing {
            Outgoing::Rejected(mid) => {
                let answers = matches!(work.kind, WorkKind::Answer | WorkKind::Echo);
                let protocol = offered.filter(|_| answers).map(|offered| &offered.protocol);
                write_rejected(section, public, protocol.map(String::as_str), mid.as_deref());
            }
            Outgoing::Live(live) => {
                let direction = section.direction().or(session_direction).unwrap_or_default();
                write_live(section, live, direction, &desk.config.fingerprints, &work.options);
                if live.carried.profile().is_some() {
                    edits::codecs(section, &work.options, work.kind, offered);
                }
            }
        }
    }
    if !work.options.flags.original_sendrecv {
        description.session_mut().remove_direction();
    }
    edits::header_extensions(&mut description, &work.options);
    edits::attributes(&mut description, &work.options);
    let leg = negotiated.legs.get_mut(work.to).ok_or_else(lost)?;
    leg.layout.unfold(&mut description, leg.public);
    write_origin(&mut description, leg, desk, &work.options);
    Ok(description.to_string().into_bytes())
}

/// Whether this text has come from us, with `loop-protect`.
pub(crate) fn is_own(description: &SessionDescription, instance: &str) -> bool {
    description.session().find_all(LOOP_ATTRIBUTE).any(|value| value == instance)
}

fn proposed(negotiated: &Negotiated, to: usize, exchange: &Exchange) -> Vec<Outgoing> {
    let Some(leg) = negotiated.legs.get(to) else { return Vec::new() };
    let section = |(index, offered): (usize, &crate::peer::PeerSection)| {
        let own = leg.section(index)?;
        let proposal = own.proposal.as_ref()?;
        let carrier = leg.section(proposal.carrier)?;
        let (rtp, rtcp) = public_ports(negotiated, leg, carrier.ports?)?;
        let dtls = proposal.keying.offers_dtls().then(|| (Setup::ActPass, carrier.tls_id.clone()));
        let crypto = proposal.keying.crypto().to_vec();
        Some(Outgoing::Live(Box::new(Live {
            carried: proposal.carried.clone(),
            rtp,
            rtcp: rtcp.filter(|_| proposal.mux != MuxOffer::Required),
            mux: proposal.mux != MuxOffer::No,
            crypto,
            dtls,
            ice: leg.credentials.clone().filter(|_| proposal.ice),
            mid: proposal.mid.clone(),
            zero_address: offered.zero_address,
            configuration: None,
            passed: matches!(proposal.keying, ProposedKeying::PassThrough).then(Passed::default),
        })))
    };
    let rejected = |index: usize| Outgoing::Rejected(exchange.offer.sections.get(index).and_then(|s| s.mid.clone()));
    let offered = exchange.offer.sections.iter().enumerate();
    offered.map(|(index, offered)| section((index, offered)).unwrap_or_else(|| rejected(index))).collect()
}

fn agreed(negotiated: &mut Negotiated, desk: &mut Desk<'_>, work: &Work, exchange: &Exchange) -> Vec<Outgoing> {
    let mut all = Vec::new();
    for (index, offered) in exchange.offer.sections.iter().enumerate() {
        let live = agreed_section(negotiated, desk, work, index, offered.mid.clone());
        all.push(live.map_or_else(|| Outgoing::Rejected(offered.mid.clone()), |live| Outgoing::Live(Box::new(live))));
    }
    all
}

fn agreed_section(
    negotiated: &mut Negotiated,
    desk: &mut Desk<'_>,
    work: &Work,
    index: usize,
    mid: Option<String>,
) -> Option<Live> {
    // A hold of old is the other party's, and of an echo there is none.
    let zero_address = work.from != work.to && negotiated.legs.get(work.from)?.agreed(index)?.peer.zero_address;
    let agreed = negotiated.legs.get(work.to)?.agreed(index)?.clone();
    let carrier = negotiated.legs.get_mut(work.to)?.sections.get_mut(agreed.carrier)?;
    if matches!(agreed.keying, AgreedKeying::Dtls { .. }) {
        carrier.tls_id.get_or_insert_with(|| desk.secrets.tls_id());
    }
    let tls_id = carrier.tls_id.clone();
    let leg = negotiated.legs.get(work.to)?;
    let (rtp, rtcp) = public_ports(negotiated, leg, leg.section(agreed.carrier)?.ports?)?;
    let section = negotiated.legs.get_mut(work.to)?.sections.get_mut(index)?;
    let (crypto, dtls) = match &agreed.keying {
        AgreedKeying::Plain | AgreedKeying::PassThrough => (Vec::new(), None),
        AgreedKeying::Sdes { tag, keys } => {
            let profile = keys.outbound.0.profile;
            let mut own = line(section, desk.secrets, *tag, profile, work.options.sdes.lifetime);
            let offered = agreed.peer.crypto.iter().find(|line| line.tag == *tag && line.profile == profile);
            own.legacy_name = offered.is_some_and(|line| line.legacy_name);
            own.params.unencrypted_srtp = !keys.outbound.0.encrypt_rtp;
            own.params.unencrypted_srtcp = !keys.outbound.0.encrypt_rtcp;
            (vec![own], None)
        }
        AgreedKeying::Dtls { role, .. } => (Vec::new(), Some((setup_of(*role), tls_id))),
    };
    let passed = matches!(agreed.keying, AgreedKeying::PassThrough).then(Passed::default);
    let (carried, mux, ice) = (agreed.carried, agreed.mux, agreed.ice);
    let configuration = agreed.peer.configuration.map(|(chosen, _)| chosen);
    let rtcp = rtcp.filter(|_| !mux);
    Some(Live { carried, rtp, rtcp, mux, crypto, dtls, ice, mid, zero_address, configuration, passed })
}

/// RTP and RTCP as the peer is to see them.
fn public_ports(
    negotiated: &Negotiated,
    leg: &Leg,
    ports: crate::leg::Ports,
) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let public = |id| negotiated.local(id).map(|local| SocketAddr::new(leg.public, local.port()));
    Some((public(ports.rtp)?, ports.rtcp.and_then(public)))
}

/// mids of the bundle that we offer.
fn proposed_bundle(negotiated: &Negotiated, to: usize, exchange: &Exchange) -> Vec<String> {
    let Some(leg) = negotiated.legs.get(to) else { return Vec::new() };
    let members = match makes_bundle(&exchange.offer, &exchange.options) {
        true => (0..exchange.offer.sections.len()).collect(),
        false => exchange.offer.bundle.clone(),
    };
    let proposals = members.into_iter().filter_map(|index| leg.section(index)?.proposal.as_ref());
    let can = proposals.filter(|proposal| {
        proposal.carried.profile().is_some_and(MediaProfile::is_dtls)
            && proposal.ice
            && proposal.mux != MuxOffer::No
            && proposal.mid.is_some()
    });
    can.filter_map(|proposal| proposal.mid.clone()).collect()
}

/// mids of the bundle that we accept: those that share the offerer's first transport.
fn answered_bundle(negotiated: &Negotiated, to: usize, exchange: &Exchange) -> Vec<String> {
    let Some(leg) = negotiated.legs.get(to) else { return Vec::new() };
    let accepted = || exchange.offer.bundle.iter().filter(|&&index| leg.agreed(index).is_some());
    let carrier = accepted().next().and_then(|&first| exchange.carriers.get(first));
    let together = accepted().filter(|&&index| exchange.carriers.get(index) == carrier);
    let mux = |index: usize| leg.agreed(index).is_some_and(|agreed| agreed.mux);
    together.filter(|&&index| mux(index)).filter_map(|&index| exchange.offer.sections.get(index)?.mid.clone()).collect()
}

fn write_session(
    description: &mut SessionDescription,
    outgoing: &[Outgoing],
    bundle: &[String],
    options: &Options,
    instance: &str,
) {
    description.remove_connection();
    let session = description.session_mut();
    session.remove_any(&TransportLines::NAMES);
    session.remove_any(&NOT_PASSED);
    session.remove_all(LOOP_ATTRIBUTE);
    let wanted = Group { semantics: "BUNDLE".to_owned(), tags: bundle.to_vec() };
    let stands = !bundle.is_empty() && session.all::<Group>().filter(Group::is_bundle).eq([wanted.clone()]);
    if !stands {
        session.retain_attributes(|line| {
            let value = line.value.unwrap_or("").trim_start();
            let is_bundle = value.split_ascii_whitespace().next().is_some_and(|s| s.eq_ignore_ascii_case("BUNDLE"));
            !(line.is(name::GROUP) && is_bundle)
        });
        if !bundle.is_empty() {
            session.add(&wanted);
        }
    }
    let has_ice = |section: &Outgoing| matches!(section, Outgoing::Live(live) if live.ice.is_some());
    if outgoing.iter().any(has_ice) {
        session.insert(name::ICE_LITE, "");
    }
    if options.flags.loop_protect {
        session.insert(LOOP_ATTRIBUTE, instance);
    }
    if options.replace.session_name {
        description.set_session_name("-");
    }
}

pub(crate) fn write_rejected(section: &mut MediaSection, public: IpAddr, protocol: Option<&str>, mid: Option<&str>) {
    section.set_port(0);
    section.set_port_count(None);
    if let Some(protocol) = protocol {
        section.set_protocol(Protocol::parse(protocol));
    }
    section.set_connection(&NetworkAddress::from(public));
    section.remove_any(&TransportLines::NAMES);
    section.remove_any(&NOT_PASSED);
    section.remove_all(name::BUNDLE_ONLY);
    write_mid(section, mid);
}

fn write_mid(section: &mut MediaSection, mid: Option<&str>) {
    match mid {
        Some(mid) if section.find(name::MID) == Some(mid) => {}
        Some(mid) => section.replace(name::MID, mid),
        None => {
            section.remove_all(name::MID);
        }
    }
}

fn write_live(
    section: &mut MediaSection,
    live: &Live,
    direction: Direction,
    fingerprints: &[Fingerprint],
    options: &Options,
) {
    section.set_port(live.rtp.port());
    section.set_port_count(None);
    section.set_protocol(Protocol::parse(live.carried.name()));
    let held = live.zero_address && !options.replace.zero_address;
    let address = match live.rtp.ip() {
        IpAddr::V4(_) if held => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) if held => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        address => address,
    };
    section.set_connection(&NetworkAddress::from(address));
    section.remove_any(&NOT_PASSED);
    section.remove_all(name::BUNDLE_ONLY);
    write_mid(section, live.mid.as_deref());
    let is_rtp = live.carried.profile().is_some();
    if is_rtp {
        add_static_rtpmaps(section);
    }
    if !live.carried.has_feedback() {
        section.remove_any(&[name::RTCP_FB, name::RTCP_RSIZE]);
    }
    let rtcp = live.rtcp.or(Some(live.rtp).filter(|_| live.mux)).filter(|_| is_rtp);
    let fingerprint = |hash| fingerprints.iter().find(|own| Some(own.hash()) == hash).or(fingerprints.first());
    let (setup, tls_id) = live.dtls.clone().map_or((None, None), |(setup, tls_id)| (Some(setup), tls_id));
    let candidates = live.ice.iter().flat_map(|_| candidates(live));
    let own_fingerprint = setup.and_then(|_| fingerprint(options.dtls_fingerprint));
    let own_crypto = live.crypto.iter().filter_map(|line| sdp::Attribute::parse(&line.to_string()).ok());
    let own = Passed {
        crypto: own_crypto.collect(),
        setup,
        fingerprints: own_fingerprint.map(|own| FingerprintText(own.to_string())).into_iter().collect(),
        tls_id: tls_id.filter(|_| !options.flags.no_tls_id),
        zrtp_hashes: Vec::new(),
    };
    let keys = live.passed.as_ref().unwrap_or(&own);
    section.replace_transport(&TransportLines {
        direction: (!options.flags.original_sendrecv).then_some(direction),
        rtcp: rtcp.filter(|_| !options.flags.no_rtcp_attribute).map(Rtcp::from),
        rtcp_mux: live.mux,
        rtcp_mux_only: false,
        crypto: keys.crypto.clone(),
        setup: keys.setup,
        fingerprints: keys.fingerprints.clone(),
        tls_id: keys.tls_id.clone().map(TlsId),
        ice_ufrag: live.ice.as_ref().map(|own| IceUfrag(own.ufrag.clone())),
        ice_pwd: live.ice.as_ref().map(|own| IcePwd(own.pwd.clone())),
        ice_options: live
            .ice
            .as_ref()
            .filter(|_| options.flags.trickle_ice)
            .map(|_| IceOptions(vec!["trickle".to_owned()])),
        candidates: candidates.collect(),
        end_of_candidates: live.ice.is_some(),
    });
    for hash in &keys.zrtp_hashes {
        section.insert(ZRTP_HASH, hash);
    }
    write_configuration(section, live);
}

/// RFC 5939 §3.6.3: the answer names the configuration that it is of.
fn write_configuration(section: &mut MediaSection, live: &Live) {
    if let Some(configuration) = &live.configuration {
        section.insert(name::ACFG, configuration);
    }
}

fn candidates(live: &Live) -> Vec<Candidate> {
    let rtp = Candidate::host("1", 1, PRIORITY, live.rtp);
    let rtcp = live.rtcp.map(|rtcp| Candidate::host("1", 2, PRIORITY - 1, rtcp));
    [Some(rtp), rtcp].into_iter().flatten().collect()
}

/// `a=rtpmap` of static payload types is added where it is missing.
fn add_static_rtpmaps(section: &mut MediaSection) {
    let known: Vec<u8> = section.all::<sdp::Rtpmap>().map(|map| map.payload_type).collect();
    let missing: Vec<(u8, &str)> = section
        .payload_types()
        .filter(|payload_type| !known.contains(payload_type))
        .filter_map(|payload_type| Some((payload_type, static_codec(payload_type)?)))
        .collect();
    for (payload_type, codec) in missing {
        section.insert(name::RTPMAP, &format!("{payload_type} {codec}"));
    }
}

/// The version grows by one when the text has changed, and only then (RFC 3264 §8).
fn write_origin(description: &mut SessionDescription, leg: &mut Leg, desk: &mut Desk<'_>, options: &Options) {
    let received = description.origin().clone();
    let mut origin = match &leg.origin {
        Some(own) => own.origin.clone(),
        None => {
            let mut origin = received.clone();
            if options.replace.origin_full {
                origin.session_id = desk.secrets.session_id().to_string();
            }
            if options.replace.username || options.replace.origin_full {
                "-".clone_into(&mut origin.username);
            }
            origin
        }
    };
    if options.replace.origin || options.replace.origin_full {
        origin.address = NetworkAddress::from(leg.public);
    }
    let first = received.session_version_number().unwrap_or(1);
    "0".clone_into(&mut origin.session_version);
    description.set_origin(origin.clone());
    let digest = digest(description.to_string().as_bytes());
    let version = match &leg.origin {
        Some(own) if own.digest == digest && !options.replace.force_increment => own.version,
        Some(own) => own.version.wrapping_add(1),
        None => first,
    };
    description.set_origin(Origin { session_version: version.to_string(), ..origin.clone() });
    leg.origin = Some(LocalOrigin { origin, version, digest });
}
