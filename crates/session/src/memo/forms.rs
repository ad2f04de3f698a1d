//! The binary form of everything that a memo is made of: one line for each field.

use control::wire;

use super::Memo;
use crate::call::Observed;
use crate::carried::Carried;
use crate::layout;
use crate::leg::{
    Agreed, AgreedKeying, Dialog, Exchange, Fork, Leg, LocalOrigin, MuxOffer, Negotiated, Ports, Proposal,
    ProposedKeying, Section, Subscription, Transport,
};
use crate::peer::{PeerCodec, PeerDescription, PeerIce, PeerSection};
use crate::treatments;
use crate::{
    AddressFamily, AttributeChange, AttributeEdit, AttributeLevel, CodecOptions, DtlsOption, EndReason,
    EndpointLearning, Flags, IceLite, IceOption, InterfaceOptions, LedgerEntry, LedgerNote, MediaProfile,
    OpportunisticForm, Options, OsrtpOptions, ReplaceOptions, RtcpMuxOptions, SdesOptions, TransportProtocol,
};

control::wire! {
    const OWN_SHAPE;
    struct Memo {
        call_id,
        revision,
        instance,
        interfaces,
        created,
        last_signal,
        delete_delay,
        ending,
        negotiated,
        ledger,
        signalling via secret,
    }
    struct Negotiated { legs, dialogs, transports, next_transport, flows, answers, traffic_class, treatments }
    struct Transport { leg, local }
    struct Observed { remote, secured_by, failure }
    struct Leg {
        tag,
        branch,
        forks,
        via_branch,
        label,
        created,
        gone,
        interface,
        public,
        credentials,
        latching,
        nat,
        latch_generation,
        received,
        dtls,
        origin,
        sections,
        asked_for_offers,
        layout,
        subscription,
        echo,
    }
    struct Subscription { sources, options }
    struct Fork { tag, branch, latching, latch_generation, received, agreed }
    struct LocalOrigin { origin via origin, version, digest }
    struct Section { ports, keys, tls_id, generation, proposal, agreed, profile }
    struct Ports { rtp, rtcp }
    struct Proposal { carried, keying, mux, ice, carrier, mid, opportunistic }
    enum ProposedKeying { 0 => Plain, 1 => Sdes(lines), 2 => Dtls, 3 => PassThrough, 4 => Either(lines) }
    enum MuxOffer { 0 => No, 1 => WithFallback, 2 => Required }
    struct Agreed { carried, keying, mux, ice, carrier, peer, opportunistic }
    enum AgreedKeying { 0 => Plain, 1 => Sdes { tag, keys }, 2 => Dtls { role, generation }, 3 => PassThrough }
    struct Dialog { legs, exchange, answered }
    struct Exchange { offerer, offer, digest, at, answered, carriers, options }

    enum Carried { 0 => Rtp(profile), 1 => Datagrams(name) }
    struct PeerDescription { sections, bundle }
    struct PeerSection {
        kind,
        protocol,
        carried via carried,
        line,
        rejected,
        rtp,
        rtcp,
        zero_address,
        ipv6,
        direction via direction,
        mux,
        crypto,
        crypto_faults,
        fingerprints,
        setup via setup,
        tls_id,
        ice,
        mid,
        mid_extension,
        ssrcs,
        payload_types,
        formats,
        format_lines,
        codec,
        codecs,
        opportunistic,
        configuration,
    }
    struct PeerCodec { payload_type, name, clock_rate }
    struct PeerIce { credentials, lite, rtp_candidates, rtcp_candidates }
    enum MediaProfile {
        0 => RtpAvp,
        1 => RtpAvpf,
        2 => RtpSavp,
        3 => RtpSavpf,
        4 => UdpTlsRtpSavp,
        5 => UdpTlsRtpSavpf,
    }

    struct Options {
        transport_protocol,
        ice,
        ice_lite,
        dtls,
        dtls_fingerprint,
        sdes,
        osrtp,
        rtcp_mux,
        interfaces,
        replace,
        flags,
        address_family,
        media_address,
        label,
        to_label,
        traffic_class,
        endpoint_learning,
        codec,
        attributes,
        media_remove,
        extmap_strip,
        block_dtmf,
        delete_delay,
        unsupported,
    }
    enum TransportProtocol { 0 => Profile(profile), 1 => Accept }
    enum IceOption { 0 => Remove, 1 => Force, 2 => ForceRelay, 3 => Default, 4 => Optional }
    enum IceLite { 0 => Forward, 1 => Backward, 2 => Both, 3 => Off }
    enum DtlsOption { 0 => Off, 1 => Passive, 2 => Active }
    struct SdesOptions {
        off,
        exclude,
        only,
        no_new,
        order,
        offerer_preference,
        pad,
        lifetime,
        fixed,
        prefer,
        encrypt_rtp,
        encrypt_rtcp,
        authenticate_rtp,
    }
    struct OsrtpOptions { offer, offer_legacy, accept, accept_legacy }
    struct RtcpMuxOptions { offer, require, demux, accept, reject }
    struct InterfaceOptions { from, to }
    struct ReplaceOptions {
        origin,
        origin_full,
        session_connection,
        sdp_version,
        username,
        session_name,
        zero_address,
        force_increment,
    }
    struct Flags {
        trust_address,
        sip_source_address,
        symmetric,
        asymmetric,
        strict_source,
        pierce_nat,
        nat_wait,
        media_handover,
        port_latching,
        no_port_latching,
        generate_mid,
        reset,
        renew_keys,
        from_in_clear,
        to_in_clear,
        no_rtcp_attribute,
        full_rtcp_attribute,
        loop_protect,
        trickle_ice,
        web_rtc,
        original_sendrecv,
        no_tls_id,
        reject_ice,
        pad_crypto,
        single_codec,
        reorder_codecs,
        strip_extmap,
        fragment,
        pass_through,
        all,
        siprec,
    }
    enum AddressFamily { 0 => Ip4, 1 => Ip6 }
    enum EndpointLearning { 0 => Off, 1 => Immediate, 2 => Delayed, 3 => Heuristic }
    struct CodecOptions { strip, mask, except, offer }
    struct AttributeEdit { level, change }
    enum AttributeLevel { 0 => Session, 1 => Media(kind) }
    enum AttributeChange { 0 => Add(line), 1 => Remove(line), 2 => Substitute(from, to) }

    struct LedgerEntry { at, tag, note }
    enum LedgerNote {
        0 => PlainLeg,
        1 => WeakerKeys { bits, strongest },
        2 => Secured(by),
        3 => Failed(failure),
        4 => Skipped(cause),
        5 => KeyNearlySpent { outbound },
        6 => ConsentLost,
        7 => Ended(reason),
        8 => SecurityLeft(protocol),
        9 => Opportunistic { form, secured },
        10 => PassedThrough,
        11 => KeysInClear,
        12 => Signalling(words),
    }
    enum OpportunisticForm { 0 => Osrtp, 1 => Twice, 2 => Capability }
    enum EndReason { 0 => Deleted, 1 => MediaTimeout, 2 => OfferTimeout, 3 => WorkerLost, 4 => PumpLost }
}

/// Of a memo, with the types of the control link in it.
pub(super) const SHAPE: u64 =
    OWN_SHAPE ^ wire::MESSAGES_SHAPE.rotate_left(1) ^ layout::SHAPE.rotate_left(2) ^ treatments::SHAPE.rotate_left(3);

/// `o=` as its parts: the text of one is not always read back as it was.
mod origin {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sdp::{NetworkAddress, Origin};

    pub(super) fn encode(origin: &Origin, writer: &mut Writer) {
        let Origin { username, session_id, session_version, address } = origin;
        let NetworkAddress { net_type, addr_type, address } = address;
        for part in [username, session_id, session_version, net_type, addr_type, address] {
            part.encode(writer);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Origin, WireError> {
        let mut part = || String::decode(reader);
        Ok(Origin {
            username: part()?,
            session_id: part()?,
            session_version: part()?,
            address: NetworkAddress { net_type: part()?, addr_type: part()?, address: part()? },
        })
    }
}

/// What is relayed, or the cause why not by its words.
mod carried {
    use control::wire::{Reader, Wire, WireError, Writer};

    use crate::carried::{CAUSES, Carried};

    pub(super) fn encode(carried: &Result<Carried, &'static str>, writer: &mut Writer) {
        carried.as_ref().ok().cloned().encode(writer);
        if let Err(cause) = carried {
            writer.counted(cause.as_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Result<Carried, &'static str>, WireError> {
        if let Some(carried) = Option::decode(reader)? {
            return Ok(Ok(carried));
        }
        let words = reader.counted()?;
        let cause = CAUSES.into_iter().find(|cause| cause.as_bytes() == words);
        cause.map(Err).ok_or(WireError::Unknown("cause"))
    }
}

/// Bytes that are wiped.
mod secret {
    use control::wire::{Reader, WireError, Writer};
    use zeroize::Zeroizing;

    pub(super) fn encode(secret: &Zeroizing<Vec<u8>>, writer: &mut Writer) {
        writer.counted(secret);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, WireError> {
        Ok(Zeroizing::new(reader.counted()?.to_vec()))
    }
}

/// By the attribute's name.
mod direction {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sdp::Direction;

    pub(super) fn encode(direction: &Direction, writer: &mut Writer) {
        direction.name().to_owned().encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Direction, WireError> {
        Direction::from_name(&String::decode(reader)?).ok_or(WireError::Unknown("direction"))
    }
}

/// By the attribute's value.
mod setup {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sdp::Setup;

    pub(super) fn encode(setup: &Option<Setup>, writer: &mut Writer) {
        setup.map(|setup| setup.name().to_owned()).encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<Setup>, WireError> {
        let name = Option::<String>::decode(reader)?;
        let all = [Setup::Active, Setup::Passive, Setup::ActPass, Setup::HoldConn];
        let named =
            |name: String| all.into_iter().find(|setup| setup.name() == name).ok_or(WireError::Unknown("setup"));
        name.map(named).transpose()
    }
}
