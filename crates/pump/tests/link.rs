//! The media half's end of the control link, over real Unix sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::frame::{self, ToPump, ToSession, Welcome};
use control::{BindFailure, CallKey, Command, Event, OpenPort, RequestId, TransportId, WorkerId};
use packet_io::MmsgConfig;
use sallyport_pump::{Connection, ControlLink, ControlLinkConfig, LinkError, Pump, PumpConfig};

const WORKER: WorkerId = WorkerId(0);

struct Half {
    link: Option<ControlLink>,
    folder: PathBuf,
}

impl Half {
    /// Binds what is on loopback, and nothing else.
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sallyport-link-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let link = Self::listen(folder.join("socket")).expect("a socket");
        Self { link: Some(link), folder }
    }

    fn listen(path: PathBuf) -> std::io::Result<ControlLink> {
        let identity = dtls::Identity::generate().expect("a certificate");
        let config = PumpConfig::mmsg(1, MmsgConfig::default(), identity);
        let (pump, notices) = Pump::start(config).expect("a pump");
        let welcome = Welcome { instance: 7, workers: 1, backend: "mmsg".into(), fingerprints: Vec::new() };
        let may_bind = Box::new(|local: SocketAddr| local.ip().is_loopback());
        ControlLink::serve(ControlLinkConfig { path, welcome, may_bind }, Arc::new(pump), notices)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Connects; what is heard first comes with it.
    fn connect(&self) -> (Connection, ToSession) {
        let mut connection = Connection::connect(&self.path()).expect("somebody listens");
        connection.greet().expect("taken");
        connection.await_greeting().expect("understood");
        let first = connection.receive().expect("a message");
        (connection, first)
    }

    /// Connects as soon as there is room.
    fn connect_at_last(&self) -> Connection {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let (connection, ToSession::Welcome(welcome)) = self.connect() {
                assert_eq!((welcome.instance, welcome.workers), (7, 1));
                return connection;
            }
            assert!(Instant::now() < deadline, "the one before is gone");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.shutdown();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn send(connection: &mut Connection, command: Command) {
    connection.send(&ToPump { worker: WORKER, command }).expect("taken");
}

fn event(connection: &mut Connection) -> Event {
    match connection.receive().expect("an event") {
        ToSession::Event { worker: WORKER, event } => event,
        other => panic!("{other:?}"),
    }
}

fn open(call: CallKey, local: SocketAddr) -> Command {
    Command::Open { request: RequestId(1), call, ports: vec![OpenPort { transport: TransportId(1), local }] }
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a port")
}

#[test]
fn commands_go_in_and_events_come_out_and_calls_outlive_the_connection() {
    let half = Half::start("life");
    let mode = std::fs::metadata(half.path()).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut first = half.connect_at_last();
    let local = free_port();
    send(&mut first, open(CallKey(5), local));
    assert!(matches!(event(&mut first), Event::Opened { request: RequestId(1), call: CallKey(5) }));
    first.close();

    let mut second = half.connect_at_last();
    send(&mut second, Command::Snapshot { request: RequestId(2), after: None });
    let Event::Snapshot { request: RequestId(2), calls, more: false } = event(&mut second) else { panic!("a page") };
    assert_eq!(calls.iter().map(|snapshot| snapshot.call).collect::<Vec<_>>(), [CallKey(5)]);
    assert_eq!(calls[0].statistics.transports[0].local, local);
    send(&mut second, Command::Remove { call: CallKey(5) });
    assert!(matches!(event(&mut second), Event::Removed { call: CallKey(5), .. }));
    UdpSocket::bind(local).expect("the port is closed");
}

#[test]
fn a_second_one_is_told_and_the_first_is_not_disturbed() {
    let half = Half::start("second");
    let mut first = half.connect_at_last();
    let (_, told) = half.connect();
    assert!(matches!(told, ToSession::Busy));
    send(&mut first, Command::Query { request: RequestId(3), call: CallKey(1) });
    assert!(matches!(event(&mut first), Event::Statistics { request: RequestId(3), statistics: None, .. }));
    first.close();
    half.connect_at_last();
}

#[test]
fn nothing_but_media_addresses_is_bound() {
    let half = Half::start("bounds");
    let mut connection = half.connect_at_last();
    let elsewhere = SocketAddr::from(([0, 0, 0, 0], 0));
    send(&mut connection, open(CallKey(1), elsewhere));
    let Event::Refused { local, cause: BindFailure::Other(words), .. } = event(&mut connection) else {
        panic!("refused")
    };
    assert_eq!((local, words.as_str()), (elsewhere, "the pump's settings have no such media address or port"));
    send(&mut connection, open(CallKey(1), free_port()));
    assert!(matches!(event(&mut connection), Event::Opened { .. }));
}

/// Everything up to the end of the connection, which is a reset where something that was written was not read.
fn until_the_end(mut stream: UnixStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    heard
}

#[test]
fn strangers_and_nonsense_end_their_connection_and_nothing_else() {
    let half = Half::start("nonsense");
    let mut stranger = UnixStream::connect(half.path()).expect("somebody listens");
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("taken");
    assert_eq!(until_the_end(stranger), frame::greeting(), "not a word more");

    for nonsense in [&[0xFF; 4][..], &[0, 0, 0, 2, 0, 0xEE], &[0, 0, 0, 1, 0x80]] {
        half.connect_at_last().close();
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut stream = loop {
            let mut stream = UnixStream::connect(half.path()).expect("somebody listens");
            // One who turns us away may have closed already.
            let _ = stream.write_all(&frame::greeting());
            let mut start = [0; frame::GREETING_LEN + frame::HEADER_LEN + 1];
            stream.read_exact(&mut start).expect("a greeting and a message");
            // The first byte of a Welcome is 0.
            if start.last() == Some(&0) {
                break stream;
            }
            assert!(Instant::now() < deadline, "the one before is gone");
        };
        stream.write_all(nonsense).expect("taken");
        until_the_end(stream);
    }
    let mut connection = half.connect_at_last();
    send(&mut connection, Command::Query { request: RequestId(4), call: CallKey(1) });
    assert!(matches!(event(&mut connection), Event::Statistics { request: RequestId(4), .. }));
}

#[test]
fn a_dead_ones_socket_file_is_replaced_and_a_living_ones_is_not() {
    let half = Half::start("file");
    let error = Half::listen(half.path()).err().expect("there is one");
    assert_eq!(error.to_string(), "another media half listens there");
    let folder = half.folder.join("dead");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists() && matches!(Connection::connect(&path), Err(LinkError::Io(_))));
    Half::listen(path.clone()).expect("replaced").shutdown();
    assert!(!path.exists(), "and taken away at the end");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let path = std::env::temp_dir().join(format!("sallyport-link-{}-no-socket", std::process::id()));
    std::fs::write(&path, "somebody's words").expect("a file");
    assert!(Half::listen(path.clone()).is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "somebody's words");
    std::fs::remove_file(&path).expect("removed");
}
