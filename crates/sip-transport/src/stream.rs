//! A TCP or TLS connection: framing, keep-alives and time limits (RFC 3261 §18.3, RFC 5626 §4.4.1).

use std::future::pending;

use sip::{Frame, StreamFramer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Refusal;
use crate::connection::{Closing, Drain, Item, Link};
use crate::hub::Examined;

/// Runs the connection to its end.
pub(crate) async fn run<S: AsyncRead + AsyncWrite>(stream: S, link: Link, mut drain: Drain) {
    let (reader, writer) = tokio::io::split(stream);
    let mut current = None;
    let closing = tokio::select! {
        closing = read(reader, &link) => closing,
        closing = write(writer, &link, &mut drain, &mut current) => closing,
        () = link.connection.closer.notified() => Closing::Wanted,
        () = link.hub.messages.closed() => Closing::Wanted,
    };
    link.finish(closing, drain, current).await;
}

async fn read<S: AsyncRead>(mut reader: ReadHalf<S>, link: &Link) -> Closing {
    let limits = &link.hub.limits;
    let mut framer = StreamFramer::new(limits.message);
    let mut buffer = vec![0; 8 << 10];
    // Our own connections are opened to be answered, and have the whole time.
    let mut deadline = Instant::now() + if link.is_inbound { limits.first_message } else { limits.idle };
    let mut began: Option<Instant> = None;
    loop {
        let until = began.map_or(deadline, |began| began + limits.message_time);
        let length = match timeout_at(until, reader.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return Closing::Peer,
            Ok(Ok(length)) => length,
            Err(_) => return Closing::Refused(Refusal::Silence),
        };
        framer.push(buffer.get(..length).unwrap_or(&[]));
        while let Some(frame) = framer.next_frame() {
            deadline = Instant::now() + limits.idle;
            began = None;
            if let Err(closing) = handle_frame(frame, link).await {
                return closing;
            }
        }
        began = framer.is_inside_message().then(|| began.unwrap_or_else(Instant::now));
    }
}

async fn handle_frame(frame: Frame, link: &Link) -> Result<(), Closing> {
    let (hub, flow) = (&link.hub, link.flow());
    hub.counters.message_in(flow.transport);
    let is_final = frame.is_final();
    if !link.is_within_rate() && !is_final {
        return Ok(());
    }
    let received = match frame {
        Frame::Message(received) => received,
        Frame::Ping => return answer(link, Item::Pong),
        Frame::Pong => return Ok(()),
    };
    match hub.examine(received, flow.peer) {
        Examined::Message(message) => link.deliver(message).await,
        Examined::Refusal(bytes, _) if is_final => {
            answer(link, Item::Last(bytes))?;
            // The writer ends the connection when the answer is out.
            pending().await
        }
        Examined::Refusal(bytes, _) => answer(link, Item::answer(flow, bytes)),
        Examined::Nothing if is_final => Err(Closing::Refused(Refusal::Message)),
        Examined::Nothing => Ok(()),
    }
}

/// A peer that does not read its answers has no connection.
fn answer(link: &Link, item: Item) -> Result<(), Closing> {
    link.connection.queue.push(item).map_err(|_| Closing::Refused(Refusal::Stalled))
}

/// `current` is what is being written, so that it is not lost when the reader ends the connection meanwhile.
async fn write<S: AsyncWrite>(
    mut writer: WriteHalf<S>,
    link: &Link,
    drain: &mut Drain,
    current: &mut Option<Item>,
) -> Closing {
    let time = link.hub.limits.message_time;
    while let Some(item) = drain.next().await {
        let item = current.insert(item);
        let written = async {
            writer.write_all(item.bytes()).await?;
            writer.flush().await
        };
        match timeout(time, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Closing::Peer,
            Err(_) => return Closing::Refused(Refusal::Stalled),
        }
        if !matches!(item, Item::Pong) {
            link.hub.counters.message_out(link.flow().transport);
        }
        if matches!(current.take(), Some(Item::Last(_))) {
            // Says goodbye where the transport has a word for it.
            let _ = timeout(time, writer.shutdown()).await;
            return Closing::Wanted;
        }
    }
    Closing::Wanted
}
