//! UDP (RFC 3261 §18, RFC 3581).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::{Carriage, Flow, Transmit, Transport, receive};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::hub::{Examined, Hub};
use crate::{Inbound, Refusal};

/// The largest request that goes by UDP if it can go by TCP (RFC 3261 §18.1.1), in bytes.
pub const MAX_DATAGRAM: usize = 1300;

/// The sending end of one socket.
pub(crate) struct Port {
    local: SocketAddr,
    queue: mpsc::Sender<Transmit>,
}

/// Its two tasks.
pub(crate) struct Tasks {
    local: SocketAddr,
    socket: Arc<UdpSocket>,
    queue: mpsc::Receiver<Transmit>,
}

impl Port {
    pub(crate) fn new(local: SocketAddr, socket: UdpSocket, queue: usize) -> (Self, Tasks) {
        let (sender, receiver) = mpsc::channel(queue.clamp(1, 1 << 20));
        (Self { local, queue: sender }, Tasks { local, socket: Arc::new(socket), queue: receiver })
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Gives the message back if there is no room.
    pub(crate) fn push(&self, transmit: Transmit) -> Result<(), Transmit> {
        self.queue.try_send(transmit).map_err(|error| match error {
            mpsc::error::TrySendError::Full(transmit) | mpsc::error::TrySendError::Closed(transmit) => transmit,
        })
    }
}

impl Tasks {
    pub(crate) fn start(self, hub: &Arc<Hub>) {
        tokio::spawn(receive_all(hub.clone(), self.socket.clone(), self.local));
        tokio::spawn(send_all(hub.clone(), self.socket, self.queue));
    }
}

async fn receive_all(hub: Arc<Hub>, socket: Arc<UdpSocket>, local: SocketAddr) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = hub.messages.closed() => return,
        };
        match received {
            Ok((length, peer)) => handle_datagram(&hub, buffer.get(..length).unwrap_or(&[]), local, peer),
            // An error of one datagram, or of the system: not to spin on it.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn handle_datagram(hub: &Hub, bytes: &[u8], local: SocketAddr, peer: SocketAddr) {
    // Port 0 cannot be answered.
    if bytes.is_empty() || peer.port() == 0 {
        return;
    }
    hub.counters.message_in(Transport::Udp);
    if !hub.is_within_rate(peer) {
        return;
    }
    let flow = Flow::udp(local, peer);
    match hub.examine(receive(bytes, Carriage::Datagram, &hub.limits.message), peer) {
        Examined::Message(message) => {
            if hub.messages.try_send(Inbound::Message { flow, message, identity: None }).is_err() {
                hub.counters.refused(Refusal::Inbox);
            }
        }
        Examined::Refusal(bytes, address) => {
            hub.send_datagram(Transmit { flow: Flow::udp(local, address), bytes, transaction: None });
        }
        Examined::Nothing => {}
    }
}

async fn send_all(hub: Arc<Hub>, socket: Arc<UdpSocket>, mut queue: mpsc::Receiver<Transmit>) {
    loop {
        let transmit = tokio::select! {
            transmit = queue.recv() => transmit,
            () = hub.messages.closed() => return,
        };
        let Some(transmit) = transmit else { return };
        match socket.send_to(&transmit.bytes, transmit.flow.peer).await {
            Ok(_) => hub.counters.message_out(Transport::Udp),
            Err(_) => hub.fail(&transmit),
        }
    }
}
