//! One offer that several phones answer, and a recorder that hears both parties of a call.

use std::time::{Duration, Instant};

use sallyport_tests::call::{keys, towards_phone};
use sallyport_tests::ng::NgClient;
use sallyport_tests::phone::{Phone, PhoneCall};
use sallyport_tests::server::Server;
use sallyport_tests::tally::Tally;
use sallyport_tests::tone::share_of;
use serde_json::{Value, json};

const MEDIA: &[&str] = &["--media", "127.0.0.1"];
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
/// Bytes of a packet's payload.
const PAYLOAD: usize = 160;
/// Packets that are enough to tell a tone by.
const ENOUGH: usize = 40;

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn answer(ng: &mut NgClient, tag: &str, sdp: &str) -> String {
    ng.describe("answer", keys(towards_phone(), "call", ("alice", Some(tag)), sdp)).unwrap()
}

/// Waits until so many more packets are heard, and returns their payload.
fn next_heard(tally: &Tally, packets: usize) -> Vec<u8> {
    let before = tally.heard().len();
    wait_until("audio", || tally.heard().len() >= before + packets * PAYLOAD);
    tally.heard().split_off(before)
}

#[test]
fn two_phones_answer_one_offer_and_one_of_them_is_in_the_call() {
    const ALICE: f64 = 440.0;
    const BOB: f64 = 880.0;
    const CAROL: f64 = 1320.0;
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    let [alice, bob, carol] = ["AEAD_AES_256_GCM", SUITE, SUITE].map(|suite| Phone::new("127.0.0.1", suite).unwrap());
    let offer = ng.describe("offer", keys(towards_phone(), "call", ("alice", None), &alice.offer().unwrap())).unwrap();
    let (bobs, carols) = (bob.answer(&offer).unwrap(), carol.answer(&offer).unwrap());

    // 183 of the first phone: early media.
    let told = answer(&mut ng, "bob", &bobs);
    // What Alice sends may arrive at either phone, but only once.
    let (alice_says, heard) = (Tally::default(), Tally::hearing_strangers());
    let alice = alice.start(&told, ALICE, alice_says.clone(), heard.clone()).unwrap();
    let bob = bob.start(&offer, BOB, Tally::default(), alice_says.clone()).unwrap();
    let carol = carol.start(&offer, CAROL, Tally::default(), alice_says.clone()).unwrap();
    alice.start_sending();
    bob.start_sending();
    assert!(share_of(&next_heard(&heard, ENOUGH), BOB) > 0.8, "the first answer is heard");

    // 183 of the second one, forked downstream: it has the media, and sends the SSRC and the numbers that Bob has sent.
    assert_eq!(answer(&mut ng, "carol", &carols), told, "Alice sees nothing of it");
    carol.start_sending();
    next_heard(&heard, 5);
    let audio = next_heard(&heard, ENOUGH);
    assert!(share_of(&audio, CAROL) > 0.8, "the latest answer is heard");
    assert!(share_of(&audio, BOB) < 0.05, "and nobody else");
    let other = || server.metric("sallyport_packets_dropped_total", "verdict=\"other_branch\"").unwrap();
    wait_until("Bob's packets are authenticated and counted", || other() > 20.0);

    // 200 of the first one: it is picked.
    assert_eq!(answer(&mut ng, "bob", &bobs), told);
    next_heard(&heard, 5);
    let audio = next_heard(&heard, ENOUGH);
    assert!(share_of(&audio, BOB) > 0.8 && share_of(&audio, CAROL) < 0.05, "the final answer is heard");

    // The end of the dialog that lost is not the call's.
    let lost = json!({"call-id": "call", "from-tag": "alice", "to-tag": "carol", "flags": ["to-tag"]});
    ng.command("delete", lost).unwrap();
    next_heard(&heard, ENOUGH);

    for phone in [&alice, &bob, &carol] {
        phone.stop_sending();
    }
    wait_until("everything of Alice's has arrived", || {
        let (sent, arrived) = alice_says.progress();
        sent == arrived
    });
    let summary = alice_says.summary();
    assert!(summary.is_perfect(), "each packet once, at one phone: {summary:?}");
    for (name, phone) in [("alice", alice), ("bob", bob), ("carol", carol)] {
        assert_eq!(phone.end().unwrap(), 0, "{name} got nothing that was not authentic, and no index twice");
    }
    assert!(server.stop().unwrap().success());
}

/// A description for each section: the session's lines and those of the section.
fn sections(description: &str) -> Vec<String> {
    let mut parts = description.split("m=");
    let session = parts.next().unwrap_or_default().to_owned();
    parts.map(|section| format!("{session}m={section}")).collect()
}

fn medias(answer: &Value) -> Vec<(String, String)> {
    let parties = answer["tag-medias"].as_array().expect("tag-medias");
    let of = |party: &Value| {
        let label = party["medias"][0]["label"].as_str().expect("a label").to_owned();
        (party["tag"].as_str().expect("a tag").to_owned(), label)
    };
    parties.iter().map(of).collect()
}

#[test]
fn a_recorder_hears_both_parties_until_it_leaves() {
    const ALICE: f64 = 440.0;
    const BOB: f64 = 880.0;
    let server = Server::start(MEDIA).unwrap();
    let mut ng = server.ng_client().unwrap();
    let [alice, bob] = ["AEAD_AES_256_GCM", SUITE].map(|suite| Phone::new("127.0.0.1", suite).unwrap());
    let offer = ng.describe("offer", keys(towards_phone(), "call", ("alice", None), &alice.offer().unwrap())).unwrap();
    let told = answer(&mut ng, "bob", &bob.answer(&offer).unwrap());
    let (alice_says, bob_says) = (Tally::default(), Tally::default());
    let alice = alice.start(&told, ALICE, alice_says.clone(), bob_says.clone()).unwrap();
    let bob = bob.start(&offer, BOB, bob_says.clone(), alice_says.clone()).unwrap();
    alice.start_sending();
    bob.start_sending();
    wait_until("they talk", || alice_says.progress().1 > 10 && bob_says.progress().1 > 10);

    let asked = json!({"call-id": "call", "flags": ["all", "SIPREC"], "transport-protocol": "RTP/SAVP"});
    let subscription = ng.command("subscribe request", asked).unwrap();
    assert_eq!(subscription["from-tags"], json!(["alice", "bob"]));
    assert_eq!(medias(&subscription), [("alice".into(), "0".into()), ("bob".into(), "1".into())]);
    assert_eq!(subscription["media-labels"]["1"]["tag"], json!("bob"));
    let description = subscription["sdp"].as_str().unwrap();
    assert_eq!(description.matches("a=sendonly").count(), 2, "{description}");
    let offers = sections(description);
    let ears = ["AEAD_AES_128_GCM", SUITE].map(|suite| Phone::new("127.0.0.1", suite).unwrap());
    let answers: Vec<String> = ears.iter().zip(&offers).map(|(ear, offer)| ear.answer(offer).unwrap()).collect();
    let second = answers[1].find("m=").unwrap();
    let both = format!("{}{}", answers[0], &answers[1][second..]).replace("sendrecv", "recvonly");
    let tallies = [Tally::hearing_strangers(), Tally::hearing_strangers()];
    let ears: Vec<PhoneCall> = (ears.into_iter().zip(&offers).zip(&tallies))
        .map(|((ear, offer), tally)| ear.start(offer, 1.0, Tally::default(), tally.clone()).unwrap())
        .collect();
    let tag = subscription["to-tag"].clone();
    ng.command("subscribe answer", json!({"call-id": "call", "to-tag": tag, "sdp": both})).unwrap();

    let [hears_alice, hears_bob] = &tallies;
    let (of_alice, of_bob) = (next_heard(hears_alice, ENOUGH), next_heard(hears_bob, ENOUGH));
    assert!(share_of(&of_alice, ALICE) > 0.8 && share_of(&of_alice, BOB) < 0.05);
    assert!(share_of(&of_bob, BOB) > 0.8 && share_of(&of_bob, ALICE) < 0.05);

    ng.command("unsubscribe", json!({"call-id": "call", "to-tag": tag})).unwrap();
    // What was on its way has arrived before the next packets of the parties have.
    let (said, _) = alice_says.progress();
    wait_until("the call goes on", || alice_says.progress().1 >= said + 5);
    let recorded = hears_alice.heard().len();
    wait_until("the call goes on", || alice_says.progress().1 >= said + 30);
    assert_eq!(hears_alice.heard().len(), recorded, "nothing after the end of the subscription");
    alice.stop_sending();
    bob.stop_sending();
    wait_until("everything has arrived", || {
        [&alice_says, &bob_says].iter().all(|tally| tally.progress().0 == tally.progress().1)
    });
    assert!(alice_says.summary().is_perfect() && bob_says.summary().is_perfect(), "the parties notice nothing");
    for phone in [alice, bob].into_iter().chain(ears) {
        assert_eq!(phone.end().unwrap(), 0, "nothing arrived that was not authentic");
    }
    assert!(server.stop().unwrap().success());
}
