//! What a worker does with one batch of datagrams: transports, keying, latching, flows.
