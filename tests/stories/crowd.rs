//! Fifty domains at once under AWS's quotas, and one of them in trouble: the others must not notice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use ses_operator::api::SesDomain;
use ses_operator_rig::aws::{Fault, FaultKind, Service, Settings};
use ses_operator_rig::wait::until;

use crate::world::{World, bare_story, full, with};

const DOMAINS: usize = 50;
/// The number of the one that is in trouble.
const TROUBLED: usize = 9;
/// Delays are drawn from it, by domain: the same in both runs.
const SEED: u64 = 5;
/// Virtual seconds in a second: slow enough for the time that this machine takes to count little.
const PACE: f64 = 20.0;
/// Longer than fifty domains take on a machine that is compiling as well.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the records of a domain stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zones {
    /// Each domain has a zone of its own.
    Own,
    /// All share one.
    Shared,
}

fn domain(number: usize) -> String {
    format!("d{number}.crowd.example")
}

/// Applies fifty domains at once in a world of their own, and gives the time that each took until it was Ready, but for the
/// troubled one.
async fn time_to_ready(
    name: &str,
    zones: Zones,
    trouble: impl AsyncFn(&World, &str) -> Result<()>,
    then: impl AsyncFn(&mut World) -> Result<()>,
) -> Result<BTreeMap<String, SignedDuration>> {
    let mut times = BTreeMap::new();
    bare_story(name, async |world| {
        let mut troubled = String::new();
        if zones == Zones::Shared {
            troubled = world.account.create_zone("crowd.example").await?;
        } else {
            for number in 0..DOMAINS {
                let zone = world.account.create_zone(&domain(number)).await?;
                if number == TROUBLED {
                    troubled = zone;
                }
            }
        }
        world.zone.clone_from(&troubled);
        // As people see them, and the quotas of AWS.
        let settings = Settings::default().seed(SEED).insync(20..=60).dkim(60..=600).mail_from(60..=900);
        world.account.settings(settings.quotas_of_aws()).await?;
        trouble(world, &troubled).await?;
        world.start([])?;
        // Time stands still while they are applied.
        world.account.set_rate(0.0).await?;
        for number in 0..DOMAINS {
            world.apply_as(&format!("d{number}"), with(full(), json!({"domain": domain(number)}))).await?;
        }
        let began = world.account.set_rate(PACE).await?.now;
        let domains = world.domains();
        times = until("all but one to be Ready", PATIENCE, async || {
            let all = domains.list(&ListParams::default()).await?;
            let others = all.iter().filter(|one| one.name_any() != format!("d{TROUBLED}"));
            let took = |one: &SesDomain| Some((one.name_any(), ready_since(one)?.duration_since(began)));
            let ready: BTreeMap<_, _> = others.filter_map(took).collect();
            ensure!(ready.len() == DOMAINS - 1, "{} are", ready.len());
            Ok(ready)
        })
        .await?;
        then(world).await
    })
    .await?;
    Ok(times)
}

fn ready_since(domain: &SesDomain) -> Option<Timestamp> {
    let conditions = &domain.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|one| one.type_ == "Ready" && one.status == "True")?;
    Some(ready.last_transition_time.0)
}

/// The last of them is Ready in at most 1.1 times the time that it takes undisturbed.
fn must_not_notice(
    undisturbed: &BTreeMap<String, SignedDuration>,
    disturbed: &BTreeMap<String, SignedDuration>,
) -> Result<()> {
    let last = |times: &BTreeMap<String, SignedDuration>| times.values().max().copied().context("times");
    let (undisturbed_last, disturbed_last) = (last(undisturbed)?, last(disturbed)?);
    let ratio = |name: &String| Some(disturbed.get(name)?.as_secs_f64() / undisturbed.get(name)?.as_secs_f64());
    let ratios: Vec<f64> = undisturbed.keys().filter_map(ratio).collect();
    println!(
        "49 of 50 domains are Ready after {disturbed_last:#}, and after {undisturbed_last:#} undisturbed; each by itself takes {:.2} to {:.2} times as long, {:.2} in the mean",
        ratios.iter().copied().fold(f64::MAX, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
        ratios.iter().sum::<f64>() / ratios.len() as f64,
    );
    ensure!(
        disturbed_last.as_secs() * 10 <= undisturbed_last.as_secs() * 11,
        "{disturbed_last:#}, and {undisturbed_last:#} undisturbed"
    );
    Ok(())
}

#[tokio::test]
async fn one_zone_that_is_denied_holds_up_none_of_the_others() -> Result<()> {
    let undisturbed = time_to_ready("crowd-at-peace", Zones::Own, async |_, _| Ok(()), async |_| Ok(()));
    let deny = async |world: &World, zone: &str| {
        world.account.fault(Fault::new(Service::Route53, FaultKind::Denied).matching(zone)).await?;
        Ok(())
    };
    let then = async |world: &mut World| {
        let name = format!("d{TROUBLED}");
        let told = world.sees_of(&name, "Stalled", "True").await?;
        let what = format!("route53:ListResourceRecordSets for {}", world.zone);
        assert_eq!(told.reason, "AccessDenied");
        assert!(told.message.contains(&what), "{}", told.message);
        assert!(told.message.contains("allow it to the operator's IAM role"), "{}", told.message);
        world.account.clear_faults().await?;
        world.sees_of(&name, "Ready", "True").await?;
        Ok(())
    };
    let disturbed = time_to_ready("crowd-denied", Zones::Own, deny, then);
    let (undisturbed, disturbed) = futures::try_join!(undisturbed, disturbed)?;
    must_not_notice(&undisturbed, &disturbed)
}

/// As IAM's condition keys for record names deny it: a batch with that name in it is refused as a whole.
#[tokio::test]
async fn one_domain_that_spoils_the_batches_of_a_shared_zone_holds_up_none_of_the_others() -> Result<()> {
    let undisturbed = time_to_ready("shared-at-peace", Zones::Shared, async |_, _| Ok(()), async |_| Ok(()));
    let spoiled = format!("mail.{}", domain(TROUBLED));
    let deny = async |world: &World, _: &str| {
        let deny = Fault::new(Service::Route53, FaultKind::Denied).operation("ChangeResourceRecordSets");
        world.account.fault(deny.matching(&spoiled)).await?;
        Ok(())
    };
    let then = async |world: &mut World| {
        let name = format!("d{TROUBLED}");
        let told = world.sees_of(&name, "Stalled", "True").await?;
        assert_eq!(told.reason, "AccessDenied");
        assert!(told.message.contains("route53:ChangeResourceRecordSets"), "{}", told.message);
        world.account.clear_faults().await?;
        world.sees_of(&name, "Ready", "True").await?;
        Ok(())
    };
    let disturbed = time_to_ready("shared-spoiled", Zones::Shared, deny, then);
    let (undisturbed, disturbed) = futures::try_join!(undisturbed, disturbed)?;
    must_not_notice(&undisturbed, &disturbed)
}
