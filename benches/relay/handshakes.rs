//! Callers with DTLS-SRTP: real handshakes with the relay, from one UDP socket.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use control::{DtlsRole, Fingerprint, HashAlgorithm, Profile};
use dtls::{Endpoint, EndpointConfig, EndpointEvent, Identity, Standing};
use sallyport_tests::ng::NgClient;

use crate::call::{self, Call, Caller};
use crate::network::{HOST, Network};
use crate::stream::{GCM128, Suite};

/// The callers' port: one for all, since the relay has a port for each.
const PORT: u16 = 5000;
/// Calls that are set up at the same time.
const AT_ONCE: usize = 64;
const DEADLINE: Duration = Duration::from_secs(20);
/// How long an end goes on after its handshake: acknowledgements are delayed by up to a quarter of a retransmission
/// timer (RFC 9147 §7.1), and without one the relay would keep its flight.
const AFTERWARDS: Duration = Duration::from_millis(150);

struct Pending {
    call: Call,
    endpoint: Endpoint,
    keyed: Option<Instant>,
}

/// All callers.
pub(crate) struct Callers {
    socket: UdpSocket,
    identity: Identity,
}

impl Callers {
    pub(crate) fn new(network: &Network) -> anyhow::Result<Self> {
        let socket = network.in_far(|| Ok(UdpSocket::bind((HOST, PORT))?))?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        Ok(Self { socket, identity: Identity::generate()? })
    }

    /// Sets up calls, DTLS-SRTP at the caller's leg and SDES at the callee's, and completes their handshakes.
    pub(crate) fn place(
        &self,
        ng: &mut NgClient,
        numbers: std::ops::Range<u16>,
        far: Suite,
    ) -> anyhow::Result<Vec<Call>> {
        let mut calls = Vec::new();
        let numbers: Vec<u16> = numbers.collect();
        for numbers in numbers.chunks(AT_ONCE) {
            let mut pending = HashMap::new();
            for &number in numbers {
                let (call, endpoint) = self.begin(ng, number, far)?;
                pending.insert(call.forward.target.into(), Pending { call, endpoint, keyed: None });
            }
            calls.append(&mut self.complete(pending)?);
        }
        Ok(calls)
    }

    fn begin(&self, ng: &mut NgClient, number: u16, far: Suite) -> anyhow::Result<(Call, Endpoint)> {
        let address = SocketAddrV4::new(HOST, PORT);
        let fingerprint = self.identity.fingerprint(HashAlgorithm::Sha256);
        let lines = format!("a=rtcp-mux\r\na=setup:actpass\r\na=fingerprint:{fingerprint}\r\n");
        let caller = Caller { address, offer: call::description(address, "UDP/TLS/RTP/SAVP", &lines) };
        let (call, answer) = call::connect(ng, number, &caller, far)?;
        let value = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.with_context(|| format!("no {name} in:\n{answer}"))
        };
        let role = match value("a=setup:")? {
            "active" => DtlsRole::Server,
            "passive" => DtlsRole::Client,
            other => bail!("a=setup:{other} in an answer"),
        };
        let config = EndpointConfig {
            role,
            fingerprints: vec![value("a=fingerprint:")?.parse::<Fingerprint>()?],
            profiles: vec![Profile::AeadAes128Gcm],
            mtu: 1200,
            deadline: DEADLINE,
        };
        let now = Instant::now();
        let mut endpoint = Endpoint::new(now, &self.identity, config)?;
        endpoint.start(now, call.forward.target.into());
        Ok((call, endpoint))
    }

    fn complete(&self, mut pending: HashMap<SocketAddr, Pending>) -> anyhow::Result<Vec<Call>> {
        let deadline = Instant::now() + DEADLINE;
        let mut calls = Vec::new();
        while !pending.is_empty() {
            let now = Instant::now();
            if now > deadline {
                bail!("{} DTLS handshakes did not end", pending.len());
            }
            for pending in pending.values_mut() {
                pending.advance(now, &self.socket)?;
            }
            let done = |pending: &Pending| pending.keyed.is_some_and(|keyed| now > keyed + AFTERWARDS);
            calls.extend(pending.extract_if(|_, pending| done(pending)).map(|(_, pending)| pending.call));
            self.receive(&mut pending)?;
        }
        Ok(calls)
    }

    fn receive(&self, pending: &mut HashMap<SocketAddr, Pending>) -> anyhow::Result<()> {
        let mut buffer = [0; 2048];
        match self.socket.recv_from(&mut buffer) {
            Ok((length, source)) => {
                if let Some(Pending { endpoint, .. }) = pending.get_mut(&source) {
                    endpoint.handle_datagram(Instant::now(), source, Standing::Signalled, &buffer[..length]);
                }
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Pending {
    fn advance(&mut self, now: Instant, socket: &UdpSocket) -> anyhow::Result<()> {
        if self.endpoint.poll_timeout().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            socket.send_to(&transmit.bytes, transmit.remote)?;
        }
        match self.endpoint.poll_event() {
            Some(EndpointEvent::Keyed(keys)) => {
                let context = |key: &control::MasterKey| GCM128.context(&[key.key(), key.salt()].concat());
                self.call.forward.outbound = Some(context(&keys.outbound)?);
                self.call.backward.inbound = Some(context(&keys.inbound)?);
                self.keyed = Some(now);
                Ok(())
            }
            Some(EndpointEvent::Failed { failure, .. }) => bail!("a DTLS handshake failed: {failure:?}"),
            Some(EndpointEvent::Closed) | None => Ok(()),
        }
    }
}
