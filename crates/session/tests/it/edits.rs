//! Edits of the text, as before-text and after-text.

use sallyport_session::{AttributeChange, AttributeEdit, AttributeLevel, CodecOptions, Options, RewrittenSdp};

use crate::support::{Bench, expected, masked};

const OFFER: &str = "
    v=0
    o=- 5 2 IN IP4 192.0.2.1
    s=-
    c=IN IP4 192.0.2.1
    t=0 0
    a=extmap-allow-mixed
    a=x-tool:1 2
    m=audio 4000 RTP/AVP 111 0 9 101
    a=rtpmap:111 opus/48000/2
    a=fmtp:111 useinbandfec=1
    a=rtpmap:0 PCMU/8000
    a=rtpmap:9 G722/8000
    a=rtpmap:101 telephone-event/8000
    a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
    a=extmap:2 urn:ietf:params:rtp-hdrext:toffset
    a=ssrc:7 cname:a
    a=ssrc:7 msid:b c
    a=ssrc:77 cname:a
    m=video 4002 RTP/AVP 96 97 98
    a=rtpmap:96 VP8/90000
    a=rtpmap:97 rtx/90000
    a=fmtp:97 apt=96
    a=rtpmap:98 H264/90000
";
const ANSWER: &str = "
    v=0
    o=b 9 9 IN IP4 192.0.2.2
    s=-
    c=IN IP4 192.0.2.2
    t=0 0
    m=audio 6000 RTP/AVP 101 0 111
    a=rtpmap:101 telephone-event/8000
    a=rtpmap:0 PCMU/8000
    a=rtpmap:111 opus/48000/2
    m=video 6002 RTP/AVP 98
    a=rtpmap:98 H264/90000
";

fn written(set: impl Fn(&mut Options)) -> String {
    let mut options = Options::default();
    set(&mut options);
    masked(&Bench::new().offer(OFFER, options))
}

fn answered(set: impl Fn(&mut Options)) -> String {
    let mut bench = Bench::new();
    bench.offer(OFFER, Options::default());
    let mut options = Options::default();
    set(&mut options);
    masked(&bench.answer(ANSWER, options))
}

fn formats(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| line.starts_with("m="))
        .map(|line| line.splitn(4, ' ').nth(3).expect("formats"))
        .collect()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

/// One golden text for all edits at a time.
#[test]
fn an_offer_is_edited_and_nothing_else_of_it_changes() {
    let text = written(|options| {
        options.codec = CodecOptions {
            strip: names(&["VP8"]),
            mask: names(&["opus/48000"]),
            offer: names(&["G722"]),
            ..CodecOptions::default()
        };
        options.flags.strip_extmap = true;
        options.attributes = vec![
            AttributeEdit { level: AttributeLevel::Session, change: AttributeChange::Add("x-added".into()) },
            AttributeEdit {
                level: AttributeLevel::Session,
                change: AttributeChange::Substitute("x-tool:1 2".into(), "x-tool:3".into()),
            },
            AttributeEdit {
                level: AttributeLevel::Media("audio".into()),
                change: AttributeChange::Remove("ssrc:7".into()),
            },
        ];
    });
    assert_eq!(
        text,
        expected(
            "
            v=0
            o=- 5 2 IN IP4 192.0.2.1
            s=-
            t=0 0
            a=x-tool:3
            a=x-added
            m=audio P1 RTP/AVP 9 0 101
            c=IN IP4 10.0.0.1
            a=rtpmap:0 PCMU/8000
            a=rtpmap:9 G722/8000
            a=rtpmap:101 telephone-event/8000
            a=ssrc:77 cname:a
            a=sendrecv
            a=rtcp:P1+1 IN IP4 10.0.0.1
            m=video P2 RTP/AVP 98
            c=IN IP4 10.0.0.1
            a=rtpmap:98 H264/90000
            a=sendrecv
            a=rtcp:P2+1 IN IP4 10.0.0.1
            "
        )
    );
}

#[test]
fn codecs_are_stripped_masked_spared_and_put_first() {
    let codec = |set: fn(&mut CodecOptions)| written(|options| set(&mut options.codec));
    assert_eq!(formats(&codec(|_| ())), ["111 0 9 101", "96 97 98"]);
    assert_eq!(formats(&codec(|codec| codec.strip = names(&["pcmu", "G722/16000"]))), ["111 9 101", "96 97 98"]);
    assert_eq!(formats(&codec(|codec| codec.mask = names(&["opus/48000/2"]))), ["0 9 101", "96 97 98"]);
    assert_eq!(formats(&codec(|codec| codec.strip = names(&["opus/48000/1"]))), ["111 0 9 101", "96 97 98"]);
    let all_but = codec(|codec| {
        codec.mask = names(&["all"]);
        codec.except = names(&["PCMU", "H264"]);
    });
    assert_eq!(formats(&all_but), ["0", "98"]);
    let first = codec(|codec| codec.offer = names(&["telephone-event", "PCMU"]));
    assert_eq!(formats(&first), ["101 0 111 9", "96 97 98"]);
    let nothing_left = codec(|codec| codec.strip = names(&["all"]));
    assert_eq!(formats(&nothing_left), ["111 0 9 101", "96 97 98"]);
}

#[test]
fn an_answer_is_not_masked_and_may_be_reordered_or_cut_to_one_codec() {
    assert_eq!(formats(&answered(|_| ())), ["101 0 111", "98"]);
    assert_eq!(formats(&answered(|options| options.codec.mask = names(&["opus"]))), ["101 0 111", "98"]);
    assert_eq!(formats(&answered(|options| options.codec.strip = names(&["opus"]))), ["101 0", "98"]);
    assert_eq!(formats(&answered(|options| options.flags.reorder_codecs = true)), ["111 0 101", "98"]);
    let single = answered(|options| options.flags.single_codec = true);
    assert_eq!(formats(&single), ["101 0", "98"]);
    assert!(!single.contains("opus"), "{single}");
    assert_eq!(formats(&written(|options| options.flags.single_codec = true)), ["111 0 9 101", "96 97 98"]);
}

#[test]
fn header_extensions_go_by_name_or_all() {
    let one = written(|options| options.extmap_strip = names(&["urn:ietf:params:rtp-hdrext:toffset"]));
    assert!(one.contains("ssrc-audio-level") && !one.contains("toffset") && one.contains("allow-mixed"), "{one}");
    assert!(!written(|options| options.flags.strip_extmap = true).contains("extmap"));
}

/// The `m=` lines of a description.
fn media(description: &RewrittenSdp) -> Vec<String> {
    masked(description).lines().filter_map(|line| line.strip_prefix("m=")).map(str::to_owned).collect()
}

fn without_video(text: &str) -> String {
    text.split("m=video").next().unwrap_or_default().to_owned()
}

const HIDDEN: [&str; 1] = ["audio P1 RTP/AVP 111 0 9 101"];
const ANSWERED: [&str; 2] = ["audio P1 RTP/AVP 101 0 111", "video 0 RTP/AVP 96 97 98"];

#[test]
fn a_media_type_can_be_withheld_from_one_party_for_the_whole_call() {
    let withhold = || Options { media_remove: names(&["VIDEO"]), ..Options::default() };
    let mut bench = Bench::new();
    assert_eq!(media(&bench.offer(OFFER, withhold())), HIDDEN);
    assert_eq!(media(&bench.answer(&without_video(ANSWER), Options::default())), ANSWERED);
    assert_eq!(bench.plan().flows.len(), 2, "audio, both ways");
    // The party that knows of none offers, and the other one answers what it knows.
    assert_eq!(media(&bench.reoffer("b", "a", &without_video(ANSWER), Options::default())), ANSWERED);
    let answer = bench.reanswer("a", "b", &OFFER.replace("m=video 4002", "m=video 0"), Options::default());
    assert_eq!(media(&answer), HIDDEN);
    // What it adds comes behind.
    let more = format!("{}    m=image 6004 udptl t38\n", without_video(ANSWER));
    let told = media(&bench.reoffer("b", "a", &more, Options::default()));
    assert_eq!((&told[..2], &told[2][..6]), (&ANSWERED.map(str::to_owned)[..], "image "), "{told:?}");
    let all = format!("{}    m=image 4004 udptl t38\n", OFFER.replace("m=video 4002", "m=video 0"));
    let told = media(&bench.reanswer("a", "b", &all, Options::default()));
    assert_eq!((told.len(), &told[1][..6]), (2, "image "), "{told:?}");
    assert_eq!(bench.plan().flows.len(), 4, "fax, both ways");
}

#[test]
fn a_media_type_that_is_no_longer_withheld_comes_last_and_one_that_was_seen_stays() {
    let withhold = || Options { media_remove: names(&["audio"]), ..Options::default() };
    let mut bench = Bench::new();
    assert_eq!(media(&bench.offer(OFFER, withhold())), ["video P1 RTP/AVP 96 97 98"]);
    let (head, audio) = ANSWER.split_at(ANSWER.find("m=audio").unwrap());
    let (audio, video) = audio.split_at(audio.find("m=video").unwrap());
    let answer = media(&bench.answer(&format!("{head}{video}"), Options::default()));
    assert_eq!(answer, ["audio 0 RTP/AVP 111 0 9 101", "video P1 RTP/AVP 98"]);
    // RFC 3264 §8: lines keep their places, and new ones are added at the end.
    let offer = media(&bench.reoffer("a", "b", OFFER, Options::default()));
    assert_eq!(offer, ["video P1 RTP/AVP 96 97 98", "audio P2 RTP/AVP 111 0 9 101"]);
    let answer = media(&bench.reanswer("b", "a", &format!("{head}{video}{audio}"), Options::default()));
    assert_eq!(answer, ["audio P1 RTP/AVP 101 0 111", "video P2 RTP/AVP 98"]);
    assert_eq!(bench.plan().flows.len(), 4);
    let offer = media(&bench.reoffer("a", "b", OFFER, withhold()));
    assert_eq!(offer, ["video P1 RTP/AVP 96 97 98", "audio 0 RTP/AVP 111 0 9 101"]);
}

#[test]
fn an_added_attribute_is_never_a_line_too_many() {
    let text = written(|options| {
        let level = AttributeLevel::Media("audio".into());
        let add = |text: &str| AttributeEdit { level: level.clone(), change: AttributeChange::Add(text.into()) };
        options.attributes = vec![add("ssrc:77 cname:a"), add("x-evil\r\nm=audio 1 RTP/AVP 0")];
    });
    assert_eq!(text.matches("a=ssrc:77 cname:a").count(), 1, "{text}");
    assert!(text.contains("a=x-evil  m=audio 1 RTP/AVP 0\n") && text.matches("\nm=").count() == 2, "{text}");
}
