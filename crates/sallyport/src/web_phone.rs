//! The web phone: a page that registers over WebSocket (RFC 7118), calls and is called. It is plain HTML, CSS and JavaScript,
//! built into the program, and loads nothing from elsewhere. WebSocket ports serve it.

use sip::Transport;
use sip_transport::{BoundListener, Page, WebConfig};

/// Every file of it.
const FILES: [File; 10] = [
    File::new("/", "text/html; charset=utf-8", include_str!("web_phone/index.html")),
    File::new("/phone.css", "text/css; charset=utf-8", include_str!("web_phone/phone.css")),
    File::new("/icon.svg", "image/svg+xml", include_str!("web_phone/icon.svg")),
    File::new("/phone.js", JAVASCRIPT, include_str!("web_phone/phone.js")),
    File::new("/sip.js", JAVASCRIPT, include_str!("web_phone/sip.js")),
    File::new("/call.js", JAVASCRIPT, include_str!("web_phone/call.js")),
    File::new("/message.js", JAVASCRIPT, include_str!("web_phone/message.js")),
    File::new("/digest.js", JAVASCRIPT, include_str!("web_phone/digest.js")),
    File::new("/bell.js", JAVASCRIPT, include_str!("web_phone/bell.js")),
    File::new("/facts.js", JAVASCRIPT, include_str!("web_phone/facts.js")),
];

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What is served under one path.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl File {
    const fn new(path: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self { path, content_type, text }
    }
}

/// What these listeners say to browsers. Pages of our own may open a WebSocket, and those of `origins`.
pub(crate) fn web(origins: &[String], listeners: &[BoundListener]) -> WebConfig {
    let page = |file: &File| Page { content_type: file.content_type.to_owned(), bytes: file.text.as_bytes().into() };
    WebConfig {
        pages: FILES.iter().map(|file| (file.path.to_owned(), page(file))).collect(),
        origins: listeners.iter().flat_map(own_origins).chain(origins.iter().cloned()).collect(),
        ..WebConfig::default()
    }
}

/// Where the page is, under the name that this machine's own browsers are to use.
pub(crate) fn addresses(listeners: &[BoundListener]) -> Vec<String> {
    listeners.iter().filter_map(|listener| own_origins(listener).pop()).collect()
}

/// The origins of pages that a listener serves (RFC 6454): by its address, and by the name that others are told, or on loopback
/// by the name that everybody has for it.
fn own_origins(listener: &BoundListener) -> Vec<String> {
    let (scheme, default) = match listener.transport {
        Transport::Ws => ("http", 80),
        Transport::Wss => ("https", 443),
        _ => return Vec::new(),
    };
    let origin = |host: String, port: u16| match port == default {
        true => format!("{scheme}://{host}"),
        false => format!("{scheme}://{host}:{port}"),
    };
    let address = listener.address;
    let own = (!address.ip().is_unspecified()).then(|| {
        let host = if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() };
        origin(host, address.port())
    });
    let name = match address.ip().is_loopback() {
        true => origin("localhost".to_owned(), address.port()),
        false => origin(listener.sent_by.host.to_string(), listener.sent_by.port.unwrap_or(default)),
    };
    own.into_iter().chain([name]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(transport: Transport, address: &str, sent_by: &str) -> BoundListener {
        let (host, port) = sent_by.rsplit_once(':').unwrap();
        let sent_by = sip::SentBy { host: sip::Host::parse(host).unwrap(), port: Some(port.parse().unwrap()) };
        BoundListener { transport, address: address.parse().unwrap(), sent_by }
    }

    #[test]
    fn a_page_of_ours_may_connect_and_others_only_by_name() {
        let listeners = [
            listener(Transport::Udp, "127.0.0.1:5060", "127.0.0.1:5060"),
            listener(Transport::Ws, "127.0.0.1:8080", "127.0.0.1:8080"),
            listener(Transport::Wss, "0.0.0.0:443", "phone.example.com:443"),
            listener(Transport::Wss, "[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ];
        let web = web(&["https://other.example".to_owned()], &listeners);
        let expected = [
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "https://phone.example.com",
            "https://[2001:db8::1]:8443",
            "https://[2001:db8::1]:8443",
            "https://other.example",
        ];
        assert_eq!(web.origins, expected);
        assert!(web.pages.contains_key("/") && web.pages.len() == FILES.len());
        let addresses = addresses(&listeners);
        assert_eq!(addresses, ["http://localhost:8080", "https://phone.example.com", "https://[2001:db8::1]:8443"]);
    }

    fn values<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_file_that_a_file_names_is_served_and_none_is_from_elsewhere() {
        for file in &FILES {
            let named = ["href=\"", "src=\"", "from \"."].into_iter().flat_map(|before| values(file.text, before));
            for name in named {
                assert!(FILES.iter().any(|other| other.path == name), "{} names {name}", file.path);
            }
            // The name of a namespace is no address.
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("url("), "{}", file.path);
        }
    }

    // A browser runs no module, and takes no style, of another type.
    #[test]
    fn the_type_of_every_file_is_that_of_its_name() {
        for file in &FILES {
            let name = file.path.rsplit('.').next().unwrap_or_default();
            let kind = match name {
                "js" => "text/javascript",
                "css" => "text/css",
                "svg" => "image/svg+xml",
                _ => "text/html",
            };
            assert_eq!(file.content_type.split(';').next(), Some(kind), "{}", file.path);
        }
    }

    #[test]
    fn no_script_and_no_style_stands_in_the_page_so_that_the_policy_can_forbid_both() {
        let page = FILES[0].text;
        assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=\"").count());
        assert!(!page.contains("<style") && !page.contains("style=\""));
        assert!(!page.split_ascii_whitespace().any(|word| word.starts_with("on") && word.contains('=')));
    }

    #[test]
    fn every_element_that_the_script_looks_for_is_in_the_page_once() {
        let page = FILES[0].text;
        for name in ["element(\"", "show(\""].into_iter().flat_map(|before| values(FILES[3].text, before)) {
            assert_eq!(page.matches(&format!(" id=\"{name}\"")).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_field_has_a_label() {
        let page = FILES[0].text;
        for id in page.split("<input ").skip(1).filter_map(|rest| values(rest, "id=\"").next()) {
            assert!(page.contains(&format!("for=\"{id}\"")), "{id}");
        }
    }
}
