//! What the operator says of itself.

use anyhow::{Context, Result, ensure};
use ses_operator_rig::operator::Operator;

use super::World;

/// Where an operator serves its probes, as its log says.
pub(crate) fn address(operator: &Operator) -> Result<String> {
    address_in(&operator.log())
}

fn address_in(log: &str) -> Result<String> {
    let line = log.lines().find(|line| line.contains("serving /livez")).context("it serves nothing yet")?;
    let (_, address) = line.split_once("address=").context("an address")?;
    Ok(address.split_whitespace().next().context("an address")?.to_owned())
}

/// The answer of a probe: the status, the content type, the text.
pub(crate) async fn get(operator: &Operator, path: &str) -> Result<(u16, String, String)> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.get(format!("http://{}{path}", address(operator)?)).send().await?;
    let kind =
        answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Ok((answer.status().as_u16(), kind, answer.text().await?))
}

/// The sum of the samples that begin so.
pub(crate) fn sum(metrics: &str, series: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(series));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

impl World {
    /// How many reconciles have ended well since the operator's start.
    pub(crate) async fn reconciled(&self) -> Result<f64> {
        let operator = self.operator.as_ref().context("an operator runs")?;
        Ok(sum(&get(operator, "/metrics").await?.2, "ses_operator_reconciles_total{outcome=\"ok\"}"))
    }

    /// Waits until the operator has listed the resources: so many, ready.
    pub(crate) async fn knows(&mut self, count: f64) -> Result<()> {
        self.shows("ses_operator_domains{condition=\"Ready\",status=\"True\"}", count).await
    }

    /// Waits until so many reconciles have ended well since the operator's start.
    pub(crate) async fn has_reconciled(&mut self, times: f64) -> Result<()> {
        self.shows("ses_operator_reconciles_total{outcome=\"ok\"}", times).await
    }

    /// Waits until the samples that begin so add up to so much.
    async fn shows(&mut self, series: &str, least: f64) -> Result<()> {
        let log = self.operator.as_ref().context("an operator runs")?.log_file().to_owned();
        let client = reqwest::Client::builder().no_proxy().build()?;
        self.awaits(&format!("{series} {least}"), async || {
            let url = format!("http://{}/metrics", address_in(&std::fs::read_to_string(&log)?)?);
            let metrics = client.get(url).send().await?.text().await?;
            let found = sum(&metrics, series);
            ensure!(found >= least, "{found} so far");
            Ok(())
        })
        .await
    }
}
