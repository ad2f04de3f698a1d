//! What the admin listener asks.

use std::time::Instant;

use admin::{CallDetail, Question, Readiness, Snapshot};
use session::{Query, Refusal, Reply, Request};
use tokio::sync::oneshot;

use super::sip_door::SipDoor;
use super::{Relay, call_records};
use crate::answers;

/// The way back to somebody who asked about a call.
pub(super) type DetailWay = oneshot::Sender<Option<Box<CallDetail>>>;

impl Relay {
    pub(super) async fn answer(&mut self, question: Question) {
        let now = Instant::now();
        // An answer that nobody waits for any more is no error.
        match question {
            Question::Snapshot(way) => {
                let snapshot = answers::snapshot(now, &self.session, &self.ng, &self.link.counters(), &self.tallies);
                let linked = self.link.outlives_us().then_some(self.media_missing.is_none());
                let sip = self.sip.as_ref().map(SipDoor::snapshot);
                let process = self.process_snapshot();
                let _ = way.send(Box::new(Snapshot { process, linked, sip, ..snapshot }));
            }
            Question::Readiness(way) => {
                let failed =
                    self.failed_workers.iter().map(|(worker, reason)| format!("worker {}: {reason}", worker.0));
                let draining = self.drain.map(|_| "draining, no new calls are taken".to_owned());
                let taking_over = (self.media_missing.is_none() && !self.session.is_media_here())
                    .then(|| "the media half's calls are being taken over".to_owned());
                let media = self.media_missing.clone().or(taking_over);
                let _ = way.send(Readiness { missing: media.into_iter().chain(failed).chain(draining).collect() });
            }
            Question::Ng(message, way) => self.handle_posted(&message, way).await,
            Question::Calls(way) => {
                let _ = way.send(answers::calls(&self.session));
            }
            Question::Drain(way) => {
                let _ = way.send(self.drain());
            }
            Question::Call(id, way) => {
                // A Call-ID of one of its legs will do.
                let of_leg = self.sip.as_ref().and_then(|door| door.b2bua.session_call_id(&id));
                let id = of_leg.map_or(id.clone(), str::to_owned);
                if self.session.call(&id).is_none() {
                    let _ = way.send(None);
                    return;
                }
                // The worker's numbers come with the answer to a query.
                let token = self.own_token();
                self.details.insert(token, (id.clone(), way));
                self.session.handle_request(now, token, Request::Query(Query { call_id: id, ..Query::default() }));
            }
        }
    }

    pub(super) fn send_detail(&mut self, id: &str, way: DetailWay, reply: Result<Reply, Refusal>) {
        let report = match &reply {
            Ok(Reply::Query(report)) => Some(&**report),
            _ => None,
        };
        let facts = self.sip.as_ref().and_then(|door| door.b2bua.call_facts(id));
        let signalling = facts.map(|facts| call_records::signalling(&facts));
        let detail = self.session.call(id).map(|view| Box::new(answers::call(&view, report, signalling.as_ref())));
        let _ = way.send(detail);
    }
}
