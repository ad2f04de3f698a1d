//! Workers, shards, timers and handshake threads of the media half.
