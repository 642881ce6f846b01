//! What the stories of this folder share.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_route53::error::ProvideErrorMetadata;
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, ChangeInfo, ResourceRecord, ResourceRecordSet as RecordSet, RrType,
};
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput as Identity;
use ses_operator_rig::aws::{Account, Aws, Settings};

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const MAIL_FROM: &str = "mail.example.com";
pub(crate) const OUR_MX: &str = "10 feedback-smtp.eu-west-1.amazonses.com";

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// SES gives up after it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(72 * 3600);

/// An account in which time stands still unless moved, with the delays that people see.
pub(crate) async fn account() -> Result<Account> {
    let account = Aws::shared().await?.account();
    account.set_rate(0.0).await?;
    Ok(account)
}

/// An account in which time stands still and nothing is delayed.
pub(crate) async fn swift_account() -> Result<Account> {
    let account = account().await?;
    account.settings(Settings::default().at_once()).await?;
    Ok(account)
}

/// Makes the identity of a domain and returns its tokens.
pub(crate) async fn create_identity(account: &Account, domain: &str) -> Result<Vec<String>> {
    let created = account.sesv2(REGION).create_email_identity().email_identity(domain).send().await?;
    Ok(created.dkim_attributes.context("DKIM attributes come at once")?.tokens.unwrap_or_default())
}

/// Publishes the three CNAMEs of a domain in a zone.
pub(crate) async fn publish_dkim(account: &Account, zone: &str, domain: &str, tokens: &[String]) -> Result<()> {
    for token in tokens {
        let name = format!("{token}._domainkey.{domain}");
        account.write_record(zone, &name, "CNAME", &[&format!("{token}.dkim.amazonses.com")]).await?;
    }
    Ok(())
}

/// A domain whose DKIM is verified, and its zone.
pub(crate) async fn verified_domain(account: &Account) -> Result<String> {
    let zone = account.create_zone(DOMAIN).await?;
    let tokens = create_identity(account, DOMAIN).await?;
    publish_dkim(account, &zone, DOMAIN, &tokens).await?;
    Ok(zone)
}

pub(crate) async fn identity(account: &Account, domain: &str) -> Result<Identity> {
    Ok(account.sesv2(REGION).get_email_identity().email_identity(domain).send().await?)
}

/// The DKIM status; for a moment a fresh identity may read `NOT_STARTED`, which means the same as `PENDING`.
pub(crate) async fn dkim(account: &Account, domain: &str) -> Result<String> {
    let attributes = identity(account, domain).await?.dkim_attributes.context("DKIM attributes")?;
    let status = attributes.status.context("a status")?;
    Ok(status.as_str().replace("NOT_STARTED", "PENDING"))
}

pub(crate) async fn mail_from(account: &Account, domain: &str) -> Result<String> {
    let attributes = identity(account, domain).await?.mail_from_attributes.context("MAIL FROM attributes")?;
    Ok(attributes.mail_from_domain_status.as_str().to_owned())
}

/// Puts the MAIL FROM domain of `DOMAIN`, with the behaviour.
pub(crate) async fn put_mail_from(account: &Account, behavior: &str) -> Result<()> {
    let put = account.sesv2(REGION).put_email_identity_mail_from_attributes().email_identity(DOMAIN);
    put.mail_from_domain(MAIL_FROM).behavior_on_mx_failure(behavior.into()).send().await?;
    Ok(())
}

/// The code and message of an error that must have been answered.
pub(crate) fn refusal<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> Result<(String, String)> {
    match result {
        Ok(_) => bail!("it was not refused"),
        Err(error) => {
            let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
            Ok((code.to_owned(), message.to_owned()))
        }
    }
}

pub(crate) fn record(name: &str, kind: &str, ttl: i64, values: &[&str]) -> Result<RecordSet> {
    let values = values.iter().map(|value| ResourceRecord::builder().value(*value).build());
    let records = values.collect::<Result<Vec<_>, _>>()?;
    Ok(RecordSet::builder()
        .name(name)
        .r#type(RrType::from(kind))
        .ttl(ttl)
        .set_resource_records(Some(records))
        .build()?)
}

pub(crate) fn create(name: &str, kind: &str, values: &[&str]) -> Result<Change> {
    change(ChangeAction::Create, record(name, kind, 300, values)?)
}

pub(crate) fn delete(name: &str, kind: &str, values: &[&str]) -> Result<Change> {
    change(ChangeAction::Delete, record(name, kind, 300, values)?)
}

pub(crate) fn change(action: ChangeAction, record: RecordSet) -> Result<Change> {
    Ok(Change::builder().action(action).resource_record_set(record).build()?)
}

/// Sends a batch that must be taken.
pub(crate) async fn apply(account: &Account, zone: &str, changes: Vec<Change>) -> Result<ChangeInfo> {
    let batch = ChangeBatch::builder().set_changes(Some(changes)).build()?;
    let sent = account.route53().change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await?;
    sent.change_info.context("a change")
}

/// Sends a batch that must be refused, and returns the faults it was told.
pub(crate) async fn faults_of(account: &Account, zone: &str, changes: Vec<Change>) -> Result<String> {
    let batch = ChangeBatch::builder().set_changes(Some(changes)).build()?;
    let sent = account.route53().change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
    let (code, message) = refusal(sent)?;
    assert_eq!(code, "InvalidChangeBatch", "{message}");
    Ok(message)
}
