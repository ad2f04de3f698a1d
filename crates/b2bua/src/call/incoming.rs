//! Requests that begin something: INVITE, REGISTER, OPTIONS.

use std::time::Instant;

use sip::{
    Body, Flow, Fork, Headers, LegId, Method, NameAddr, Request, ServerId, StatusCode, Target, Uri, name,
    next_max_forwards,
};

use super::bodies::SecuredLegs;
use super::{Call, CallNumber, CallerLeg, Spec};
use crate::gate::Admission;
use crate::policy::{self, Side};
use crate::routes::{self, Caller};
use crate::{B2bua, CallFacts, Destination, EndedBy, Fact, Times, UriTarget, description, facts, headers};

/// What an INVITE is refused with.
pub(super) struct Refused(StatusCode, Headers, &'static str, Option<Body>);

impl Refused {
    fn plain(status: StatusCode, why: &'static str) -> Self {
        Self(status, Headers::new(), why, None)
    }
}

impl B2bua {
    pub(crate) fn handle_incoming(&mut self, now: Instant, leg: LegId, request: Request, flow: Flow) {
        self.counters.calls += 1;
        let who = match self.who_calls(now, &request, &flow) {
            Ok(who) => who,
            Err(refused) => {
                let headers = self.count_refusal(&refused);
                let _ = self.ua.reject_once(now, leg, refused.0, &headers);
                return;
            }
        };
        let facts = facts::of_invite(&request, Some(&who), &flow);
        match self.consider(now, leg, request, flow, who) {
            Ok(call) => {
                let sip_call_id = call.request.headers.call_id().unwrap_or_default();
                self.tell(Fact::Began { call: call.session.clone(), sip_call_id });
                self.begin(now, call);
            }
            Err(refused) => {
                let headers = self.count_refusal(&refused);
                let now_by_wall = self.secured.wall(now);
                let times = Times { ended: Some(now_by_wall), ..Times::began(now_by_wall) };
                let (call, why) = (format!("sip-{}", self.ua.token()), refused.2.to_owned());
                let (status, ended_by) = (Some(refused.0), Some(EndedBy::Server));
                self.tell_over(CallFacts { call, times, status, ended_by, why, ..facts });
                let _ = self.ua.reject_with(now, leg, refused.0, &headers, refused.3);
            }
        }
    }

    fn count_refusal(&mut self, Refused(status, headers, why, _): &Refused) -> Headers {
        // A challenge is no failure.
        if *status != StatusCode::UNAUTHORIZED {
            *self.counters.failures.entry(status.code()).or_default() += 1;
            tracing::debug!(%status, why, "sip: call refused");
        }
        headers.clone()
    }

    /// Nothing is proven of whom this refuses.
    fn who_calls(&mut self, now: Instant, request: &Request, flow: &Flow) -> Result<Caller, Refused> {
        if self.draining || self.calls.len() >= self.config.limits.calls {
            self.counters.overload += 1;
            let headers = self.retry_after();
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, headers, "too many calls, or draining", None));
        }
        next_max_forwards(request).map_err(|status| Refused::plain(status, "too many hops"))?;
        let own = headers::sent_by(&self.config, flow);
        if self.loops.detects(request, std::slice::from_ref(&own)) {
            return Err(Refused::plain(StatusCode::LOOP_DETECTED, "loop"));
        }
        let mut facts = Vec::new();
        let admission = self.gate.admit(now, &self.config, request, flow, &mut self.counters, &mut facts);
        facts.into_iter().for_each(|fact| self.tell(fact));
        match admission {
            Admission::Caller(who, _) => Ok(who),
            Admission::Refused(status, headers) => Err(Refused(status, headers, "not authenticated", None)),
        }
    }

    fn consider(
        &mut self,
        now: Instant,
        leg: LegId,
        mut request: Request,
        flow: Flow,
        who: Caller,
    ) -> Result<Call, Refused> {
        let max_forwards = next_max_forwards(&request).map_err(|status| Refused::plain(status, "too many hops"))?;
        let own = headers::sent_by(&self.config, &flow);
        let from = request.headers.from().map_err(|fault| Refused::plain(fault.status(), "no From"))?;
        if let Caller::User(name) = &who
            && from.uri.as_sip().and_then(|uri| uri.user_unescaped()).as_ref() != Some(name)
        {
            return Err(Refused::plain(StatusCode::FORBIDDEN, "From is not the user that was authenticated"));
        }
        if !self.has_room(&who, 1) {
            let why = "the caller has as many calls as it may have";
            let mut headers = self.warning(399, why);
            headers.extend(&self.retry_after());
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, headers, why, None));
        }
        let user = request.uri().as_sip().and_then(|uri| uri.user_unescaped()).unwrap_or_default();
        let route = routes::find(&self.config, &who, &user).ok_or(Refused::plain(StatusCode::NOT_FOUND, "no route"))?;
        let to = route.to.clone();
        let route = format!("{} → {}", route.pattern, route.to);
        let policy = match &who {
            Caller::Trunk(trunk) => self.config.trunk(trunk).map(|trunk| trunk.policy.clone()).unwrap_or_default(),
            Caller::User(_) => self.config.phones.clone(),
        };
        let (offer, secured) = self.open_invite(now, leg, &request, &policy, &flow).map_err(|unopened| {
            let mut headers = self.warning(399, &unopened.why);
            headers.extend(&unopened.headers());
            Refused(unopened.status, headers, "the body cannot be taken", unopened.body)
        })?;
        if let Some(offer) = &offer {
            let side = Side { policy: &policy, transport: flow.transport };
            self.check_offer(side, &flow, offer).map_err(|headers| {
                Refused(StatusCode::NOT_ACCEPTABLE_HERE, headers, "the offer is not secure enough", None)
            })?;
        }
        let groups = self.targets(&to, &user)?;
        let dialog = self.ua.dialogs_of(leg).first().copied();
        let contact = headers::contact(&own, flow.transport, is_sips(request.uri()));
        let _ = self.ua.set_contact(leg, contact);
        let loop_token = self.loops.token(&request);
        request.set_body(None, Vec::new());
        let times = Times::began(self.secured.wall(now));
        let number = CallNumber(self.new_number());
        let session = format!("sip-{}", self.ua.token());
        let tag = format!("a:{}", from.tag().unwrap_or_default());
        let caller = CallerLeg { leg, dialog, flow, policy, tag, over: false, accepted: false };
        let gives_up_at = now + self.config.max_ring_time;
        Ok(Call {
            who: Some(who),
            max_forwards,
            loop_token,
            echo: to == Destination::Echo,
            groups_left: groups.len(),
            fork: Fork::new(request.clone(), groups),
            offer,
            legs: vec![leg],
            dialogs: dialog.into_iter().collect(),
            route: Some(route),
            ..Call::new(number, session, caller, SecuredLegs::new(secured), request, gives_up_at, times)
        })
    }

    /// Whether an offer of this side may go on; the headers say why not.
    pub(crate) fn check_offer(&mut self, side: Side<'_>, flow: &Flow, offer: &[u8]) -> Result<(), Headers> {
        if let Some(why) = policy::refuses(side, description::is_secure(offer)) {
            return Err(self.warning(399, why));
        }
        if description::has_sdes_keys(offer) {
            self.check_cleartext(flow)?;
        }
        Ok(())
    }

    pub(super) fn targets(&self, to: &Destination, user: &str) -> Result<Vec<Vec<Spec>>, Refused> {
        let mut groups = match to {
            Destination::Echo => Vec::new(),
            Destination::Registered => {
                if !self.users.contains(user) {
                    return Err(Refused::plain(StatusCode::NOT_FOUND, "no such user"));
                }
                vec![self.contacts(user)]
            }
            Destination::Trunk(name) => {
                let Some(trunk) = self.config.trunk(name) else {
                    return Err(Refused::plain(StatusCode::NOT_FOUND, "no such trunk"));
                };
                let uri = with_user(&trunk.uri, user);
                let address = headers::bare(&uri);
                vec![vec![Spec {
                    uri,
                    address,
                    target: None,
                    policy: trunk.policy.clone(),
                    trunk: Some(name.clone()),
                    user: None,
                }]]
            }
            Destination::Targets(groups) => {
                let of = |target: &UriTarget| match target {
                    UriTarget::User(user) => self.contacts(user),
                    UriTarget::Uri(uri) => {
                        let policy = self.config.phones.clone();
                        let address = headers::bare(uri);
                        vec![Spec { uri: uri.clone(), address, target: None, policy, trunk: None, user: None }]
                    }
                };
                groups.iter().map(|group| group.iter().flat_map(of).collect()).collect()
            }
        };
        groups.retain(|group| !group.is_empty());
        let mut left = self.config.limits.targets;
        for group in &mut groups {
            group.truncate(left);
            left -= group.len();
        }
        Ok(groups)
    }

    /// Where a user of ours has registered.
    pub(crate) fn contacts(&self, user: &str) -> Vec<Spec> {
        let address = headers::address_of(&self.config, user);
        let spec = |binding: &crate::registrar::Binding| Spec {
            uri: binding.contact.uri.clone(),
            address: address.clone(),
            target: Some(Target { flow: binding.flow, sent_by: headers::sent_by(&self.config, &binding.flow) }),
            policy: self.config.phones.clone(),
            trunk: None,
            user: Some(user.to_owned()),
        };
        self.registrar.bindings(user).iter().map(spec).collect()
    }

    pub(crate) fn handle_out_of_dialog(&mut self, now: Instant, server: ServerId, request: &Request, flow: &Flow) {
        let response = match request.method() {
            Method::Register => match self.register(now, request, flow) {
                Ok(response) => {
                    let _ = self.ua.respond(now, server, response);
                    return;
                }
                Err(response) => response,
            },
            Method::Options => {
                let mut response = request.respond(StatusCode::OK);
                self.capabilities.describe(&mut response);
                response
            }
            _ => {
                let mut response = request.respond(StatusCode::METHOD_NOT_ALLOWED);
                response.headers.push(name::ALLOW, self.capabilities.allow());
                response
            }
        };
        let _ = self.ua.respond_once(server, response);
    }

    /// `Err`: the answer to somebody of whom nothing is proven.
    fn register(&mut self, now: Instant, request: &Request, flow: &Flow) -> Result<sip::Response, sip::Response> {
        let mut facts = Vec::new();
        let admission = self.gate.authenticate(now, request, flow, &mut self.counters, &mut facts);
        facts.into_iter().for_each(|fact| self.tell(fact));
        let with = |status, headers: &Headers| {
            let mut response = request.respond(status);
            response.headers.extend(headers);
            response
        };
        let (user, accepted) = match admission {
            Admission::Caller(Caller::User(user), accepted) => (user, accepted),
            Admission::Caller(Caller::Trunk(_), _) => return Err(with(StatusCode::FORBIDDEN, &Headers::new())),
            Admission::Refused(status, headers) => return Err(with(status, &headers)),
        };
        let to = request.headers.to().ok().and_then(|to| to.uri.as_sip()?.user_unescaped());
        let mut response = if to.as_ref() != Some(&user) {
            with(StatusCode::FORBIDDEN, &Headers::new())
        } else {
            match self.registrar.register(now, &user, request, flow, &self.config.limits) {
                Ok(contacts) => {
                    self.counters.registrations += 1;
                    self.found_user(now, &user, flow);
                    let mut response = request.respond(StatusCode::OK);
                    for (contact, seconds) in contacts {
                        response.headers.push(name::CONTACT, with_expiry(contact, seconds));
                    }
                    response
                }
                Err((status, headers)) => with(status, &headers),
            }
        };
        if let Some(accepted) = accepted {
            self.gate.prove(now, &accepted, &mut response);
        }
        Ok(response)
    }
}

fn with_expiry(mut contact: NameAddr, seconds: u64) -> NameAddr {
    contact.params.set("expires", Some(&seconds.to_string()));
    contact
}

pub(super) fn is_sips(uri: &Uri) -> bool {
    uri.as_sip().is_some_and(|uri| uri.secure)
}

fn with_user(uri: &Uri, user: &str) -> Uri {
    match uri {
        Uri::Sip(uri) => {
            let mut uri = uri.clone();
            let escaped = sip::SipUri::new(Some(user), uri.host.clone(), None).user;
            uri.user = escaped;
            Uri::Sip(uri)
        }
        other => other.clone(),
    }
}
