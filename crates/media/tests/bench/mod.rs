//! A shard on a virtual clock, and peers made of the SRTP crate. Each test file uses its own part of it.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::*;
use datagram::{BATCH_CAPACITY, Batch, PortId, SendRight};
use sallyport_media::handshake::{Handshakes, Input};
use sallyport_media::{Shard, ShardConfig};
use srtp::{Inbound, Outbound, Profile};

pub const CALL: CallKey = CallKey(1);
pub const CM: Profile = Profile::AesCm128HmacSha1_80;
pub const GCM: Profile = Profile::AeadAes128Gcm;

/// What came in for the shard: on which port, from whom, what.
pub type Arrival = (PortId, SocketAddr, Vec<u8>);

/// A datagram that the shard sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    pub port: PortId,
    pub remote: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Bench {
    pub shard: Shard,
    pub now: Instant,
    pub batch: Batch,
    pub handshakes: Option<Handshakes>,
    pub events: Vec<Event>,
    pub closed: Vec<PortId>,
    next_port: u32,
}

impl Bench {
    #[allow(clippy::disallowed_methods)]
    pub fn new() -> Self {
        Self {
            shard: Shard::new(ShardConfig::default()),
            // The one look at the real clock; from here on the test moves it.
            now: Instant::now(),
            batch: Batch::new(),
            handshakes: None,
            events: Vec::new(),
            closed: Vec::new(),
            next_port: 0,
        }
    }

    pub fn open(&mut self, transport: u16) -> PortId {
        self.next_port += 1;
        let port = PortId(self.next_port);
        let local = SocketAddr::from(([192, 0, 2, 200], 10_000 + transport));
        self.shard.open_transport(self.now, CALL, TransportId(transport), port, SendRight::issue(port), local);
        port
    }

    pub fn apply(&mut self, plan: &Plan) -> Vec<Sent> {
        self.shard.apply(self.now, CALL, plan);
        self.settle()
    }

    /// Hands datagrams to the shard, a batch at a time, and returns what leaves.
    pub fn deliver(&mut self, arrivals: &[Arrival]) -> Vec<Sent> {
        let mut sent = Vec::new();
        for chunk in arrivals.chunks(BATCH_CAPACITY) {
            self.fill(chunk);
            self.shard.handle_batch(self.now, &mut self.batch);
            sent.append(&mut self.leaving());
        }
        sent.append(&mut self.settle());
        sent
    }

    pub fn fill(&mut self, arrivals: &[Arrival]) {
        self.batch.clear();
        for (port, source, bytes) in arrivals {
            let datagram = self.batch.push().expect("room");
            datagram.fill(bytes);
            datagram.set_received(*port, *source, bytes.len(), false);
        }
    }

    pub fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let until = self.now + time;
        let mut sent = Vec::new();
        loop {
            let shard = self.shard.poll_timeout();
            let handshakes = self.handshakes.as_ref().and_then(Handshakes::poll_timeout);
            let Some(next) = shard.into_iter().chain(handshakes).min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.shard.handle_timeout(self.now);
            if let Some(handshakes) = &mut self.handshakes {
                handshakes.handle_timeout(self.now);
            }
            sent.append(&mut self.settle());
        }
        self.now = until;
        sent
    }

    /// Carries messages to and fro until nothing moves.
    pub fn settle(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            let mut idle = true;
            if let Some(handshakes) = &mut self.handshakes {
                while let Some(input) = self.shard.poll_handshake() {
                    handshakes.handle_input(self.now, input);
                    idle = false;
                }
                while let Some(output) = handshakes.poll_output() {
                    self.shard.handle_handshake(self.now, output);
                    idle = false;
                }
            }
            while self.shard.poll_transmit(self.now, &mut self.batch) {
                sent.append(&mut self.leaving());
                idle = false;
            }
            while let Some(event) = self.shard.poll_event() {
                self.events.push(event);
            }
            while let Some(port) = self.shard.poll_close() {
                self.closed.push(port);
            }
            if idle {
                return sent;
            }
        }
    }

    fn leaving(&mut self) -> Vec<Sent> {
        let routed = self.batch.datagrams_mut().iter_mut().filter_map(|datagram| {
            let (port, remote) = datagram.route()?;
            datagram.withhold();
            Some(Sent { port, remote, bytes: datagram.bytes().to_vec() })
        });
        routed.collect()
    }

    pub fn inputs(&mut self) -> Vec<Input> {
        std::iter::from_fn(|| self.shard.poll_handshake()).collect()
    }

    pub fn statistics(&self, transport: u16) -> TransportStatistics {
        let call = self.shard.statistics(self.now, CALL).expect("the call is there");
        call.transports.into_iter().find(|found| found.id == TransportId(transport)).expect("the transport is there")
    }

    pub fn verdict(&self, transport: u16, verdict: Verdict) -> u64 {
        self.statistics(transport).verdicts.of(verdict)
    }

    pub fn take_events(&mut self) -> Vec<(u16, TransportEvent)> {
        let events = std::mem::take(&mut self.events).into_iter();
        events
            .filter_map(|event| match event {
                Event::Transport { transport, event, .. } => Some((transport.0, event)),
                _ => None,
            })
            .collect()
    }
}

/// A master key from one number.
pub fn key(profile: Profile, seed: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..64).map(|n: u8| n.wrapping_mul(31).wrapping_add(seed.wrapping_mul(97))).collect();
    MasterKey::new(profile, &bytes[..profile.key_len()], &bytes[32..32 + profile.salt_len()]).expect("lengths fit")
}

pub fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, host], 4000 + u16::from(host)))
}

pub fn transport(id: u16, remote: Option<SocketAddr>, keying: Keying) -> TransportPlan {
    TransportPlan {
        id: TransportId(id),
        leg: LegId(id),
        component: Component::Muxed,
        remote,
        ice: None,
        latching: Latching::Authenticated,
        latch_generation: 0,
        nat: control::NatTraversal::default(),
        keying,
        branch: BranchId::default(),
        others: Vec::new(),
        traffic_class: None,
    }
}

/// Everything that comes in on `from` leaves on `to`.
pub fn flow(id: u16, from: u16, to: u16) -> FlowPlan {
    FlowPlan {
        id: FlowId(id),
        ingress_rtp: TransportId(from),
        ingress_rtcp: TransportId(from),
        egress_rtp: TransportId(to),
        egress_rtcp: TransportId(to),
        selector: Selector::default(),
        forward_media: true,
        blocked: PayloadTypes::default(),
        silenced: Silenced::default(),
        rtcp: RtcpPolicy::Forward,
        echo: None,
    }
}

pub fn plan(transports: Vec<TransportPlan>, flows: Vec<FlowPlan>) -> Plan {
    Plan { transports, flows, media_timeout: None, memo: Vec::new() }
}

/// SDES keys of a leg whose peer sends under `peer` and receives under `ours`.
pub fn sdes(profile: Profile, peer: u8, ours: u8) -> Keying {
    Keying::Sdes(Box::new(SdesKeys {
        inbound: Some((Policy::new(profile), vec![key(profile, peer)])),
        outbound: (Policy::new(profile), key(profile, ours)),
    }))
}

/// An RTP packet of payload type 0 whose payload names its sequence number.
pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    rtp_of(0, ssrc, sequence)
}

pub fn rtp_of(payload_type: u8, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

/// A receiver report of `sender` with one block about `ssrc`.
pub fn receiver_report(sender: u32, ssrc: u32, highest: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7];
    packet.extend(sender.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(highest.to_be_bytes());
    packet.extend([0; 12]);
    packet
}

/// A sender report of `ssrc` with these report blocks, of 24 bytes each.
pub fn sender_report(ssrc: u32, ntp: u64, timestamp: u32, blocks: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80 | (blocks.len() / 24) as u8, 200, 0, (6 + blocks.len() / 4) as u8];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(ntp.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([0, 0, 1, 0, 0, 0, 2, 0]);
    packet.extend(blocks);
    packet
}

/// A generic NACK of `sender` about one packet of `ssrc`.
pub fn nack(sender: u32, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x81, 205, 0, 3];
    packet.extend(sender.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0; 2]);
    packet
}

/// The far end of a secure leg.
pub struct Peer {
    pub address: SocketAddr,
    pub inbound: Inbound,
    pub outbound: Outbound,
}

impl Peer {
    /// Sends under `own`, receives under `relay`: the counterpart of [`sdes`].
    pub fn new(host: u8, profile: Profile, own: u8, relay: u8) -> Self {
        Self {
            address: address(host),
            inbound: Inbound::new(Policy::new(profile), &[key(profile, relay)]).expect("key"),
            outbound: Outbound::new(Policy::new(profile), &key(profile, own)).expect("key"),
        }
    }

    pub fn protect(&mut self, packet: &[u8], rollovers: u32) -> Vec<u8> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + 160, 0);
        let len = self.outbound.protect_rtp(&mut buffer, packet.len(), rollovers).expect("an unused index");
        buffer.truncate(len);
        buffer
    }

    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + 160, 0);
        let len = self.outbound.protect_rtcp(&mut buffer, packet.len()).expect("room");
        buffer.truncate(len);
        buffer
    }

    pub fn arrival(&mut self, port: PortId, ssrc: u32, sequence: u16, rollovers: u32) -> Arrival {
        (port, self.address, self.protect(&rtp(ssrc, sequence), rollovers))
    }

    /// Opens everything that was sent to this peer; each packet must be authentic.
    pub fn open(&mut self, sent: &[Sent]) -> Vec<Vec<u8>> {
        let address = self.address;
        sent.iter().filter(|sent| sent.remote == address).map(|sent| self.unprotect(sent)).collect()
    }

    pub fn unprotect(&mut self, sent: &Sent) -> Vec<u8> {
        let mut bytes = sent.bytes.clone();
        let len = bytes.len();
        let opened = match ::rtp::classify(&bytes) {
            ::rtp::Class::Rtp => self.inbound.unprotect_rtp(&mut bytes, len),
            ::rtp::Class::Rtcp => self.inbound.unprotect_rtcp(&mut bytes, len),
            class => panic!("{class:?} is not media"),
        };
        bytes.truncate(opened.expect("authentic").len);
        bytes
    }

    /// The sequence numbers of everything that was sent to this peer.
    pub fn sequences(&mut self, sent: &[Sent]) -> Vec<u16> {
        self.open(sent).iter().map(|packet| sequence(packet)).collect()
    }
}

pub fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// Two SDES legs: transports 1 and 2, peers at hosts 1 and 2, a flow each way.
pub fn sdes_call() -> (Bench, [PortId; 2], Plan, Peer, Peer) {
    let mut bench = Bench::new();
    let ports = [bench.open(1), bench.open(2)];
    let plan = plan(
        vec![transport(1, Some(address(1)), sdes(CM, 11, 12)), transport(2, Some(address(2)), sdes(GCM, 21, 22))],
        vec![flow(1, 1, 2), flow(2, 2, 1)],
    );
    bench.apply(&plan);
    (bench, ports, plan, Peer::new(1, CM, 11, 12), Peer::new(2, GCM, 21, 22))
}

/// Credentials from one letter.
pub fn credentials(name: &str) -> Credentials {
    Credentials { ufrag: name.repeat(4), pwd: name.repeat(24) }
}

pub fn ice_plan(remote_lite: bool) -> IcePlan {
    IcePlan { local: credentials("L"), remote: Some(credentials("R")), remote_lite, remote_candidates: Vec::new() }
}

/// A connectivity check towards `local`.
pub fn check(local: &Credentials, nominate: bool, transaction: u8) -> Vec<u8> {
    let request = ice::stun::BindingRequest {
        transaction_id: ice::stun::TransactionId([transaction; 12]),
        remote: local,
        local_ufrag: &credentials("R").ufrag,
        priority: 1,
        role: Some(ice::stun::Role::Controlling(1)),
        use_candidate: nominate,
        software: None,
    };
    let mut buffer = vec![0; 256];
    let len = request.encode(&mut buffer).expect("room");
    buffer.truncate(len);
    buffer
}

/// The far end of a DTLS leg.
pub struct DtlsPeer {
    pub address: SocketAddr,
    pub endpoint: dtls::Endpoint,
    pub keyed: Option<Box<dtls::Keyed>>,
}

impl DtlsPeer {
    pub fn new(bench: &Bench, host: u8, role: DtlsRole, ours: &dtls::Identity, relay: &dtls::Identity) -> Self {
        let config = dtls::EndpointConfig {
            role,
            fingerprints: vec![relay.fingerprint(HashAlgorithm::Sha256)],
            profiles: vec![GCM, CM],
            mtu: 1200,
            deadline: Duration::from_secs(20),
        };
        let endpoint = dtls::Endpoint::new(bench.now, ours, config).expect("an endpoint");
        Self { address: address(host), endpoint, keyed: None }
    }

    pub fn relay() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 200], 10_000))
    }

    /// Begins as client.
    pub fn start(&mut self, bench: &Bench) {
        self.endpoint.start(bench.now, Self::relay());
    }

    /// Carries flights to and fro until both sides are silent. `sent` is what the shard has sent so far.
    pub fn converse(&mut self, bench: &mut Bench, port: PortId, sent: Vec<Sent>) {
        let mut sent = sent;
        loop {
            for datagram in sent.drain(..).filter(|sent| sent.remote == self.address) {
                if ::rtp::classify(&datagram.bytes) == ::rtp::Class::Dtls {
                    assert_eq!(datagram.port, port);
                    let standing = dtls::Standing::Signalled;
                    self.endpoint.handle_datagram(bench.now, Self::relay(), standing, &datagram.bytes);
                }
            }
            while let Some(event) = self.endpoint.poll_event() {
                if let dtls::EndpointEvent::Keyed(keyed) = event {
                    self.keyed = Some(keyed);
                }
            }
            let flights: Vec<Arrival> = std::iter::from_fn(|| self.endpoint.poll_transmit())
                .map(|transmit| (port, self.address, transmit.bytes))
                .collect();
            if flights.is_empty() {
                return;
            }
            sent = bench.deliver(&flights);
        }
    }

    /// The peer that the handshake has keyed.
    pub fn peer(&self) -> Peer {
        let keyed = self.keyed.as_ref().expect("the handshake is complete");
        let policy = Policy::new(keyed.profile);
        Peer {
            address: self.address,
            inbound: Inbound::new(policy.clone(), std::slice::from_ref(&keyed.inbound)).expect("key"),
            outbound: Outbound::new(policy, &keyed.outbound).expect("key"),
        }
    }
}

pub fn dtls_plan(generation: u32, role: Option<DtlsRole>, peer: &dtls::Identity) -> Keying {
    Keying::Dtls(Box::new(DtlsPlan {
        generation,
        role,
        fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
        profiles: vec![GCM, CM],
        deadline: Duration::from_secs(20),
    }))
}
