//! Which session descriptions are agreed, and whose offer is open (RFC 3264, RFC 6337).
//!
//! ```text
//! Idle ──our offer──► Sent ──their answer──► Idle (agreed)       a rejection goes back to Idle, nothing changed
//!   └──their offer──► Received ──our answer──► Idle (agreed)
//! ```

use crate::{Body, StatusCode};

/// Offer and answer of one dialog.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Negotiation {
    agreed: Option<Agreed>,
    open: Open,
}

/// Both descriptions that are in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Ours.
    pub local: Body,
    /// The peer's.
    pub remote: Body,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
enum Open {
    #[default]
    Idle,
    Sent(Body),
    Received(Body),
}

/// A description does not fit the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NegotiationError {
    /// An offer while ours is open: glare.
    OwnOfferOpen,
    /// An offer while theirs is open.
    TheirOfferOpen,
    /// An answer without an offer.
    NoOffer,
}

impl NegotiationError {
    /// The status that refuses an offer (RFC 3311 §5.2, RFC 3261 §14.2). 500 goes with Retry-After.
    pub fn status(self) -> StatusCode {
        match self {
            Self::OwnOfferOpen => StatusCode::REQUEST_PENDING,
            Self::TheirOfferOpen => StatusCode::SERVER_INTERNAL_ERROR,
            Self::NoOffer => StatusCode::BAD_REQUEST,
        }
    }
}

impl Negotiation {
    /// Nothing agreed, no offer open.
    pub fn new() -> Self {
        Self::default()
    }

    /// These are in force, no offer is open.
    pub(crate) fn in_force(agreed: Agreed) -> Self {
        Self { agreed: Some(agreed), open: Open::Idle }
    }

    /// What is in force; an open offer changes nothing.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Whether no offer is open.
    pub fn is_idle(&self) -> bool {
        self.open == Open::Idle
    }

    /// Whether our offer is open.
    pub fn awaits_answer(&self) -> bool {
        matches!(self.open, Open::Sent(_))
    }

    /// Whether their offer is open.
    pub fn owes_answer(&self) -> bool {
        matches!(self.open, Open::Received(_))
    }

    /// We send an offer.
    pub fn send_offer(&mut self, offer: Body) -> Result<(), NegotiationError> {
        self.require_idle()?;
        self.open = Open::Sent(offer);
        Ok(())
    }

    /// They send an offer.
    pub fn handle_offer(&mut self, offer: Body) -> Result<(), NegotiationError> {
        self.require_idle()?;
        self.open = Open::Received(offer);
        Ok(())
    }

    /// We answer their offer.
    pub fn send_answer(&mut self, local: Body) -> Result<(), NegotiationError> {
        match std::mem::take(&mut self.open) {
            Open::Received(remote) => {
                self.agreed = Some(Agreed { local, remote });
                Ok(())
            }
            other => {
                self.open = other;
                Err(NegotiationError::NoOffer)
            }
        }
    }

    /// They answer our offer.
    pub fn handle_answer(&mut self, remote: Body) -> Result<(), NegotiationError> {
        match std::mem::take(&mut self.open) {
            Open::Sent(local) => {
                self.agreed = Some(Agreed { local, remote });
                Ok(())
            }
            other => {
                self.open = other;
                Err(NegotiationError::NoOffer)
            }
        }
    }

    /// The open offer was rejected, by either side, or its carrier failed: what was agreed stays (RFC 6141 §3).
    pub fn roll_back(&mut self) {
        self.open = Open::Idle;
    }

    fn require_idle(&self) -> Result<(), NegotiationError> {
        match self.open {
            Open::Idle => Ok(()),
            Open::Sent(_) => Err(NegotiationError::OwnOfferOpen),
            Open::Received(_) => Err(NegotiationError::TheirOfferOpen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Offer(usize),
        Answer(usize),
        Reject(usize),
        /// What the other side sent first arrives at this side.
        Deliver(usize),
    }

    #[derive(Clone)]
    enum Wire {
        Offer(Body),
        Answer(Body),
        Rejection,
    }

    struct Pair {
        sides: [Negotiation; 2],
        /// Towards each side.
        wires: [VecDeque<Wire>; 2],
        count: u32,
    }

    impl Pair {
        fn body(&mut self) -> Body {
            self.count += 1;
            Body::sdp(self.count.to_string())
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Offer(side) => {
                    let body = self.body();
                    let before = self.sides[side].clone();
                    if self.sides[side].send_offer(body.clone()).is_ok() {
                        self.wires[1 - side].push_back(Wire::Offer(body));
                    } else {
                        assert_eq!(self.sides[side], before);
                    }
                }
                Step::Answer(side) => {
                    let body = self.body();
                    if self.sides[side].send_answer(body.clone()).is_ok() {
                        self.wires[1 - side].push_back(Wire::Answer(body));
                    }
                }
                Step::Reject(side) => {
                    if self.sides[side].owes_answer() {
                        self.sides[side].roll_back();
                        self.wires[1 - side].push_back(Wire::Rejection);
                    }
                }
                Step::Deliver(side) => match self.wires[side].pop_front() {
                    Some(Wire::Offer(body)) => {
                        let refused = self.sides[side].handle_offer(body).is_err();
                        self.wires[1 - side].extend(refused.then_some(Wire::Rejection));
                    }
                    Some(Wire::Answer(body)) => self.sides[side].handle_answer(body).unwrap(),
                    Some(Wire::Rejection) => {
                        assert!(self.sides[side].awaits_answer());
                        self.sides[side].roll_back();
                    }
                    None => {}
                },
            }
        }

        /// Everything arrives, and every open offer is answered.
        fn settle(&mut self) {
            while self.wires.iter().any(|wire| !wire.is_empty()) || self.sides.iter().any(Negotiation::owes_answer) {
                for side in [0, 1] {
                    self.step(Step::Deliver(side));
                    self.step(Step::Answer(side));
                }
            }
        }
    }

    /// Both ends agree on the same two descriptions after whatever they did, in all 8^6 orders.
    #[test]
    fn all_sequences_of_six_steps_leave_both_ends_agreed() {
        let steps = [0, 1]
            .map(|side| [Step::Offer(side), Step::Answer(side), Step::Reject(side), Step::Deliver(side)])
            .concat();
        for number in 0..steps.len().pow(6) {
            let mut pair = Pair { sides: Default::default(), wires: Default::default(), count: 0 };
            let mut rest = number;
            for _ in 0..6 {
                pair.step(steps[rest % steps.len()]);
                rest /= steps.len();
            }
            pair.settle();
            let [a, b] = &pair.sides;
            assert!(a.is_idle() && b.is_idle());
            let mirrored =
                b.agreed().map(|agreed| Agreed { local: agreed.remote.clone(), remote: agreed.local.clone() });
            assert_eq!(a.agreed(), mirrored.as_ref(), "sequence {number}");
        }
    }
}
