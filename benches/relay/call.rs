//! Calls through a relay, set up by its ng protocol.

use std::net::{SocketAddr, SocketAddrV4};

use anyhow::{Context, bail};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rand::TryRng;
use rand::rngs::SysRng;
use sallyport_tests::call::keys;
use sallyport_tests::ng::NgClient;
use sallyport_tests::phone::media_address;
use serde_json::json;

use crate::network::FAR;
use crate::stream::{Stream, Suite};

/// The callers' first port, and the callees'.
const CALLERS: u16 = 20_000;
const CALLEES: u16 = 40_000;

/// Written with padding, read without it too: rtpengine leaves it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How the caller's leg is keyed; the callee's is SDES always.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Near {
    Plain,
    Sdes(Suite),
}

/// Both directions of a call.
pub(crate) struct Call {
    pub(crate) forward: Stream,
    pub(crate) backward: Stream,
}

/// What a caller has to say and to keep.
pub(crate) struct Caller {
    pub(crate) address: SocketAddrV4,
    pub(crate) offer: String,
}

/// Sets up a call with SDES towards the callee.
pub(crate) fn place(ng: &mut NgClient, number: u16, near: Near, far: Suite) -> anyhow::Result<Call> {
    let address = SocketAddrV4::new(FAR, CALLERS + number);
    match near {
        Near::Plain => {
            let caller = Caller { address, offer: description(address, "RTP/AVP", "") };
            Ok(connect(ng, number, &caller, far)?.0)
        }
        Near::Sdes(suite) => {
            let (key, line) = crypto(suite, 1)?;
            let caller = Caller { address, offer: description(address, "RTP/SAVP", &line) };
            let (mut call, answer) = connect(ng, number, &caller, far)?;
            call.forward.outbound = Some(suite.context(&key)?);
            call.backward.inbound = Some(suite.context(&chosen(suite, &answer)?.1)?);
            Ok(call)
        }
    }
}

/// Offers, answers for the callee, and returns the call, whose contexts towards the caller are missing, and what the
/// relay answered to the caller.
pub(crate) fn connect(ng: &mut NgClient, number: u16, caller: &Caller, far: Suite) -> anyhow::Result<(Call, String)> {
    let callee = SocketAddrV4::new(FAR, CALLEES + number);
    let name = call_id(number);
    let towards_callee = json!({"transport-protocol": "RTP/SAVP", "ICE": "remove", "DTLS": "off",
        "rtcp-mux": ["demux"], "flags": ["trust-address"], "replace": ["origin"]});
    let towards_caller = json!({"ICE": "remove", "flags": ["trust-address"], "replace": ["origin"]});
    let offered = ng.describe("offer", keys(towards_callee, &name, ("caller", None), &caller.offer))?;
    let (tag, relay_key) = chosen(far, &offered)?;
    let (key, line) = crypto(far, tag)?;
    let answer = description(callee, "RTP/SAVP", &line);
    let answered = ng.describe("answer", keys(towards_caller, &name, ("caller", Some("callee")), &answer))?;
    let (at_caller, at_callee) = (v4(media_address(&answered)?)?, v4(media_address(&offered)?)?);
    let forward = Stream {
        source: caller.address,
        target: at_caller,
        departure: at_callee.port(),
        arrival: callee,
        ssrc: 0x1_0000 + u32::from(number),
        outbound: None,
        inbound: Some(far.context(&relay_key)?),
        // Below 2^15, so that no receiver can miss a rollover (RFC 3711 §3.3.1).
        next: 1000,
    };
    let backward = Stream {
        source: callee,
        target: at_callee,
        departure: at_caller.port(),
        arrival: caller.address,
        ssrc: 0x2_0000 + u32::from(number),
        outbound: Some(far.context(&key)?),
        inbound: None,
        next: 1000,
    };
    Ok((Call { forward, backward }, answered))
}

fn call_id(number: u16) -> String {
    format!("bench-{number}")
}

/// An audio session at this address.
pub(crate) fn description(address: SocketAddrV4, protocol: &str, lines: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "v=0\r\no=bench 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} {protocol} 0\r\na=rtpmap:0 PCMU/8000\r\n{lines}a=sendrecv\r\n"
    )
}

/// A new key, and the crypto line that tells it.
fn crypto(suite: Suite, tag: u32) -> anyhow::Result<(Vec<u8>, String)> {
    let mut key = vec![0; suite.key_len()];
    SysRng.try_fill_bytes(&mut key).context("the system gives no random numbers")?;
    let line = format!("a=crypto:{tag} {} inline:{}\r\n", suite.name, BASE64.encode(&key));
    Ok((key, line))
}

/// Tag and key of the suite's crypto line.
fn chosen(suite: Suite, description: &str) -> anyhow::Result<(u32, Vec<u8>)> {
    for line in description.lines().filter_map(|line| line.strip_prefix("a=crypto:")) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [tag, name, inline, ..] = words[..] else { bail!("a crypto line without a key: {line}") };
        if name == suite.name {
            let key = inline.strip_prefix("inline:").and_then(|text| text.split('|').next()).context("no key")?;
            return Ok((tag.parse()?, BASE64.decode(key)?));
        }
    }
    bail!("no {} in:\n{description}", suite.name)
}

fn v4(address: SocketAddr) -> anyhow::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => bail!("{address} where IPv4 was offered"),
    }
}
