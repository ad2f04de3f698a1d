//! System calls that no crate wraps: packet sockets (packet(7)), their receive ring, and scheduling.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frames that one call sends.
pub(crate) const MAX_BURST: usize = 64;

fn checked(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

fn set_option<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is readable for the size given.
    let returned = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    checked(returned).map(drop)
}

fn open(interface: u32, protocol: u16) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let socket = checked(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: just made; nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    bind(&socket, interface, protocol)?;
    Ok(socket)
}

fn bind(socket: &OwnedFd, interface: u32, protocol: u16) -> io::Result<()> {
    let name = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: interface as libc::c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    // SAFETY: `name` is readable for the size given.
    let returned =
        unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&name).cast(), size_of_val(&name) as libc::socklen_t) };
    checked(returned).map(drop)
}

/// Sends whole Ethernet frames from one interface, past its queueing discipline.
pub(crate) struct FrameSender(OwnedFd);

impl FrameSender {
    pub(crate) fn open(interface: u32) -> io::Result<Self> {
        // Protocol 0: it receives nothing.
        let socket = open(interface, 0)?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &(8 << 20))?;
        Ok(Self(socket))
    }

    /// Sends at most [`MAX_BURST`] frames with one call. Returns how many went.
    pub(crate) fn send<'a>(&self, frames: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        // SAFETY: structures of integers and pointers, for which zero is a value.
        let mut headers: [libc::mmsghdr; MAX_BURST] = unsafe { std::mem::zeroed() };
        let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MAX_BURST];
        let mut count = 0;
        for ((frame, header), piece) in frames.zip(&mut headers).zip(&mut pieces) {
            *piece = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
            header.msg_hdr.msg_iov = ptr::from_mut(piece);
            header.msg_hdr.msg_iovlen = 1;
            count += 1;
        }
        // SAFETY: the first `count` headers point at a piece each, and these at frames that are borrowed until after
        // the call, which only reads them.
        let returned = unsafe { libc::sendmmsg(self.0.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
        checked(returned).map(|sent| sent as usize)
    }
}

/// Bytes of a ring's frame: its header and the longest frame that counts.
const RING_FRAME: usize = 384;
/// Bytes that the kernel allocates at once.
const RING_BLOCK: usize = 1 << 16;
const FRAMES_PER_BLOCK: usize = RING_BLOCK / RING_FRAME;

#[repr(C)]
struct RingRequest {
    block_size: u32,
    blocks: u32,
    frame_size: u32,
    frames: u32,
}

/// The IPv4 frames that arrive at an interface, with the time of their arrival: a ring in memory that the kernel fills
/// without waking anybody (TPACKET_V2).
pub(crate) struct FrameRing {
    socket: OwnedFd,
    memory: *mut u8,
    blocks: usize,
    next: usize,
}

impl FrameRing {
    /// A ring with room for at least this many frames.
    pub(crate) fn open(interface: u32, frames: usize) -> io::Result<Self> {
        let socket = open(interface, 0)?;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V2)?;
        let blocks = frames.div_ceil(FRAMES_PER_BLOCK);
        let request = RingRequest {
            block_size: RING_BLOCK as u32,
            blocks: blocks as u32,
            frame_size: RING_FRAME as u32,
            frames: (blocks * FRAMES_PER_BLOCK) as u32,
        };
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new mapping at a place that the kernel chooses, of the size that the ring was made with.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                blocks * RING_BLOCK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ring = Self { socket, memory: memory.cast(), blocks, next: 0 };
        bind(&ring.socket, interface, libc::ETH_P_IP as u16)?;
        Ok(ring)
    }

    /// Looks at the frames that have arrived behind the first `skip` ones that wait here, and takes none: how many they
    /// are, and how many of them are wanted.
    pub(crate) fn peek_from(&self, skip: usize, wanted: impl Fn(&[u8]) -> bool) -> (usize, usize) {
        let most = (self.blocks * FRAMES_PER_BLOCK).saturating_sub(skip);
        let indices = (0..most).map(|more| self.next + skip + more).take_while(|&index| self.is_filled(index));
        indices.fold((0, 0), |(all, matching), index| (all + 1, matching + usize::from(wanted(self.frame(index).1))))
    }

    /// Gives every frame that has arrived, with the nanoseconds from 1970 to its arrival, and empties the ring.
    pub(crate) fn drain(&mut self, mut taker: impl FnMut(u64, &[u8])) {
        while self.is_filled(self.next) {
            let (time, bytes) = self.frame(self.next);
            taker(time, bytes);
            self.status(self.next).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % (self.blocks * FRAMES_PER_BLOCK);
        }
    }

    /// Frames that found the ring full since the last question.
    pub(crate) fn overflow(&self) -> io::Result<u32> {
        let mut counts = [0u32; 2];
        let mut length = size_of_val(&counts) as libc::socklen_t;
        // SAFETY: `counts` is writable for the size given.
        let returned = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counts.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        checked(returned)?;
        Ok(counts[1])
    }

    /// The time and the bytes of a frame that is filled.
    fn frame(&self, index: usize) -> (u64, &[u8]) {
        let header = self.place(index);
        // SAFETY: the kernel has written a header at the beginning of every frame that is filled, aligned to 16.
        let read = unsafe { ptr::read(header.cast::<libc::tpacket2_hdr>()) };
        let length = (read.tp_snaplen as usize).min(RING_FRAME - usize::from(read.tp_mac));
        // SAFETY: the frame's bytes begin at `tp_mac` and end inside this frame of the ring; the kernel does not touch a
        // filled frame until its status says that it is empty, which only `drain` does, after its last look.
        let bytes = unsafe { std::slice::from_raw_parts(header.add(usize::from(read.tp_mac)), length) };
        (u64::from(read.tp_sec) * 1_000_000_000 + u64::from(read.tp_nsec), bytes)
    }

    fn is_filled(&self, index: usize) -> bool {
        self.status(index).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    fn place(&self, index: usize) -> *mut u8 {
        let index = index % (self.blocks * FRAMES_PER_BLOCK);
        let offset = index / FRAMES_PER_BLOCK * RING_BLOCK + index % FRAMES_PER_BLOCK * RING_FRAME;
        // SAFETY: `index` is below the number of frames, so the offset lies in the mapping.
        unsafe { self.memory.add(offset) }
    }

    fn status(&self, index: usize) -> &AtomicU32 {
        // SAFETY: every frame begins with its status, aligned to 16, in a mapping that lives as long as `self`; both
        // sides use it as an atomic.
        unsafe { AtomicU32::from_ptr(self.place(index).cast()) }
    }
}

impl Drop for FrameRing {
    fn drop(&mut self) {
        // SAFETY: the mapping of `open`, of the same size; nothing borrowed from it outlives `self`.
        let _unmapped = unsafe { libc::munmap(self.memory.cast(), self.blocks * RING_BLOCK) };
    }
}

/// Gives the calling thread, and what it starts, a fixed priority (SCHED_FIFO); `None`: an ordinary share of the processor.
pub(crate) fn set_priority(priority: Option<u8>) -> io::Result<()> {
    let policy = if priority.is_some() { libc::SCHED_FIFO } else { libc::SCHED_OTHER };
    let parameter = libc::sched_param { sched_priority: priority.unwrap_or(0).into() };
    // SAFETY: `parameter` is readable; 0 names the calling thread.
    checked(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) }).map(drop)
}
