//! `ses-operator plan`: what would be done is told, and nothing is done.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::world::{NAME, PROGRAM, REGION, World, bare_story, full, story, with};

/// What the command printed, and its status.
#[derive(Debug)]
struct Told {
    status: Option<i32>,
    out: String,
    errors: String,
}

impl Told {
    fn last(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }
}

impl World {
    /// The story's one resource as a manifest.
    fn manifest(&self, fields: Value) -> String {
        let spec = with(fields, json!({"domain": self.domain}));
        json!({
            "apiVersion": "ses-operator.dev/v1alpha1", "kind": "SesDomain",
            "metadata": {"name": NAME, "namespace": self.namespace}, "spec": spec,
        })
        .to_string()
    }

    /// `ses-operator plan` of what stands on standard input, where the story's kubeconfig is.
    async fn plan(&self, arguments: &[&str], input: &str) -> Result<Told> {
        let kubeconfig = self.plane.kubeconfig().display().to_string();
        self.plan_as(&kubeconfig, arguments, input).await
    }

    async fn plan_as(&self, kubeconfig: &str, arguments: &[&str], input: &str) -> Result<Told> {
        let mut command = Command::new(PROGRAM);
        command.arg("plan").args(arguments).env_clear().envs(self.account.environment(REGION));
        command.env("KUBECONFIG", kubeconfig).env("SES_OPERATOR_SIMULATED_CLOCK", self.account.clock_url());
        command.env("SES_OPERATOR_NAMESERVER", self.name_server.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        let output = tokio::task::spawn_blocking(move || -> Result<_> {
            let mut child = command.spawn()?;
            child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
            Ok(child.wait_with_output()?)
        })
        .await??;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(Told { status: output.status.code(), out: text(&output.stdout), errors: text(&output.stderr) })
    }
}

#[tokio::test]
async fn a_new_domain_is_planned_and_nothing_is_written_anywhere() -> Result<()> {
    bare_story("plan-new", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let (mark, audit) = (world.mark().await?, world.plane.audit_mark()?);
        let spec = with(full(), json!({"mxFailureBehavior": "RejectMessage"}));
        let others = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}";
        let input = format!("{others}\n---\n{}\n", world.manifest(spec));
        let told = world.plan(&["-f", "-", "--cluster-id=c1"], &input).await?;
        assert_eq!(told.status, Some(2), "{told:?}");

        let (domain, zone) = (&world.domain, &world.zone);
        let in_zone = format!("(TTL 300, zone {zone})");
        let dmarc = |policy: &str| format!("\"v=DMARC1; p={policy}; rua=mailto:dmarc@example.com\"");
        let mut expected = String::new();
        writeln!(expected, "# standard input, document 1: ConfigMap settings is no SesDomain, and is skipped")?;
        writeln!(expected, "plan-new/domain: {domain} in {REGION}, account {}", world.account.id())?;
        writeln!(expected, "  + SES identity {domain}")?;
        for (tag, value) in [
            ("cluster", "c1"),
            ("name", NAME),
            ("namespace", "plan-new"),
            ("records", "dkim mx spf dmarc @mail"),
            ("settings", "mx mf:r69K0"),
        ] {
            writeln!(expected, "      tag ses-operator.dev/{tag}: \"{value}\"")?;
        }
        writeln!(
            expected,
            "  + 3 DKIM CNAME records below _domainkey.{domain} {in_zone}, named by tokens that SES gives at creation"
        )?;
        writeln!(expected, "  + TXT _dmarc.{domain} {in_zone}: {}", dmarc("none"))?;
        writeln!(expected, "  + MX mail.{domain} {in_zone}: 10 feedback-smtp.{REGION}.amazonses.com")?;
        writeln!(expected, "  + TXT mail.{domain} {in_zone}: \"v=spf1 include:amazonses.com ~all\"")?;
        writeln!(expected, "  once Route 53 serves the records (usually within 60 seconds):")?;
        writeln!(expected, "  ~ SES identity {domain}")?;
        writeln!(expected, "      MAIL FROM domain: SES's own → mail.{domain}")?;
        writeln!(
            expected,
            "  once SES has verified DKIM and the MAIL FROM domain mail.{domain} (usually minutes, at most 72 hours):"
        )?;
        writeln!(expected, "  ~ SES identity {domain}")?;
        writeln!(expected, "      mxFailureBehavior: UseDefaultValue → RejectMessage")?;
        let (beginning, dated) = told.out.split_once("  once the DMARC stage monitor").context("the DMARC stages")?;
        assert_eq!(beginning, expected);
        let dated: Vec<&str> = dated.lines().collect();
        assert!(
            dated[0].starts_with(" has lasted 30d, not before 20") && dated[0].ends_with(": the stage quarantine:")
        );
        assert_eq!(dated[1], format!("  ~ TXT _dmarc.{domain} {in_zone}: {} → {}", dmarc("none"), dmarc("quarantine")));
        assert_eq!(
            dated[3],
            format!("  ~ TXT _dmarc.{domain} {in_zone}: {} → {}", dmarc("quarantine"), dmarc("reject"))
        );
        assert_eq!(told.last(), "Plan: 1 identity to create, 6 records to create, 0 to change, 0 to delete");

        let calls = world.account.requests_since(mark).await?;
        assert!(calls.len() >= 4, "it has looked: {calls:?}");
        assert!(world.writes_since(mark).await?.is_empty());
        assert_eq!(world.api_writes_since(audit)?, [""; 0]);
        assert!(!world.has_identity().await? && world.records().await?.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_a_domain_that_is_ready_nothing_is_planned_until_something_differs() -> Result<()> {
    story("plan-ready", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.kill()?;
        let mark = world.mark().await?;
        let manifest = world.manifest(full());
        let told = world.plan(&["-f", "-"], &manifest).await?;
        assert_eq!((told.status, told.last()), (Some(0), "Plan: nothing to do"), "{told:?}");
        assert!(told.out.contains("  nothing to do now\n"), "{}", told.out);
        assert!(told.out.contains("once the DMARC stage monitor has lasted 30d, not before 20"), "{}", told.out);

        let changed = world.manifest(with(full(), json!({"tags": {"team": "mail"}})));
        let told = world.plan(&["-f", "-"], &changed).await?;
        assert_eq!(told.status, Some(2), "{told:?}");
        assert!(told.out.contains("      tag team: \"mail\"\n"), "{}", told.out);
        assert!(world.writes_since(mark).await?.is_empty());

        let (zone, spf) = (world.zone.clone(), "mail.plan-ready.example");
        world.account.delete_record(&zone, spf, "TXT").await?;
        world.account.write_record(&zone, spf, "TXT", &["\"v=spf1 -all\""]).await?;
        let told = world.plan(&["-f", "-"], &manifest).await?;
        assert_eq!(told.status, Some(2), "{told:?}");
        let line = format!(
            "~ TXT {spf} (TTL 300, zone {zone}): \"v=spf1 -all\" → \"v=spf1 include:amazonses.com ~all\" (ours, and was changed by somebody else)"
        );
        assert!(told.out.contains(&line), "{}", told.out);
        assert_eq!(told.last(), "Plan: 0 records to create, 1 to change, 0 to delete");

        // The twin: the operator does what was told.
        let mark = world.mark().await?;
        world.start([])?;
        world.reconciles("after the plan").await?;
        world.calls_since(mark, "ChangeResourceRecordSets").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.public(spf, "TXT").await?, "\"v=spf1 include:amazonses.com ~all\"");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_person_must_mend_is_told_by_the_status_where_nothing_else_is_to_do() -> Result<()> {
    bare_story("plan-conflict", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.account.write_record(&world.zone, "mail.plan-conflict.example", "MX", &["10 mx.example.org"]).await?;
        let manifest = world.manifest(full());
        let told = world.plan(&["-f", "-"], &manifest).await?;
        assert_eq!(told.status, Some(2), "{told:?}");
        let conflict = "  ! RecordConflict: mail.plan-conflict.example MX holds \"10 mx.example.org\"";
        assert!(told.out.contains(conflict), "{}", told.out);
        assert!(told.last().ends_with(" 0 to delete; 1 conflict"), "{}", told.out);

        world.account.sesv2(REGION).create_email_identity().email_identity(&world.domain).send().await?;
        let told = world.plan(&["-f", "-"], &manifest).await?;
        assert_eq!((told.status, told.last()), (Some(1), "Plan: nothing to do; 1 conflict"), "{told:?}");
        assert!(told.out.contains("  ! IdentityNotOurs: "), "{}", told.out);

        let adopted = world.manifest(with(full(), json!({"adoptionPolicy": "Adopt"})));
        let told = world.plan(&["-f", "-"], &adopted).await?;
        assert_eq!(told.status, Some(2), "{told:?}");
        assert!(told.out.contains("      tag ses-operator.dev/adopted: \"true\""), "{}", told.out);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_manifest_that_is_wrong_is_told_before_anything_is_asked() -> Result<()> {
    bare_story("plan-wrong", async |world| {
        let file = world.plane.folder().join("wrong.yaml");
        std::fs::write(
            &file,
            format!(
                "{}\n---\n{}\n",
                world.manifest(full()),
                world.manifest(json!({"mailFromSubDomain": "mail", "suspend": "no"}))
            ),
        )?;
        let file = file.display().to_string();
        let told = world.plan(&["-f", &file], "").await?;
        assert_eq!((told.status, told.out.as_str()), (Some(1), ""), "{told:?}");
        let place = format!("ses-operator: {file}, document 2, spec.");
        let lines: Vec<&str> = told.errors.lines().filter_map(|line| line.strip_prefix(&place)).collect();
        assert_eq!(lines.len(), 2, "{told:?}");
        assert!(lines[0].starts_with("mailFromSubDomain: there is no such field: correct its name"), "{told:?}");
        assert_eq!(lines[1], "suspend: \"no\" is not of the type boolean: write one of that type");
        for (arguments, words) in [
            (["-f", "/nonexistent.yaml"], "/nonexistent.yaml can't be read"),
            (["-f", "-"], "no SesDomain is in -: correct -f"),
            (["-f", "--no-such-flag"], "unexpected argument"),
        ] {
            let told = world.plan(&arguments, "").await?;
            assert_eq!(told.status, Some(1), "{told:?}");
            assert!(told.errors.contains(words), "{words}: {told:?}");
        }
        assert!(world.account.requests().await?.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_the_cluster_it_is_planned_as_for_a_new_resource() -> Result<()> {
    story("plan-alone", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        let manifest = world.manifest(full());
        let told = world.plan_as("/nonexistent", &["-f", "-"], &manifest).await?;
        assert_eq!(told.status, Some(1), "{told:?}");
        assert!(told.out.contains("# no cluster was found"), "{}", told.out);
        assert!(told.out.contains("set --cluster-id as the operator has it"), "{}", told.out);
        assert!(told.out.contains("  ! IdentityNotOurs: "), "{}", told.out);

        // By its tags the identity is known again, and the records by them.
        let tags = world.identity().await?.tags.unwrap_or_default();
        let id = tags.iter().find(|tag| tag.key == "ses-operator.dev/cluster").context("a cluster")?.value.clone();
        let told = world.plan(&["-f", "-", "--no-cluster", "--cluster-id", &id], &manifest).await?;
        assert_eq!((told.status, told.last()), (Some(0), "Plan: nothing to do"), "{told:?}");
        assert!(told.out.starts_with("# --no-cluster: the plan is that of new resources\n"), "{}", told.out);

        // Who may read nothing is told what is not looked at.
        world.plane.kubectl("-n plan-alone create serviceaccount nobody".split(' ')).await?;
        let nobody = world.plane.kubeconfig_for("plan-alone", "nobody").await?.display().to_string();
        let told = world.plan_as(&nobody, &["-f", "-", "--cluster-id", &id], &manifest).await?;
        assert_eq!(told.status, Some(0), "{told:?}");
        assert!(told.out.contains("# the SesDomains of all namespaces may not be listed"), "{}", told.out);
        assert!(
            told.out.contains("# plan-alone/domain can't be read, and is planned as a new resource"),
            "{}",
            told.out
        );

        // A second resource for the domain is told who has it.
        let second = manifest.replace("\"name\":\"domain\"", "\"name\":\"second\"");
        let told = world.plan(&["-f", "-"], &second).await?;
        assert_eq!(told.status, Some(1), "{told:?}");
        assert!(told.out.contains("  ! DomainTaken: the SesDomain plan-alone/domain has the domain"), "{}", told.out);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_aws_denies_is_no_plan() -> Result<()> {
    use ses_operator_rig::aws::{Fault, FaultKind, Service};
    bare_story("plan-denied", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        world.account.fault(Fault::new(Service::Ses, FaultKind::Denied)).await?;
        let told = world.plan(&["-f", "-", "--no-cluster"], &world.manifest(full())).await?;
        assert_eq!(told.status, Some(1), "{told:?}");
        assert!(told.errors.starts_with("ses-operator: plan-denied/domain can't be planned: ses:GetEmailIdentity"));
        assert!(told.errors.contains("allow it to the credentials that this command runs with"), "{told:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_suspended_resource_shows_the_same_plan_in_its_status() -> Result<()> {
    story("plan-status", async |world| {
        let suspended = with(full(), json!({"suspend": true}));
        world.apply(suspended.clone()).await?;
        let condition = world.sees_that(NAME, "Ready", "Ready=False", |it| it.status == "False").await?;
        assert!(condition.message.contains("status.plan"), "{}", condition.message);
        world.reconciles("suspended").await?;
        let path = r#"jsonpath={range .status.plan[*]}{@}{"\n"}{end}"#;
        let shown = world.plane.kubectl(["-n", "plan-status", "get", "sesdomain", NAME, "-o", path]).await?;
        let told = world.plan(&["-f", "-"], &world.manifest(suspended)).await?;
        assert_eq!(told.status, Some(2), "{told:?}");
        let lines: Vec<String> =
            told.out.lines().map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned()).collect();
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines[1..], "{}", told.out);
        assert!(lines[0].ends_with("(suspended: nothing of this is done until spec.suspend is false)"), "{}", lines[0]);

        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        assert!(world.status().await?.plan.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_a_policy_would_cost_with_our_term_is_planned_by_what_public_dns_answers() -> Result<()> {
    bare_story("plan-merge", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let (name, account) = (format!("mail.{}", world.domain), world.account.clone());
        account.write_record(&world.zone, &name, "TXT", &["\"v=spf1 include:_spf.example.net ~all\""]).await?;
        let manifest = world.manifest(json!({"mailFromSubdomain": "mail", "dns": {"onConflict": "Merge"}}));
        let plan = ["-f", "-", "--no-cluster", "--cluster-id=c1"];
        let publish = async |look_ups: usize| {
            let policy = format!("\"v=spf1{} ~all\"", " exists:%{i}.example.net".repeat(look_ups));
            account.publish_elsewhere("_spf.example.net", "TXT", &[&policy]).await
        };

        account.fail_to_resolve("_spf.example.net", Some("SERVFAIL")).await?;
        let told = world.plan(&plan, &manifest).await?;
        assert_eq!(told.status, Some(1), "{told:?}");
        let failed = format!("_spf.example.net TXT: {} answers SERVFAIL; nothing is put into", world.name_server);
        assert!(told.errors.contains(&failed), "{told:?}");

        account.fail_to_resolve("_spf.example.net", None).await?;
        publish(9).await?;
        let told = world.plan(&plan, &manifest).await?;
        assert!(told.out.contains("RecordConflict") && told.out.contains("it would need 11 look-ups"), "{told:?}");
        assert!(!told.out.contains("our term is put into it"), "{told:?}");

        publish(8).await?;
        let told = world.plan(&plan, &manifest).await?;
        assert_eq!(told.status, Some(2), "{told:?}");
        let merged =
            "\"v=spf1 include:_spf.example.net include:amazonses.com ~all\" (not ours: our term is put into it)";
        assert!(told.out.contains(merged) && !told.out.contains("RecordConflict"), "{told:?}");
        Ok(())
    })
    .await
}
