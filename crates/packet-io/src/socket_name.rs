//! A socket address as the kernel writes it (`sockaddr_in`, `sockaddr_in6`), read and written without casts.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const FAMILY: std::ops::Range<usize> = 0..2;
const PORT: std::ops::Range<usize> = 2..4;
const V4_ADDRESS: std::ops::Range<usize> = 4..8;
const V6_FLOW: std::ops::Range<usize> = 4..8;
const V6_ADDRESS: std::ops::Range<usize> = 8..24;
const V6_SCOPE: std::ops::Range<usize> = 24..28;

/// A `sockaddr_in` or `sockaddr_in6`. (Linux: the family comes first, in native order.)
#[derive(Clone, Copy, Default)]
#[repr(C, align(8))]
pub(crate) struct SocketName {
    bytes: [u8; 28],
}

impl SocketName {
    /// Bytes that it can hold.
    pub(crate) const CAPACITY: libc::socklen_t = 28;

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    /// Bytes that it occupies.
    pub(crate) fn len(&self) -> libc::socklen_t {
        if self.family() == libc::AF_INET { 16 } else { Self::CAPACITY }
    }

    pub(crate) fn encode(address: SocketAddr) -> Self {
        let mut bytes = [0; 28];
        bytes[PORT].copy_from_slice(&address.port().to_be_bytes());
        let family = match address {
            SocketAddr::V4(address) => {
                bytes[V4_ADDRESS].copy_from_slice(&address.ip().octets());
                libc::AF_INET
            }
            SocketAddr::V6(address) => {
                bytes[V6_FLOW].copy_from_slice(&address.flowinfo().to_ne_bytes());
                bytes[V6_ADDRESS].copy_from_slice(&address.ip().octets());
                bytes[V6_SCOPE].copy_from_slice(&address.scope_id().to_ne_bytes());
                libc::AF_INET6
            }
        };
        bytes[FAMILY].copy_from_slice(&(family as u16).to_ne_bytes());
        Self { bytes }
    }

    /// The address that the kernel has written. A datagram's flow label is not part of it.
    pub(crate) fn decode(&self) -> SocketAddr {
        let port = u16::from_be_bytes(self.part(PORT));
        if self.family() == libc::AF_INET6 {
            let address = Ipv6Addr::from(self.part::<16>(V6_ADDRESS));
            SocketAddrV6::new(address, port, 0, u32::from_ne_bytes(self.part(V6_SCOPE))).into()
        } else {
            SocketAddrV4::new(Ipv4Addr::from(self.part::<4>(V4_ADDRESS)), port).into()
        }
    }

    fn family(&self) -> libc::c_int {
        libc::c_int::from(u16::from_ne_bytes(self.part(FAMILY)))
    }

    fn part<const N: usize>(&self, range: std::ops::Range<usize>) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&self.bytes[range]);
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_that_socket2_makes() {
        for text in ["192.0.2.1:5004", "[2001:db8::1]:5004", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let name = SocketName::encode(address);
            let theirs = socket2::SockAddr::from(address);
            assert_eq!(name.len(), theirs.len(), "{text}");
            assert_eq!(socket2_bytes(&theirs), &name.bytes[..name.len() as usize], "{text}");
            assert_eq!(name.decode(), address);
        }
        let labelled: SocketAddr = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0x12345, 0).into();
        assert_eq!(socket2_bytes(&socket2::SockAddr::from(labelled)), SocketName::encode(labelled).bytes);
    }

    #[expect(unsafe_code, reason = "socket2 lends its bytes only as a pointer")]
    fn socket2_bytes(address: &socket2::SockAddr) -> Vec<u8> {
        // SAFETY: the storage is initialised and at least as long as it says.
        unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.len() as usize) }.to_vec()
    }
}
