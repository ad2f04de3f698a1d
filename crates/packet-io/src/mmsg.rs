//! UDP sockets, one per port, with as few system calls as they allow.
//!
//! * A socket that is ready usually holds one datagram (audio: one in 20 ms). It is fetched by one plain `recvfrom`;
//!   the call that would find the socket empty is never made, because epoll is level-triggered and reports what is
//!   left behind. A socket that turns out to hold more (video, a burst) is fetched by `recvmmsg` from then on. With
//!   1000 sockets that hold one datagram each, this costs a tenth less per packet, sending included, than `recvmmsg`
//!   on each, be epoll level- or edge-triggered.
//! * What leaves is grouped by socket: one `sendmmsg` each; and consecutive datagrams of equal length to one
//!   destination are one message that the kernel cuts apart (UDP_SEGMENT), which makes a video frame three times
//!   cheaper than datagram by datagram.
//! * [`Pace`] decides when to let datagrams gather before they are fetched.

mod ports;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datagram::{
    BATCH_CAPACITY, Backend, Batch, Capabilities, Datagram, MAX_DATAGRAM, PortId, ReceiveReport, SendReport, SendRight,
    Wake,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::pace::Pace;
use crate::socket_name::SocketName;
use crate::sys::{self, Epoll, EventCounter, Events, Messages};
use ports::Ports;

/// Ready sockets fetched by one epoll call. Those beyond come with the next one: epoll goes round them in turn.
const EVENTS: usize = 256;

/// Datagrams taken from one socket before the others have their turn.
const TURN: usize = 32;

/// The most that one segmented message may carry: 65535 less IPv6 and UDP headers, with room for options.
const LONGEST_MESSAGE: usize = 65_000;

/// `Events` token of the waker; no port has it.
const WAKER: u64 = u64::MAX;

/// Settings of [`Mmsg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmsgConfig {
    /// Bytes of a socket's receive queue (SO_RCVBUF; the kernel doubles it for its own overhead and caps it at
    /// `net.core.rmem_max`).
    pub receive_buffer: usize,
    /// Bytes of a socket's send queue (SO_SNDBUF, likewise).
    pub send_buffer: usize,
    /// The longest pause in which datagrams gather under load. It is also the longest delay that it adds. Zero: none.
    pub longest_pause: Duration,
    /// Whether to let the kernel cut runs of equal datagrams apart (UDP_SEGMENT). Where the kernel or the device
    /// cannot, this turns itself off.
    pub segmentation: bool,
}

impl Default for MmsgConfig {
    fn default() -> Self {
        Self {
            receive_buffer: 256 * 1024,
            send_buffer: 256 * 1024,
            longest_pause: Duration::from_micros(500),
            segmentation: true,
        }
    }
}

/// UDP sockets, epoll, `recvmmsg` and `sendmmsg`. Needs no privilege.
pub struct Mmsg {
    config: MmsgConfig,
    epoll: Epoll,
    events: Events,
    /// The event that is dealt with next.
    next_event: usize,
    /// False once the events of the last look at epoll are used up.
    looked: bool,
    /// Counts looks at epoll.
    look: u32,
    /// System calls of [`Backend::wait`], to be reported by [`Backend::receive`].
    calls: usize,
    sockets: Ports<PortSocket>,
    messages: Messages,
    pace: Pace,
    segmentation: bool,
    waker: Arc<EventWaker>,
}

struct PortSocket {
    socket: Socket,
    is_ipv4: bool,
    /// How many datagrams to ask for.
    depth: usize,
    /// The look at epoll in which it was last fetched from.
    look: u32,
    /// Whether as many came as were asked for: more may have been left behind.
    filled: bool,
}

impl Mmsg {
    /// A backend without ports.
    pub fn new(config: MmsgConfig) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let waker = Arc::new(EventWaker { counter: EventCounter::new()?, raised: AtomicBool::new(false) });
        epoll.add(waker.counter.descriptor(), WAKER)?;
        Ok(Self {
            config,
            epoll,
            events: Events::with_capacity(EVENTS),
            next_event: 0,
            looked: false,
            look: 0,
            calls: 0,
            sockets: Ports::default(),
            messages: Messages::new(),
            pace: Pace::new(config.longest_pause, Instant::now()),
            segmentation: config.segmentation,
            waker,
        })
    }

    fn open(&self, local: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_recv_buffer_size(self.config.receive_buffer)?;
        socket.set_send_buffer_size(self.config.send_buffer)?;
        socket.bind(&local.into())?;
        Ok(socket)
    }

    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.next_event = 0;
        self.looked = true;
        self.look = self.look.wrapping_add(1);
        self.calls += 1;
        self.epoll.wait(&mut self.events, timeout)?;
        if self.events.take(WAKER) {
            self.calls += 1;
            self.waker.lower();
        }
        if self.events.len() > 1 {
            self.sockets.prefetch((0..self.events.len()).filter_map(|at| self.events.token(at)).map(port_of));
        }
        Ok(())
    }

    /// Takes one turn at a socket. Returns how many datagrams came.
    fn fetch(&mut self, port: PortId, batch: &mut Batch) -> usize {
        let alone = self.events.len() == 1;
        let Some(socket) = self.sockets.get_mut(port) else { return 0 };
        let left_behind = socket.filled && socket.look == self.look.wrapping_sub(1);
        if left_behind {
            socket.depth = (socket.depth * 2).min(BATCH_CAPACITY);
        }
        let turn = if alone { BATCH_CAPACITY } else { TURN };
        let wanted = socket.depth.min(turn).min(batch.remaining());
        let slots = &mut batch.free_slots()[..wanted];
        let outcome = match slots {
            [slot] => fetch_one(socket.socket.as_fd(), port, slot).map(|()| 1),
            slots => self.messages.receive(socket.socket.as_fd(), port, slots),
        };
        // An error here is the network's word on an earlier datagram (ICMP) or a datagram with a bad checksum. Asking
        // has cleared it; what else waits is reported by the next look.
        let received = outcome.unwrap_or(0);
        socket.look = self.look;
        socket.filled = received == wanted;
        if !socket.filled {
            socket.depth = received.max(socket.depth / 2).max(1);
        }
        batch.commit(received);
        received
    }

    /// Sends the datagrams that `members` point at, all from one port.
    fn send_from(&mut self, port: PortId, members: &[Member], datagrams: &[Datagram], report: &mut SendReport) {
        let Some(socket) = self.sockets.get_mut(port) else {
            report.failed += members.len();
            return;
        };
        let socket = socket.socket.as_fd();
        if let [member] = members {
            send_singly(socket, member.of(datagrams), report);
            return;
        }
        let mut spans = [0u8; BATCH_CAPACITY];
        let mut messages = 0;
        let mut outgoing = self.messages.start();
        let mut rest = members;
        while let Some(first) = rest.first().and_then(|member| member.of(datagrams)) {
            let span = if self.segmentation { equal_span(rest, datagrams) } else { 1 };
            let (message, behind) = rest.split_at(span);
            let parts = message.iter().filter_map(|member| member.of(datagrams)).map(|(bytes, _)| bytes);
            outgoing.add(SocketName::encode(first.1), parts);
            spans[messages] = span as u8;
            messages += 1;
            rest = behind;
        }
        let (mut done, mut at) = (0, 0);
        while done < messages {
            report.calls += 1;
            match outgoing.send(socket, done) {
                Ok(0) => break,
                Ok(count) => {
                    let taken = spans[done..].iter().take(count).map(|&span| usize::from(span)).sum::<usize>();
                    report.sent += taken;
                    at += taken;
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The socket's queue is full: none of the others would go.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    let span = usize::from(spans[done]);
                    if span == 1 {
                        report.failed += 1;
                    } else {
                        // EIO: a device without checksum offload cannot do it; others may be about this destination.
                        self.segmentation &= error.raw_os_error() != Some(libc::EIO);
                        for member in &members[at..at + span] {
                            send_singly(socket, member.of(datagrams), report);
                        }
                    }
                    at += span;
                    done += 1;
                }
            }
        }
        report.failed += members.len() - at;
    }
}

/// A datagram with a route: its place in the batch, sortable by port and then by order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Member(u64);

impl Member {
    fn new(port: PortId, index: usize) -> Self {
        Self(u64::from(port.0) << 8 | index as u64)
    }

    fn port(self) -> PortId {
        PortId((self.0 >> 8) as u32)
    }

    fn of(self, datagrams: &[Datagram]) -> Option<(&[u8], SocketAddr)> {
        let datagram = datagrams.get((self.0 & 0xff) as usize)?;
        Some((datagram.bytes(), datagram.route()?.1))
    }
}

/// How many of the first members may be one message: one destination, and no length but the last one's differs from the
/// first's, which it must not exceed.
fn equal_span(members: &[Member], datagrams: &[Datagram]) -> usize {
    let mut parts = members.iter().filter_map(|member| member.of(datagrams));
    let Some((first, destination)) = parts.next() else { return 0 };
    let mut span = 1;
    let mut total = first.len();
    for (bytes, remote) in parts {
        total += bytes.len();
        let joins =
            remote == destination && !bytes.is_empty() && bytes.len() <= first.len() && total <= LONGEST_MESSAGE;
        if !joins {
            break;
        }
        span += 1;
        if bytes.len() < first.len() {
            break;
        }
    }
    span
}

/// Whose event it is.
fn port_of(token: u64) -> PortId {
    PortId(token as u32)
}

fn fetch_one(socket: BorrowedFd<'_>, port: PortId, slot: &mut Datagram) -> io::Result<()> {
    let mut name = SocketName::default();
    let len = sys::receive_one(socket, &mut slot.slot_mut()[..MAX_DATAGRAM], &mut name)?;
    slot.set_received(port, name.decode(), len.min(MAX_DATAGRAM), len > MAX_DATAGRAM);
    Ok(())
}

fn send_singly(socket: BorrowedFd<'_>, datagram: Option<(&[u8], SocketAddr)>, report: &mut SendReport) {
    let outcome = datagram.map(|(bytes, remote)| sys::send_one(socket, bytes, &SocketName::encode(remote)));
    report.calls += 1;
    match outcome {
        Some(Ok(())) => report.sent += 1,
        _ => report.failed += 1,
    }
}

impl Backend for Mmsg {
    fn bind(&mut self, local: SocketAddr) -> io::Result<(PortId, SendRight)> {
        let socket = self.open(local)?;
        let socket = PortSocket { socket, is_ipv4: local.is_ipv4(), depth: 1, look: self.look, filled: false };
        let Some(port) = self.sockets.insert(socket) else {
            return Err(io::Error::from_raw_os_error(libc::ENFILE));
        };
        let added = self
            .sockets
            .get_mut(port)
            .map_or(Ok(()), |socket| self.epoll.add(socket.socket.as_fd(), u64::from(port.0)));
        if let Err(error) = added {
            self.sockets.remove(port);
            return Err(error);
        }
        Ok((port, SendRight::issue(port)))
    }

    fn close(&mut self, port: PortId) {
        self.sockets.remove(port);
    }

    fn set_traffic_class(&mut self, port: PortId, class: u8) -> io::Result<()> {
        match self.sockets.get_mut(port) {
            Some(socket) if socket.is_ipv4 => socket.socket.set_tos_v4(u32::from(class)),
            Some(socket) => socket.socket.set_tclass_v6(u32::from(class)),
            None => Ok(()),
        }
    }

    fn receive(&mut self, batch: &mut Batch) -> io::Result<ReceiveReport> {
        if !self.looked {
            self.look(Some(Duration::ZERO))?;
        }
        let mut report = ReceiveReport { calls: std::mem::take(&mut self.calls), ..ReceiveReport::default() };
        while batch.remaining() > 0
            && let Some(token) = self.events.token(self.next_event)
        {
            self.next_event += 1;
            report.calls += 1;
            report.received += self.fetch(port_of(token), batch);
        }
        report.more = self.next_event < self.events.len();
        self.looked = report.more;
        self.pace.count(report.received);
        Ok(report)
    }

    fn send(&mut self, batch: &mut Batch) -> SendReport {
        let mut report = SendReport::default();
        let mut members = [Member(0); BATCH_CAPACITY];
        let mut count = 0;
        for (index, datagram) in batch.datagrams().iter().enumerate() {
            if let Some((port, _)) = datagram.route()
                && let Some(member) = members.get_mut(count)
            {
                *member = Member::new(port, index);
                count += 1;
            }
        }
        let members = &mut members[..count];
        members.sort_unstable();
        if members.len() > 1 {
            self.sockets.prefetch(members.iter().map(|member| member.port()));
        }
        for run in members.chunk_by(|one, other| one.port() == other.port()) {
            let [first, ..] = run else { continue };
            self.send_from(first.port(), run, batch.datagrams(), &mut report);
        }
        for datagram in batch.datagrams_mut() {
            datagram.withhold();
        }
        report
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.next_event < self.events.len() {
            return Ok(());
        }
        let mut timeout = timeout;
        if !self.pace.is_off()
            && let Some(pause) = self.pace.pause(Instant::now())
        {
            let pause = timeout.map_or(pause, |timeout| timeout.min(pause));
            if !pause.is_zero() {
                self.calls += 1;
                self.waker.counter.sleep(pause);
                timeout = timeout.map(|timeout| timeout.saturating_sub(pause));
            }
        }
        self.look(timeout)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.waker.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "mmsg", batch: BATCH_CAPACITY }
    }
}

struct EventWaker {
    counter: EventCounter,
    /// True from a wake-up until the worker has taken notice: others need not make the system call again.
    raised: AtomicBool,
}

impl EventWaker {
    /// Takes notice. The counter first: a wake-up between the two finds `raised` and makes no call, and what it was
    /// for is seen by the worker, which looks at its queues after this. The other way round such a wake-up's call
    /// would be taken away here while `raised` stays, and no later one would make any.
    fn lower(&self) {
        self.counter.reset();
        self.raised.swap(false, Ordering::AcqRel);
    }
}

impl Wake for EventWaker {
    fn wake(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.counter.raise();
        }
    }
}

#[cfg(test)]
mod tests;
