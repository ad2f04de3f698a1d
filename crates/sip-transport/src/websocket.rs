//! A WebSocket connection: one SIP message a frame (RFC 7118 §5).

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sip::{Carriage, Frame, Limits, receive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::Refusal;
use crate::connection::{Closing, Drain, Item, Link};
use crate::hub::Examined;

/// What one message of a WebSocket is: a SIP message, or a keep-alive (RFC 7118 §6, RFC 5626 §3.5.1).
pub(crate) fn frame(bytes: &[u8], limits: &Limits) -> Frame {
    match bytes {
        b"\r\n\r\n" => Frame::Ping,
        b"\r\n" => Frame::Pong,
        bytes => Frame::Message(receive(bytes, Carriage::Datagram, limits)),
    }
}

/// A ping interval of nothing would be no interval.
const SHORTEST: Duration = Duration::from_millis(10);

/// Runs the connection to its end.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(socket: WebSocketStream<S>, link: Link, mut drain: Drain) {
    let (sink, stream) = socket.split();
    let mut current = None;
    let closing = tokio::select! {
        closing = read(stream, &link) => closing,
        closing = write(sink, &link, &mut drain, &mut current) => closing,
        () = link.connection.closer.notified() => Closing::Wanted,
        () = link.hub.messages.closed() => Closing::Wanted,
    };
    link.finish(closing, drain, current).await;
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(mut stream: SplitStream<WebSocketStream<S>>, link: &Link) -> Closing {
    // The peer answers each ping. A message in many frames counts as silence until it is whole.
    let patience = link.hub.web().ping_interval.max(SHORTEST) * 3;
    let mut first = Some(Instant::now() + link.hub.limits.first_message);
    loop {
        let until = Instant::now() + patience;
        let message = match timeout_at(first.map_or(until, |first| first.min(until)), stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(None | Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::AlreadyClosed))) => {
                return Closing::Peer;
            }
            Ok(Some(Err(_))) => return Closing::Refused(Refusal::WebSocket),
            Err(_) => return Closing::Refused(Refusal::Silence),
        };
        let bytes: &[u8] = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            // Pings are answered by tungstenite; too many of them are as bad as too many messages.
            Message::Ping(_) | Message::Pong(_) => {
                if !link.is_within_rate() {
                    return Closing::Refused(Refusal::Rate);
                }
                continue;
            }
            Message::Close(_) | Message::Frame(_) => continue,
        };
        first = None;
        if let Err(closing) = handle(bytes, link).await {
            return closing;
        }
    }
}

async fn handle(bytes: &[u8], link: &Link) -> Result<(), Closing> {
    let (hub, flow) = (&link.hub, link.flow());
    hub.counters.message_in(flow.transport);
    if !link.is_within_rate() {
        return Ok(());
    }
    let answer = |item| link.connection.queue.push(item).map_err(|_| Closing::Refused(Refusal::Stalled));
    let received = match frame(bytes, &hub.limits.message) {
        Frame::Message(received) => received,
        Frame::Ping => return answer(Item::Pong),
        Frame::Pong => return Ok(()),
    };
    match hub.examine(received, flow.peer) {
        Examined::Message(message) => link.deliver(message).await,
        Examined::Refusal(bytes, _) => answer(Item::answer(flow, bytes)),
        Examined::Nothing => Ok(()),
    }
}

/// `current` is what is being written, so that it is not lost when the reader ends the connection meanwhile.
async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    link: &Link,
    drain: &mut Drain,
    current: &mut Option<Item>,
) -> Closing {
    let time = link.hub.limits.message_time;
    let mut pings = interval(link.hub.web().ping_interval.max(SHORTEST));
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    loop {
        let message = tokio::select! {
            item = drain.next() => match item {
                Some(item) => as_message(current.insert(item).bytes()),
                None => return Closing::Wanted,
            },
            _ = pings.tick() => Message::Ping(Vec::new().into()),
        };
        match timeout(time, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closing::Peer,
            Err(_) => return Closing::Refused(Refusal::Stalled),
        }
        if matches!(current.take(), Some(Item::Message(_))) {
            link.hub.counters.message_out(link.flow().transport);
        }
    }
}

/// Text where it can be (RFC 7118 §5.2): a message with a binary body is no UTF-8.
fn as_message(bytes: &[u8]) -> Message {
    match std::str::from_utf8(bytes) {
        Ok(text) => Message::text(text),
        Err(_) => Message::binary(bytes.to_vec()),
    }
}
