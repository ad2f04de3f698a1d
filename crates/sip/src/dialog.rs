//! Dialogs: route set, sequence numbers, remote target (RFC 3261 §12).

use crate::{CSeq, Fault, Method, NameAddr, Request, Response, SipUri, StatusCode, Uri, name};

/// What identifies a dialog.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty for a peer of RFC 2543.
    pub remote_tag: String,
}

/// The state that both ends of a dialog share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialog {
    pub(crate) id: DialogId,
    pub(crate) local: NameAddr,
    pub(crate) remote: NameAddr,
    pub(crate) target: Uri,
    pub(crate) routes: Vec<NameAddr>,
    pub(crate) local_cseq: u32,
    pub(crate) remote_cseq: Option<u32>,
    pub(crate) secure: bool,
    pub(crate) confirmed: bool,
}

impl Dialog {
    /// The caller's side, from its INVITE and a response with a To tag (§12.1.2). Early unless the response is a 2xx.
    pub fn as_uac(request: &Request, response: &Response) -> Result<Self, Fault> {
        let (local, remote) = (response.headers.from()?, response.headers.to()?);
        let mut dialog = Self {
            id: DialogId {
                call_id: response.headers.call_id()?,
                local_tag: local.tag().unwrap_or("").to_owned(),
                remote_tag: remote.tag().unwrap_or("").to_owned(),
            },
            local,
            remote,
            target: request.uri().clone(),
            routes: Vec::new(),
            local_cseq: request.headers.cseq()?.number,
            remote_cseq: None,
            secure: is_secure(request.uri()),
            confirmed: false,
        };
        dialog.learn(response)?;
        Ok(dialog)
    }

    /// The callee's side, from an INVITE and the tag that its responses have (§12.1.1). Early until it is confirmed.
    pub fn as_uas(request: &Request, local_tag: &str) -> Result<Self, Fault> {
        let (local, remote) = (request.headers.to()?.with_tag(local_tag), request.headers.from()?);
        let target = request.headers.contacts()?.into_iter().next().ok_or(Fault::Missing(name::CONTACT))?;
        Ok(Self {
            id: DialogId {
                call_id: request.headers.call_id()?,
                local_tag: local_tag.to_owned(),
                remote_tag: remote.tag().unwrap_or("").to_owned(),
            },
            local,
            remote,
            secure: is_secure(request.uri()) && is_secure(&target.uri),
            target: target.uri,
            routes: request.headers.record_routes()?,
            local_cseq: 0,
            remote_cseq: Some(request.headers.cseq()?.number),
            confirmed: false,
        })
    }

    /// Call-ID and tags.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// Our name, with our tag.
    pub fn local(&self) -> &NameAddr {
        &self.local
    }

    /// The peer's name, with its tag.
    pub fn remote(&self) -> &NameAddr {
        &self.remote
    }

    /// The peer's Contact.
    pub fn remote_target(&self) -> &Uri {
        &self.target
    }

    /// Topmost first.
    pub fn routes(&self) -> &[NameAddr] {
        &self.routes
    }

    /// Whether a sips URI made it, so that every request goes over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether a 2xx was sent or received.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Where the next request goes: the topmost route, or the remote target (§12.2.1.1 with §8.1.2).
    pub fn next_hop(&self) -> &Uri {
        self.routes.first().map_or(&self.target, |route| &route.uri)
    }

    /// The callee sent its 2xx.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// The caller's side learns from a response to its INVITE. A 2xx sets the route set anew (§13.2.2.4).
    pub fn learn(&mut self, response: &Response) -> Result<(), Fault> {
        if !self.confirmed {
            let mut routes = response.headers.record_routes()?;
            routes.reverse();
            self.routes = routes;
            self.confirmed = response.status().is_success();
        }
        self.refresh_target(&response.headers)
    }

    /// Takes the Contact of a request or 2xx that may change the remote target.
    pub fn refresh_target(&mut self, headers: &crate::Headers) -> Result<(), Fault> {
        if let Some(contact) = headers.contacts()?.into_iter().next() {
            self.target = contact.uri;
        }
        Ok(())
    }

    /// Puts a request of the peer in order: `Err` is 500 for one that is out of order (§12.2.2). Takes its Contact too.
    pub fn handle_request(&mut self, request: &Request) -> Result<(), StatusCode> {
        let number = request.headers.cseq().map_err(Fault::status)?.number;
        if self.remote_cseq.is_some_and(|last| number <= last) {
            return Err(StatusCode::SERVER_INTERNAL_ERROR);
        }
        self.remote_cseq = Some(number);
        if request.method().refreshes_target() {
            self.refresh_target(&request.headers).map_err(Fault::status)?;
        }
        Ok(())
    }

    /// The next request of ours: Request-URI, Route, From, To, Call-ID, CSeq and Max-Forwards (§12.2.1.1).
    pub fn request(&mut self, method: Method) -> Request {
        // §8.1.1.5: below 2^31.
        self.local_cseq = if self.local_cseq >= (1 << 31) - 1 { 1 } else { self.local_cseq + 1 };
        self.numbered(method, self.local_cseq)
    }

    /// The ACK of a 2xx, with the number of its INVITE (§13.2.2.4).
    pub fn ack(&self, invite: u32) -> Request {
        self.numbered(Method::Ack, invite)
    }

    fn numbered(&self, method: Method, number: u32) -> Request {
        let mut uri = self.target.clone();
        let mut routes = self.routes.clone();
        if let Some(first) = routes.first()
            && first.uri.as_sip().is_some_and(|uri| uri.param("lr").is_none())
        {
            // A strict router: it wants to be the Request-URI, and the target the last route.
            let strict = routes.remove(0);
            routes.push(NameAddr::new(uri));
            uri = strict.uri;
        }
        if let Uri::Sip(uri) = &mut uri {
            SipUri::remove_headers(uri);
        }
        let mut request = Request::new(method.clone(), uri);
        for route in routes {
            request.headers.push(name::ROUTE, route);
        }
        request.headers.push(name::MAX_FORWARDS, 70);
        request.headers.push(name::FROM, &self.local);
        request.headers.push(name::TO, &self.remote);
        request.headers.push(name::CALL_ID, &self.id.call_id);
        request.headers.push(name::CSEQ, CSeq { number, method });
        request.headers.push(name::CONTENT_LENGTH, 0);
        request
    }
}

fn is_secure(uri: &Uri) -> bool {
    uri.as_sip().is_some_and(|uri| uri.secure)
}

/// A request again, for a peer that challenged it or asked for another session interval: Via gone, CSeq counted up
/// (RFC 3261 §8.1.3.5, §22.2). For a request inside a dialog, [`UserAgent::send_again`](crate::UserAgent::send_again) sets
/// the number.
pub fn next_attempt(request: &Request) -> Request {
    let mut next = request.clone();
    next.headers.remove(name::VIA);
    if let Ok(cseq) = next.headers.cseq() {
        next.headers.set(name::CSEQ, CSeq { number: cseq.number.wrapping_add(1) & 0x7fff_ffff, method: cseq.method });
    }
    next
}
