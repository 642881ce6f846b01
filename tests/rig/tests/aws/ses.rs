//! SES's identities, apart from their verification.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sesv2::types::Tag;
use ses_operator_rig::aws::Settings;

use crate::common::{DOMAIN, REGION, create_identity, identity, refusal, swift_account};

#[tokio::test]
async fn an_identity_comes_with_three_tokens_and_their_zone() -> Result<()> {
    let account = swift_account().await?;
    let created = account.sesv2(REGION).create_email_identity().email_identity(DOMAIN).send().await?;
    let dkim = created.dkim_attributes.context("DKIM attributes")?;
    assert_eq!((dkim.tokens().len(), dkim.signing_hosted_zone()), (3, Some("dkim.amazonses.com")));

    let elsewhere = account.sesv2("eu-central-2").create_email_identity().email_identity(DOMAIN).send().await?;
    let dkim = elsewhere.dkim_attributes.context("DKIM attributes")?;
    assert_eq!(dkim.signing_hosted_zone(), Some("dkim.eu-central-2.amazonses.com"));
    Ok(())
}

#[tokio::test]
async fn a_second_creation_is_refused_and_a_second_deletion_too() -> Result<()> {
    let account = swift_account().await?;
    create_identity(&account, DOMAIN).await?;
    let ses = account.sesv2(REGION);
    let again = ses.create_email_identity().email_identity(DOMAIN).send().await;
    assert_eq!(refusal(again)?.0, "AlreadyExistsException");
    ses.delete_email_identity().email_identity(DOMAIN).send().await?;
    let again = ses.delete_email_identity().email_identity(DOMAIN).send().await;
    assert_eq!(refusal(again)?.0, "NotFoundException");
    let read = ses.get_email_identity().email_identity(DOMAIN).send().await;
    assert_eq!(refusal(read)?.0, "NotFoundException");
    Ok(())
}

#[tokio::test]
async fn regions_and_accounts_know_nothing_of_each_other() -> Result<()> {
    let (one, other) = (swift_account().await?, swift_account().await?);
    create_identity(&one, DOMAIN).await?;
    one.create_zone(DOMAIN).await?;
    for ses in [one.sesv2("us-east-1"), other.sesv2(REGION)] {
        assert!(ses.list_email_identities().send().await?.email_identities().is_empty());
    }
    assert!(other.route53().list_hosted_zones().send().await?.hosted_zones.is_empty());
    assert_ne!(one.id(), other.id());
    Ok(())
}

#[tokio::test]
async fn what_is_put_is_what_is_read() -> Result<()> {
    let account = swift_account().await?;
    let ses = account.sesv2(REGION);
    let missing = ses.create_email_identity().email_identity(DOMAIN).configuration_set_name("none").send().await;
    assert_eq!(refusal(missing)?.0, "NotFoundException");

    ses.create_configuration_set().configuration_set_name("news").send().await?;
    let owner = Tag::builder().key("owner").value("mail").build()?;
    let create = ses.create_email_identity().email_identity(DOMAIN).configuration_set_name("news").tags(owner);
    create.send().await?;
    ses.put_email_identity_feedback_attributes().email_identity(DOMAIN).send().await?;
    ses.put_email_identity_dkim_attributes().email_identity(DOMAIN).send().await?;

    let read = identity(&account, DOMAIN).await?;
    assert_eq!(read.configuration_set_name(), Some("news"));
    assert!(!read.feedback_forwarding_status);
    assert!(!read.dkim_attributes.as_ref().context("DKIM attributes")?.signing_enabled);

    let arn = format!("arn:aws:ses:{REGION}:{}:identity/{DOMAIN}", account.id());
    let team = Tag::builder().key("team").value("a").build()?;
    ses.tag_resource().resource_arn(&arn).tags(team).send().await?;
    ses.untag_resource().resource_arn(&arn).tag_keys("owner").send().await?;
    let tags = ses.list_tags_for_resource().resource_arn(&arn).send().await?.tags;
    assert_eq!(tags.iter().map(|tag| tag.key.as_str()).collect::<Vec<_>>(), ["team"]);
    assert_eq!(identity(&account, DOMAIN).await?.tags(), tags);
    Ok(())
}

#[tokio::test]
async fn a_list_shows_a_page_and_where_the_next_one_starts() -> Result<()> {
    let account = swift_account().await?;
    for domain in ["a.example", "b.example", "c.example"] {
        create_identity(&account, domain).await?;
    }
    let ses = account.sesv2(REGION);
    let first = ses.list_email_identities().page_size(2).send().await?;
    let rest = ses.list_email_identities().page_size(2).set_next_token(first.next_token.clone()).send().await?;
    let names = [first.email_identities(), rest.email_identities()].concat();
    let names: Vec<_> = names.iter().filter_map(|one| one.identity_name()).collect();
    assert_eq!((names, rest.next_token), (vec!["a.example", "b.example", "c.example"], None));
    Ok(())
}

#[tokio::test]
async fn a_read_that_lags_does_not_know_yet() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().read_lag(Duration::from_secs(3))).await?;
    create_identity(&account, DOMAIN).await?;
    let read = account.sesv2(REGION).get_email_identity().email_identity(DOMAIN).send().await;
    assert_eq!(refusal(read)?.0, "NotFoundException");
    account.advance(Duration::from_secs(3)).await?;
    identity(&account, DOMAIN).await?;
    Ok(())
}

#[tokio::test]
async fn the_sandbox_shows_in_the_account() -> Result<()> {
    let account = swift_account().await?;
    let ses = account.sesv2(REGION);
    assert!(ses.get_account().send().await?.production_access_enabled);
    account.settings(Settings::default().production_access(false)).await?;
    assert!(!ses.get_account().send().await?.production_access_enabled);
    assert!(ses.list_recommendations().send().await?.recommendations().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_reset_leaves_neither_tags_nor_configuration_sets() -> Result<()> {
    let account = swift_account().await?;
    let ses = account.sesv2(REGION);
    ses.create_configuration_set().configuration_set_name("news").send().await?;
    let owner = Tag::builder().key("owner").value("mail").build()?;
    ses.create_email_identity().email_identity(DOMAIN).tags(owner).send().await?;
    account.create_zone(DOMAIN).await?;

    account.reset().await?;
    assert!(account.requests().await?.is_empty());
    assert!(account.route53().list_hosted_zones().send().await?.hosted_zones.is_empty());
    let create = ses.create_email_identity().email_identity(DOMAIN).configuration_set_name("news").send().await;
    assert_eq!(refusal(create)?.0, "NotFoundException");
    create_identity(&account, DOMAIN).await?;
    assert!(identity(&account, DOMAIN).await?.tags().is_empty());
    Ok(())
}
