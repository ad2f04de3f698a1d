//! What tells transactions apart (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2).

use crate::{Fault, Method, Request, Via};
use std::net::IpAddr;

/// Of a request's server transaction. An ACK has its INVITE's key; `method` is INVITE to look for what a CANCEL cancels.
///
/// The source belongs to it: a CANCEL cannot be challenged (§22.1), so it has to come from where its INVITE came from (§9.2), and
/// nobody elsewhere takes a transaction's place by guessing its branch.
pub(super) fn server_key(request: &Request, via: &Via, method: &Method, source: IpAddr) -> Result<String, Fault> {
    let source = source.to_canonical();
    let method = if *method == Method::Ack { &Method::Invite } else { method };
    if let Some(branch) = via.branch() {
        let host = via.sent_by.host.as_str().to_ascii_lowercase();
        let port = via.sent_by.port.unwrap_or(5060);
        return Ok(format!("{branch} {host}:{port} {source} {method}"));
    }
    // RFC 2543: the fields of §17.2.3 that are the same in an INVITE, its ACK and its CANCEL.
    let headers = &request.headers;
    let (uri, cseq, call_id) = (request.uri_text(), headers.cseq()?.number, headers.call_id()?);
    let from = headers.from()?;
    let tag = from.tag().unwrap_or("");
    let branch = via.params.get("branch");
    Ok(format!("2543 {uri} {tag} {call_id} {cseq} {}:{branch:?} {source} {method}", via.sent_by))
}

/// Equal for one request that came by two ways; `None` inside a dialog.
pub(super) fn merge_key(request: &Request) -> Option<String> {
    let headers = &request.headers;
    if headers.to().ok()?.tag().is_some() {
        return None;
    }
    let from = headers.from().ok()?;
    Some(format!("{} {} {}", from.tag()?, headers.call_id().ok()?, headers.cseq().ok()?))
}

/// Of a response's client transaction.
pub(super) fn client_key(branch: &str, method: &Method) -> String {
    format!("{branch} {method}")
}
