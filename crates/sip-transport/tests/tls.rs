//! TLS listeners and connections, with openssl for the other side where it can be.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rcgen::ExtendedKeyUsagePurpose;
use sallyport_sip_transport::{ClientAuth, Hop, Inbound, Refusal, TlsConfig, TlsError, Transports};
use sip::{Method, Transport};
use support::client::{self, OpenSsl, read_until};
use support::pki::{self, Authority, Pair};
use support::{Element, End, address, config, options_text, target, until};
use tokio::net::TcpStream;

fn serve(tls: TlsConfig) -> Transports {
    let mut listening = config(&[Transport::Tls, Transport::Udp]);
    listening.tls = Some(tls);
    Element::bind(listening).serve().0
}

/// Runs openssl, which blocks, beside the server.
async fn openssl<T: Send + 'static>(
    server: &Transports,
    arguments: &[&str],
    run: impl FnOnce(&mut OpenSsl) -> T + Send + 'static,
) -> T {
    let peer = address(server, Transport::Tls);
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let blocking = move || {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        run(&mut OpenSsl::connect(peer, &arguments))
    };
    tokio::task::spawn_blocking(blocking).await.unwrap()
}

/// A file for openssl, in a folder of this test's own.
struct Files(std::path::PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sallyport-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_is_answered_by_tls_1_2_and_1_3_and_by_nothing_older() {
    let authority = Authority::new();
    let server = serve(authority.tls(&[&authority.server(&["sip.example.com"])], ClientAuth::Off));
    let files = Files::new("versions");
    let roots = files.write("roots.pem", &authority.pem());
    let common = ["-CAfile", &roots, "-verify_hostname", "sip.example.com", "-servername", "sip.example.com"];
    for (number, version, says) in [(1, "-tls1_2", "TLSv1.2, Cipher"), (2, "-tls1_3", "TLSv1.3, Cipher")] {
        let output = openssl(&server, &[&common[..], &[version]].concat(), move |client| {
            client.write(&options_text(Transport::Tls, "client.invalid", number));
            client.read_until("\r\n\r\nTLS ")
        })
        .await;
        assert!(output.contains(says) && output.contains("SIP/2.0 200 OK"), "{output}");
    }
    for bad in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"][..],
    ] {
        assert!(openssl(&server, &[&common[..], bad].concat(), OpenSsl::failed).await, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let authority = Authority::new();
    let (one, two) = (authority.server(&["one.example"]), authority.server(&["sip:two.example", "edge.two.example"]));
    let server = serve(authority.tls(&[&one, &two], ClientAuth::Off));
    let files = Files::new("names");
    let roots = files.write("roots.pem", &authority.pem());
    let cases = [
        (&["-servername", "two.example"][..], "edge.two.example"),
        (&["-servername", "edge.two.example"], "edge.two.example"),
        (&["-servername", "ONE.example"], "one.example"),
        (&["-servername", "three.example"], "one.example"),
        (&["-noservername"], "one.example"),
    ];
    for (number, (asked, got)) in (1..).zip(cases) {
        let arguments = [asked, &["-CAfile", &roots, "-verify_hostname", got]].concat();
        let output = openssl(&server, &arguments, move |client| {
            client.write(&options_text(Transport::Tls, "client.invalid", number));
            client.read_until("\r\n\r\nTLS ")
        })
        .await;
        assert!(output.contains("SIP/2.0 200 OK"), "{asked:?}: {output}");
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_connections_stay() {
    let authority = Authority::new();
    let server = serve(authority.tls(&[&authority.server(&["old.example"])], ClientAuth::Off));
    let connect = async |name| {
        let stream = TcpStream::connect(address(&server, Transport::Tls)).await.unwrap();
        pki::connect(&authority, None, stream, name).await
    };
    let mut old = connect("old.example").await.unwrap();
    server.set_tls(&authority.tls(&[&authority.server(&["new.example"])], ClientAuth::Off)).unwrap();
    connect("old.example").await.unwrap_err();
    let mut new = connect("new.example").await.unwrap();
    for (number, stream) in (1..).zip([&mut old, &mut new]) {
        client::write(stream, options_text(Transport::Tls, "client.invalid", number)).await;
        read_until(stream, "\r\n\r\nTLS ").await;
    }
    // What is wrong changes nothing.
    assert_eq!(server.set_tls(&authority.tls(&[], ClientAuth::Off)), Err(TlsError::NoIdentity));
    connect("new.example").await.unwrap();
}

#[test]
fn a_key_of_another_certificate_is_told() {
    use sallyport_sip_transport::Identity;
    let authority = Authority::new();
    let (one, two) = (authority.server(&["one.example"]), authority.server(&["two.example"]));
    let read = |chain: &str, key: &str| Identity::from_pem(chain.as_bytes(), key.as_bytes()).err();
    assert_eq!(read(&one.chain, &one.key), None);
    assert_eq!(read(&one.chain, &two.key), Some(TlsError::KeyMismatch));
    assert_eq!(read(&one.key, &one.key), Some(TlsError::Certificate));
    assert_eq!(read(&one.chain, &one.chain), Some(TlsError::Key));
}

/// Connects with a certificate, and gives what the server says that it is, or nothing if the server refused.
async fn shown(server: &Transports, authority: &Authority, pair: Option<&Pair>) -> Option<String> {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let stream = TcpStream::connect(address(server, Transport::Tls)).await.unwrap();
    let mut stream = pki::connect(authority, pair, stream, "sip.example.com").await.ok()?;
    client::write(&mut stream, options_text(Transport::Tls, "client.invalid", number)).await;
    // In TLS 1.3 a client hears of its refusal only here.
    let mut buffer = vec![0; 4096];
    let length = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await.ok()?;
    let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(answer.starts_with("SIP/2.0 200 OK"), "{answer}");
    Some(answer.split("X-Identity: ").nth(1).map_or(String::new(), |rest| rest.lines().next().unwrap().to_owned()))
}

/// RFC 5922 §7.1
#[tokio::test]
async fn mutual_tls_tells_whose_certificate_came() {
    use ExtendedKeyUsagePurpose::{ClientAuth as ForClients, CodeSigning, Other, ServerAuth};
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = serve(authority.tls(&[&authority.server(&["sip.example.com"])], ClientAuth::Required));
    let sip_domain = Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 20]);
    for (names, purposes, seen) in [
        (&["sip:Peer.example", "edge.peer.example"][..], vec![ForClients], "peer.example"),
        (&["peer.example", "*.peer.example"], vec![ServerAuth], "peer.example"),
        (&["sip:peer.example"], vec![sip_domain], "peer.example"),
        (&["peer.example"], vec![], "peer.example"),
        (&["sip:alice@peer.example"], vec![ForClients], ""),
    ] {
        let pair = authority.issue(names, &purposes);
        assert_eq!(shown(&server, &authority, Some(&pair)).await.as_deref(), Some(seen), "{names:?}");
    }
    let refused = [
        None,
        Some(stranger.issue(&["peer.example"], &[ForClients])),
        Some(authority.issue(&["peer.example"], &[CodeSigning])),
        Some(authority.expired(&["peer.example"])),
    ];
    for pair in &refused {
        assert_eq!(shown(&server, &authority, pair.as_ref()).await, None);
    }
    until("each is counted", || server.stats().refusals(Refusal::Tls) == 4).await;

    let server = serve(authority.tls(&[&authority.server(&["sip.example.com"])], ClientAuth::Optional));
    assert_eq!(shown(&server, &authority, None).await.as_deref(), Some(""));
    assert_eq!(shown(&server, &authority, refused[1].as_ref()).await, None);
}

/// RFC 5922 §7.2, §7.3: against the domain that was asked for.
#[tokio::test]
async fn a_server_must_have_the_domain_that_was_asked_for() {
    use ExtendedKeyUsagePurpose::{ClientAuth as ForClients, ServerAuth};
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mut calling = config(&[Transport::Tls]);
    calling.tls = Some(authority.tls(&[&authority.server(&["client.example"])], ClientAuth::Off));
    let mut client = Element::bind(calling);
    let cases = [
        (authority.server(&["sip:example.com"]), "example.com", true),
        (authority.server(&["EXAMPLE.com"]), "example.com", true),
        (authority.server(&["sip:example.net", "sip:example.com"]), "example.com", true),
        (authority.server(&["127.0.0.1"]), "127.0.0.1", true),
        (authority.server(&["example.net"]), "example.com", false),
        (authority.server(&["*.example.com"]), "sip.example.com", false),
        (authority.server(&["example.com"]), "sip.example.com", false),
        // A SIP URI goes before all DNS names.
        (authority.server(&["sip:example.net", "example.com"]), "example.com", false),
        (authority.server(&["example.com"]), "127.0.0.1", false),
        (authority.issue(&["example.com"], &[ForClients]), "example.com", false),
        (authority.expired(&["example.com"]), "example.com", false),
        (stranger.issue(&["example.com"], &[ServerAuth]), "example.com", false),
    ];
    for (number, (pair, domain, is_good)) in cases.iter().enumerate() {
        let server = serve(authority.tls(&[pair], ClientAuth::Off));
        let hop =
            Hop { transport: Transport::Tls, address: address(&server, Transport::Tls), domain: (*domain).to_owned() };
        let target = client.transports.target(&hop).unwrap();
        let end = client.options(&target).await;
        assert!(matches!((&end, is_good), (End::Response(..), true) | (End::Unreachable, false)), "{number}: {end:?}");
    }
}

/// Whoever only connects holds nobody up, and is gone when its time is over.
#[tokio::test]
async fn fifty_half_open_handshakes_hold_nobody_up() {
    let authority = Authority::new();
    let mut listening = config(&[Transport::Udp, Transport::Tls]);
    listening.tls = Some(authority.tls(&[&authority.server(&["sip.example.com"])], ClientAuth::Off));
    listening.limits.handshake_time = Duration::from_secs(3);
    let (server, _task) = Element::bind(listening).serve();
    let mut idle = Vec::new();
    for number in 0..50 {
        let mut stream = TcpStream::connect(address(&server, Transport::Tls)).await.unwrap();
        if number % 2 == 0 {
            // The first bytes of a ClientHello.
            client::write(&mut stream, [0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
        }
        idle.push(stream);
    }
    until("all are in their handshake", || server.stats().connections[2] == 50).await;

    let began = Instant::now();
    let mut client = Element::bind(config(&[Transport::Udp]));
    let target = target(&client.transports, Transport::Udp, address(&server, Transport::Udp));
    client.options(&target).await.response();
    let stream = TcpStream::connect(address(&server, Transport::Tls)).await.unwrap();
    let mut stream = pki::connect(&authority, None, stream, "sip.example.com").await.unwrap();
    client::write(&mut stream, options_text(Transport::Tls, "client.invalid", 1)).await;
    read_until(&mut stream, "\r\n\r\nTLS ").await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());

    until("their time is over", || server.stats().refusals(Refusal::HandshakeTime) == 50).await;
    assert_eq!(server.stats().connections, [0, 0, 1, 0, 0]);
}

/// RFC 5923: a request may go back by the peer's connection if both sides have shown certificates and the peer asked for it.
#[tokio::test]
async fn a_connection_is_used_backwards_only_with_alias_and_certificate() {
    let authority = Authority::new();
    let pair = authority.server(&["peer.example"]);
    for (client_auth, shows, alias, is_used) in [
        (ClientAuth::Required, true, ";alias", true),
        (ClientAuth::Required, true, "", false),
        (ClientAuth::Optional, false, ";alias", false),
    ] {
        let mut listening = config(&[Transport::Tls]);
        listening.tls = Some(authority.tls(&[&authority.server(&["sip.example.com"])], client_auth));
        let mut server = Element::bind(listening);
        let stream = TcpStream::connect(address(&server.transports, Transport::Tls)).await.unwrap();
        let mut stream = pki::connect(&authority, shows.then_some(&pair), stream, "sip.example.com").await.unwrap();
        // Nothing listens on the port of the Via.
        let via = options_text(Transport::Tls, "peer.example:9", 1).replace(";rport", alias);
        client::write(&mut stream, via).await;
        let Some(Inbound::Message { identity, .. }) = server.inbox.recv().await else { panic!("no message") };
        assert_eq!(identity.is_some(), shows);

        let hop = |domain: &str| Hop {
            transport: Transport::Tls,
            address: "127.0.0.1:9".parse().unwrap(),
            domain: domain.to_owned(),
        };
        let other = server.transports.target(&hop("other.example")).unwrap();
        assert!(matches!(server.options(&other).await, End::Unreachable));
        let target = server.transports.target(&hop("peer.example")).unwrap();
        let request = server.request(Method::Options, &target);
        if !is_used {
            assert!(matches!(server.send(request, &target).await, End::Unreachable));
            continue;
        }
        let answered = tokio::spawn(async move {
            let request = read_until(&mut stream, "\r\n\r\n").await;
            let headers = request.split_once("\r\n").unwrap().1;
            client::write(&mut stream, format!("SIP/2.0 200 OK\r\n{headers}")).await;
            stream
        });
        server.send(request, &target).await.response();
        drop(answered.await.unwrap());
    }
}
