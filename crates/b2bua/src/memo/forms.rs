//! The binary form of everything that a memo is made of: one line for each field. Types of `sip` are taken apart by name in
//! modules of their own.

use super::{Called, DialogMemo, EndMemo, Memo, SessionMemo, Setup, Talk, TransferMemo};
use crate::call::{End, OwnOffer};
use crate::routes::Caller;
use crate::{Keying, LegPolicy, SmimePolicy, Times};

control::wire! {
    const OWN_SHAPE;
    enum Memo { 0 => SettingUp(setup), 1 => Talking(talk) }
    struct Setup { who, request via request, flow via flow, route, times, dialogs }
    struct Times { invited, ringing, answered, ended }
    struct Talk {
        caller,
        called,
        who,
        request via request,
        max_forwards,
        loop_token,
        unsettled,
        transfer,
        route,
        times,
        transfers,
    }
    struct Called { end, branch, branches, uri via text, address via text, trunk, user }
    struct EndMemo {
        dialog,
        flow via flow,
        policy,
        tag,
        addresses via pair,
        certificate via bytes,
        opened via secret,
    }
    struct DialogMemo { state via dialog, session }
    struct SessionMemo { seconds, we_refresh, due }
    struct TransferMemo { from, branch }
    enum End { 0 => Caller, 1 => Called }
    enum OwnOffer { 0 => Repair(end), 1 => Renew(end) }
    enum Caller { 0 => User(name), 1 => Trunk(name) }
    struct LegPolicy { keying, interface, smime }
    enum Keying { 0 => Auto, 1 => Plain, 2 => Sdes, 3 => Dtls, 4 => WebRtc, 5 => Osrtp }
    struct SmimePolicy { sign, encrypt, required }

    struct State {
        call_id,
        local_tag,
        remote_tag,
        local,
        remote,
        remote_target,
        routes,
        local_cseq,
        remote_cseq,
        secure,
        contact,
        target via flow,
        sent_by,
        agreed,
        owns_call_id,
        peer_allows_update,
        unanswered,
    }
}

/// Of a memo, with the forms that the modules below have.
pub(super) const SHAPE: u64 = OWN_SHAPE;

/// A [`DialogState`](sip::DialogState) in types that have a form.
struct State {
    call_id: String,
    local_tag: String,
    remote_tag: String,
    local: String,
    remote: String,
    remote_target: String,
    routes: Vec<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    secure: bool,
    contact: String,
    target: sip::Flow,
    sent_by: (String, Option<u16>),
    /// Content type and bytes of ours, and of the peer's.
    agreed: Option<[(String, Secret); 2]>,
    owns_call_id: bool,
    peer_allows_update: bool,
    unanswered: Option<(std::net::SocketAddr, Secret)>,
}

/// Bytes that are wiped.
struct Secret(zeroize::Zeroizing<Vec<u8>>);

impl control::wire::Wire for Secret {
    fn encode(&self, writer: &mut control::wire::Writer) {
        writer.counted(&self.0);
    }

    fn decode(reader: &mut control::wire::Reader<'_>) -> Result<Self, control::wire::WireError> {
        Ok(Self(reader.counted()?.to_vec().into()))
    }
}

/// Its session timer stands beside it: an instant means nothing to another process.
mod dialog {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sip::{Agreed, Body, DialogId, DialogState, Host, NameAddr, Refusal, SentBy, Target, Uri};

    use super::{Secret, State};

    /// Numbers of ours are remembered in steps: not every request makes another memo, and what was sent while a memo was on its
    /// way is below the next step but one.
    const STEP: u32 = 64;

    /// RFC 3261 §8.1.1.5: below 2^31.
    const LAST: u32 = (1 << 31) - 1;

    pub(super) fn encode(state: &DialogState, writer: &mut Writer) {
        let DialogState {
            id: DialogId { call_id, local_tag, remote_tag },
            local,
            remote,
            remote_target,
            routes,
            local_cseq,
            remote_cseq,
            secure,
            contact,
            target: Target { flow, sent_by },
            agreed,
            owns_call_id,
            peer_allows_update,
            session: _,
            unanswered,
        } = state;
        let body = |Body { content_type, bytes }: &Body| (content_type.clone(), Secret(bytes.clone().into()));
        let agreed = agreed.as_ref().map(|Agreed { local, remote }| [body(local), body(remote)]);
        let state = State {
            call_id: call_id.clone(),
            local_tag: local_tag.clone(),
            remote_tag: remote_tag.clone(),
            local: local.to_string(),
            remote: remote.to_string(),
            remote_target: remote_target.to_string(),
            routes: routes.iter().map(NameAddr::to_string).collect(),
            local_cseq: (local_cseq / STEP).saturating_add(2).saturating_mul(STEP).min(LAST),
            remote_cseq: *remote_cseq,
            secure: *secure,
            contact: contact.to_string(),
            target: *flow,
            sent_by: (sent_by.host.to_string(), sent_by.port),
            agreed,
            owns_call_id: *owns_call_id,
            peer_allows_update: *peer_allows_update,
            unanswered: unanswered.as_ref().map(|Refusal { to, bytes }| (*to, Secret(bytes.clone().into()))),
        };
        state.encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<DialogState, WireError> {
        let state = State::decode(reader)?;
        let name = |text: &str| NameAddr::parse(text).ok_or(WireError::Invalid("name-addr"));
        let body = |(content_type, Secret(mut bytes)): (String, Secret)| Body {
            content_type,
            bytes: std::mem::take(&mut *bytes),
        };
        Ok(DialogState {
            id: DialogId { call_id: state.call_id, local_tag: state.local_tag, remote_tag: state.remote_tag },
            local: name(&state.local)?,
            remote: name(&state.remote)?,
            remote_target: Uri::parse(&state.remote_target).ok_or(WireError::Invalid("URI"))?,
            routes: state.routes.iter().map(|route| name(route)).collect::<Result<_, _>>()?,
            local_cseq: state.local_cseq.min(LAST),
            remote_cseq: state.remote_cseq,
            secure: state.secure,
            contact: name(&state.contact)?,
            target: Target {
                flow: state.target,
                sent_by: SentBy {
                    host: Host::parse(&state.sent_by.0).ok_or(WireError::Invalid("host"))?,
                    port: state.sent_by.1,
                },
            },
            agreed: state.agreed.map(|[local, remote]| Agreed { local: body(local), remote: body(remote) }),
            owns_call_id: state.owns_call_id,
            peer_allows_update: state.peer_allows_update,
            session: None,
            unanswered: state.unanswered.map(|(to, Secret(bytes))| Refusal { to, bytes: bytes.to_vec() }),
        })
    }
}

/// One hop. The number of a connection means nothing to another process: it is to be made, or found, anew.
mod flow {
    use std::net::SocketAddr;

    use control::wire::{Reader, Wire, WireError, Writer};
    use sip::{Flow, Transport};

    const ALL: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

    pub(super) fn encode(flow: &Flow, writer: &mut Writer) {
        let Flow { transport, local, peer, connection: _ } = flow;
        transport.as_str().to_owned().encode(writer);
        local.encode(writer);
        peer.encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Flow, WireError> {
        let name = String::decode(reader)?;
        let transport = ALL.into_iter().find(|transport| transport.as_str() == name);
        Ok(Flow {
            transport: transport.ok_or(WireError::Unknown("transport"))?,
            local: SocketAddr::decode(reader)?,
            peer: SocketAddr::decode(reader)?,
            connection: 0,
        })
    }
}

/// A URI by its text.
mod text {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sip::Uri;

    pub(super) fn encode(uri: &Uri, writer: &mut Writer) {
        uri.to_string().encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Uri, WireError> {
        Uri::parse(&String::decode(reader)?).ok_or(WireError::Invalid("URI"))
    }
}

/// Two URIs.
mod pair {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sip::Uri;

    use super::text;

    pub(super) fn encode(pair: &Option<(Uri, Uri)>, writer: &mut Writer) {
        pair.is_some().encode(writer);
        if let Some((one, other)) = pair {
            text::encode(one, writer);
            text::encode(other, writer);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<(Uri, Uri)>, WireError> {
        Ok(if bool::decode(reader)? { Some((text::decode(reader)?, text::decode(reader)?)) } else { None })
    }
}

/// Bytes that are no secret.
mod bytes {
    use control::wire::{Reader, Wire, WireError, Writer};

    pub(super) fn encode(bytes: &Option<Vec<u8>>, writer: &mut Writer) {
        bytes.is_some().encode(writer);
        if let Some(bytes) = bytes {
            writer.counted(bytes);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, WireError> {
        Ok(if bool::decode(reader)? { Some(reader.counted()?.to_vec()) } else { None })
    }
}

/// Bytes that may hold keys.
mod secret {
    use control::wire::{Reader, Wire, WireError, Writer};
    use zeroize::Zeroizing;

    pub(super) fn encode(bytes: &Option<Zeroizing<Vec<u8>>>, writer: &mut Writer) {
        bytes.is_some().encode(writer);
        if let Some(bytes) = bytes {
            writer.counted(bytes);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, WireError> {
        Ok(if bool::decode(reader)? { Some(Zeroizing::new(reader.counted()?.to_vec())) } else { None })
    }
}

/// A request without a body, by its URI and header lines.
mod request {
    use control::wire::{Reader, Wire, WireError, Writer};
    use sip::{Method, Request};

    use super::text;

    pub(super) fn encode(request: &Request, writer: &mut Writer) {
        text::encode(request.uri(), writer);
        let lines: Vec<(String, String)> =
            request.headers.lines().iter().map(|line| (line.name().to_owned(), line.value().into_owned())).collect();
        lines.encode(writer);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Request, WireError> {
        let mut request = Request::new(Method::Invite, text::decode(reader)?);
        for (name, value) in Vec::<(String, String)>::decode(reader)? {
            request.headers.push(&name, value);
        }
        Ok(request)
    }
}
