//! SES takes its time, gives up, and is asked again.

use anyhow::{Context, Result};
use serde_json::json;
use ses_operator_rig::aws::Settings;

use crate::world::{DAY, HOUR, NAME, REGION, World, bare_story, full, story, with};

/// SES gives up after 72 hours, whatever the DNS says, and is then asked again.
async fn fails_and_is_restarted(world: &mut World, slow: Settings, condition: &str) -> Result<()> {
    world.account.settings(slow).await?;
    world.apply(full()).await?;
    let waits = world.sees_because(condition, "False", "VerificationPending").await?;
    assert!(waits.contains("SES looks for") && waits.contains("gives up at"), "{waits}");
    world.sees("RecordsPublished", "True").await?;
    world.sees_because(condition, "False", "VerificationPending").await?;
    let seen = world.now().await?;
    world.kill()?;
    world.account.advance(73 * HOUR).await?;
    let failed = world.identity().await?;
    let failed = [
        failed.dkim_attributes.and_then(|dkim| dkim.status).is_some_and(|status| status.as_str() == "FAILED"),
        failed.mail_from_attributes.is_some_and(|it| it.mail_from_domain_status.as_str() == "FAILED"),
    ];
    assert_eq!(failed, [condition == "DkimVerified", condition == "MailFromVerified"], "DKIM, MAIL FROM");
    world.account.settings(Settings::default().dkim(60..=120).mail_from(60..=120)).await?;
    world.start([])?;
    world.event("VerificationRestarted", &world.domain.clone()).await?;
    // It waits anew, from now on.
    let anew = world.saw_since(seen, condition, "False").await?;
    assert!(anew.contains("VerificationPending: SES looks for") && !anew.contains(&waits), "{anew}");
    world.sees(condition, "True").await?;
    world.sees("Ready", "True").await?;
    Ok(())
}

#[tokio::test]
async fn failed_dkim_is_restarted_with_new_tokens() -> Result<()> {
    story("dkim-failed", async |world| {
        let never = Settings::default().dkim(999_999..=999_999);
        fails_and_is_restarted(world, never, "DkimVerified").await?;
        let tokens = world.status().await?.dkim.context("DKIM")?.tokens;
        let records = world.records().await?;
        let cnames: Vec<_> = records.iter().filter(|record| record.contains(" CNAME ")).collect();
        assert!(
            tokens.iter().all(|token| cnames.iter().any(|record| record.starts_with(token))),
            "{tokens:?} {cnames:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn failed_dkim_is_restarted_with_the_tokens_of_before() -> Result<()> {
    story("dkim-same-tokens", async |world| {
        let never = Settings::default().dkim(999_999..=999_999).restart_keeps_tokens(true);
        fails_and_is_restarted(world, never, "DkimVerified").await?;
        assert_eq!(world.records().await?.len(), 6);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_failed_mail_from_domain_is_put_again() -> Result<()> {
    story("mail-from-failed", async |world| {
        fails_and_is_restarted(world, Settings::default().mail_from(999_999..=999_999), "MailFromVerified").await
    })
    .await
}

#[tokio::test]
async fn a_failed_mail_from_domain_is_cleared_first_where_that_is_needed() -> Result<()> {
    story("mail-from-cleared", async |world| {
        let slow = Settings::default().mail_from(999_999..=999_999).mail_from_restart_needs_clear(true);
        fails_and_is_restarted(world, slow, "MailFromVerified").await
    })
    .await
}

#[tokio::test]
async fn mail_from_may_have_to_wait_until_the_identity_is_verified() -> Result<()> {
    story("mail-from-waits", async |world| {
        world.account.settings(Settings::default().mail_from_needs_verified(true)).await?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_domain_that_nobody_delegates_waits_for_days_with_few_polls() -> Result<()> {
    story("slow", async |world| {
        world.account.settings(Settings::default().dkim(150_000..=150_000)).await?;
        let mark = world.mark().await?;
        world.apply(json!({})).await?;
        world.sees("RecordsPublished", "True").await?;
        world.account.set_rate(12_000.0).await?;
        world.sees("Ready", "True").await?;
        // Created, looked at before and after the records, and then at 1, 2, 4 … 256 minutes and each 256 more.
        let polls = world.count_since(mark, "GetEmailIdentity").await?;
        assert!(polls <= 25, "{polls} polls in 42 hours");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn mail_is_never_refused_while_reject_message_is_set_up() -> Result<()> {
    story("reject", async |world| {
        world.apply(json!({})).await?;
        world.sees("Ready", "True").await?;
        assert!(world.identity().await?.verified_for_sending_status, "it sends already");

        let reject =
            |labels: &str| with(full(), json!({"mailFromSubdomain": labels, "mxFailureBehavior": "RejectMessage"}));
        world.apply(reject("mail")).await?;
        let pending = world.sees_because("MailFromVerified", "False", "VerificationPending").await?;
        assert!(pending.contains("UseDefaultValue is in force, and RejectMessage follows"), "{pending}");
        let ready =
            |label: &str| (format!("{label}.reject.example"), "SUCCESS".to_owned(), "REJECT_MESSAGE".to_owned());
        world.sees("Ready", "True").await?;
        assert_eq!(world.mail_from().await?, ready("mail"));

        // Another MAIL FROM domain, while RejectMessage is in force.
        world.apply(reject("bounce")).await?;
        world
            .sees_that(NAME, "MailFromVerified", "the new one", |it| {
                it.status == "True" && it.message.contains("bounce.")
            })
            .await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.mail_from().await?, ready("bounce"));
        assert_eq!(world.account.refusals().await?.len(), 0);

        // The twin: SES would tell, had there been a moment.
        world.kill()?;
        world.account.delete_record(&world.zone, "bounce.reject.example", "MX").await?;
        world.account.advance(2 * HOUR).await?;
        world.identity().await?;
        assert_eq!(world.account.refusals().await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_loss_that_ses_noticed_is_told_and_mended() -> Result<()> {
    story("lost", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.kill()?;
        let records = world.records().await?;
        for record in records.iter().filter(|record| record.contains(" CNAME ") || record.contains(" MX ")) {
            let mut words = record.split(' ');
            let (name, kind) = (words.next().context("a name")?, words.next().context("a type")?);
            world.account.delete_record(&world.zone, name, kind).await?;
        }
        world.account.advance(2 * HOUR).await?;
        let seen = world.now().await?;
        world.start([])?;
        for condition in ["DkimVerified", "MailFromVerified"] {
            let lost = world.saw_since(seen, condition, "False").await?;
            assert!(lost.contains("VerificationLost: SES no longer finds"), "{lost}");
        }
        world.account.advance(HOUR).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?, records);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_identity_that_vanished_is_made_again() -> Result<()> {
    bare_story("vanished", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.start([])?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let before = world.status().await?.dkim.context("DKIM")?.tokens;
        world.account.sesv2(REGION).delete_email_identity().email_identity(&world.domain).send().await?;
        let seen = world.now().await?;
        world.account.advance(DAY).await?;
        world.saw_since(seen, "Ready", "False").await?;
        world.sees("Ready", "True").await?;
        let after = world.status().await?.dkim.context("DKIM")?.tokens;
        assert_ne!(before, after);
        assert!(world.identity().await?.verified_for_sending_status);
        Ok(())
    })
    .await
}
