//! Edits of the text that a request asks for and that negotiate nothing: codecs, header extensions, attributes.

use sdp::{Extmap, Fmtp, Level, MediaSection, Rtpmap, SessionDescription, name};

use crate::negotiate::WorkKind;
use crate::peer::PeerSection;
use crate::{AttributeChange, AttributeLevel, Options};

/// Attribute of RFC 8285 §6, which means nothing without `a=extmap`.
const EXTMAP_ALLOW_MIXED: &str = "extmap-allow-mixed";

/// `codec`, `single-codec`, `reorder-codecs`. `offered` is the section that this one answers.
pub(crate) fn codecs(section: &mut MediaSection, options: &Options, kind: WorkKind, offered: Option<&PeerSection>) {
    strip(section, options, kind);
    let codec = &options.codec;
    if !codec.offer.is_empty() {
        let maps: Vec<Rtpmap> = section.all().collect();
        let place = |format: &str| codec.offer.iter().position(|wanted| is_named(&maps, wanted, format));
        sort(section, |format| place(format).unwrap_or(usize::MAX));
    }
    if kind == WorkKind::Answer && options.flags.reorder_codecs {
        let order = offered.map(|offered| offered.payload_types.as_slice()).unwrap_or_default();
        sort(section, |format| {
            order.iter().position(|payload_type| payload_type.to_string() == format).unwrap_or(usize::MAX)
        });
    }
    if kind == WorkKind::Answer && options.flags.single_codec {
        keep_first(section);
    }
}

/// Takes out what `strip` and, in an offer, `mask` name. A section keeps its formats when all would go.
fn strip(section: &mut MediaSection, options: &Options, kind: WorkKind) {
    let codec = &options.codec;
    let masked = codec.mask.iter().filter(|_| kind == WorkKind::Offer);
    let unwanted: Vec<&String> = codec.strip.iter().chain(masked).collect();
    if unwanted.is_empty() {
        return;
    }
    let maps: Vec<Rtpmap> = section.all().collect();
    let all = unwanted.iter().any(|name| name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("full"));
    let is_spared = |format: &str| codec.except.iter().chain(&codec.offer).any(|name| is_named(&maps, name, format));
    let is_unwanted = |format: &str| all || unwanted.iter().any(|name| is_named(&maps, name, format));
    let formats: Vec<String> = section.formats().map(str::to_owned).collect();
    let mut gone: Vec<&str> = formats.iter().map(String::as_str).filter(|f| is_unwanted(f) && !is_spared(f)).collect();
    // A retransmission stream goes with the codec that it repeats (RFC 4588 §8.1).
    let repeats: Vec<(String, String)> = section
        .all::<Fmtp>()
        .filter_map(|fmtp| {
            let apt = fmtp.parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("apt="))?;
            Some((fmtp.format.clone(), apt.trim().to_owned()))
        })
        .collect();
    for (format, of) in &repeats {
        if gone.contains(&of.as_str()) && !gone.contains(&format.as_str()) {
            gone.push(format);
        }
    }
    if gone.len() < formats.len() {
        section.retain_formats(|format| !gone.contains(&format));
    }
}

/// `PCMU`, `opus/48000`, `opus/48000/2`: what is not said may be anything.
fn is_named(maps: &[Rtpmap], wanted: &str, format: &str) -> bool {
    let Some(map) = maps.iter().find(|map| map.payload_type.to_string() == format) else { return false };
    let mut parts = wanted.split('/');
    let said = |part: Option<&str>, own: &str| part.is_none_or(|part| part.is_empty() || part == own);
    map.encoding.eq_ignore_ascii_case(parts.next().unwrap_or_default())
        && said(parts.next(), &map.clock_rate.to_string())
        && said(parts.next(), map.parameters.as_deref().unwrap_or("1"))
}

/// Equal ranks stay in their order.
fn sort(section: &mut MediaSection, rank: impl Fn(&str) -> usize) {
    let mut formats: Vec<String> = section.formats().map(str::to_owned).collect();
    formats.sort_by_key(|format| rank(format));
    section.set_formats(formats.iter().map(String::as_str));
}

/// The first codec stays, and telephone events of its clock rate, which are no codec of their own.
fn keep_first(section: &mut MediaSection) {
    let maps: Vec<Rtpmap> = section.all().collect();
    let map = |format: &str| maps.iter().find(|map| map.payload_type.to_string() == format);
    let is_event = |map: &Rtpmap| map.encoding.eq_ignore_ascii_case("telephone-event");
    let first = section.formats().find(|format| !map(format).is_some_and(is_event)).map(str::to_owned);
    let Some(first) = first else { return };
    let rate = map(&first).map(|map| map.clock_rate);
    section.retain_formats(|format| {
        format == first || map(format).is_some_and(|own| is_event(own) && Some(own.clock_rate) == rate)
    });
}

/// `strip-extmap` and `extmap: strip`, at session level and in every section.
pub(crate) fn header_extensions(description: &mut SessionDescription, options: &Options) {
    if !options.flags.strip_extmap && options.extmap_strip.is_empty() {
        return;
    }
    strip_extmaps(description.session_mut(), options);
    for section in description.media_mut() {
        strip_extmaps(section, options);
    }
}

fn strip_extmaps(level: &mut Level, options: &Options) {
    if options.flags.strip_extmap {
        level.remove_any(&[name::EXTMAP, EXTMAP_ALLOW_MIXED]);
        return;
    }
    level.retain_attributes(|line| {
        let extmap = line
            .value
            .filter(|_| line.is(name::EXTMAP))
            .and_then(|value| <Extmap as sdp::Attribute>::parse(value).ok());
        !extmap.is_some_and(|extmap| options.extmap_strip.contains(&extmap.uri))
    });
}

/// `sdp-attr`: the last word on what is written. Nothing of it is negotiated.
pub(crate) fn attributes(description: &mut SessionDescription, options: &Options) {
    for edit in &options.attributes {
        match &edit.level {
            AttributeLevel::Session => change(description.session_mut(), &edit.change),
            AttributeLevel::Media(media) => {
                let sections = description.media_mut().iter_mut();
                for section in sections.filter(|section| section.media_type().eq_ignore_ascii_case(media)) {
                    change(section, &edit.change);
                }
            }
        }
    }
}

fn change(level: &mut Level, change: &AttributeChange) {
    match change {
        AttributeChange::Add(text) => {
            let (name, value) = text.split_once(':').unwrap_or((text, ""));
            let is_there = level.attributes().any(|line| line.is(name) && line.value.unwrap_or("") == value);
            if !is_there {
                level.insert(name, value);
            }
        }
        AttributeChange::Remove(text) => {
            level.retain_attributes(|line| !line.begins_with(text));
        }
        AttributeChange::Substitute(from, to) => {
            level.substitute_attributes(from, to);
        }
    }
}
