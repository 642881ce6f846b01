//! Identities.

use anyhow::{Context, Result};
use ses_operator::api::spec::{KeyLength, MxFailureBehavior};
use ses_operator::cloud::{ErrorKind, Region};
use ses_operator::ses::{IdentityChange, IdentityKey, IdentityService, MailFrom, SigningOrigin, VerificationStatus};

use crate::common::{Cloud, REGION, failure, key, kind, name, plain_identity, tags};

const DOMAIN: &str = "example.com";

#[tokio::test]
async fn an_identity_from_its_making_to_its_end() -> Result<()> {
    let cloud = Cloud::new().await?;
    let key = key(DOMAIN);
    assert_eq!(cloud.ses.get(&key).await?.answer, None);

    let created = cloud.ses.create(&key, &plain_identity()).await?.answer;
    assert_eq!(created.dkim.tokens.len(), 3);
    assert_eq!(created.dkim.origin, SigningOrigin::AwsSes);
    assert!(created.dkim.signing_hosted_zone.is_some());
    assert!(created.dkim.status.is_waiting());

    let read = cloud.ses.get(&key).await?.answer.context("the identity")?;
    assert_eq!(read.tags, tags(&[("team", "mail")]));
    assert_eq!(read.dkim.tokens, created.dkim.tokens);
    assert_eq!((read.mail_from, read.feedback_forwarding, read.configuration_set), (None, true, None));

    let again = failure(cloud.ses.create(&key, &plain_identity()).await)?;
    assert_eq!((again.kind, again.operation), (ErrorKind::Conflict, "ses:CreateEmailIdentity"));
    assert_eq!(again.object, DOMAIN);

    cloud.ses.delete(&key).await?;
    cloud.ses.delete(&key).await.context("what is gone already is no error")?;
    assert_eq!(cloud.ses.get(&key).await?.answer, None);
    Ok(())
}

#[tokio::test]
async fn an_identity_is_made_with_what_it_is_asked_for() -> Result<()> {
    let cloud = Cloud::new().await?;
    cloud.account.sesv2(REGION).create_configuration_set().configuration_set_name("news").send().await?;
    let mut wanted = plain_identity();
    wanted.key_length = Some(KeyLength::Rsa1024);
    wanted.configuration_set = Some("news".into());
    cloud.ses.create(&key(DOMAIN), &wanted).await?;
    let read = cloud.ses.get(&key(DOMAIN)).await?.answer.context("the identity")?;
    assert_eq!(read.dkim.next_key_length, Some(KeyLength::Rsa1024));
    assert_eq!(read.configuration_set.as_deref(), Some("news"));

    wanted.configuration_set = Some("missing".into());
    // A missing identity is waited for or made; a missing configuration set is for a person.
    assert_eq!(kind(cloud.ses.create(&key("example.org"), &wanted).await)?, ErrorKind::Rejected);
    Ok(())
}

#[tokio::test]
async fn each_change_arrives() -> Result<()> {
    let cloud = Cloud::new().await?;
    let key = key(DOMAIN);
    cloud.account.sesv2(REGION).create_configuration_set().configuration_set_name("news").send().await?;
    cloud.ses.create(&key, &plain_identity()).await?;

    let mail_from = (name("mail.example.com"), MxFailureBehavior::RejectMessage);
    for change in [
        IdentityChange::MailFrom(Some(mail_from.clone())),
        IdentityChange::FeedbackForwarding(false),
        IdentityChange::ConfigurationSet(Some("news".into())),
        IdentityChange::Tag(tags(&[("team", "post"), ("stage", "test")])),
    ] {
        cloud.ses.change(&key, &change).await?;
    }
    let read = cloud.ses.get(&key).await?.answer.context("the identity")?;
    let expected = MailFrom { domain: mail_from.0, status: VerificationStatus::Pending, behavior: mail_from.1 };
    assert_eq!(read.mail_from, Some(expected));
    assert!(!read.feedback_forwarding);
    assert_eq!(read.configuration_set.as_deref(), Some("news"));
    assert_eq!(read.tags, tags(&[("team", "post"), ("stage", "test")]));

    for change in [
        IdentityChange::MailFrom(None),
        IdentityChange::FeedbackForwarding(true),
        IdentityChange::ConfigurationSet(None),
        IdentityChange::Untag(vec!["stage".into()]),
    ] {
        cloud.ses.change(&key, &change).await?;
    }
    let read = cloud.ses.get(&key).await?.answer.context("the identity")?;
    assert_eq!((read.mail_from, read.feedback_forwarding, read.configuration_set), (None, true, None));
    assert_eq!(read.tags, tags(&[("team", "post")]));
    Ok(())
}

#[tokio::test]
async fn a_new_key_starts_a_failed_verification_anew() -> Result<()> {
    let cloud = Cloud::new().await?;
    let key = key(DOMAIN);
    let created = cloud.ses.create(&key, &plain_identity()).await?.answer;
    cloud.account.advance(std::time::Duration::from_secs(73 * 3600)).await?;
    let failed = cloud.ses.get(&key).await?.answer.context("the identity")?;
    assert_eq!(failed.dkim.status, VerificationStatus::Failed);
    assert!(failed.dkim.error.is_some(), "SES says what it missed");

    cloud.ses.change(&key, &IdentityChange::DkimKey(Some(KeyLength::Rsa1024))).await?;
    let anew = cloud.ses.get(&key).await?.answer.context("the identity")?;
    assert!(anew.dkim.status.is_waiting());
    assert_ne!(anew.dkim.tokens, created.dkim.tokens);
    assert_eq!(anew.dkim.next_key_length, Some(KeyLength::Rsa1024));
    cloud.ses.change(&key, &IdentityChange::DkimKey(None)).await?;
    Ok(())
}

#[tokio::test]
async fn one_domain_in_two_regions_is_two_identities() -> Result<()> {
    let cloud = Cloud::new().await?;
    let elsewhere = IdentityKey { region: Region::new("us-east-1"), domain: name(DOMAIN) };
    cloud.ses.create(&elsewhere, &plain_identity()).await?;
    cloud.ses.change(&elsewhere, &IdentityChange::Tag(tags(&[("where", "there")]))).await?;
    assert_eq!(cloud.ses.get(&key(DOMAIN)).await?.answer, None);
    let read = cloud.ses.get(&elsewhere).await?.answer.context("the identity")?;
    assert_eq!(read.tags, tags(&[("team", "mail"), ("where", "there")]));
    Ok(())
}
