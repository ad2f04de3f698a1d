//! Handshakes with the `openssl` program over loopback, both roles, its exporter against ours. It has DTLS 1.2 only.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::config;
use common::raw::Credential;
use control::{DtlsRole, HashAlgorithm, Profile, TransportFailure};
use sallyport_dtls::{Endpoint, EndpointConfig, EndpointEvent, Identity, Keyed, Standing};

/// The program's files and process, gone with it.
struct Peer {
    child: Child,
    directory: PathBuf,
    lines: mpsc::Receiver<String>,
}

impl Peer {
    fn spawn(name: &str, credential: &Credential, arguments: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("sallyport-dtls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (certificate, key) = credential.pem();
        std::fs::write(directory.join("cert.pem"), certificate).unwrap();
        std::fs::write(directory.join("key.pem"), key).unwrap();
        let mut child = Command::new("openssl")
            .args(arguments)
            .args(["-dtls1_2", "-cert", "cert.pem", "-key", "key.pem", "-mtu", "1200"])
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "60"])
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the openssl program is needed");
        let (sender, lines) = mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()) as Box<dyn Read + Send>,
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, directory, lines }
    }

    fn wait_for(&self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
        }
        panic!("openssl has not said {text:?}");
    }

    /// What it has exported, in upper-case hexadecimal.
    fn keying_material(&self) -> String {
        let line = self.wait_for("Keying material: ");
        line.rsplit(' ').next().unwrap().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs our endpoint on a socket until `done`.
fn run(
    endpoint: &mut Endpoint,
    socket: &UdpSocket,
    time: Duration,
    mut done: impl FnMut(&EndpointEvent) -> bool,
) -> Option<EndpointEvent> {
    let end = Instant::now() + time;
    let mut buffer = [0; 2048];
    while Instant::now() < end {
        while let Some(sent) = endpoint.poll_transmit() {
            // The program may have ended; then the socket says so.
            let _ = socket.send_to(&sent.bytes, sent.remote);
        }
        if let Some(event) = endpoint.poll_event()
            && done(&event)
        {
            return Some(event);
        }
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            endpoint.handle_datagram(Instant::now(), source, Standing::Signalled, &buffer[..length]);
        }
        if endpoint.poll_timeout().is_some_and(|when| when <= Instant::now()) {
            endpoint.handle_timeout(Instant::now());
        }
    }
    None
}

fn keyed(endpoint: &mut Endpoint, socket: &UdpSocket) -> Box<Keyed> {
    match run(endpoint, socket, Duration::from_secs(20), |_| true) {
        Some(EndpointEvent::Keyed(keyed)) => keyed,
        Some(EndpointEvent::Failed { failure, .. }) => panic!("failed: {failure}"),
        _ => panic!("no keys"),
    }
}

/// Client key, server key, client salt, server salt (RFC 5764 §4.2), in upper-case hexadecimal.
fn in_exporter_order(keyed: &Keyed, role: DtlsRole) -> String {
    let (client, server) = match role {
        DtlsRole::Client => (&keyed.outbound, &keyed.inbound),
        DtlsRole::Server => (&keyed.inbound, &keyed.outbound),
    };
    let parts = [client.key(), server.key(), client.salt(), server.salt()];
    parts.concat().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn our_endpoint(role: DtlsRole, peer: &Credential) -> (Endpoint, UdpSocket) {
    let ours = Identity::generate().unwrap();
    let config = EndpointConfig {
        fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
        profiles: vec![Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm],
        ..config(role, &ours)
    };
    (Endpoint::new(Instant::now(), &ours, config).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap())
}

/// In an order that is not ours, to see whose counts.
const THEIR_PROFILES: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80";

fn client(name: &str, credential: &Credential, to: SocketAddr, more: &[&str]) -> Peer {
    let to = to.to_string();
    let arguments = [&["s_client", "-connect", &to, "-use_srtp", THEIR_PROFILES], more].concat();
    Peer::spawn(name, credential, &arguments)
}

fn server(name: &str, credential: &Credential, profiles: &str) -> (Peer, SocketAddr) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let accept = format!("127.0.0.1:{port}");
    let arguments = ["s_server", "-accept", &accept, "-Verify", "1", "-use_srtp", profiles];
    let peer = Peer::spawn(name, credential, &arguments);
    peer.wait_for("ACCEPT");
    (peer, accept.parse().unwrap())
}

#[test]
fn the_programs_client_and_our_server_export_the_same_keys() {
    for (name, credential) in [("client-ec", Credential::ec()), ("client-rsa", Credential::rsa(3072))] {
        let (mut endpoint, socket) = our_endpoint(DtlsRole::Server, &credential);
        let peer = client(name, &credential, socket.local_addr().unwrap(), &[]);
        let keyed = keyed(&mut endpoint, &socket);
        assert_eq!((keyed.version, keyed.profile), ("DTLSv1.2", Profile::AesCm128HmacSha1_80));
        assert_eq!(peer.keying_material(), in_exporter_order(&keyed, DtlsRole::Server));
    }
}

#[test]
fn the_programs_server_and_our_client_export_the_same_keys() {
    for (name, credential) in [("server-ec", Credential::ec()), ("server-rsa", Credential::rsa(2048))] {
        let (peer, address) = server(name, &credential, "SRTP_AES128_CM_SHA1_80");
        let (mut endpoint, socket) = our_endpoint(DtlsRole::Client, &credential);
        endpoint.start(Instant::now(), address);
        let keyed = keyed(&mut endpoint, &socket);
        assert_eq!((keyed.version, keyed.profile), ("DTLSv1.2", Profile::AesCm128HmacSha1_80));
        assert_eq!(peer.keying_material(), in_exporter_order(&keyed, DtlsRole::Client));
    }
}

#[test]
fn a_renegotiation_does_not_disturb_the_keyed_endpoint() {
    let credential = Credential::ec();
    let (mut endpoint, socket) = our_endpoint(DtlsRole::Server, &credential);
    let mut peer = client("renegotiation", &credential, socket.local_addr().unwrap(), &["-legacy_renegotiation"]);
    keyed(&mut endpoint, &socket);
    peer.keying_material();
    peer.child.stdin.as_mut().unwrap().write_all(b"R\n").unwrap();
    peer.wait_for("RENEGOTIATING");
    let event = run(&mut endpoint, &socket, Duration::from_secs(2), |_| true);
    assert!(event.is_none(), "neither closed nor failed");
    assert!(peer.child.try_wait().unwrap().is_none(), "and no alert that would end the peer");
}

#[test]
fn the_programs_close_is_told() {
    let credential = Credential::ec();
    let (mut endpoint, socket) = our_endpoint(DtlsRole::Server, &credential);
    let mut peer = client("close", &credential, socket.local_addr().unwrap(), &[]);
    keyed(&mut endpoint, &socket);
    peer.keying_material();
    peer.child.stdin.as_mut().unwrap().write_all(b"Q\n").unwrap();
    let event = run(&mut endpoint, &socket, Duration::from_secs(10), |_| true);
    assert!(matches!(event, Some(EndpointEvent::Closed)));
}

#[test]
fn a_client_without_extended_master_secret_is_refused() {
    let credential = Credential::ec();
    let (mut endpoint, socket) = our_endpoint(DtlsRole::Server, &credential);
    let configuration = std::env::temp_dir().join(format!("sallyport-dtls-{}-ems.cnf", std::process::id()));
    let text = "openssl_conf = init\n[init]\nssl_conf = modules\n[modules]\nsystem_default = tls\n\
                [tls]\nOptions = -ExtendedMasterSecret\n";
    std::fs::write(&configuration, text).unwrap();
    let to = socket.local_addr().unwrap().to_string();
    let mut command = Command::new("openssl");
    let (certificate, key) = credential.pem();
    let directory = std::env::temp_dir();
    let certificate_path = directory.join(format!("sallyport-dtls-{}-ems-cert.pem", std::process::id()));
    std::fs::write(&certificate_path, [certificate, key].concat()).unwrap();
    command.env("OPENSSL_CONF", &configuration).args(["s_client", "-connect", &to, "-use_srtp", THEIR_PROFILES]);
    command.args(["-dtls1_2", "-cert"]).arg(&certificate_path);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the openssl program is needed");
    let event = run(&mut endpoint, &socket, Duration::from_secs(20), |_| true);
    let _ = child.kill();
    let _ = child.wait();
    let _ = std::fs::remove_file(configuration);
    let _ = std::fs::remove_file(certificate_path);
    assert!(
        matches!(event, Some(EndpointEvent::Failed { failure: TransportFailure::NoExtendedMasterSecret, .. })),
        "no keys without it"
    );
}
