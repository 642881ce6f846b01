//! The test of the tests: operators broken on purpose, each of which some seed must catch. The code of the reconcile is
//! the real one; what is broken is what it is told and what becomes of what it writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use ses_operator::cloud::{AsOf, CloudError, Region};
use ses_operator::dns::public::{Answer, PublicDns, Question};
use ses_operator::dns::{DnsProvider, HostedZone, RecordChange, RecordSet, Subtree, ZoneId};
use ses_operator::domain_name::DomainName;
use ses_operator::ses::ownership::Owner;
use ses_operator::ses::{
    Identity, IdentityChange, IdentityKey, IdentityService, ListedIdentity, NewIdentity, VerificationStatus,
};

use crate::cloud::public::Resolver;
use crate::cloud::route53::Route53;
use crate::cloud::ses::Ses;
use crate::convergence;
use crate::simulation::NAME;
use crate::workers::on_all_threads;

/// As many seeds are tried at most.
const SEEDS: u64 = 100;

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing.
    #[default]
    None,
    /// Every identity bears our tags.
    OwnershipUnchecked,
    /// A record set that exists is overwritten by a CREATE.
    Upsert,
    /// What is claimed is written down only after the changes were made.
    NoWriteAhead,
    /// A list that could not be read is an empty one.
    EmptyListBelieved,
    /// A MAIL FROM domain is verified as soon as it is set.
    RejectTooEarly,
    /// Whatever an SPF policy includes, it is short.
    LookUpsUncounted,
}

/// Public DNS as a broken operator sees it.
#[derive(Debug)]
pub struct BrokenResolver(pub Resolver, pub Mutant);

impl PublicDns for BrokenResolver {
    fn ask<'a>(&'a self, question: &'a Question, deadline: Instant) -> BoxFuture<'a, Result<Answer, CloudError>> {
        if self.1 == Mutant::LookUpsUncounted {
            return std::future::ready(Ok(vec!["v=spf1 -all".to_owned()])).boxed();
        }
        self.0.ask(question, deadline)
    }
}

/// SES as a broken operator sees it.
#[derive(Clone, Debug)]
pub struct BrokenSes(pub Ses, pub Mutant);

impl IdentityService for BrokenSes {
    async fn list(&self, region: &Region) -> Result<AsOf<Vec<ListedIdentity>>, CloudError> {
        match self.0.list(region).await {
            Err(_) if self.1 == Mutant::EmptyListBelieved => Ok(self.0.0.as_of_now(vec![])),
            answer => answer,
        }
    }

    async fn get(&self, key: &IdentityKey) -> Result<AsOf<Option<Identity>>, CloudError> {
        let mut answer = self.0.get(key).await;
        match (self.1, &mut answer) {
            (Mutant::OwnershipUnchecked, Ok(AsOf { answer: Some(identity), .. })) => {
                let owner =
                    Owner { cluster: "cluster-1".to_owned(), namespace: "mail".to_owned(), name: NAME.to_owned() };
                identity.tags.extend(owner.tags());
            }
            (Mutant::RejectTooEarly, Ok(AsOf { answer: Some(identity), .. })) => {
                if let Some(mail_from) = &mut identity.mail_from {
                    mail_from.status = VerificationStatus::Success;
                }
            }
            (Mutant::EmptyListBelieved, Err(_)) => return Ok(self.0.0.as_of_now(None)),
            _ => {}
        }
        answer
    }

    async fn create(&self, key: &IdentityKey, new: &NewIdentity) -> Result<AsOf<Identity>, CloudError> {
        self.0.create(key, new).await
    }

    async fn change(&self, key: &IdentityKey, change: &IdentityChange) -> Result<(), CloudError> {
        self.0.change(key, change).await
    }

    async fn delete(&self, key: &IdentityKey) -> Result<(), CloudError> {
        self.0.delete(key).await
    }
}

/// Route 53 as a broken operator sees it.
#[derive(Clone, Debug)]
pub struct BrokenRoute53(pub Route53, pub Mutant);

impl DnsProvider for BrokenRoute53 {
    async fn hosted_zones(&self) -> Result<AsOf<Vec<HostedZone>>, CloudError> {
        match self.0.hosted_zones().await {
            Err(_) if self.1 == Mutant::EmptyListBelieved => Ok(self.0.0.as_of_now(vec![])),
            answer => answer,
        }
    }

    async fn listing(&self, zone: &ZoneId) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        match self.0.listing(zone).await {
            Err(_) if self.1 == Mutant::EmptyListBelieved => Ok(self.0.0.as_of_now(vec![])),
            answer => answer,
        }
    }

    async fn subtree(&self, zone: &ZoneId, root: &DomainName) -> Result<AsOf<Subtree>, CloudError> {
        match self.0.subtree(zone, root).await {
            Err(_) if self.1 == Mutant::EmptyListBelieved => {
                Ok(self.0.0.as_of_now(Subtree { record_sets: vec![], complete: true }))
            }
            answer => answer,
        }
    }

    async fn record_sets(&self, zone: &ZoneId, name: &DomainName) -> Result<AsOf<Vec<RecordSet>>, CloudError> {
        match self.0.record_sets(zone, name).await {
            Err(_) if self.1 == Mutant::EmptyListBelieved => Ok(self.0.0.as_of_now(vec![])),
            answer => answer,
        }
    }

    async fn change(&self, zone: &ZoneId, changes: &[RecordChange]) -> Result<String, CloudError> {
        if self.1 != Mutant::Upsert {
            return self.0.change(zone, changes).await;
        }
        // What stands is looked at by the service itself.
        self.0.0.state().intrude();
        let mut upserts = Vec::new();
        for change in changes {
            let RecordChange::Create(set) = change else { continue };
            let stands = self.0.stands(zone, set);
            let goes = |change: &RecordChange| matches!(change, RecordChange::Delete(old) if old.is_at(&set.name, &set.record_type));
            if !changes.iter().any(goes) {
                upserts.extend(stands.map(RecordChange::Delete));
            }
        }
        upserts.extend(changes.iter().cloned());
        self.0.change(zone, &upserts).await
    }

    async fn is_in_sync(&self, change_id: &str) -> Result<AsOf<bool>, CloudError> {
        self.0.is_in_sync(change_id).await
    }
}

/// What each broken operator does, in the words of whoever watches it.
const CAUGHT: [(Mutant, &[&str]); 6] = [
    (Mutant::OwnershipUnchecked, &["an identity of others was changed", "which somebody else had made"]),
    (Mutant::Upsert, &["the foreign value"]),
    (Mutant::NoWriteAhead, &["was created and no status claims it"]),
    (Mutant::EmptyListBelieved, &["nobody looks after"]),
    (Mutant::RejectTooEarly, &["RejectMessage was put for"]),
    (Mutant::LookUpsUncounted, &["our term was put into the policy of"]),
];

#[test]
fn every_operator_that_is_broken_on_purpose_is_caught_for_what_it_does() {
    let caught = on_all_threads(&CAUGHT, |(mutant, words)| {
        // One of each story.
        let mut seeds = (1..=SEEDS).map(|story| story * convergence::WARS);
        let is_caught = |seed: &u64| {
            let told = told(|| convergence::play(*seed, *mutant));
            told.is_some_and(|told| words.iter().any(|words| told.contains(words)))
        };
        let seed = seeds.find(is_caught);
        println!("{mutant:?} is caught by seed {seed:?}: {words:?}");
        // And it is for what is broken.
        seed.is_some_and(|seed| told(|| convergence::play(seed, Mutant::None)).is_none())
    });
    for ((mutant, words), caught) in CAUGHT.iter().zip(caught) {
        assert_eq!(
            caught,
            Some(true),
            "{mutant:?} survives {SEEDS} stories without {words:?}, or another one fails too"
        );
    }
}

/// What a play that fails says.
fn told(play: impl FnOnce()) -> Option<String> {
    let told = catch_unwind(AssertUnwindSafe(play)).err()?;
    let told = told.downcast::<String>().expect("a failure says what it is");
    Some(*told)
}
