//! One connection of the control link, as either side has it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use control::frame::{self, GREETING_LEN, GreetingError, HEADER_LEN, Message};
use control::wire::WireError;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

/// The other side must greet within this time.
const GREETING_TIME: Duration = Duration::from_secs(5);

/// A side that takes nothing for this long is given up.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// A connection to the other half.
pub struct Connection {
    stream: UnixStream,
}

/// Why a connection is of no use, or of none any more.
#[derive(Debug)]
pub enum LinkError {
    /// The system's word.
    Io(io::Error),
    /// The other side runs under another user.
    ForeignUser(u32),
    /// It does not speak our language.
    Greeting(GreetingError),
    /// A message that cannot be read or is too long.
    Message(WireError),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => f.write_str("the other side has gone"),
            Self::Io(error) => write!(f, "{error}"),
            Self::ForeignUser(uid) => write!(f, "the other side runs under another user: {uid}"),
            Self::Greeting(error) => write!(f, "{error}"),
            Self::Message(error) => write!(f, "a message {error}"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Connection {
    /// Connects to a media half's socket.
    pub fn connect(path: &Path) -> Result<Self, LinkError> {
        Self::new(UnixStream::connect(path)?)
    }

    /// Takes a connected stream, if the other side may be there.
    pub(crate) fn new(stream: UnixStream) -> Result<Self, LinkError> {
        let peer = getsockopt(&stream, sockopt::PeerCredentials).map_err(io::Error::from)?;
        if peer.uid() != 0 && peer.uid() != geteuid().as_raw() {
            return Err(LinkError::ForeignUser(peer.uid()));
        }
        stream.set_write_timeout(Some(WRITE_TIME))?;
        Ok(Self { stream })
    }

    /// The same connection once more: one to read from, one to write to.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()? })
    }

    /// Says who we are. One who has closed already may have left something to read: that it turns us away.
    pub fn greet(&mut self) -> Result<(), LinkError> {
        match self.stream.write_all(&frame::greeting()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Waits for the other side to say the same, for a while.
    pub fn await_greeting(&mut self) -> Result<(), LinkError> {
        self.stream.set_read_timeout(Some(GREETING_TIME))?;
        let mut greeting = [0; GREETING_LEN];
        self.stream.read_exact(&mut greeting)?;
        self.stream.set_read_timeout(None)?;
        frame::check_greeting(&greeting).map_err(LinkError::Greeting)
    }

    /// Writes a message. Waits while the other side takes none, but not for ever.
    pub fn send(&mut self, message: &impl Message) -> Result<(), LinkError> {
        let bytes = frame::encode(message).map_err(LinkError::Message)?;
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Waits for a message.
    pub fn receive<M: Message>(&mut self) -> Result<M, LinkError> {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header)?;
        let length = frame::frame_len::<M>(header).map_err(LinkError::Message)?;
        let mut bytes = Zeroizing::new(vec![0; length]);
        self.stream.read_exact(&mut bytes)?;
        frame::decode(&bytes).map_err(LinkError::Message)
    }

    /// Ends the connection, whoever is reading from it or writing to it.
    pub fn close(&self) {
        // One that is closed already needs nothing.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
