//! From `kubectl apply` to Ready.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use ses_operator_rig::aws::{Fault, FaultKind, Service};

use crate::world::{NAME, REGION, bare_story, full, story};

#[tokio::test]
async fn a_domain_goes_from_apply_to_ready() -> Result<()> {
    bare_story("first-light", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let (mark, audit) = (world.mark().await?, world.plane.audit_mark()?);
        world.start([])?;
        let manifest = format!(
            "
apiVersion: ses-operator.dev/v1alpha1
kind: SesDomain
metadata: {{name: {NAME}, namespace: first-light}}
spec:
  domain: {}
  mailFromSubdomain: mail
  mxFailureBehavior: RejectMessage
  feedbackForwarding: Disabled
  tags: {{team: mail}}
  dmarcPolicy:
    stages: [{{name: monitor, policy: None, minDuration: 30d}}, {{name: reject, policy: Reject}}]
",
            world.domain
        );
        world.plane.kubectl_with_input(["apply", "-f", "-"], &manifest).await?;
        let wait = ["-n", "first-light", "wait", "--for=condition=Ready", "--timeout=90s", "sesdomain/domain"];
        assert_eq!(world.plane.kubectl(wait).await?, "sesdomain.ses-operator.dev/domain condition met\n");

        let domain = &world.domain;
        let status = world.status().await?;
        assert_eq!(status.account.as_deref(), Some(world.account.id()));
        assert_eq!(status.region.as_deref(), Some(REGION));
        let arn = format!("arn:aws:ses:{REGION}:{}:identity/{domain}", world.account.id());
        assert_eq!(status.identity.context("the identity")?.arn, arn);
        assert_eq!((status.hosted_zones[0].name.as_str(), &status.hosted_zones[0].id), (domain.as_str(), &world.zone));
        assert_eq!(status.dmarc.context("the stage")?.stage, "monitor");
        assert!(status.pending_changes.is_empty());
        assert!(status.records.iter().all(|record| record.ours && record.published));

        let tokens = status.dkim.context("DKIM")?.tokens;
        let mut expected: Vec<String> = tokens
            .iter()
            .map(|token| format!("{token}._domainkey.{domain} CNAME 300 {token}.dkim.amazonses.com"))
            .collect();
        expected.push(format!("_dmarc.{domain} TXT 300 \"v=DMARC1; p=none\""));
        expected.push(format!("mail.{domain} MX 300 10 feedback-smtp.{REGION}.amazonses.com"));
        expected.push(format!("mail.{domain} TXT 300 \"v=spf1 include:amazonses.com ~all\""));
        let mut found = world.records().await?;
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        assert_eq!(world.public(&format!("_dmarc.{domain}"), "TXT").await?, "\"v=DMARC1; p=none\"");

        assert!(world.identity().await?.verified_for_sending_status);
        let mail_from = (format!("mail.{domain}"), "SUCCESS".to_owned(), "REJECT_MESSAGE".to_owned());
        assert_eq!(world.mail_from().await?, mail_from);
        assert!(world.account.refusals().await?.is_empty());
        for (reason, words) in [
            ("IdentityCreated", "created the SES identity"),
            ("RecordsWritten", "_dmarc."),
            ("Ready", "passes SPF, DKIM and DMARC"),
        ] {
            world.event(reason, words).await?;
        }
        let told = world.events().await?;
        assert!(!told.iter().any(|event| event.contains("behind our back")), "{told:#?}");
        // As few calls as the issue allows.
        assert_eq!(world.count_since(mark, "ChangeResourceRecordSets").await?, 1);
        assert_eq!(world.count_since(mark, "CreateEmailIdentity").await?, 1);
        let writes = world.api_writes_since(audit)?;
        let count = |what: &str| writes.iter().filter(|write| write.starts_with(what)).count();
        assert_eq!(count("patch sesdomains") - count("patch sesdomains/status"), 1, "the finalizer: {writes:?}");
        assert!(count("patch sesdomains") <= 7, "{writes:?}");
        assert_eq!((count("create events"), count("patch events")), (5, 0), "{writes:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn each_condition_is_false_first_and_true_later() -> Result<()> {
    story("conditions", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let mut seen = async |condition: &str| -> Result<()> {
            let mut statuses = world.statuses(condition).await?;
            // It may have had to wait, on a machine that has much to do.
            statuses.retain(|status| condition != "Ready" || status != "Unknown");
            assert_eq!(statuses.first().map(String::as_str), Some("False"), "{condition}: {statuses:?}");
            assert_eq!(statuses.iter().filter(|status| *status == "True").count(), 1, "{condition}: {statuses:?}");
            assert!(statuses.ends_with(&["False".to_owned(), "True".to_owned()]), "{condition}: {statuses:?}");
            Ok(())
        };
        for condition in ["Ready", "DkimVerified", "MailFromVerified", "DmarcPublished", "RecordsPublished"] {
            seen(condition).await?;
        }
        // kstatus: at work first, and nothing of that when it is done.
        assert_eq!(world.statuses("Reconciling").await?, ["True"]);
        let left: Vec<String> = world.status().await?.conditions.into_iter().map(|one| one.type_).collect();
        assert!(!left.iter().any(|one| one == "Reconciling" || one == "Stalled"), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_domain_that_has_to_wait_says_so_soon() -> Result<()> {
    story("greeted", async |world| {
        let hangs = Fault::new(Service::Ses, FaultKind::Hang).operation("ListEmailIdentities");
        world.account.fault(hangs.lasting(Duration::from_secs(60))).await?;
        world.apply(full()).await?;
        let told = world.sees_because("Ready", "Unknown", "Progressing").await?;
        assert_eq!(told, "the resource has just been seen");
        world.sees("Reconciling", "True").await?;
        world.account.clear_faults().await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_domain_and_nothing_else_is_enough() -> Result<()> {
    story("bare", async |world| {
        world.apply(json!({})).await?;
        let ready = world.sees("Ready", "True").await?;
        assert_eq!(ready.message, "mail sent through SES as bare.example passes DKIM");
        let types: Vec<String> = world.status().await?.conditions.into_iter().map(|one| one.type_).collect();
        assert_eq!(types, ["Ready", "DkimVerified", "RecordsPublished"]);
        assert_eq!(world.records().await?.len(), 3);

        // What is not asked for is not managed; what is asked for later comes.
        world.apply(full()).await?;
        world.sees("MailFromVerified", "True").await?;
        world.sees("DmarcPublished", "True").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?.len(), 6);

        // And what is no longer asked for goes, but for the DMARC record.
        world.apply(json!({})).await?;
        world.event("DmarcReleased", "stays as it is").await?;
        world.sees("Ready", "True").await?;
        let (domain, zone) = (world.domain.clone(), world.zone.clone());
        let account = world.account.clone();
        world
            .awaits("the MAIL FROM records to go", async || {
                let records = account.zone_records(&zone).await?;
                anyhow::ensure!(!records.iter().any(|record| record.starts_with("mail.")), "{records:?}");
                Ok(())
            })
            .await?;
        assert_eq!(world.mail_from().await?.0, "");
        assert!(world.records().await?.iter().any(|record| record.starts_with(&format!("_dmarc.{domain} TXT"))));
        Ok(())
    })
    .await
}
