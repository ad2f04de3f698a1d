//! RFC 3263 against zones that are text, and against a DNS server.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sallyport_sip_transport::{ClientAuth, Failover, LocateError, LocatorConfig, Outcome, Search, Security, Step};
use sip::{SipUri, StatusCode, Target, Transport, Uri};
use support::pki::Authority;
use support::zone::Zone;
use support::{Element, End, address, config, target};

const ALL: [Transport; 3] = [Transport::Tls, Transport::Udp, Transport::Tcp];

fn uri(text: &str) -> SipUri {
    let Uri::Sip(uri) = Uri::parse(text).unwrap() else { panic!("{text}") };
    uri
}

/// `TLS 192.0.2.1:5061` of each hop, or the error.
fn locate(text: &str, security: Security, zone: &str) -> Result<Vec<String>, LocateError> {
    locate_with(text, security, &ALL, zone, [1; 32])
}

fn locate_with(
    text: &str,
    security: Security,
    supported: &[Transport],
    zone: &str,
    seed: [u8; 32],
) -> Result<Vec<String>, LocateError> {
    let zone = Zone::new(zone);
    let (mut search, mut step) = Search::start(&uri(text), security, supported, seed);
    for _ in 0..4 {
        match step {
            Step::Ask(questions) => {
                assert!(questions.len() <= Search::MAX_RECORDS);
                step = search.handle_answers(&zone.answers(&questions));
            }
            Step::Found(hops) => {
                return Ok(hops.iter().map(|hop| format!("{} {}", hop.transport, hop.address)).collect());
            }
            Step::Failed(error) => return Err(error),
        }
    }
    panic!("it never ends");
}

/// §4.1 and §4.2: what needs no NAPTR and no SRV.
#[test]
fn addresses_and_ports_are_taken_as_they_are() {
    let zone = "example.com A 192.0.2.7\nexample.com AAAA 2001:db8::7\n\
        example.com NAPTR 10 10 s SIPS+D2T _sips._tcp.example.com\n_sip._udp.example.com SRV 1 1 5080 other.example.com";
    for (uri, found) in [
        ("sip:192.0.2.1", &["UDP 192.0.2.1:5060"][..]),
        ("sips:192.0.2.1", &["TLS 192.0.2.1:5061"]),
        ("sip:bob@192.0.2.1:5080;transport=tcp", &["TCP 192.0.2.1:5080"]),
        ("sip:192.0.2.1;transport=TLS", &["TLS 192.0.2.1:5061"]),
        ("sips:192.0.2.1;transport=tcp", &["TLS 192.0.2.1:5061"]),
        ("sip:[2001:db8::1]", &["UDP [2001:db8::1]:5060"]),
        ("sip:Example.com:5090", &["UDP 192.0.2.7:5090", "UDP [2001:db8::7]:5090"]),
        ("sips:example.com:5090", &["TLS 192.0.2.7:5090", "TLS [2001:db8::7]:5090"]),
        ("sip:nowhere.example;maddr=192.0.2.9", &["UDP 192.0.2.9:5060"]),
        ("sip:nowhere.example:5070;maddr=example.com;transport=tcp", &["TCP 192.0.2.7:5070", "TCP [2001:db8::7]:5070"]),
    ] {
        assert_eq!(locate(uri, Security::AsAsked, zone).unwrap(), found, "{uri}");
    }
}

const RFC_3263: &str = "
    example.com NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com
    example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com
    example.com NAPTR 100 50 s SIP+D2U _sip._udp.example.com
    example.com NAPTR 10 50 u E2U+sip !.*!sip:x@example.com!
    _sips._tcp.example.com SRV 0 1 5061 server1.example.com
    _sip._tcp.example.com SRV 0 1 5060 server1.example.com
    _sip._tcp.example.com SRV 0 2 5060 server2.example.com
    _sip._udp.example.com SRV 1 1 5062 server2.example.com
    server1.example.com A 192.0.2.1
    server2.example.com A 192.0.2.2
";

/// The zone of §4.1, with TLS in it.
#[test]
fn naptr_chooses_the_transport_and_srv_the_server() {
    assert_eq!(locate("sip:user@example.com", Security::AsAsked, RFC_3263).unwrap(), ["TLS 192.0.2.1:5061"]);
    assert_eq!(locate("sips:example.com", Security::AsAsked, RFC_3263).unwrap(), ["TLS 192.0.2.1:5061"]);
    let without_tls = locate_with("sip:example.com", Security::AsAsked, &ALL[1..], RFC_3263, [1; 32]).unwrap();
    let mut sorted = without_tls.clone();
    sorted.sort();
    assert_eq!(sorted, ["TCP 192.0.2.1:5060", "TCP 192.0.2.2:5060"], "another order is not looked at");
    assert_eq!(locate("sip:example.com;transport=udp", Security::AsAsked, RFC_3263).unwrap(), ["UDP 192.0.2.2:5062"]);
}

#[test]
fn without_naptr_all_services_are_asked_for_and_without_srv_the_host() {
    let without_naptr: String =
        RFC_3263.lines().filter(|line| !line.contains("NAPTR")).flat_map(|line| [line, "\n"]).collect();
    let found = locate("sip:example.com", Security::AsAsked, &without_naptr).unwrap();
    assert_eq!(found[..2], ["TLS 192.0.2.1:5061", "UDP 192.0.2.2:5062"]);
    assert_eq!(found.len(), 4);
    assert_eq!(locate("sip:example.com", Security::Required, &without_naptr).unwrap(), ["TLS 192.0.2.1:5061"]);
    for (uri, found) in [
        ("sip:server1.example.com", "UDP 192.0.2.1:5060"),
        ("sips:server1.example.com", "TLS 192.0.2.1:5061"),
        ("sip:server1.example.com;transport=tcp", "TCP 192.0.2.1:5060"),
    ] {
        assert_eq!(locate(uri, Security::AsAsked, RFC_3263).unwrap(), [found]);
    }
}

/// §4.2: NAPTR has chosen TLS, and that SRV is missing changes nothing about it.
#[test]
fn the_chosen_transport_stays_when_srv_is_missing() {
    let zone = "example.com NAPTR 10 10 s SIPS+D2T _sips._tcp.example.com\nexample.com A 192.0.2.1";
    assert_eq!(locate("sip:example.com", Security::AsAsked, zone).unwrap(), ["TLS 192.0.2.1:5061"]);
}

#[test]
fn what_cannot_be_is_told_apart() {
    for (uri, error) in [
        ("sip:nowhere.example", LocateError::NotFound),
        ("sip:closed.example", LocateError::NotFound),
        ("sip:example.com;transport=sctp", LocateError::Transport),
        ("sip:example.com;transport=ws", LocateError::Transport),
        ("sips:example.com;transport=udp", LocateError::Transport),
    ] {
        // "." is a decided no (RFC 2782), whatever addresses there are.
        let zone = "_sip._udp.closed.example SRV 0 0 0 .\nclosed.example A 192.0.2.1\nexample.com A 192.0.2.1";
        assert_eq!(locate(uri, Security::AsAsked, zone), Err(error), "{uri}");
    }
    let udp = [Transport::Udp];
    let refused = locate_with("sips:192.0.2.1", Security::AsAsked, &udp, "", [1; 32]);
    assert_eq!(refused, Err(LocateError::Transport));
}

#[test]
fn a_large_zone_costs_a_bounded_search() {
    let mut zone = String::new();
    for number in 0..200 {
        zone += &format!("_sip._udp.example.com SRV {number} 1 5060 h{number}.example.com\n");
        for address in 0..20 {
            zone += &format!("h{number}.example.com A 198.51.{number}.{address}\n");
        }
    }
    let found = locate("sip:example.com;transport=udp", Security::AsAsked, &zone).unwrap();
    assert_eq!(found.len(), Search::MAX_RECORDS);
    assert_eq!(found[0], "UDP 198.51.0.0:5060");
}

#[test]
fn the_seed_chooses_among_equals() {
    let zone: String = (0..4)
        .map(|number| {
            format!(
                "_sip._udp.example.com SRV 1 1 5060 h{number}.example.com\nh{number}.example.com A 192.0.2.{number}\n"
            )
        })
        .collect();
    let first = |seed| {
        let found = locate_with("sip:example.com;transport=udp", Security::AsAsked, &ALL, &zone, [seed; 32]);
        found.unwrap().remove(0)
    };
    let mut seen: Vec<_> = (0..100).map(first).collect();
    assert_eq!(first(5), first(5));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

fn locator(server: std::net::SocketAddr) -> LocatorConfig {
    LocatorConfig { servers: vec![server], time: Duration::from_millis(1500), ..LocatorConfig::default() }
}

/// From a sips URI by a DNS server to a TLS server that has the domain's certificate, though its host has another name.
#[tokio::test]
async fn a_domain_is_found_by_dns_and_its_certificate_is_checked() {
    let authority = Authority::new();
    let serve = |name| {
        let mut listening = config(&[Transport::Tls]);
        listening.tls = Some(authority.tls(&[&authority.server(&[name])], ClientAuth::Off));
        Element::bind(listening).serve().0
    };
    let (good, other) = (serve("sip:example.test"), serve("sip:host.example.test"));
    let port = |server| address(server, Transport::Tls).port();
    let (dns, _) = Zone::new(&format!(
        "example.test NAPTR 10 10 s SIPS+D2T _sips._tcp.example.test
         _sips._tcp.example.test SRV 10 1 {} host.example.test
         _sips._tcp.example.test SRV 20 1 {} host.example.test
         host.example.test A 127.0.0.1",
        port(&other),
        port(&good)
    ))
    .serve()
    .await;
    let mut calling = config(&[Transport::Tls, Transport::Udp]);
    calling.tls = Some(authority.tls(&[&authority.server(&["client.example"])], ClientAuth::Off));
    calling.locator = locator(dns);
    let mut client = Element::bind(calling);
    let targets = client.transports.locate(&uri("sips:bob@example.test"), Security::AsAsked).await.unwrap();
    let ports = |targets: &[Target]| targets.iter().map(|target| target.flow.peer.port()).collect::<Vec<_>>();
    assert_eq!(ports(&targets), [port(&other), port(&good)]);

    // The first has the name of the host, which is not what was asked for: the next is tried.
    let mut failover = Failover::new(targets);
    let first = failover.first().unwrap();
    assert!(matches!(client.options(&first).await, End::Unreachable));
    let second = failover.after(Outcome::Unreachable).unwrap();
    let (response, _) = client.options(&second).await.response();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(failover.after(Outcome::Unreachable), None);

    client.transports.penalise(&first, None);
    let targets = client.transports.locate(&uri("sips:example.test"), Security::AsAsked).await.unwrap();
    assert_eq!(ports(&targets), [port(&good), port(&other)]);
}

#[test]
fn only_a_failure_asks_for_the_next_target() {
    for (outcome, is_failure) in [
        (Outcome::TimedOut, true),
        (Outcome::Answered(StatusCode::SERVICE_UNAVAILABLE), true),
        (Outcome::Answered(StatusCode::BUSY_HERE), false),
        (Outcome::Answered(StatusCode::OK), false),
    ] {
        assert_eq!(outcome.is_failure(), is_failure, "{outcome:?}");
    }
}

#[tokio::test]
async fn what_dns_does_not_know_is_not_found_and_its_silence_is_told_in_time() {
    let (dns, asked) = Zone::new("example.test A 127.0.0.1").serve().await;
    let mut calling = config(&[Transport::Udp, Transport::Tcp]);
    calling.locator = locator(dns);
    let client = Element::bind(calling);
    let locate = async |text| client.transports.locate(&uri(text), Security::AsAsked).await;
    assert_eq!(locate("sip:nowhere.test").await, Err(LocateError::NotFound));
    let found = locate("sip:example.test").await.unwrap();
    assert_eq!((found.len(), found[0].flow.peer.to_string().as_str()), (1, "127.0.0.1:5060"));
    // What was answered is kept for its time.
    let before = asked.load(Ordering::Relaxed);
    locate("sip:example.test:5070").await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), before);

    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut calling = config(&[Transport::Udp]);
    calling.locator = locator(silent.local_addr().unwrap());
    let mut client = Element::bind(calling);
    let (server, _task) = Element::bind(config(&[Transport::Udp])).serve();
    let transports = client.transports.clone();
    let began = Instant::now();
    let waiting = tokio::spawn(async move { transports.locate(&uri("sip:example.test"), Security::AsAsked).await });
    let target = target(&client.transports, Transport::Udp, address(&server, Transport::Udp));
    client.options(&target).await.response();
    assert!(!waiting.is_finished(), "signalling goes on meanwhile");
    assert_eq!(waiting.await.unwrap(), Err(LocateError::TimedOut));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
