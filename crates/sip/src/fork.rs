//! One call to several targets: parallel groups in turn, the first 2xx wins, the best failure otherwise (RFC 3261 §16.6, §16.7,
//! RFC 5393 §5, RFC 8760 §2.5).
//!
//! ```text
//! start ──► group 1 ──all failed, or give_up──► group 2 ──► … ──► Fail(best response)
//!              └──2xx──► Answer; the others are cancelled; a late 2xx: Release
//!              └──6xx──► the others are cancelled, no further group
//! ```

use crate::{Reason, Request, Response, StatusCode, name};
use std::collections::VecDeque;

/// Max-Breadth of a request that has none (RFC 5393 §5.3.3).
pub const DEFAULT_MAX_BREADTH: u32 = 60;

/// Challenges in one aggregated response.
const MAX_CHALLENGES: usize = 64;

/// A branch of a fork: its number in order of start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BranchId(pub usize);

/// What the caller of [`Fork`] has to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForkAction<T> {
    /// Call this target, with this Max-Breadth.
    Start {
        /// For everything that comes of it.
        branch: BranchId,
        /// Whom.
        target: T,
        /// This branch's share.
        max_breadth: u32,
    },
    /// Give this branch up.
    Cancel {
        /// Which.
        branch: BranchId,
        /// For the CANCEL (RFC 3326): "Call completed elsewhere" keeps it out of a phone's list of missed calls.
        reason: Option<Reason>,
    },
    /// This branch has won.
    Answer {
        /// Which.
        branch: BranchId,
    },
    /// This branch was answered too late: acknowledge it and end it.
    Release {
        /// Which.
        branch: BranchId,
    },
    /// All branches have failed: this is the response.
    Fail(Box<Response>),
}

/// The response context of one call. `T` is whatever tells a target.
///
/// Every started branch ends by [`Fork::handle_success`] or [`Fork::handle_failure`], cancelled ones too. Answer, Fail and Release
/// are final for their branch or for the call; after Answer or Fail only Release can follow.
pub struct Fork<T> {
    request: Request,
    max_breadth: u32,
    groups: VecDeque<Vec<T>>,
    branches: Vec<Branch>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// No further group: a 6xx has come.
    Ending,
    /// The caller has cancelled.
    Cancelled,
    Over,
}

enum Branch {
    Open {
        cancelled: bool,
    },
    Failed(Box<Response>),
    /// Answered, or given up by us: nothing to tell.
    Closed,
}

impl<T> Fork<T> {
    /// A fork of this request to groups of targets: those of one group at once, the groups one after another. A group that is
    /// larger than Max-Breadth is called in parts.
    pub fn new(request: Request, groups: Vec<Vec<T>>) -> Self {
        let asked = request.headers.max_breadth().ok().flatten();
        let max_breadth = asked.unwrap_or(DEFAULT_MAX_BREADTH);
        let size = usize::try_from(max_breadth).unwrap_or(usize::MAX).max(1);
        let mut parts = VecDeque::new();
        for group in groups {
            let mut group = group.into_iter();
            loop {
                let part: Vec<_> = group.by_ref().take(size).collect();
                if part.is_empty() {
                    break;
                }
                parts.push_back(part);
            }
        }
        Self { request, max_breadth, groups: parts, branches: Vec::new(), state: State::Running }
    }

    /// Starts the first group. Without targets it fails with 480, without breadth with 440.
    pub fn start(&mut self) -> Vec<ForkAction<T>> {
        if self.max_breadth == 0 {
            self.groups.clear();
            return self.fail_with(StatusCode::MAX_BREADTH_EXCEEDED);
        }
        if self.groups.is_empty() {
            return self.fail_with(StatusCode::TEMPORARILY_UNAVAILABLE);
        }
        self.proceed()
    }

    /// Adds a group after the others: targets of a 3xx that are followed.
    pub fn add_group(&mut self, targets: Vec<T>) {
        let size = usize::try_from(self.max_breadth).unwrap_or(usize::MAX).max(1);
        let mut targets = targets.into_iter().peekable();
        while targets.peek().is_some() {
            self.groups.push_back(targets.by_ref().take(size).collect());
        }
    }

    /// The group that rings has rung long enough: its branches are cancelled, and the next group follows when they have ended.
    pub fn give_up(&mut self) -> Vec<ForkAction<T>> {
        self.cancel_open(None)
    }

    /// The call has rung long enough: all branches are cancelled, no further group follows, and the best failure does when they have
    /// ended, which is 408 where nobody said anything.
    pub fn expire(&mut self) -> Vec<ForkAction<T>> {
        if matches!(self.state, State::Over | State::Cancelled) {
            return Vec::new();
        }
        self.state = State::Ending;
        let mut actions = self.cancel_open(None);
        actions.extend(self.proceed());
        actions
    }

    /// The caller has given up: all branches are cancelled, and 487 follows when they have ended.
    pub fn cancel(&mut self, reason: Option<Reason>) -> Vec<ForkAction<T>> {
        if self.state == State::Over {
            return Vec::new();
        }
        self.state = State::Cancelled;
        let mut actions = self.cancel_open(reason);
        actions.extend(self.proceed());
        actions
    }

    /// A branch has its first 2xx.
    pub fn handle_success(&mut self, branch: BranchId) -> Vec<ForkAction<T>> {
        if let Some(own @ Branch::Open { .. }) = self.branches.get_mut(branch.0) {
            *own = Branch::Closed;
        } else {
            // A second 2xx of one branch is a second dialog of it.
            return vec![ForkAction::Release { branch }];
        }
        match self.state {
            State::Over => vec![ForkAction::Release { branch }],
            State::Cancelled => {
                let mut actions = vec![ForkAction::Release { branch }];
                actions.extend(self.proceed());
                actions
            }
            State::Running | State::Ending => {
                self.state = State::Over;
                let mut actions = vec![ForkAction::Answer { branch }];
                let reason = Reason::sip(StatusCode::OK, "Call completed elsewhere");
                actions.extend(self.cancel_open(Some(reason)));
                actions
            }
        }
    }

    /// A branch has its final response of 300 or above; 408 for one without any response, 503 for one that cannot be reached.
    pub fn handle_failure(&mut self, branch: BranchId, response: Response) -> Vec<ForkAction<T>> {
        let Some(own) = self.branches.get_mut(branch.0) else { return Vec::new() };
        let Branch::Open { cancelled } = *own else { return Vec::new() };
        let status = response.status();
        // That a branch obeyed our CANCEL says nothing about its user.
        let silent = cancelled && matches!(status, StatusCode::REQUEST_TERMINATED | StatusCode::REQUEST_TIMEOUT);
        *own = if silent { Branch::Closed } else { Branch::Failed(Box::new(response)) };
        let mut actions = Vec::new();
        if status.class() == 6 && self.state == State::Running {
            self.state = State::Ending;
            actions = self.cancel_open(None);
        }
        actions.extend(self.proceed());
        actions
    }

    /// Whether the final response is given and no branch is open.
    pub fn is_over(&self) -> bool {
        self.state == State::Over && !self.has_open()
    }

    fn has_open(&self) -> bool {
        self.branches.iter().any(|branch| matches!(branch, Branch::Open { .. }))
    }

    /// Starts the next group or ends, if no branch is open.
    fn proceed(&mut self) -> Vec<ForkAction<T>> {
        if self.state == State::Over || self.has_open() {
            return Vec::new();
        }
        match self.state {
            State::Cancelled => self.fail_with(StatusCode::REQUEST_TERMINATED),
            State::Running if !self.groups.is_empty() => {
                let group = self.groups.pop_front().unwrap_or_default();
                let count = u32::try_from(group.len()).unwrap_or(u32::MAX).max(1);
                let (share, rest) = (self.max_breadth / count, self.max_breadth % count);
                let mut actions = Vec::new();
                for (index, target) in (0..).zip(group) {
                    let branch = BranchId(self.branches.len());
                    self.branches.push(Branch::Open { cancelled: false });
                    let max_breadth = share + u32::from(index < rest);
                    actions.push(ForkAction::Start { branch, target, max_breadth });
                }
                actions
            }
            _ => {
                self.state = State::Over;
                let failures = self.branches.iter().filter_map(|branch| match branch {
                    Branch::Failed(response) => Some(response.as_ref().clone()),
                    _ => None,
                });
                match best_response(failures.collect()) {
                    Some(response) => vec![ForkAction::Fail(Box::new(response))],
                    None => self.fail_with(StatusCode::REQUEST_TIMEOUT),
                }
            }
        }
    }

    fn fail_with(&mut self, status: StatusCode) -> Vec<ForkAction<T>> {
        self.state = State::Over;
        vec![ForkAction::Fail(Box::new(self.request.respond(status)))]
    }

    fn cancel_open(&mut self, reason: Option<Reason>) -> Vec<ForkAction<T>> {
        let mut actions = Vec::new();
        for (index, branch) in self.branches.iter_mut().enumerate() {
            if let Branch::Open { cancelled: cancelled @ false } = branch {
                *cancelled = true;
                actions.push(ForkAction::Cancel { branch: BranchId(index), reason: reason.clone() });
            }
        }
        actions
    }
}

/// The best of several final responses (RFC 3261 §16.7 step 6): a 6xx, else of the lowest class; in 4xx one that tells the
/// caller how to go on. 503 becomes 500, since it would shut us out, not the target. A 401 or 407 gets the challenges of all
/// other 401s and 407s, each as it came, those of one response in their order and together (step 7, RFC 8760 §2.5).
///
/// Via, From, To, Call-ID and CSeq are those of the branch: a back-to-back user agent takes status, reason, and what else it
/// passes on.
pub fn best_response(mut responses: Vec<Response>) -> Option<Response> {
    let best =
        (0..responses.len()).min_by_key(|&index| responses.get(index).map(|response| rank(response.status())))?;
    let mut response = responses.remove(best);
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.set_status(StatusCode::SERVER_INTERNAL_ERROR);
        response.headers.remove(name::RETRY_AFTER);
    }
    if is_challenge(response.status()) {
        for other in responses.iter().filter(|other| is_challenge(other.status())) {
            for name in [name::WWW_AUTHENTICATE, name::PROXY_AUTHENTICATE] {
                let held =
                    response.headers.count(name::WWW_AUTHENTICATE) + response.headers.count(name::PROXY_AUTHENTICATE);
                if held + other.headers.count(name) <= MAX_CHALLENGES {
                    response.headers.copy(&other.headers, name);
                }
            }
        }
    }
    Some(response)
}

fn is_challenge(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED)
}

fn rank(status: StatusCode) -> (u16, u8) {
    let class = if status.class() == 6 { 0 } else { status.class() };
    let preference = match status.code() {
        401 | 407 => 0,
        415 | 420 | 484 => 1,
        // That nobody was there says less than any answer.
        408 | 480 => 3,
        487 => 4,
        503 => 3,
        _ => 2,
    };
    (class, preference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Uri};

    fn request(max_breadth: Option<u32>) -> Request {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:bob@b.example").unwrap());
        request.headers.push("Via", "SIP/2.0/UDP h;branch=z9hG4bK1");
        if let Some(breadth) = max_breadth {
            request.headers.push("Max-Breadth", breadth);
        }
        request
    }

    fn response(status: u16, headers: &[(&str, &str)]) -> Response {
        let mut response = Response::new(StatusCode::new(status).unwrap());
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        response
    }

    fn show(actions: Vec<ForkAction<&str>>) -> String {
        let shown: Vec<_> = actions
            .into_iter()
            .map(|action| match action {
                ForkAction::Start { branch, target, max_breadth } => {
                    format!("start {} {target} {max_breadth}", branch.0)
                }
                ForkAction::Cancel { branch, reason: None } => format!("cancel {}", branch.0),
                ForkAction::Cancel { branch, reason: Some(reason) } => {
                    format!("cancel {} {}", branch.0, reason.cause.unwrap())
                }
                ForkAction::Answer { branch } => format!("answer {}", branch.0),
                ForkAction::Release { branch } => format!("release {}", branch.0),
                ForkAction::Fail(response) => format!("fail {}", response.status()),
            })
            .collect();
        shown.join(", ")
    }

    #[test]
    fn the_first_2xx_wins_and_a_late_one_is_released() {
        let mut fork = Fork::new(request(None), vec![vec!["a", "b", "c"], vec!["never"]]);
        assert_eq!(show(fork.start()), "start 0 a 20, start 1 b 20, start 2 c 20");
        assert_eq!(show(fork.handle_failure(BranchId(0), response(486, &[]))), "");
        assert_eq!(show(fork.handle_success(BranchId(1))), "answer 1, cancel 2 200");
        assert!(!fork.is_over());
        assert_eq!(show(fork.handle_success(BranchId(2))), "release 2");
        assert_eq!(show(fork.handle_success(BranchId(1))), "release 1");
        assert!(fork.is_over());
        assert_eq!(show(fork.cancel(None)), "");
    }

    #[test]
    fn groups_follow_one_another_and_the_best_response_ends_it() {
        let mut fork = Fork::new(request(None), vec![vec!["a"], vec!["b", "c"]]);
        assert_eq!(show(fork.start()), "start 0 a 60");
        assert_eq!(show(fork.give_up()), "cancel 0");
        assert_eq!(show(fork.give_up()), "");
        assert_eq!(show(fork.handle_failure(BranchId(0), response(487, &[]))), "start 1 b 30, start 2 c 30");
        assert_eq!(show(fork.handle_failure(BranchId(2), response(503, &[]))), "");
        assert_eq!(show(fork.handle_failure(BranchId(1), response(486, &[]))), "fail 486");
        assert!(fork.is_over());
        assert_eq!(show(fork.handle_failure(BranchId(1), response(486, &[]))), "");
    }

    #[test]
    fn a_6xx_ends_all_and_silence_is_a_408() {
        let mut fork = Fork::new(request(None), vec![vec!["a", "b"], vec!["never"]]);
        fork.start();
        assert_eq!(show(fork.handle_failure(BranchId(0), response(603, &[]))), "cancel 1");
        assert_eq!(show(fork.handle_failure(BranchId(1), response(487, &[]))), "fail 603");

        let mut fork = Fork::new(request(None), vec![vec!["a"]]);
        fork.start();
        fork.give_up();
        assert_eq!(show(fork.handle_failure(BranchId(0), response(487, &[]))), "fail 408");
        assert_eq!(show(Fork::<&str>::new(request(None), vec![]).start()), "fail 480");
    }

    #[test]
    fn a_call_that_has_rung_long_enough_calls_nobody_else() {
        let mut fork = Fork::new(request(None), vec![vec!["a", "b"], vec!["never"]]);
        fork.start();
        assert_eq!(show(fork.expire()), "cancel 0, cancel 1");
        assert_eq!(show(fork.handle_failure(BranchId(0), response(487, &[]))), "");
        assert_eq!(show(fork.handle_failure(BranchId(1), response(487, &[]))), "fail 408");
        assert_eq!(show(fork.expire()), "");
        // What somebody has said says more than that nobody answered; and a 2xx that crosses the CANCEL is an answer.
        let mut fork = Fork::new(request(None), vec![vec!["a", "b"]]);
        fork.start();
        fork.handle_failure(BranchId(0), response(486, &[]));
        assert_eq!(show(fork.expire()), "cancel 1");
        assert_eq!(show(fork.handle_failure(BranchId(1), response(487, &[]))), "fail 486");
        let mut fork = Fork::new(request(None), vec![vec!["a"], vec!["never"]]);
        fork.start();
        fork.expire();
        assert_eq!(show(fork.handle_success(BranchId(0))), "answer 0");
    }

    #[test]
    fn a_2xx_that_crosses_the_callers_cancel_is_released() {
        let mut fork = Fork::new(request(None), vec![vec!["a", "b"], vec!["never"]]);
        fork.start();
        assert_eq!(show(fork.cancel(None)), "cancel 0, cancel 1");
        assert_eq!(show(fork.handle_success(BranchId(0))), "release 0");
        assert_eq!(show(fork.handle_failure(BranchId(1), response(487, &[]))), "fail 487");
    }

    /// RFC 5393 §5.3.3: the sum of the shares is what came in, and nobody gets none.
    #[test]
    fn breadth_is_shared_and_a_group_beyond_it_is_called_in_parts() {
        let mut fork = Fork::new(request(Some(5)), vec![vec!["a", "b", "c"]]);
        assert_eq!(show(fork.start()), "start 0 a 2, start 1 b 2, start 2 c 1");
        let mut fork = Fork::new(request(Some(1)), vec![vec!["a", "b"]]);
        assert_eq!(show(fork.start()), "start 0 a 1");
        assert_eq!(show(fork.handle_failure(BranchId(0), response(404, &[]))), "start 1 b 1");
        fork.add_group(vec!["c", "d"]);
        assert_eq!(show(fork.handle_failure(BranchId(1), response(302, &[]))), "start 2 c 1");
        assert_eq!(show(Fork::new(request(Some(0)), vec![vec!["a"]]).start()), "fail 440");
    }

    #[test]
    fn the_best_response_is_chosen_by_class_and_use() {
        for (statuses, best) in [
            (vec![486, 302, 503], 302),
            (vec![486, 603, 302], 603),
            (vec![408, 487, 486, 404], 486),
            (vec![404, 407, 420], 407),
            (vec![487, 408], 408),
            (vec![503], 500),
            (vec![503, 501], 501),
        ] {
            let responses = statuses.iter().map(|&status| response(status, &[])).collect();
            assert_eq!(best_response(responses).unwrap().status().code(), best, "{statuses:?}");
        }
        assert_eq!(best_response(vec![]), None);
        let unavailable = best_response(vec![response(503, &[("Retry-After", "3600")])]).unwrap();
        assert!(!unavailable.headers.contains("Retry-After"));
    }

    /// RFC 3261 §16.7 step 7, RFC 8760 §2.5.
    #[test]
    fn every_challenge_is_kept_as_it_came_and_in_its_order() {
        let responses = vec![
            response(404, &[("WWW-Authenticate", "Digest realm=\"no\", nonce=\"0\"")]),
            response(
                407,
                &[
                    ("Proxy-Authenticate", "Digest  realm=\"p\", nonce=\"1\", algorithm=SHA-512-256"),
                    ("Proxy-Authenticate", "Digest realm=\"p\",nonce=\"1\", algorithm=SHA-256"),
                ],
            ),
            response(
                401,
                &[
                    ("WWW-Authenticate", "Digest realm=\"w\", nonce=\"2\", algorithm=SHA-256, qop=\"auth,auth-int\""),
                    ("WWW-Authenticate", "Digest realm=\"w\", nonce=\"2\", algorithm=MD5"),
                    ("Proxy-Authenticate", "Digest realm=\"p\", nonce=\"3\""),
                ],
            ),
            response(401, &[("WWW-Authenticate", "Unknown realm=\"w\"")]),
        ];
        let best = best_response(responses).unwrap();
        assert_eq!(best.status(), StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        let values = |name| best.headers.values(name).map(|value| value.into_owned()).collect::<Vec<_>>();
        assert_eq!(
            values("Proxy-Authenticate"),
            [
                "Digest  realm=\"p\", nonce=\"1\", algorithm=SHA-512-256",
                "Digest realm=\"p\",nonce=\"1\", algorithm=SHA-256",
                "Digest realm=\"p\", nonce=\"3\"",
            ]
        );
        assert_eq!(
            values("WWW-Authenticate"),
            [
                "Digest realm=\"w\", nonce=\"2\", algorithm=SHA-256, qop=\"auth,auth-int\"",
                "Digest realm=\"w\", nonce=\"2\", algorithm=MD5",
                "Unknown realm=\"w\"",
            ]
        );
    }
}
