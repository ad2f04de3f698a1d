//! A phone that speaks SDES (RFC 4568): a UDP socket, G.711, and the SRTP of webrtc-srtp.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

use crate::tally::Tally;
use crate::tone::{PACKET_SAMPLES, Tone};

/// The SSRC of every phone.
pub const SSRC: u32 = 0x7068_6f6e;

/// A crypto suite that the phone speaks.
#[derive(Clone, Copy)]
pub struct Suite {
    /// Its name in `a=crypto`.
    pub name: &'static str,
    profile: ProtectionProfile,
}

/// What webrtc-srtp can do, most preferred first.
pub const SUITES: [Suite; 4] = [
    Suite { name: "AEAD_AES_256_GCM", profile: ProtectionProfile::AeadAes256Gcm },
    Suite { name: "AEAD_AES_128_GCM", profile: ProtectionProfile::AeadAes128Gcm },
    Suite { name: "AES_CM_128_HMAC_SHA1_80", profile: ProtectionProfile::Aes128CmHmacSha1_80 },
    Suite { name: "AES_CM_128_HMAC_SHA1_32", profile: ProtectionProfile::Aes128CmHmacSha1_32 },
];

/// A phone that is not in a call yet.
pub struct Phone {
    socket: UdpSocket,
    suite: Suite,
    own_key: Vec<u8>,
}

impl Phone {
    /// A phone at a free port of this address, with one suite that it is willing to speak.
    pub fn new(address: &str, suite_name: &str) -> anyhow::Result<Self> {
        let suite = *SUITES.iter().find(|suite| suite.name == suite_name).context("no such suite")?;
        let mut own_key = vec![0; suite.profile.key_len() + suite.profile.salt_len()];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut own_key)?;
        Ok(Self { socket: UdpSocket::bind((address, 0))?, suite, own_key })
    }

    /// Its offer.
    pub fn offer(&self) -> anyhow::Result<String> {
        self.description(1)
    }

    /// Its answer to this offer: the crypto line of its own suite, whatever the tag.
    pub fn answer(&self, offer: &str) -> anyhow::Result<String> {
        let (tag, _) = chosen_crypto(self.suite, offer)?;
        self.description(tag)
    }

    /// Takes up the call that `remote` (the other side's SDP) describes: notes what arrives and, when told to, sends a
    /// tone of this frequency, 50 packets a second.
    pub fn start(self, remote: &str, frequency: f64, sent: Tally, heard: Tally) -> anyhow::Result<PhoneCall> {
        let (_, key) = chosen_crypto(self.suite, remote)?;
        let (target, description) = (media_address(remote)?, self.description(1)?);
        let profile = self.suite.profile;
        let context = |key: &[u8]| {
            let (key, salt) = key.split_at(profile.key_len());
            Context::new(key, salt, profile, Some(webrtc_srtp::option::srtp_replay_protection(64)), None)
        };
        let (outbound, inbound) = (context(&self.own_key)?, context(&key)?);
        let (sending, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let line = Line { socket: self.socket, target, outbound, inbound, sent, heard, rejected: 0 };
        let thread = std::thread::Builder::new().name("phone".into()).spawn({
            let (sending, ended) = (sending.clone(), ended.clone());
            move || line.run(frequency, &sending, &ended)
        })?;
        Ok(PhoneCall { suite: self.suite, description, remote_key: key, target, sending, ended, thread })
    }

    fn description(&self, tag: u32) -> anyhow::Result<String> {
        let local = self.socket.local_addr()?;
        let family = if local.is_ipv4() { "IP4" } else { "IP6" };
        let (ip, port) = (local.ip(), local.port());
        let (suite, key) = (self.suite.name, encode_base64(&self.own_key));
        Ok(format!(
            "v=0\r\no=phone 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\na=crypto:{tag} {suite} inline:{key}\r\na=sendrecv\r\n"
        ))
    }
}

/// A phone in a call.
pub struct PhoneCall {
    suite: Suite,
    description: String,
    remote_key: Vec<u8>,
    target: SocketAddr,
    sending: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<u64>>,
}

impl PhoneCall {
    /// Its answer to a further offer, which must leave its own side as it is: the same keys and the same address.
    pub fn answer_again(&self, offer: &str) -> anyhow::Result<String> {
        let (tag, key) = chosen_crypto(self.suite, offer)?;
        if key != self.remote_key || media_address(offer)? != self.target {
            bail!("the further offer changes keys or address:\n{offer}");
        }
        Ok(self.description.replace("a=crypto:1 ", &format!("a=crypto:{tag} ")))
    }

    /// Speaks.
    pub fn start_sending(&self) {
        self.sending.store(true, Ordering::Relaxed);
    }

    /// Sends no more; still listens.
    pub fn stop_sending(&self) {
        self.sending.store(false, Ordering::Relaxed);
    }

    /// Hangs up. Returns how many packets arrived that were not authentic.
    pub fn end(self) -> anyhow::Result<u64> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the phone panicked"))?
    }
}

struct Line {
    socket: UdpSocket,
    target: SocketAddr,
    outbound: Context,
    inbound: Context,
    sent: Tally,
    heard: Tally,
    rejected: u64,
}

impl Line {
    fn run(mut self, frequency: f64, sending: &AtomicBool, ended: &AtomicBool) -> anyhow::Result<u64> {
        let mut tone = Tone::new(frequency);
        let mut next_packet = Instant::now();
        // Below 2^15, so that the receiver cannot miss the first rollover (RFC 3711 §3.3.1).
        let mut sequence_number = 1000u16;
        let mut buffer = [0; 2048];
        while !ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now >= next_packet {
                next_packet += Duration::from_millis(20);
                if sending.load(Ordering::Relaxed) {
                    self.send(sequence_number, &tone.next_packet())?;
                    sequence_number = sequence_number.wrapping_add(1);
                }
                continue;
            }
            self.socket.set_read_timeout(Some((next_packet - now).max(Duration::from_millis(1))))?;
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                self.receive(&buffer[..length]);
            }
        }
        Ok(self.rejected)
    }

    fn send(&mut self, sequence_number: u16, payload: &[u8]) -> anyhow::Result<()> {
        let mut packet = Vec::with_capacity(12 + payload.len());
        packet.extend_from_slice(&[0x80, 0]);
        packet.extend_from_slice(&sequence_number.to_be_bytes());
        packet.extend_from_slice(&(u32::from(sequence_number) * PACKET_SAMPLES as u32).to_be_bytes());
        packet.extend_from_slice(&SSRC.to_be_bytes());
        packet.extend_from_slice(payload);
        let protected = self.outbound.encrypt_rtp(&packet)?;
        self.sent.sent(sequence_number, payload);
        self.socket.send_to(&protected, self.target)?;
        Ok(())
    }

    fn receive(&mut self, datagram: &[u8]) {
        let is_rtcp = datagram.len() > 1 && (192..=223).contains(&datagram[1]);
        if is_rtcp {
            self.rejected += u64::from(self.inbound.decrypt_rtcp(datagram).is_err());
            return;
        }
        match self.inbound.decrypt_rtp(datagram) {
            Ok(packet) if packet.len() >= 12 => {
                let header = 12 + 4 * usize::from(packet[0] & 0x0f);
                let extension = match packet.get(header + 2..header + 4) {
                    Some(words) if packet[0] & 0x10 != 0 => {
                        4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]))
                    }
                    _ => 0,
                };
                let sequence_number = u16::from_be_bytes([packet[2], packet[3]]);
                self.heard.arrived(sequence_number, packet.get(header + extension..).unwrap_or_default());
            }
            _ => self.rejected += 1,
        }
    }
}

/// Tag and key of the first crypto line with this suite.
fn chosen_crypto(suite: Suite, description: &str) -> anyhow::Result<(u32, Vec<u8>)> {
    for line in description.lines().filter_map(|line| line.strip_prefix("a=crypto:")) {
        let mut words = line.split_ascii_whitespace();
        let tag = words.next().context("crypto line without a tag")?.parse()?;
        if words.next() != Some(suite.name) {
            continue;
        }
        let inline = words.next().and_then(|key| key.strip_prefix("inline:")).context("crypto line without a key")?;
        let key = decode_base64(inline.split('|').next().unwrap_or_default())?;
        if key.len() != suite.profile.key_len() + suite.profile.salt_len() {
            bail!("key of {} bytes for {}", key.len(), suite.name);
        }
        return Ok((tag, key));
    }
    bail!("no {} in:\n{description}", suite.name)
}

/// Where the first section of a description wants its RTP.
pub fn media_address(description: &str) -> anyhow::Result<SocketAddr> {
    let section = description.find("m=").context("no media section")?;
    let mut words = description[section..].split_ascii_whitespace();
    let port: u16 = words.nth(1).context("m= without a port")?.parse()?;
    let own = description[section..].lines().find(|line| line.starts_with("c="));
    let connection = own.or_else(|| description.lines().find(|line| line.starts_with("c=")));
    let ip = connection.and_then(|line| line.split_ascii_whitespace().nth(2)).context("no c= line")?;
    Ok(SocketAddr::new(ip.parse()?, port))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let is_padding = position > chunk.len();
            let digit = BASE64[(word >> (18 - 6 * position)) as usize & 63];
            text.push(char::from(if is_padding { b'=' } else { digit }));
        }
    }
    text
}

fn decode_base64(text: &str) -> anyhow::Result<Vec<u8>> {
    let (mut word, mut bits, mut bytes) = (0u32, 0, Vec::new());
    for character in text.trim_end_matches('=').bytes() {
        let digit = BASE64.iter().position(|&digit| digit == character).context("not base64")?;
        word = word << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4648 §10.
    #[test]
    fn base64_follows_the_rfc() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(encode_base64(plain.as_bytes()), encoded);
            assert_eq!(decode_base64(encoded).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn the_media_address_is_the_sections_own_before_the_sessions() {
        let session = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/SAVP 0\r\n";
        assert_eq!(media_address(session).unwrap(), "192.0.2.1:4000".parse().unwrap());
        let own = format!("{session}c=IN IP4 192.0.2.2\r\n");
        assert_eq!(media_address(&own).unwrap(), "192.0.2.2:4000".parse().unwrap());
    }
}
