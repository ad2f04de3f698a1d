use super::*;

fn fragment_bytes(kind: u8, message_len: usize, sequence: u16, offset: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(message_len as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&(offset as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(body);
    bytes
}

fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0xfe, 0xfd];
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&[0; 6]);
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn hello(message_len: usize, offset: usize, len: usize) -> Vec<u8> {
    record(HANDSHAKE, 0, &fragment_bytes(CLIENT_HELLO, message_len, 0, offset, &vec![7; len]))
}

fn server(now: Instant) -> Guard {
    Guard::new(now, DtlsRole::Server)
}

#[allow(clippy::disallowed_methods)]
fn any_time() -> Instant {
    Instant::now()
}

#[test]
fn a_client_hello_is_seen_with_its_random() {
    let datagram = hello(100, 0, 100);
    let survey = Survey::of(&datagram).unwrap();
    let seen = survey.hello().unwrap();
    assert_eq!((seen.random, seen.message_len, seen.offset), (Some([7; 32]), 100, 0));
    let now = any_time();
    assert_eq!(server(now).admit(now, &survey, Position::default()), Some(datagram.clone()));
}

#[test]
fn impossible_fragments_are_dropped() {
    for datagram in [
        hello(100, 90, 20),                                                              // beyond the message
        hello(MAX_MESSAGE + 1, 0, 100),                                                  // too long a message
        hello(10, 0, 10),                                                                // too short for a ClientHello
        record(HANDSHAKE, 0, &fragment_bytes(CLIENT_HELLO, 100, 0, 50, &[])),            // says nothing
        record(HANDSHAKE, 0, &fragment_bytes(CLIENT_HELLO, 100, 2, 0, &[7; 100])),       // no client sends a third
        record(HANDSHAKE, 0, &fragment_bytes(CLIENT_HELLO, 100, 0, 0, &[7; 100])[..60]), // cut off
        record(HANDSHAKE, 0, &[]),
        record(APPLICATION_DATA, 0, &[0; 20]),
        record(26, 0, &[0, 0]),
        record(25, 0, &[0; 30]),
        record(CHANGE_CIPHER_SPEC, 0, &[2]),
        record(HANDSHAKE, 2, &[0; 40]),
        vec![0x3f; 40], // connection ID
        vec![0x20; 10], // too short for its tag
        vec![0; 100],
        vec![],
        hello(5000, 0, 3000),
    ] {
        assert!(Survey::of(&datagram).is_none(), "{datagram:?}");
    }
}

#[test]
fn a_plaintext_alert_is_reported_and_never_let_through() {
    let now = any_time();
    let mut datagram = record(ALERT, 0, &[2, 40]);
    let survey = Survey::of(&datagram).unwrap();
    assert_eq!(survey.alert(), Some(PlaintextAlert { fatal: true, code: 40 }));
    assert_eq!(server(now).admit(now, &survey, Position::default()), None);
    let genuine = hello(100, 0, 100);
    datagram.extend_from_slice(&genuine);
    assert_eq!(server(now).admit(now, &Survey::of(&datagram).unwrap(), Position::default()), Some(genuine));
}

#[test]
fn what_the_role_or_the_position_does_not_expect_is_dropped() {
    let now = any_time();
    let certificate = |sequence| record(HANDSHAKE, 0, &fragment_bytes(11, 50, sequence, 0, &[1; 50]));
    let awaiting = |read_epoch, read_sequence| Position { read_epoch, read_sequence };
    let admits = |role, datagram: &[u8], position| {
        Guard::new(now, role).admit(now, &Survey::of(datagram).unwrap(), position).is_some()
    };
    use DtlsRole::{Client, Server};
    assert!(admits(Server, &certificate(1), awaiting(0, 1)));
    assert!(!admits(Server, &certificate(1), awaiting(0, 0)), "before any ClientHello");
    assert!(!admits(Server, &certificate(1), awaiting(0, 2)), "had it");
    assert!(!admits(Server, &certificate(9), awaiting(0, 1)), "too far ahead");
    assert!(!admits(Server, &certificate(1), awaiting(2, 1)), "all is encrypted by then");
    assert!(!admits(Client, &hello(100, 0, 100), awaiting(0, 0)), "a server sends none");
    let ciphertext = record(HANDSHAKE, 1, &[9; 40]);
    assert!(!admits(Server, &ciphertext, awaiting(0, 1)), "no keys for it");
    assert!(admits(Server, &ciphertext, awaiting(1, 5)));
    let both = [record(CHANGE_CIPHER_SPEC, 0, &[1]), ciphertext].concat();
    assert!(admits(Server, &both, awaiting(0, 5)), "brings its keys along");
}

#[test]
fn a_fragment_that_contradicts_the_first_of_its_message_is_dropped() {
    let now = any_time();
    let mut guard = server(now);
    assert!(guard.admit(now, &Survey::of(&hello(100, 0, 50)).unwrap(), Position::default()).is_some());
    assert!(guard.admit(now, &Survey::of(&hello(200, 50, 50)).unwrap(), Position::default()).is_none());
    assert!(guard.admit(now, &Survey::of(&hello(100, 50, 50)).unwrap(), Position::default()).is_some());
}

#[test]
fn a_flood_spends_the_allowance_and_time_brings_it_back() {
    let now = any_time();
    let mut guard = server(now);
    let datagram = hello(1500, 0, 100);
    let survey = Survey::of(&datagram).unwrap();
    let passed = (0..10_000).filter(|_| guard.admit(now, &survey, Position::default()).is_some()).count();
    assert_eq!(passed, BURST.records);
    let later = now + Duration::from_secs(1);
    let passed = (0..10_000).filter(|_| guard.admit(later, &survey, Position::default()).is_some()).count();
    assert_eq!(passed, REFILL_PER_SECOND.records);
}

#[test]
fn records_and_fragments_of_one_datagram_are_bounded() {
    let alert = record(APPLICATION_DATA, 1, &[0; 16]);
    let survey_of = |count: usize| Survey::of(&alert.repeat(count)).unwrap().records.len();
    assert_eq!(survey_of(10), 10);
    assert_eq!(survey_of(60), MAX_RECORDS);
    let many = fragment_bytes(11, 1, 1, 0, &[0]).repeat(MAX_FRAGMENTS + 1);
    assert!(Survey::of(&record(HANDSHAKE, 0, &many)).is_none());
}
