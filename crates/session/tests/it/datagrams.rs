//! Fax (T.38) and other media that is not RTP.

use control::{Component, Keying};
use sallyport_session::{MediaProfile, Options, TransportProtocol};

use crate::support::{Bench, Mask, expected, masked};

const AUDIO: &str = "
    v=0
    o=alice 1 1 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    m=audio 4000 RTP/AVP 0
    a=rtpmap:0 PCMU/8000
    a=sendrecv
";

const AUDIO_ANSWER: &str = "
    v=0
    o=bob 1 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=audio 6000 RTP/SAVP 0
    a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
";

const FAX: &str = "
    v=0
    o=bob 1 2 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=image 6000 udptl t38
    a=T38FaxVersion:0
    a=T38MaxBitRate:14400
    a=T38FaxRateManagement:transferredTCF
    a=T38FaxMaxDatagram:72
    a=T38FaxUdpEC:t38UDPRedundancy
";

const FAX_ANSWER: &str = "
    v=0
    o=alice 1 2 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    m=image 4000 udptl t38
    a=T38FaxVersion:0
    a=T38MaxBitRate:9600
";

fn savp() -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)), ..Options::default() }
}

#[test]
fn a_fax_gets_one_port_on_each_side_and_keeps_its_attributes() {
    let mut bench = Bench::new();
    // What asks for security or ICE asks nothing of a fax.
    let options = Options { ice: Some(sallyport_session::IceOption::Force), ..savp() };
    let offer = masked(&bench.offer(FAX, options));
    assert_eq!(
        offer,
        expected(
            "
            v=0
            o=bob 1 2 IN IP4 198.51.100.5
            s=-
            t=0 0
            m=image P1 udptl t38
            c=IN IP4 10.0.0.1
            a=T38FaxVersion:0
            a=T38MaxBitRate:14400
            a=T38FaxRateManagement:transferredTCF
            a=T38FaxMaxDatagram:72
            a=T38FaxUdpEC:t38UDPRedundancy
            a=sendrecv
            "
        )
    );
    let answer = masked(&bench.answer(&FAX_ANSWER.replace("udptl", "UDPTL"), Options::default()));
    assert_eq!(
        answer,
        expected(
            "
            v=0
            o=alice 1 2 IN IP4 192.0.2.10
            s=-
            t=0 0
            m=image P1 UDPTL t38
            c=IN IP4 10.0.0.1
            a=T38FaxVersion:0
            a=T38MaxBitRate:9600
            a=sendrecv
            "
        )
    );
    let plan = bench.plan();
    assert_eq!(plan.transports.len(), 2);
    for transport in &plan.transports {
        assert!(transport.component == Component::Datagrams && transport.keying == Keying::Plain);
        assert!(transport.remote.is_some() && transport.ice.is_none());
    }
    assert_eq!(plan.flows.len(), 2);
    assert!(plan.flows.iter().all(|flow| flow.forward_media && flow.ingress_rtcp == flow.ingress_rtp));
    assert!(plan.media_timeout.is_some());
}

#[test]
fn audio_becomes_fax_in_its_place_and_audio_again_as_secure_as_before() {
    let mut bench = Bench::new();
    let mut towards_alice = Mask::default();
    bench.offer(AUDIO, savp());
    let first = bench.answer(AUDIO_ANSWER, Options::default());
    let first = towards_alice.text(std::str::from_utf8(&first.sdp).expect("UTF-8"));
    assert!(first.contains("m=audio P1 RTP/AVP 0"), "{first}");
    assert_eq!(bench.plan().transports.len(), 4);
    // The far end hears a fax tone and re-offers.
    let offer = bench.reoffer("b", "a", FAX, Options::default());
    let offer = towards_alice.text(std::str::from_utf8(&offer.sdp).expect("UTF-8"));
    assert!(offer.contains("m=image P1 udptl t38"), "the same port: {offer}");
    assert!(!offer.contains("a=rtcp") && !offer.contains("a=crypto"), "{offer}");
    assert!(
        bench.plan().transports.iter().any(|transport| matches!(transport.keying, Keying::Sdes(_))),
        "audio until the answer"
    );
    let answer = masked(&bench.reanswer("b", "a", FAX_ANSWER, Options::default()));
    assert!(answer.contains("m=image P1 udptl t38"), "{answer}");
    let plan = bench.plan();
    assert_eq!(plan.transports.len(), 2, "RTCP has no use");
    assert!(plan.transports.iter().all(|transport| transport.component == Component::Datagrams));
    let view = bench.session.call("call").expect("the call");
    assert!(view.summary.downgraded);
    let notes: Vec<String> = view.ledger.iter().map(|entry| entry.note.to_string()).collect();
    assert!(notes.contains(&"was secure, is udptl in the clear".to_owned()), "{notes:?}");
    assert_eq!(view.legs[0].sections[0].protocol, "udptl");
    // Back to audio, by the other side, and nobody repeats the profile.
    let offer = masked(&bench.reoffer("a", "b", AUDIO, Options::default()));
    assert!(offer.contains("m=audio P1 RTP/SAVP 0"), "{offer}");
    assert!(offer.contains("a=crypto:1 "), "{offer}");
    bench.reanswer("a", "b", AUDIO_ANSWER, Options::default());
    let plan = bench.plan();
    assert_eq!(plan.transports.len(), 4);
    assert!(plan.transports.iter().all(|transport| transport.component != Component::Datagrams));
    assert_eq!(plan.transports.iter().filter(|own| matches!(own.keying, Keying::Sdes(_))).count(), 2);
}

#[test]
fn a_fax_beside_rejected_audio_has_a_section_of_its_own() {
    let mut bench = Bench::new();
    bench.offer(AUDIO, savp());
    bench.answer(AUDIO_ANSWER, Options::default());
    let both = FAX.replace("m=image", "m=audio 0 RTP/SAVP 0\nm=image");
    let offer = masked(&bench.reoffer("b", "a", &both, Options::default()));
    assert!(offer.contains("m=audio 0 ") && offer.contains("m=image P1 udptl"), "{offer}");
    let answer = FAX_ANSWER.replace("m=image", "m=audio 0 RTP/AVP 0\nm=image");
    let answer = masked(&bench.reanswer("b", "a", &answer, Options::default()));
    assert!(answer.contains("m=audio 0 RTP/SAVP 0") && answer.contains("m=image P1 udptl"), "{answer}");
    let plan = bench.plan();
    assert_eq!(plan.transports.len(), 2);
    assert_eq!(plan.flows.len(), 2);
}

#[test]
fn a_refused_fax_leaves_the_audio_as_it_was() {
    let mut bench = Bench::new();
    bench.offer(AUDIO, savp());
    bench.answer(AUDIO_ANSWER, Options::default());
    let before = bench.plan().clone();
    // 488: no answer comes; the next offer is audio again.
    bench.reoffer("b", "a", FAX, Options::default());
    bench.advance(std::time::Duration::from_secs(5));
    bench.reoffer("a", "b", AUDIO, Options::default());
    bench.reanswer("a", "b", AUDIO_ANSWER, Options::default());
    let keyings = |plan: &control::Plan| plan.transports.iter().map(|own| own.keying.clone()).collect::<Vec<_>>();
    assert!(keyings(&before) == keyings(bench.plan()));
    assert_eq!(before.flows, bench.plan().flows);
}

#[test]
fn what_cannot_be_relayed_is_rejected_with_its_reason() {
    for (section, why) in [
        ("m=message 7654 TCP/MSRP *", "there is no TCP on the media path"),
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "DTLS is ended here for RTP alone"),
        ("m=image 7654 UDP/TLS/UDPTL t38", "DTLS is ended here for RTP alone"),
        ("m=audio 7654 RTP/XAVP 0", "it is unknown"),
    ] {
        let mut bench = Bench::new();
        let offer = bench.offer(&format!("{AUDIO}{section}\n"), Options::default());
        let text = masked(&offer);
        let proto: Vec<&str> = section.split(' ').collect();
        assert!(text.contains(&format!("{} 0 {}", proto[0], proto[2])), "{text}");
        assert!(offer.warnings.iter().any(|warning| warning.contains(why)), "{:?}", offer.warnings);
        let answer = format!("{AUDIO_ANSWER}{}\n", section.replacen(proto[1], "0", 1)).replace("RTP/SAVP", "RTP/AVP");
        assert!(masked(&bench.answer(&answer, Options::default())).contains(&format!("{} 0 {}", proto[0], proto[2])));
        assert_eq!(bench.plan().flows.len(), 2, "the audio goes on");
    }
}

#[test]
fn other_protocols_over_udp_pass_beside_audio() {
    let mut bench = Bench::new();
    let offer =
        masked(&bench.offer(
            &format!("{AUDIO}m=application 7000 UDP/BFCP *\na=floorctrl:c-s\nm=application 7002 udp wb\n"),
            savp(),
        ));
    assert!(offer.contains("UDP/BFCP *\nc=IN IP4 10.0.0.1\na=floorctrl:c-s\n"), "{offer}");
    assert!(offer.contains(" udp wb\n"), "{offer}");
    let answer = format!("{AUDIO_ANSWER}m=application 7000 UDP/BFCP *\nm=application 0 udp wb\n");
    let answer = masked(&bench.answer(&answer, Options::default()));
    assert!(answer.contains("m=application 0 udp wb\n"), "{answer}");
    let components: Vec<Component> = bench.plan().transports.iter().map(|transport| transport.component).collect();
    assert_eq!(components.iter().filter(|&&component| component == Component::Datagrams).count(), 2);
}

#[test]
fn nothing_but_its_own_protocol_answers_a_fax() {
    let mut bench = Bench::new();
    bench.offer(FAX, Options::default());
    let answer = AUDIO_ANSWER.replace("m=audio", "m=image");
    let reply = bench.ask(sallyport_session::Request::Answer(Box::new(crate::support::negotiation(
        "a",
        Some("b"),
        &answer,
        Options::default(),
    ))));
    assert!(reply.is_err_and(|refusal| refusal.to_string().contains("RTP/SAVP answers udptl")));
}
