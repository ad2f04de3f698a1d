//! BUNDLE and rtcp-mux.

use control::{Component, Selector};
use sallyport_session::{Flags, IceOption, MediaProfile, Options, RtcpMuxOptions, TransportProtocol};

use crate::support::{Bench, expected, masked};

const WEB: &str = "
    v=0
    o=- 5 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE a v
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    m=audio 50000 UDP/TLS/RTP/SAVPF 0
    c=IN IP4 192.0.2.20
    a=mid:a
    a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
    a=rtcp-mux
    a=rtpmap:0 PCMU/8000
    a=ssrc:1 cname:x
    m=video 50000 UDP/TLS/RTP/SAVPF 96
    c=IN IP4 192.0.2.20
    a=mid:v
    a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
    a=rtcp-mux
    a=rtpmap:96 VP8/90000
    a=rtcp-fb:96 nack pli
    a=ssrc:2 cname:x
    a=ssrc:2 msid:x y
    a=ssrc:3 cname:x
";
const PHONE: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 RTP/AVP 0
    m=video 6002 RTP/AVP 96
    a=rtpmap:96 VP8/90000
";

fn to_phone() -> Options {
    Options {
        transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpAvp)),
        ice: Some(IceOption::Remove),
        rtcp_mux: RtcpMuxOptions { demux: true, ..RtcpMuxOptions::default() },
        ..Options::default()
    }
}

#[test]
fn a_bundle_shares_one_transport_and_is_told_apart_by_mid_ssrc_and_payload_type() {
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(WEB, to_phone()));
    assert!(!offer.contains("BUNDLE") && !offer.contains("a=mid") && !offer.contains("rtcp-fb"), "{offer}");
    assert!(offer.contains("m=video P2 RTP/AVP 96\n"), "{offer}");
    assert_eq!(bench.ports_open(), 5, "one towards the browser, four towards the phone");
    let answer = masked(&bench.answer(PHONE, Options::default()));
    assert_eq!(
        answer,
        expected(
            "
            v=0
            o=b 9 9 IN IP4 192.0.2.2
            s=-
            t=0 0
            a=group:BUNDLE a v
            a=ice-lite
            m=audio P1 UDP/TLS/RTP/SAVPF 0
            c=IN IP4 10.0.0.1
            a=mid:a
            a=rtpmap:0 PCMU/8000
            a=sendrecv
            a=rtcp:P1 IN IP4 10.0.0.1
            a=rtcp-mux
            a=setup:active
            a=fingerprint:OURS
            a=tls-id:TLSID1
            a=ice-ufrag:UFRAG1
            a=ice-pwd:PWD1
            a=candidate:1 1 UDP 2130706431 10.0.0.1 P1 typ host
            a=end-of-candidates
            m=video P1 UDP/TLS/RTP/SAVPF 96
            c=IN IP4 10.0.0.1
            a=mid:v
            a=rtpmap:96 VP8/90000
            a=sendrecv
            a=rtcp:P1 IN IP4 10.0.0.1
            a=rtcp-mux
            a=setup:active
            a=fingerprint:OURS
            a=tls-id:TLSID1
            a=ice-ufrag:UFRAG1
            a=ice-pwd:PWD1
            a=candidate:1 1 UDP 2130706431 10.0.0.1 P1 typ host
            a=end-of-candidates
            "
        )
    );
    let plan = bench.plan();
    assert_eq!((plan.transports.len(), plan.flows.len()), (5, 4));
    let bundled = plan.transports.iter().find(|transport| transport.component == Component::Muxed).expect("bundle");
    let selectors: Vec<_> =
        plan.flows.iter().filter(|flow| flow.ingress_rtp == bundled.id).map(|flow| flow.selector.clone()).collect();
    let selector = |mid: &str, ssrcs: &[u32], payload_type: u8| Selector {
        mid: Some(mid.to_owned()),
        mid_extension: Some(3),
        ssrcs: ssrcs.to_vec(),
        payload_types: vec![payload_type],
    };
    assert_eq!(selectors, [selector("a", &[1], 0), selector("v", &[2, 3], 96)]);
    assert!(plan.flows.iter().filter(|flow| flow.egress_rtp == bundled.id).all(|f| f.selector == Selector::default()));
}

#[test]
fn a_bundle_lives_on_when_its_first_section_is_rejected() {
    let mut bench = Bench::new();
    bench.offer(WEB, to_phone());
    let answer = masked(&bench.answer(&PHONE.replace("m=audio 6000", "m=audio 0"), Options::default()));
    assert!(answer.contains("a=group:BUNDLE v\n"), "{answer}");
    assert!(answer.contains("m=audio 0 UDP/TLS/RTP/SAVPF 0\n"), "{answer}");
    assert!(answer.contains("m=video P1 UDP/TLS/RTP/SAVPF 96\n"), "{answer}");
    assert_eq!(bench.ports_open(), 3);
    assert_eq!(bench.plan().flows.len(), 2);
}

#[test]
fn a_browser_to_browser_bundle_gets_ports_of_its_own_and_shares_them_once_accepted() {
    let mut bench = Bench::new();
    let options = Options { ice: Some(IceOption::Force), ..Options::default() };
    let offer = masked(&bench.offer(WEB, options.clone()));
    assert!(offer.contains("a=group:BUNDLE a v\n"), "{offer}");
    assert!(offer.contains("m=audio P1 UDP") && offer.contains("m=video P2 UDP"), "{offer}");
    assert!(offer.contains("a=candidate:1 2 UDP 2130706430 10.0.0.1 P1+1 typ host\n"), "{offer}");
    assert!(offer.contains("a=rtcp-fb:96 nack pli\n"), "{offer}");
    let web_answer = WEB.replace("actpass", "active").replace("192.0.2.20", "192.0.2.30");
    let answer = masked(&bench.answer(&web_answer, options.clone()));
    assert!(answer.contains("a=group:BUNDLE a v\n"), "{answer}");
    assert_eq!(bench.ports_open(), 2, "one for each browser");
    assert_eq!(bench.plan().flows.len(), 4);
    assert!(bench.plan().flows.iter().all(|flow| flow.selector.mid.is_some()));
    let opens = bench.opens.len();
    let again = masked(&bench.reoffer("a", "b", WEB, options.clone()));
    assert!(again.contains("m=audio P1 UDP") && again.contains("m=video P1 UDP"), "one address: {again}");
    bench.reanswer("a", "b", &web_answer, options);
    assert_eq!((bench.ports_open(), bench.opens.len()), (2, opens));
}

#[test]
fn mux_goes_on_to_one_that_has_it_and_stays_with_two_ports_for_one_that_has_not() {
    let offered = PHONE.replace("m=video 6002 RTP/AVP 96\n", "").replace("a=rtpmap:96 VP8/90000", "a=rtcp-mux");
    let answer = offered.replace("192.0.2.2", "192.0.2.3");
    for (accepts, ports) in [(true, 2), (false, 3)] {
        let mut bench = Bench::new();
        let offer = masked(&bench.offer(&offered, Options::default()));
        assert!(offer.contains("a=rtcp:P1+1 IN IP4 10.0.0.1\na=rtcp-mux\n"), "{offer}");
        assert_eq!(bench.ports_open(), 3);
        let text = if accepts { answer.clone() } else { answer.replace("a=rtcp-mux", "") };
        let answer = masked(&bench.answer(&text, Options::default()));
        assert!(answer.contains("a=rtcp:P1 IN IP4 10.0.0.1\na=rtcp-mux\n"), "{answer}");
        assert_eq!(bench.ports_open(), ports);
    }
}

#[test]
fn mux_options_offer_require_demux_and_reject() {
    let plain = PHONE.replace("m=video 6002 RTP/AVP 96\n", "").replace("a=rtpmap:96 VP8/90000", "");
    let muxed = plain.clone() + "\na=rtcp-mux";
    let with = |set: fn(&mut RtcpMuxOptions)| {
        let mut options = Options::default();
        set(&mut options.rtcp_mux);
        options
    };
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(&plain, with(|mux| mux.offer = true)));
    assert!(offer.contains("a=rtcp:P1+1 IN IP4 10.0.0.1\na=rtcp-mux\n"), "{offer}");
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(&plain, with(|mux| mux.require = true)));
    assert!(offer.contains("a=rtcp:P1 IN IP4 10.0.0.1\na=rtcp-mux\n"), "{offer}");
    assert_eq!(bench.ports_open(), 3);
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(&muxed, with(|mux| mux.demux = true)));
    assert!(!offer.contains("a=rtcp-mux"), "{offer}");
    let answer = masked(&bench.answer(&plain, Options::default()));
    assert!(answer.contains("a=rtcp-mux"), "{answer}");
    let mut bench = Bench::new();
    bench.offer(&muxed, with(|mux| mux.reject = true));
    let answer = masked(&bench.answer(&muxed, Options::default()));
    assert!(!answer.contains("a=rtcp-mux"), "{answer}");
    assert_eq!(bench.ports_open(), 3);
}

/// What Chromium asks for under its policy `max-bundle`: an offer without a group is refused there, even of one section.
#[test]
fn towards_a_browser_even_one_section_is_a_bundle() {
    let web = Options { flags: Flags { web_rtc: true, ..Flags::default() }, ..Options::default() };
    let mut bench = Bench::new();
    let one = PHONE.replace("m=video 6002 RTP/AVP 96\n", "").replace("a=rtpmap:96 VP8/90000\n", "");
    let text = masked(&bench.offer(&one, web.clone()));
    assert!(text.contains("a=group:BUNDLE 0\n") && text.contains("a=mid:0\n"), "{text}");
    let mut bench = Bench::new();
    let text = masked(&bench.offer(PHONE, web));
    assert!(text.contains("a=group:BUNDLE 0 1\n") && text.contains("a=mid:1\n"), "{text}");
    let browser = WEB.replace("BUNDLE a v", "BUNDLE 0 1").replace("a=mid:a", "a=mid:0").replace("a=mid:v", "a=mid:1");
    let browser = browser.replace("actpass", "active");
    let answer = masked(&bench.answer(&browser, Options::default()));
    assert!(!answer.contains("BUNDLE"), "the phone did not ask for one: {answer}");
    let plan = bench.plan();
    let [audio, video] = [0, 1].map(|section| {
        let of_section = |flow: &&control::FlowPlan| flow.selector.mid.as_deref() == Some(["0", "1"][section]);
        plan.flows.iter().find(of_section).expect("a flow from the browser").ingress_rtp
    });
    assert_eq!(audio, video, "one transport for both");
}

#[test]
fn plain_and_unbundled_offers_get_no_group() {
    let mut bench = Bench::new();
    let options = Options { flags: Flags { generate_mid: true, ..Flags::default() }, ..Options::default() };
    let text = masked(&bench.offer(PHONE, options));
    assert!(!text.contains("BUNDLE") && text.contains("a=mid:0\n"), "{text}");
}
