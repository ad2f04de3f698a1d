//! An offer as it is read, whoever is to answer it.

use sdp::SessionDescription;

use super::Desk;
use crate::layout::Layout;
use crate::leg::Leg;
use crate::peer::PeerDescription;
use crate::{Negotiation, OpportunisticForm, Options, Refusal};

/// An offer as it was understood.
pub(crate) struct Offered {
    /// Without the lines that say of the same media a second time what others say.
    pub(crate) description: SessionDescription,
    /// Which m= line of its author's descriptions is which section from here on.
    pub(crate) layout: Layout,
    pub(crate) peer: PeerDescription,
}

impl Offered {
    /// Reads an offer of the party of `leg`, which is not known before its first one. `capabilities`: RFC 5939's lines count.
    pub(crate) fn read(
        desk: &mut Desk<'_>,
        negotiation: &Negotiation,
        leg: Option<&Leg>,
        options: &Options,
        capabilities: bool,
    ) -> Result<Self, Refusal> {
        let mut description = Desk::parse(negotiation)?;
        let before = leg.map(|leg| leg.layout.clone()).unwrap_or_default();
        let (layout, twice) = before.fold_offer(&mut description, |effective| desk.has_usable_keys(effective));
        let mut peer = desk.read(&description, negotiation, options, capabilities)?;
        for section in twice {
            if let Some(section) = peer.sections.get_mut(section) {
                section.opportunistic = Some(OpportunisticForm::Twice);
            }
        }
        Ok(Self { description, layout, peer })
    }
}
