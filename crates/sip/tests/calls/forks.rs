//! One call with several branches downstream.

use sallyport_sip::{CallEvent, Description, EndCause, Response};

use crate::support::net::{A, B, Net, sdp};
use crate::support::response;

/// A calls and offers; gives the Via of its INVITE, which never arrives.
fn call(net: &mut Net) -> String {
    net.call(Some("offer"));
    net.collect();
    assert_eq!(net.log, ["A INVITE offer"]);
    let invite = String::from_utf8(net.wire[B].pop_front().unwrap()).unwrap();
    invite.lines().find_map(|line| line.strip_prefix("Via: ")).unwrap().to_owned()
}

/// What a branch downstream says to an INVITE with this Via.
fn fork_response(code: u16, tag: &str, body: &str, via: &str) -> Response {
    let mut response = response(&format!(
        "SIP/2.0 {code} X\nVia: {via}\nFrom: <sip:alice@a.example>;tag=a1\nTo: <sip:bob@b.example>;tag={tag}\n\
         Call-ID: c1\nCSeq: 7 INVITE\nContact: <sip:{tag}@192.0.2.2>\nRecord-Route: <sip:p2;lr>, <sip:p1;lr>\n\n{body}"
    ));
    if !body.is_empty() {
        response.headers.set("Content-Type", "application/sdp");
    }
    response
}

/// One early dialog per To tag; the first 2xx wins, the other is acknowledged and ended.
#[test]
fn a_fork_downstream_makes_an_early_dialog_for_each_branch() {
    let mut net = Net::new();
    let via = call(&mut net);
    for tag in ["t1", "t2", "t3"] {
        net.inject(A, fork_response(183, tag, &format!("preview {tag}"), &via));
    }
    let mut early = Vec::new();
    for tag in ["t1", "t2", "t3"] {
        let CallEvent::Progress { dialog: Some(dialog), description, .. } = net.event(A) else { panic!() };
        assert_eq!(description, Some(Description::Preview(sdp(&format!("preview {tag}")))));
        assert_eq!(net.agents[A].dialog(dialog).unwrap().id().remote_tag, tag);
        early.push(dialog);
    }
    let winner = fork_response(200, "t2", "answer t2", &via);
    net.inject(A, winner.clone());
    for lost in [early[0], early[2]] {
        assert!(matches!(net.event(A), CallEvent::Ended { dialog, cause: EndCause::NotChosen, .. } if dialog == lost));
    }
    let CallEvent::Answered { dialog, description, .. } = net.event(A) else { panic!() };
    assert_eq!((dialog, description), (early[1], Some(Description::Answer(sdp("answer t2")))));
    assert_eq!(net.take_log(), ["A INVITE offer", "A ACK"]);

    let late = fork_response(200, "t1", "answer t1", &via);
    net.inject(A, late.clone());
    assert_eq!(net.take_log(), ["A ACK", "A BYE"]);
    net.no_event(A);
    // To the late branch, by its own route.
    let sent: Vec<_> = net.wire[B].drain(..).map(|bytes| String::from_utf8(bytes).unwrap()).collect();
    let bye = sent.last().unwrap();
    assert!(
        bye.starts_with("BYE sip:t1@192.0.2.2 SIP/2.0\r\n") && bye.contains("To: <sip:bob@b.example>;tag=t1"),
        "{bye}"
    );
    assert!(bye.find("Route: <sip:p1;lr>").unwrap() < bye.find("Route: <sip:p2;lr>").unwrap());
    // Copies of either 200 get the same ACK again and nothing else.
    net.inject(A, late);
    net.inject(A, winner);
    assert_eq!(net.take_log(), ["A ACK", "A ACK"]);
    assert!(net.agents[A].dialog(dialog).is_some());
}

/// A peer may say yes for as many branches as it likes: each costs an ACK and a BYE, and only so many are heard.
#[test]
fn a_flood_of_2xx_is_bounded() {
    let mut net = Net::new();
    let via = call(&mut net);
    for number in 0..100 {
        net.inject(A, fork_response(200, &format!("t{number}"), "answer", &via));
    }
    let byes = net.log.iter().filter(|line| *line == "A BYE").count();
    assert_eq!((byes, net.agents[A].len()), (32, (1, 1)));
}
