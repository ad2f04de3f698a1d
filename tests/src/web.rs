//! A WebRTC endpoint: a UDP socket, G.711, and the ICE, DTLS and SRTP of str0m.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::phone;
use crate::tally::Tally;
use crate::tone::{PACKET_SAMPLES, Tone};

// RFC 3551 table 4.
const PCMU: u8 = 0;

/// A WebRTC endpoint that is not in a call yet.
pub struct WebEndpoint {
    socket: UdpSocket,
    rtc: Rtc,
    mid: Option<Mid>,
}

impl WebEndpoint {
    /// An endpoint at a free port of this address.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        let mut rtc = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_pcmu(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        Ok(Self { socket, rtc, mid: None })
    }

    /// Its offer, and what it keeps until the answer comes.
    pub fn offer(&mut self) -> anyhow::Result<(String, SdpPendingOffer)> {
        let mut change = self.rtc.sdp_api();
        self.mid = Some(change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
        let (offer, pending) = change.apply().context("an offer was due")?;
        Ok((offer.to_sdp_string(), pending))
    }

    /// Takes the answer to its offer.
    pub fn accept(&mut self, answer: &str, pending: SdpPendingOffer) -> anyhow::Result<()> {
        self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(answer)?)?;
        Ok(())
    }

    /// Its answer to this offer.
    pub fn answer(&mut self, offer: &str) -> anyhow::Result<String> {
        // str0m wants a group even for one section; browsers do not.
        let offer = match offer.contains("a=group:") {
            true => offer.to_owned(),
            false => offer.replacen("m=", "a=group:BUNDLE 0\r\nm=", 1),
        };
        let answer = self.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer)?)?;
        Ok(answer.to_sdp_string())
    }

    /// Connects, notes what arrives and, when told to, sends a tone of this frequency, 50 packets a second.
    pub fn start(self, frequency: f64, sent: Tally, heard: Tally) -> anyhow::Result<WebCall> {
        let flags = Arc::new(Flags::default());
        let session = Session { socket: self.socket, rtc: self.rtc, mid: self.mid, sent, heard, flags: flags.clone() };
        let thread = std::thread::Builder::new().name("web".into()).spawn(move || session.run(frequency))?;
        Ok(WebCall { flags, thread })
    }
}

#[derive(Default)]
struct Flags {
    connected: AtomicBool,
    sending: AtomicBool,
    ended: AtomicBool,
}

/// A WebRTC endpoint in a call.
pub struct WebCall {
    flags: Arc<Flags>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl WebCall {
    /// Waits until ICE and DTLS are through.
    pub fn wait_until_connected(&self, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !self.flags.connected.load(Ordering::Relaxed) {
            if Instant::now() > deadline {
                bail!("not connected within {limit:?}");
            }
            if self.thread.is_finished() {
                bail!("the endpoint gave up");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Speaks.
    pub fn start_sending(&self) {
        self.flags.sending.store(true, Ordering::Relaxed);
    }

    /// Sends no more; still listens.
    pub fn stop_sending(&self) {
        self.flags.sending.store(false, Ordering::Relaxed);
    }

    /// Hangs up.
    pub fn end(self) -> anyhow::Result<()> {
        self.flags.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the endpoint panicked"))?
    }
}

struct Session {
    socket: UdpSocket,
    rtc: Rtc,
    mid: Option<Mid>,
    sent: Tally,
    heard: Tally,
    flags: Arc<Flags>,
}

impl Session {
    fn run(mut self, frequency: f64) -> anyhow::Result<()> {
        if let Some(mid) = self.mid {
            self.expect_phone(mid);
        }
        let local = self.socket.local_addr()?;
        let mut tone = Tone::new(frequency);
        let mut next_packet = Instant::now();
        let mut sequence_number = 2000u64;
        let mut buffer = vec![0; 2048];
        while !self.flags.ended.load(Ordering::Relaxed) {
            let timeout = self.drain()?;
            let now = Instant::now();
            if now >= next_packet {
                next_packet += Duration::from_millis(20);
                if self.flags.sending.load(Ordering::Relaxed) {
                    self.send(sequence_number, &tone.next_packet(), now)?;
                    sequence_number += 1;
                    continue;
                }
            }
            let wait = timeout.min(next_packet).saturating_duration_since(now).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(wait))?;
            let input = match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => match buffer[..length].try_into() {
                    Ok(contents) => Input::Receive(
                        Instant::now(),
                        Receive { proto: Protocol::Udp, source, destination: local, contents },
                    ),
                    Err(_) => continue,
                },
                Err(_) => Input::Timeout(Instant::now()),
            };
            self.rtc.handle_input(input)?;
        }
        Ok(())
    }

    /// A phone says nothing of its SSRC; where a browser would go by the payload type, str0m wants to know it.
    fn expect_phone(&mut self, mid: Mid) {
        self.rtc.direct_api().expect_stream_rx(phone::SSRC.into(), None, mid, None);
    }

    fn send(&mut self, sequence_number: u64, payload: &[u8], now: Instant) -> anyhow::Result<()> {
        let mid = self.mid.context("sending before a section was agreed")?;
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).context("no stream to send")?;
        let time = sequence_number as u32 * PACKET_SAMPLES as u32;
        self.sent.sent(sequence_number as u16, payload);
        stream.write_rtp(RtpWrite::new(Pt::from(PCMU), sequence_number.into(), time, now, payload));
        Ok(())
    }

    /// Sends what is due; returns when to come back.
    fn drain(&mut self) -> anyhow::Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(when) => return Ok(when),
                Output::Transmit(datagram) => {
                    self.socket.send_to(&datagram.contents, datagram.destination)?;
                }
                Output::Event(Event::Connected) => self.flags.connected.store(true, Ordering::Relaxed),
                Output::Event(Event::MediaAdded(media)) => {
                    self.mid = Some(media.mid);
                    self.expect_phone(media.mid);
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    self.heard.arrived(packet.header.sequence_number, &packet.payload);
                }
                Output::Event(_) => {}
            }
        }
    }
}
