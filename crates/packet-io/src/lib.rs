//! Backends that move datagrams: mmsg sockets and a simulated network.
