//! The snapshot in Prometheus' text format. Every metric is named and explained here.

use control::{Counters, Verdict};
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::{Histogram, Labelled, NgSnapshot, ProcessSnapshot, SessionSnapshot, SipSnapshot, Snapshot, WorkerSnapshot};

/// All metrics as text.
pub(crate) fn print(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    page.gauge(
        "build_info",
        "1, with the version of the program and the backend that moves media.",
        [(vec![("backend", snapshot.backend.into()), ("version", snapshot.version.into())], 1.0)],
    );
    page.gauge("start_time_seconds", "When the process started, in seconds since 1970.", alone(snapshot.started));
    if let Some(linked) = snapshot.linked {
        page.gauge(
            "control_link_connected",
            "Where the halves are two processes: 1 while the other one is connected.",
            alone(f64::from(u8::from(linked))),
        );
    }
    if !snapshot.media_only {
        page.process(&snapshot.process);
        page.session(&snapshot.session);
        page.ng(&snapshot.ng);
        if let Some(sip) = &snapshot.sip {
            page.sip(sip);
        }
    }
    page.workers(&snapshot.workers);
    TextEncoder::new().encode_to_string(&page.families).unwrap_or_else(|error| format!("# {error}\n"))
}

type Labels = Vec<(&'static str, String)>;

#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    fn process(&mut self, process: &ProcessSnapshot) {
        let flag = |value: bool| alone(if value { 1.0 } else { 0.0 });
        self.gauge("draining", "1 while no new calls are taken.", flag(process.draining));
        self.gauge(
            "config_last_reload_successful",
            "1 when the configuration could be read when it was read last.",
            flag(process.reload_successful),
        );
        self.gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration could be read last, in seconds since 1970.",
            alone(process.reloaded),
        );
    }

    fn session(&mut self, session: &SessionSnapshot) {
        self.gauge("calls", "Calls that exist.", alone(session.calls as f64));
        self.counter("calls_started_total", "Calls made by a first offer.", alone(session.calls_started as f64));
        self.counter("calls_ended_total", "Calls ended, by cause.", labelled(&session.calls_ended, ["cause"]));
        self.counter(
            "refusals_total",
            "Requests of the ng protocol that were refused, by cause: by the session, or before they came to it.",
            labelled(&session.refused, ["cause"]),
        );
        self.gauge("transports", "Local media ports in use.", alone(session.transports as f64));
        self.gauge(
            "ports_in_use",
            "Local media ports that are open or being opened.",
            alone(session.ports_in_use as f64),
        );
        self.counter(
            "sdes_secured_total",
            "Transports keyed from signalling (SDES), by the suite that is sent.",
            labelled(&session.sdes, ["suite"]),
        );
        self.counter(
            "dtls_handshakes_total",
            "DTLS handshakes ended, by result and by the reason of a failure.",
            labelled(&session.dtls_handshakes, ["result", "reason"]),
        );
        self.counter("ice_events_total", "ICE: pairs nominated, consent lost.", labelled(&session.ice, ["event"]));
        self.counter(
            "latched_total",
            "Times that a transport learnt its peer's address from a packet.",
            alone(session.latched as f64),
        );
        self.counter(
            "keys_nearly_spent_total",
            "SRTP master keys that reached 90 % of their lifetime.",
            alone(session.keys_nearly_spent as f64),
        );
        self.counter(
            "bind_failures_total",
            "Media ports that could not be bound, by cause.",
            labelled(&session.bind_failures, ["cause"]),
        );
    }

    fn ng(&mut self, ng: &NgSnapshot) {
        self.counter(
            "ng_commands_total",
            "Commands of the ng protocol answered, by command and result.",
            labelled(&ng.commands, ["command", "result"]),
        );
        self.counter(
            "ng_retransmissions_total",
            "Repeated ng requests, answered without being done again.",
            alone(ng.retransmissions as f64),
        );
        self.counter(
            "ng_malformed_total",
            "Messages of the ng protocol without a readable cookie, dropped.",
            alone(ng.malformed as f64),
        );
        self.gauge("ng_cached_replies", "Replies kept for repeated requests.", alone(ng.cached as f64));
    }

    fn sip(&mut self, sip: &SipSnapshot) {
        self.gauge("sip_calls", "SIP calls that exist.", alone(sip.calls as f64));
        self.gauge("sip_contacts", "Contacts that users have registered.", alone(sip.contacts as f64));
        self.counter("sip_calls_received_total", "SIP calls that came in.", alone(sip.calls_received as f64));
        self.counter("sip_calls_answered_total", "SIP calls that were answered.", alone(sip.calls_answered as f64));
        self.counter(
            "sip_failures_total",
            "Final responses to callers that were neither a success nor a challenge, by status.",
            sip.failures.iter().map(|(status, count)| (vec![("status", status.to_string())], *count as f64)),
        );
        self.counter("sip_registrations_total", "Registrations that were accepted.", alone(sip.registrations as f64));
        self.counter("sip_challenges_total", "Requests that were challenged.", alone(sip.challenges as f64));
        self.counter(
            "sip_logins_total",
            "Logins that were accepted, by algorithm.",
            sip.logins.iter().map(|(algorithm, count)| (vec![("algorithm", algorithm.clone())], *count as f64)),
        );
        self.counter(
            "sip_rejected_credentials_total",
            "Wrong credentials, by what was wrong.",
            labelled(&sip.rejected_credentials, ["fault"]),
        );
        self.counter(
            "sip_barred_total",
            "Requests of sources that are barred for wrong passwords.",
            alone(sip.barred as f64),
        );
        self.counter(
            "sip_cleartext_keys_total",
            "Descriptions with SDES keys over signalling that others can read, by what became of them.",
            labelled(&sip.cleartext_keys, ["result"]),
        );
        self.counter(
            "sip_sips_total",
            "Calls between a sips URI and a leg without TLS, by what became of them.",
            labelled(&sip.sips, ["result"]),
        );
        self.counter(
            "sip_refused_offers_total",
            "Offers inside of SIP calls that were refused.",
            alone(sip.refused_offers as f64),
        );
        self.counter("sip_overload_total", "SIP calls refused for their number.", alone(sip.overload as f64));
        self.counter(
            "sip_limited_total",
            "SIP calls refused because a user or a trunk had as many as it may have.",
            labelled(&sip.limited, ["of"]),
        );
        self.counter(
            "sip_ring_timeouts_total",
            "SIP calls that rang as long as a call may, unanswered.",
            alone(sip.ring_timeouts as f64),
        );
        self.counter(
            "sip_rekeyings_total",
            "Offers with new keys, because one was nearly spent.",
            alone(sip.rekeyings as f64),
        );
        self.gauge(
            "sip_connections",
            "SIP connections, those in their handshake included, by transport.",
            labelled(&sip.connections, ["transport"]),
        );
        self.counter(
            "sip_messages_total",
            "SIP messages, by transport and direction; those that came include faulty ones and those above the rate.",
            labelled(&sip.messages, ["transport", "direction"]),
        );
        self.counter(
            "sip_send_failures_total",
            "SIP messages of ours that could not be sent, by transport.",
            labelled(&sip.send_failures, ["transport"]),
        );
        self.counter(
            "sip_refusals_total",
            "What the SIP transports refused, dropped or closed, by reason.",
            labelled(&sip.refusals, ["reason"]),
        );
        self.counter(
            "sip_smime_total",
            "Bodies with S/MIME, by what was done with them and how it came out.",
            labelled(&sip.smime, ["what", "result"]),
        );
    }

    fn workers(&mut self, workers: &[WorkerSnapshot]) {
        let dropped: Vec<Verdict> = Verdict::ALL.into_iter().filter(|verdict| !verdict.is_accepted()).collect();
        self.counter(
            "datagrams_received_total",
            "Datagrams received on media ports, however they ended.",
            each(workers, |worker| worker.verdicts.iter().map(|(_, count)| count).sum::<u64>() as f64),
        );
        self.counter(
            "packets_dropped_total",
            "Datagrams that were not accepted, by worker and by the reason.",
            workers.iter().flat_map(|worker| {
                dropped.iter().map(|&verdict| {
                    let labels = vec![("worker", worker.worker.to_string()), ("verdict", verdict.label().into())];
                    (labels, worker.verdicts.of(verdict) as f64)
                })
            }),
        );
        self.counter(
            "authentication_failures_total",
            "SRTP and SRTCP packets whose authentication failed (also in packets_dropped_total).",
            each(workers, |worker| worker.verdicts.of(Verdict::BadTag) as f64),
        );
        self.counter(
            "replays_total",
            "SRTP and SRTCP packets seen before, or older than the replay window (also in packets_dropped_total).",
            each(workers, |worker| {
                (worker.verdicts.of(Verdict::Replayed) + worker.verdicts.of(Verdict::TooOld)) as f64
            }),
        );
        let media = |pick: fn(&Counters) -> u64| {
            workers.iter().flat_map(move |worker| {
                [
                    ("in", "rtp", worker.rtp_in),
                    ("in", "rtcp", worker.rtcp_in),
                    ("out", "rtp", worker.rtp_out),
                    ("out", "rtcp", worker.rtcp_out),
                    ("in", "datagram", worker.datagrams_in),
                    ("out", "datagram", worker.datagrams_out),
                ]
                .map(|(direction, kind, counters)| {
                    let labels = vec![
                        ("worker", worker.worker.to_string()),
                        ("direction", direction.into()),
                        ("kind", kind.into()),
                    ];
                    (labels, pick(&counters) as f64)
                })
            })
        };
        self.counter(
            "packets_total",
            "RTP and RTCP packets and datagrams of other protocols (T.38) received, authentic ones only, and sent.",
            media(|counters| counters.packets),
        );
        self.counter(
            "bytes_total",
            "Bytes of the packets of packets_total, without UDP and IP headers.",
            media(|counters| counters.bytes),
        );
        self.counter(
            "stun_received_total",
            "STUN messages dealt with.",
            each(workers, |worker| worker.verdicts.of(Verdict::Stun) as f64),
        );
        self.counter("stun_sent_total", "STUN responses sent.", each(workers, |worker| worker.stun_out as f64));
        self.counter("dtls_sent_total", "DTLS datagrams sent.", each(workers, |worker| worker.dtls_out as f64));
        self.counter(
            "send_failures_total",
            "Datagrams that the network did not take.",
            each(workers, |worker| worker.send_failures as f64),
        );
        self.counter(
            "queue_full_total",
            "Datagrams dropped because a queue inside a worker was full.",
            each(workers, |worker| worker.queue_full as f64),
        );
        self.counter(
            "streams_rebased_total",
            "Streams whose sequence numbers were re-based so that no index repeats under one key.",
            each(workers, |worker| worker.rebased as f64),
        );
        self.gauge("worker_calls", "Calls of a worker.", each(workers, |worker| worker.calls as f64));
        self.counter(
            "worker_busy_seconds_total",
            "Seconds that a worker spent working, not waiting: its rate is its load.",
            each(workers, |worker| worker.busy_seconds),
        );
        self.counter(
            "worker_system_calls_total",
            "Receive and send system calls of a worker.",
            each(workers, |worker| worker.system_calls as f64),
        );
        self.histogram(
            "receive_batch_datagrams",
            "Datagrams taken in at once.",
            workers.iter().map(|worker| (worker.worker, &worker.receive_batches)),
        );
    }

    fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let metrics = samples.into_iter().map(|(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_counter(counter);
            metric
        });
        self.family(name, help, MetricType::COUNTER, metrics.collect());
    }

    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let metrics = samples.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_gauge(gauge);
            metric
        });
        self.family(name, help, MetricType::GAUGE, metrics.collect());
    }

    fn histogram<'a>(&mut self, name: &str, help: &str, samples: impl Iterator<Item = (usize, &'a Histogram)>) {
        let metrics = samples.map(|(worker, observations)| {
            let mut total = 0;
            let buckets = observations.buckets.iter().map(|&(bound, count)| {
                total += count;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(bound);
                bucket.set_cumulative_count(total);
                bucket
            });
            let mut histogram = prometheus::proto::Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(total + observations.above);
            histogram.set_sample_sum(observations.sum);
            let mut metric = Metric::from_label(pairs(vec![("worker", worker.to_string())]));
            metric.set_histogram(histogram);
            metric
        });
        self.family(name, help, MetricType::HISTOGRAM, metrics.collect());
    }

    /// A family without a sample is left out: the text format has no place for it.
    fn family(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(format!("sallyport_{name}"));
        family.set_help(help.into());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

fn alone(value: f64) -> [(Labels, f64); 1] {
    [(Vec::new(), value)]
}

fn labelled<const LABELS: usize>(
    counts: &[Labelled<LABELS>],
    names: [&'static str; LABELS],
) -> impl Iterator<Item = (Labels, f64)> {
    counts.iter().map(move |labelled| {
        let labels = names.into_iter().zip(labelled.labels.map(String::from)).collect();
        (labels, labelled.count as f64)
    })
}

fn each(workers: &[WorkerSnapshot], value: impl Fn(&WorkerSnapshot) -> f64) -> impl Iterator<Item = (Labels, f64)> {
    workers.iter().map(move |worker| (vec![("worker", worker.worker.to_string())], value(worker)))
}

fn pairs(labels: Labels) -> Vec<LabelPair> {
    labels
        .into_iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.into());
            pair.set_value(value);
            pair
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn snapshot() -> Snapshot {
        let mut worker = WorkerSnapshot {
            worker: 1,
            receive_batches: Histogram { buckets: vec![(1.0, 5), (8.0, 2)], above: 1, sum: 77.0 },
            busy_seconds: 1.5,
            ..WorkerSnapshot::default()
        };
        worker.verdicts.count(Verdict::Forwarded);
        worker.verdicts.count(Verdict::BadTag);
        worker.verdicts.count(Verdict::Replayed);
        worker.verdicts.count(Verdict::TooOld);
        worker.rtp_in.count(172);
        Snapshot {
            version: "0.1.0",
            backend: "mmsg",
            started: 1_700_000_000.5,
            process: ProcessSnapshot { draining: true, reload_successful: false, reloaded: 1_700_000_000.5 },
            session: SessionSnapshot {
                calls: 3,
                dtls_handshakes: vec![Labelled { labels: ["failed", "fingerprint_mismatch"], count: 2 }],
                refused: vec![Labelled { labels: ["unknown_call"], count: 4 }],
                ..SessionSnapshot::default()
            },
            sip: Some(SipSnapshot {
                failures: vec![(486, 4)],
                cleartext_keys: vec![Labelled { labels: ["warned"], count: 6 }],
                messages: vec![Labelled { labels: ["udp", "in"], count: 8 }],
                refusals: vec![Labelled { labels: ["rate"], count: 2 }],
                smime: vec![Labelled { labels: ["signature", "verified"], count: 7 }],
                ..SipSnapshot::default()
            }),
            ng: NgSnapshot { commands: vec![Labelled { labels: ["ping", "pong"], count: 9 }], ..NgSnapshot::default() },
            workers: vec![WorkerSnapshot::default(), worker],
            ..Snapshot::default()
        }
    }

    /// Reads the text format as its specification describes it: `# HELP`, `# TYPE`, then samples of that name.
    fn parse(text: &str) -> HashMap<String, f64> {
        let mut samples = HashMap::new();
        let mut seen = HashSet::new();
        let mut current = (String::new(), String::new());
        let mut helped = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').expect("name and text").0.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("name and type");
                assert_eq!(helped, name, "HELP stands before TYPE");
                assert!(seen.insert(name.to_owned()), "{name} has one block");
                assert!(name.starts_with("sallyport_"));
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                current = (name.to_owned(), kind.to_owned());
            } else {
                let (key, value) = line.rsplit_once(' ').expect("sample and value");
                let name = key.split('{').next().expect("a name");
                match current.1.as_str() {
                    "histogram" => assert!(name.starts_with(&current.0)),
                    _ => assert_eq!(name, current.0),
                }
                assert!(samples.insert(key.to_owned(), value.parse().expect("a number")).is_none(), "{key} twice");
            }
        }
        samples
    }

    #[test]
    fn the_page_parses_and_says_what_the_snapshot_says() {
        let samples = parse(&print(&snapshot()));
        for (key, value) in [
            ("sallyport_build_info{backend=\"mmsg\",version=\"0.1.0\"}", 1.0),
            ("sallyport_start_time_seconds", 1_700_000_000.5),
            ("sallyport_draining", 1.0),
            ("sallyport_config_last_reload_successful", 0.0),
            ("sallyport_config_last_reload_success_timestamp_seconds", 1_700_000_000.5),
            ("sallyport_calls", 3.0),
            ("sallyport_refusals_total{cause=\"unknown_call\"}", 4.0),
            ("sallyport_dtls_handshakes_total{result=\"failed\",reason=\"fingerprint_mismatch\"}", 2.0),
            ("sallyport_ng_commands_total{command=\"ping\",result=\"pong\"}", 9.0),
            ("sallyport_sip_failures_total{status=\"486\"}", 4.0),
            ("sallyport_sip_cleartext_keys_total{result=\"warned\"}", 6.0),
            ("sallyport_sip_messages_total{transport=\"udp\",direction=\"in\"}", 8.0),
            ("sallyport_sip_refusals_total{reason=\"rate\"}", 2.0),
            ("sallyport_sip_smime_total{what=\"signature\",result=\"verified\"}", 7.0),
            ("sallyport_datagrams_received_total{worker=\"1\"}", 4.0),
            ("sallyport_packets_dropped_total{worker=\"1\",verdict=\"bad_tag\"}", 1.0),
            ("sallyport_packets_dropped_total{worker=\"0\",verdict=\"bad_tag\"}", 0.0),
            ("sallyport_authentication_failures_total{worker=\"1\"}", 1.0),
            ("sallyport_replays_total{worker=\"1\"}", 2.0),
            ("sallyport_packets_total{worker=\"1\",direction=\"in\",kind=\"rtp\"}", 1.0),
            ("sallyport_bytes_total{worker=\"1\",direction=\"in\",kind=\"rtp\"}", 172.0),
            ("sallyport_worker_busy_seconds_total{worker=\"1\"}", 1.5),
            ("sallyport_receive_batch_datagrams_bucket{worker=\"1\",le=\"1\"}", 5.0),
            ("sallyport_receive_batch_datagrams_bucket{worker=\"1\",le=\"8\"}", 7.0),
            ("sallyport_receive_batch_datagrams_bucket{worker=\"1\",le=\"+Inf\"}", 8.0),
            ("sallyport_receive_batch_datagrams_count{worker=\"1\"}", 8.0),
            ("sallyport_receive_batch_datagrams_sum{worker=\"1\"}", 77.0),
        ] {
            assert_eq!(samples.get(key), Some(&value), "{key}");
        }
        assert!(!samples.keys().any(|key| key.contains("verdict=\"forwarded\"")));
    }
}
