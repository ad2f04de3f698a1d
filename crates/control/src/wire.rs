//! The binary form of what the two halves say to each other, for when they are two processes.
//!
//! Everything here is a pure function over bytes: [`Wire::encode`] into a [`Writer`], [`Wire::decode`] from a [`Reader`].
//! Integers are LEB128, lists and strings carry their length, an `Option` is a byte before its value. Types get their form
//! from [`wire!`](crate::wire!), which names every field and variant: one that is forgotten does not compile.
//!
//! * Decoding is linear and bounded: a length is checked against what is left and against [`MAX_LIST`] or [`MAX_BYTES`]
//!   before anything is allocated, and a value that its type forbids (a key of the wrong length, a bad fingerprint, a
//!   duration of centuries) is an error.
//! * Keys are among what is written. A [`Writer`] wipes every buffer that it leaves, and hands out one that is wiped when
//!   dropped.
//! * [`shape`] makes a number of the names of a group of types, so that two versions of the program that do not
//!   understand each other notice.

mod bytes;
mod foreign;
mod messages;

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

pub use messages::MESSAGES_SHAPE;

/// Most elements of a list: transports are numbered by 16 bits.
pub const MAX_LIST: usize = 65_536;

/// Most bytes of a string, and of a byte string.
pub const MAX_BYTES: usize = 65_536;

/// What has a binary form.
pub trait Wire: Sized {
    /// Appends the form.
    fn encode(&self, writer: &mut Writer);

    /// Takes the form from the front of what is left.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

/// Why bytes are not the form of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// They end too early.
    Truncated,
    /// A length or a number is beyond its bound.
    TooLong,
    /// A type's variant that does not exist.
    Unknown(&'static str),
    /// A value that its type forbids.
    Invalid(&'static str),
    /// Something follows where nothing may.
    Trailing,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ends too early"),
            Self::TooLong => f.write_str("longer than allowed"),
            Self::Unknown(what) => write!(f, "unknown variant of {what}"),
            Self::Invalid(what) => write!(f, "invalid {what}"),
            Self::Trailing => f.write_str("something follows the end"),
        }
    }
}

impl std::error::Error for WireError {}

/// Where a form is written. What it held is wiped when it grows and when it is dropped.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Writer {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            // By hand: a `Vec` that grows leaves its old buffer behind unwiped.
            let mut grown = Vec::with_capacity(needed.next_power_of_two().max(1024));
            grown.extend_from_slice(&self.bytes);
            std::mem::swap(&mut self.bytes, &mut grown);
            grown.zeroize();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends one byte.
    pub fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    /// Appends an integer: seven bits a byte, the lowest first, all but the last with their top bit set.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            // Cut to the lowest seven bits on purpose.
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// Appends bytes with their length before them.
    pub fn counted(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Appends a list with its length before it.
    pub fn list<'a, T: Wire + 'a>(&mut self, items: impl ExactSizeIterator<Item = &'a T>) {
        self.number(items.len() as u64);
        items.for_each(|item| item.encode(self));
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written.
    pub fn finish(mut self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(std::mem::take(&mut self.bytes))
    }
}

/// What is left to read.
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// From these.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Takes so many bytes.
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Takes a fixed number of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Takes an integer.
    pub fn number(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits.leading_zeros() < shift {
                return Err(WireError::TooLong);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::TooLong)
    }

    /// Takes a length, which is not above `most`, nor above the bytes that are left: every element has one at least.
    pub fn length(&mut self, most: usize) -> Result<usize, WireError> {
        let length = usize::try_from(self.number()?).map_err(|_| WireError::TooLong)?;
        match length {
            length if length > most => Err(WireError::TooLong),
            length if length > self.bytes.len() => Err(WireError::Truncated),
            length => Ok(length),
        }
    }

    /// Takes bytes with their length before them.
    pub fn counted(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.length(MAX_BYTES)?;
        self.raw(length)
    }

    /// Takes a list.
    pub fn list<T: Wire>(&mut self) -> Result<Vec<T>, WireError> {
        let length = self.length(MAX_LIST)?;
        // Grows as elements come: a length alone makes no memory.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), WireError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}

/// The form of one value.
pub fn to_bytes(value: &impl Wire) -> Zeroizing<Vec<u8>> {
    let mut writer = Writer::new();
    value.encode(&mut writer);
    writer.finish()
}

/// The value whose form these bytes are, all of them.
pub fn from_bytes<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The form of a value that another process will read, perhaps of another version of this program: behind the version of
/// its form and its [`shape`].
pub fn to_memo(version: u8, shape: u64, value: &impl Wire) -> Zeroizing<Vec<u8>> {
    let mut writer = Writer::new();
    writer.byte(version);
    writer.raw(&shape.to_be_bytes());
    value.encode(&mut writer);
    writer.finish()
}

/// The value of a memo, which must be of this version and shape.
pub fn from_memo<T: Wire>(version: u8, shape: u64, bytes: &[u8]) -> Result<T, WireError> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != version || reader.array()? != shape.to_be_bytes() {
        return Err(WireError::Unknown("memo version"));
    }
    let value = T::decode(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A number made of the names of a group of types (FNV-1a, without the blanks, which compilers set as they like).
pub const fn shape(names: &str) -> u64 {
    let bytes = names.as_bytes();
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        #[allow(clippy::indexing_slicing)] // `at` is below the length; a const function knows no iterator
        let byte = bytes[at];
        if !byte.is_ascii_whitespace() {
            hash = (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        }
        at += 1;
    }
    hash
}

/// Gives types their binary form: every field and every variant by name, so that one that is forgotten does not compile.
/// `via MODULE` after a field uses that module's functions `encode` and `decode` in place of the field type's [`Wire`].
///
/// ```
/// struct Point { x: u16, y: u16 }
/// enum Move { Stay, To(Point), By { dx: u16 } }
/// struct Name(u64);
///
/// sallyport_control::wire! {
///     /// Of these types.
///     const SHAPE;
///     struct Point { x, y }
///     enum Move { 0 => Stay, 1 => To(point), 2 => By { dx } }
///     newtype Name;
/// }
/// ```
#[macro_export]
macro_rules! wire {
    ($(#[$attribute:meta])* $visibility:vis const $name:ident; $($items:tt)*) => {
        $(#[$attribute])*
        $visibility const $name: u64 = $crate::wire::shape(stringify!($($items)*));
        $crate::wire! { @items $($items)* }
    };
    (@items) => {};
    (@items newtype $type:ident; $($rest:tt)*) => {
        impl $crate::wire::Wire for $type {
            fn encode(&self, writer: &mut $crate::wire::Writer) {
                $crate::wire::Wire::encode(&self.0, writer);
            }

            fn decode(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                Ok(Self($crate::wire::Wire::decode(reader)?))
            }
        }
        $crate::wire! { @items $($rest)* }
    };
    (@items struct $type:ident { $($field:ident $(via $via:ident)?),* $(,)? } $($rest:tt)*) => {
        impl $crate::wire::Wire for $type {
            fn encode(&self, writer: &mut $crate::wire::Writer) {
                let Self { $($field),* } = self;
                $($crate::wire! { @encode writer $field $($via)? })*
            }

            fn decode(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                Ok(Self { $($field: $crate::wire! { @decode reader $($via)? }),* })
            }
        }
        $crate::wire! { @items $($rest)* }
    };
    (@items enum $type:ident {
        $($code:literal => $variant:ident $(($($item:ident),*))? $({ $($field:ident),* $(,)? })?),* $(,)?
    } $($rest:tt)*) => {
        impl $crate::wire::Wire for $type {
            fn encode(&self, writer: &mut $crate::wire::Writer) {
                match self {
                    $(Self::$variant $(($($item),*))? $({ $($field),* })? => {
                        writer.byte($code);
                        $($($crate::wire::Wire::encode($item, writer);)*)?
                        $($($crate::wire::Wire::encode($field, writer);)*)?
                    })*
                }
            }

            fn decode(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::wire::WireError> {
                Ok(match reader.byte()? {
                    $($code => {
                        $($(let $item = $crate::wire::Wire::decode(reader)?;)*)?
                        $($(let $field = $crate::wire::Wire::decode(reader)?;)*)?
                        Self::$variant $(($($item),*))? $({ $($field),* })?
                    })*
                    _ => return Err($crate::wire::WireError::Unknown(stringify!($type))),
                })
            }
        }
        $crate::wire! { @items $($rest)* }
    };
    (@encode $writer:ident $field:ident) => { $crate::wire::Wire::encode($field, $writer); };
    (@encode $writer:ident $field:ident $via:ident) => { $via::encode($field, $writer); };
    (@decode $reader:ident) => { $crate::wire::Wire::decode($reader)? };
    (@decode $reader:ident $via:ident) => { $via::decode($reader)? };
}
