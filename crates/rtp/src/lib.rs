//! RTP and RTCP as views over bytes; demultiplexing by first byte (RFC 7983, RFC 5761).
