//! Two hundred domains in one zone, and a record of one of them that Route 53 refuses, with the whole batch that it is in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;
use ses_operator::api::SesDomain;
use ses_operator_rig::aws::{Request, Settings};
use ses_operator_rig::wait::until;

use crate::world::{World, bare_story, full, with};

const DOMAINS: usize = 200;
/// The number of the one whose MAIL FROM name somebody takes in the last moment.
const CULPRIT: usize = 40;
/// What AWS has raised the quota of SES to: batches are as large as the operator lets them become.
const SES_RATE: f64 = 20.0;
/// Virtual seconds in a second.
const PACE: f64 = 20.0;
/// Longer than it takes on a machine that is compiling as well.
const PATIENCE: Duration = Duration::from_secs(300);

fn name(number: usize) -> String {
    format!("d{number}")
}

fn domain(number: usize) -> String {
    format!("d{number}.spoiled.example")
}

async fn apply(world: &World, number: usize) -> Result<()> {
    world.apply_as(&name(number), with(full(), json!({"domain": domain(number)}))).await
}

fn is_ready(domain: &SesDomain) -> bool {
    let conditions = domain.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True")
}

/// The resources that were warned of anything.
async fn warned(world: &World) -> Result<BTreeSet<String>> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let warnings = events.list(&ListParams::default().fields("type=Warning")).await?;
    Ok(warnings.into_iter().filter_map(|event| event.regarding?.name).collect())
}

/// The domains that a batch changes something of.
fn domains_in(batch: &Request) -> BTreeSet<&str> {
    let domain =
        |name: &'_ str| name.rfind(".spoiled.example").map(|end| name[..end].rfind('.').map_or(0, |dot| dot + 1));
    batch.changes.iter().filter_map(|change| domain(&change.name).map(|start| &change.name[start..])).collect()
}

/// The zone is known by then, so nobody sees what stands at the name before Route 53 says so.
#[tokio::test]
async fn of_two_hundred_domains_in_one_zone_only_the_one_is_refused_whose_record_spoils_the_batches() -> Result<()> {
    bare_story("spoiled-batch", async |world| {
        world.zone = world.account.create_zone("spoiled.example").await?;
        let settings = Settings::default().insync(20..=60).dkim(60..=120).mail_from(60..=120);
        world.account.settings(settings.rate_limits(SES_RATE / 0.9, 5.0)).await?;
        world.start([format!("--ses-rate={SES_RATE}").as_str()])?;
        let before = world.mark().await?;
        apply(world, 0).await?;
        world.calls_since(before, "ChangeResourceRecordSets").await?;
        world.account.set_rate(0.0).await?;
        let taken = format!("mail.{}", domain(CULPRIT));
        world.account.write_record(&world.zone, &taken, "CNAME", &["elsewhere.example"]).await?;
        let mark = world.mark().await?;
        for number in 1..DOMAINS {
            apply(world, number).await?;
        }
        world.account.set_rate(PACE).await?;

        let domains = world.domains();
        until("all but one to be Ready", PATIENCE, async || {
            let all = domains.list(&ListParams::default()).await?;
            let ready = all.iter().filter(|one| is_ready(one) && one.name_any() != name(CULPRIT)).count();
            ensure!(ready == DOMAINS - 1, "{ready} are");
            Ok(())
        })
        .await?;
        let told = world.sees_of(&name(CULPRIT), "Stalled", "True").await?;
        assert_eq!(told.reason, "RecordConflict");
        assert!(told.message.contains(&taken), "{}", told.message);
        let warned = warned(world).await?;
        ensure!(warned == BTreeSet::from([name(CULPRIT)]), "others have got an answer that was not theirs: {warned:?}");

        spoils_few_batches(&world.account.requests_since(mark).await?)?;

        world.account.delete_record(&world.zone, &taken, "CNAME").await?;
        world.sees_of(&name(CULPRIT), "Ready", "True").await?;
        Ok(())
    })
    .await
}

/// A refused batch is halved until the culprit is alone, and what is not refused is written once.
fn spoils_few_batches(requests: &[Request]) -> Result<()> {
    let batches: Vec<&Request> =
        requests.iter().filter(|request| request.operation == "ChangeResourceRecordSets").collect();
    let (accepted, refused): (Vec<&Request>, Vec<&Request>) = batches.iter().partition(|batch| batch.status == 200);
    let size = |batch: &&Request| domains_in(batch).len();
    let (accepted_sizes, refused_sizes): (Vec<_>, Vec<_>) =
        (accepted.iter().map(size).collect(), refused.iter().map(size).collect());
    println!("{} batches: accepted with {accepted_sizes:?} domains, refused with {refused_sizes:?}", batches.len());
    let culprit = domain(CULPRIT);
    ensure!(refused.iter().all(|batch| domains_in(batch).contains(culprit.as_str())), "without the culprit");
    let largest = refused_sizes.first().copied().unwrap_or_default();
    ensure!(largest > 1, "the culprit was in no batch with others");
    let halvings = largest.next_power_of_two().ilog2() as usize;
    ensure!(refused.len() <= halvings + 1, "{largest} are halved {halvings} times");
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    accepted.iter().flat_map(|batch| domains_in(batch)).for_each(|domain| *written.entry(domain).or_default() += 1);
    let twice: Vec<_> = written.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "written more than once: {twice:?}");
    Ok(())
}
