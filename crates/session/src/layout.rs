//! Which `m=` line of a leg's descriptions is which section.
//!
//! It is the same number, but for best-effort SRTP as many phones offer it: an `m=` line under RTP/SAVP, and the same media
//! again under RTP/AVP. The two are one section. Whichever of them does not live is its twin, and keeps its place in every
//! later description with port 0 (RFC 3264 §8). And a section that a leg is never told of (`sdp-media-remove`) has no line
//! there: the other leg sees it rejected.

use std::net::IpAddr;

use sdp::{Effective, MediaSection, Protocol, SessionDescription, name};

use crate::peer::PeerSection;
use crate::{MediaProfile, rewrite};

/// The `m=` lines of a leg's descriptions.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    lines: Vec<Line>,
    withheld: Vec<Withheld>,
}

#[derive(Clone, PartialEq, Eq)]
enum Line {
    /// The section of this number.
    Section(usize),
    /// The same media under another protocol.
    Twin {
        of: usize,
        protocol: String,
        /// We offer it, and have no answer yet.
        offered: bool,
    },
}

/// A section without a line, and what the other leg calls it.
#[derive(Clone, PartialEq, Eq)]
struct Withheld {
    section: usize,
    kind: String,
    protocol: String,
    formats: Vec<String>,
}

control::wire! {
    /// Of these types, for a call's memo.
    pub(crate) const SHAPE;
    struct Layout { lines, withheld }
    struct Withheld { section, kind, protocol, formats }
    enum Line { 0 => Section(section), 1 => Twin { of, protocol, offered } }
}

impl Layout {
    /// Takes the twins out of a peer's offer: what remains is one `m=` line for each section, in order: of two the secure one,
    /// if `is_keyed` finds keys in it. Returns the layout of the offer, and the sections that it offers under both
    /// profiles.
    pub(crate) fn fold_offer(
        &self,
        description: &mut SessionDescription,
        is_keyed: impl Fn(&Effective<'_>) -> bool,
    ) -> (Self, Vec<usize>) {
        let keyed: Vec<bool> = description
            .effective_media()
            .map(|effective| is_secure(effective.media()) && is_keyed(&effective))
            .collect();
        let mut layout = self.clone();
        let count = description.media().len();
        if layout.lines.len() > count {
            // No m= line may go away (RFC 3264 §8). One that does takes its twin's place in no order that we know.
            layout = Self::default();
        }
        let mut both = layout.choose(description.media(), &keyed);
        layout.append(description.media(), &keyed, &mut both);
        layout.take_out(description);
        (layout, both)
    }

    /// Takes the twins out of a peer's answer to our offer of `sections`. An error is the number of `m=` lines that we
    /// offered.
    pub(crate) fn fold_answer(&self, description: &mut SessionDescription, sections: usize) -> Result<Self, usize> {
        let mut layout = self.clone();
        layout.keep(sections);
        if layout.lines.len() != description.media().len() {
            return Err(layout.lines.len());
        }
        let secure: Vec<bool> = description.media().iter().map(is_secure).collect();
        layout.choose(description.media(), &secure);
        layout.take_out(description);
        Ok(layout)
    }

    /// Gives a section its `m=` line, and with `twin` one more under this protocol, if it has none yet.
    pub(crate) fn place(&mut self, section: usize, twin: Option<MediaProfile>) {
        if self.has(section) {
            return;
        }
        self.withheld.retain(|withheld| withheld.section != section);
        self.lines.push(Line::Section(section));
        if let Some(profile) = twin {
            self.lines.push(Line::Twin { of: section, protocol: profile.name().to_owned(), offered: true });
        }
    }

    /// Gives a section no line, unless it has one already.
    pub(crate) fn withhold(&mut self, section: usize, offered: &PeerSection) {
        if self.has(section) {
            return;
        }
        self.withheld.retain(|withheld| withheld.section != section);
        let PeerSection { kind, protocol, formats, .. } = offered;
        let (kind, protocol, formats) = (kind.clone(), protocol.clone(), formats.clone());
        self.withheld.push(Withheld { section, kind, protocol, formats });
    }

    /// It has no line.
    pub(crate) fn withholds(&self, section: usize) -> bool {
        self.withheld.iter().any(|withheld| withheld.section == section)
    }

    /// It has been described to the peer, or by it.
    pub(crate) fn has(&self, section: usize) -> bool {
        self.lines.contains(&Line::Section(section))
    }

    /// We offer it under two protocols.
    pub(crate) fn offers_twin(&self, section: usize) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Twin { of, offered: true, .. } if *of == section))
    }

    /// Forgets the sections from this number on.
    pub(crate) fn keep(&mut self, sections: usize) {
        self.lines.retain(|line| match line {
            Line::Section(number) | Line::Twin { of: number, .. } => *number < sections,
        });
        self.withheld.retain(|withheld| withheld.section < sections);
    }

    /// Puts the twins into a description of ours, and takes out what is withheld.
    pub(crate) fn unfold(&self, description: &mut SessionDescription, public: IpAddr) {
        if self.is_plain() {
            return;
        }
        let sections = take_media(description);
        for line in &self.lines {
            match line {
                Line::Section(number) => sections.get(*number).cloned(),
                Line::Twin { of, protocol, offered } => sections.get(*of).map(|section| {
                    let mut twin = section.clone();
                    if *offered && !section.is_rejected() {
                        twin.set_protocol(Protocol::parse(protocol));
                        twin.remove_any(&[name::CRYPTO, name::SETUP, name::FINGERPRINT, name::TLS_ID]);
                    } else {
                        rewrite::write_rejected(&mut twin, public, Some(protocol), None);
                    }
                    twin
                }),
            }
            .into_iter()
            .for_each(|section| description.push_media(section));
        }
    }

    /// Each line is the section of its own number.
    fn is_plain(&self) -> bool {
        self.withheld.is_empty() && self.lines.iter().enumerate().all(|(index, line)| *line == Line::Section(index))
    }

    /// Lets the one of each known pair live that the peer lets live, of two the preferred one. Returns sections of which
    /// both do.
    fn choose(&mut self, media: &[MediaSection], preferred: &[bool]) -> Vec<usize> {
        let mut both = Vec::new();
        for index in 0..self.lines.len() {
            let Some(Line::Twin { of, .. }) = self.lines.get(index) else { continue };
            let of = *of;
            let Some(own) = self.lines.iter().position(|line| *line == Line::Section(of)) else { continue };
            let (Some(section), Some(twin)) = (media.get(own), media.get(index)) else { continue };
            let (section_lives, twin_lives) = (!section.is_rejected(), !twin.is_rejected());
            let is_preferred = |index: usize| preferred.get(index).copied().unwrap_or(false);
            if section_lives && twin_lives && (is_preferred(own) || is_preferred(index)) {
                both.push(of);
            }
            let changes = twin_lives && (!section_lives || (is_preferred(index) && !is_preferred(own)));
            let (lives, rejected, protocol) = if changes { (index, own, section) } else { (own, index, twin) };
            let twin = Line::Twin { of, protocol: protocol.protocol().name().to_owned(), offered: false };
            for (at, line) in [(lives, Line::Section(of)), (rejected, twin)] {
                if let Some(slot) = self.lines.get_mut(at) {
                    *slot = line;
                }
            }
        }
        both
    }

    /// Lines that the layout does not know: sections of their own, but for those that are the same under two profiles.
    fn append(&mut self, media: &[MediaSection], keyed: &[bool], both: &mut Vec<usize>) {
        let known = self.lines.len();
        let is_keyed = |index: usize| keyed.get(index).copied().unwrap_or(false);
        // Of each pair the line that is rejected, and the one that lives.
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (index, section) in media.iter().enumerate().skip(known) {
            let is_taken = |index: usize| pairs.iter().any(|&(twin, lives)| twin == index || lives == index);
            if is_taken(index) {
                continue;
            }
            let later = media.iter().enumerate().skip(index + 1);
            let same = later.filter(|(other, _)| !is_taken(*other)).find(|(_, other)| are_same(section, other));
            if let Some((other, _)) = same {
                let (secure, plain) = if is_secure(section) { (index, other) } else { (other, index) };
                pairs.push(if is_keyed(secure) { (plain, secure) } else { (secure, plain) });
            }
        }
        let is_twin = |index: usize| pairs.iter().any(|&(twin, _)| twin == index);
        let first = self.lines.iter().filter(|line| matches!(line, Line::Section(_))).count() + self.withheld.len();
        let numbered: Vec<usize> = (known..media.len()).filter(|&index| !is_twin(index)).collect();
        let number = |index: usize| numbered.iter().position(|&other| other == index).map(|position| first + position);
        for (index, section) in media.iter().enumerate().skip(known) {
            let lives = pairs.iter().find(|&&(twin, _)| twin == index).map(|&(_, lives)| lives);
            let Some(of) = number(lives.unwrap_or(index)) else { continue };
            if let Some(lives) = lives {
                both.extend(is_keyed(lives).then_some(of));
                let protocol = section.protocol().name().to_owned();
                self.lines.push(Line::Twin { of, protocol, offered: false });
            } else {
                self.lines.push(Line::Section(of));
            }
        }
    }

    /// Leaves one line for each section, in order; what is withheld is a rejected one.
    fn take_out(&self, description: &mut SessionDescription) {
        if self.is_plain() {
            return;
        }
        let media = take_media(description);
        for number in 0..media.len().saturating_add(self.withheld.len()) {
            let line = self.lines.iter().position(|line| *line == Line::Section(number));
            let withheld = self.withheld.iter().find(|withheld| withheld.section == number);
            let section = line.and_then(|line| media.get(line)).cloned();
            if let Some(section) = section.or_else(|| withheld.map(Withheld::rejected)) {
                description.push_media(section);
            }
        }
    }
}

impl Withheld {
    fn rejected(&self) -> MediaSection {
        let formats = self.formats.iter().map(String::as_str);
        MediaSection::new(&self.kind, 0, Protocol::parse(&self.protocol), formats)
    }
}

fn take_media(description: &mut SessionDescription) -> Vec<MediaSection> {
    std::iter::from_fn(|| description.remove_media(0)).collect()
}

fn profile(section: &MediaSection) -> Option<MediaProfile> {
    section.protocol().name().parse().ok()
}

fn is_secure(section: &MediaSection) -> bool {
    profile(section).is_some_and(MediaProfile::is_secure)
}

/// Two live `m=` lines of the same media and formats, one of them secure and the other plain. Lines with names of their
/// own (`a=mid`, `a=label`) are two by intention.
fn are_same(one: &MediaSection, other: &MediaSection) -> bool {
    let live = |section: &MediaSection| !section.is_rejected() && profile(section).is_some();
    let named = |section: &MediaSection| section.has(name::MID) || section.has(name::LABEL);
    live(one)
        && live(other)
        && is_secure(one) != is_secure(other)
        && one.media_type().eq_ignore_ascii_case(other.media_type())
        && one.formats().eq(other.formats())
        && !named(one)
        && !named(other)
}
