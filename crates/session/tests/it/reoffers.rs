//! Re-offers: nothing changes that need not.

use control::{DtlsRole, Keying, TransportPlan};
use sallyport_session::{
    IceOption, LedgerNote, MediaProfile, Note, Options, Refusal, Reply, Request, TransportProtocol, Withdraw,
};

use crate::RESTARTS;
use crate::support::{Bench, Mask, equal};

const PHONE_A: &str = "
    v=0
    o=a 1 1 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    m=audio 4000 RTP/SAVP 0
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
    a=sendrecv
";
const PHONE_B: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 RTP/SAVP 0
    a=crypto:2 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw==
    a=sendrecv
";
const WEB: &str = "
    v=0
    o=- 5 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    m=audio 50000 UDP/TLS/RTP/SAVPF 0
    c=IN IP4 192.0.2.20
    a=ice-ufrag:abcd
    a=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa
    a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
    a=setup:actpass
    a=tls-id:11111111111111111111
    a=mid:0
    a=rtcp-mux
";

fn savp() -> Options {
    Options { transport_protocol: Some(TransportProtocol::Profile(MediaProfile::RtpSavp)), ..Options::default() }
}

fn version(sdp: &[u8]) -> u64 {
    let text = std::str::from_utf8(sdp).expect("UTF-8");
    let origin = text.lines().find(|line| line.starts_with("o=")).expect("o=");
    origin.split(' ').nth(2).expect("version").parse().expect("number")
}

#[test]
fn the_same_exchange_again_changes_no_byte_and_tells_the_worker_nothing() {
    let mut bench = Bench::new();
    let offer = bench.offer(PHONE_A, savp());
    let again = bench.offer(PHONE_A, savp());
    assert_eq!(offer.sdp, again.sdp, "a retransmitted offer");
    let answer = bench.answer(PHONE_B, Options::default());
    let again = bench.answer(PHONE_B, Options::default());
    assert_eq!(answer.sdp, again.sdp, "183, then 200");
    let (applies, plan) = (bench.applies, bench.plan().clone());
    let offer_again = bench.reoffer("a", "b", PHONE_A, savp());
    let answer_again = bench.reanswer("a", "b", PHONE_B, Options::default());
    assert_eq!(offer.sdp, offer_again.sdp);
    assert_eq!(answer.sdp, answer_again.sdp);
    assert!(equal(bench.plan(), &plan));
    assert!(bench.applies == applies || RESTARTS, "only a memo is worth telling");
    assert_eq!(bench.opens.len(), 1);
}

#[test]
fn the_version_grows_by_one_with_each_change_and_the_peers_version_does_not_matter() {
    let mut bench = Bench::new();
    assert_eq!(version(&bench.offer(PHONE_A, savp()).sdp), 1);
    assert_eq!(version(&bench.answer(PHONE_B, Options::default()).sdp), 9);
    let newer = PHONE_A.replace("o=a 1 1", "o=a 1 77");
    assert_eq!(version(&bench.reoffer("a", "b", &newer, savp()).sdp), 1, "only the peer's version has changed");
    assert_eq!(version(&bench.reanswer("a", "b", PHONE_B, Options::default()).sdp), 9);
    let held = PHONE_A.replace("sendrecv", "sendonly");
    assert_eq!(version(&bench.reoffer("a", "b", &held, savp()).sdp), 2);
    let mut forced = savp();
    forced.replace.force_increment = true;
    assert_eq!(version(&bench.reoffer("a", "b", &held, forced).sdp), 3);
}

#[test]
fn a_new_key_of_one_peer_changes_its_own_transport_and_nothing_else() {
    let mut bench = Bench::new();
    let offer = bench.offer(PHONE_A, savp());
    let answer = bench.answer(PHONE_B, Options::default());
    let before = bench.plan().clone();
    let rekeyed = PHONE_A.replace("WVNf", "AAAA");
    assert_eq!(bench.reoffer("a", "b", &rekeyed, savp()).sdp, offer.sdp, "the other side sees nothing of it");
    assert!(equal(bench.plan(), &before), "nothing holds before the answer");
    assert_eq!(bench.reanswer("a", "b", PHONE_B, Options::default()).sdp, answer.sdp, "our own key stays");
    let after = bench.plan();
    let changed: Vec<_> = before.transports.iter().zip(&after.transports).filter(|(old, new)| old != new).collect();
    assert_eq!(changed.len(), 2, "RTP and RTCP of one leg");
    for (old, new) in changed {
        let (Keying::Sdes(old), Keying::Sdes(new)) = (&old.keying, &new.keying) else { panic!("SDES") };
        assert!(old.outbound == new.outbound);
        assert!(old.inbound != new.inbound);
    }
}

#[test]
fn the_answerer_may_offer_in_turn_and_every_key_stays() {
    let mut bench = Bench::new();
    bench.offer(PHONE_A, savp());
    bench.answer(PHONE_B, Options::default());
    let before = bench.plan().clone();
    let offer = bench.reoffer("b", "a", PHONE_B, Options::default());
    let text = String::from_utf8(offer.sdp).expect("UTF-8");
    assert!(text.contains("m=audio ") && text.contains(" RTP/SAVP 0"), "{text}");
    assert!(text.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"), "the suite in use comes first: {text}");
    bench.reanswer("b", "a", PHONE_A, Options::default());
    let after = bench.plan();
    assert!(before.transports == after.transports);
    assert_eq!(before.flows.len(), after.flows.len());
    assert!(before.flows.iter().all(|flow| after.flows.contains(flow)));
    assert_eq!(bench.opens.len(), 1);
}

#[test]
fn hold_stops_media_one_way_or_both_and_resume_brings_it_back() {
    let mut bench = Bench::new();
    bench.offer(PHONE_A, savp());
    bench.answer(PHONE_B, Options::default());
    let moving = |bench: &Bench| bench.plan().flows.iter().map(|flow| flow.forward_media).collect::<Vec<_>>();
    assert_eq!(moving(&bench), [true, true]);

    bench.reoffer("a", "b", &PHONE_A.replace("sendrecv", "sendonly"), savp());
    bench.reanswer("a", "b", &PHONE_B.replace("sendrecv", "recvonly"), Options::default());
    assert_eq!(moving(&bench), [true, false], "a plays music, b does not send");

    let zero = PHONE_A.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0").replace("sendrecv", "inactive");
    let offer = bench.reoffer("a", "b", &zero, savp());
    assert!(String::from_utf8(offer.sdp).expect("UTF-8").contains("c=IN IP4 0.0.0.0\r\n"));
    bench.reanswer("a", "b", &PHONE_B.replace("sendrecv", "inactive"), Options::default());
    assert_eq!(moving(&bench), [false, false]);
    assert!(bench.plan().media_timeout.is_none());
    assert_eq!(bench.plan().transports.iter().filter(|transport| transport.remote.is_none()).count(), 2);

    let mut options = savp();
    options.replace.zero_address = true;
    let offer = bench.reoffer("a", "b", &zero, options);
    assert!(String::from_utf8(offer.sdp).expect("UTF-8").contains("c=IN IP4 10.0.0.1\r\n"));

    bench.reoffer("a", "b", PHONE_A, savp());
    bench.reanswer("a", "b", PHONE_B, Options::default());
    assert_eq!(moving(&bench), [true, true]);
    assert!(bench.plan().media_timeout.is_some());
}

#[test]
fn a_rejected_section_gives_its_ports_back_and_comes_again() {
    let two = format!(
        "{PHONE_A}\n m=video 4002 RTP/SAVP 99\n a=rtpmap:99 H264/90000\n a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
    );
    let rejects = format!("{PHONE_B}\n m=video 0 RTP/SAVP 99");
    let accepts = format!(
        "{PHONE_B}\n m=video 6002 RTP/SAVP 99\n a=crypto:2 AEAD_AES_128_GCM inline:TzHq3Tz+JyjTjTTkCe0xf9bB2N0D6oTlxTSTdw=="
    );
    let mut bench = Bench::new();
    bench.offer(&two, savp());
    assert_eq!(bench.ports_open(), 8);
    let answer = bench.answer(&rejects, Options::default());
    assert!(String::from_utf8(answer.sdp).expect("UTF-8").contains("m=video 0 RTP/SAVP 99\r\n"));
    assert_eq!(bench.ports_open(), 4);
    assert_eq!(bench.plan().flows.len(), 2);
    bench.reoffer("a", "b", &two, savp());
    bench.reanswer("a", "b", &accepts, Options::default());
    assert_eq!(bench.ports_open(), 8);
    assert_eq!(bench.plan().flows.len(), 4);
    let offer = bench.reoffer("a", "b", &two.replace("m=video 4002", "m=video 0"), savp());
    assert!(String::from_utf8(offer.sdp).expect("UTF-8").contains("m=video 0 RTP/SAVP 99\r\n"));
    assert_eq!(bench.plan().flows.len(), 4, "until it is answered");
    bench.reanswer("a", "b", &rejects, Options::default());
    assert_eq!(bench.ports_open(), 4);
}

/// Role and generation of the association on the leg with DTLS.
fn association(bench: &Bench) -> (Option<DtlsRole>, u32) {
    let dtls = bench.plan().transports.iter().find_map(|transport| match &transport.keying {
        Keying::Dtls(dtls) => Some((dtls.role, dtls.generation)),
        _ => None,
    });
    dtls.expect("a DTLS leg")
}

#[test]
fn a_new_association_needs_a_new_tls_id_fingerprint_or_role_and_not_an_ice_restart() {
    let mut bench = Bench::new();
    let to_phone = || Options { ice: Some(IceOption::Remove), ..savp() };
    let web = |bench: &mut Bench, text: &str, first: bool| {
        if first {
            bench.offer(text, to_phone());
        } else {
            bench.reoffer("a", "b", text, to_phone());
        }
        String::from_utf8(bench.reanswer("a", "b", PHONE_B, Options::default()).sdp).expect("UTF-8")
    };
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).expect(name).to_owned();
    let first = web(&mut bench, WEB, true);
    assert!(first.contains("a=setup:active\r\n"), "{first}");
    assert_eq!(association(&bench), (Some(DtlsRole::Client), 1));

    let restarted = WEB.replace("ice-ufrag:abcd", "ice-ufrag:efgh").replace("pwd:aaaa", "pwd:bbbb");
    let second = web(&mut bench, &restarted, false);
    assert_eq!(association(&bench), (Some(DtlsRole::Client), 1), "an ICE restart alone");
    assert_ne!(line(&first, "a=ice-ufrag"), line(&second, "a=ice-ufrag"), "ours change with the peer's");
    assert_ne!(line(&first, "a=ice-pwd"), line(&second, "a=ice-pwd"));
    assert_eq!(line(&first, "a=tls-id"), line(&second, "a=tls-id"));

    let moved = restarted.replace("192.0.2.20", "192.0.2.99");
    web(&mut bench, &moved, false);
    assert_eq!(association(&bench), (Some(DtlsRole::Client), 1), "another address with ICE");

    let renewed = moved.replace("tls-id:1111", "tls-id:2222");
    let third = web(&mut bench, &renewed, false);
    assert_eq!(association(&bench).1, 2, "another tls-id");
    assert_ne!(line(&second, "a=tls-id"), line(&third, "a=tls-id"), "ours changes with the peer's");

    let certificate = renewed.replace("sha-256 01:02", "sha-256 99:02");
    web(&mut bench, &certificate, false);
    assert_eq!(association(&bench).1, 3, "another fingerprint");

    let role = certificate.replace("actpass", "active");
    let answer = web(&mut bench, &role, false);
    assert!(answer.contains("a=setup:passive\r\n"), "{answer}");
    assert_eq!(association(&bench), (Some(DtlsRole::Server), 4), "another role");

    web(&mut bench, &certificate, false);
    assert_eq!(association(&bench), (Some(DtlsRole::Server), 4), "actpass lets the role stand");
}

#[test]
fn without_ice_another_address_is_a_new_association() {
    let plain: String = WEB.lines().filter(|line| !line.contains("ice-")).map(|line| format!("{line}\n")).collect();
    let mut bench = Bench::new();
    bench.offer(&plain, savp());
    bench.answer(PHONE_B, Options::default());
    assert_eq!(association(&bench).1, 1);
    bench.reoffer("a", "b", &plain.replace("192.0.2.20", "192.0.2.99"), savp());
    bench.reanswer("a", "b", PHONE_B, Options::default());
    assert_eq!(association(&bench).1, 2);
}

#[test]
fn we_offer_actpass_again_and_keep_the_role_until_the_answer() {
    let mut bench = Bench::new();
    let mut options = Options::default();
    options.flags.web_rtc = true;
    let first = bench.offer(PHONE_A, options.clone());
    bench.answer(&WEB.replace("actpass", "passive"), Options::default());
    assert_eq!(association(&bench), (Some(DtlsRole::Client), 1));
    let again = bench.reoffer("a", "b", PHONE_A, options);
    assert_eq!(first.sdp, again.sdp);
    assert_eq!(association(&bench), (Some(DtlsRole::Client), 1));
    bench.reanswer("a", "b", &WEB.replace("actpass", "passive"), Options::default());
    assert_eq!(association(&bench), (Some(DtlsRole::Client), 1));
}

#[test]
fn a_peer_that_moves_opens_its_latch_once_more() {
    let mut bench = Bench::new();
    bench.offer(PHONE_A, savp());
    bench.answer(PHONE_B, Options::default());
    bench.reoffer("a", "b", &PHONE_A.replace("m=audio 4000", "m=audio 4100").replace("o=a 1 1", "o=a 1 2"), savp());
    bench.reanswer("a", "b", PHONE_B, Options::default());
    let generations: Vec<_> = bench.plan().transports.iter().map(|transport| transport.latch_generation).collect();
    assert_eq!(generations, [1, 1, 0, 0]);
    assert_eq!(bench.plan().transports[0].remote, Some("192.0.2.1:4100".parse().unwrap()));
}

#[test]
fn an_address_of_zero_with_ice_is_no_hold() {
    let trickle = WEB.replace("m=audio 50000", "m=audio 9").replace("192.0.2.20", "0.0.0.0");
    let mut bench = Bench::new();
    let offer = bench.offer(&trickle, Options { ice: Some(IceOption::Remove), ..savp() });
    assert!(String::from_utf8(offer.sdp).expect("UTF-8").contains("c=IN IP4 10.0.0.1\r\n"));
    bench.answer(PHONE_B, Options::default());
    assert!(bench.plan().flows.iter().all(|flow| flow.forward_media));
}

#[test]
fn reset_makes_new_keys() {
    let mut bench = Bench::new();
    let mut mask = Mask::default();
    let first = String::from_utf8(bench.offer(PHONE_A, savp()).sdp).expect("UTF-8");
    bench.answer(PHONE_B, Options::default());
    let mut options = savp();
    options.flags.reset = true;
    let second = String::from_utf8(bench.reoffer("a", "b", PHONE_A, options).sdp).expect("UTF-8");
    assert!(mask.text(&first).contains("KEY1"));
    assert!(!mask.text(&second).contains("inline:KEY1\n"));
    assert_eq!(bench.opens.len(), 1, "the ports stay");
}

#[test]
fn renewed_keys_are_those_of_the_party_that_gets_the_offer() {
    let mut bench = Bench::new();
    bench.offer(PHONE_A, savp());
    bench.answer(PHONE_B, Options::default());
    let outbound = |bench: &Bench, leg| {
        let keys = of_leg(bench, leg).into_iter().map(|plan| match plan.keying {
            Keying::Sdes(keys) => keys.outbound.1,
            _ => panic!("not SDES"),
        });
        keys.collect::<Vec<_>>()
    };
    let before = [outbound(&bench, 0), outbound(&bench, 1)];
    let mut options = savp();
    options.flags.renew_keys = true;
    bench.reoffer("a", "b", PHONE_A, options);
    assert!(outbound(&bench, 1) == before[1], "not before the answer");
    bench.reanswer("a", "b", PHONE_B, Options::default());
    assert!(outbound(&bench, 0) == before[0]);
    assert!(outbound(&bench, 1) != before[1]);
}

#[test]
fn an_offer_that_is_withdrawn_leaves_what_was_agreed_and_bars_nobody() {
    let mut bench = Bench::new();
    let withdraw = || {
        let (call_id, from_tag, to_tag) = ("call".into(), "b".into(), "a".into());
        Request::Withdraw(Withdraw { call_id, from_tag, to_tag })
    };
    bench.offer(PHONE_A, savp());
    bench.answer(PHONE_B, Options::default());
    assert!(matches!(bench.ask(withdraw()), Err(Refusal::NoOffer)));
    let before = bench.plan().clone();
    bench.reoffer("a", "b", &PHONE_A.replace("sendrecv", "sendonly"), savp());
    assert!(matches!(bench.ask(withdraw()), Ok(Reply::Done)));
    assert!(equal(bench.plan(), &before));
    // At once, and from the other side.
    bench.reoffer("b", "a", PHONE_B, savp());
    bench.reanswer("b", "a", PHONE_A, Options::default());
    assert!(equal(bench.plan(), &before));
}

/// What a leg may be: its description, and how its transports are keyed then.
fn kinds() -> [(&'static str, MediaProfile, String, bool); 4] {
    let plain: String =
        PHONE_A.lines().filter(|line| !line.contains("crypto")).map(|line| format!("{line}\n")).collect();
    let no_ice: String = WEB.lines().filter(|line| !line.contains("ice-")).map(|line| format!("{line}\n")).collect();
    [
        ("plain", MediaProfile::RtpAvp, plain.replace("RTP/SAVP", "RTP/AVP"), false),
        ("SDES", MediaProfile::RtpSavp, PHONE_A.to_owned(), false),
        ("DTLS", MediaProfile::UdpTlsRtpSavpf, no_ice, false),
        ("DTLS and ICE", MediaProfile::UdpTlsRtpSavpf, WEB.to_owned(), true),
    ]
}

fn is_kind(plan: &TransportPlan, name: &str, ice: bool) -> bool {
    let keyed = match &plan.keying {
        Keying::Plain => name == "plain",
        Keying::Sdes(keys) => name == "SDES" && keys.inbound.is_some(),
        Keying::Dtls(dtls) => name.starts_with("DTLS") && dtls.role.is_some() && !dtls.fingerprints.is_empty(),
        _ => false,
    };
    keyed && plan.ice.is_some() == ice
}

fn of_leg(bench: &Bench, leg: u16) -> Vec<TransportPlan> {
    bench.plan().transports.iter().filter(|transport| transport.leg.0 == leg).cloned().collect()
}

#[test]
fn an_offerer_may_turn_into_any_other_kind_and_the_other_side_notices_nothing() {
    let towards_b = || Options { ice: Some(IceOption::Remove), ..savp() };
    for (before, _, first, _) in kinds() {
        for (after, profile, second, ice) in kinds() {
            let mut bench = Bench::new();
            let offer = bench.offer(&first, towards_b());
            bench.answer(PHONE_B, Options::default());
            let (port, other) = (of_leg(&bench, 0)[0].id, of_leg(&bench, 1));
            let again = bench.reoffer("a", "b", &second, towards_b());
            let keys = |sdp: &[u8]| {
                let text = String::from_utf8_lossy(sdp).into_owned();
                text.lines().filter(|line| line.contains("inline:")).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(keys(&offer.sdp), keys(&again.sdp), "{before} to {after}: our keys towards the other side");
            let answer = String::from_utf8(bench.reanswer("a", "b", PHONE_B, Options::default()).sdp).expect("UTF-8");
            assert!(answer.contains(&format!(" {profile} 0\r\n")), "{before} to {after}: {answer}");
            let own = of_leg(&bench, 0);
            assert!(own.iter().all(|plan| is_kind(plan, after, ice)), "{before} to {after}");
            assert_eq!(own[0].id, port, "{before} to {after}: the port stays");
            assert_eq!(own.len(), if after.starts_with("DTLS") { 1 } else { 2 }, "{before} to {after}: rtcp-mux");
            assert!(of_leg(&bench, 1) == other, "{before} to {after}: the other leg");
            assert_eq!(bench.plan().flows.len(), 2, "{before} to {after}");
            assert_eq!(bench.ports_open(), own.len() + other.len(), "{before} to {after}");
        }
    }
}

#[test]
fn an_answerer_may_be_asked_to_be_any_other_kind() {
    let towards = |profile: MediaProfile, ice: bool| Options {
        transport_protocol: Some(TransportProtocol::Profile(profile)),
        ice: Some(if ice { IceOption::Force } else { IceOption::Remove }),
        ..Options::default()
    };
    let answers = |text: &str| text.replace("a=setup:actpass", "a=setup:active").replace("a=rtcp-mux", "");
    let matching = |offer: &[u8], text: String| {
        // The answer names the tag of its suite as it was offered.
        let offer = String::from_utf8_lossy(offer).into_owned();
        let line = offer.lines().find(|line| line.contains(" AES_CM_128_HMAC_SHA1_80 "));
        let tag = line.and_then(|line| line.strip_prefix("a=crypto:")?.split(' ').next().map(str::to_owned));
        text.replace("a=crypto:1 ", &format!("a=crypto:{} ", tag.unwrap_or_else(|| "1".into())))
    };
    for (before, first_profile, first, first_ice) in kinds() {
        for (after, profile, second, ice) in kinds() {
            let mut bench = Bench::new();
            let offer = bench.offer(PHONE_A, towards(first_profile, first_ice));
            bench.answer(&matching(&offer.sdp, answers(&first)), Options::default());
            let (port, other) = (of_leg(&bench, 1)[0].id, of_leg(&bench, 0));
            assert!(of_leg(&bench, 1).iter().all(|plan| is_kind(plan, before, first_ice)), "{before} at first");
            let offer = bench.reoffer("a", "b", PHONE_A, towards(profile, ice));
            assert!(of_leg(&bench, 1).iter().all(|plan| is_kind(plan, before, first_ice)), "nothing before the answer");
            bench.reanswer("a", "b", &matching(&offer.sdp, answers(&second)), Options::default());
            let own = of_leg(&bench, 1);
            assert!(own.iter().all(|plan| is_kind(plan, after, ice)), "{before} to {after}");
            assert_eq!(own[0].id, port, "{before} to {after}: the port stays");
            assert!(of_leg(&bench, 0) == other, "{before} to {after}: the offerer's leg");
            assert_eq!(bench.plan().flows.len(), 2, "{before} to {after}");
        }
    }
}

#[test]
fn what_the_front_door_notes_is_in_the_ledger_once_and_bounded() {
    let mut bench = Bench::new();
    let note =
        |tag: &str, words: &str| Request::Note(Note { call_id: "call".into(), tag: tag.into(), words: words.into() });
    assert!(matches!(bench.ask(note("a", "signed")), Err(Refusal::UnknownCallId)));
    bench.offer(PHONE_A, savp());
    for words in ["signed", "signed", &"ä".repeat(Note::MAX_WORDS)] {
        assert!(matches!(bench.ask(note("a", words)), Ok(Reply::Done)));
    }
    assert!(matches!(bench.ask(note("nobody", "x")), Ok(Reply::Done)));
    let view = bench.session.call("call").expect("the call");
    let signalling = view.ledger.iter().filter(|entry| matches!(entry.note, LedgerNote::Signalling(_)));
    let told: Vec<_> = signalling.map(|entry| (entry.tag.as_str(), entry.note.to_string())).collect();
    assert_eq!(told, [("a", "signed".into()), ("a", "ä".repeat(Note::MAX_WORDS / 2)), ("", "x".into())]);
}
