//! What others change behind our back.

use anyhow::{Context, Result, ensure};
use aws_sdk_sesv2::types::BehaviorOnMxFailure;
use serde_json::json;

use crate::world::{DAY, HOUR, MINUTE, REGION, SWEEP, World, full, story, with};

/// Waits until the zone holds these records again.
async fn holds(world: &mut World, records: &[String]) -> Result<()> {
    let (account, zone) = (world.account.clone(), world.zone.clone());
    world
        .awaits("the records to be as they were", async || {
            let found = account.zone_records(&zone).await?;
            let missing: Vec<_> = records.iter().filter(|record| !found.contains(record)).collect();
            ensure!(missing.is_empty(), "missing: {missing:?}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn dkim_records_that_are_deleted_come_back() -> Result<()> {
    story("dkim-deleted", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let records = world.records().await?;
        let seen = world.now().await?;
        for record in records.iter().filter(|record| record.contains(" CNAME ")) {
            let name = record.split(' ').next().context("a name")?;
            world.account.delete_record(&world.zone, name, "CNAME").await?;
        }
        world.account.advance(SWEEP).await?;
        let told = world.saw_since(seen, "RecordsPublished", "False").await?;
        assert!(told.contains("_domainkey"), "{told}");
        world.event("RecordPutBack", "was removed behind our back and is put back").await?;
        world.account.advance(HOUR).await?;
        world.sees("RecordsPublished", "True").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?, records);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_spf_record_is_watched_though_ses_says_nothing_of_it() -> Result<()> {
    story("spf-deleted", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let seen = world.now().await?;
        world.account.delete_record(&world.zone, "mail.spf-deleted.example", "TXT").await?;
        world.account.advance(SWEEP).await?;
        let told = world.saw_since(seen, "RecordsPublished", "False").await?;
        assert!(told.contains("mail.spf-deleted.example TXT was removed"), "{told}");
        assert_eq!(world.mail_from().await?.1, "SUCCESS");
        world.sees("RecordsPublished", "True").await?;
        world.sees("Ready", "True").await?;
        let spf = "\"v=spf1 include:amazonses.com ~all\"";
        assert_eq!(world.public("mail.spf-deleted.example", "TXT").await?, spf);
        assert_eq!(world.statuses("MailFromVerified").await?, ["False", "True"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn records_that_are_changed_are_put_back_and_strangers_stay() -> Result<()> {
    story("changed", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let (zone, account) = (world.zone.clone(), world.account.clone());
        let domain = world.domain.clone();
        // Not ours: a record beside ours, and a value in the set that we share.
        account.write_record(&zone, &format!("www.{domain}"), "CNAME", &["elsewhere.example"]).await?;
        let spf = "\"v=spf1 include:amazonses.com ~all\"";
        account.write_record(&zone, &format!("mail.{domain}"), "TXT", &["\"owner=somebody\"", spf]).await?;
        account.write_record(&zone, &format!("_dmarc.{domain}"), "TXT", &["\"v=DMARC1; p=reject\""]).await?;
        account.write_record(&zone, &format!("mail.{domain}"), "MX", &["10 mx.elsewhere.example"]).await?;
        account.advance(SWEEP).await?;

        world.event("RecordPutBack", "10 mx.elsewhere.example").await?;
        world.event("RecordPutBack", "p=reject").await?;
        account.advance(HOUR).await?;
        world.sees("RecordsPublished", "True").await?;
        world.sees("Ready", "True").await?;
        let mx = format!("10 feedback-smtp.{REGION}.amazonses.com");
        assert_eq!(world.public(&format!("mail.{domain}"), "MX").await?, mx);
        assert!(world.public(&format!("_dmarc.{domain}"), "TXT").await?.contains("p=none"));
        assert!(world.public(&format!("mail.{domain}"), "TXT").await?.contains("owner=somebody"));
        assert_eq!(world.public(&format!("www.{domain}"), "CNAME").await?, "elsewhere.example");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn attributes_of_the_identity_are_put_back() -> Result<()> {
    story("attributes", async |world| {
        let spec = with(
            full(),
            json!({"mxFailureBehavior": "RejectMessage", "feedbackForwarding": "Disabled", "tags": {"team": "mail"}}),
        );
        world.apply(spec).await?;
        world.sees("Ready", "True").await?;
        let ses = world.account.sesv2(REGION);
        let put = ses.put_email_identity_mail_from_attributes().email_identity(&world.domain);
        let put = put
            .mail_from_domain("mail.attributes.example")
            .behavior_on_mx_failure(BehaviorOnMxFailure::UseDefaultValue);
        put.send().await?;
        ses.put_email_identity_feedback_attributes()
            .email_identity(&world.domain)
            .email_forwarding_enabled(true)
            .send()
            .await?;
        let arn = world.status().await?.identity.context("the identity")?.arn;
        ses.untag_resource().resource_arn(&arn).tag_keys("team").send().await?;

        world.account.advance(DAY).await?;
        world.event("IdentityPutBack", "the MAIL FROM settings").await?;
        world.event("IdentityPutBack", "feedback forwarding").await?;
        world.event("IdentityPutBack", "tags").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.mail_from().await?.2, "REJECT_MESSAGE");
        let identity = world.identity().await?;
        assert!(!identity.feedback_forwarding_status);
        assert!(identity.tags().iter().any(|tag| tag.key == "team" && tag.value == "mail"), "{:?}", identity.tags());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_fights_for_a_record_is_left_alone_for_an_hour() -> Result<()> {
    story("contended", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let records = world.records().await?;
        let name = format!("_dmarc.{}", world.domain);
        let fight = async |world: &World| {
            world
                .account
                .write_record(&world.zone, &name, "TXT", &["\"v=DMARC1; p=none; rua=mailto:rival@rival.example\""])
                .await
        };
        for round in 1..=3 {
            fight(world).await?;
            world.reconciles(&format!("round-{round}")).await?;
            holds(world, &records).await?;
            world.sees("Ready", "True").await?;
        }
        fight(world).await?;
        world.reconciles("round-4").await?;
        let told = world.sees_because("Ready", "False", "Contended").await?;
        assert!(told.contains("rival@rival.example") && told.contains("left alone for an hour"), "{told}");
        world.sees("Stalled", "True").await?;

        let mark = world.mark().await?;
        world.account.advance(20 * MINUTE).await?;
        world.reconciles("while-it-is-left-alone").await?;
        assert!(world.writes_since(mark).await?.is_empty());
        world.account.advance(HOUR).await?;
        holds(world, &records).await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}
