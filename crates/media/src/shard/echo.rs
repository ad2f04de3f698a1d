//! What goes back to where it came from: RTP under SSRCs of ours, and reports of ours in answer to the peer's.
//!
//! Towards such a peer we are not a relay but the other end of the session. Its reports are about its path to us and ours to
//! it; sent back, they would tell it of itself.

use control::Verdict;
use datagram::Datagram;
use rtp::RtcpCompound;
use rtp::rtcp::{Report, encode_report};
use srtp::Kind;

use super::Shard;
use super::receive::{Leave, Step};
use crate::egress::Content;
use crate::rebase::Source;

impl Shard {
    /// The RTCP route of a transport whose peer hears itself, by its number.
    pub(super) fn echo_route(&self, slot: usize) -> Option<usize> {
        self.transports.get(slot)?.rtcp_routes.iter().position(|route| route.echo.is_some())
    }

    /// Puts a report of ours in the place of the sender report that the datagram holds. Whatever else it holds is for nobody.
    pub(super) fn answer_report(&mut self, slot: usize, number: usize, datagram: &mut Datagram) -> Step {
        match self.answer(slot, number, datagram) {
            Some(leave) => Step::Leave(leave),
            None => Step::Done(Verdict::Filtered),
        }
    }

    fn answer(&mut self, slot: usize, number: usize, datagram: &mut Datagram) -> Option<Leave> {
        let packet = RtcpCompound::parse(datagram.bytes())?.packets().next()?;
        let (ssrc, heard) = (packet.sender_ssrc()?, packet.sender_information()?);
        let transport = self.transports.get(slot)?;
        let source = Source { transport: transport.source, epoch: (0, 0) };
        let route = transport.rtcp_routes.get(number)?;
        let own = ssrc ^ route.echo.as_ref()?.ssrc_mask.get();
        let (near, egress) = (route.ingress_rtp?, route.egress?);
        let sent = self.transports.get(route.egress_rtp?)?.streams_out.sent(own);
        let stream = self.transports.get_mut(near)?.streams_in.find_mut(ssrc)?;
        let (sender, block) = stream.reported.answer(ssrc, heard, &mut stream.tracker, sent)?;
        let echo = self.transports.get(slot)?.rtcp_routes.get(number)?.echo.as_ref()?;
        let report = Report { ssrc: own, sender, block, cname: echo.cname.as_bytes() };
        let len = encode_report(datagram.slot_mut(), &report)?;
        datagram.set_len(len);
        Some(Leave::new(Content::Clear(Kind::Rtcp), slot, egress, source, 0))
    }
}
