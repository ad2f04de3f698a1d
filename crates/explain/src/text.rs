//! An explanation as plain text, for a terminal.

use std::fmt;

use crate::explanation::TransportExplanation;
use crate::{Explanation, StreamQuality};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names come from strangers, and a terminal obeys control characters.
        writeln!(f, "call {}: {}", self.call_id.escape_debug(), self.state)?;
        for conclusion in &self.conclusions {
            writeln!(f, "  {} {}: {}", conclusion.media.escape_debug(), conclusion.section, conclusion.text)?;
        }
        for leg in &self.legs {
            let branch = if leg.active { "" } else { ", not in use" };
            writeln!(f, "\n{}  tag {:?}, interface {}{branch}", leg.name, leg.tag, leg.interface)?;
            let security = &leg.security;
            let profile = security.profile_out.map(|profile| format!(", {profile}")).unwrap_or_default();
            writeln!(f, "  security   {}{profile}, {} bits", security.keying, security.key_bits)?;
            writeln!(f, "  proved     {}", security.authentication)?;
            writeln!(f, "  keys went  {}", security.keys_travelled)?;
            for downgrade in &security.downgrades {
                writeln!(f, "  downgrade  {downgrade}")?;
            }
            for note in &security.notes {
                writeln!(f, "  noted      {}", note.escape_debug())?;
            }
            for section in &leg.sections {
                writeln!(
                    f,
                    "  {} {}  {} {}",
                    section.media.escape_debug(),
                    section.index,
                    section.protocol.escape_debug(),
                    section.direction
                )?;
                for transport in &section.transports {
                    print_transport(f, transport)?;
                }
            }
        }
        Ok(())
    }
}

fn print_transport(f: &mut fmt::Formatter<'_>, transport: &TransportExplanation) -> fmt::Result {
    let remote = transport.remote.as_deref().unwrap_or("nowhere");
    writeln!(f, "    {:<5} {} <-> {remote}", transport.component, transport.local)?;
    writeln!(f, "      ice      {}", transport.ice)?;
    writeln!(f, "      keys     {}", transport.keying)?;
    writeln!(f, "      latch    {}", transport.latch)?;
    let last = transport.last_packet_seconds.map_or_else(|| "never".into(), |age| format!("{age:.1} s ago"));
    writeln!(f, "      packets  {} in, {} out; last good one {last}", transport.packets_in, transport.packets_out)?;
    for stream in &transport.streams {
        print_stream(f, stream)?;
    }
    for dropped in &transport.drops {
        writeln!(f, "      dropped  {} {}: {}", dropped.packets, dropped.verdict, dropped.guess)?;
    }
    if let Some(finding) = &transport.finding {
        writeln!(f, "      finding  {finding}")?;
    }
    Ok(())
}

fn print_stream(f: &mut fmt::Formatter<'_>, stream: &StreamQuality) -> fmt::Result {
    let jitter = stream.jitter_ms.map(|jitter| format!(", jitter {jitter:.1} ms")).unwrap_or_default();
    let round_trip = stream.round_trip_ms.map(|round_trip| format!(", round trip {round_trip:.0} ms"));
    writeln!(
        f,
        "      stream   {:08x} type {}: {} packets, {} lost ({:.2} %, longest run {}, {} bursts){jitter}{}, MOS {:.2}",
        stream.ssrc,
        stream.payload_type,
        stream.packets,
        stream.lost,
        stream.loss_percent,
        stream.longest_run,
        stream.bursts,
        round_trip.unwrap_or_default(),
        stream.mos,
    )
}
