//! What a front door asks.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::Options;

/// Ties a reply to its request: the front door's own number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// What a front door asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// An offer is on its way from one party to another.
    Offer(Box<Negotiation>),
    /// The answer to the latest offer between two parties.
    Answer(Box<Negotiation>),
    /// A party wants to hear itself: the offer is answered here, and its audio goes back to it. A later one with the same tag is
    /// a re-offer. `to_tag` and `via_branch` are without meaning.
    Echo(Box<Negotiation>),
    /// A party that wants to hear itself asks for an offer: it is made here, with one section of audio, as the options say. `sdp`,
    /// `to_tag` and `via_branch` are without meaning.
    EchoOffer(Box<Negotiation>),
    /// That party's answer to it. `to_tag` and `via_branch` are without meaning.
    EchoAnswer(Box<Negotiation>),
    /// The latest offer between two parties was refused: what was agreed before stays, and either may offer at once.
    Withdraw(Withdraw),
    /// What the front door found out about a leg's signalling, for the ledger.
    Note(Note),
    /// What the front door has to know of a call after a restart.
    Remember(Remember),
    /// Somebody wants to hear parties of a call, and nothing else: an offer to them is made here.
    Subscribe(Box<Subscribe>),
    /// The subscriber's answer to that offer: `to_tag` names it.
    SubscribeAnswer(Box<Negotiation>),
    /// A subscriber has heard enough.
    Unsubscribe(Unsubscribe),
    /// End a call, or one branch of it.
    Delete(Delete),
    /// What is known of a call.
    Query(Query),
    /// Block media, pass it as silence, or let it pass again.
    Treat(Treat),
    /// The Call-IDs, oldest first.
    List {
        /// At most so many.
        limit: usize,
    },
    /// Totals over all calls.
    Statistics,
}

/// An offer or an answer as signalling delivers it. An empty field counts as missing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Negotiation {
    /// The Call-ID.
    pub call_id: String,
    /// Tag of the party that sent the *offer*, in an offer and in its answer (the From tag of the transaction).
    pub from_tag: String,
    /// Tag of the party that gets the offer: known in a re-offer and in an answer.
    pub to_tag: Option<String>,
    /// Tells the branches of a forked request apart.
    pub via_branch: Option<String>,
    /// The session description, as it came.
    pub sdp: Vec<u8>,
    /// Source address of the signalling message.
    pub received_from: Option<IpAddr>,
    /// What to do with it.
    pub options: Options,
}

/// The description holds keys: only its length is shown.
impl fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiation")
            .field("call_id", &self.call_id)
            .field("from_tag", &self.from_tag)
            .field("to_tag", &self.to_tag)
            .field("via_branch", &self.via_branch)
            .field("sdp", &format_args!("{} bytes", self.sdp.len()))
            .field("received_from", &self.received_from)
            .field("options", &self.options)
            .finish()
    }
}

/// End a call, or one branch of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// The Call-ID.
    pub call_id: String,
    /// Must name a party of the call when given.
    pub from_tag: Option<String>,
    /// With `match_to_tag`, must name a party of the call.
    pub to_tag: Option<String>,
    /// Ends only the branch that carries it, when the call has others.
    pub via_branch: Option<String>,
    /// How long ports stay open. `None`: the configured delay.
    pub delay: Option<Duration>,
    /// Flag `fatal`: an unknown call is an error, not a warning.
    pub fatal: bool,
    /// Flag `to-tag`: the to-tag counts.
    pub match_to_tag: bool,
    /// Flag `fast`: reply without statistics.
    pub fast: bool,
}

/// The latest offer between two parties was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdraw {
    /// The Call-ID.
    pub call_id: String,
    /// One party.
    pub from_tag: String,
    /// The other one.
    pub to_tag: String,
}

/// What the front door found out about the signalling of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The Call-ID.
    pub call_id: String,
    /// Tag of the party that it is about; of nobody if the call has no such party.
    pub tag: String,
    /// In words; [`Note::MAX_WORDS`] bytes of them are kept.
    pub words: String,
}

impl Note {
    /// Bytes.
    pub const MAX_WORDS: usize = 400;
}

/// What the front door has to know of a call after a restart: [`Output::Restored`](crate::Output::Restored) brings the latest back.
/// It is served even while the media half is out of reach, and goes there with the call's memo.
#[derive(Clone, PartialEq, Eq)]
pub struct Remember {
    /// The Call-ID.
    pub call_id: String,
    /// Opaque here. A memo has 64 KiB in all: where both are too large, the front door's part is left out.
    pub state: Zeroizing<Vec<u8>>,
}

/// The state may hold keys: only its length is shown.
impl fmt::Debug for Remember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, state } = self;
        f.debug_struct("Remember")
            .field("call_id", call_id)
            .field("state", &format_args!("{} bytes", state.len()))
            .finish()
    }
}

/// Somebody wants to hear parties of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// The Call-ID.
    pub call_id: String,
    /// The parties to hear, in this order. Empty with [`Flags::all`](crate::Flags): all of them.
    pub from_tags: Vec<String>,
    /// The party of this label, where no tag is given, is [`Options::label`].
    pub options: Options,
    /// The subscriber: a known one gets another offer. `None`: a name is made.
    pub to_tag: Option<String>,
}

/// A subscriber has heard enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The Call-ID.
    pub call_id: String,
    /// The subscriber.
    pub to_tag: Option<String>,
}

/// What is known of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The Call-ID.
    pub call_id: String,
    /// Only this party.
    pub from_tag: Option<String>,
    /// Only this party; with `from_tag` both.
    pub to_tag: Option<String>,
}

/// Block media, pass it as silence, or let it pass again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treat {
    /// The Call-ID.
    pub call_id: String,
    /// What is done.
    pub treatment: Treatment,
    /// True to begin, false to end.
    pub on: bool,
    /// Whose media. `None`: everybody's.
    pub from: Option<Party>,
    /// Only what goes to this party.
    pub to: Option<Party>,
    /// An end for everybody is one for each party and pair, too.
    pub all: bool,
    /// `set-label`: from here on the label of the party that `from` names.
    pub label: Option<String>,
}

/// What is done to media. Treatments add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Treatment {
    /// Everything is dropped but telephone events.
    Block,
    /// Telephone events are dropped.
    BlockDtmf,
    /// G.711 passes as silence, telephone events pass; what has another codec is dropped.
    Silence,
}

/// How a request names a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// By its tag.
    Tag(String),
    /// By its label.
    Label(String),
    /// By the media address of its description.
    Address(IpAddr),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Label(label) => write!(f, "label {label}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}
