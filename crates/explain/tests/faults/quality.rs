//! Quality and the record at the end.

use session::Options;

use crate::bench::{Bench, Phone, talk};

const OFFER: &str = "v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\nm=audio 4000 RTP/AVP 0";

#[test]
fn a_record_holds_times_parties_keying_quality_and_the_reason() {
    let mut bench = Bench::new();
    let (to_b, to_a, _) = bench.call(OFFER, &OFFER.replace("100.1", "100.2"), &Options::default());
    let (mut a, mut b) = (Phone::new("198.51.100.1:4000", &to_a, 1), Phone::new("198.51.100.2:4000", &to_b, 2));
    talk(&mut bench, &mut a, &mut b, 8);
    a.next += 5;
    talk(&mut bench, &mut a, &mut b, 8);
    let record = bench.end();
    assert_eq!((record.began, record.ended, record.seconds), (1_700_000_000.0, 1_700_000_100.0, 100.0));
    let line = serde_json::to_string(&record).expect("JSON");
    assert!(!line.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(value["call_id"], "call");
    assert_eq!(value["reason"], "deleted");
    assert_eq!(value["legs"][0]["tag"], "a");
    assert_eq!(value["legs"][0]["security"]["keying"], "plain");
    let stream = &value["legs"][0]["sections"][0]["transports"][0]["streams"][0];
    // 160 sent after 5 were left out; the first one was the probation of a plain source.
    assert_eq!((stream["packets"].as_u64(), stream["lost"].as_u64()), (Some(159), Some(5)), "{line}");
    assert_eq!(stream["longest_run"], 5);
    assert!(stream["mos"].as_f64().is_some_and(|mos| (3.0..4.4).contains(&mos)), "{stream}");
    let heard = |index: usize| &value["conclusions"][index]["heard"];
    assert_eq!((heard(0), heard(1)), (&"yes".into(), &"yes".into()), "{line}");
}
