//! What stood in the zone before: adopted, or merged with.

use anyhow::{Context, Result, ensure};
use aws_sdk_sesv2::types::BehaviorOnMxFailure;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::world::{DAY, HOUR, MINUTE, NAME, REGION, World, bare_story, full, story, with};

fn adopting() -> Value {
    let stages = json!([
        {"name": "monitor", "policy": "None", "minDuration": "30d"},
        {"name": "quarantine", "policy": "Quarantine", "minDuration": "30d"},
        {"name": "reject", "policy": "Reject"},
    ]);
    json!({"mailFromSubdomain": "mail", "adoptionPolicy": "Adopt", "dmarcPolicy": {"stages": stages}})
}

async fn enforces(world: &mut World, policy: &str) -> Result<()> {
    let (domains, account, name) = (world.domains(), world.account.clone(), format!("_dmarc.{}", world.domain));
    world
        .awaits(&format!("the stage {policy}"), async || {
            let dmarc = domains.get(NAME).await?.status.and_then(|status| status.dmarc).context("no stage yet")?;
            let found = account.resolve(&name, "TXT").await?.values.join(" | ");
            let stands = dmarc.stage == policy && dmarc.since.is_some() && found.contains(&format!("p={policy}"));
            ensure!(stands, "{dmarc:?} {found}");
            Ok(())
        })
        .await
}

/// The identity, and the seven records of the usual Terraform code.
async fn as_terraform_makes_it(world: &World) -> Result<()> {
    let (ses, domain) = (world.account.sesv2(REGION), &world.domain);
    let made = ses.create_email_identity().email_identity(domain).send().await?;
    let tokens = made.dkim_attributes.and_then(|dkim| dkim.tokens).context("tokens")?;
    let write = async |name: String, kind: &str, value: &str| {
        world.account.write_record(&world.zone, &name, kind, &[value]).await
    };
    for token in tokens {
        write(format!("{token}._domainkey.{domain}"), "CNAME", &format!("{token}.dkim.amazonses.com")).await?;
    }
    write(format!("_amazonses.{domain}"), "TXT", "\"pmBGN/7MjnfhTKUZ06Enqq1PeGUaOkw8lGhcfwefcHU=\"").await?;
    write(format!("mail.{domain}"), "MX", "10 feedback-smtp.eu-west-1.amazonses.com").await?;
    write(format!("mail.{domain}"), "TXT", "\"v=spf1 include:amazonses.com -all\"").await?;
    write(format!("_dmarc.{domain}"), "TXT", "\"v=DMARC1; p=none;\"").await?;
    ses.put_email_identity_mail_from_attributes()
        .email_identity(domain)
        .mail_from_domain(format!("mail.{domain}"))
        .behavior_on_mx_failure(BehaviorOnMxFailure::UseDefaultValue)
        .send()
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_terraform_made_becomes_ready_untouched_and_walks_to_reject() -> Result<()> {
    story("terraform", async |world| {
        as_terraform_makes_it(world).await?;
        let (records, mark) = (world.records().await?, world.mark().await?);
        world.apply(adopting()).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?, records);
        let writes: Vec<String> = world.writes_since(mark).await?.into_iter().map(|write| write.operation).collect();
        assert!(writes.iter().all(|write| write == "TagResource"), "only tags are written: {writes:?}");

        for policy in ["quarantine", "reject"] {
            world.account.advance(30 * DAY + HOUR).await?;
            enforces(world, policy).await?;
        }
        let others = |all: &[String]| -> Vec<String> {
            all.iter().filter(|record| !record.starts_with("_dmarc.")).cloned().collect()
        };
        let walked = world.records().await?;
        assert_eq!(others(&walked), others(&records));

        world.domains().delete(NAME, &DeleteParams::default()).await?;
        world.is_gone().await?;
        assert_eq!(world.records().await?, walked, "what was there before stays");
        let (mail_from, ..) = world.mail_from().await?;
        assert_eq!(mail_from, "mail.terraform.example");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn our_term_comes_into_an_spf_policy_and_out_of_it() -> Result<()> {
    story("merged", async |world| {
        let (account, zone) = (world.account.clone(), world.zone.clone());
        let values = ["\"site=1\"", "\"v=spf1 ip4:192.0.2.1 -all\""];
        account.write_record(&zone, "mail.merged.example", "TXT", &values).await?;
        let before = world.records().await?;
        world.apply(full()).await?;
        let told = world.sees_because("RecordsPublished", "False", "RecordConflict").await?;
        assert!(told.contains("set spec.dns.onConflict to Merge"), "{told}");
        world.apply(with(full(), json!({"dns": {"onConflict": "Merge"}}))).await?;
        world.sees("Ready", "True").await?;
        let merged = "\"v=spf1 ip4:192.0.2.1 include:amazonses.com -all\"";
        assert!(world.public("mail.merged.example", "TXT").await?.contains(merged));
        world.event("RecordMerged", "ip4:192.0.2.1 include:amazonses.com").await?;
        world.domains().delete(NAME, &DeleteParams::default()).await?;
        world.is_gone().await?;
        assert_eq!(world.records().await?, before);
        Ok(())
    })
    .await
}

fn merging() -> Value {
    with(full(), json!({"dns": {"onConflict": "Merge"}}))
}

/// Somebody else's policy at the MAIL FROM name, which includes `_spf.example.net`.
async fn publish_theirs(world: &World) -> Result<()> {
    let theirs = ["\"site=1\"", "\"v=spf1 include:_spf.example.net -all\""];
    world.account.write_record(&world.zone, &format!("mail.{}", world.domain), "TXT", &theirs).await
}

/// The policy of `_spf.example.net`, which needs so many look-ups.
async fn publish_included(world: &World, look_ups: usize) -> Result<()> {
    world.account.publish_elsewhere("short.example.net", "TXT", &["\"v=spf1 ip4:192.0.2.1 -all\""]).await?;
    let policy = format!("\"v=spf1{} ~all\"", " include:short.example.net".repeat(look_ups));
    world.account.publish_elsewhere("_spf.example.net", "TXT", &[&policy]).await
}

#[tokio::test]
async fn a_policy_that_includes_too_much_is_left_until_it_is_shorter() -> Result<()> {
    story("too-long", async |world| {
        publish_theirs(world).await?;
        publish_included(world, 9).await?;
        world.apply(merging()).await?;
        let told = world.sees_because("Stalled", "True", "RecordConflict").await?;
        let count = "can't be merged with: it would need 11 look-ups, and SPF allows 10: include:_spf.example.net 10, include:amazonses.com 1;";
        assert!(told.contains(count) && told.contains("name another spec.mailFromSubdomain"), "{told}");
        assert_eq!(world.public("mail.too-long.example", "TXT").await?.matches("amazonses.com").count(), 0);

        publish_included(world, 8).await?;
        world.account.advance(MINUTE).await?;
        world.reconciles("it-is-shorter").await?;
        world.sees("Ready", "True").await?;
        let merged = "\"v=spf1 include:_spf.example.net include:amazonses.com -all\"";
        assert!(world.public("mail.too-long.example", "TXT").await?.contains(merged));

        // While our term stands nobody counts again.
        let asked = world.account.queries().await?.len();
        publish_included(world, 20).await?;
        world.account.advance(DAY).await?;
        world.reconciles("a-day-later").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.account.queries().await?.len(), asked);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_name_that_no_server_answers_for_is_told_and_merged_with_once_one_does() -> Result<()> {
    story("unresolved", async |world| {
        publish_theirs(world).await?;
        publish_included(world, 2).await?;
        world.account.fail_to_resolve("short.example.net", Some("SILENCE")).await?;
        world.apply(merging()).await?;
        let server = world.name_server;
        let told = world.sees_because("Ready", "False", "DnsUnavailable").await?;
        let silent = format!(
            "a look-up in public DNS for short.example.net TXT: no answer from {server}; nothing is put into the SPF policy of mail.unresolved.example before that is known; "
        );
        assert!(told.starts_with(&silent), "{told}");
        world.sees("DkimVerified", "True").await?;
        world.sees("RecordsPublished", "False").await?;
        assert!(!world.public("mail.unresolved.example", "TXT").await?.contains("amazonses.com"));

        world.account.fail_to_resolve("short.example.net", None).await?;
        world.sees("Ready", "True").await?;
        assert!(world.public("mail.unresolved.example", "TXT").await?.contains("include:amazonses.com -all"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn where_no_name_server_answers_everything_else_is_done() -> Result<()> {
    bare_story("no-resolver", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        publish_theirs(world).await?;
        publish_included(world, 2).await?;
        // Its port is taken, and nobody reads there.
        let deaf = std::net::UdpSocket::bind("127.0.0.1:0")?;
        world.name_server = deaf.local_addr()?;
        world.start([])?;
        world.apply(merging()).await?;
        let told = world.sees_because("Ready", "False", "DnsUnavailable").await?;
        assert!(told.contains(&format!("no answer from {}", world.name_server)), "{told}");
        world.sees("DkimVerified", "True").await?;
        world.sees("DmarcPublished", "True").await?;
        assert!(world.public("mail.no-resolver.example", "MX").await?.starts_with("10 feedback-smtp."));
        Ok(())
    })
    .await
}
