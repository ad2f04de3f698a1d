//! Offer and answer (RFC 3264): from a request and the state before it to the state after it.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use control::{Fingerprint, Latching, OpenPort, WorkerId};
use sdp::{Effective, SessionDescription, name};

use crate::leg::{Leg, Negotiated, Ports, Transport};
use crate::peer::{self, PeerDescription, Reading};
use crate::ports::PortPool;
use crate::secrets::Secrets;
use crate::{
    AddressFamily, EndpointLearning, IceLite, IceOption, LedgerNote, Negotiation, Options, Refusal, SessionConfig,
};

pub(crate) mod answer;
pub(crate) mod keying;
pub(crate) mod offer;
pub(crate) mod offered;
pub(crate) mod parties;

/// What a negotiation works with, and what it leaves to be done.
pub(crate) struct Desk<'a> {
    pub(crate) config: &'a SessionConfig,
    pub(crate) secrets: &'a mut Secrets,
    pub(crate) pool: &'a mut PortPool,
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) worker: WorkerId,
    /// Ports that must be bound before the new state holds.
    pub(crate) wanted: Vec<OpenPort>,
    pub(crate) warnings: Vec<String>,
    /// For the ledger: leg and note.
    pub(crate) notes: Vec<(usize, LedgerNote)>,
}

/// A negotiation that only waits for its ports.
pub(crate) struct Work {
    pub(crate) kind: WorkKind,
    pub(crate) dialog: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) description: SessionDescription,
    pub(crate) options: Options,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkKind {
    Offer,
    Answer,
    /// An offer that is answered here.
    Echo,
    /// An offer of ours to a party that wants to hear itself.
    EchoOffer,
    /// Its answer: nobody is told of it.
    EchoAnswer,
    /// An offer of ours to a subscriber.
    Subscription,
    /// The subscriber's answer: nobody is told of it.
    SubscriptionAnswer,
}

impl Desk<'_> {
    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Reads a request's text.
    pub(crate) fn parse(negotiation: &Negotiation) -> Result<SessionDescription, Refusal> {
        SessionDescription::parse_bytes(&negotiation.sdp, &sdp::Limits::default())
            .map_err(|error| Refusal::Unreadable(error.to_string()))
    }

    /// Reads what a request's description, one m= line for each section, says.
    pub(crate) fn read(
        &mut self,
        description: &SessionDescription,
        negotiation: &Negotiation,
        options: &Options,
        is_offer: bool,
    ) -> Result<PeerDescription, Refusal> {
        let reading = Reading {
            source: negotiation.received_from.filter(|_| options.flags.sip_source_address),
            defaults: &self.config.defaults,
            max_sections: self.config.limits.sections,
            is_offer,
        };
        PeerDescription::read(description, reading, &mut self.warnings)
    }

    /// A section has a key that could be used.
    pub(crate) fn has_usable_keys(&self, effective: &Effective<'_>) -> bool {
        let usable = |value| peer::read_crypto_line(value, &self.config.defaults).is_ok();
        effective.find_all(name::CRYPTO).any(usable)
            || effective.fingerprints().any(|text| text.parse::<Fingerprint>().is_ok())
    }

    /// The interface of this name (or the default one) that has this family, if any has.
    pub(crate) fn interface(
        &self,
        name: Option<&str>,
        wanted: Option<AddressFamily>,
        preferred: AddressFamily,
    ) -> Result<usize, Refusal> {
        let interfaces = &self.config.interfaces;
        let name = name.or_else(|| interfaces.first().map(|first| first.name.as_str())).unwrap_or("default");
        let named = || interfaces.iter().enumerate().filter(|(_, interface)| interface.name == name);
        let of_family = |family| named().find(|(_, interface)| interface.family() == family);
        let chosen = match wanted {
            Some(family) => of_family(family),
            None => of_family(preferred).or_else(|| named().next()),
        };
        chosen.map(|(index, _)| index).ok_or_else(|| match (named().next(), wanted) {
            (Some(_), Some(AddressFamily::Ip4)) => Refusal::UnknownInterface(format!("{name} has no IP4 address")),
            (Some(_), Some(AddressFamily::Ip6)) => Refusal::UnknownInterface(format!("{name} has no IP6 address")),
            _ => Refusal::UnknownInterface(name.to_owned()),
        })
    }

    /// Makes sure that a section has a transport, or two.
    pub(crate) fn ensure_ports(
        &mut self,
        negotiated: &mut Negotiated,
        leg: usize,
        section: usize,
        two: bool,
    ) -> Result<(), Refusal> {
        let Some(ip) = self.bind_address(negotiated, leg) else { return Ok(()) };
        let ports = negotiated.legs.get(leg).and_then(|leg| leg.section(section)).and_then(|section| section.ports);
        let ports = match ports {
            None if two => {
                let pair = self.pool.take_pair(self.now, self.secrets, self.worker, ip);
                let (rtp, rtcp) = pair.ok_or_else(|| self.exhausted(ip))?;
                let rtp = self.want(negotiated, Transport { leg, local: rtp });
                Ports { rtp, rtcp: Some(self.want(negotiated, Transport { leg, local: rtcp })) }
            }
            None => {
                let one = self.pool.take_one(self.now, self.secrets, self.worker, ip);
                let rtp = one.ok_or_else(|| self.exhausted(ip))?;
                Ports { rtp: self.want(negotiated, Transport { leg, local: rtp }), rtcp: None }
            }
            Some(Ports { rtp, rtcp: None }) if two => {
                let mut next = negotiated.local(rtp);
                if let Some(address) = &mut next {
                    address.set_port(address.port() | 1);
                }
                let next = next.filter(|&address| self.pool.take(self.now, address));
                let one = next.or_else(|| self.pool.take_one(self.now, self.secrets, self.worker, ip));
                let local = one.ok_or_else(|| self.exhausted(ip))?;
                Ports { rtp, rtcp: Some(self.want(negotiated, Transport { leg, local })) }
            }
            Some(ports) => ports,
        };
        if let Some(section) = negotiated.legs.get_mut(leg).and_then(|leg| leg.sections.get_mut(section)) {
            section.ports = Some(ports);
        }
        Ok(())
    }

    /// Another port in place of one that somebody else has. Its neighbour moves with it if it is not bound either.
    pub(crate) fn replace_port(&mut self, negotiated: &mut Negotiated, refused: OpenPort) -> Result<(), Refusal> {
        self.pool.mark_foreign(self.now, refused.local);
        let ip = refused.local.ip();
        let pair = negotiated
            .legs
            .iter()
            .flat_map(|leg| &leg.sections)
            .filter_map(|section| section.ports)
            .find(|ports| ports.rtp == refused.transport || ports.rtcp == Some(refused.transport));
        let is_wanted = |wanted: &[OpenPort], id| wanted.iter().any(|port| port.transport == id);
        let both = pair
            .and_then(|ports| Some((ports.rtp, ports.rtcp?)))
            .filter(|&(rtp, rtcp)| is_wanted(&self.wanted, rtp) && is_wanted(&self.wanted, rtcp));
        if let Some((rtp, rtcp)) = both {
            for port in self.wanted.iter().filter(|port| port.transport == rtp || port.transport == rtcp) {
                self.pool.release(port.local);
            }
            let pair = self.pool.take_pair(self.now, self.secrets, self.worker, ip);
            let (rtp_address, rtcp_address) = pair.ok_or_else(|| self.exhausted(ip))?;
            self.move_to(negotiated, rtp, rtp_address);
            self.move_to(negotiated, rtcp, rtcp_address);
        } else {
            let one = self.pool.take_one(self.now, self.secrets, self.worker, ip);
            let address = one.ok_or_else(|| self.exhausted(ip))?;
            self.move_to(negotiated, refused.transport, address);
        }
        Ok(())
    }

    fn move_to(&mut self, negotiated: &mut Negotiated, id: control::TransportId, local: std::net::SocketAddr) {
        for port in self.wanted.iter_mut().filter(|port| port.transport == id) {
            port.local = local;
        }
        if let Some(transport) = negotiated.transports.get_mut(&id) {
            transport.local = local;
        }
    }

    fn want(&mut self, negotiated: &mut Negotiated, transport: Transport) -> control::TransportId {
        let id = negotiated.add_transport(transport);
        self.wanted.push(OpenPort { transport: id, local: transport.local });
        id
    }

    fn exhausted(&self, ip: IpAddr) -> Refusal {
        Refusal::OutOfPorts(self.pool.exhausted(self.worker, ip))
    }

    fn bind_address(&self, negotiated: &Negotiated, leg: usize) -> Option<IpAddr> {
        let interface = negotiated.legs.get(leg)?.interface;
        self.config.interfaces.get(interface).map(|interface| interface.address)
    }
}

/// Options that ask for something that this relay does not do are refused by name.
pub(crate) fn check_supported(options: &Options) -> Result<(), Refusal> {
    let sdes = &options.sdes;
    let asked = [
        (options.ice == Some(IceOption::ForceRelay), "ICE=force-relay"),
        (options.ice_lite == Some(IceLite::Off), "ICE-lite=off"),
        (sdes.encrypt_rtp == Some(false), "SDES-unencrypted_srtp"),
        (sdes.encrypt_rtcp == Some(false), "SDES-unencrypted_srtcp"),
        (sdes.authenticate_rtp == Some(false), "SDES-unauthenticated_srtp"),
    ];
    if let Some((_, name)) = asked.into_iter().find(|&(is_asked, _)| is_asked) {
        return Err(Refusal::Unsupported(name.to_owned()));
    }
    match options.unsupported.first() {
        Some(name) => Err(Refusal::Unsupported(name.clone())),
        None => Ok(()),
    }
}

/// How the sender of these options may be learnt.
pub(crate) fn latching(options: &Options) -> Latching {
    if options.flags.strict_source {
        Latching::Strict
    } else if options.flags.asymmetric || options.endpoint_learning == Some(EndpointLearning::Off) {
        Latching::Off
    } else {
        Latching::Authenticated
    }
}

/// The address that descriptions towards a leg carry.
fn public_address(config: &SessionConfig, leg: &Leg, options: &Options) -> IpAddr {
    let own = config.interfaces.get(leg.interface).map_or(leg.public, |interface| interface.public_address());
    options.media_address.unwrap_or(own)
}
