//! The ng protocol over TCP: connections to messages, replies to connections.
//!
//! Everything is bounded: connections, the message under way on each, what the relay has not taken yet, and what a
//! client has not read yet. One that does not read is closed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ng::{MAX_STREAM_MESSAGE, StreamDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

/// Connections at a time. Further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;

/// Bytes of replies that may wait for a client to read; a single reply may be as long as a message.
const MAX_UNREAD_BYTES: usize = 2 * MAX_STREAM_MESSAGE;

/// Replies that may wait for a client to read.
const MAX_UNREAD: usize = 1024;

/// A connection on which nothing comes for this long ends. (SBCs ping every minute or so.)
const IDLE: Duration = Duration::from_secs(600);

/// A message must be whole this long after its first byte, and a reply must be taken in this long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Replies may still come this long after a client has sent its last request and closed its side.
const LINGER: Duration = Duration::from_secs(5);

/// What happens on connections.
pub(crate) enum Knock {
    /// A connection, and the way back.
    Opened(u64, StreamWay),
    /// A message on it.
    Message(u64, Vec<u8>),
    /// It is closed.
    Closed(u64),
}

/// The way back to a client.
pub(crate) struct StreamWay {
    sender: mpsc::Sender<Arc<[u8]>>,
    unread: Arc<AtomicUsize>,
    overflow: Arc<Notify>,
}

impl StreamWay {
    /// False when too much waits already: the connection is closed. False as well when it is gone.
    pub(crate) fn send(&self, reply: Arc<[u8]>) -> bool {
        let length = reply.len();
        let unread = self.unread.fetch_add(length, Ordering::Relaxed);
        let is_sent = unread + length <= MAX_UNREAD_BYTES && self.sender.try_send(reply).is_ok();
        if !is_sent {
            self.overflow.notify_one();
        }
        is_sent
    }
}

/// A number that no connection has had.
pub(crate) fn next_connection() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Serves connections until nobody listens to the knocks any more.
pub(crate) async fn serve(listener: TcpListener, door: mpsc::Sender<Knock>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let stream = loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => break stream,
                    Err(error) => {
                        // Out of descriptors, mostly: trying again at once would spin.
                        tracing::warn!(%error, "ng: accept failed");
                        sleep(Duration::from_secs(1)).await;
                    }
                },
                () = door.closed() => return,
            }
        };
        let door = door.clone();
        tokio::spawn(async move {
            serve_connection(stream, &door).await;
            drop(permit);
        });
    }
}

async fn serve_connection(stream: TcpStream, door: &mpsc::Sender<Knock>) {
    let connection = next_connection();
    let (sender, replies) = mpsc::channel(MAX_UNREAD);
    let unread = Arc::new(AtomicUsize::new(0));
    let overflow = Arc::new(Notify::new());
    let way = StreamWay { sender, unread: Arc::clone(&unread), overflow: Arc::clone(&overflow) };
    if door.send(Knock::Opened(connection, way)).await.is_err() {
        return;
    }
    let (reader, writer) = stream.into_split();
    let mut writing = std::pin::pin!(write(writer, replies, &unread));
    let ended = tokio::select! {
        ended = read(reader, connection, door) => ended,
        ended = &mut writing => ended,
        () = overflow.notified() => Err(io::Error::other("the client does not read")),
    };
    let ended = match ended {
        Ok(()) => timeout(LINGER, writing).await.unwrap_or(Ok(())),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "ng: connection ended");
    }
    let _ = door.send(Knock::Closed(connection)).await;
}

/// Until the client closes its side.
async fn read(mut reader: OwnedReadHalf, connection: u64, door: &mpsc::Sender<Knock>) -> io::Result<()> {
    let mut decoder = StreamDecoder::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let patience = if decoder.is_empty() { IDLE } else { PATIENCE };
        let message = timeout(patience, async {
            loop {
                if let Some(message) = decoder.next_message().map_err(io::Error::other)? {
                    return Ok(Some(message));
                }
                match reader.read(&mut buffer).await? {
                    0 => return Ok::<_, io::Error>(None),
                    length => decoder.push(buffer.get(..length).unwrap_or_default()),
                }
                if patience == IDLE && !decoder.is_empty() {
                    return Ok(Some(Vec::new()));
                }
            }
        });
        match message.await?? {
            // The first bytes of a message: from here on it must hurry.
            Some(message) if message.is_empty() => {}
            Some(message) => {
                if door.send(Knock::Message(connection, message)).await.is_err() {
                    return Ok(());
                }
            }
            None => return Ok(()),
        }
    }
}

/// Until nobody has anything to say any more.
async fn write(
    mut writer: OwnedWriteHalf,
    mut replies: mpsc::Receiver<Arc<[u8]>>,
    unread: &AtomicUsize,
) -> io::Result<()> {
    while let Some(reply) = replies.recv().await {
        timeout(PATIENCE, writer.write_all(&reply)).await??;
        unread.fetch_sub(reply.len(), Ordering::Relaxed);
    }
    Ok(())
}
