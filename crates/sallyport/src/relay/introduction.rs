//! What the server prints when it is ready.

use std::io::Write;
use std::net::SocketAddr;

use super::link::Character;
use crate::settings::Settings;

/// The lines that a newcomer reads, and a program takes the addresses from: the first word names the line.
pub(super) fn introduce(
    settings: &Settings,
    media_half: Option<&Character>,
    ng: SocketAddr,
    admin: SocketAddr,
    sip: &[String],
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
    let mut lines = vec![
        format!("ng       {ng} (UDP, TCP): point Kamailio's or OpenSIPS's rtpengine module here"),
        format!("admin    http://{admin}/ with metrics, healthz, readyz, calls, calls/ID"),
        format!("media    {} ports {first}-{last}", media.join(" ")),
        match media_half {
            Some(Character { backend, workers, .. }) => {
                format!("backend  {backend}, {workers} workers: UDP sockets in batches, which need no privilege")
            }
            None => format!("control  {}: media is moved by sallyport pump", settings.fixed.control.display()),
        },
    ];
    lines.extend_from_slice(sip);
    lines.push(format!("try      cargo xtask demo, or curl http://{admin}/metrics; Ctrl-C ends"));
    // Nobody has to read them.
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}
