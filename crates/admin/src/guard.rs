//! Who may ask: the `Host` and `Origin` of a request.
//!
//! A page from anywhere can make the browser of an operator send requests to 127.0.0.1, under a name of its own that
//! resolves to it (DNS rebinding). Such a request carries the page's name in `Host`, or its origin in `Origin`.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, header};
use tokio::sync::watch;

/// Names under which this server answers.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Beside the loopback names.
    names: watch::Receiver<Vec<String>>,
    /// Any address in figures will do: the listener is open to more than this machine. A page cannot make a browser send
    /// figures that stand for somebody else.
    any_literal: bool,
}

impl Guard {
    pub(crate) fn new(listener: SocketAddr, names: watch::Receiver<Vec<String>>) -> Self {
        Self { names, any_literal: !listener.ip().is_loopback() }
    }

    /// `Err` with what the requester is told.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err((StatusCode::BAD_REQUEST, "exactly one Host header is needed\n"));
        };
        if !host.to_str().is_ok_and(|host| self.allows(host)) {
            return Err((StatusCode::FORBIDDEN, "Host is not a name of this server (option admin_hosts)\n"));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let authority = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
            if !authority.is_some_and(|authority| self.allows(authority)) {
                return Err((StatusCode::FORBIDDEN, "Origin is not a name of this server (option admin_hosts)\n"));
            }
        }
        Ok(())
    }

    /// What a request that changes something has to show besides. A page cannot send this content type to another origin
    /// without asking first, and that question is refused.
    pub(crate) fn check_change(
        &self,
        headers: &HeaderMap,
        remote: SocketAddr,
        wanted: &str,
    ) -> Result<(), (StatusCode, String)> {
        if !remote.ip().to_canonical().is_loopback() {
            return Err((StatusCode::FORBIDDEN, "only from this machine\n".into()));
        }
        let mut types = headers.get_all(header::CONTENT_TYPE).iter();
        let only = types.next().filter(|_| types.next().is_none());
        let content_type = only.and_then(|value| value.to_str().ok()).unwrap_or("");
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        if !media_type.eq_ignore_ascii_case(wanted) {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Content-Type must be {wanted}\n")));
        }
        Ok(())
    }

    /// `authority` is a host with an optional port.
    fn allows(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>()
            && (ip.is_loopback() || self.any_literal)
        {
            return true;
        }
        host.eq_ignore_ascii_case("localhost") || self.names.borrow().iter().any(|name| host.eq_ignore_ascii_case(name))
    }
}

/// Takes the port off. `None` when it is no port, or the brackets of an IPv6 address do not close.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            authority.split_at_checked(end)?
        }
        None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?,
    };
    let port_is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (port_is_valid && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn guard(listener: &str, names: &[&str]) -> Guard {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Guard::new(listener.parse().unwrap(), watch::channel(names).1)
    }

    fn check(guard: &Guard, host: Option<&str>, origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        guard.check(&headers).map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn on_loopback_only_loopback_names_and_configured_ones_are_answered() {
        let guard = guard("127.0.0.1:9090", &["relay.example"]);
        for host in
            ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "127.9.9.9", "[::1]:9090", "[::1]", "relay.example:80"]
        {
            assert_eq!(check(&guard, Some(host), None), 200, "{host}");
        }
        for host in
            ["evil.example", "evil.example:9090", "192.0.2.1:9090", "localhost.evil.example", "localhost:x", "[::1", ""]
        {
            assert_eq!(check(&guard, Some(host), None), 403, "{host}");
        }
        assert_eq!(check(&guard, None, None), 400);
    }

    #[test]
    fn a_foreign_origin_is_refused() {
        let guard = guard("127.0.0.1:9090", &[]);
        assert_eq!(check(&guard, Some("localhost"), Some("http://localhost:9090")), 200);
        for origin in ["http://evil.example", "https://evil.example", "null", "file://", "http://"] {
            assert_eq!(check(&guard, Some("localhost"), Some(origin)), 403, "{origin}");
        }
    }

    #[test]
    fn beyond_loopback_addresses_in_figures_are_answered_and_foreign_names_are_not() {
        let guard = guard("0.0.0.0:9090", &[]);
        assert_eq!(check(&guard, Some("192.0.2.1:9090"), None), 200);
        assert_eq!(check(&guard, Some("[2001:db8::1]:9090"), None), 200);
        assert_eq!(check(&guard, Some("evil.example:9090"), None), 403);
    }

    #[test]
    fn the_names_can_change_while_it_serves() {
        let (names, receiver) = watch::channel(vec!["old.example".to_owned()]);
        let guard = Guard::new("127.0.0.1:9090".parse().unwrap(), receiver);
        assert_eq!(check(&guard, Some("old.example"), None), 200);
        names.send(vec!["new.example".to_owned()]).unwrap();
        assert_eq!(check(&guard, Some("new.example"), None), 200);
        assert_eq!(check(&guard, Some("old.example"), None), 403);
    }

    #[test]
    fn a_change_comes_from_this_machine_and_is_json() {
        let guard = guard("0.0.0.0:9090", &[]);
        let status = |remote: &str, content_type: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            let checked = guard.check_change(&headers, remote.parse().unwrap(), "application/json");
            checked.map_or_else(|(status, _)| status.as_u16(), |()| 200)
        };
        for remote in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert_eq!(status(remote, "application/json; charset=utf-8"), 200, "{remote}");
            assert_eq!(status(remote, "text/plain"), 415, "{remote}");
        }
        assert_eq!(status("192.0.2.1:5000", "application/json"), 403);
    }
}
