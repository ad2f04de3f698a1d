//! Where our users can be reached (RFC 3261 §10), by the flow that they registered on (RFC 5626 §5.3, without edge proxies).

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use sip::{Flow, Headers, NameAddr, Request, StatusCode, Uri, name};

use crate::Limits;

#[derive(Default)]
pub(crate) struct Registrar {
    by_user: HashMap<String, Vec<Binding>>,
    expiries: BTreeMap<(Instant, u64), String>,
    /// Users by connection and binding: whoever opens and closes connections makes nobody search all users.
    by_connection: BTreeMap<(u64, u64), String>,
    next: u64,
}

/// A contact of a user.
pub(crate) struct Binding {
    id: u64,
    pub(crate) contact: NameAddr,
    /// Where its REGISTER came from: NATs and connections let nothing else through to it.
    pub(crate) flow: Flow,
    call_id: String,
    cseq: u32,
    until: Instant,
    /// `+sip.instance` and `reg-id`: the contact is the same whatever its URI (RFC 5626 §6).
    instance: Option<(String, String)>,
}

/// What a REGISTER asks for one contact.
struct Wish {
    contact: NameAddr,
    seconds: u32,
    instance: Option<(String, String)>,
}

/// The contacts that a user has after its REGISTER, with the seconds that each has left.
pub(crate) type Registered = Vec<(NameAddr, u64)>;

/// Why a REGISTER was not carried out. Nothing has changed.
pub(crate) type Refusal = (StatusCode, Headers);

impl Registrar {
    /// Carries a REGISTER of this user out, wholly or not at all (§10.3).
    pub(crate) fn register(
        &mut self,
        now: Instant,
        user: &str,
        request: &Request,
        flow: &Flow,
        limits: &Limits,
    ) -> Result<Registered, Refusal> {
        self.expire(now);
        let refuse = |fault: sip::Fault| (fault.status(), Headers::new());
        let (call_id, cseq) =
            (request.headers.call_id().map_err(refuse)?, request.headers.cseq().map_err(refuse)?.number);
        let outdated = |binding: &Binding| binding.call_id == call_id && binding.cseq >= cseq;
        if request.headers.contact_is_star() {
            if request.headers.expires().map_err(refuse)? != Some(0) {
                return Err((StatusCode::BAD_REQUEST, Headers::new()));
            }
            if self.bindings(user).iter().any(outdated) {
                return Err((StatusCode::SERVER_INTERNAL_ERROR, Headers::new()));
            }
            self.retain(user, |_| false);
            return Ok(Vec::new());
        }
        let wishes = wishes(request, limits)?;
        let own = self.bindings(user);
        // Several wishes may mean one binding, and one wish several: URIs can be equivalent to a third and not to one another.
        let mut stays = vec![true; own.len()];
        for wish in &wishes {
            for (stays, binding) in stays.iter_mut().zip(own).filter(|(_, binding)| wish.means(binding)) {
                if outdated(binding) {
                    return Err((StatusCode::SERVER_INTERNAL_ERROR, Headers::new()));
                }
                *stays = false;
            }
        }
        let gone = stays.iter().filter(|stays| !**stays).count();
        let come = wishes.iter().filter(|wish| wish.seconds > 0).count();
        let (places, all) = (own.len() - gone + come, self.expiries.len() - gone + come);
        if places > limits.contacts {
            return Err((StatusCode::FORBIDDEN, Headers::new()));
        }
        if all > limits.bindings {
            let mut headers = Headers::new();
            headers.push(name::RETRY_AFTER, limits.retry_after);
            return Err((StatusCode::SERVICE_UNAVAILABLE, headers));
        }
        for wish in wishes {
            self.retain(user, |binding| !wish.means(binding));
            if wish.seconds == 0 {
                continue;
            }
            self.next += 1;
            let until = now + Duration::from_secs(u64::from(wish.seconds));
            self.expiries.insert((until, self.next), user.to_owned());
            if flow.connection != 0 {
                self.by_connection.insert((flow.connection, self.next), user.to_owned());
            }
            self.by_user.entry(user.to_owned()).or_default().push(Binding {
                id: self.next,
                contact: wish.contact,
                flow: *flow,
                call_id: call_id.clone(),
                cseq,
                until,
                instance: wish.instance,
            });
        }
        let left = |binding: &Binding| binding.until.saturating_duration_since(now).as_secs();
        Ok(self.bindings(user).iter().map(|binding| (binding.contact.clone(), left(binding))).collect())
    }

    /// The contacts of a user, oldest first.
    pub(crate) fn bindings(&self, user: &str) -> &[Binding] {
        self.by_user.get(user).map_or(&[], Vec::as_slice)
    }

    /// How many contacts there are.
    pub(crate) fn len(&self) -> usize {
        self.expiries.len()
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.keys().next().map(|(at, _)| *at)
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(entry) = self.expiries.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), user) = entry.remove_entry();
            self.retain(&user, |binding| binding.id != id);
        }
    }

    /// A connection is gone, and with it whoever was behind it.
    pub(crate) fn forget_connection(&mut self, connection: u64) {
        let on_it = (connection, 0)..=(connection, u64::MAX);
        let users: Vec<String> = self.by_connection.range(on_it).map(|(_, user)| user.clone()).collect();
        for user in users {
            self.retain(&user, |binding| binding.flow.connection != connection);
        }
    }

    fn retain(&mut self, user: &str, keep: impl Fn(&Binding) -> bool) {
        let Some(bindings) = self.by_user.get_mut(user) else { return };
        let (expiries, by_connection) = (&mut self.expiries, &mut self.by_connection);
        bindings.retain(|binding| {
            let keeps = keep(binding);
            if !keeps {
                expiries.remove(&(binding.until, binding.id));
                by_connection.remove(&(binding.flow.connection, binding.id));
            }
            keeps
        });
        if bindings.is_empty() {
            self.by_user.remove(user);
        }
    }
}

impl Wish {
    fn means(&self, binding: &Binding) -> bool {
        match (&self.instance, &binding.instance) {
            (Some(own), Some(other)) => own == other,
            _ => self.contact.uri.is_equivalent(&binding.contact.uri),
        }
    }
}

fn wishes(request: &Request, limits: &Limits) -> Result<Vec<Wish>, Refusal> {
    let refuse = |fault: sip::Fault| (fault.status(), Headers::new());
    let (least, most) = limits.expires;
    let general = request.headers.expires().map_err(refuse)?;
    let mut wishes: Vec<Wish> = Vec::new();
    for mut contact in request.headers.contacts().map_err(refuse)? {
        let own = contact.params.get("expires").and_then(|text| text.parse::<u32>().ok());
        // §10.3 step 7; a value that cannot be read counts as the longest.
        let seconds = own.or(general).unwrap_or(most).min(most);
        if seconds > 0 && seconds < least {
            let mut headers = Headers::new();
            headers.push("Min-Expires", least);
            return Err((StatusCode::INTERVAL_TOO_BRIEF, headers));
        }
        let Uri::Sip(_) = contact.uri else { return Err((StatusCode::BAD_REQUEST, Headers::new())) };
        let instance = contact.params.get("+sip.instance").map(str::to_owned);
        let instance = instance.zip(contact.params.get("reg-id").map(str::to_owned));
        contact.params.remove("expires");
        let wish = Wish { contact, seconds, instance };
        // The same contact twice: the last one counts.
        wishes.retain(|other| !other.contact.uri.is_equivalent(&wish.contact.uri));
        wishes.push(wish);
        if wishes.len() > limits.contacts {
            return Err((StatusCode::FORBIDDEN, Headers::new()));
        }
    }
    Ok(wishes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start")]
    fn what_a_binding_leaves_behind_goes_with_it() {
        let (now, mut registrar) = (Instant::now(), Registrar::default());
        let address = "192.0.2.1:5060".parse().unwrap();
        let flow = |connection| Flow { connection, ..Flow::udp(address, address) };
        let mut number = 0;
        let mut register = |registrar: &mut Registrar, user: &str, connection, seconds: u32| {
            number += 1;
            let mut request = Request::new(sip::Method::Register, Uri::parse("sip:example.com").unwrap());
            request.headers.push(name::CALL_ID, "1");
            request.headers.push(name::CSEQ, format!("{number} REGISTER"));
            request.headers.push(name::CONTACT, format!("<sip:{user}@192.0.2.9>;expires={seconds}"));
            registrar.register(now, user, &request, &flow(connection), &Limits::default()).unwrap();
        };
        register(&mut registrar, "a", 7, 600);
        register(&mut registrar, "b", 7, 600);
        register(&mut registrar, "c", 8, 600);
        register(&mut registrar, "d", 0, 600);
        assert_eq!((registrar.len(), registrar.by_connection.len()), (4, 3));
        // On another connection from here on.
        register(&mut registrar, "b", 8, 600);
        registrar.forget_connection(7);
        assert_eq!(["a", "b", "c", "d"].map(|user| registrar.bindings(user).len()), [0, 1, 1, 1]);
        register(&mut registrar, "c", 8, 0);
        registrar.expire(now + Duration::from_secs(600));
        assert!(registrar.by_user.is_empty() && registrar.expiries.is_empty() && registrar.by_connection.is_empty());
    }
}
