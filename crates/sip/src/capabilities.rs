//! What a user agent server can do, and the answer to a request that asks for more (RFC 3261 §8.2).

use crate::text::elements;
use crate::{Method, Request, Response, StatusCode, name};

/// What we support. [`Capabilities::inspect`] refuses the rest with the status and header that the RFC asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Methods that are served.
    pub methods: Vec<Method>,
    /// Option tags that a Require may name.
    pub extensions: Vec<String>,
    /// Types of bodies that are understood, `multipart/*` among them if it is.
    pub content_types: Vec<String>,
}

/// The methods of a back-to-back user agent, `100rel`, `timer` and `replaces`, SDP and multipart bodies.
impl Default for Capabilities {
    fn default() -> Self {
        use Method::{Ack, Bye, Cancel, Info, Invite, Notify, Options, Prack, Refer, Register, Update};
        let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Self {
            methods: vec![Invite, Ack, Cancel, Bye, Options, Prack, Update, Info, Refer, Notify, Register],
            extensions: strings(&["100rel", "timer", "replaces"]),
            content_types: strings(&[
                "application/sdp",
                "multipart/mixed",
                "multipart/alternative",
                "multipart/signed",
            ]),
        }
    }
}

impl Capabilities {
    /// `Ok`, or the response that refuses the request, without a To tag: 416, 405 or 501 with Allow, 420 with Unsupported,
    /// 415 with Accept or Accept-Encoding, 406. ACK and CANCEL always pass (RFC 3261 §8.2.2.3).
    ///
    /// A body whose Content-Disposition says `handling=optional` passes whatever its type.
    pub fn inspect(&self, request: &Request) -> Result<(), Box<Response>> {
        let method = request.method();
        if matches!(method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let refuse = |status| Box::new(request.respond(status));
        if !self.methods.contains(method) {
            let status = if method.is_known() { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED };
            let mut response = refuse(status);
            response.headers.push(name::ALLOW, self.allow());
            return Err(response);
        }
        if request.uri().as_sip().is_none() && !request.uri().scheme().eq_ignore_ascii_case("tel") {
            return Err(refuse(StatusCode::UNSUPPORTED_URI_SCHEME));
        }
        let required = request.headers.list(name::REQUIRE);
        let unsupported: Vec<_> = required.iter().filter(|tag| !tag.is_empty() && !self.supports(tag)).collect();
        if !unsupported.is_empty() {
            let mut response = refuse(StatusCode::BAD_EXTENSION);
            for tag in unsupported {
                response.headers.push(name::UNSUPPORTED, tag);
            }
            return Err(response);
        }
        self.inspect_body(request).map_err(|(status, name, value)| {
            let mut response = refuse(status);
            response.headers.push(name, value);
            response
        })?;
        let accepts_sdp = |accept: &str| {
            accept
                .split(';')
                .next()
                .is_some_and(|range| crate::MediaType::parse("application/sdp").is_some_and(|sdp| sdp.is_within(range)))
        };
        let names_types = request.headers.contains(name::ACCEPT);
        if *method == Method::Invite
            && names_types
            && !request.headers.values(name::ACCEPT).any(|value| elements(&value).any(accepts_sdp))
        {
            return Err(refuse(StatusCode::NOT_ACCEPTABLE));
        }
        Ok(())
    }

    /// Adds Allow, Supported and Accept, as the answer to OPTIONS has them (RFC 3261 §11.2).
    pub fn describe(&self, response: &mut Response) {
        response.headers.set(name::ALLOW, self.allow());
        response.headers.set(name::SUPPORTED, self.extensions.join(", "));
        response.headers.set(name::ACCEPT, self.content_types.join(", "));
    }

    /// The value of Allow.
    pub fn allow(&self) -> String {
        self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    fn supports(&self, tag: &str) -> bool {
        self.extensions.iter().any(|own| own.eq_ignore_ascii_case(tag))
    }

    fn inspect_body(&self, request: &Request) -> Result<(), (StatusCode, &'static str, String)> {
        let disposition = request.headers.value(name::CONTENT_DISPOSITION).unwrap_or_default().to_ascii_lowercase();
        if request.body().is_empty() || disposition.contains("handling=optional") {
            return Ok(());
        }
        let encoded = request.headers.list(name::CONTENT_ENCODING);
        if encoded.iter().any(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")) {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Accept-Encoding", "identity".into()));
        }
        match request.headers.content_type() {
            Ok(Some(media)) if !self.content_types.iter().any(|own| media.is_within(own)) => {
                Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, name::ACCEPT, self.content_types.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

/// Max-Forwards for the request that carries this one on: one less, 70 if it had none. `Err` is 483: the request may not go
/// on (an OPTIONS may be answered in its stead, RFC 3261 §16.3).
pub fn next_max_forwards(request: &Request) -> Result<u8, StatusCode> {
    match request.headers.max_forwards() {
        Ok(Some(hops)) => hops.checked_sub(1).ok_or(StatusCode::TOO_MANY_HOPS),
        Ok(None) => Ok(70),
        Err(fault) => Err(fault.status()),
    }
}
