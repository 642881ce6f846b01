//! DKIM follows the DNS.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sesv2::types::{DkimAttributes, DkimSigningAttributes, DkimSigningAttributesOrigin, DkimSigningKeyLength};
use ses_operator_rig::aws::{Account, Settings};

use crate::common::{
    DOMAIN, HOUR, PATIENCE, REGION, account, create_identity, dkim, identity, publish_dkim, swift_account,
    verified_domain,
};

#[tokio::test]
async fn dkim_waits_for_the_public_and_then_for_ses() -> Result<()> {
    let account = account().await?;
    account.settings(Settings::default().insync(30..=30).dkim(120..=120)).await?;
    verified_domain(&account).await?;

    account.advance(Duration::from_secs(149)).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    account.advance(Duration::from_secs(2)).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    assert!(identity(&account, DOMAIN).await?.verified_for_sending_status);
    Ok(())
}

#[tokio::test]
async fn records_that_vanish_before_ses_has_looked_verify_nothing() -> Result<()> {
    let account = account().await?;
    account.settings(Settings::default().insync(0..=0).dkim(120..=120)).await?;
    let zone = verified_domain(&account).await?;
    let cname = first_cname(&account, &zone).await?;
    account.advance(Duration::from_secs(60)).await?;
    account.delete_record(&zone, &cname.0, "CNAME").await?;
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    Ok(())
}

#[tokio::test]
async fn what_was_wrong_before_the_success_is_not_held_against_it() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let tokens = create_identity(&account, DOMAIN).await?;
    account.advance(2 * HOUR).await?;
    publish_dkim(&account, &zone, DOMAIN, &tokens).await?;
    for _ in 0..3 {
        assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS", "however often it is read");
    }
    Ok(())
}

#[tokio::test]
async fn two_cnames_of_three_are_not_enough() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    account.advance(HOUR).await?;
    let tokens = create_identity(&account, "sub.example.com").await?;
    publish_dkim(&account, &zone, "sub.example.com", &tokens[..2]).await?;
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, "sub.example.com").await?, "PENDING");
    let info = identity(&account, "sub.example.com").await?.verification_info.context("what was found")?;
    assert_eq!(info.error_type.context("an error")?.as_str(), "HOST_NOT_FOUND");
    Ok(())
}

#[tokio::test]
async fn dkim_fails_after_72_hours_without_records_and_stays_so_though_they_come() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let tokens = create_identity(&account, DOMAIN).await?;
    account.advance(PATIENCE - HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "FAILED");

    publish_dkim(&account, &zone, DOMAIN, &tokens).await?;
    account.advance(PATIENCE).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "FAILED");
    Ok(())
}

#[tokio::test]
async fn a_failed_dkim_starts_anew_with_other_tokens() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let tokens = create_identity(&account, DOMAIN).await?;
    account.advance(PATIENCE).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "FAILED");

    let renewed = restart(&account).await?;
    assert_ne!(renewed, tokens);
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    publish_dkim(&account, &zone, DOMAIN, &renewed).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn a_failed_dkim_may_also_start_anew_with_the_same_tokens() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().restart_keeps_tokens(true)).await?;
    let tokens = create_identity(&account, DOMAIN).await?;
    account.advance(PATIENCE).await?;
    assert_eq!(restart(&account).await?, tokens);
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    Ok(())
}

#[tokio::test]
async fn records_that_vanish_are_missed_within_an_hour_and_forgiven_for_72() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    let cname = first_cname(&account, &zone).await?;

    account.delete_record(&zone, &cname.0, "CNAME").await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "TEMPORARY_FAILURE");
    assert!(identity(&account, DOMAIN).await?.verified_for_sending_status, "SES still hopes");

    account.advance(PATIENCE - 2 * HOUR).await?;
    account.write_record(&zone, &cname.0, "CNAME", &[&cname.1]).await?;
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

/// The failure counts from the temporary failure, and one jump of 60 days sees it all.
#[tokio::test]
async fn records_that_do_not_come_back_fail_dkim() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    let cname = first_cname(&account, &zone).await?;
    account.delete_record(&zone, &cname.0, "CNAME").await?;

    account.advance(PATIENCE).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "TEMPORARY_FAILURE", "it began half an hour late");
    account.advance(Duration::from_secs(60 * 24 * 3600)).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "FAILED");
    assert!(!identity(&account, DOMAIN).await?.verified_for_sending_status);
    Ok(())
}

#[tokio::test]
async fn a_jump_sees_what_happened_on_the_way() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    let cname = first_cname(&account, &zone).await?;
    // Nobody reads while the records are gone for five days.
    account.advance(HOUR).await?;
    account.delete_record(&zone, &cname.0, "CNAME").await?;
    account.advance(Duration::from_secs(5 * 24 * 3600)).await?;
    account.write_record(&zone, &cname.0, "CNAME", &[&cname.1]).await?;
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "FAILED");
    Ok(())
}

#[tokio::test]
async fn delays_are_the_domain_s_own_whatever_the_order() -> Result<()> {
    let mut seen = Vec::new();
    for domains in [["a.example", "b.example"], ["b.example", "a.example"]] {
        let account = account().await?;
        account.settings(Settings::default().seed(7).insync(0..=0)).await?;
        for domain in domains {
            let zone = account.create_zone(domain).await?;
            let tokens = create_identity(&account, domain).await?;
            publish_dkim(&account, &zone, domain, &tokens).await?;
        }
        let mut statuses = Vec::new();
        for _ in 0..30 {
            account.advance(Duration::from_secs(20)).await?;
            statuses.push((dkim(&account, "a.example").await?, dkim(&account, "b.example").await?));
        }
        seen.push(statuses);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].iter().any(|(a, b)| a != b), "and not all alike");
    Ok(())
}

#[tokio::test]
async fn a_delay_that_is_made_shorter_is_over_sooner() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().dkim(600..=600)).await?;
    verified_domain(&account).await?;
    account.advance(Duration::from_secs(60)).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    account.settings(Settings::default().dkim(30..=30)).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn a_longer_key_is_a_rotation_that_keeps_the_tokens() -> Result<()> {
    let account = swift_account().await?;
    verified_domain(&account).await?;
    let before = identity(&account, DOMAIN).await?.dkim_attributes.context("DKIM")?;
    let keys = DkimSigningAttributes::builder().next_signing_key_length(DkimSigningKeyLength::Rsa1024Bit).build();
    let put = account.sesv2(REGION).put_email_identity_dkim_signing_attributes().email_identity(DOMAIN);
    put.signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes).signing_attributes(keys).send().await?;
    let after = identity(&account, DOMAIN).await?.dkim_attributes.context("DKIM")?;
    assert_eq!((after.tokens, after.status), (before.tokens, before.status));
    assert_eq!(after.next_signing_key_length, Some(DkimSigningKeyLength::Rsa1024Bit));
    assert_eq!(after.current_signing_key_length, before.current_signing_key_length);
    Ok(())
}

#[tokio::test]
async fn one_s_own_key_is_looked_for_at_its_selector() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let keys = DkimSigningAttributes::builder().domain_signing_selector("s1").domain_signing_private_key("c2VjcmV0");
    let create = account.sesv2(REGION).create_email_identity().email_identity(DOMAIN);
    create.dkim_signing_attributes(keys.build()).send().await?;
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "PENDING");
    account.write_record(&zone, "s1._domainkey.example.com", "TXT", &["\"p=AAAA\""]).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    let attributes = identity(&account, DOMAIN).await?.dkim_attributes.context("DKIM")?;
    assert_eq!(attributes.signing_attributes_origin, Some(DkimSigningAttributesOrigin::External));
    Ok(())
}

/// Deterministic Easy DKIM: a replica shares the parent's tokens, and so its records.
#[tokio::test]
async fn a_replica_shares_its_parent_s_keys_and_is_no_parent_itself() -> Result<()> {
    let account = swift_account().await?;
    verified_domain(&account).await?;
    let parent = identity(&account, DOMAIN).await?.dkim_attributes.context("DKIM")?.tokens;
    let replica = replicate(&account, "eu-central-1", DkimSigningAttributesOrigin::AwsSesEuWest1).await?;
    assert_eq!(replica.tokens, parent);
    assert_eq!(replica.status.context("a status")?.as_str(), "SUCCESS");

    let refused = replicate(&account, "us-east-1", DkimSigningAttributesOrigin::AwsSesEuCentral1).await;
    assert!(refused.is_err(), "a replica can't be replicated");
    let deleted = account.sesv2(REGION).delete_email_identity().email_identity(DOMAIN).send().await;
    assert!(deleted.is_err(), "a parent stays while it has replicas");
    Ok(())
}

async fn replicate(account: &Account, region: &str, origin: DkimSigningAttributesOrigin) -> Result<DkimAttributes> {
    let keys = DkimSigningAttributes::builder().domain_signing_attributes_origin(origin).build();
    let ses = account.sesv2(region);
    ses.create_email_identity().email_identity(DOMAIN).dkim_signing_attributes(keys).send().await?;
    let identity = ses.get_email_identity().email_identity(DOMAIN).send().await?;
    identity.dkim_attributes.context("DKIM attributes")
}

async fn restart(account: &Account) -> Result<Vec<String>> {
    let put = account.sesv2(REGION).put_email_identity_dkim_signing_attributes().email_identity(DOMAIN);
    let put = put.signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes).send().await?;
    Ok(put.dkim_tokens.unwrap_or_default())
}

/// The name and the value of one of the zone's CNAMEs.
async fn first_cname(account: &Account, zone: &str) -> Result<(String, String)> {
    let records = account.zone_records(zone).await?;
    let line = records.iter().find(|line| line.contains(" CNAME ")).context("a CNAME")?;
    let parts: Vec<&str> = line.split(' ').collect();
    Ok((parts[0].to_owned(), parts[3].to_owned()))
}
