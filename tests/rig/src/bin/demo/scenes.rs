//! What happens, one scene after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ses_operator_rig::wait::until;

use crate::screen::{Mark, Screen, table};
use crate::stage::{DOMAIN, NAME, NAMESPACE, REGION, Stage, path, project};

const PATIENCE: Duration = Duration::from_secs(90);

/// `kubectl apply`, and each condition as it turns.
pub async fn becomes_ready(screen: &Screen, stage: &Stage) -> Result<()> {
    screen.scene("A SesDomain is applied and becomes Ready");
    screen.command("cat config/samples/sesdomain.yaml");
    screen.output(&std::fs::read_to_string(project().join("config/samples/sesdomain.yaml"))?);
    screen.command("kubectl apply -k config/samples");
    screen.output(&stage.plane.kubectl(["apply", "-k", &path(&project().join("config/samples"))]).await?);
    watch_until_ready(screen, stage).await
}

async fn watch_until_ready(screen: &Screen, stage: &Stage) -> Result<()> {
    let started = Instant::now();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    until("the resource to be Ready", PATIENCE, async || {
        let mut conditions = stage.conditions().await?;
        conditions.sort_by_key(|[name, ..]| name == "Ready");
        for [name, status, reason, message] in &conditions {
            let state = format!("{status} {reason}");
            // Progress repeats what Ready says, and Ready what another condition says, until it is True.
            let repeats = name == "Reconciling" || (name == "Ready" && status == "False");
            if repeats || told.get(name) == Some(&state) {
                continue;
            }
            told.insert(name.clone(), state);
            let mark = match (name.as_str(), status.as_str()) {
                ("Stalled", _) => Mark::Bad,
                (_, "True") => Mark::Good,
                _ => Mark::Waiting,
            };
            screen.turn(started.elapsed(), mark, &format!("{name:<17}{reason:<19}"), message);
        }
        let ready = conditions.iter().any(|[name, status, _, _]| name == "Ready" && status == "True");
        ready.then_some(()).context("not yet")
    })
    .await
}

/// The resource and the zone, as a person wants to read them.
pub async fn shows_itself(screen: &Screen, stage: &Stage) -> Result<()> {
    screen.scene("What stands now");
    let calls = calls(stage).await?;
    screen.command(&format!("kubectl get sesdomains -n {NAMESPACE} -o wide"));
    screen.output(&stage.plane.kubectl(["get", "sesdomains", "-n", NAMESPACE, "-o", "wide"]).await?);
    screen.say("");
    screen.say(&format!("The hosted zone {} holds:", stage.zone));
    screen.output(&records(stage).await?);
    screen.say("");
    screen.say(&format!("Calls to AWS until then: {calls}."));
    Ok(())
}

/// So much time passes between two glances at what takes long.
const MINUTES: Duration = Duration::from_secs(2 * 60);

/// A record is deleted behind our back.
pub async fn repairs(screen: &Screen, stage: &Stage) -> Result<()> {
    screen.scene("Somebody deletes a DKIM record, and it comes back");
    let victim = a_dkim_name(stage).await?;
    let started = Instant::now();
    stage.account.delete_record(&stage.zone, &victim, "CNAME").await?;
    screen.turn(started.elapsed(), Mark::Bad, "deleted", &format!("{victim} CNAME"));
    screen.turn(started.elapsed(), Mark::Waiting, "up to an hour passes", "until the round over the zone");
    until("the record to be put back", PATIENCE, async || {
        stage.account.advance(MINUTES).await?;
        stage
            .account
            .zone_records(&stage.zone)
            .await?
            .iter()
            .any(|record| record.starts_with(&victim))
            .then_some(())
            .context("not yet")
    })
    .await?;
    screen.turn(started.elapsed(), Mark::Good, "put back", &format!("{victim} CNAME"));
    until("the resource to be Ready again", PATIENCE, async || {
        stage.account.advance(MINUTES).await?;
        stage.is_ready().await?.then_some(()).context("not yet")
    })
    .await?;
    screen.turn(started.elapsed(), Mark::Good, "Ready", "and an event tells it:");
    let events = stage
        .plane
        .kubectl([
            "get",
            "events",
            "-n",
            NAMESPACE,
            "--field-selector=reason=RecordPutBack",
            "-o",
            "jsonpath={.items[0].type} {.items[0].reason}: {.items[0].message}",
        ])
        .await?;
    screen.output(&format!("{:8}{events}", ""));
    Ok(())
}

/// Sixty days of DMARC.
pub async fn walks_to_reject(screen: &Screen, stage: &Stage) -> Result<()> {
    screen.scene("DMARC walks from none to reject, thirty days a stage");
    let started = Instant::now();
    for (days, policy) in [(0, "none"), (30, "quarantine"), (60, "reject")] {
        if days > 0 {
            stage.account.advance(Duration::from_secs(30 * 86_400)).await?;
        }
        let wanted = format!("p={policy}");
        let answer = until("the next stage to be served", PATIENCE, async || {
            let answer = stage.account.resolve(&format!("_dmarc.{DOMAIN}"), "TXT").await?;
            let value = answer.values.into_iter().find(|value| value.contains(&wanted));
            value.filter(|_| true).context("not yet")
        })
        .await?;
        until("the stage to begin", PATIENCE, async || {
            let resource = stage.resource().await?;
            let begun =
                resource["status"]["dmarc"]["since"].is_string() && resource["status"]["pendingChanges"].is_null();
            begun.then_some(()).context("not yet")
        })
        .await?;
        screen.turn(started.elapsed(), Mark::Good, &format!("day {days}: {policy}"), &answer);
    }
    Ok(())
}

/// `kubectl delete` removes what was made, and nothing else.
pub async fn leaves_nothing(screen: &Screen, stage: &Stage) -> Result<()> {
    screen.scene("The SesDomain is deleted, and what it made with it");
    let started = Instant::now();
    screen.command(&format!("kubectl delete sesdomain {NAME} -n {NAMESPACE}"));
    screen.output(&stage.plane.kubectl(["delete", "sesdomain", NAME, "-n", NAMESPACE, "--timeout=60s"]).await?);
    let left = stage.account.zone_records(&stage.zone).await?;
    ensure!(
        left.iter().all(|record| record.contains(" NS ") || record.contains(" SOA ")),
        "records were left: {left:?}"
    );
    screen.turn(started.elapsed(), Mark::Good, "records", "the zone holds its own NS and SOA, and nothing of ours");
    let identity = stage.account.sesv2(REGION).get_email_identity().email_identity(DOMAIN).send().await;
    ensure!(identity.is_err_and(|error| error.into_service_error().is_not_found_exception()), "the identity was left");
    screen.turn(started.elapsed(), Mark::Good, "identity", "deleted");
    Ok(())
}

/// `KEEP=1`.
pub async fn stays(screen: &Screen, stage: &Stage) -> Result<()> {
    screen.scene("It stays for you to look around; Ctrl-C ends it");
    screen.command(&format!("export KUBECONFIG={}", path(&stage.plane.kubeconfig())));
    screen.command(&format!("{} describe sesdomain {NAME} -n {NAMESPACE}", path(stage.plane.kubectl_path())));
    tokio::signal::ctrl_c().await?;
    Ok(())
}

async fn records(stage: &Stage) -> Result<String> {
    let mut rows = vec![["NAME", "TYPE", "TTL", "VALUE"].map(str::to_owned).to_vec()];
    for record in stage.account.zone_records(&stage.zone).await? {
        let cells: Vec<String> = record.splitn(4, ' ').map(str::to_owned).collect();
        if cells.get(1).is_none_or(|kind| kind != "NS" && kind != "SOA") {
            rows.push(cells);
        }
    }
    Ok(table(&rows))
}

async fn a_dkim_name(stage: &Stage) -> Result<String> {
    let records = stage.account.zone_records(&stage.zone).await?;
    let record = records.iter().find(|record| record.contains("._domainkey.")).context("no DKIM record stands")?;
    Ok(record.split(' ').next().unwrap_or_default().to_owned())
}

/// The calls of the operator by operation, the most frequent first.
async fn calls(stage: &Stage) -> Result<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in stage.account.requests().await?.iter().filter(is_ours) {
        *counts.entry(request.operation.clone()).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(operation, count)| (std::cmp::Reverse(*count), operation.clone()));
    Ok(counts.iter().map(|(operation, count)| format!("{count} {operation}")).collect::<Vec<_>>().join(", "))
}

/// Whether a request was the operator's: the demo itself makes the zone and looks at it.
fn is_ours(request: &&ses_operator_rig::aws::Request) -> bool {
    request.operation != "CreateHostedZone"
}
