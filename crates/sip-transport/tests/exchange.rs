//! Each transport carries an OPTIONS and its 200 between two elements, on real sockets.

#![allow(clippy::unwrap_used)]

mod support;

use sip::{StatusCode, Transport};
use support::{Element, address, config, target};

#[tokio::test]
async fn udp_and_tcp_carry_a_request_and_its_answer() {
    let (server, _task) = Element::bind(config(&[Transport::Udp, Transport::Tcp])).serve();
    let mut client = Element::bind(config(&[Transport::Udp, Transport::Tcp]));
    for transport in [Transport::Udp, Transport::Tcp] {
        let target = target(&client.transports, transport, address(&server, transport));
        for _ in 0..3 {
            let (response, flow) = client.options(&target).await.response();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(flow.transport, transport);
            assert!(response.body().starts_with(transport.as_str().as_bytes()));
        }
    }
    // One connection serves all three.
    let stats = client.transports.stats();
    assert_eq!((stats.connections, stats.messages_out), ([0, 1, 0, 0, 0], [3, 3, 0, 0, 0]));
    assert_eq!(server.stats().messages_in, [3, 3, 0, 0, 0]);
}
