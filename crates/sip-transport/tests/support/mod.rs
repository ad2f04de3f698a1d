//! An element: transports and a transaction layer in one loop. And certificates.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses some of it")]

pub mod client;
pub mod pki;
pub mod zone;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sallyport_sip_transport::{Inbound, Inbox, Listener, TransportConfig, Transports};
use sip::{
    Flow, Method, Request, Response, SentBy, SipUri, StatusCode, Target, TransactionConfig, TransactionEvent,
    TransactionLayer, Transport, name,
};
use tokio::task::JoinHandle;

/// Longer than anything here takes; a test that runs into it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Listeners on loopback, port 0.
pub fn config(transports: &[Transport]) -> TransportConfig {
    TransportConfig::new(transports.iter().map(|&transport| Listener::new(transport, loopback())).collect())
}

/// Where an element listens.
pub fn address(transports: &Transports, transport: Transport) -> SocketAddr {
    transports.listeners().iter().find(|listener| listener.transport == transport).unwrap().address
}

/// A target without a server name: for UDP and TCP.
pub fn target(transports: &Transports, transport: Transport, peer: SocketAddr) -> Target {
    let hop = sallyport_sip_transport::Hop { transport, address: peer, domain: peer.ip().to_string() };
    transports.target(&hop).unwrap()
}

pub struct Element {
    pub transports: Transports,
    pub inbox: Inbox,
    pub layer: TransactionLayer,
    calls: u32,
}

/// What became of a request.
#[derive(Debug)]
pub enum End {
    Response(Box<Response>, Flow),
    Unreachable,
    TimedOut,
}

impl End {
    pub fn response(self) -> (Response, Flow) {
        match self {
            Self::Response(response, flow) => (*response, flow),
            other => panic!("{other:?}"),
        }
    }
}

impl Element {
    pub fn bind(config: TransportConfig) -> Self {
        let (transports, inbox) = Transports::bind(config).unwrap();
        let layer = TransactionLayer::new(TransactionConfig::default(), [7; 32]);
        Self { transports, inbox, layer, calls: 0 }
    }

    /// Answers every request with 200 from here on. Its body says how it came; the header `Identity` whose certificate came.
    pub fn serve(mut self) -> (Transports, JoinHandle<()>) {
        let transports = self.transports.clone();
        let task = tokio::spawn(async move {
            loop {
                match self.next().await {
                    TransactionEvent::Request { server, request, flow, local_tag } => {
                        self.answer(server, &request, flow, &local_tag);
                    }
                    _ => continue,
                }
            }
        });
        (transports, task)
    }

    pub fn answer(&mut self, server: sip::ServerId, request: &Request, flow: Flow, tag: &str) {
        let mut response = request.respond(StatusCode::OK);
        response.set_to_tag(tag);
        if let Some(identity) = self.transports.identity(flow) {
            response.headers.push("X-Identity", identity.domains().join(" "));
        }
        response.set_body(Some("text/plain"), format!("{} {}", flow.transport, flow.connection).into_bytes());
        self.layer.respond(Instant::now(), server, &response).unwrap();
        self.flush();
    }

    pub fn flush(&mut self) {
        while let Some(transmit) = self.layer.poll_transmit() {
            self.transports.send(transmit);
        }
    }

    /// The next event of the transaction layer, with everything done that it asks for meanwhile.
    pub async fn next(&mut self) -> TransactionEvent {
        loop {
            self.flush();
            if let Some(event) = self.layer.poll_event() {
                return event;
            }
            let due = self.layer.poll_timeout().unwrap_or_else(|| Instant::now() + PATIENCE);
            tokio::select! {
                inbound = self.inbox.recv() => match inbound.unwrap() {
                    Inbound::Message { flow, message, .. } => {
                        self.layer.handle_message(Instant::now(), message, flow);
                    }
                    Inbound::SendFailed { transaction } => self.layer.handle_transport_error(transaction),
                    Inbound::FlowClosed { .. } => {}
                },
                () = tokio::time::sleep_until(due.into()) => self.layer.handle_timeout(Instant::now()),
            }
        }
    }

    /// Sends OPTIONS and waits for its end.
    pub async fn options(&mut self, target: &Target) -> End {
        let request = self.request(Method::Options, target);
        self.send(request, target).await
    }

    pub fn request(&mut self, method: Method, target: &Target) -> Request {
        self.calls += 1;
        let uri = |user, address: SocketAddr| SipUri::new(Some(user), SentBy::from(address).host, Some(address.port()));
        let mut request = Request::new(method.clone(), uri("bob", target.flow.peer).into());
        request.headers.push(name::MAX_FORWARDS, 70);
        request.headers.push(name::FROM, format!("<sip:alice@example.com>;tag={}", self.calls));
        request.headers.push(name::TO, "<sip:bob@example.com>");
        request.headers.push(name::CALL_ID, format!("{}-{}", self.calls, target.sent_by));
        request.headers.push(name::CSEQ, format!("{} {method}", self.calls));
        request.headers.push(name::CONTENT_LENGTH, 0);
        request
    }

    pub async fn send(&mut self, request: Request, target: &Target) -> End {
        let client = self.layer.send(Instant::now(), request, target, None).unwrap();
        let ended = async {
            loop {
                match self.next().await {
                    TransactionEvent::Response { client: of, response, flow }
                        if of == client && !response.status().is_provisional() =>
                    {
                        return End::Response(Box::new(response), flow);
                    }
                    TransactionEvent::ClientUnreachable { client: of } if of == client => return End::Unreachable,
                    TransactionEvent::ClientTimeout { client: of } if of == client => return End::TimedOut,
                    TransactionEvent::Request { server, request, flow, local_tag } => {
                        self.answer(server, &request, flow, &local_tag);
                    }
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap()
    }
}

/// Waits for a condition that another task brings about.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// An OPTIONS as text, for clients that are no element; one number is one transaction, whatever brings it.
pub fn options_text(transport: Transport, sent_by: &str, number: u32) -> String {
    format!(
        "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};branch=z9hG4bK{number}x;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag={number}\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: {number}@{sent_by}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}
