//! What the server prints when it is ready.

use std::io::Write;
use std::net::SocketAddr;

use super::link::Character;
use crate::settings::Settings;

/// The five lines that a newcomer reads, and a program takes the addresses from: the first word names the line. Of SIP:
/// where it is served, and where the web phone is.
pub(super) fn introduce(
    settings: &Settings,
    media_half: Option<&Character>,
    ng: SocketAddr,
    admin: SocketAddr,
    (sip, phones): &(String, Vec<String>),
) {
    let media: Vec<String> = settings
        .live
        .interfaces
        .iter()
        .map(|interface| match interface.advertised {
            Some(advertised) => format!("{}={}/{advertised}", interface.name, interface.address),
            None => format!("{}={}", interface.name, interface.address),
        })
        .collect();
    let (first, last) = settings.fixed.ports;
    let mover = match media_half {
        Some(Character { backend, workers, .. }) => {
            format!("by backend {backend}, {workers} workers: UDP sockets in batches, which need no privilege")
        }
        None => format!("by sallyport pump at {}", settings.fixed.control.display()),
    };
    let phones: String = phones.iter().map(|phone| format!("{phone}/ in a browser, ")).collect();
    let lines = [
        format!("ng       {ng} (UDP, TCP): point Kamailio's or OpenSIPS's rtpengine module here"),
        format!("admin    http://{admin}/ with metrics, healthz, readyz, calls, calls/ID"),
        format!("media    {} ports {first}-{last} {mover}", media.join(" ")),
        format!("sip      {sip}"),
        format!("try      {phones}cargo xtask demo, or curl http://{admin}/metrics; Ctrl-C ends"),
    ];
    // Nobody has to read them.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}
