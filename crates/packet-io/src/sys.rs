//! The system calls that the standard library and socket2 do not have, each behind a safe function.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use datagram::{BATCH_CAPACITY, Datagram, MAX_DATAGRAM, PortId};

use crate::socket_name::SocketName;

/// The value of a call that reports failure by -1.
fn checked(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// The length that a call reports, or its failure.
fn checked_len(returned: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// Takes a descriptor that a call has just made.
fn owned(descriptor: libc::c_int) -> OwnedFd {
    // SAFETY: the callers below pass the result of a successful call that makes a descriptor; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        // Below 10^9: fits every target's type.
        tv_nsec: duration.subsec_nanos() as _,
    }
}

/// What [`Epoll::wait`] reports.
pub(crate) struct Events {
    events: Box<[libc::epoll_event]>,
    ready: usize,
}

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { events: vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)].into_boxed_slice(), ready: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.ready
    }

    /// Takes the event with this token out. The order of the others may change.
    pub(crate) fn take(&mut self, token: u64) -> bool {
        let ready = &mut self.events[..self.ready];
        let Some(index) = ready.iter().position(|event| event.u64 == token) else { return false };
        ready.swap(index, self.ready - 1);
        self.ready -= 1;
        true
    }

    /// The token of a ready descriptor.
    pub(crate) fn token(&self, index: usize) -> Option<u64> {
        self.events[..self.ready].get(index).map(|event| event.u64)
    }
}

/// A level-triggered epoll instance.
pub(crate) struct Epoll {
    descriptor: OwnedFd,
    /// False where the kernel or a sandbox does not have `epoll_pwait2`.
    precise: bool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let descriptor = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self { descriptor: owned(descriptor), precise: true })
    }

    /// Watches for something to read. Closing the descriptor ends it.
    pub(crate) fn add(&self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open while borrowed; `event` is read during the call only.
        let returned = unsafe {
            libc::epoll_ctl(self.descriptor.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor.as_raw_fd(), &raw mut event)
        };
        checked(returned).map(drop)
    }

    /// Waits until something is ready or `timeout` is over. An interrupted call counts as one with nothing ready.
    pub(crate) fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.ready = 0;
        let outcome = if self.precise { self.wait_precise(events, timeout) } else { self.wait_coarse(events, timeout) };
        match outcome {
            Ok(ready) => events.ready = ready,
            Err(error) if self.precise && is_missing(&error) => {
                self.precise = false;
                return self.wait(events, timeout);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn wait_precise(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let limit = timeout.map(timespec);
        let limit_pointer = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: `events` has room for as many entries as are named; `limit` lives until after the call; no signal
        // mask is given, and then its size has no meaning.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.descriptor.as_raw_fd(),
                events.events.as_mut_ptr(),
                libc::c_long::try_from(events.events.len()).unwrap_or(1),
                limit_pointer,
                ptr::null::<libc::sigset_t>(),
                0 as libc::size_t,
            )
        };
        checked_len(returned as libc::ssize_t)
    }

    /// Rounds up to whole milliseconds, so that a timer is due when the wait ends.
    fn wait_coarse(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let limit = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        let capacity = libc::c_int::try_from(events.events.len()).unwrap_or(1);
        // SAFETY: `events` has room for `capacity` entries.
        let returned =
            unsafe { libc::epoll_wait(self.descriptor.as_raw_fd(), events.events.as_mut_ptr(), capacity, limit) };
        checked(returned).map(|ready| ready as usize)
    }
}

/// True when a call does not exist here or a sandbox forbids it.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// A counter that another thread can make readable.
pub(crate) struct EventCounter(OwnedFd);

impl EventCounter {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let descriptor = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        Ok(Self(owned(descriptor)))
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    /// Makes it readable. It can fail only when it already is.
    pub(crate) fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is eight readable bytes.
        let _written = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub(crate) fn reset(&self) {
        let mut count = [0u8; 8];
        // SAFETY: `count` is eight writable bytes.
        let _read = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// Sleeps for `limit`, or less when it becomes readable.
    pub(crate) fn sleep(&self, limit: Duration) {
        let mut entry = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let limit = timespec(limit);
        // SAFETY: one entry is named and given; `limit` lives until after the call; no signal mask.
        let _ready = unsafe { libc::ppoll(&raw mut entry, 1, &raw const limit, ptr::null()) };
    }
}

// One datagram at a time goes by `syscall`: the C library's own wrappers are points of cancellation (pthreads(7)), which costs
// each two atomic operations more.

/// Takes one datagram. Returns its whole length, which may be beyond `slot`; then only its beginning is there.
pub(crate) fn receive_one(socket: BorrowedFd<'_>, slot: &mut [u8], name: &mut SocketName) -> io::Result<usize> {
    let mut name_len = SocketName::CAPACITY;
    // SAFETY: `slot` and `name` are writable for the lengths given.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            socket.as_raw_fd(),
            slot.as_mut_ptr(),
            slot.len(),
            libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            name.as_mut_ptr(),
            &raw mut name_len,
        )
    };
    checked_len(returned as isize)
}

/// Sends one datagram.
pub(crate) fn send_one(socket: BorrowedFd<'_>, bytes: &[u8], name: &SocketName) -> io::Result<()> {
    // SAFETY: `bytes` and `name` are readable for the lengths given.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            socket.as_raw_fd(),
            bytes.as_ptr(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            name.as_ptr(),
            name.len(),
        )
    };
    checked_len(returned as isize).map(drop)
}

/// Room of a control message that carries a `u16`.
const SEGMENT_CONTROL: usize = 24;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; SEGMENT_CONTROL]);

impl Control {
    /// `UDP_SEGMENT`: the kernel cuts the message into datagrams of `size` bytes.
    fn segment(size: u16) -> Self {
        const HEADER: usize = size_of::<libc::cmsghdr>();
        // SAFETY: arithmetic only.
        let len = unsafe { libc::CMSG_LEN(size_of::<u16>() as u32) } as usize;
        let mut bytes = [0; SEGMENT_CONTROL];
        let (header, value) = bytes.split_at_mut(HEADER);
        header[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
        header[HEADER - 8..HEADER - 4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
        header[HEADER - 4..].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
        value[..2].copy_from_slice(&size.to_ne_bytes());
        Self(bytes)
    }
}

/// What `recvmmsg` and `sendmmsg` read and write; made once. Its pointers are set anew before every call.
pub(crate) struct Messages {
    headers: Box<[libc::mmsghdr]>,
    pieces: Box<[libc::iovec]>,
    names: Box<[SocketName]>,
    controls: Box<[Control]>,
}

impl Messages {
    pub(crate) fn new() -> Self {
        // SAFETY: a structure of integers and pointers, for which zero is a value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let piece = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            headers: vec![header; BATCH_CAPACITY].into_boxed_slice(),
            pieces: vec![piece; BATCH_CAPACITY].into_boxed_slice(),
            names: vec![SocketName::default(); BATCH_CAPACITY].into_boxed_slice(),
            controls: vec![Control([0; SEGMENT_CONTROL]); BATCH_CAPACITY].into_boxed_slice(),
        }
    }

    /// Receives into the first slots, at most as many as there are. Returns how many datagrams came.
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        port: PortId,
        slots: &mut [Datagram],
    ) -> io::Result<usize> {
        let mut wanted: libc::c_uint = 0;
        for (((slot, header), piece), name) in
            slots.iter_mut().zip(&mut self.headers).zip(&mut self.pieces).zip(&mut self.names)
        {
            *piece = libc::iovec { iov_base: slot.slot_mut().as_mut_ptr().cast(), iov_len: MAX_DATAGRAM };
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = SocketName::CAPACITY;
            header.msg_hdr.msg_iov = ptr::from_mut(piece);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = ptr::null_mut();
            header.msg_hdr.msg_controllen = 0;
            header.msg_hdr.msg_flags = 0;
            wanted += 1;
        }
        // SAFETY: the first `wanted` headers point at a name, a piece and a slot each, all borrowed mutably here; a
        // slot is longer than MAX_DATAGRAM.
        let returned = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                wanted,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let received = checked(returned)? as usize;
        for ((slot, header), name) in slots.iter_mut().zip(&self.headers).zip(&self.names).take(received) {
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            slot.set_received(port, name.decode(), header.msg_len as usize, truncated);
        }
        Ok(received)
    }

    /// Begins a new set of messages to send.
    pub(crate) fn start(&mut self) -> Outgoing<'_> {
        Outgoing { messages: self, pieces: 0, headers: 0 }
    }
}

/// Messages that are being put together for one `sendmmsg`. Borrows the datagrams' bytes through `'a`.
pub(crate) struct Outgoing<'a> {
    messages: &'a mut Messages,
    pieces: usize,
    headers: usize,
}

impl<'a> Outgoing<'a> {
    /// Adds a message of one or more datagrams for one destination. When there are several, each but the last has the
    /// length of the first, and the kernel cuts them apart again (UDP_SEGMENT).
    ///
    /// # Panics
    /// When more than [`BATCH_CAPACITY`] datagrams are added.
    pub(crate) fn add(&mut self, name: SocketName, datagrams: impl Iterator<Item = &'a [u8]>) {
        let Messages { headers, pieces, names, controls } = &mut *self.messages;
        let first = self.pieces;
        for bytes in datagrams {
            pieces[self.pieces] = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            self.pieces += 1;
        }
        let header = &mut headers[self.headers].msg_hdr;
        names[self.headers] = name;
        header.msg_name = names[self.headers].as_mut_ptr().cast();
        header.msg_namelen = name.len();
        header.msg_iov = &raw mut pieces[first];
        header.msg_iovlen = (self.pieces - first) as _;
        header.msg_control = ptr::null_mut();
        header.msg_controllen = 0;
        header.msg_flags = 0;
        if self.pieces - first > 1 {
            controls[self.headers] = Control::segment(u16::try_from(pieces[first].iov_len).unwrap_or(u16::MAX));
            header.msg_control = controls[self.headers].0.as_mut_ptr().cast();
            header.msg_controllen = SEGMENT_CONTROL as _;
        }
        self.headers += 1;
    }

    /// Sends the messages behind the first `skip`. Returns how many the network took; an error concerns the first.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, skip: usize) -> io::Result<usize> {
        let headers = &mut self.messages.headers[..self.headers];
        let headers = headers.get_mut(skip..).unwrap_or_default();
        // SAFETY: `add` has set every one of these headers to a name, pieces and control bytes that `self.messages`
        // owns and keeps in place, and the pieces to bytes that are borrowed for 'a; nothing of it is written to.
        let returned = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        checked(returned).map(|sent| sent as usize)
    }
}

/// The processors that the calling thread may run on.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a bit set, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable for the size given.
    checked(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    let cpus = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: every index is below CPU_SETSIZE.
    Ok(cpus.filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Pins the calling thread to one processor.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a bit set, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is readable for the size given.
    checked(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) }).map(drop)
}

/// Gives the calling thread the lowest priority that a thread with the usual policy can have (Linux takes the nice value
/// of one thread, not of its process). There is no way back without a privilege.
pub fn lower_priority() -> io::Result<()> {
    const LOWEST: libc::c_int = 19;
    // SAFETY: takes numbers only; 0 is the calling thread.
    checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LOWEST) }).map(drop)
}

/// Raises the soft limit of open descriptors to the hard limit, and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is readable.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_control_message_has_the_layout_of_the_c_macros() {
        // SAFETY: arithmetic only.
        let space = unsafe { libc::CMSG_SPACE(2) } as usize;
        assert_eq!(space, SEGMENT_CONTROL);
        let control = Control::segment(172);
        // SAFETY: `control` is longer than a cmsghdr and aligned to eight bytes.
        let header = unsafe { ptr::read(control.0.as_ptr().cast::<libc::cmsghdr>()) };
        assert_eq!((header.cmsg_level, header.cmsg_type), (libc::SOL_UDP, libc::UDP_SEGMENT));
        // SAFETY: arithmetic only.
        assert_eq!(header.cmsg_len as u32, unsafe { libc::CMSG_LEN(2) });
    }

    #[test]
    fn a_kernel_without_precise_waits_waits_at_least_as_long() {
        let mut epoll = Epoll { precise: false, ..Epoll::new().unwrap() };
        let mut events = Events::with_capacity(4);
        let start = std::time::Instant::now();
        epoll.wait(&mut events, Some(Duration::from_micros(1500))).unwrap();
        assert!(start.elapsed() >= Duration::from_micros(1500));
        let counter = EventCounter::new().unwrap();
        epoll.add(counter.descriptor(), 9).unwrap();
        counter.raise();
        epoll.wait(&mut events, None).unwrap();
        assert_eq!((events.len(), events.token(0)), (1, Some(9)));
        assert!(events.take(9) && events.len() == 0);
        counter.reset();
        epoll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert_eq!(events.len(), 0);
    }

    #[test]
    fn a_pinned_thread_may_run_on_its_processor_only() {
        std::thread::spawn(|| {
            let last = *allowed_cpus().unwrap().last().unwrap();
            pin_to_cpu(last).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [last]);
            assert!(pin_to_cpu(usize::MAX).is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_that_lowers_its_priority_lowers_no_other() {
        // SAFETY: takes numbers only. No errno is looked at: -1 is no value that the test expects.
        let own = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = own();
        let lowered = std::thread::spawn(move || {
            lower_priority().unwrap();
            own()
        });
        assert_eq!(lowered.join().unwrap(), 19);
        assert_eq!(own(), before);
    }

    #[test]
    fn the_descriptor_limit_is_raised_to_what_is_allowed() {
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(raise_descriptor_limit().unwrap(), raised);
    }
}
