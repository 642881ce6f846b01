//! SES calls of one domain until it is Ready, by how long its verification takes.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use kube::api::ListParams;
use ses_operator_rig::aws::Settings;
use ses_operator_rig::wait::until;

use super::{HOUR, Measured};
use crate::bed::{Bed, REGION};
use crate::bound::polls_allowed;
use crate::domains::{Layout, apply, is_ready};
use crate::figure::Figure;
use crate::tally::{of_aws, of_operator, sum, told};

const DELAYS: [(u64, &str); 3] = [(60, "1 min"), (900, "15 min"), (21_600, "6 h")];

/// All at once: they leave the machine idle.
pub async fn measure(bed: &Bed, measured: &mut Measured) -> Result<()> {
    for figure in try_join_all(DELAYS.map(|(delay, words)| one(bed, delay, words))).await? {
        measured.add(figure);
    }
    Ok(())
}

async fn one(bed: &Bed, delay: u64, words: &str) -> Result<Figure> {
    let settings = Settings::default().quotas_of_aws().dkim(delay..=delay).mail_from(delay..=delay);
    let plot = bed.plot(&format!("delay-{delay}"), settings).await?;
    let domains = Layout::Own.domains(1);
    plot.account.import(REGION, HOUR, &Layout::Own.zones(&domains), &[]).await?;
    plot.account.set_rate(60.0).await?;
    let running = plot.start(&[]).await?;
    apply(&plot.domains, &domains).await?;
    until("MAIL FROM to be set", Duration::from_secs(60), async || {
        let calls = of_aws(&of_operator(plot.account.requests().await?));
        ensure!(calls.contains_key("ses PutEmailIdentityMailFromAttributes"), "{calls:?}");
        Ok(())
    })
    .await?;
    // The set-up is over: from now on the looks are minutes apart, and time may run faster yet.
    let scale = if delay > 3_600 { 600.0 } else { 60.0 };
    plot.account.set_rate(scale).await?;
    until("the domain to be Ready", Duration::from_secs(180), async || {
        let found = plot.domains.list(&ListParams::default()).await?;
        ensure!(found.items.iter().all(is_ready), "not yet");
        Ok(())
    })
    .await?;
    let calls = of_aws(&of_operator(plot.account.requests().await?));
    running.stop().await?;
    let most = (3 + polls_allowed(delay as f64)) as f64;
    let figure =
        Figure::new(format!("SES calls until Ready, verification takes {words}"), 1, scale, sum(&calls, "ses"));
    Ok(figure.at_most(most).note(told(&calls, "ses")))
}
