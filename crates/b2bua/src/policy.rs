//! From a leg's policy to the options of a session request.

use session::{
    IceOption, InterfaceOptions, MediaProfile, Options, OsrtpOptions, ReplaceOptions, RtcpMuxOptions, TransportProtocol,
};
use sip::Transport;

use crate::{Keying, LegPolicy};

/// One side of an offer: its policy, and how its signalling goes.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) policy: &'a LegPolicy,
    pub(crate) transport: Transport,
}

impl Side<'_> {
    fn keying(&self) -> Keying {
        match self.policy.keying {
            Keying::Auto if matches!(self.transport, Transport::Ws | Transport::Wss) => Keying::WebRtc,
            keying => keying,
        }
    }
}

/// For an offer of one side to the other.
pub(crate) fn offer(from: Side<'_>, to: Side<'_>, is_secure: bool) -> Options {
    let mut options = Options { replace: replace(), interfaces: interfaces(from, to), ..Options::default() };
    // Opportunistic keys of an offerer are taken wherever its policy does not forbid them.
    options.osrtp.accept = from.policy.keying != Keying::Plain;
    let profile = match to.keying() {
        Keying::WebRtc => {
            options.flags.web_rtc = true;
            return options;
        }
        Keying::Auto if is_secure => MediaProfile::RtpSavp,
        Keying::Auto | Keying::Plain => MediaProfile::RtpAvp,
        Keying::Sdes => MediaProfile::RtpSavp,
        Keying::Dtls => MediaProfile::UdpTlsRtpSavp,
        Keying::Osrtp => {
            options.osrtp = OsrtpOptions { offer: true, ..options.osrtp };
            MediaProfile::RtpAvp
        }
    };
    options.transport_protocol = Some(TransportProtocol::Profile(profile));
    options.ice = Some(IceOption::Remove);
    options.rtcp_mux = RtcpMuxOptions { demux: true, accept: true, ..RtcpMuxOptions::default() };
    options
}

/// For the answer of one side to the other, whose offer it was.
///
/// `notes`: keys in the clear are for the ledger.
pub(crate) fn answer(from: Side<'_>, to: Side<'_>, notes: bool) -> Options {
    let mut options = Options { replace: replace(), interfaces: interfaces(from, to), ..Options::default() };
    options.flags.from_in_clear = notes && !from.transport.is_secure();
    options.flags.to_in_clear = notes && !to.transport.is_secure();
    options
}

/// For an offer that the session answers itself.
pub(crate) fn echo(from: Side<'_>, notes: bool) -> Options {
    let mut options = answer(from, from, notes);
    options.osrtp.accept = from.policy.keying != Keying::Plain;
    options
}

/// For our own offer to a side that wants to hear itself.
pub(crate) fn echo_offer(to: Side<'_>) -> Options {
    offer(to, to, offers_keys_to_itself(to))
}

/// Whether a side that leaves it to us is offered keys: where nobody on its way can read them.
pub(crate) fn offers_keys_to_itself(to: Side<'_>) -> bool {
    to.transport.is_secure()
}

/// Why an offer of this side is not good enough.
pub(crate) fn refuses(from: Side<'_>, is_secure: bool) -> Option<&'static str> {
    let demands = matches!(from.keying(), Keying::Sdes | Keying::Dtls) || from.policy.keying == Keying::WebRtc;
    (demands && !is_secure).then_some("this leg must be secured: the offer is plain RTP")
}

/// Whether an offer to this side will have SDES keys.
pub(crate) fn offers_sdes(to: Side<'_>, is_secure: bool) -> bool {
    match to.keying() {
        Keying::Auto => is_secure,
        Keying::Sdes | Keying::Osrtp => true,
        Keying::Plain | Keying::Dtls | Keying::WebRtc => false,
    }
}

/// Nothing in the description tells of the other side.
fn replace() -> ReplaceOptions {
    ReplaceOptions { origin_full: true, session_name: true, sdp_version: true, ..ReplaceOptions::default() }
}

fn interfaces(from: Side<'_>, to: Side<'_>) -> InterfaceOptions {
    InterfaceOptions { from: from.policy.interface.clone(), to: to.policy.interface.clone() }
}
