//! `ses-operator plan`: manifests → what a reconcile would do. Nothing is written anywhere.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::PlanOptions;
use super::manifest::Manifests;
use crate::api::SesDomain;
use crate::aws::Aws;
use crate::cloud::{CloudError, ErrorKind};
use crate::controller::neighbors;
use crate::dns::public::snapshot::PublicNames;
use crate::dns::route53::Route53;
use crate::dns::snapshot::Dns;
use crate::leadership::WritePermit;
use crate::quota::limiters::{Limiters, Rates};
use crate::reconcile::Reconciler;
use crate::reconcile::preview::Preview;
use crate::reconcile::preview::words::{Tally, lines, summary};
use crate::run;
use crate::ses::sesv2::SesV2;
use crate::ses::snapshot::Identities;
use crate::start_error::StartError;
use crate::telemetry::metrics::Metrics;

mod cluster;

use cluster::Cluster;

/// What the plan came to, as the process tells it by its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing would be changed: 0.
    NothingToDo,
    /// Nothing can be changed before a person mends something: 1, as for an error.
    Blocked,
    /// Something would be changed: 2.
    SomethingToDo,
}

impl Verdict {
    fn of(tally: &Tally) -> Self {
        match (tally.changes_something(), tally.conflicts) {
            (true, _) => Self::SomethingToDo,
            (false, 0) => Self::NothingToDo,
            (false, _) => Self::Blocked,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::NothingToDo => 0,
            Verdict::Blocked => 1,
            Verdict::SomethingToDo => 2,
        })
    }
}

/// Prints what would be done for the manifests. `input` is read where a file is named `-`.
///
/// # Errors
/// All that is wrong with the manifests; else why there is no plan, or none of a domain.
pub fn plan(options: &PlanOptions, input: &mut impl Read, out: &mut impl Write) -> Result<Verdict, Vec<StartError>> {
    let manifests = read(options, input)?;
    let one = |error| vec![error];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| one(StartError::new(format!("can't start the runtime: {error}"))))?;
    let planned = runtime.block_on(plan_all(options, manifests)).map_err(one)?;
    print(&planned, out).map_err(|error| one(StartError::new(format!("can't write the plan: {error}"))))?;
    let failed = |domain: &Planned| {
        let failure = domain.preview.failure.as_ref()?;
        Some(StartError::new(format!("{} can't be planned: {}", domain.name, in_words(failure))))
    };
    let failures: Vec<StartError> = planned.domains.iter().filter_map(failed).collect();
    if failures.is_empty() { Ok(Verdict::of(&planned.tally())) } else { Err(failures) }
}

fn read(options: &PlanOptions, input: &mut impl Read) -> Result<Manifests, Vec<StartError>> {
    let mut manifests = Manifests::default();
    for file in &options.filename {
        let mut text = String::new();
        let (name, read) = if file == "-" {
            ("standard input", input.read_to_string(&mut text).map(|_| ()))
        } else {
            (file.as_str(), std::fs::read_to_string(file).map(|found| text = found))
        };
        match read {
            Ok(()) => manifests.read(name, &text),
            Err(error) => manifests.faults.push(format!("{name} can't be read: {error}; correct -f")),
        }
    }
    if manifests.faults.is_empty() && manifests.domains.is_empty() {
        manifests.faults.push(format!("no SesDomain is in {}: correct -f", options.filename.join(", ")));
    }
    if manifests.faults.is_empty() {
        Ok(manifests)
    } else {
        Err(manifests.faults.into_iter().map(StartError::new).collect())
    }
}

/// Everything that is printed.
struct Plans {
    notes: Vec<String>,
    account: String,
    domains: Vec<Planned>,
}

struct Planned {
    /// `namespace/name`.
    name: String,
    preview: Preview,
}

impl Plans {
    fn tally(&self) -> Tally {
        self.domains.iter().fold(Tally::default(), |tally, domain| tally.and(Tally::of(&domain.preview)))
    }
}

async fn plan_all(options: &PlanOptions, manifests: Manifests) -> Result<Plans, StartError> {
    let clock = run::clock().await?;
    let Cluster { id, live, namespace, mut notes } = cluster::look(options, &manifests.domains).await;
    notes.splice(0..0, manifests.skipped);
    // No write can leave, not even by mistake.
    let (metrics, limiters) = (Arc::new(Metrics::default()), Limiters::new(Rates::default(), clock.clone()));
    let aws = Aws::connect(options.scope.region.as_deref(), WritePermit::none(), metrics, limiters)
        .await
        .map_err(|error| StartError::new(error.to_string()))?;
    let account = aws.account().await.map_err(|error| StartError::new(error.to_string()))?;
    let settings = options.scope.settings(account.clone(), aws.region().clone(), id);
    let reconciler = Reconciler {
        identities: Identities::new(SesV2::new(&aws, &account), clock.clone()),
        dns: Dns::new(Route53::new(&aws), clock.clone()),
        public: PublicNames::new(options.scope.resolver()?, clock.clone()),
        clock: clock.clone(),
        settings,
    };
    let asked: Vec<SesDomain> =
        manifests.domains.into_iter().map(|domain| laid_over(&live, domain, &namespace, clock.now())).collect();
    let all: Vec<&SesDomain> =
        live.iter().filter(|found| !asked.iter().any(|asked| is_same(asked, found))).chain(&asked).collect();
    let mut domains = Vec::new();
    for resource in &asked {
        let name = format!("{}/{}", resource.namespace().unwrap_or_default(), resource.name_any());
        let known = resource.status.as_ref().and_then(|status| status.account.as_ref());
        if let Some(known) = known.filter(|known| **known != account) {
            notes.push(format!(
                "the operator keeps {name} in the account {known}, and these credentials are of the account {account}: the plan is of the latter"
            ));
        }
        let neighbors = neighbors::of(resource, all.iter().copied());
        domains.push(Planned { name, preview: reconciler.preview(resource, neighbors).await });
    }
    Ok(Plans { notes, account, domains })
}

fn is_same(one: &SesDomain, other: &SesDomain) -> bool {
    one.name_any() == other.name_any() && one.namespace() == other.namespace()
}

/// The resource as it would be once the manifest is applied.
fn laid_over(live: &[SesDomain], mut manifest: SesDomain, namespace: &str, now: Timestamp) -> SesDomain {
    manifest.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let Some(found) = live.iter().find(|found| is_same(found, &manifest)) else {
        let metadata = &mut manifest.metadata;
        metadata.generation = Some(1);
        metadata.creation_timestamp = Some(Time(now));
        // What tells resources apart; the API server would give another one.
        metadata.uid = Some(format!("{}/{}", namespace, metadata.name.clone().unwrap_or_default()));
        return manifest;
    };
    let mut applied = SesDomain { spec: manifest.spec, ..found.clone() };
    if applied.spec != found.spec {
        applied.metadata.generation = found.metadata.generation.map(|generation| generation + 1);
    }
    applied
}

fn print(plans: &Plans, out: &mut impl Write) -> std::io::Result<()> {
    for note in &plans.notes {
        writeln!(out, "# {note}")?;
    }
    for Planned { name, preview } in &plans.domains {
        let key = &preview.identity;
        let suspended =
            if preview.suspended { " (suspended: nothing of this is done until spec.suspend is false)" } else { "" };
        writeln!(out, "{name}: {} in {}, account {}{suspended}", key.domain, key.region, plans.account)?;
        if let Some(failure) = &preview.failure {
            writeln!(out, "  ! can't be planned: {}", in_words(failure))?;
            continue;
        }
        if preview.now.is_empty() {
            writeln!(out, "  nothing to do now")?;
        }
        for line in lines(preview) {
            writeln!(out, "  {line}")?;
        }
    }
    writeln!(out, "{}", summary(&plans.tally()))
}

/// A failure as whoever runs the command reads it.
fn in_words(failure: &CloudError) -> String {
    let next = match failure.kind {
        ErrorKind::Denied => "allow it to the credentials that this command runs with",
        ErrorKind::Unauthenticated => {
            "check the credentials that this command runs with, and the clock of this machine"
        }
        ErrorKind::Rejected => "correct what AWS names",
        ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Busy | ErrorKind::NotFound | ErrorKind::Conflict => {
            "try again"
        }
        ErrorKind::QuotaExceeded => "ask AWS to raise the quota",
        ErrorKind::NotLeading => "this command never writes: report it as a defect",
    };
    format!("{failure}; {next}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn domain(value: Value) -> SesDomain {
        serde_json::from_value(value).expect("a SesDomain")
    }

    fn manifest(spec: Value) -> SesDomain {
        let metadata = json!({"name": "a"});
        domain(
            json!({"apiVersion": "ses-operator.dev/v1alpha1", "kind": "SesDomain", "metadata": metadata, "spec": spec}),
        )
    }

    #[test]
    fn the_verdict_is_the_status_of_the_process() {
        for (records, conflicts, verdict) in [
            ([0, 0, 0], 0, Verdict::NothingToDo),
            ([0, 0, 0], 1, Verdict::Blocked),
            ([0, 1, 0], 0, Verdict::SomethingToDo),
            ([0, 0, 1], 1, Verdict::SomethingToDo),
        ] {
            assert_eq!(
                Verdict::of(&Tally { records, conflicts, ..Tally::default() }),
                verdict,
                "{records:?} {conflicts}"
            );
        }
    }

    #[test]
    fn a_manifest_is_laid_over_what_is_there() {
        let live = domain(json!({
            "apiVersion": "ses-operator.dev/v1alpha1", "kind": "SesDomain",
            "metadata": {"name": "a", "namespace": "mail", "uid": "1", "generation": 3},
            "spec": {"domain": "example.com"},
            "status": {"region": "eu-west-1"},
        }));
        let live = [live];
        let now = Timestamp::UNIX_EPOCH;
        let same = laid_over(&live, manifest(json!({"domain": "example.com"})), "mail", now);
        assert_eq!((same.metadata.generation, &same.status), (Some(3), &live[0].status));
        let other = laid_over(&live, manifest(json!({"domain": "example.com", "suspend": true})), "mail", now);
        assert_eq!((other.metadata.generation, &other.status), (Some(4), &live[0].status));
        let new = laid_over(&live, manifest(json!({"domain": "example.com"})), "elsewhere", now);
        assert_eq!((new.status.clone(), new.metadata.uid.as_deref()), (None, Some("elsewhere/a")));
        let rivals = neighbors::of(&new, [&live[0], &new].into_iter()).rivals;
        assert!(rivals.len() == 1 && rivals[0].goes_first, "the older has the domain: {rivals:?}");
    }
}
