//! Checks of a parsed message that need no knowledge of who we are (RFC 3261 §8.1.1, §8.2, §20).

use crate::{Fault, Limits, Message, Method, name};

/// Headers that may occur once only.
const SINGLE: [&str; 13] = [
    name::CALL_ID,
    name::CONTENT_LENGTH,
    name::CONTENT_TYPE,
    name::CSEQ,
    name::DATE,
    name::EXPIRES,
    name::FROM,
    name::MAX_BREADTH,
    name::MAX_FORWARDS,
    name::MIN_SE,
    name::RACK,
    name::SESSION_EXPIRES,
    name::TO,
];

pub(crate) fn check(message: &Message, limits: &Limits) -> Result<(), Fault> {
    let headers = message.headers();
    for single in SINGLE {
        if headers.count(single) > 1 {
            return Err(Fault::Repeated(single));
        }
    }
    for list in [name::VIA, name::ROUTE, name::RECORD_ROUTE, name::CONTACT] {
        if headers.values(list).map(|value| value.matches(',').count() + 1).sum::<usize>() > limits.elements {
            return Err(Fault::TooManyHeaders);
        }
    }
    headers.via()?;
    headers.vias()?;
    headers.from()?;
    headers.to()?;
    headers.call_id()?;
    let cseq = headers.cseq()?;
    headers.contacts()?;
    headers.routes()?;
    headers.record_routes()?;
    headers.content_type()?;
    if let Message::Request(request) = message {
        if cseq.method != *request.method() {
            return Err(Fault::MethodMismatch);
        }
        headers.max_forwards()?;
        headers.max_breadth()?;
        headers.session_expires()?;
        headers.min_se()?;
        if *request.method() == Method::Prack {
            headers.rack()?.ok_or(Fault::Missing(name::RACK))?;
        }
        if *request.method() == Method::Refer {
            headers.refer_to()?;
        }
    }
    Ok(())
}
