//! Which headers a leg has of its own, and what is carried over to it.

use std::net::IpAddr;

use sip::{CSeq, Flow, Headers, Host, Method, NameAddr, Request, SentBy, SipUri, Transport, Uri, Warning, name};

use crate::B2buaConfig;

/// The headers of one leg's message that go on to the other leg.
pub(crate) fn carried(config: &B2buaConfig, from: &Headers) -> Headers {
    let mut headers = Headers::new();
    for name in &config.pass_headers {
        headers.copy(from, name);
    }
    headers
}

/// What a caller is told of the failure of a called party, beside the status: how long to wait, and why.
pub(crate) fn of_failure(config: &B2buaConfig, from: &Headers, relay_challenges: bool) -> Headers {
    let mut headers = carried(config, from);
    headers.copy(from, name::RETRY_AFTER);
    // In our name: theirs tells who they are.
    for warning in from.warnings().unwrap_or_default() {
        headers.push(name::WARNING, Warning { agent: config.realm.clone(), ..warning });
    }
    headers.copy(from, name::REASON);
    if relay_challenges {
        headers.copy(from, name::WWW_AUTHENTICATE);
        headers.copy(from, name::PROXY_AUTHENTICATE);
    }
    headers
}

/// How we are called on this hop.
pub(crate) fn sent_by(config: &B2buaConfig, flow: &Flow) -> SentBy {
    let advertised = config.advertised.iter().find(|(transport, _)| *transport == flow.transport);
    advertised.map_or_else(|| SentBy::from(flow.local), |(_, sent_by)| sent_by.clone())
}

/// Our Contact on this hop.
pub(crate) fn contact(sent_by: &SentBy, transport: Transport, secure: bool) -> NameAddr {
    let mut uri = SipUri::new(None, sent_by.host.clone(), sent_by.port);
    uri.secure = secure;
    if transport != Transport::Udp {
        // RFC 7118 §5.2.2: ws for both of them.
        let text = if transport == Transport::Wss { "ws" } else { transport.as_str() };
        uri.set_param("transport", Some(&text.to_ascii_lowercase()));
    }
    NameAddr::new(Uri::Sip(uri))
}

/// What an INVITE of ours is made of.
pub(crate) struct Invitation<'a> {
    pub(crate) config: &'a B2buaConfig,
    /// The INVITE that it carries on.
    pub(crate) caller: &'a Request,
    pub(crate) uri: Uri,
    pub(crate) call_id: &'a str,
    pub(crate) tag: &'a str,
    pub(crate) contact: NameAddr,
    pub(crate) max_forwards: u8,
    pub(crate) max_breadth: u32,
}

impl Invitation<'_> {
    /// The INVITE, without Via and body.
    pub(crate) fn request(&self) -> Request {
        let mut uri = self.uri.clone();
        if let Uri::Sip(uri) = &mut uri {
            uri.remove_headers();
        }
        let mut request = Request::new(Method::Invite, uri.clone());
        let headers = &mut request.headers;
        headers.push(name::MAX_FORWARDS, self.max_forwards);
        headers.push(name::MAX_BREADTH, self.max_breadth);
        headers.push(name::FROM, self.from().with_tag(self.tag));
        headers.push(name::TO, NameAddr::new(bare(&uri)));
        headers.push(name::CALL_ID, self.call_id);
        headers.push(name::CSEQ, CSeq { number: 1, method: Method::Invite });
        headers.push(name::CONTACT, &self.contact);
        headers.extend(&carried(self.config, &self.caller.headers));
        headers.push(name::CONTENT_LENGTH, 0);
        request
    }

    /// The caller's name and user part, at our domain: its host is nobody's business.
    fn from(&self) -> NameAddr {
        let caller = self.caller.headers.from().ok();
        let own = SipUri::new(None, self.contact_host(), None);
        let mut from = NameAddr::new(Uri::Sip(own));
        if let Uri::Sip(own) = &mut from.uri {
            own.user = caller.as_ref().and_then(|caller| caller.uri.as_sip()?.user.clone());
            own.secure = self.uri.as_sip().is_some_and(|uri| uri.secure);
        }
        from.display = caller.and_then(|caller| caller.display);
        from
    }

    fn contact_host(&self) -> Host {
        let realm = Host::parse(&self.config.realm);
        let own = || self.contact.uri.as_sip().map(|uri| uri.host.clone());
        realm.or_else(own).unwrap_or_else(|| IpAddr::from([127, 0, 0, 1]).into())
    }
}

/// The address of record of a user of ours.
pub(crate) fn address_of(config: &B2buaConfig, user: &str) -> Uri {
    let host = Host::parse(&config.realm).unwrap_or_else(|| IpAddr::from([127, 0, 0, 1]).into());
    Uri::Sip(SipUri::new(Some(user), host, None))
}

/// A URI as it stands in To: user and host.
pub(crate) fn bare(uri: &Uri) -> Uri {
    match uri {
        Uri::Sip(uri) => {
            let mut bare = SipUri::new(None, uri.host.clone(), None);
            bare.user.clone_from(&uri.user);
            bare.secure = uri.secure;
            Uri::Sip(bare)
        }
        other => other.clone(),
    }
}
