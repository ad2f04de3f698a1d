//! One of several answers to one offer (RFC 3261 §12.1): what a transport keeps for each peer behind its port.
//!
//! The branch that media goes to stands in front: its state is the transport's own fields, so that a call without forks
//! pays nothing. The others wait in [`Transport::branches`]. Whatever is to be done for one of them (a plan, a handshake's
//! message, a packet) is done by the very code that serves the front: the branch changes places with it for that time.

use std::time::Instant;

use control::{BranchId, IceState, KeyingState, TransportPlan};

use crate::handshake::Handle;
use crate::path::Path;
use crate::queue::ShortQueue;
use crate::streams::StreamsIn;
use crate::transport::{Association, EARLY_DTLS, EARLY_MEDIA, HandshakeKeys, Ingress, Parked, PeerKeys, Transport};

/// A branch that does not stand in front.
pub(crate) struct Branch {
    pub(crate) id: BranchId,
    pub(crate) plan: Option<TransportPlan>,
    pub(crate) path: Path,
    pub(crate) ingress: Ingress,
    pub(crate) association: Option<Box<Association>>,
    pub(crate) handshake_waiting: usize,
    pub(crate) early_media: ShortQueue,
    pub(crate) streams_in: StreamsIn,
    pub(crate) parked: Option<Box<Parked>>,
    pub(crate) early_dtls: ShortQueue,
    source: u64,
    ice: IceState,
    rekeyed: Option<Instant>,
    succession: bool,
    keying: KeyingState,
    handshake_keys: Option<Box<HandshakeKeys>>,
    former_keys: Option<Box<PeerKeys>>,
    closed_by_peer: bool,
}

impl Branch {
    /// Nothing is known of it but that its offer is the one of `transport`. `source` names its streams.
    pub(crate) fn new(now: Instant, transport: &Transport, plan: &TransportPlan, source: u64) -> Self {
        Self {
            id: plan.branch,
            plan: None,
            path: transport.path.fork(now, plan),
            ingress: Ingress::Closed,
            association: None,
            handshake_waiting: 0,
            early_media: ShortQueue::new(&EARLY_MEDIA),
            streams_in: StreamsIn::default(),
            parked: None,
            early_dtls: ShortQueue::new(&EARLY_DTLS),
            source,
            ice: if plan.ice.is_some() { IceState::Waiting } else { IceState::Off },
            rekeyed: None,
            succession: false,
            keying: KeyingState::Pending,
            handshake_keys: None,
            former_keys: None,
            closed_by_peer: false,
        }
    }

    /// Its handshake has ended well.
    pub(crate) fn has_handshake_key(&self) -> bool {
        self.handshake_keys.is_some()
    }
}

impl Transport {
    /// Lets the branch at `place` change places with the one in front. The way out is not touched.
    pub(crate) fn exchange(&mut self, place: usize) {
        use std::mem::swap;
        let Some(branch) = self.branches.get_mut(place) else { return };
        swap(&mut self.branch, &mut branch.id);
        swap(&mut self.plan, &mut branch.plan);
        swap(&mut self.path, &mut branch.path);
        swap(&mut self.ingress, &mut branch.ingress);
        swap(&mut self.association, &mut branch.association);
        swap(&mut self.handshake_waiting, &mut branch.handshake_waiting);
        swap(&mut self.early_media, &mut branch.early_media);
        swap(&mut self.streams_in, &mut branch.streams_in);
        swap(&mut self.parked, &mut branch.parked);
        swap(&mut self.early_dtls, &mut branch.early_dtls);
        swap(&mut self.source, &mut branch.source);
        swap(&mut self.ice, &mut branch.ice);
        swap(&mut self.rekeyed, &mut branch.rekeyed);
        swap(&mut self.succession, &mut branch.succession);
        swap(&mut self.keying, &mut branch.keying);
        swap(&mut self.handshake_keys, &mut branch.handshake_keys);
        swap(&mut self.former_keys, &mut branch.former_keys);
        swap(&mut self.closed_by_peer, &mut branch.closed_by_peer);
    }

    /// Where the association of this name is. `None`: it was given up.
    pub(crate) fn holder(&self, handle: Handle) -> Option<Holder> {
        let is = |association: &Option<Box<Association>>| association.as_ref().is_some_and(|it| it.handle == handle);
        if is(&self.association) {
            return Some(Holder::Front);
        }
        self.branches.iter().position(|branch| is(&branch.association)).map(Holder::Branch)
    }

    /// The count of datagrams that wait for the handshake thread of this association.
    pub(crate) fn waiting_of(&mut self, handle: Handle) -> Option<&mut usize> {
        match self.holder(handle)? {
            Holder::Front => Some(&mut self.handshake_waiting),
            Holder::Branch(place) => self.branches.get_mut(place).map(|branch| &mut branch.handshake_waiting),
        }
    }
}

/// One of a transport's branches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holder {
    /// The one in front.
    Front,
    /// One of the others, by its place.
    Branch(usize),
}
