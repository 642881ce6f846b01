//! Route 53 takes what is right, all or nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_route53::types::{ChangeAction, ChangeBatch};
use ses_operator_rig::aws::Settings;

use crate::common::{DOMAIN, account, apply, change, create, delete, faults_of, record, refusal, swift_account};

#[tokio::test]
async fn create_refuses_what_is_there() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    apply(&account, &zone, vec![create(DOMAIN, "TXT", &["\"a\""])?]).await?;
    let fault = faults_of(&account, &zone, vec![create(DOMAIN, "TXT", &["\"b\""])?]).await?;
    assert!(fault.contains("but it already exists"), "{fault}");
    apply(&account, &zone, vec![change(ChangeAction::Upsert, record(DOMAIN, "TXT", 60, &["\"b\""])?)?]).await?;
    Ok(())
}

#[tokio::test]
async fn delete_needs_the_very_values_and_ttl() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    apply(&account, &zone, vec![create(DOMAIN, "TXT", &["\"a\"", "\"b\""])?]).await?;

    let missing = faults_of(&account, &zone, vec![delete("x.example.com", "TXT", &["\"a\""])?]).await?;
    assert!(missing.contains("but it was not found"), "{missing}");
    let shorter = change(ChangeAction::Delete, record(DOMAIN, "TXT", 60, &["\"a\"", "\"b\""])?)?;
    for wrong in [delete(DOMAIN, "TXT", &["\"a\""])?, shorter] {
        let fault = faults_of(&account, &zone, vec![wrong]).await?;
        assert!(fault.contains("but the values provided do not match the current values"), "{fault}");
    }
    apply(&account, &zone, vec![delete(DOMAIN, "TXT", &["\"b\"", "\"a\""])?]).await?;
    Ok(())
}

#[tokio::test]
async fn delete_and_create_in_one_batch_compare_and_swap() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    apply(&account, &zone, vec![create(DOMAIN, "TXT", &["\"a\""])?]).await?;
    let swap = |old: &str, new: &str| Ok(vec![delete(DOMAIN, "TXT", &[old])?, create(DOMAIN, "TXT", &[new])?]);
    apply(&account, &zone, swap("\"a\"", "\"b\"")?).await?;
    let lost: Result<_> = swap("\"a\"", "\"c\"");
    faults_of(&account, &zone, lost?).await?;
    assert_eq!(account.resolve(DOMAIN, "TXT").await?.values, ["\"b\""]);
    Ok(())
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_tells_all_its_faults() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let batch = vec![
        create("good.example.com", "TXT", &["\"good\""])?,
        create("bad.example.com", "TXT", &["unquoted"])?,
        delete("none.example.com", "MX", &["10 mx.example.net"])?,
    ];
    let faults = faults_of(&account, &zone, batch).await?;
    assert!(faults.starts_with('[') && faults.ends_with(']'), "{faults}");
    assert!(faults.contains("InvalidCharacterString") && faults.contains("but it was not found"), "{faults}");
    assert_eq!(account.zone_records(&zone).await?.len(), 2, "only NS and SOA");
    Ok(())
}

#[tokio::test]
async fn a_cname_stands_alone_and_never_at_the_apex() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    apply(&account, &zone, vec![create("t.example.com", "TXT", &["\"a\""])?]).await?;
    apply(&account, &zone, vec![create("c.example.com", "CNAME", &["t.example.com"])?]).await?;

    for (name, kind, value) in
        [("t.example.com", "CNAME", "c.example.com"), ("c.example.com", "MX", "10 mx.example.net")]
    {
        let fault = faults_of(&account, &zone, vec![create(name, kind, &[value])?]).await?;
        assert!(fault.contains("conflicts with other records with the same DNS name"), "{fault}");
    }
    let apex = faults_of(&account, &zone, vec![create(DOMAIN, "CNAME", &["t.example.com"])?]).await?;
    assert!(apex.contains("is not permitted at apex"), "{apex}");
    // In one batch a CNAME makes room for what comes after it.
    let swap = vec![delete("c.example.com", "CNAME", &["t.example.com"])?, create("c.example.com", "TXT", &["\"b\""])?];
    apply(&account, &zone, swap).await?;
    Ok(())
}

#[tokio::test]
async fn values_are_looked_at() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let long = format!("\"{}\"", "x".repeat(256));
    let split = format!("\"{}\" \"{}\"", "x".repeat(255), "y".repeat(255));
    let huge = vec![format!("\"{}\"", "x".repeat(255)); 16].join(" ");
    for (kind, value, told) in [
        ("TXT", "v=spf1 -all", "InvalidCharacterString"),
        ("TXT", "\"half", "InvalidCharacterString"),
        ("TXT", long.as_str(), "CharacterStringTooLong"),
        ("TXT", huge.as_str(), "TooLong"),
        ("MX", "mx.example.net", "Invalid Resource Record"),
        ("MX", "10 mx..example.net", "Invalid Resource Record"),
        ("MX", "70000 mx.example.net", "Invalid Resource Record"),
        ("A", "192.0.2.256", "ARRDATAIllegalIPv4Address"),
    ] {
        let fault = faults_of(&account, &zone, vec![create("v.example.com", kind, &[value])?]).await?;
        assert!(fault.contains(told), "{kind} {value}: {fault}");
    }
    let twice = faults_of(&account, &zone, vec![create("v.example.com", "TXT", &["\"a\"", "\"a\""])?]).await?;
    assert!(twice.contains("Duplicate Resource Record"), "{twice}");
    apply(&account, &zone, vec![create("v.example.com", "TXT", &[&split, r#""a \"quoted\" word""#])?]).await?;
    Ok(())
}

#[tokio::test]
async fn one_set_is_written_once_in_a_batch_and_inside_its_zone() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let twice = vec![create(DOMAIN, "TXT", &["\"a\""])?, create(DOMAIN, "TXT", &["\"b\""])?];
    let fault = faults_of(&account, &zone, twice).await?;
    assert!(fault.contains("invalid set of changes for a resource record set"), "{fault}");
    let outside = faults_of(&account, &zone, vec![create("notexample.com", "TXT", &["\"a\""])?]).await?;
    assert!(outside.contains("is not permitted in zone example.com."), "{outside}");
    Ok(())
}

#[tokio::test]
async fn an_upsert_counts_twice_towards_the_limits() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let batch = |action: &ChangeAction, count: usize, value: &str| {
        let one = |n: usize| change(action.clone(), record(&format!("n{n}.example.com"), "TXT", 300, &[value])?);
        (0..count).map(one).collect::<Result<Vec<_>>>()
    };
    let records = faults_of(&account, &zone, batch(&ChangeAction::Upsert, 501, "\"a\"")?).await?;
    assert!(records.contains("limit of 1000"), "{records}");
    let long = format!("\"{}\"", "x".repeat(198));
    let characters = faults_of(&account, &zone, batch(&ChangeAction::Upsert, 81, &long)?).await?;
    assert!(characters.contains("limit of 32000"), "{characters}");
    apply(&account, &zone, batch(&ChangeAction::Create, 1000, "\"a\"")?).await?;
    assert_eq!(account.zone_records(&zone).await?.len(), 1002, "read in four pages");
    Ok(())
}

#[tokio::test]
async fn a_change_that_comes_too_soon_after_another_of_its_zone_is_refused() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().change_takes(Duration::from_secs(2))).await?;
    let (zone, other) = (account.create_zone(DOMAIN).await?, account.create_zone("other.example").await?);
    apply(&account, &zone, vec![create("a.example.com", "TXT", &["\"a\""])?]).await?;
    apply(&account, &other, vec![create("a.other.example", "TXT", &["\"a\""])?]).await?;

    let second = vec![create("b.example.com", "TXT", &["\"b\""])?];
    let batch = ChangeBatch::builder().set_changes(Some(second.clone())).build()?;
    let sent = account.route53().change_resource_record_sets().hosted_zone_id(&zone).change_batch(batch).send().await;
    assert_eq!(refusal(sent)?.0, "PriorRequestNotComplete");
    account.advance(Duration::from_secs(2)).await?;
    apply(&account, &zone, second).await?;
    Ok(())
}

#[tokio::test]
async fn a_change_is_pending_at_first_and_then_in_sync() -> Result<()> {
    let account = account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let change = apply(&account, &zone, vec![create(DOMAIN, "TXT", &["\"a\""])?]).await?;
    assert_eq!(change.status.as_str(), "PENDING");
    let status = async || {
        let seen = account.route53().get_change().id(&change.id).send().await?;
        anyhow::Ok(seen.change_info.map(|info| info.status.as_str().to_owned()).unwrap_or_default())
    };
    assert_eq!(status().await?, "PENDING");
    account.advance(Duration::from_secs(61)).await?;
    assert_eq!(status().await?, "INSYNC");
    let asked = account.requests().await?.pop().context("a request")?;
    assert_eq!((asked.operation.as_str(), asked.zone), ("GetChange", Some(zone)), "the log tells whose change it is");
    assert_eq!(refusal(account.route53().get_change().id("C123").send().await)?.0, "NoSuchChange");

    let swift = swift_account().await?;
    let zone = swift.create_zone(DOMAIN).await?;
    let change = apply(&swift, &zone, vec![create(DOMAIN, "TXT", &["\"a\""])?]).await?;
    assert_eq!(change.status.as_str(), "PENDING", "even where nothing is delayed");
    Ok(())
}
