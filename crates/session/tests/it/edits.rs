//! Edits of the text, as before-text and after-text.

use sallyport_session::{AttributeChange, AttributeEdit, AttributeLevel, CodecOptions, Options};

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

#[test]
fn a_media_type_can_be_withheld() {
    let withhold = || Options { media_remove: names(&["video"]), ..Options::default() };
    let mut bench = Bench::new();
    let offer = masked(&bench.offer(OFFER, withhold()));
    assert!(offer.contains("m=video 0 RTP/AVP 96 97 98\n"), "{offer}");
    let answer = masked(&bench.answer(&ANSWER.replace("m=video 6002", "m=video 0"), Options::default()));
    assert!(answer.contains("m=video 0 RTP/AVP 98\n") && answer.contains("m=audio P"), "{answer}");
    assert_eq!(bench.plan().flows.len(), 2, "audio, both ways");
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
