//! Two replicas and one Lease: who writes, and until when.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::json;
use ses_operator_rig::aws::{Account, Fault, FaultKind, Request, Service};
use ses_operator_rig::control_plane::relay::Way;
use ses_operator_rig::operator::{Builder, Operator};
use ses_operator_rig::wait::until;

use crate::cluster::{SOON, TEN_SECONDS};
use crate::world::probes::get;
use crate::world::{World, bare_story, full, with};

/// A replica of a Deployment, by its name in the log of AWS requests.
fn replica(world: &World, name: &str) -> Builder {
    world.builder(["--lease-namespace", &world.namespace]).environment([("AWS_SDK_UA_APP_ID", name)])
}

/// Waits until a replica has logged this.
async fn logs(operator: &Operator, words: &str) -> Result<()> {
    until(&format!("the log to say {words:?}"), SOON, async || {
        let log = operator.log();
        ensure!(log.contains(words), "{}", log.lines().last().unwrap_or("nothing"));
        Ok(())
    })
    .await
}

/// What a replica has sent since then to change something.
async fn sent_by(account: &Account, name: &str, mark: u64) -> Result<Vec<Request>> {
    let requests = account.requests_since(mark).await?.into_iter();
    Ok(requests.filter(|request| request.mutation && request.sender.as_deref() == Some(name)).collect())
}

/// Waits until a replica has sent so many changes since then.
async fn sends(account: &Account, name: &str, mark: u64, count: usize) -> Result<()> {
    until(&format!("{count} changes by the {name}"), SOON, async || {
        let sent = sent_by(account, name, mark).await?.len();
        ensure!(sent >= count, "{sent} so far");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_two_replicas_one_works_and_the_other_takes_over() -> Result<()> {
    bare_story("replicas", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let first = replica(world, "first").start()?;
        logs(&first, "leading").await?;
        let second = replica(world, "second").start()?;
        logs(&second, "standing by").await?;
        for path in ["/livez", "/readyz"] {
            assert_eq!(get(&second, path).await?.0, 200, "a standby is as ready as can be: {path}");
        }
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(sent_by(&world.account, "second", 0).await?.len(), 0);

        let stopped = first.stop(TEN_SECONDS).await?;
        assert!(stopped.status.success(), "{}", stopped.status);
        logs(&second, "leading").await?;
        let mark = world.mark().await?;
        world.apply(with(full(), json!({"tags": {"team": "mail"}}))).await?;
        sends(&world.account, "second", mark, 1).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.count_since(0, "CreateEmailIdentity").await?, 1);
        second.kill()
    })
    .await
}

#[tokio::test]
async fn a_leader_that_hung_writes_nothing_when_it_wakes_up() -> Result<()> {
    bare_story("hung-leader", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let mut first = replica(world, "first").start()?;
        logs(&first, "leading").await?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        first.signal("STOP")?;
        let hung = world.mark().await?;
        let second = replica(world, "second").start()?;
        logs(&second, "leading").await?;

        // Something is to be done, for whoever may.
        world.account.delete_record(&world.zone, "mail.hung-leader.example", "TXT").await?;
        world.reconciles("after the take-over").await?;
        sends(&world.account, "second", hung, 1).await?;
        first.signal("CONT")?;
        let ended = first.wait(SOON).await?;
        assert_eq!(ended.code(), Some(1), "{}", first.log());
        assert!(first.log().contains("the process ends, and another one takes over"), "{}", first.log());
        let after = sent_by(&world.account, "first", hung).await?;
        assert!(after.is_empty(), "{after:?}");
        world.sees("Ready", "True").await?;
        second.kill()
    })
    .await
}

/// Virtual seconds in a second: the rounds come round within seconds.
const PACE: f64 = 900.0;
/// Each in a zone of its own, so that no change waits for another.
const DOMAINS: usize = 12;
/// How often a domain loses a record, on the wall's clock: each about once in two virtual hours, which is not often enough
/// to be left alone.
const LOSS: Duration = Duration::from_millis(700);

/// Takes away one record after another, so that there is always something to put back.
async fn take_away(account: Account, zones: Vec<(String, String)>) {
    let mut losses = tokio::time::interval(LOSS);
    for (name, zone) in zones.iter().cycle() {
        losses.tick().await;
        // It may not have been put back yet.
        let _ = account.delete_record(zone, &format!("mail.{name}"), "TXT").await;
    }
}

/// The leader, and it alone, is cut off from the API server, while there is work to do and AWS is within reach.
async fn cut_off(story: &str, way: Way, slow: Option<Fault>) -> Result<()> {
    bare_story(story, async |world| {
        let account = world.account.clone();
        let relay = world.plane.relay().await?;
        let mut first = replica(world, "first").kubeconfig(relay.kubeconfig()).start()?;
        logs(&first, "leading").await?;
        let second = replica(world, "second").start()?;
        logs(&second, "standing by").await?;
        let mut zones = Vec::new();
        for number in 0..DOMAINS {
            let domain = format!("d{number}.{}", world.domain);
            zones.push((domain.clone(), account.create_zone(&domain).await?));
            world.apply_as(&format!("d{number}"), with(full(), json!({"domain": domain}))).await?;
        }
        for number in 0..DOMAINS {
            world.sees_of(&format!("d{number}"), "Ready", "True").await?;
        }
        account.set_rate(PACE).await?;
        let losses = tokio::spawn(take_away(account.clone(), zones));

        // The twin: while nothing is cut, the one works, and the other does nothing.
        sends(&account, "first", world.mark().await?, DOMAINS).await?;
        assert_eq!(sent_by(&account, "second", 0).await?.len(), 0);

        if let Some(slow) = slow {
            account.fault(slow).await?;
        }
        relay.set(way);
        let cut = Timestamp::now();
        let ended = first.wait(SOON).await?;
        assert_eq!(ended.code(), Some(1), "{}", first.log());
        assert!(first.log().contains("it could not be renewed for 18 s"), "{}", first.log());
        sends(&account, "second", 0, DOMAINS).await?;
        losses.abort();

        let (firsts, seconds) = (sent_by(&account, "first", 0).await?, sent_by(&account, "second", 0).await?);
        let (last, next) = (firsts.last().context("a change")?, seconds.first().context("a change")?);
        let between = next.arrived.duration_since(last.arrived);
        println!(
            "{story}: {} changes by the first after it was cut off, the last one {:#} after that; the second's first one {between:#} later",
            firsts.iter().filter(|request| request.arrived > cut).count(),
            last.arrived.duration_since(cut),
        );
        assert!(last.arrived > cut, "it had work to do and a way to AWS: {last}");
        assert!(last.seq < next.seq && last.arrived < next.arrived, "{last} and {next}");
        let done = firsts.iter().filter_map(|request| request.done).max().context("a change that was made")?;
        assert!(done < next.arrived, "a change of the first was made at {done}, when the second had begun: {next}");

        // The first one comes back, as a Deployment would have it, and stands by.
        account.clear_faults().await?;
        relay.set(Way::Open);
        let mark = world.mark().await?;
        let again = replica(world, "first").kubeconfig(relay.kubeconfig()).start()?;
        logs(&again, "standing by").await?;
        for number in 0..DOMAINS {
            world.sees_of(&format!("d{number}"), "Ready", "True").await?;
        }
        assert!(sent_by(&account, "first", mark).await?.is_empty());
        again.kill()?;
        second.kill()
    })
    .await
}

#[tokio::test]
async fn a_leader_cut_off_from_the_api_server_stops_before_the_other_starts() -> Result<()> {
    cut_off("cut-off", Way::Broken, None).await
}

/// Nobody tells it, and its changes take their time on the way to AWS.
#[tokio::test]
async fn a_leader_whose_network_swallows_everything_stops_before_the_other_starts() -> Result<()> {
    let slow = Fault::new(Service::Route53, FaultKind::Latency).operation("ChangeResourceRecordSets");
    cut_off("swallowed", Way::Silent, Some(slow.matching("CREATE").lasting(Duration::from_secs(7)))).await
}
