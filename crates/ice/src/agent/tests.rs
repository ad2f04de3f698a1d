//! The agent against a checking peer, on a clock that the test advances.

use proptest::prelude::*;

use super::*;
use crate::stun::{
    self, BINDING, BindingRequest, Encoder, MessageClass, ResponseError, Role, TransactionId, attribute,
    decode_binding_response,
};

const CONTROLLING: Option<Role> = Some(Role::Controlling(1));

fn local() -> Credentials {
    Credentials::new("ours", "our-password-of-24-chars").unwrap()
}

fn renewed() -> Credentials {
    Credentials::new("renewed", "our-renewed-password-24c").unwrap()
}

fn remote(ufrag: &str) -> Credentials {
    Credentials::new(ufrag, "their-password-24-chars-").unwrap()
}

fn config(remote: Option<Credentials>) -> LiteConfig {
    LiteConfig { local: local(), remote, remote_lite: false, signalled: None }
}

#[expect(clippy::disallowed_methods, reason = "the first moment of the test's own clock")]
fn start() -> Instant {
    Instant::now()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A full agent, its agent under test, and the clock between them.
struct Scene {
    agent: LiteAgent,
    now: Instant,
    peer: &'static str,
    transactions: u8,
}

impl Scene {
    fn new() -> Self {
        Self::of(config(Some(remote("them"))))
    }

    fn of(config: LiteConfig) -> Self {
        Self { agent: LiteAgent::new(config), now: start(), peer: "them", transactions: 0 }
    }

    fn request(
        &mut self,
        credentials: &Credentials,
        role: Option<Role>,
        priority: u32,
        use_candidate: bool,
    ) -> Vec<u8> {
        self.transactions += 1;
        let request = BindingRequest {
            transaction_id: TransactionId([self.transactions; 12]),
            remote: credentials,
            local_ufrag: self.peer,
            priority,
            role,
            use_candidate,
            software: None,
        };
        let mut buffer = vec![0; 256];
        let len = request.encode(&mut buffer).unwrap();
        buffer.truncate(len);
        buffer
    }

    fn send(&mut self, source: SocketAddr, request: &[u8]) -> (StunVerdict, Option<Vec<u8>>) {
        let mut response = [0; LiteAgent::MAX_RESPONSE];
        let outcome = self.agent.handle_datagram(self.now, source, request, &mut response);
        (outcome.verdict, outcome.response_len.map(|len| response[..len].to_vec()))
    }

    /// A check that must succeed.
    fn check_under(&mut self, credentials: &Credentials, source: SocketAddr, priority: u32, use_candidate: bool) {
        let request = self.request(credentials, CONTROLLING, priority, use_candidate);
        let (verdict, response) = self.send(source, &request);
        assert_eq!(verdict, StunVerdict::Answered);
        let transaction = TransactionId([self.transactions; 12]);
        assert_eq!(decode_binding_response(&response.unwrap(), transaction, &credentials.pwd), Ok(source));
    }

    fn check(&mut self, port: u16, priority: u32) {
        self.check_under(&local(), address(port), priority, false);
    }

    fn nominate(&mut self, port: u16, priority: u32) {
        self.check_under(&local(), address(port), priority, true);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.agent.handle_timeout(self.now);
    }

    fn selected(&self) -> Option<u16> {
        self.agent.selected().map(|address| address.port())
    }

    fn events(&mut self) -> Vec<IceEvent> {
        std::iter::from_fn(|| self.agent.poll_event()).collect()
    }
}

/// The error code of a response and whether its integrity is right.
fn refusal(response: Option<Vec<u8>>, password: &str) -> (u16, bool) {
    let response = response.expect("an answer");
    let message = stun::Message::decode(&response).unwrap();
    assert_eq!(message.class(), MessageClass::Error);
    assert!(message.verify_fingerprint());
    (message.error_code().unwrap(), message.verify_integrity(password))
}

#[test]
fn nothing_is_sent_before_a_check_nominates() {
    let mut scene = Scene::new();
    assert_eq!((scene.selected(), scene.agent.poll_timeout()), (None, None));
    scene.check(1, 100);
    assert_eq!(scene.selected(), None);
    assert!(scene.agent.is_validated(address(1)) && scene.agent.accepts(address(1)));
    assert!(!scene.agent.accepts(address(2)));
    scene.nominate(1, 100);
    assert_eq!(scene.selected(), Some(1));
    scene.nominate(1, 100);
    assert_eq!(scene.events(), [IceEvent::Validated(address(1)), IceEvent::Nominated(address(1))]);
}

#[test]
fn ipv6_sources_are_told_their_address() {
    let mut scene = Scene::new();
    let source = "[2001:db8::7]:40000".parse().unwrap();
    scene.check_under(&local(), source, 1, true);
    assert_eq!(scene.agent.selected(), Some(source));
}

#[test]
fn checks_count_before_the_peers_credentials_are_known() {
    let mut scene = Scene::of(config(None));
    scene.nominate(1, 100);
    assert_eq!(scene.selected(), Some(1));
    scene.agent.set_remote(scene.now, Some(remote("them")), false, None);
    assert_eq!(scene.selected(), Some(1));
    assert!(scene.agent.is_validated(address(1)));
}

#[test]
fn of_two_answerers_the_signalled_one_is_selected() {
    let mut scene = Scene::of(config(None));
    scene.peer = "fork";
    scene.nominate(1, 200);
    scene.peer = "them";
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(1));
    scene.agent.set_remote(scene.now, Some(remote("them")), false, None);
    assert_eq!(scene.selected(), Some(2));
    scene.peer = "fork";
    scene.nominate(1, 200);
    scene.nominate(3, 200);
    assert_eq!(scene.selected(), Some(2));
    assert!(!scene.agent.is_validated(address(1)) && !scene.agent.is_validated(address(3)));
    // The other one wins after all: media stays until it has a pair, which it has.
    scene.agent.set_remote(scene.now, Some(remote("fork")), false, None);
    assert!(matches!(scene.selected(), Some(1 | 3)));
}

#[test]
fn an_early_pair_of_somebody_else_is_dropped_when_the_peer_is_known() {
    let mut scene = Scene::of(config(None));
    scene.peer = "fork";
    scene.nominate(1, 200);
    scene.agent.set_remote(scene.now, Some(remote("them")), false, None);
    assert_eq!(scene.selected(), None);
    scene.peer = "them";
    scene.nominate(2, 1);
    assert_eq!(scene.selected(), Some(2));
}

#[test]
fn a_peer_that_changes_its_ufrag_alone_keeps_its_pair_until_it_nominates() {
    let mut scene = Scene::new();
    scene.nominate(1, 200);
    scene.agent.set_remote(scene.now, Some(remote("again")), false, None);
    assert_eq!(scene.selected(), Some(1));
    assert!(scene.agent.accepts(address(1)) && !scene.agent.is_validated(address(1)));
    scene.peer = "again";
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(2));
}

#[test]
fn with_aggressive_nomination_the_highest_priority_stays() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    scene.nominate(2, 300);
    scene.nominate(3, 200);
    assert_eq!(scene.selected(), Some(2));
    for _ in 0..10 {
        scene.pass(2);
        scene.nominate(2, 300);
        scene.nominate(3, 200);
        scene.nominate(1, 100);
        assert_eq!(scene.selected(), Some(2));
    }
}

#[test]
fn a_peer_that_moves_to_a_worse_pair_is_followed() {
    // It goes on to check the better one, without nominating it.
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.check(1, 300);
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(2));
    // Or it has left it altogether.
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.pass(2);
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(1));
    scene.pass(2);
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(2));
}

#[test]
fn a_new_nat_mapping_of_the_same_candidate_is_followed_at_once() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(2));
}

#[test]
fn a_peer_that_claims_to_be_controlled_is_told_487_and_has_no_effect() {
    let mut scene = Scene::new();
    let request = scene.request(&local(), Some(Role::Controlled(u64::MAX)), 1, true);
    let (verdict, response) = scene.send(address(1), &request);
    assert_eq!(verdict, StunVerdict::RoleConflict);
    let transaction = TransactionId([scene.transactions; 12]);
    let decoded = decode_binding_response(&response.unwrap(), transaction, &local().pwd);
    assert_eq!(decoded, Err(ResponseError::Refused(487)));
    assert!(!scene.agent.is_validated(address(1)));
    assert_eq!(scene.selected(), None);
}

#[test]
fn a_request_without_a_role_is_valid() {
    let mut scene = Scene::new();
    let request = scene.request(&local(), None, 1, true);
    assert_eq!(scene.send(address(1), &request).0, StunVerdict::Answered);
}

#[test]
fn unknown_attributes_that_must_be_understood_are_named_in_a_420() {
    let mut scene = Scene::new();
    let mut buffer = [0; 256];
    let mut encoder = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TransactionId([1; 12]));
    encoder.username("ours", "them");
    for unknown in 0x7000..0x700c {
        encoder.attribute(unknown, &[]);
    }
    encoder.attribute(0xfff0, &[1]);
    let len = encoder.integrity(&local().pwd).fingerprint().finish().unwrap();
    let (verdict, response) = scene.send(address(1), &buffer[..len]);
    assert_eq!(verdict, StunVerdict::UnknownAttribute);
    let bytes = response.clone().unwrap();
    let named = stun::Message::decode(&bytes).unwrap().attribute(attribute::UNKNOWN_ATTRIBUTES).unwrap();
    let expected: Vec<u8> = (0x7000u16..0x7008).flat_map(u16::to_be_bytes).collect();
    assert_eq!(named, expected);
    assert_eq!(bytes.len(), LiteAgent::MAX_RESPONSE);
    assert_eq!(refusal(response, &local().pwd), (420, true));
    assert!(!scene.agent.is_validated(address(1)));
}

#[test]
fn missing_pieces_are_400_and_strangers_401_without_integrity() {
    let mut scene = Scene::new();
    let build = |username: Option<(&str, &str)>, password: Option<&str>| {
        let mut buffer = vec![0; 256];
        let mut encoder = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TransactionId([9; 12]));
        encoder.attribute(attribute::SOFTWARE, b"twenty bytes of name");
        if let Some((ours, theirs)) = username {
            encoder.username(ours, theirs);
        }
        if let Some(password) = password {
            encoder.integrity(password);
        }
        let len = encoder.fingerprint().finish().unwrap();
        buffer.truncate(len);
        buffer
    };
    let password = local().pwd.clone();
    let cases = [
        (build(None, Some(&password)), StunVerdict::Incomplete, 400),
        (build(Some(("ours", "them")), None), StunVerdict::Incomplete, 400),
        (build(Some(("our", "sthem")), Some(&password)), StunVerdict::UnknownUser, 401),
        (build(Some(("them", "ours")), Some(&password)), StunVerdict::UnknownUser, 401),
        (build(Some(("ours", "them")), Some("wrong")), StunVerdict::BadIntegrity, 401),
    ];
    for (request, expected, code) in cases {
        let (verdict, response) = scene.send(address(1), &request);
        assert_eq!(verdict, expected);
        assert!(response.as_ref().unwrap().len() <= request.len());
        assert_eq!(refusal(response, &password), (code, false));
    }
    assert!(!scene.agent.is_validated(address(1)));
    assert!(scene.events().is_empty());
}

#[test]
fn an_answer_that_would_amplify_is_left_out() {
    let mut scene = Scene::new();
    let mut buffer = [0; 64];
    let len = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TransactionId([1; 12])).finish().unwrap();
    assert_eq!(scene.send(address(1), &buffer[..len]), (StunVerdict::Incomplete, None));
}

#[test]
fn a_malformed_priority_is_400_with_integrity() {
    let mut scene = Scene::new();
    let mut buffer = [0; 128];
    let mut encoder = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TransactionId([1; 12]));
    encoder.username("ours", "them").attribute(attribute::PRIORITY, &[1, 2, 3]);
    let len = encoder.integrity(&local().pwd).fingerprint().finish().unwrap();
    let (verdict, response) = scene.send(address(1), &buffer[..len]);
    assert_eq!((verdict, refusal(response, &local().pwd)), (StunVerdict::Incomplete, (400, true)));
}

#[test]
fn a_missing_or_wrong_fingerprint_is_passed_over() {
    let mut scene = Scene::new();
    let mut wrong = scene.request(&local(), CONTROLLING, 1, true);
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(scene.send(address(1), &wrong), (StunVerdict::Malformed, None));
    let mut buffer = [0; 128];
    let mut encoder = Encoder::new(&mut buffer, MessageClass::Request, BINDING, TransactionId([1; 12]));
    let len = encoder.username("ours", "them").integrity(&local().pwd).finish().unwrap();
    assert_eq!(scene.send(address(1), &buffer[..len]), (StunVerdict::Malformed, None));
    assert!(!scene.agent.is_validated(address(1)));
}

#[test]
fn indications_and_responses_are_not_answered() {
    let mut scene = Scene::new();
    for (class, method, verdict) in [
        (MessageClass::Indication, BINDING, StunVerdict::Keepalive),
        (MessageClass::Success, BINDING, StunVerdict::Ignored),
        (MessageClass::Error, BINDING, StunVerdict::Ignored),
        (MessageClass::Request, 3, StunVerdict::Ignored),
    ] {
        let mut buffer = [0; 128];
        let mut encoder = Encoder::new(&mut buffer, class, method, TransactionId([1; 12]));
        let len = encoder.username("ours", "them").integrity(&local().pwd).fingerprint().finish().unwrap();
        assert_eq!(scene.send(address(1), &buffer[..len]), (verdict, None));
    }
    assert!(!scene.agent.is_validated(address(1)));
}

#[test]
fn consent_is_lost_after_30_s_and_regained_by_the_next_check() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    let deadline = scene.now + Duration::from_secs(30);
    assert_eq!(scene.agent.poll_timeout(), Some(deadline));
    scene.events();
    scene.pass(29);
    assert_eq!(scene.selected(), Some(1));
    scene.pass(1);
    assert_eq!(scene.selected(), None);
    assert!(scene.agent.is_consent_lost());
    assert_eq!(scene.agent.poll_timeout(), None);
    assert_eq!(scene.events(), [IceEvent::ConsentLost]);
    scene.agent.authenticated_packet(scene.now, address(1));
    assert_eq!(scene.selected(), None, "a packet renews consent and never regains it");
    scene.check(1, 100);
    assert_eq!(scene.selected(), Some(1));
    assert_eq!(scene.events(), [IceEvent::ConsentRegained]);
    assert_eq!(scene.agent.poll_timeout(), Some(scene.now + Duration::from_secs(30)));
}

#[test]
fn checks_and_authenticated_packets_renew_consent_and_others_do_not() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    for turn in 0..6 {
        scene.pass(25);
        assert_eq!(scene.selected(), Some(1));
        if turn % 2 == 0 {
            scene.check(1, 100);
        } else {
            scene.agent.authenticated_packet(scene.now, address(1));
        }
    }
    scene.pass(25);
    scene.agent.authenticated_packet(scene.now, address(2));
    let forged = scene.request(&remote("ours"), CONTROLLING, 100, true);
    assert_eq!(scene.send(address(1), &forged).0, StunVerdict::BadIntegrity);
    scene.pass(5);
    assert_eq!(scene.selected(), None);
}

#[test]
fn a_lost_peer_is_found_again_behind_another_address() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    scene.pass(30);
    scene.events();
    scene.check(2, 100);
    assert_eq!(scene.selected(), Some(2));
    assert_eq!(
        scene.events(),
        [IceEvent::Validated(address(2)), IceEvent::ConsentRegained, IceEvent::Nominated(address(2))]
    );
}

#[test]
fn another_nominated_pair_takes_over_when_the_selected_one_falls_silent() {
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.nominate(2, 100);
    scene.pass(20);
    scene.check(2, 100);
    scene.events();
    scene.pass(10);
    assert_eq!(scene.selected(), Some(2));
    assert_eq!(scene.events(), [IceEvent::Nominated(address(2))]);
}

#[test]
fn a_check_after_the_deadline_is_loss_and_return_even_without_a_timer() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    scene.events();
    scene.now += Duration::from_secs(31);
    scene.check(1, 100);
    assert_eq!(scene.events(), [IceEvent::ConsentLost, IceEvent::ConsentRegained]);
}

#[test]
fn a_restart_keeps_the_old_pair_until_the_new_credentials_nominate() {
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.agent.restart(scene.now, LiteConfig { local: renewed(), ..config(None) });
    assert_eq!(scene.selected(), Some(1));
    scene.pass(20);
    scene.check(1, 300); // consent under the former credentials
    scene.pass(20);
    assert_eq!(scene.selected(), Some(1));
    scene.check_under(&renewed(), address(2), 100, false);
    assert_eq!(scene.selected(), Some(1));
    scene.check_under(&renewed(), address(2), 100, true);
    assert_eq!(scene.selected(), Some(2));
    // What is still on its way is taken for a while, and has no say.
    scene.nominate(1, 300);
    assert_eq!(scene.selected(), Some(2));
    assert!(scene.agent.accepts(address(1)));
    assert_eq!(scene.agent.poll_timeout(), Some(scene.now + LiteAgent::OVERLAP));
    scene.pass(5);
    assert!(!scene.agent.accepts(address(1)));
    let stale = scene.request(&local(), CONTROLLING, 300, true);
    assert_eq!(scene.send(address(1), &stale).0, StunVerdict::UnknownUser);
}

#[test]
fn consent_may_be_lost_in_the_middle_of_a_restart() {
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.agent.restart(scene.now, LiteConfig { local: renewed(), ..config(Some(remote("them"))) });
    scene.pass(30);
    assert_eq!(scene.selected(), None);
    scene.events();
    scene.check_under(&renewed(), address(1), 100, true);
    assert_eq!(scene.selected(), Some(1));
    assert_eq!(scene.events(), [IceEvent::Validated(address(1)), IceEvent::ConsentRegained]);
}

#[test]
fn a_restart_can_be_taken_back() {
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.agent.restart(scene.now, LiteConfig { local: renewed(), ..config(None) });
    scene.agent.restart(scene.now, config(Some(remote("them"))));
    assert_eq!(scene.selected(), Some(1));
    scene.check(1, 300);
    let gone = scene.request(&renewed(), CONTROLLING, 1, true);
    assert_eq!(scene.send(address(1), &gone).0, StunVerdict::UnknownUser);
}

#[test]
fn a_second_restart_before_the_first_had_a_pair_keeps_media_flowing() {
    let mut scene = Scene::new();
    scene.nominate(1, 300);
    scene.agent.restart(scene.now, LiteConfig { local: renewed(), ..config(None) });
    let third = Credentials::new("third", "our-third-password-24chr").unwrap();
    scene.agent.restart(scene.now, LiteConfig { local: third.clone(), ..config(None) });
    assert_eq!(scene.selected(), Some(1));
    scene.check(1, 300);
    scene.check_under(&third, address(2), 1, true);
    assert_eq!(scene.selected(), Some(2));
}

#[test]
fn validated_pairs_are_bounded_and_the_selected_one_is_never_evicted() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    for port in 2..200 {
        scene.check(port, 500);
    }
    assert_eq!(scene.selected(), Some(1));
    let validated = (1..200).filter(|&port| scene.agent.is_validated(address(port))).count();
    assert_eq!(validated, LiteAgent::MAX_PAIRS);
    assert!(scene.agent.is_validated(address(199)));
    assert!(scene.events().len() <= LiteAgent::MAX_EVENTS);
}

#[test]
fn between_two_lite_agents_the_signalled_address_holds_until_a_packet_authenticates() {
    let lite = LiteConfig { remote_lite: true, signalled: Some(address(1)), ..config(Some(remote("them"))) };
    let mut scene = Scene::of(lite);
    assert_eq!(scene.selected(), Some(1));
    assert!(scene.agent.accepts(address(2)) && !scene.agent.is_validated(address(2)));
    scene.agent.authenticated_packet(scene.now, address(2));
    assert_eq!(scene.selected(), Some(2));
    assert!(scene.agent.is_validated(address(2)));
    assert_eq!(scene.events(), [IceEvent::Nominated(address(1)), IceEvent::Nominated(address(2))]);
    assert_eq!(scene.agent.poll_timeout(), None);
    scene.pass(3600);
    assert_eq!(scene.selected(), Some(2));
    scene.agent.set_remote(scene.now, Some(remote("them")), true, Some(address(3)));
    assert_eq!(scene.selected(), Some(3));
}

#[test]
fn a_peer_called_lite_that_checks_all_the_same_is_answered_and_followed() {
    let mut scene = Scene::of(LiteConfig { remote_lite: true, signalled: Some(address(1)), ..config(None) });
    scene.nominate(2, 100);
    assert_eq!(scene.selected(), Some(2));
}

#[test]
fn a_response_that_does_not_fit_is_left_out() {
    let mut scene = Scene::new();
    let request = scene.request(&local(), CONTROLLING, 1, true);
    let outcome = scene.agent.handle_datagram(scene.now, address(1), &request, &mut [0; 63]);
    assert_eq!(outcome, Outcome { verdict: StunVerdict::Answered, response_len: None });
    let outcome = scene.agent.handle_datagram(scene.now, address(1), &request, &mut [0; 64]);
    assert_eq!(outcome.response_len, Some(64));
}

proptest! {
    #[test]
    fn arbitrary_datagrams_neither_panic_nor_validate(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let mut scene = Scene::new();
        let mut mutated = scene.request(&local(), CONTROLLING, 1, true);
        let before = mutated.clone();
        for (index, flip) in flips {
            let at = index.index(mutated.len());
            mutated[at] ^= flip;
        }
        for datagram in datagrams.iter().chain((mutated != before).then_some(&mutated)) {
            let (_, response) = scene.send(address(1), datagram);
            prop_assert!(response.is_none_or(|response| response.len() <= datagram.len()));
        }
        prop_assert!(!scene.agent.is_validated(address(1)));
    }

    /// Whatever peers, clock and signalling do, the bounds hold and an address is sent to only with consent.
    #[test]
    fn any_history_keeps_the_bounds(steps in proptest::collection::vec((0u8..8, 1u16..24, 0u32..4, any::<bool>()), 1..60)) {
        let mut scene = Scene::new();
        let mut heard: Option<Instant> = None;
        for (step, port, priority, flag) in steps {
            scene.transactions = scene.transactions.wrapping_add(1) % 200;
            match step {
                0..=2 => {
                    let request = scene.request(&if flag { local() } else { renewed() }, CONTROLLING, priority, port % 2 == 0);
                    if scene.send(address(port), &request).0 == StunVerdict::Answered {
                        heard = Some(scene.now);
                    }
                }
                3 => {
                    scene.agent.authenticated_packet(scene.now, address(port));
                    heard = Some(scene.now);
                }
                4 => scene.pass(u64::from(port)),
                5 => scene.agent.restart(scene.now, LiteConfig { local: if flag { local() } else { renewed() }, ..config(None) }),
                6 => scene.agent.set_remote(scene.now, flag.then(|| remote("them")), false, None),
                _ => scene.peer = if flag { "them" } else { "fork" },
            }
            scene.agent.handle_timeout(scene.now);
            if let Some(selected) = scene.agent.selected() {
                prop_assert!(scene.agent.accepts(selected));
                prop_assert!(heard.is_some_and(|heard| scene.now < heard + LiteAgent::CONSENT));
                prop_assert!(scene.agent.poll_timeout().is_some_and(|timeout| timeout > scene.now));
            }
            let validated = (1..24).filter(|&port| scene.agent.is_validated(address(port))).count();
            prop_assert!(validated <= 2 * LiteAgent::MAX_PAIRS);
        }
    }
}

#[test]
fn a_fork_counts_its_own_peers_checks_from_before_and_nobody_elses() {
    let mut scene = Scene::new();
    scene.nominate(1, 100);
    scene.peer = "other";
    scene.nominate(2, 100);
    assert_eq!(scene.agent.selected(), Some(address(1)));
    let mut fork = scene.agent.fork(scene.now, config(Some(remote("other"))));
    assert_eq!(fork.selected(), Some(address(2)));
    assert_eq!(fork.poll_event(), Some(IceEvent::Nominated(address(2))));
    assert!(!fork.is_validated(address(1)) && !scene.agent.is_validated(address(2)));
    let stranger = scene.agent.fork(scene.now, config(Some(remote("third"))));
    assert_eq!(stranger.selected(), None);
}
