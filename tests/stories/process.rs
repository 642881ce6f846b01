//! The operator as a process: how it starts, ends, and what it says of itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use ses_operator_rig::aws::{Fault, FaultKind, Service};

use crate::cluster::TEN_SECONDS;
use crate::world::probes::{get, sum};
use crate::world::{full, story, with};

#[tokio::test]
async fn it_ends_within_ten_seconds_of_sigterm() -> Result<()> {
    story("sigterm", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let idle = world.operator.take().context("an operator")?.stop(TEN_SECONDS).await?;
        assert!(idle.status.success(), "{}", idle.status);

        // In the middle of a call that never ends.
        world.account.fault(Fault::new(Service::Ses, FaultKind::Hang).lasting(Duration::from_secs(60))).await?;
        world.start([])?;
        let mark = world.mark().await?;
        world.apply(with(full(), json!({"tags": {"team": "mail"}}))).await?;
        world.calls_since(mark, "GetEmailIdentity").await?;
        let busy = world.operator.take().context("an operator")?.stop(TEN_SECONDS).await?;
        assert!(busy.status.success() && busy.took < TEN_SECONDS, "{} after {:?}", busy.status, busy.took);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn probes_and_metrics_answer() -> Result<()> {
    story("probes", async |world| {
        world.apply(full()).await?;
        world.apply_as("taken", json!({"domain": "probes.example"})).await?;
        world.sees("Ready", "True").await?;
        world.sees_of("taken", "Stalled", "True").await?;
        world.reconciles("settled").await?;
        let operator = world.operator.as_ref().context("an operator")?;
        for path in ["/livez", "/readyz"] {
            let (status, _, text) = get(operator, path).await?;
            assert_eq!((status, text.as_str()), (200, "ok\n"), "{path}");
        }
        assert_eq!(get(operator, "/nothing").await?.0, 404);

        let (status, kind, metrics) = get(operator, "/metrics").await?;
        assert_eq!(status, 200);
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        assert!(metrics.ends_with("# EOF\n"), "{metrics}");
        let samples = metrics.lines().filter(|line| !line.starts_with('#'));
        assert!(samples.clone().all(|line| line.starts_with("ses_operator_")), "{metrics}");
        let calls = "ses_operator_aws_calls_total{service=\"ses\",operation=\"CreateEmailIdentity\",outcome=\"ok\"}";
        assert!(sum(&metrics, calls) >= 1.0, "{metrics}");
        assert!(sum(&metrics, "ses_operator_reconciles_total{outcome=\"ok\"}") >= 2.0, "{metrics}");
        assert!(sum(&metrics, "ses_operator_reconcile_duration_seconds_count") >= 2.0, "{metrics}");
        let build = format!("ses_operator_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(metrics.contains(&build), "{metrics}");

        // The store is a moment behind what we have seen.
        let (plane_says, operator) = (2.0, world.operator.take().context("an operator")?);
        world
            .awaits("the domains to be counted", async || {
                let metrics = get(&operator, "/metrics").await?.2;
                let count = |status: &str| {
                    sum(&metrics, &format!("ses_operator_domains{{condition=\"Ready\",status=\"{status}\"}}"))
                };
                ensure!(count("True") == 1.0 && count("False") == 1.0, "{metrics}");
                ensure!(count("True") + count("False") == plane_says);
                // A series of its own has only who is not well.
                let unmet = |name: &str| {
                    sum(&metrics, &format!("ses_operator_domain_condition_unmet{{namespace=\"probes\",name=\"{name}\""))
                };
                ensure!(unmet("taken") > 0.0 && unmet("domain") == 0.0, "{metrics}");
                Ok(())
            })
            .await?;
        operator.kill()
    })
    .await
}

#[tokio::test]
async fn json_logs_have_the_resource_in_every_line_about_it() -> Result<()> {
    story("logs", async |world| {
        world.kill()?;
        let builder = world.builder(["--leader-elect=false"]).log_format("json");
        world.start_as(builder)?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let log = world.operator.as_ref().context("an operator")?.log();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect::<Result<_>>()?;
        let about = |line: &&Value| {
            let text = line.to_string();
            text.contains("logs.example") || line["message"] == "AWS call" && line["object"] != "the account"
        };
        let about: Vec<&Value> = lines.iter().filter(about).collect();
        assert!(about.len() >= 5, "{log}");
        for line in about {
            let span = &line["span"];
            assert_eq!((&span["namespace"], &span["resource"]), (&json!("logs"), &json!("domain")), "{line}");
            assert_eq!(span["domain"], "logs.example", "{line}");
        }
        assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{log}");
        Ok(())
    })
    .await
}
