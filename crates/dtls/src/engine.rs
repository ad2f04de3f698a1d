//! One BoringSSL association over a queue of datagrams: one write is one datagram, a read without one would block.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use boring::error::ErrorStack;
use boring::ssl::{Error as SslError, ErrorCode, Ssl, SslContext, SslRef, SslStream, SslVersion};
use control::{DtlsRole, Fingerprint, HashAlgorithm, MasterKey, Profile, TransportFailure};
use zeroize::Zeroizing;

use crate::context::{FIRST_SHARE, Findings, findings_index};
use crate::{Error, ffi};

/// First retransmission of a flight, in milliseconds. BoringSSL doubles it up to a minute, and gives up after twelve.
const INITIAL_TIMEOUT: u32 = 200;

/// Origin of the engine's clock: past zero, so that nothing an engine subtracts from it can be negative.
const CLOCK_ORIGIN: Duration = Duration::from_secs(1 << 20);

/// BoringSSL refuses a smaller one (256 bytes less IP and UDP headers).
const MIN_MTU: usize = 228;

/// The datagrams of the largest flight (a certificate chain of 16 KiB at the smallest MTU) and some more.
const MAX_OUTGOING: usize = 128;

/// 2 × (key + salt) of the largest profile (GCM-256: 32 + 12).
const MAX_MATERIAL: usize = 88;

const ALERT_HANDSHAKE_FAILURE: u8 = 40;

/// The two ends of an association's datagrams.
#[derive(Default)]
struct Wire {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.incoming.take() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let length = datagram.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(&datagram) {
            *to = *from;
        }
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.outgoing.len() < MAX_OUTGOING {
            self.outgoing.push_back(datagram.to_vec());
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How far an engine has come after a call.
pub(crate) enum Progress {
    /// It waits for the peer.
    Pending,
    /// The handshake has just been completed, and everything that we ask for is there.
    Established(Box<Established>),
    /// It will not be. An alert may wait to be sent.
    Failed(TransportFailure),
    /// The peer has closed the established association.
    Closed,
}

/// What a handshake has brought.
pub(crate) struct Established {
    pub(crate) profile: Profile,
    pub(crate) version: &'static str,
    /// Of the key exchange, in BoringSSL's words.
    pub(crate) group: &'static str,
    pub(crate) hash: HashAlgorithm,
    pub(crate) inbound: MasterKey,
    pub(crate) outbound: MasterKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Handshaking,
    Established,
    Dead,
}

/// One association's engine.
pub(crate) struct Engine {
    stream: SslStream<Wire>,
    role: DtlsRole,
    origin: Instant,
    state: State,
    /// When the engine wants [`Engine::handle_timeout`].
    timer: Option<Instant>,
    certificate_requested: bool,
}

impl Engine {
    /// `fingerprints` are all of one hash function.
    pub(crate) fn new(
        now: Instant,
        context: &SslContext,
        role: DtlsRole,
        fingerprints: Vec<Fingerprint>,
        mtu: usize,
    ) -> Result<Self, Error> {
        ffi::set_clock(CLOCK_ORIGIN);
        let mut ssl = Ssl::new(context)?;
        ssl.set_ex_data(findings_index()?, Findings { fingerprints, matched: None, failure: None });
        ssl.set_mtu(u32::try_from(mtu.max(MIN_MTU)).unwrap_or(u32::MAX))?;
        ffi::set_initial_timeout(&mut ssl, INITIAL_TIMEOUT);
        ffi::shed_configuration(&mut ssl);
        if role == DtlsRole::Client && !ffi::offer_share_of(&mut ssl, FIRST_SHARE) {
            return Err(ErrorStack::get().into());
        }
        let stream = SslStream::new(ssl, Wire::default())?;
        Ok(Self { stream, role, origin: now, state: State::Handshaking, timer: None, certificate_requested: false })
    }

    /// Takes a datagram that the guard has let through.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: Vec<u8>) -> Progress {
        if self.state == State::Dead {
            return Progress::Pending;
        }
        self.stream.get_mut().incoming = Some(datagram);
        self.advance(now)
    }

    /// Goes on with what there is; without a datagram this starts a client.
    pub(crate) fn advance(&mut self, now: Instant) -> Progress {
        self.set_clock(now);
        let progress = match self.state {
            State::Handshaking => self.hand_shake(),
            State::Established => self.read(),
            State::Dead => Progress::Pending,
        };
        // What the engine did not want, it does not get later: it might then be taken for an answer to something else.
        self.stream.get_mut().incoming = None;
        self.note_timer(now);
        progress
    }

    fn hand_shake(&mut self) -> Progress {
        ffi::take_certificate_requested();
        let result = match self.role {
            DtlsRole::Client => self.stream.connect(),
            DtlsRole::Server => self.stream.accept(),
        };
        self.certificate_requested |= ffi::take_certificate_requested();
        match result {
            Ok(()) => self.establish(),
            Err(error) if error.would_block() => Progress::Pending,
            Err(error) => {
                self.state = State::Dead;
                Progress::Failed(self.finding().unwrap_or_else(|| failure_of(&error)))
            }
        }
    }

    fn finding(&self) -> Option<TransportFailure> {
        let index = findings_index().ok()?;
        self.stream.ssl().ex_data(index)?.failure
    }

    fn establish(&mut self) -> Progress {
        match self.checked() {
            Ok(established) => {
                self.state = State::Established;
                // The datagram may go on behind the Finished; what is there cannot undo the handshake.
                match self.read() {
                    Progress::Closed => Progress::Failed(TransportFailure::AlertReceived(0)),
                    _ => Progress::Established(Box::new(established)),
                }
            }
            Err(failure) => {
                self.state = State::Dead;
                ffi::send_fatal_alert(self.stream.ssl_mut(), ALERT_HANDSHAKE_FAILURE);
                Progress::Failed(failure)
            }
        }
    }

    /// A complete handshake is not enough: everything is asked for once more before there are keys.
    fn checked(&self) -> Result<Established, TransportFailure> {
        let ssl = self.stream.ssl();
        let index = findings_index().map_err(|_| TransportFailure::Internal)?;
        let findings = ssl.ex_data(index).ok_or(TransportFailure::Internal)?;
        let hash = findings.matched.ok_or(TransportFailure::CertificateMissing)?;
        // RFC 5763 §5 has both sides authenticate: a server that did not ask for our certificate cannot know us.
        if !self.certificate_requested && self.role == DtlsRole::Client {
            return Err(TransportFailure::CertificateMissing);
        }
        let version = match ssl.version2() {
            Some(SslVersion::DTLS1_3) => "DTLSv1.3",
            Some(SslVersion::DTLS1_2) => "DTLSv1.2",
            _ => return Err(TransportFailure::Version),
        };
        if version == "DTLSv1.2" && !ffi::has_extended_master_secret(ssl) {
            return Err(TransportFailure::NoExtendedMasterSecret);
        }
        let selected = ssl.selected_srtp_profile().ok_or(TransportFailure::NoUseSrtp)?;
        let profile = u16::try_from(selected.id().as_raw())
            .ok()
            .and_then(Profile::from_dtls_id)
            .ok_or(TransportFailure::Internal)?;
        let (inbound, outbound) = master_keys(ssl, self.role, profile).ok_or(TransportFailure::Internal)?;
        let group = ssl.curve_name().unwrap_or("none");
        Ok(Established { profile, version, group, hash, inbound, outbound })
    }

    /// After the handshake: answers a repeated final flight, takes 1.3's post-handshake messages, and throws application
    /// data away.
    fn read(&mut self) -> Progress {
        let ours = self.stream.get_ref().outgoing.len();
        let mut scratch = [0; 2048];
        loop {
            match self.stream.ssl_read(&mut scratch) {
                Ok(_) => {}
                Err(error) if error.would_block() => return Progress::Pending,
                Err(error) => {
                    self.state = State::Dead;
                    let alert = matches!(failure_of(&error), TransportFailure::AlertReceived(_));
                    if error.code() == ErrorCode::ZERO_RETURN || alert {
                        return Progress::Closed;
                    }
                    // A renegotiation's ClientHello, most likely. BoringSSL answers with a fatal alert, which would end
                    // the peer's association and with it running media: better that it hears nothing.
                    self.stream.get_mut().outgoing.truncate(ours);
                    return Progress::Pending;
                }
            }
        }
    }

    /// When to call [`Engine::handle_timeout`].
    pub(crate) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// Sends again what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Progress {
        if self.state == State::Dead {
            self.timer = None;
            return Progress::Pending;
        }
        self.set_clock(now);
        let goes_on = ffi::handle_timeout(self.stream.ssl_mut());
        self.note_timer(now);
        if goes_on {
            return Progress::Pending;
        }
        // Clears the thread's error queue too, which must be empty before the next call into any engine.
        drop(ErrorStack::get());
        let established = self.state == State::Established;
        self.state = State::Dead;
        self.timer = None;
        if established { Progress::Pending } else { Progress::Failed(TransportFailure::HandshakeTimeout) }
    }

    /// Sends the waiting flight again at once: the path has changed.
    pub(crate) fn repeat_flight(&mut self, now: Instant) -> Progress {
        if self.state == State::Dead || self.timer.is_none() {
            return Progress::Pending;
        }
        self.set_clock(now);
        // A timer of no length is due; the wait after it starts over at the usual one.
        ffi::set_initial_timeout(self.stream.ssl_mut(), 0);
        let progress = self.handle_timeout(now);
        ffi::set_initial_timeout(self.stream.ssl_mut(), INITIAL_TIMEOUT);
        if self.state != State::Dead {
            self.note_timer(now);
        }
        progress
    }

    /// The next datagram to send.
    pub(crate) fn poll_outgoing(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().outgoing.pop_front()
    }

    /// The highest epoch that can be read: 0 until the peer's first encrypted flight is awaited.
    pub(crate) fn read_epoch(&self) -> u16 {
        ffi::read_epoch(self.stream.ssl())
    }

    /// `message_seq` of the handshake message that is awaited.
    pub(crate) fn read_sequence(&self) -> u32 {
        ffi::handshake_read_sequence(self.stream.ssl())
    }

    /// The handshake is over: forgets what only it needed.
    pub(crate) fn settle(&mut self) {
        self.stream.get_mut().outgoing.shrink_to_fit();
        if let Ok(index) = findings_index()
            && let Some(findings) = self.stream.ssl_mut().ex_data_mut(index)
        {
            findings.fingerprints = Vec::new();
        }
    }

    fn set_clock(&self, now: Instant) {
        ffi::set_clock(CLOCK_ORIGIN.saturating_add(now.saturating_duration_since(self.origin)));
    }

    /// The engine's clock must stand at `now`.
    fn note_timer(&mut self, now: Instant) {
        self.timer = match self.state {
            State::Dead => None,
            _ => ffi::timeout(self.stream.ssl()).and_then(|left| now.checked_add(left)),
        };
    }
}

/// Exports and splits (RFC 5764 §4.2): client key, server key, client salt, server salt.
fn master_keys(ssl: &SslRef, role: DtlsRole, profile: Profile) -> Option<(MasterKey, MasterKey)> {
    let mut material = Zeroizing::new([0; MAX_MATERIAL]);
    let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
    let material = material.get_mut(..2 * (key_len + salt_len))?;
    ssl.export_keying_material(material, "EXTRACTOR-dtls_srtp", None).ok()?;
    let (keys, salts) = material.split_at_checked(2 * key_len)?;
    let (client_key, server_key) = keys.split_at_checked(key_len)?;
    let (client_salt, server_salt) = salts.split_at_checked(salt_len)?;
    let client = MasterKey::new(profile, client_key, client_salt).ok()?;
    let server = MasterKey::new(profile, server_key, server_salt).ok()?;
    Some(match role {
        DtlsRole::Client => (server, client),
        DtlsRole::Server => (client, server),
    })
}

/// The label of an engine's error.
fn failure_of(error: &SslError) -> TransportFailure {
    if error.code() == ErrorCode::ZERO_RETURN {
        return TransportFailure::AlertReceived(0);
    }
    let Some(stack) = error.ssl_error() else {
        return TransportFailure::Internal;
    };
    // The first error is the cause, those after it are its circumstances.
    let reason = stack.errors().iter().find_map(|error| error.library_reason(boring_sys::ERR_LIB_SSL));
    reason.map_or(TransportFailure::ProtocolViolation, failure_of_reason)
}

fn failure_of_reason(reason: i32) -> TransportFailure {
    match reason {
        boring_sys::SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE => TransportFailure::CertificateMissing,
        boring_sys::SSL_R_UNSUPPORTED_PROTOCOL
        | boring_sys::SSL_R_WRONG_SSL_VERSION
        | boring_sys::SSL_R_UNKNOWN_PROTOCOL
        | boring_sys::SSL_R_WRONG_VERSION_NUMBER => TransportFailure::Version,
        // As client: the server chose what we did not offer.
        boring_sys::SSL_R_BAD_SRTP_PROTECTION_PROFILE_LIST => TransportFailure::NoCommonProfile,
        boring_sys::SSL_R_READ_TIMEOUT_EXPIRED => TransportFailure::HandshakeTimeout,
        // The reasons of received alerts are 1000 + their code.
        1000..=1255 => TransportFailure::AlertReceived(u8::try_from(reason - 1000).unwrap_or(u8::MAX)),
        _ => TransportFailure::ProtocolViolation,
    }
}
