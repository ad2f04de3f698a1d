//! The forms of what the language and its library bring along.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{MAX_LIST, Reader, Wire, WireError, Writer};

/// No duration and no date is further: 136 years, so that adding one to a clock cannot overflow.
const MAX_SECONDS: u64 = 1 << 32;

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            fn encode(&self, writer: &mut Writer) {
                writer.number(*self as u64);
            }

            fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                Self::try_from(reader.number()?).map_err(|_| WireError::TooLong)
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64, usize);

/// Zigzag: small whichever the sign.
impl Wire for i64 {
    fn encode(&self, writer: &mut Writer) {
        writer.number(((self << 1) ^ (self >> 63)) as u64);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = reader.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

impl Wire for i8 {
    fn encode(&self, writer: &mut Writer) {
        i64::from(*self).encode(writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::try_from(i64::decode(reader)?).map_err(|_| WireError::TooLong)
    }
}

/// Sixteen bytes: it is a set, seldom a small number.
impl Wire for u128 {
    fn encode(&self, writer: &mut Writer) {
        writer.raw(&self.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl Wire for NonZeroU32 {
    fn encode(&self, writer: &mut Writer) {
        self.get().encode(writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::new(u32::decode(reader)?).ok_or(WireError::Invalid("number that is not 0"))
    }
}

impl Wire for bool {
    fn encode(&self, writer: &mut Writer) {
        writer.byte(u8::from(*self));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Unknown("bool")),
        }
    }
}

impl Wire for String {
    fn encode(&self, writer: &mut Writer) {
        writer.counted(self.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        std::str::from_utf8(reader.counted()?).map(str::to_owned).map_err(|_| WireError::Invalid("UTF-8"))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn encode(&self, writer: &mut Writer) {
        self.is_some().encode(writer);
        if let Some(value) = self {
            value.encode(writer);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        bool::decode(reader)?.then(|| T::decode(reader)).transpose()
    }
}

impl<T: Wire> Wire for Box<T> {
    fn encode(&self, writer: &mut Writer) {
        T::encode(self, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        T::decode(reader).map(Self::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn encode(&self, writer: &mut Writer) {
        writer.list(self.iter());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.list()
    }
}

impl<T: Wire, U: Wire> Wire for (T, U) {
    fn encode(&self, writer: &mut Writer) {
        self.0.encode(writer);
        self.1.encode(writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((T::decode(reader)?, U::decode(reader)?))
    }
}

impl<T: Wire> Wire for [T; 2] {
    fn encode(&self, writer: &mut Writer) {
        self.iter().for_each(|item| item.encode(writer));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok([T::decode(reader)?, T::decode(reader)?])
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn encode(&self, writer: &mut Writer) {
        writer.number(self.len() as u64);
        for (key, value) in self {
            key.encode(writer);
            value.encode(writer);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let length = reader.length(MAX_LIST)?;
        let mut map = Self::new();
        for _ in 0..length {
            map.insert(K::decode(reader)?, V::decode(reader)?);
        }
        Ok(map)
    }
}

/// One that is longer than what is read again is written as the longest.
impl Wire for Duration {
    fn encode(&self, writer: &mut Writer) {
        self.as_secs().min(MAX_SECONDS).encode(writer);
        self.subsec_nanos().encode(writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (seconds, nanoseconds) = (reader.number()?, u32::decode(reader)?);
        if seconds > MAX_SECONDS || nanoseconds >= 1_000_000_000 {
            return Err(WireError::Invalid("duration"));
        }
        Ok(Self::new(seconds, nanoseconds))
    }
}

/// Since 1970, and not before.
impl Wire for SystemTime {
    fn encode(&self, writer: &mut Writer) {
        self.duration_since(UNIX_EPOCH).unwrap_or_default().encode(writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(UNIX_EPOCH + Duration::decode(reader)?)
    }
}

impl Wire for IpAddr {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::V4(v4) => {
                writer.byte(4);
                writer.raw(&v4.octets());
            }
            Self::V6(v6) => {
                writer.byte(6);
                writer.raw(&v6.octets());
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.byte()? {
            4 => Ok(Self::V4(Ipv4Addr::from_octets(reader.array()?))),
            6 => Ok(Self::V6(Ipv6Addr::from_octets(reader.array()?))),
            _ => Err(WireError::Unknown("IP address")),
        }
    }
}

impl Wire for SocketAddr {
    fn encode(&self, writer: &mut Writer) {
        self.ip().encode(writer);
        self.port().encode(writer);
        if let Self::V6(v6) = self {
            v6.flowinfo().encode(writer);
            v6.scope_id().encode(writer);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match (IpAddr::decode(reader)?, u16::decode(reader)?) {
            (IpAddr::V4(v4), port) => Self::from((v4, port)),
            (IpAddr::V6(v6), port) => Self::V6(SocketAddrV6::new(v6, port, u32::decode(reader)?, u32::decode(reader)?)),
        })
    }
}
