//! Where the records go.

use anyhow::{Context, Result};
use serde_json::json;

use crate::world::{REGION, bare_story, full, story, with};

#[tokio::test]
async fn without_a_zone_it_waits_for_one_and_then_becomes_ready() -> Result<()> {
    bare_story("no-zone", async |world| {
        world.start([])?;
        world.apply(full()).await?;
        let told = world.sees_because("Ready", "False", "HostedZoneNotFound").await?;
        assert!(told.contains("looked for") && told.contains("no-zone.example"), "{told}");
        world.sees("Stalled", "True").await?;
        assert!(!world.has_identity().await?, "an identity whose records would have nowhere to go");
        assert!(world.writes_since(0).await?.is_empty());

        world.zone = world.account.create_zone("no-zone.example").await?;
        world.sees("Ready", "True").await?;
        let left: Vec<String> = world.status().await?.conditions.into_iter().map(|one| one.type_).collect();
        assert!(!left.contains(&"Stalled".to_owned()), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_two_zones_of_one_name_the_user_must_choose() -> Result<()> {
    story("two-zones", async |world| {
        let second = world.account.create_zone(&world.domain).await?;
        world.apply(full()).await?;
        let told = world.sees_because("Ready", "False", "HostedZoneAmbiguous").await?;
        assert!(told.contains(&world.zone) && told.contains(&second), "{told}");
        assert!(told.contains("spec.dns.route53.hostedZoneId"), "{told}");

        let chosen = json!({"dns": {"route53": {"hostedZoneId": world.zone}}});
        world.apply(with(full(), chosen)).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?.len(), 6);
        assert!(world.records_of(&second).await?.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_zone_that_does_not_exist_or_can_not_hold_the_domain_is_told() -> Result<()> {
    story("wrong-zone", async |world| {
        let elsewhere = world.account.create_zone("elsewhere.example").await?;
        let named = |id: &str| with(full(), json!({"dns": {"route53": {"hostedZoneId": id}}}));
        world.apply(named("Z0000000000")).await?;
        let told = world.sees_because("Ready", "False", "HostedZoneNotFound").await?;
        assert!(told.contains("names Z0000000000") && told.contains("correct the ID"), "{told}");
        world.apply(named(&elsewhere)).await?;
        let told = world.sees_because("Ready", "False", "HostedZoneNotFound").await?;
        assert!(told.contains("the zone of elsewhere.example, which can't hold"), "{told}");
        world.apply(named(&world.zone)).await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_mail_from_name_may_be_a_zone_of_its_own() -> Result<()> {
    story("delegated", async |world| {
        let child = world.delegate("mail.delegated.example").await?;
        let mark = world.mark().await?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let mx = format!("mail.delegated.example MX 300 10 feedback-smtp.{REGION}.amazonses.com");
        let spf = "mail.delegated.example TXT 300 \"v=spf1 include:amazonses.com ~all\"".to_owned();
        assert_eq!(world.records_of(&child).await?, [mx, spf]);
        // The three CNAMEs and the DMARC record: one batch for each zone.
        assert_eq!(world.records().await?.len(), 4);
        assert_eq!(world.count_since(mark, "ChangeResourceRecordSets").await?, 2);
        let zones: Vec<String> = world.status().await?.hosted_zones.into_iter().map(|zone| zone.id).collect();
        assert_eq!(zones, [world.zone.clone(), child]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_zone_may_be_far_above_the_domain() -> Result<()> {
    story("far", async |world| {
        world.domain = "eu.news.marketing.far.example".to_owned();
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let records = world.records().await?;
        assert!(records.iter().any(|it| it.starts_with("mail.eu.news.marketing.far.example MX")), "{records:?}");
        assert!(records.iter().all(|it| it.contains("eu.news.marketing.far.example ")), "{records:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn wildcards_and_long_values_beside_ours_stay_as_they_are() -> Result<()> {
    story("beside", async |world| {
        let (account, zone) = (world.account.clone(), world.zone.clone());
        let long = format!("\"{}\" \"{}\"", "l".repeat(255), "m".repeat(45));
        account.write_record(&zone, "*.beside.example", "MX", &["10 mx.elsewhere.example"]).await?;
        account.write_record(&zone, "*.beside.example", "TXT", &["\"v=spf1 -all\""]).await?;
        account.write_record(&zone, "*._domainkey.beside.example", "TXT", &["\"v=DKIM1; p=\""]).await?;
        account.write_record(&zone, "mail.beside.example", "TXT", &[&long, "\"quoted \\\" and \\\\ kept\""]).await?;
        account.write_record(&zone, "beside.example", "TXT", &[&long]).await?;
        let before = world.records().await?;

        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let after = world.records().await?;
        for record in before.iter().filter(|record| !record.starts_with("mail.")) {
            assert!(after.contains(record), "{record} is missing");
        }
        let shared = after.iter().find(|record| record.starts_with("mail.beside.example TXT")).context("the set")?;
        assert!(shared.contains(&long) && shared.contains("\"quoted \\\" and \\\\ kept\""), "{shared}");
        assert!(shared.contains("\"v=spf1 include:amazonses.com ~all\""), "{shared}");

        world.domains().delete(crate::world::NAME, &Default::default()).await?;
        world.is_gone().await?;
        assert_eq!(world.records().await?, before);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_record_that_is_not_ours_is_left_alone_until_the_user_says_otherwise() -> Result<()> {
    story("conflict", async |world| {
        let theirs = "\"v=DMARC1; p=reject; rua=mailto:postmaster@conflict.example\"";
        world.account.write_record(&world.zone, "_dmarc.conflict.example", "TXT", &[theirs]).await?;
        world.apply(full()).await?;
        let told = world.sees_because("Ready", "False", "RecordConflict").await?;
        assert!(told.contains("_dmarc.conflict.example TXT") && told.contains("onConflict"), "{told}");
        assert!(told.contains("p=reject; rua=mailto:postmaster@conflict.example"), "{told}");
        // The rest goes on, and the record stays.
        world.sees("DkimVerified", "True").await?;
        world.sees("MailFromVerified", "True").await?;
        assert_eq!(world.public("_dmarc.conflict.example", "TXT").await?, theirs);

        let policy = json!({"stages": [{"name": "reject", "policy": "Reject"}]});
        world.apply(with(full(), json!({"dns": {"onConflict": "Overwrite"}, "dmarcPolicy": policy}))).await?;
        world.event("RecordOverwritten", "postmaster@conflict.example").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.public("_dmarc.conflict.example", "TXT").await?, "\"v=DMARC1; p=reject\"");
        Ok(())
    })
    .await
}
