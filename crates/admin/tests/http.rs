//! The server over real connections, with the rest of the process played by the test.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;

use sallyport_admin::{Admin, CallDetail, CallSummary, Calls, Draining, Question, Readiness, Snapshot, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// A server that knows one call, `a/b@c`. It ends with the test's runtime.
async fn start(missing: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut questions) = mpsc::channel(8);
    let admin = Admin { questions: sender, hosts: watch::channel(vec!["relay.example".into()]).1 };
    tokio::spawn(serve(listener, admin, std::future::pending()));
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            match question {
                Question::Snapshot(way) => {
                    way.send(Box::new(Snapshot { version: "1.2.3", backend: "sim", ..Snapshot::default() })).unwrap();
                }
                Question::Readiness(way) => {
                    way.send(Readiness { missing: missing.iter().map(|&word| word.into()).collect() }).unwrap();
                }
                Question::Calls(way) => {
                    let call = CallSummary { id: "a/b@c".into(), state: "answered", ..CallSummary::default() };
                    way.send(Calls { total: 1, calls: vec![call] }).unwrap();
                }
                Question::Ng(message, way) => {
                    let reply = message.strip_suffix(b" ping").map(|cookie| [cookie, b" pong"].concat().into());
                    way.send(reply).unwrap();
                }
                Question::Call(id, way) => {
                    let explanation = serde_json::json!({"conclusions": []});
                    let text = "B hears A: yes\n".to_owned();
                    let call = CallDetail { id: id.clone(), worker: 3, explanation, text, ..CallDetail::default() };
                    way.send((id == "a/b@c").then(|| Box::new(call))).unwrap();
                }
                Question::Drain(way) => way.send(Draining { calls: 7, deadline_seconds: 60 }).unwrap(),
            }
        }
    });
    address
}

/// Status and the whole response.
async fn send(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, response)
}

async fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String) {
    send(address, &format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path, "Host: localhost\r\n").await
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn every_page_is_served() {
    let address = start(&[]).await;
    assert_eq!(get(address, "/healthz").await.0, 200);
    assert_eq!(get(address, "/readyz").await.0, 200);
    let (status, metrics) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(body(&metrics).contains("sallyport_build_info{backend=\"sim\",version=\"1.2.3\"} 1\n"), "{metrics}");
    let (status, calls) = get(address, "/calls").await;
    let json: serde_json::Value = serde_json::from_str(body(&calls)).unwrap();
    assert_eq!((status, &json["total"], &json["calls"][0]["id"]), (200, &1.into(), &"a/b@c".into()));
    for path in ["/calls/a/b@c", "/calls/a%2Fb%40c"] {
        let (status, call) = get(address, path).await;
        let json: serde_json::Value = serde_json::from_str(body(&call)).unwrap();
        assert_eq!((status, &json["id"], &json["worker"]), (200, &"a/b@c".into(), &3.into()), "{path}");
    }
    assert!(get(address, "/calls/a/b@c").await.1.contains(r#""explanation":{"conclusions":[]}"#));
    let (status, text) = request(address, "GET", "/calls/a/b@c", "Host: localhost\r\nAccept: text/plain\r\n").await;
    assert_eq!((status, body(&text)), (200, "B hears A: yes\n"));
    assert_eq!(get(address, "/calls/unknown").await.0, 404);
    assert_eq!(get(address, "/").await.0, 404);
}

#[tokio::test]
async fn not_ready_says_what_is_missing() {
    let address = start(&["worker 2: the backend is broken", "ng listener"]).await;
    let (status, response) = get(address, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(body(&response), "not ready: worker 2: the backend is broken, ng listener\n");
    assert_eq!(get(address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused_on_every_page() {
    let address = start(&[]).await;
    for path in ["/metrics", "/healthz", "/calls/a/b@c", "/nothing"] {
        assert_eq!(request(address, "GET", path, "Host: evil.example\r\n").await.0, 403, "{path}");
        let origin = "Host: localhost\r\nOrigin: http://evil.example\r\n";
        assert_eq!(request(address, "GET", path, origin).await.0, 403, "{path}");
        assert_eq!(request(address, "GET", path, "").await.0, 400, "{path}");
        assert_eq!(request(address, "GET", path, "Host: localhost\r\nHost: localhost\r\n").await.0, 400, "{path}");
    }
    let headers = "Host: relay.example\r\nOrigin: https://relay.example\r\n";
    assert_eq!(request(address, "GET", "/healthz", headers).await.0, 200);
}

#[tokio::test]
async fn a_drain_is_a_post_of_json_and_nothing_else() {
    let address = start(&[]).await;
    let json = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 0\r\n";
    let (status, response) = request(address, "POST", "/drain", json).await;
    assert_eq!((status, body(&response)), (200, r#"{"calls":7,"deadline_seconds":60}"#));
    assert_eq!(request(address, "GET", "/drain", "Host: localhost\r\n").await.0, 405);
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let headers = format!("Host: localhost\r\nContent-Length: 0\r\n{headers}");
        assert_eq!(request(address, "POST", "/drain", &headers).await.0, 415, "{headers}");
    }
    let foreign = format!("{json}Origin: http://evil.example\r\n");
    assert_eq!(request(address, "POST", "/drain", &foreign).await.0, 403);
}

#[tokio::test]
async fn only_get_and_head_exist() {
    let address = start(&[]).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(request(address, method, "/calls", "Host: localhost\r\n").await.0, 405, "{method}");
    }
    let (status, response) = request(address, "HEAD", "/healthz", "Host: localhost\r\n").await;
    assert_eq!((status, body(&response)), (200, ""));
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_a_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, questions) = mpsc::channel(1);
    drop(questions);
    tokio::spawn(serve(
        listener,
        Admin { questions: sender, hosts: watch::channel(Vec::new()).1 },
        std::future::pending(),
    ));
    assert_eq!(get(address, "/metrics").await.0, 503);
    assert_eq!(get(address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn serving_ends_when_it_is_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (sender, _questions) = mpsc::channel(1);
    let admin = Admin { questions: sender, hosts: watch::channel(Vec::new()).1 };
    serve(listener, admin, std::future::ready(())).await.unwrap();
}

async fn post(address: SocketAddr, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!("POST /ng HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    send(address, &(head + body)).await
}

#[tokio::test]
async fn the_ng_protocol_is_served_to_those_who_say_what_it_is() {
    let address = start(&[]).await;
    let good = "Host: localhost\r\nContent-Type: application/x-rtpengine-ng\r\n";
    let (status, response) = post(address, good, "c1 ping").await;
    assert_eq!((status, body(&response)), (200, "c1 pong"));
    assert!(response.to_ascii_lowercase().contains("content-type: application/x-rtpengine-ng\r\n"), "{response}");
    assert_eq!(post(address, good, "nonsense").await.0, 400);
    for content_type in ["", "Content-Type: text/plain\r\n", "Content-Type: application/json\r\n"] {
        assert_eq!(post(address, &format!("Host: localhost\r\n{content_type}"), "c1 ping").await.0, 415);
    }
    let twice = format!("{good}Content-Type: text/plain\r\n");
    assert_eq!(post(address, &twice, "c1 ping").await.0, 415);
    let rebound = good.replace("localhost", "evil.example");
    assert_eq!(post(address, &rebound, "c1 ping").await.0, 403);
    let crossed = format!("{good}Origin: http://evil.example\r\n");
    assert_eq!(post(address, &crossed, "c1 ping").await.0, 403);
    let (status, response) = request(address, "GET", "/ng", "Host: localhost\r\n").await;
    assert!(status == 405 && response.to_ascii_lowercase().contains("allow: post\r\n"), "{response}");
    assert_eq!(request(address, "OPTIONS", "/ng", "Host: localhost\r\n").await.0, 405, "no CORS");
    assert_eq!(request(address, "POST", "/calls", good).await.0, 405);
}

#[tokio::test]
async fn a_message_over_http_has_a_longest_length() {
    let address = start(&[]).await;
    let good = "Host: localhost\r\nContent-Type: application/x-rtpengine-ng\r\n";
    let message = |length: usize| "x".repeat(length - " ping".len()) + " ping";
    let (status, response) = post(address, good, &message(2 << 20)).await;
    assert_eq!((status, body(&response).len()), (200, 2 << 20));
    assert_eq!(post(address, good, &message((2 << 20) + 1)).await.0, 413);
}
