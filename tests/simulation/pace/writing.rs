//! When the changes of a zone leave, and who gets which answer.

use std::sync::Arc;

use ses_operator::clock::Clock;
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::snapshot::Dns;
use ses_operator::dns::{RecordChange, RecordSet, RecordType, ZoneId};
use ses_operator::domain_name::DomainName;

use super::account::{Account, Sent};
use super::desk::Desk;

/// What somebody asked for, and the ID of its change or the refusal.
type Answer = (usize, Result<String, ErrorKind>);

/// One zone, and those who change it.
struct Zone {
    account: Account,
    dns: Arc<Dns<Account>>,
    desk: Desk<Answer>,
}

impl Zone {
    fn quiet() -> Self {
        let desk = Desk::new();
        let account = Account::new(desk.hand.clone());
        let dns = Arc::new(Dns::new(account.clone(), Clock::moved_by(desk.hand.clone())));
        Self { account, dns, desk }
    }

    /// These domains ask for a record each.
    fn change(&mut self, domains: impl IntoIterator<Item = usize>) {
        for number in domains {
            let dns = Arc::clone(&self.dns);
            self.desk.ask(async move {
                let set = RecordSet::new(name(number), RecordType::Txt, 300, vec!["x".to_owned()]);
                let answer = dns.change(&zone(), &[RecordChange::Create(set)]).await;
                (number, answer.map(|accepted| accepted.id).map_err(|error| error.kind))
            });
        }
    }

    /// The changes that were sent: the second, how many domains were in it, and its answer.
    fn sent(&self) -> Vec<(i64, usize, Result<String, ErrorKind>)> {
        let told = |sent: &Sent| (self.desk.second_of(sent.at), sent.names.len(), sent.answer.clone());
        self.account.state().sent.iter().map(told).collect()
    }

    /// Each domain got one answer, and the change that it names had the domain in it.
    fn each_got_its_own(&self, domains: usize) {
        let mut answered: Vec<usize> = self.desk.answers.iter().map(|(_, (number, _))| *number).collect();
        answered.sort_unstable();
        assert_eq!(answered, (0..domains).collect::<Vec<_>>());
        let state = self.account.state();
        for (_, (number, answer)) in &self.desk.answers {
            let Ok(id) = answer else { continue };
            let sent = state.sent.iter().find(|sent| sent.answer.as_ref() == Ok(id)).expect("it was sent");
            assert!(sent.names.contains(&name(*number)), "d{number} was told of {id}, which changed {:?}", sent.names);
        }
    }

    /// Those who were refused, each with the reason.
    fn refused(&self) -> Vec<Answer> {
        self.desk.answers.iter().filter(|(_, (_, answer))| answer.is_err()).map(|(_, answer)| answer.clone()).collect()
    }
}

fn zone() -> ZoneId {
    ZoneId("Z1".to_owned())
}

fn name(number: usize) -> DomainName {
    DomainName::new(&format!("d{number}.example.com"))
}

fn accepted(id: &str) -> Result<String, ErrorKind> {
    Ok(id.to_owned())
}

#[test]
fn the_first_change_of_a_quiet_zone_leaves_at_once_and_those_behind_it_together() {
    let mut zone = Zone::quiet();
    zone.change([0]);
    assert_eq!(zone.sent(), [(0, 1, accepted("C1"))]);
    zone.desk.pass(10);
    zone.change(1..5);
    zone.desk.pass(19);
    zone.change(5..8);
    assert_eq!(zone.sent().len(), 1, "they gather");
    zone.desk.pass(1);
    assert_eq!(zone.sent()[1..], [(30, 7, accepted("C2"))]);
    zone.desk.pass(300);
    zone.change([8]);
    assert_eq!(zone.sent()[2..], [(330, 1, accepted("C3"))], "it has become quiet");
    zone.each_got_its_own(9);
}

#[test]
fn what_gathers_leaves_once_the_change_before_it_has_arrived() {
    for (arrived, left_at) in [("C1", 12), ("C7", 30)] {
        let mut zone = Zone::quiet();
        zone.change([0]);
        zone.desk.pass(12);
        zone.change(1..4);
        zone.account.state().arrived.insert(arrived.to_owned());
        let (dns, asked) = (Arc::clone(&zone.dns), arrived.to_owned());
        zone.desk.ask(async move {
            let now = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
            let arrived = dns.is_in_sync(&self::zone(), &asked, now).await;
            (4, arrived.map(|_| asked).map_err(|error| error.kind))
        });
        zone.desk.pass(60);
        assert_eq!(zone.sent()[1..], [(left_at, 3, accepted("C2"))], "{arrived} has arrived");
    }
}

/// A zone that has just been changed, and in which 200 domains are ready to leave, one of which is refused.
fn poisoned(culprit: usize) -> Zone {
    let mut zone = Zone::quiet();
    zone.change([0]);
    zone.change(1..200);
    zone.account.state().poisoned.insert(name(culprit));
    zone
}

#[test]
fn a_refused_batch_is_halved_until_only_its_culprit_fails() {
    for culprit in [1, 100, 137, 199] {
        let mut zone = poisoned(culprit);
        zone.desk.pass(60);
        assert_eq!(zone.refused(), [(culprit, Err(ErrorKind::Rejected))]);
        zone.each_got_its_own(200);
        let sent = zone.sent();
        let (refused, accepted): (Vec<_>, Vec<_>) = sent[1..].iter().partition(|(_, _, answer)| answer.is_err());
        assert!(refused.len() <= 9 && accepted.len() <= 8, "{sent:?}");
        let sizes: Vec<usize> = refused.iter().map(|(_, size, _)| *size).collect();
        assert!(
            sizes.is_sorted_by(|one, next| next.abs_diff(one / 2) <= 1),
            "each is half of the one before: {sizes:?}"
        );
        assert!(sent[1..].iter().all(|(second, _, _)| *second == 30), "nobody waits for nothing: {sent:?}");
    }
}

#[test]
fn a_zone_that_is_busy_between_the_halves_is_waited_for_and_nobody_fails() {
    for refusals in 1..=9 {
        let mut zone = poisoned(137);
        zone.account.state().next = (0..refusals).map(|_| None).chain([Some(ErrorKind::Busy); 3]).collect();
        zone.desk.pass(60);
        assert_eq!(zone.refused(), [(137, Err(ErrorKind::Rejected))], "busy after {refusals} of the halves");
        zone.each_got_its_own(200);
        assert_eq!(zone.sent().last().map(|(second, _, _)| *second), Some(30 + 2 + 4 + 8));
    }
}

#[test]
fn a_zone_that_is_busy_after_every_change_is_waited_for_after_each() {
    let mut zone = poisoned(137);
    zone.account.state().next = (0..40).map(|number| (number % 2 == 0).then_some(ErrorKind::Busy)).collect();
    zone.desk.pass(300);
    assert_eq!(zone.refused(), [(137, Err(ErrorKind::Rejected))]);
    zone.each_got_its_own(200);
}

#[test]
fn a_zone_that_stays_busy_fails_after_a_minute_and_those_behind_are_sent_all_the_same() {
    let mut zone = Zone::quiet();
    zone.account.state().next = [Some(ErrorKind::Busy); 6].into();
    zone.change(0..3);
    zone.desk.pass(59);
    assert!(zone.desk.answers.is_empty(), "it is asked again after 2, 4, 8, 16, 30 s");
    zone.desk.pass(1);
    assert_eq!(zone.refused(), [(0, Err(ErrorKind::Busy))]);
    assert_eq!(zone.sent().last(), Some(&(60, 2, accepted("C7"))));
    zone.each_got_its_own(3);
}

#[test]
fn where_it_is_unknown_whether_a_change_was_made_all_of_it_is_told_so_and_nothing_is_sent_twice() {
    let mut zone = Zone::quiet();
    zone.change([0]);
    zone.change(1..50);
    zone.account.state().next = [Some(ErrorKind::Unavailable)].into();
    zone.desk.pass(60);
    assert_eq!(zone.refused().len(), 49);
    assert_eq!(zone.sent().len(), 2);
    zone.each_got_its_own(50);
}

#[test]
fn who_goes_away_while_he_gathers_for_others_leaves_nothing_behind_and_holds_up_nobody() {
    let mut zone = Zone::quiet();
    zone.change([0]);
    let (dns, (gone, leaves)) = (Arc::clone(&zone.dns), futures::future::AbortHandle::new_pair());
    zone.desk.ask(async move {
        let set = RecordSet::new(name(1), RecordType::Txt, 300, vec!["x".to_owned()]);
        let asked = futures::future::Abortable::new(
            async move { dns.change(&self::zone(), &[RecordChange::Create(set)]).await },
            leaves,
        );
        assert!(asked.await.is_err(), "he went away");
        (1, Err(ErrorKind::NotLeading))
    });
    zone.change(2..5);
    zone.desk.pass(10);
    gone.abort();
    zone.desk.pass(50);
    assert_eq!(zone.sent()[1..], [(30, 3, accepted("C2"))]);
    assert!(!zone.account.state().sent[1].names.contains(&name(1)));
    zone.each_got_its_own(5);
}
