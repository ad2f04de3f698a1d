//! Peers that are no element of ours: a bare socket, a browser's WebSocket, and `openssl s_client`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};

use super::PATIENCE;

/// Reads until the text is there, and gives all that came.
pub async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    let whole = async {
        loop {
            let read = String::from_utf8_lossy(&all).into_owned();
            if read.contains(text) {
                return read;
            }
            let length = stream.read(&mut buffer).await.unwrap();
            assert_ne!(length, 0, "closed before {text:?}: {read}");
            all.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap()
}

/// Reads until the peer closes.
pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

pub async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream.flush().await.unwrap();
}

/// A WebSocket as a browser's page opens it.
pub async fn websocket<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    origin: Option<&str>,
    protocol: &str,
) -> Result<WebSocketStream<S>, tungstenite::Error> {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().unwrap());
    }
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
    Ok(socket)
}

/// Sends one message as text and gives the next that comes.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, text: &str) -> String {
    socket.send(Message::text(text)).await.unwrap();
    next_text(socket).await
}

pub async fn next_text<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> String {
    let answered = async {
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Binary(bytes) => return String::from_utf8_lossy(&bytes).into_owned(),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap()
}

/// `openssl s_client`, which shares no code with rustls.
pub struct OpenSsl {
    child: Child,
    output: mpsc::Receiver<Vec<u8>>,
    read: Vec<u8>,
}

impl OpenSsl {
    pub fn connect(peer: SocketAddr, arguments: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &peer.to_string(), "-ign_eof", "-verify_return_error"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, output) = mpsc::channel();
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for mut pipe in pipes {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                    if sender.send(buffer[..length].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, output, read: Vec::new() }
    }

    pub fn write(&mut self, text: &str) {
        // It may have given up already; what it printed tells why.
        let _ = self.child.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// All output, once this is in it or the client has ended.
    pub fn read_until(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let read = String::from_utf8_lossy(&self.read).into_owned();
            if read.contains(text) {
                return read;
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.read.extend_from_slice(&bytes),
                Err(mpsc::RecvTimeoutError::Disconnected) => return read,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("never {text:?}: {read}"),
            }
        }
    }

    /// Whether it ended by itself with an error.
    pub fn failed(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return !status.success(),
                None if Instant::now() > end => return false,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
