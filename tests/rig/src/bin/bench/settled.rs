//! Domains by the thousand that are settled already: one is made by the operator, and the others are copies of it, in AWS and
//! in the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use ses_operator_rig::aws::{ImportedIdentity, ImportedRecord, Settings};
use ses_operator_rig::wait::until;

use crate::bed::{Bed, Plot, REGION};
use crate::domains::{AT_ONCE, Layout, apply, is_ready, manifest, resource_name};

/// So long ago everything was made: longer than any sweep.
const AGE: Duration = Duration::from_secs(2 * 86_400);
/// Enough for one domain without delays, at this many virtual seconds in one.
const TEMPLATE_SCALE: f64 = 60.0;

/// What the operator made of one domain.
struct Template {
    domain: String,
    zone: String,
    resource: DynamicObject,
    tokens: Vec<String>,
    tags: BTreeMap<String, String>,
    records: Vec<ImportedRecord>,
}

/// A plot with so many settled domains, and no operator. Time goes at `scale`.
pub async fn plant<'a>(bed: &'a Bed, name: &str, layout: Layout, count: usize, scale: f64) -> Result<Plot<'a>> {
    let plot = bed.plot(name, Settings::default().at_once()).await?;
    plot.account.set_rate(TEMPLATE_SCALE).await?;
    let template = template(&plot, layout).await?;
    let domains = layout.domains(count.saturating_sub(1));
    let copies: Vec<Copied> = domains.iter().enumerate().map(|(number, domain)| Copied::of(domain, number)).collect();
    let mut zones = layout.zones(&domains);
    for (number, copy) in copies.iter().enumerate() {
        let zone = if layout == Layout::Own { number } else { 0 };
        let records = template.records.iter().map(|record| template.record(record, copy));
        zones.get_mut(zone).context("a zone for each domain")?.records.extend(records);
    }
    let identities: Vec<_> = copies.iter().map(|copy| template.identity(copy)).collect();
    let ids = plot.account.import(REGION, AGE, &zones, &identities).await?;
    stream::iter(&copies)
        .map(async |copy| {
            let zone = ids.get(&layout.zone(&copy.domain)).context("the zone has an ID")?;
            template.create(&plot, copy, zone).await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    plot.account.settings(Settings::default().quotas_of_aws().insync(20..=60)).await?;
    plot.account.advance(AGE).await?;
    plot.account.set_rate(scale).await?;
    Ok(plot)
}

async fn template(plot: &Plot<'_>, layout: Layout) -> Result<Template> {
    let domain = layout.domain("template");
    let zone_name = layout.zone(&domain);
    let zone = plot.account.create_zone(&zone_name).await?;
    let running = plot.start(&[]).await?;
    apply(&plot.domains, std::slice::from_ref(&domain)).await?;
    let resource = until("the template to be Ready", Duration::from_secs(60), async || {
        let found = plot.domains.get(&resource_name(&domain)).await?;
        ensure!(is_ready(&found), "{}", found.data["status"]);
        Ok(found)
    })
    .await?;
    running.stop().await?;
    let identity = plot.account.sesv2(REGION).get_email_identity().email_identity(&domain).send().await?;
    let mut tokens = identity.dkim_attributes.and_then(|dkim| dkim.tokens).context("the template has tokens")?;
    // In their own order, as the status has them: the copies' are in theirs.
    tokens.sort();
    let tags = identity.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    let lines = plot.account.zone_records(&zone).await?;
    let of_zone = |line: &&String| line.starts_with(&format!("{zone_name} "));
    let records = lines.iter().filter(|line| !of_zone(line)).map(|line| record(line)).collect::<Result<_>>()?;
    Ok(Template { domain, zone, resource, tokens, tags, records })
}

/// `NAME TYPE TTL VALUE`, with one value, as all of ours have.
fn record(line: &str) -> Result<ImportedRecord> {
    let parts: Vec<&str> = line.splitn(4, ' ').collect();
    let [name, kind, ttl, value] = parts.as_slice() else { anyhow::bail!("{line} is no record set") };
    Ok(ImportedRecord {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        ttl: ttl.parse()?,
        values: vec![(*value).to_owned()],
    })
}

/// One more domain like the template.
struct Copied {
    domain: String,
    tokens: Vec<String>,
}

impl Copied {
    fn of(domain: &str, number: usize) -> Self {
        // As long as real ones: memory is measured.
        let tokens = ["a", "b", "c"].map(|which| format!("{which}{number:031}")).to_vec();
        Self { domain: domain.to_owned(), tokens }
    }
}

impl Template {
    /// A text of the template's, as the copy has it.
    fn rewritten(&self, text: &str, copy: &Copied) -> String {
        let text = text
            .replace(&self.domain, &copy.domain)
            .replace(&resource_name(&self.domain), &resource_name(&copy.domain));
        self.tokens.iter().zip(&copy.tokens).fold(text, |text, (old, new)| text.replace(old, new))
    }

    fn record(&self, record: &ImportedRecord, copy: &Copied) -> ImportedRecord {
        let values = record.values.iter().map(|value| self.rewritten(value, copy)).collect();
        ImportedRecord { name: self.rewritten(&record.name, copy), values, ..record.clone() }
    }

    fn identity(&self, copy: &Copied) -> ImportedIdentity {
        let (template_mail_from, mail_from) = (mail_from(&self.domain), mail_from(&copy.domain));
        let value = |value: &str| self.rewritten(value, copy).replace(&short(&template_mail_from), &short(&mail_from));
        let tags = self.tags.iter().map(|(key, text)| (key.clone(), value(text))).collect();
        ImportedIdentity { name: copy.domain.clone(), tokens: copy.tokens.clone(), mail_from: Some(mail_from), tags }
    }

    /// Creates the copy's resource, and writes its status as the operator would have.
    async fn create(&self, plot: &Plot<'_>, copy: &Copied, zone: &str) -> Result<()> {
        let mut resource = manifest(&copy.domain)?;
        resource.metadata.finalizers = self.resource.metadata.finalizers.clone();
        plot.domains.create(&PostParams::default(), &resource).await?;
        let status = self.resource.data["status"].to_string();
        let status: serde_json::Value = serde_json::from_str(&self.rewritten(&status, copy).replace(&self.zone, zone))?;
        let patch = serde_json::json!({
            "apiVersion": "ses-operator.dev/v1alpha1",
            "kind": "SesDomain",
            "metadata": {"name": resource.name_any()},
            "status": status,
        });
        let params = PatchParams::apply("ses-operator").force();
        plot.domains.patch_status(&resource.name_any(), &params, &Patch::Apply(&patch)).await?;
        Ok(())
    }
}

fn mail_from(domain: &str) -> String {
    format!("mail.{domain}")
}

/// A name as the tag of the managed settings tells it, in every version of the operator: 30 bits of FNV-1a.
fn short(name: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let bits = hash ^ (hash >> 32);
    (0..5).map(|place| char::from(ALPHABET[(bits >> (6 * place)) as usize % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_as_the_operator_does() {
        assert_eq!(["", "team", "mail.example.com"].map(short), ["B_L0P", "DrBjj", "9plf8"]);
    }
}
