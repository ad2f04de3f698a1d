//! The record guard: what a datagram must look like before the engine sees it (RFC 6347 §4.1 and §4.2, RFC 9147 §4).
//!
//! [`Survey`] knows nothing but the datagram. [`Guard`] belongs to one association and knows how far it is. Both let
//! through what can belong to a handshake and drop the rest, record by record, without a word: everything here comes from
//! whoever can reach the port. Bounds per datagram are constants; those per association are rates, so that a flood
//! starves nobody for longer than it lasts.

use std::ops::Range;
use std::time::{Duration, Instant};

use control::DtlsRole;

/// Longest datagram that is looked at, in bytes.
pub const MAX_DATAGRAM: usize = 2048;
/// Records of one datagram; the rest is dropped. OpenSSL's longest flights have fewer than ten.
pub const MAX_RECORDS: usize = 32;
/// Handshake fragments of one datagram, over all its plaintext records.
pub const MAX_FRAGMENTS: usize = 32;
/// Longest handshake message, in bytes: a chain of certificates. A ClientHello with a post-quantum share has 1.5 KiB.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Messages ahead of the awaited one that BoringSSL keeps.
pub const MAX_MESSAGES_AHEAD: u32 = 7;

/// An association may take this much at once …
const BURST: Allowance = Allowance { bytes: 96 * 1024, records: 256, fragments: 256 };
/// … and gets this much back each second. Four bursts would fill a handshake at 256-byte fragments with 8 KiB of chain.
const REFILL_PER_SECOND: Allowance = Allowance { bytes: 24 * 1024, records: 96, fragments: 96 };

const PLAINTEXT_HEADER: usize = 13;
const FRAGMENT_HEADER: usize = 12;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
/// The shortest tag of a cipher suite that we offer, and what 1.3's record number encryption samples.
const MIN_CIPHERTEXT: usize = 16;
/// `legacy_version` and `random` at the head of a ClientHello (RFC 8446 §4.1.2).
const HELLO_RANDOM: Range<usize> = 2..34;
/// The shortest ClientHello: version, random, empty session id and cookie, one suite, one compression method.
const MIN_HELLO: usize = 2 + 32 + 1 + 1 + 4 + 2;

/// A fragment's header (RFC 6347 §4.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Fragment {
    kind: u8,
    message_len: usize,
    sequence: u16,
    offset: usize,
    len: usize,
}

/// A fragment of a ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelloFragment {
    /// The client's random; only the first fragment has it.
    pub random: Option<[u8; 32]>,
    /// Length of the whole message, in bytes.
    pub message_len: usize,
    /// Where in the message this fragment starts.
    pub offset: usize,
    /// `message_seq`: 0, or 1 after a HelloRetryRequest.
    pub sequence: u16,
}

/// A plaintext alert: nobody knows who sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaintextAlert {
    /// It ends the association (level fatal, or close_notify).
    pub fatal: bool,
    /// Its code.
    pub code: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    ChangeCipherSpec,
    Handshake,
    Ciphertext,
}

#[derive(Clone, Debug)]
struct Record {
    kind: Kind,
    range: Range<usize>,
}

/// The well-formed records of a datagram.
#[derive(Clone, Debug)]
pub struct Survey<'a> {
    datagram: &'a [u8],
    records: Vec<Record>,
    hello: Option<HelloFragment>,
    alert: Option<PlaintextAlert>,
}

impl<'a> Survey<'a> {
    /// `None` when nothing in it could belong to any association.
    pub fn of(datagram: &'a [u8]) -> Option<Self> {
        if datagram.len() > MAX_DATAGRAM {
            return None;
        }
        let mut survey = Self { datagram, records: Vec::new(), hello: None, alert: None };
        let mut fragments = 0;
        let mut at = 0;
        for _ in 0..MAX_RECORDS {
            let Some(length) = datagram.get(at..).and_then(record_len) else {
                break;
            };
            let range = at..at.saturating_add(length);
            at = range.end;
            survey.note_record(range, &mut fragments);
        }
        (!survey.records.is_empty() || survey.alert.is_some()).then_some(survey)
    }

    fn note_record(&mut self, range: Range<usize>, fragments: &mut usize) {
        let Some(record) = self.datagram.get(range.clone()) else {
            return;
        };
        let kind = match record {
            [0x20..=0x3f, ..] => Kind::Ciphertext,
            [kind @ 20..=26, _, _, 0, 0, ..] => {
                let body = record.get(PLAINTEXT_HEADER..).unwrap_or_default();
                match (*kind, body) {
                    (CHANGE_CIPHER_SPEC, [1]) => Kind::ChangeCipherSpec,
                    (ALERT, [level @ 1..=2, code]) => {
                        self.alert = Some(PlaintextAlert { fatal: *level == 2 || *code == 0, code: *code });
                        return;
                    }
                    (HANDSHAKE, body) if self.note_fragments(body, fragments) => Kind::Handshake,
                    _ => return,
                }
            }
            // DTLS 1.2 has one epoch of its own, for as long as nobody renegotiates.
            [CHANGE_CIPHER_SPEC..=APPLICATION_DATA, _, _, 0, 1, ..] => Kind::Ciphertext,
            _ => return,
        };
        self.records.push(Record { kind, range });
    }

    /// `false` when one of them is impossible: then none of the record is taken.
    fn note_fragments(&mut self, body: &[u8], count: &mut usize) -> bool {
        let mut hello = None;
        let mut any = false;
        for fragment in Fragments(body) {
            let Some((fragment, bytes)) = fragment else {
                return false;
            };
            *count = count.saturating_add(1);
            if *count > MAX_FRAGMENTS {
                return false;
            }
            any = true;
            if fragment.kind == CLIENT_HELLO {
                if fragment.message_len < MIN_HELLO || fragment.sequence > 1 {
                    return false;
                }
                let random = (fragment.offset == 0).then(|| bytes.get(HELLO_RANDOM)?.try_into().ok()).flatten();
                hello = hello.or(Some(HelloFragment {
                    random,
                    message_len: fragment.message_len,
                    offset: fragment.offset,
                    sequence: fragment.sequence,
                }));
            }
        }
        self.hello = self.hello.or(hello);
        any
    }

    /// The first fragment of a ClientHello in it.
    pub fn hello(&self) -> Option<HelloFragment> {
        self.hello
    }

    /// The last plaintext alert in it. Such alerts are never among what [`Guard::admit`] lets through.
    pub fn alert(&self) -> Option<PlaintextAlert> {
        self.alert
    }
}

/// How far an association's engine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The highest epoch that it reads.
    pub read_epoch: u16,
    /// `message_seq` of the handshake message that it waits for.
    pub read_sequence: u32,
}

/// Stands in front of one association.
pub struct Guard {
    role: DtlsRole,
    left: Allowance,
    refilled: Instant,
    /// What the first fragment of a message said of it, by `message_seq` modulo its size.
    shapes: Option<Box<[Option<Shape>; SHAPES]>>,
}

/// `message_seq`, type and length of a handshake message.
type Shape = (u16, u8, usize);

/// Messages whose shapes are remembered.
const SHAPES: usize = 8;

impl Guard {
    /// `role` is ours.
    pub fn new(now: Instant, role: DtlsRole) -> Self {
        Self { role, left: BURST, refilled: now, shapes: None }
    }

    /// The handshake is over: what comes from here on is encrypted.
    pub fn settle(&mut self) {
        self.shapes = None;
    }

    /// The records of a datagram that the engine may see, as a datagram. `None`: none of them.
    pub fn admit(&mut self, now: Instant, survey: &Survey<'_>, position: Position) -> Option<Vec<u8>> {
        self.refill(now);
        let mut admitted = Vec::new();
        let mut plaintext = false;
        for record in &survey.records {
            let bytes = survey.datagram.get(record.range.clone()).unwrap_or_default();
            let fits = match record.kind {
                // Behind a record that may bring the keys for it, or when they are there.
                Kind::Ciphertext => plaintext || position.read_epoch > 0,
                Kind::ChangeCipherSpec => position.read_epoch == 0 && position.read_sequence > 0,
                Kind::Handshake => position.read_epoch == 0 && self.fits(bytes, position),
            };
            if !fits || !self.left.take(bytes) {
                continue;
            }
            plaintext |= record.kind != Kind::Ciphertext;
            admitted.extend_from_slice(bytes);
        }
        (!admitted.is_empty()).then_some(admitted)
    }

    /// All fragments are of messages that this association may get now and has not got, and agree with what came before.
    fn fits(&mut self, record: &[u8], position: Position) -> bool {
        let body = record.get(PLAINTEXT_HEADER..).unwrap_or_default();
        let mut awaited = false;
        for (fragment, _) in Fragments(body).flatten() {
            let sequence = u32::from(fragment.sequence);
            let ahead = sequence.checked_sub(position.read_sequence);
            // The first message that a server gets stands alone: nobody can answer what we have not sent.
            let early = self.role == DtlsRole::Server && position.read_sequence == 0 && sequence != 0;
            if !is_expected(self.role, fragment.kind) || early || ahead.is_some_and(|ahead| ahead >= MAX_MESSAGES_AHEAD)
            {
                return false;
            }
            if ahead.is_some() {
                awaited = true;
                let slot = usize::from(fragment.sequence) % SHAPES;
                let Some(shape) = self.shapes.get_or_insert_default().get_mut(slot) else {
                    return false;
                };
                let this = (fragment.sequence, fragment.kind, fragment.message_len);
                match shape {
                    Some(known) if known.0 == this.0 && *known != this => return false,
                    _ => *shape = Some(this),
                }
            }
        }
        awaited
    }

    fn refill(&mut self, now: Instant) {
        // Whole milliseconds only, so that calls in quick succession do not lose what they round away.
        let passed = now.saturating_duration_since(self.refilled);
        let milliseconds = usize::try_from(passed.as_millis()).unwrap_or(usize::MAX).min(60_000);
        let back = |per_second: usize| per_second.saturating_mul(milliseconds) / 1000;
        if back(REFILL_PER_SECOND.records) == 0 {
            return;
        }
        self.refilled = if passed > Duration::from_secs(60) { now } else { self.refilled + whole_milliseconds(passed) };
        let left = &mut self.left;
        left.bytes = left.bytes.saturating_add(back(REFILL_PER_SECOND.bytes)).min(BURST.bytes);
        left.records = left.records.saturating_add(back(REFILL_PER_SECOND.records)).min(BURST.records);
        left.fragments = left.fragments.saturating_add(back(REFILL_PER_SECOND.fragments)).min(BURST.fragments);
    }
}

fn whole_milliseconds(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[derive(Clone, Copy)]
struct Allowance {
    bytes: usize,
    records: usize,
    fragments: usize,
}

impl Allowance {
    /// Takes what a record costs; `false` when it is not there.
    fn take(&mut self, record: &[u8]) -> bool {
        let fragments = match record {
            [HANDSHAKE, _, _, 0, 0, ..] => Fragments(record.get(PLAINTEXT_HEADER..).unwrap_or_default()).count(),
            _ => 0,
        };
        let after =
            (self.bytes.checked_sub(record.len()), self.records.checked_sub(1), self.fragments.checked_sub(fragments));
        let (Some(bytes), Some(records), Some(fragments)) = after else {
            return false;
        };
        *self = Self { bytes, records, fragments };
        true
    }
}

/// Length of the record at the head, header included. `None`: no record, or not one whose end is known.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let (header, length) = match bytes {
        // RFC 9147 §4: 001CSLEE. We never negotiate a connection ID, so C must be 0.
        [first @ 0x20..=0x3f, ..] => {
            if first & 0x10 != 0 {
                return None;
            }
            let sequence = if first & 0x08 != 0 { 2 } else { 1 };
            if first & 0x04 != 0 {
                let length = bytes.get(1 + sequence..)?.first_chunk()?;
                (3 + sequence, usize::from(u16::from_be_bytes(*length)))
            } else {
                (1 + sequence, bytes.len().checked_sub(1 + sequence)?)
            }
        }
        // 26 is ACK, which is legal only encrypted; its header is well-formed all the same.
        [20..=26, 0xfe, 0xff | 0xfd, ..] => {
            let length = bytes.get(11..)?.first_chunk()?;
            (PLAINTEXT_HEADER, usize::from(u16::from_be_bytes(*length)))
        }
        _ => return None,
    };
    let encrypted = matches!(bytes, [0x20..=0x3f, ..]) || !matches!(bytes.get(3..5), Some([0, 0]));
    let shortest = if encrypted { MIN_CIPHERTEXT } else { 1 };
    let end = header.checked_add(length)?;
    (length >= shortest && end <= bytes.len()).then_some(end)
}

/// The fragments of a plaintext handshake record; `None` for what is none, and then no more.
struct Fragments<'a>(&'a [u8]);

impl<'a> Iterator for Fragments<'a> {
    type Item = Option<(Fragment, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let fragment = fragment(self.0);
        self.0 = match fragment {
            Some((fragment, _)) => self.0.get(FRAGMENT_HEADER.saturating_add(fragment.len)..).unwrap_or_default(),
            None => &[],
        };
        Some(fragment)
    }
}

fn fragment(bytes: &[u8]) -> Option<(Fragment, &[u8])> {
    let (header, rest) = bytes.split_at_checked(FRAGMENT_HEADER)?;
    let [kind, m0, m1, m2, s0, s1, o0, o1, o2, l0, l1, l2] = *header.first_chunk()?;
    let u24 = |a, b, c| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let fragment = Fragment {
        kind,
        message_len: u24(m0, m1, m2),
        sequence: u16::from_be_bytes([s0, s1]),
        offset: u24(o0, o1, o2),
        len: u24(l0, l1, l2),
    };
    let inside = fragment.offset.checked_add(fragment.len).is_some_and(|end| end <= fragment.message_len);
    // An empty fragment of a message that is not empty says nothing, and costs the engine memory to remember.
    let says_something = fragment.len > 0 || fragment.message_len == 0;
    let body = rest.get(..fragment.len)?;
    (fragment.message_len <= MAX_MESSAGE && inside && says_something).then_some((fragment, body))
}

/// Handshake messages that the peer may send in the clear (RFC 5246 §7.4, RFC 8446 §4).
fn is_expected(our_role: DtlsRole, kind: u8) -> bool {
    match our_role {
        // ClientHello, Certificate, CertificateVerify, ClientKeyExchange.
        DtlsRole::Server => matches!(kind, CLIENT_HELLO | 11 | 15 | 16),
        // ServerHello, HelloVerifyRequest, NewSessionTicket, Certificate, ServerKeyExchange, CertificateRequest,
        // ServerHelloDone, CertificateStatus.
        DtlsRole::Client => matches!(kind, 2..=4 | 11..=14 | 22),
    }
}

#[cfg(test)]
mod tests;
