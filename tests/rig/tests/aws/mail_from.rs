//! MAIL FROM follows one MX, and nothing else.

use anyhow::{Context, Result};
use ses_operator_rig::aws::Settings;

use crate::common::{
    DOMAIN, HOUR, MAIL_FROM, OUR_MX, PATIENCE, REGION, create_identity, identity, mail_from, publish_dkim,
    put_mail_from, refusal, swift_account, verified_domain,
};

#[tokio::test]
async fn only_one_mx_of_priority_10_of_the_identity_s_region_is_right() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;

    for wrong in [
        &["20 feedback-smtp.eu-west-1.amazonses.com"][..],
        &["10 feedback-smtp.us-east-1.amazonses.com"],
        &[OUR_MX, "20 mx.example.net"],
        &["10 mx.example.net"],
    ] {
        account.write_record(&zone, MAIL_FROM, "MX", wrong).await?;
        account.advance(HOUR).await?;
        assert_eq!(mail_from(&account, DOMAIN).await?, "PENDING", "{wrong:?}");
    }
    account.write_record(&zone, MAIL_FROM, "MX", &[&format!("{OUR_MX}.")]).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS", "though there is no SPF");
    Ok(())
}

#[tokio::test]
async fn each_region_wants_its_own_feedback_host() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;
    for (region, status) in [(REGION, "SUCCESS"), ("us-east-1", "PENDING")] {
        let ses = account.sesv2(region);
        ses.create_email_identity().email_identity(DOMAIN).send().await?;
        let put = ses.put_email_identity_mail_from_attributes().email_identity(DOMAIN).mail_from_domain(MAIL_FROM);
        put.send().await?;
        let read = ses.get_email_identity().email_identity(DOMAIN).send().await?;
        let attributes = read.mail_from_attributes.context("MAIL FROM attributes")?;
        assert_eq!(attributes.mail_from_domain_status.as_str(), status, "{region}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_mail_from_stays_so_until_it_is_put_again() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    account.advance(PATIENCE).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "FAILED");

    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;
    account.advance(PATIENCE).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "FAILED", "SES has stopped looking");
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn a_failed_mail_from_may_have_to_be_cleared_first() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().mail_from_restart_needs_clear(true)).await?;
    let zone = verified_domain(&account).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    account.advance(PATIENCE).await?;
    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;

    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "FAILED");
    account.sesv2(REGION).put_email_identity_mail_from_attributes().email_identity(DOMAIN).send().await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn an_mx_that_vanishes_is_missed_and_may_come_back() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");

    account.delete_record(&zone, MAIL_FROM, "MX").await?;
    account.advance(HOUR).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "TEMPORARY_FAILURE");
    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;
    account.advance(HOUR).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");

    account.settings(Settings::default().mail_from(600..=600)).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS", "the same values disturb nothing");
    Ok(())
}

#[tokio::test]
async fn without_a_mail_from_domain_there_is_only_the_behaviour() -> Result<()> {
    let account = swift_account().await?;
    verified_domain(&account).await?;
    let attributes = identity(&account, DOMAIN).await?.mail_from_attributes.context("MAIL FROM attributes")?;
    assert_eq!(
        (attributes.mail_from_domain.as_str(), attributes.behavior_on_mx_failure.as_str()),
        ("", "USE_DEFAULT_VALUE")
    );
    Ok(())
}

#[tokio::test]
async fn ses_refuses_what_makes_no_sense() -> Result<()> {
    let account = swift_account().await?;
    verified_domain(&account).await?;
    let put = || account.sesv2(REGION).put_email_identity_mail_from_attributes().email_identity(DOMAIN);

    let rejecting = put().behavior_on_mx_failure("REJECT_MESSAGE".into()).send().await;
    assert_eq!(refusal(rejecting)?.0, "BadRequestException");
    for elsewhere in [DOMAIN, "mail.example.net", "notexample.com"] {
        assert_eq!(refusal(put().mail_from_domain(elsewhere).send().await)?.0, "BadRequestException");
    }
    Ok(())
}

#[tokio::test]
async fn ses_may_want_the_identity_verified_first() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().mail_from_needs_verified(true)).await?;
    let zone = account.create_zone(DOMAIN).await?;
    let tokens = create_identity(&account, DOMAIN).await?;
    assert!(put_mail_from(&account, "USE_DEFAULT_VALUE").await.is_err());
    publish_dkim(&account, &zone, DOMAIN, &tokens).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await
}

#[tokio::test]
async fn another_mail_from_domain_starts_anew() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");
    let put = account.sesv2(REGION).put_email_identity_mail_from_attributes().email_identity(DOMAIN);
    put.mail_from_domain("bounce.example.com").send().await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "PENDING");
    Ok(())
}

/// The time in which mail is lost: the identity may send, the MX is not right yet, and SES was told to reject.
#[tokio::test]
async fn refused_mail_is_counted_from_the_put_to_the_success() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    account.advance(HOUR).await?;
    assert!(account.refusals().await?.is_empty(), "the fallback refuses nothing");

    put_mail_from(&account, "REJECT_MESSAGE").await?;
    account.advance(HOUR).await?;
    account.write_record(&zone, MAIL_FROM, "MX", &[OUR_MX]).await?;
    account.advance(HOUR).await?;
    let refusals = account.refusals().await?;
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let lasted = refusals[0].until.duration_since(refusals[0].from);
    assert_eq!((refusals[0].identity.as_str(), lasted.as_secs()), (DOMAIN, 3600));
    Ok(())
}

#[tokio::test]
async fn an_identity_that_may_not_send_refuses_nothing() -> Result<()> {
    let account = swift_account().await?;
    create_identity(&account, DOMAIN).await?;
    put_mail_from(&account, "REJECT_MESSAGE").await?;
    account.advance(PATIENCE).await?;
    assert!(account.refusals().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_mx_at_the_end_of_a_cname_is_seen_when_it_comes() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    let other = account.create_zone("example.net").await?;
    account.write_record(&zone, MAIL_FROM, "CNAME", &["mx.example.net"]).await?;
    create_identity(&account, DOMAIN).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "PENDING");
    account.write_record(&other, "mx.example.net", "MX", &[OUR_MX]).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn a_wildcard_s_mx_is_lost_when_the_name_comes_to_be() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.write_record(&zone, "*.example.com", "MX", &[OUR_MX]).await?;
    create_identity(&account, DOMAIN).await?;
    put_mail_from(&account, "USE_DEFAULT_VALUE").await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");
    let below = format!("a.{MAIL_FROM}");
    account.write_record(&zone, &below, "TXT", &["\"a\""]).await?;
    account.advance(HOUR).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "TEMPORARY_FAILURE");
    account.delete_record(&zone, &below, "TXT").await?;
    account.advance(HOUR).await?;
    assert_eq!(mail_from(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}
