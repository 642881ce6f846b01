//! How often a zone is read for the domains that share it.

use std::sync::Arc;

use jiff::Timestamp;
use ses_operator::clock::Clock;
use ses_operator::dns::ZoneId;
use ses_operator::dns::snapshot::Dns;
use ses_operator::domain_name::DomainName;

use super::account::Account;
use super::desk::Desk;

/// Domains of one zone, who read in it and leave.
struct Readers {
    desk: Desk<bool>,
    account: Account,
    dns: Arc<Dns<Account>>,
}

impl Readers {
    fn of_nothing_yet() -> Self {
        let desk = Desk::new();
        let account = Account::new(desk.hand.clone());
        let dns = Arc::new(Dns::new(account.clone(), Clock::moved_by(desk.hand.clone())));
        Self { desk, account, dns }
    }

    /// A domain asks for its records, whose age does not matter. Gives how often the zone was read by then.
    fn ask(&mut self, domain: &str) -> usize {
        let (dns, domain) = (Arc::clone(&self.dns), DomainName::new(domain));
        self.desk.ask(async move {
            dns.record_sets(&zone(), 100, &domain, std::slice::from_ref(&domain), Timestamp::MIN).await.is_ok()
        });
        self.after_the_answer()
    }

    fn leave(&mut self, domain: &str) {
        let (dns, domain) = (Arc::clone(&self.dns), DomainName::new(domain));
        self.desk.ask(async move {
            dns.leave(&zone(), &domain).await;
            true
        });
        self.after_the_answer();
    }

    fn after_the_answer(&mut self) -> usize {
        assert_eq!(self.desk.answers.pop(), Some((0, true)));
        self.account.state().listings
    }
}

fn zone() -> ZoneId {
    ZoneId("Z1".into())
}

#[test]
fn a_zone_is_known_while_one_of_those_who_read_it_has_not_come_to_rest() {
    let mut readers = Readers::of_nothing_yet();
    assert_eq!(["a.example.com", "b.example.com"].map(|domain| readers.ask(domain)), [1, 1]);
    readers.leave("a.example.com");
    assert_eq!(readers.ask("b.example.com"), 1, "the other one still needs it");
    assert_eq!(readers.ask("c.example.com"), 1);
    readers.leave("b.example.com");
    readers.leave("b.example.com");
    assert_eq!(readers.ask("c.example.com"), 1);
    readers.leave("c.example.com");
    assert_eq!(readers.ask("a.example.com"), 2, "nobody needed it any more");
}

#[test]
fn nothing_is_read_for_whoever_leaves_without_having_asked() {
    let mut readers = Readers::of_nothing_yet();
    readers.leave("a.example.com");
    assert_eq!(readers.account.state().listings, 0);
    assert_eq!(readers.ask("a.example.com"), 1);
}
