//! The 49 messages of RFC 4475 with the outcomes that it states. Where it leaves a choice, the comment names ours.

#![allow(clippy::unwrap_used)]

use sallyport_sip::{
    Capabilities, Carriage, Fault, Frame, Limits, Message, Method, Received, Request, StatusCode, StreamFramer,
    next_max_forwards, receive,
};

fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/corpus/rfc4475/{name}.dat", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

fn datagram(name: &str) -> Received {
    receive(&bytes(name), Carriage::Datagram, &Limits::default())
}

fn request(name: &str) -> Request {
    match datagram(name) {
        Received::Message(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

/// A server that knows every method which the RFC's valid messages use.
fn server() -> Capabilities {
    let mut capabilities = Capabilities::default();
    capabilities.methods.push(Method::Message);
    capabilities
}

fn refusal(name: &str) -> sallyport_sip::Response {
    *server().inspect(&request(name)).unwrap_err()
}

/// §3.1.1, and those of §3.2 and §3.3 that are to be processed.
#[test]
fn valid_messages_are_accepted_and_print_as_they_came() {
    for name in [
        "wsinv",
        "intmeth",
        "esc01",
        "escnull",
        "esc02",
        "lwsdisp",
        "longreq",
        "semiuri",
        "transports",
        "mpart01",
        "unreason",
        "noreason",
        "badbranch",
        "regaut01",
        "cparam01",
        "cparam02",
        "regescrt",
        "inv2543",
        "zeromf",
    ] {
        let message = datagram(name).message().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(message.to_bytes(), bytes(name), "{name}");
        if let Message::Request(request) = message
            && !["intmeth", "esc02"].contains(&name)
        {
            assert_eq!(server().inspect(&request), Ok(()), "{name}");
        }
    }
}

/// §3.1.1.1
#[test]
fn wsinv_has_the_values_behind_its_white_space() {
    let request = request("wsinv");
    let headers = &request.headers;
    assert_eq!(headers.to().unwrap().tag(), Some("1918181833n"));
    let from = headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(headers.max_forwards(), Ok(Some(68)));
    assert_eq!(headers.cseq().unwrap().number, 9);
    assert_eq!(headers.value("Subject").as_deref(), Some(""));
    assert_eq!(headers.value("NewFangledHeader").as_deref(), Some("newfangled value continued newfangled value"));
    let branches: Vec<_> =
        headers.vias().unwrap().iter().map(|via| via.params.get("branch").unwrap().to_owned()).collect();
    assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    let contact = headers.contacts().unwrap().remove(0);
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.get("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("q"), Some("0.33"));
    assert!(headers.routes().unwrap()[0].uri.as_sip().unwrap().param("lr").is_some());
    assert_eq!(request.body().len(), 150);
}

/// §3.1.1.2: a method that nobody implements.
#[test]
fn intmeth_is_not_implemented() {
    let request = request("intmeth");
    assert_eq!(request.headers.to().unwrap().display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    assert_eq!(request.headers.from().unwrap().params.get("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(request.headers.max_forwards(), Ok(Some(255)));
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    let uri = request.uri().as_sip().unwrap();
    assert_eq!(uri.user.as_deref(), Some(user));
    assert_eq!(uri.password.as_deref(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    let response = refusal("intmeth");
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(response.headers.list_contains("Allow", "INVITE"));
}

/// §3.1.1.3 to §3.1.1.5
#[test]
fn escapes_are_read_where_they_may_stand_and_nowhere_else() {
    let request = request("esc01");
    assert_eq!(request.uri().as_sip().unwrap().user_unescaped().as_deref(), Some("sips:user@example.com"));
    let contact = &request.headers.contacts().unwrap()[0];
    assert_eq!(contact.uri.as_sip().unwrap().param("lr"), Some(""));
    assert_eq!(contact.uri.as_sip().unwrap().param("name"), Some("v%61lue%25%34%31"));

    let contacts = self::request("escnull").headers.contacts().unwrap();
    assert_eq!(contacts.len(), 2);
    assert!(!contacts[0].uri.is_equivalent(&contacts[1].uri));

    // Not REGISTER, and no Contact in the middle.
    let request = self::request("esc02");
    assert_eq!(request.method().as_str(), "RE%47IST%45R");
    assert_eq!(request.headers.contacts().unwrap().len(), 2);
    assert_eq!(refusal("esc02").status(), StatusCode::NOT_IMPLEMENTED);
}

/// §3.1.1.6, §3.1.1.7, §3.1.1.9 to §3.1.1.13
#[test]
fn the_other_valid_messages_have_their_values() {
    assert_eq!(request("lwsdisp").headers.from().unwrap().display.as_deref(), Some("caller"));
    assert_eq!(request("longreq").headers.vias().unwrap().len(), 34);
    assert_eq!(request("semiuri").uri().as_sip().unwrap().user.as_deref(), Some("user;par=u%40example.net"));
    let transports: Vec<_> =
        request("transports").headers.vias().unwrap().into_iter().map(|via| via.transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);

    let request = request("mpart01");
    let media = request.headers.content_type().unwrap().unwrap();
    let parts = sallyport_sip::split_multipart(request.body(), &media, &Limits::default()).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].body, b"Hello");
    assert_eq!(parts[1].body[..2], [0x30, 0x82]);

    let Message::Response(response) = datagram("unreason").message().unwrap() else { panic!() };
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.reason().starts_with("= 2**3 * 5**2 но сто"));
    let Message::Response(response) = datagram("noreason").message().unwrap() else { panic!() };
    assert_eq!((response.status(), response.reason()), (StatusCode::TRYING, String::new()));
}

/// §3.1.1.8: over UDP the second request is noise, over TCP it is a request.
#[test]
fn dblreq_is_one_request_in_a_datagram_and_two_in_a_stream() {
    let request = request("dblreq");
    assert_eq!((request.method(), request.body().len()), (&Method::Register, 0));

    let mut framer = StreamFramer::new(Limits::default());
    framer.push(&bytes("dblreq"));
    let frames: Vec<_> = std::iter::from_fn(|| framer.next_frame()).collect();
    let methods: Vec<_> = frames
        .into_iter()
        .filter_map(|frame| match frame {
            Frame::Message(Received::Message(Message::Request(request))) => Some(request.method().clone()),
            _ => None,
        })
        .collect();
    assert_eq!(methods, [Method::Register, Method::Invite]);
}

/// §3.1.2, and those of §3.2 and §3.3 that any element refuses. Where the RFC allows to guess what was meant (a quote that is
/// missing, spaces too many), nothing is guessed.
#[test]
fn invalid_requests_are_answered_with_the_status_that_the_rfc_gives() {
    for (name, fault, status) in [
        ("badinv01", Fault::Malformed("Via"), 400),
        ("clerr", Fault::ContentLength, 400),
        ("ncl", Fault::ContentLength, 400),
        ("scalar02", Fault::Malformed("CSeq"), 400),
        ("quotbal", Fault::Malformed("To"), 400),
        ("ltgtruri", Fault::RequestUri, 400),
        ("lwsruri", Fault::RequestUri, 400),
        ("lwsstart", Fault::RequestUri, 400),
        ("trws", Fault::StartLine, 400),
        ("escruri", Fault::RequestUri, 400),
        ("regbadct", Fault::Malformed("Contact"), 400),
        ("badaspec", Fault::Malformed("To"), 400),
        ("baddn", Fault::HeadUnterminated, 400),
        ("badvers", Fault::Version, 505),
        ("mismatch01", Fault::MethodMismatch, 400),
        ("mismatch02", Fault::MethodMismatch, 400),
        ("insuf", Fault::Missing("From"), 400),
        ("multi01", Fault::Repeated("Call-ID"), 400),
        ("mcl01", Fault::Repeated("Content-Length"), 400),
    ] {
        let Received::Refused { fault: found, response } = datagram(name) else { panic!("{name} was accepted") };
        assert_eq!(found, fault, "{name}");
        let response = response.unwrap_or_else(|| panic!("{name} is not answered"));
        assert_eq!(response.status().code(), status, "{name}");
        // The answer finds its way back.
        assert!(response.headers.contains("Via"), "{name}");
    }
}

/// §3.1.2.15: the file ends without its empty line; with one, the display name is what is wrong.
#[test]
fn baddn_has_a_comma_in_a_display_name_without_quotes() {
    let whole = [bytes("baddn"), b"\r\n".to_vec()].concat();
    let received = receive(&whole, Carriage::Datagram, &Limits::default());
    assert!(matches!(received, Received::Refused { fault: Fault::Malformed("From"), response: Some(_) }));
}

/// §3.1.2.5, §3.1.2.19: discarded without an answer.
#[test]
fn invalid_responses_are_discarded() {
    for (name, fault) in [("scalarlg", Fault::Malformed("CSeq")), ("bigcode", Fault::StartLine)] {
        assert_eq!(datagram(name), Received::Refused { fault, response: None }, "{name}");
    }
    // §3.3.10, bcast: two Vias are well-formed; the transaction layer discards a response that is not ours.
    let message = datagram("bcast").message().unwrap();
    assert_eq!(message.headers().vias().unwrap().len(), 2);
}

/// §3.1.2.12: the Date is not needed to serve the request and is ignored.
#[test]
fn baddate_has_no_date() {
    let request = request("baddate");
    assert_eq!(request.headers.date(), Err(Fault::Malformed("Date")));
    assert_eq!(server().inspect(&request), Ok(()));
}

/// §3.2.1: a bare cookie is no RFC 3261 branch.
#[test]
fn badbranch_has_no_branch() {
    assert_eq!(request("badbranch").headers.via().unwrap().branch(), None);
}

/// §3.3.2 to §3.3.6, §3.3.15
#[test]
fn what_is_not_supported_is_refused_with_its_header() {
    assert_eq!(refusal("unkscm").status(), StatusCode::UNSUPPORTED_URI_SCHEME);
    assert_eq!(refusal("novelsc").status(), StatusCode::UNSUPPORTED_URI_SCHEME);

    let response = refusal("bext01");
    assert_eq!(response.status(), StatusCode::BAD_EXTENSION);
    assert_eq!(response.headers.list("Unsupported"), ["nothingSupportsThis", "nothingSupportsThisEither"]);

    let response = refusal("invut");
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(response.headers.list_contains("Accept", "application/sdp"));

    assert_eq!(refusal("sdp01").status(), StatusCode::NOT_ACCEPTABLE);

    // unksm2: a registrar finds no such user; nothing breaks before that.
    let request = request("unksm2");
    assert_eq!(request.headers.to().unwrap().uri.scheme(), "isbn");
    assert_eq!(request.headers.from().unwrap().uri.scheme(), "http");
    assert_eq!(server().inspect(&request), Ok(()));
}

/// §3.3.7: an unknown scheme of credentials is as good as none.
#[test]
fn regaut01_shows_no_digest() {
    assert_eq!(
        request("regaut01").headers.value("Authorization").as_deref(),
        Some("NoOneKnowsThisScheme opaque-data=here")
    );
}

/// §3.3.11
#[test]
fn zeromf_goes_no_further() {
    assert_eq!(next_max_forwards(&request("zeromf")), Err(StatusCode::TOO_MANY_HOPS));
    assert_eq!(next_max_forwards(&request("wsinv")), Ok(67));
    assert_eq!(next_max_forwards(&request("inv2543")), Ok(70));
}

/// §3.3.12 to §3.3.14
#[test]
fn contact_parameters_belong_where_the_brackets_say() {
    let contact = |name| request(name).headers.contacts().unwrap().remove(0);
    assert!(contact("cparam01").params.contains("unknownparam"));
    let second = contact("cparam02");
    assert!(!second.params.contains("unknownparam"));
    assert!(second.uri.as_sip().unwrap().param("unknownparam").is_some());
    assert_eq!(contact("regescrt").uri.as_sip().unwrap().header("Route").as_deref(), Some("<sip:sip.example.com>"));
}

/// The list above is whole.
#[test]
fn all_forty_nine_are_here() {
    let folder = format!("{}/corpus/rfc4475", env!("CARGO_MANIFEST_DIR"));
    let source = include_str!("torture.rs");
    let names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 49);
    for name in names {
        assert!(source.contains(&format!("\"{}\"", name.trim_end_matches(".dat"))), "{name}");
    }
}
