//! Who answers for a name, and what.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_route53::types::HostedZoneConfig;
use ses_operator_rig::aws::{Account, Settings};

use crate::common::{DOMAIN, account, create_identity, dkim, publish_dkim, swift_account};

const CHILD: &str = "mail.example.com";

#[tokio::test]
async fn a_child_zone_counts_once_the_parent_delegates_to_it() -> Result<()> {
    let account = swift_account().await?;
    let parent = account.create_zone(DOMAIN).await?;
    let child = account.create_zone(CHILD).await?;
    let tokens = create_identity(&account, CHILD).await?;
    publish_dkim(&account, &child, CHILD, &tokens).await?;
    assert_eq!(dkim(&account, CHILD).await?, "PENDING", "nobody is sent to the child");

    delegate(&account, &parent, CHILD, &child).await?;
    assert_eq!(dkim(&account, CHILD).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn a_child_that_is_delegated_elsewhere_is_answered_neither_by_the_parent_nor_by_our_child() -> Result<()> {
    let account = swift_account().await?;
    let parent = account.create_zone(DOMAIN).await?;
    let child = account.create_zone(CHILD).await?;
    let name = format!("a.{CHILD}");
    account.write_record(&parent, &name, "TXT", &["\"parent\""]).await?;
    account.write_record(&child, &name, "TXT", &["\"child\""]).await?;
    assert_eq!(account.resolve(&name, "TXT").await?.values, ["\"parent\""], "an undelegated child does not count");

    account.write_record(&parent, CHILD, "NS", &["ns1.elsewhere.example.", "ns2.elsewhere.example."]).await?;
    let answer = account.resolve(&name, "TXT").await?;
    assert_eq!((answer.code.as_str(), answer.values.len()), ("SERVFAIL", 0));
    Ok(())
}

#[tokio::test]
async fn of_two_children_of_one_name_the_parent_s_name_servers_tell_which() -> Result<()> {
    let account = swift_account().await?;
    let parent = account.create_zone(DOMAIN).await?;
    let (older, newer) = (account.create_zone(CHILD).await?, account.create_zone(CHILD).await?);
    assert_ne!(name_servers(&account, &older).await?, name_servers(&account, &newer).await?);
    account.write_record(&older, CHILD, "TXT", &["\"older\""]).await?;
    account.write_record(&newer, CHILD, "TXT", &["\"newer\""]).await?;

    delegate(&account, &parent, CHILD, &newer).await?;
    assert_eq!(account.resolve(CHILD, "TXT").await?.values, ["\"newer\""]);
    delegate(&account, &parent, CHILD, &older).await?;
    assert_eq!(account.resolve(CHILD, "TXT").await?.values, ["\"older\""]);
    Ok(())
}

#[tokio::test]
async fn of_two_zones_at_the_top_the_older_counts() -> Result<()> {
    let account = swift_account().await?;
    let older = account.create_zone(DOMAIN).await?;
    account.advance(Duration::from_secs(1)).await?;
    let newer = account.create_zone(DOMAIN).await?;
    account.write_record(&newer, DOMAIN, "TXT", &["\"newer\""]).await?;
    assert!(account.resolve(DOMAIN, "TXT").await?.values.is_empty());
    account.write_record(&older, DOMAIN, "TXT", &["\"older\""]).await?;
    assert_eq!(account.resolve(DOMAIN, "TXT").await?.values, ["\"older\""]);
    Ok(())
}

#[tokio::test]
async fn a_private_zone_is_not_public() -> Result<()> {
    let account = swift_account().await?;
    let config = HostedZoneConfig::builder().private_zone(true).build();
    let create =
        account.route53().create_hosted_zone().name(DOMAIN).caller_reference("private").hosted_zone_config(config);
    let created = create.send().await?;
    let zone = created.hosted_zone.context("a zone")?;
    assert!(zone.config.context("a config")?.private_zone);
    // The SDK makes an empty one of a missing one.
    assert!(created.delegation_set.is_none_or(|set| set.name_servers.is_empty()));
    account.write_record(&zone.id, DOMAIN, "TXT", &["\"private\""]).await?;
    assert_eq!(account.resolve(DOMAIN, "TXT").await?.code, "NXDOMAIN");
    Ok(())
}

#[tokio::test]
async fn a_wildcard_answers_only_below_its_closest_encloser() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.write_record(&zone, "*.example.com", "TXT", &["\"any\""]).await?;
    account.write_record(&zone, "deep.taken.example.com", "A", &["192.0.2.1"]).await?;

    for (name, code, found) in [
        ("x.example.com", "NOERROR", 1),
        ("x.y.example.com", "NOERROR", 1),
        // It exists only because of what is below it, and that is enough.
        ("taken.example.com", "NOERROR", 0),
        ("other.taken.example.com", "NXDOMAIN", 0),
        ("deep.taken.example.com", "NOERROR", 0),
    ] {
        let answer = account.resolve(name, "TXT").await?;
        assert_eq!((answer.code.as_str(), answer.values.len()), (code, found), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_cname_is_followed() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.write_record(&zone, "a.example.com", "CNAME", &["b.example.com"]).await?;
    account.write_record(&zone, "b.example.com", "TXT", &["\"b\""]).await?;
    assert_eq!(account.resolve("a.example.com", "TXT").await?.values, ["\"b\""]);
    assert_eq!(account.resolve("a.example.com", "CNAME").await?.values, ["b.example.com"]);
    Ok(())
}

#[tokio::test]
async fn the_public_sees_a_change_when_it_is_in_sync() -> Result<()> {
    let account = account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.write_record(&zone, DOMAIN, "TXT", &["\"a\""]).await?;
    assert!(account.zone_records(&zone).await?.iter().any(|line| line == "example.com TXT 300 \"a\""));
    assert!(account.resolve(DOMAIN, "TXT").await?.values.is_empty());
    account.advance(Duration::from_secs(61)).await?;
    assert_eq!(account.resolve(DOMAIN, "TXT").await?.values, ["\"a\""]);
    Ok(())
}

#[tokio::test]
async fn changes_of_a_zone_do_not_overtake_each_other() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.settings(Settings::default().insync(60..=60)).await?;
    account.write_record(&zone, DOMAIN, "TXT", &["\"first\""]).await?;
    account.settings(Settings::default().insync(0..=0)).await?;
    account.write_record(&zone, DOMAIN, "TXT", &["\"second\""]).await?;
    assert!(account.resolve(DOMAIN, "TXT").await?.values.is_empty());
    account.advance(Duration::from_secs(60)).await?;
    assert_eq!(account.resolve(DOMAIN, "TXT").await?.values, ["\"second\""]);
    Ok(())
}

async fn name_servers(account: &Account, zone: &str) -> Result<Vec<String>> {
    let zone = account.route53().get_hosted_zone().id(zone).send().await?;
    Ok(zone.delegation_set.context("a delegation set")?.name_servers)
}

async fn delegate(account: &Account, parent: &str, child_name: &str, child: &str) -> Result<()> {
    let servers = name_servers(account, child).await?;
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    account.write_record(parent, child_name, "NS", &servers).await
}
