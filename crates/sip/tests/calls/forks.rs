//! One call with several branches downstream.

use sallyport_sip::{CallEvent, Description, EndCause, Response};

use crate::support::net::{A, B, Net, sdp};
use crate::support::response;

fn fork_response(code: u16, tag: &str, body: &str, net: &Net) -> Response {
    let via = net.log.iter().any(|line| line == "A INVITE offer");
    assert!(via);
    let mut response = response(&format!(
        "SIP/2.0 {code} X\nVia: SIP/2.0/UDP x\nFrom: <sip:alice@a.example>;tag=a1\nTo: <sip:bob@b.example>;tag={tag}\n\
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
    net.call(Some("offer"));
    net.collect();
    let bytes = net.wire[B].pop_front().unwrap();
    let invite = String::from_utf8(bytes).unwrap();
    let via = invite.lines().find(|line| line.starts_with("Via: ")).unwrap()[5..].to_owned();
    let from_branch = |net: &Net, code, tag: &str, body: &str| {
        let mut response = fork_response(code, tag, body, net);
        response.headers.set("Via", &via);
        response
    };
    for tag in ["t1", "t2", "t3"] {
        let progress = from_branch(&net, 183, tag, &format!("preview {tag}"));
        net.inject(A, progress);
    }
    let mut early = Vec::new();
    for tag in ["t1", "t2", "t3"] {
        let CallEvent::Progress { dialog: Some(dialog), description, .. } = net.event(A) else { panic!() };
        assert_eq!(description, Some(Description::Preview(sdp(&format!("preview {tag}")))));
        assert_eq!(net.agents[A].dialog(dialog).unwrap().id().remote_tag, tag);
        early.push(dialog);
    }
    let winner = from_branch(&net, 200, "t2", "answer t2");
    net.inject(A, winner.clone());
    for lost in [early[0], early[2]] {
        assert!(matches!(net.event(A), CallEvent::Ended { dialog, cause: EndCause::NotChosen, .. } if dialog == lost));
    }
    let CallEvent::Answered { dialog, description, .. } = net.event(A) else { panic!() };
    assert_eq!((dialog, description), (early[1], Some(Description::Answer(sdp("answer t2")))));
    assert_eq!(net.take_log(), ["A INVITE offer", "A ACK"]);

    net.log.push("A INVITE offer".to_owned());
    let late = from_branch(&net, 200, "t1", "answer t1");
    net.take_log();
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
    net.call(Some("offer"));
    net.collect();
    let invite = String::from_utf8(net.wire[B].pop_front().unwrap()).unwrap();
    let via = invite.lines().find(|line| line.starts_with("Via: ")).unwrap()[5..].to_owned();
    for number in 0..100 {
        let mut ok = fork_response(200, &format!("t{number}"), "answer", &net);
        ok.headers.set("Via", &via);
        net.inject(A, ok);
    }
    let byes = net.log.iter().filter(|line| *line == "A BYE").count();
    assert_eq!((byes, net.agents[A].len()), (32, (1, 1)));
}
