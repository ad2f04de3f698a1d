//! A way to move datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Batch, PortId, SendRight};

/// A way to move datagrams between the network and one worker. Each worker has its own; it never leaves its thread.
///
/// Call order: `wait`, then `receive` until it reports nothing more, each time followed by `send`.
/// An `Err` of `bind` concerns that port alone. An `Err` of `receive` or `wait` means that the backend is broken;
/// whatever the network does (unreachable destination, full queue, short datagram) is counted in a report instead.
pub trait Backend {
    /// Opens a local port. `local` has a definite address and port.
    fn bind(&mut self, local: SocketAddr) -> io::Result<(PortId, SendRight)>;

    /// Closes a port; datagrams that wait in it are lost. An unknown port is ignored.
    fn close(&mut self, port: PortId);

    /// Sets the DSCP and ECN byte of what leaves from a port (IP_TOS, IPV6_TCLASS). A backend that cannot does nothing; an
    /// unknown port is ignored.
    fn set_traffic_class(&mut self, port: PortId, class: u8) -> io::Result<()> {
        let _ = (port, class);
        Ok(())
    }

    /// Appends waiting datagrams to `batch` until it is full or nothing waits. Never blocks.
    fn receive(&mut self, batch: &mut Batch) -> io::Result<ReceiveReport>;

    /// Sends every datagram of `batch` that has a route, in order, and takes the routes away. Never blocks.
    fn send(&mut self, batch: &mut Batch) -> SendReport;

    /// Sleeps until a datagram waits, somebody [wakes](Wake::wake) the worker, or `timeout` has passed (`None`: no
    /// limit). May sleep a little longer under load so that a batch forms. A wake-up before the call is not lost.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// A handle by which other threads end a `wait`.
    fn waker(&self) -> Arc<dyn Wake>;

    /// What this backend is, for logs and metrics.
    fn capabilities(&self) -> Capabilities;
}

/// Ends the [`Backend::wait`] of another thread.
pub trait Wake: Send + Sync {
    /// Makes the current or the next `wait` return. Cheap when already woken.
    fn wake(&self);
}

/// What a backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// `mmsg`, `xdp` or `sim`.
    pub name: &'static str,
    /// Datagrams moved by one system call at best.
    pub batch: usize,
}

/// What one [`Backend::receive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveReport {
    /// Datagrams appended.
    pub received: usize,
    /// True when more may wait: call again after the batch is dealt with.
    pub more: bool,
    /// System calls made.
    pub calls: usize,
}

/// What one [`Backend::send`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Datagrams handed to the network.
    pub sent: usize,
    /// Datagrams the network did not take (full queue, unreachable, message too long).
    pub failed: usize,
    /// System calls made.
    pub calls: usize,
}
