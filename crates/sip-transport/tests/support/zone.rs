//! A DNS zone as text: `NAME KIND DATA` a line. It answers a search directly, or a resolver as a server on loopback.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sallyport_sip_transport::{Answer, Naptr, Question, RecordKind, Srv};
use tokio::net::UdpSocket;

#[derive(Clone)]
pub struct Zone(Vec<(String, Record)>);

#[derive(Clone)]
enum Record {
    Naptr(Naptr),
    Srv(Srv),
    Address(IpAddr),
}

impl Zone {
    /// `NAPTR order preference flags service replacement`, `SRV priority weight port target`, `A address`, `AAAA address`.
    pub fn new(text: &str) -> Self {
        let lines = text.lines().map(str::split_whitespace).map(Iterator::collect::<Vec<_>>);
        let record = |words: Vec<&str>| {
            let number = |index: usize| words[index].parse().unwrap();
            let record = match words[1] {
                "NAPTR" => Record::Naptr(Naptr {
                    order: number(2),
                    preference: number(3),
                    flags: words[4].to_owned(),
                    service: words[5].to_owned(),
                    replacement: words[6].to_owned(),
                }),
                "SRV" => Record::Srv(Srv {
                    priority: number(2),
                    weight: number(3),
                    port: number(4),
                    target: words[5].to_owned(),
                }),
                _ => Record::Address(words[2].parse().unwrap()),
            };
            (words[0].to_owned(), record)
        };
        Self(lines.filter(|words| !words.is_empty()).map(record).collect())
    }

    fn records<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Record> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, record)| record)
    }

    /// What a resolver would say.
    pub fn answers(&self, questions: &[Question]) -> HashMap<Question, Answer> {
        let mut answers = HashMap::new();
        for question in questions {
            let (mut naptrs, mut srvs, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
            for record in self.records(&question.name) {
                match record {
                    Record::Naptr(record) => naptrs.push(record.clone()),
                    Record::Srv(record) => srvs.push(record.clone()),
                    Record::Address(ip) => addresses.push(*ip),
                }
            }
            let answer = match question.kind {
                RecordKind::Naptr => Answer::Naptr(naptrs),
                RecordKind::Srv => Answer::Srv(srvs),
                RecordKind::Address => Answer::Addresses(addresses),
            };
            answers.insert(question.clone(), answer);
        }
        answers
    }

    /// Serves it by UDP (RFC 1035, without compression), and counts the questions.
    pub async fn serve(self) -> (SocketAddr, Arc<AtomicUsize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                socket.send_to(&self.respond(&buffer[..length]), peer).await.unwrap();
            }
        });
        (address, asked)
    }

    fn respond(&self, query: &[u8]) -> Vec<u8> {
        let mut at = 12;
        let mut name = Vec::new();
        while query[at] != 0 {
            let end = at + 1 + usize::from(query[at]);
            name.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap().to_ascii_lowercase());
            at = end;
        }
        let name = name.join(".");
        let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
        let question = &query[12..at + 5];
        let records: Vec<_> = self.records(&name).filter_map(|record| wire(record, kind)).collect();
        let status = if self.records(&name).next().is_some() { 0 } else { 3 };
        // The query's number; a response, authoritative, recursion available; one question, the answers, nothing else.
        let mut response = vec![query[0], query[1], 0x85, 0x80 | status, 0, 1];
        response.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        response.extend([0, 0, 0, 0]);
        response.extend(question);
        for data in records {
            response.extend(question);
            response.extend(60_u32.to_be_bytes());
            response.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            response.extend(data);
        }
        response
    }
}

/// The data of a record, if it is of the kind that was asked for.
fn wire(record: &Record, kind: u16) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    let text = |data: &mut Vec<u8>, text: &str| {
        data.push(u8::try_from(text.len()).unwrap());
        data.extend(text.as_bytes());
    };
    let name = |data: &mut Vec<u8>, name: &str| {
        for label in name.split('.').filter(|label| !label.is_empty()) {
            text(data, label);
        }
        data.push(0);
    };
    match (record, kind) {
        (Record::Address(IpAddr::V4(ip)), 1) => data.extend(ip.octets()),
        (Record::Address(IpAddr::V6(ip)), 28) => data.extend(ip.octets()),
        (Record::Srv(srv), 33) => {
            data.extend([srv.priority, srv.weight, srv.port].map(u16::to_be_bytes).as_flattened());
            name(&mut data, &srv.target);
        }
        (Record::Naptr(naptr), 35) => {
            data.extend([naptr.order, naptr.preference].map(u16::to_be_bytes).as_flattened());
            text(&mut data, &naptr.flags);
            text(&mut data, &naptr.service);
            text(&mut data, "");
            name(&mut data, &naptr.replacement);
        }
        _ => return None,
    }
    Some(data)
}
