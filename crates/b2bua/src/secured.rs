//! S/MIME on the bodies of a leg (RFC 3261 §23): opened and judged when they come, signed and sealed when they go.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use session::Clocks;
use sip::{Body, Flow, Headers, MediaType, StatusCode, Transport, Uri};
use smime::{
    Certificate, ContentCipher, Facts, Handling, Misconfigured, PeerCertificate, SendError, SendPolicy, Signature,
    Smime, SmimeConfig, SmimeOutcome,
};

use crate::config::{LegPolicy, UnverifiedPolicy};
use crate::{Counters, Fact, description};

/// Bodies of one leg that are known by what was in them: those of a fork's branches, and of a 200 after its 183.
const MAX_OPENED: usize = 4;

/// Facts of one leg that wait for the session to know it.
const MAX_NOTES: usize = 16;

/// Peers whose signatures have been warned of; beyond, they are counted alone.
const MAX_WARNED: usize = 4096;

/// Whom we speak for, whom we believe, and what becomes of the rest.
pub struct SmimeSettings {
    /// Identities, anchors and pinned certificates. The pinned ones are also those that bodies are encrypted to while a leg has
    /// shown none of its own.
    pub config: SmimeConfig,
    /// Signatures that prove nothing.
    pub unverified: UnverifiedPolicy,
    /// What bodies are encrypted in.
    pub cipher: ContentCipher,
    /// When this was made.
    pub clocks: Clocks,
}

/// S/MIME for all calls.
pub(crate) struct Secured {
    smime: Smime,
    pinned: Vec<Certificate>,
    unverified: UnverifiedPolicy,
    cipher: ContentCipher,
    clocks: Clocks,
    warned: HashSet<IpAddr>,
    /// For the log.
    pub(crate) facts: Vec<Fact>,
}

/// What is known of one leg.
#[derive(Default)]
pub(crate) struct SecuredLeg {
    /// Our address on it, and the peer's: those of From and To.
    pub(crate) addresses: Option<(Uri, Uri)>,
    /// What to encrypt to: of its last verified signature.
    certificate: Option<PeerCertificate>,
    /// Secured bodies, and the descriptions in them.
    opened: VecDeque<(Body, Vec<u8>)>,
    /// For the ledger.
    pub(crate) notes: Vec<String>,
}

/// A leg as it is when a body comes in or goes out.
#[derive(Clone, Copy)]
pub(crate) struct LegView<'a> {
    pub(crate) policy: &'a LegPolicy,
    pub(crate) flow: &'a Flow,
}

/// What a body was.
pub(crate) enum Opened {
    Sdp(Vec<u8>),
    /// Nothing that must be understood.
    Nothing,
}

/// Why a body is refused, and how its sender is told.
pub(crate) struct Unopened {
    pub(crate) status: StatusCode,
    pub(crate) accept: Option<&'static str>,
    /// Of the Warning.
    pub(crate) why: String,
    pub(crate) body: Option<Body>,
}

impl Secured {
    /// Believes nobody, and speaks for nobody.
    pub(crate) fn nobody(now: Instant, seed: [u8; 32]) -> Self {
        let clocks = Clocks { instant: now, system: std::time::UNIX_EPOCH };
        let (config, unverified) = (SmimeConfig::default(), UnverifiedPolicy::Warn);
        let settings = SmimeSettings { config, unverified, cipher: ContentCipher::Aes128Gcm, clocks };
        Self::new(settings, seed).expect("nothing is wrong with certificates where there are none")
    }

    pub(crate) fn new(settings: SmimeSettings, seed: [u8; 32]) -> Result<Self, Misconfigured> {
        let SmimeSettings { config, unverified, cipher, clocks } = settings;
        let pinned = config.pinned.clone();
        let smime = Smime::new(config, seed)?;
        Ok(Self { smime, pinned, unverified, cipher, clocks, warned: HashSet::new(), facts: Vec::new() })
    }

    /// Finds the description in a body, and enters what its layers were.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        body: &Body,
        handling: Handling,
        leg: &mut SecuredLeg,
        view: LegView<'_>,
        counters: &mut Counters,
    ) -> Result<Opened, Unopened> {
        if let Some(sdp) = leg.known(body) {
            return Ok(Opened::Sdp(sdp));
        }
        let Some((own, peer)) = leg.addresses.clone() else { return Err(Unopened::no_description()) };
        let received = match self.smime.receive(self.clocks.wall(now), body, handling, &peer) {
            SmimeOutcome::Received(received) => received,
            SmimeOutcome::Ignored(refusal) => {
                counters.count_smime("ignored", refusal.label());
                leg.note(format!("S/MIME: a body that need not be read was passed over: {}", refusal.label()));
                return Ok(Opened::Nothing);
            }
            SmimeOutcome::Refused(refusal) => {
                counters.count_smime("refused", refusal.label());
                let reply = self.smime.reply(refusal, &own);
                let why = format!("S/MIME: {}", refusal.label());
                return Err(Unopened { status: reply.status, accept: reply.accept, why, body: reply.body });
            }
        };
        self.judge(&received.facts, view, counters)?;
        let is_secured = is_secured(body);
        if is_secured {
            leg.note(words(&received.facts));
        }
        if let Signature::Verified { certificate, .. } = &received.facts.signature {
            leg.certificate = Some(certificate.clone());
        }
        let sdp = description::of(&received.body).ok_or_else(Unopened::no_description)?;
        if is_secured {
            leg.opened.truncate(MAX_OPENED - 1);
            leg.opened.push_front((body.clone(), sdp.clone()));
        }
        Ok(Opened::Sdp(sdp))
    }

    fn judge(&mut self, found: &Facts, view: LegView<'_>, counters: &mut Counters) -> Result<(), Unopened> {
        let label = found.signature.label();
        if let Some(encryption) = found.encryption {
            counters.count_smime("opened", encryption.cipher.label());
        }
        let refusal = match &found.signature {
            Signature::Verified { .. } => None,
            _ if view.policy.smime.required => Some("this leg must sign what it says of its media"),
            Signature::Unverified(_) if self.unverified == UnverifiedPolicy::Refuse => {
                Some("the signature proves nothing, and sip.smime.unverified is refuse")
            }
            _ => None,
        };
        if let Some(why) = refusal {
            counters.count_smime("refused", label);
            return Err(Unopened::plain(format!("S/MIME: {why}: {label}")));
        }
        if found.signature != Signature::None {
            counters.count_smime("signature", label);
        }
        if matches!(found.signature, Signature::Unverified(_))
            && self.unverified == UnverifiedPolicy::Warn
            && self.warned.len() < MAX_WARNED
            && self.warned.insert(view.flow.peer.ip())
        {
            self.facts.push(Fact::UnverifiedSignature { peer: view.flow.peer, cause: label });
        }
        Ok(())
    }

    /// Puts the layers around a description that the leg's policy asks for. `Err` says why it cannot go out as it should.
    pub(crate) fn secure(
        &mut self,
        now: Instant,
        sdp: Vec<u8>,
        leg: &mut SecuredLeg,
        view: LegView<'_>,
        counters: &mut Counters,
    ) -> Result<Body, String> {
        let body = Body::sdp(sdp);
        let policy = view.policy.smime;
        if !policy.sign && !policy.encrypt {
            return Ok(body);
        }
        match self.add_layers(now, &body, leg, view) {
            Ok(secured) => {
                let result = match (policy.sign, policy.encrypt) {
                    (true, true) => "signed_and_encrypted",
                    (true, false) => "signed",
                    _ => "encrypted",
                };
                counters.count_smime("sent", result);
                leg.note(format!("S/MIME: what we send is {}", result.replace('_', " ")));
                Ok(secured)
            }
            Err((label, why)) => {
                counters.count_smime("not_sent", label);
                Err(format!("S/MIME: {why}"))
            }
        }
    }

    /// Whether a description could go out to this leg, before anything is promised to it.
    pub(crate) fn can_secure(&self, now: Instant, leg: &SecuredLeg, view: LegView<'_>) -> Result<(), String> {
        let policy = view.policy.smime;
        if !policy.sign && !policy.encrypt {
            return Ok(());
        }
        let (own, _, certificate) = self.layers(now, leg, view).map_err(|(_, why)| why)?;
        let missing = match () {
            () if policy.sign && !self.smime.speaks_for(own) => SendError::NoIdentity,
            () if policy.encrypt && certificate.is_none() => SendError::NoPeerCertificate,
            () => return Ok(()),
        };
        Err(missing.to_string())
    }

    fn add_layers(
        &mut self,
        now: Instant,
        body: &Body,
        leg: &SecuredLeg,
        view: LegView<'_>,
    ) -> Result<Body, (&'static str, String)> {
        let (own, policy, certificate) = self.layers(now, leg, view)?;
        let sent = self.smime.send(self.clocks.wall(now), body, own, &policy, certificate.as_ref());
        sent.map_err(|error| (send_label(error), error.to_string()))
    }

    /// As whom, how, and to which certificate.
    fn layers<'a>(
        &self,
        now: Instant,
        leg: &'a SecuredLeg,
        view: LegView<'_>,
    ) -> Result<(&'a Uri, SendPolicy, Option<PeerCertificate>), (&'static str, String)> {
        if view.flow.transport == Transport::Udp {
            // RFC 3261 §18.1.1: with a signature a message is longer than a datagram may be.
            return Err(("udp", "a signed or encrypted body does not go by UDP".to_owned()));
        }
        let Some((own, peer)) = &leg.addresses else {
            return Err(("no_identity", SendError::NoIdentity.to_string()));
        };
        let encrypt = view.policy.smime.encrypt.then_some(self.cipher);
        let policy = SendPolicy { sign: view.policy.smime.sign, encrypt, ..SendPolicy::default() };
        let trust = |certificate| self.smime.trust(self.clocks.wall(now), certificate, peer).ok();
        let certificate = leg.certificate.clone().or_else(|| self.pinned.iter().find_map(trust));
        Ok((own, policy, certificate))
    }

    /// A certificate that a leg has shown before.
    pub(crate) fn trust(&self, now: Instant, der: &[u8], peer: &Uri) -> Option<PeerCertificate> {
        self.smime.trust(self.clocks.wall(now), &Certificate::from_der(der)?, peer).ok()
    }

    /// What the clock on the wall says.
    pub(crate) fn wall(&self, now: Instant) -> SystemTime {
        self.clocks.wall(now)
    }

    pub(crate) fn set_clocks(&mut self, clocks: Clocks) {
        self.clocks = clocks;
    }
}

impl SecuredLeg {
    pub(crate) fn new(addresses: Option<(Uri, Uri)>) -> Self {
        Self { addresses, ..Self::default() }
    }

    /// The same for another call that borrows the leg's dialog.
    pub(crate) fn lent(&self) -> Self {
        let Self { addresses, certificate, opened, notes: _ } = self;
        Self {
            addresses: addresses.clone(),
            certificate: certificate.clone(),
            opened: opened.clone(),
            notes: Vec::new(),
        }
    }

    /// As it was written down.
    pub(crate) fn restored(
        addresses: Option<(Uri, Uri)>,
        certificate: Option<PeerCertificate>,
        opened: Option<(Body, Vec<u8>)>,
    ) -> Self {
        Self { addresses, certificate, opened: opened.into_iter().collect(), notes: Vec::new() }
    }

    /// DER of the certificate of its last verified signature.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        self.certificate.as_ref().map(|certificate| certificate.certificate().der().to_vec())
    }

    /// What was in a secured body when it was opened.
    pub(crate) fn known(&self, body: &Body) -> Option<Vec<u8>> {
        self.opened.iter().find(|(known, _)| known == body).map(|(_, sdp)| sdp.clone())
    }

    fn note(&mut self, words: String) {
        if self.notes.len() < MAX_NOTES && !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }
}

impl Unopened {
    fn plain(why: String) -> Self {
        Self { status: StatusCode::NOT_ACCEPTABLE_HERE, accept: None, why, body: None }
    }

    pub(crate) fn not_sent(why: String) -> Self {
        Self::plain(format!("S/MIME: {why}"))
    }

    pub(crate) fn no_description() -> Self {
        Self::plain("there is no session description in the body".to_owned())
    }

    /// Accept, with 415.
    pub(crate) fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        if let Some(accept) = self.accept {
            headers.push(sip::name::ACCEPT, accept);
        }
        headers
    }
}

/// Whether a body has layers of S/MIME.
pub(crate) fn is_secured(body: &Body) -> bool {
    MediaType::parse(&body.content_type).is_some_and(|media| {
        media.is("multipart", "signed")
            || ["pkcs7-mime", "x-pkcs7-mime"].iter().any(|kind| media.is("application", kind))
    })
}

/// What was found out, for the ledger.
fn words(facts: &Facts) -> String {
    let signature = match &facts.signature {
        Signature::None => "not signed".to_owned(),
        Signature::Verified { identity, algorithm, .. } => format!("signed by {identity}, verified ({algorithm})"),
        Signature::Unverified(reason) => format!("a signature that proves nothing ({reason})"),
    };
    match facts.encryption {
        Some(encryption) => {
            format!("S/MIME: {signature}; encrypted ({} by {})", encryption.cipher, encryption.key_management)
        }
        None => format!("S/MIME: {signature}"),
    }
}

fn send_label(error: SendError) -> &'static str {
    match error {
        SendError::NoIdentity => "no_identity",
        SendError::NoPeerCertificate => "no_peer_certificate",
        SendError::PeerKeyUsage => "peer_key_usage",
        SendError::TooLarge => "too_large",
        SendError::Engine => "engine",
    }
}
