//! Where a story must end, whatever happened on the way; and that it is the end.

use anyhow::{Context, Result, ensure};

use super::{DAY, NAME, REGION, World, bare_story, told};

/// Virtual seconds in a second, of stories that are told several times.
const PACE: f64 = 180.0;
/// The days of rest that are looked at.
const DAYS: u32 = 3;

impl World {
    /// Lets somebody else have records in the story's zone and an identity below its domain, one value in a set that we
    /// will share: nothing of them may ever change.
    pub(crate) async fn strangers_move_in(&mut self) -> Result<()> {
        let domain = self.domain.clone();
        for (name, kind, value) in [
            ("www", "CNAME", "elsewhere.example"),
            ("key._domainkey", "CNAME", "key.elsewhere.example"),
            ("_dmarc.other", "TXT", "\"v=DMARC1; p=reject\""),
            ("mail", "TXT", "\"owner=somebody\""),
        ] {
            self.account.write_record(&self.zone, &format!("{name}.{domain}"), kind, &[value]).await?;
        }
        let tag = aws_sdk_sesv2::types::Tag::builder().key("owner").value("somebody").build()?;
        let ses = self.account.sesv2(REGION);
        ses.create_email_identity().email_identity(format!("other.{domain}")).tags(tag).send().await?;
        self.strangers = self.records().await?;
        Ok(())
    }

    /// Everything of the strangers' is as they left it. What is ours in the set that we share is not looked at.
    async fn strangers_are_unharmed(&self) -> Result<()> {
        if self.strangers.is_empty() {
            return Ok(());
        }
        let found = self.records().await?;
        let harmed: Vec<_> =
            self.strangers.iter().filter(|record| !found.iter().any(|it| it.starts_with(*record))).collect();
        ensure!(harmed.is_empty(), "of the strangers' {harmed:?} are not as they were: {found:#?}");
        let other = format!("other.{}", self.domain);
        let other = self.account.sesv2(REGION).get_email_identity().email_identity(other).send().await?;
        let tags: Vec<_> = other.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
        ensure!(tags == [("owner", "somebody")], "the strangers' identity has the tags {tags:?}");
        Ok(())
    }

    /// The end of every story of a new domain that asks for [`everything`](super::everything); and then nothing is left to do.
    pub(crate) async fn is_as_ever(&mut self) -> Result<()> {
        self.is_as_ever_with("\"v=DMARC1; p=none; rua=mailto:dmarc@example.com\"").await
    }

    /// The same of a domain whose walk has come to another DMARC record.
    pub(crate) async fn is_as_ever_with(&mut self, dmarc: &str) -> Result<()> {
        self.is_at_work_no_more().await?;
        let domain = self.domain.clone();
        let status = self.status().await?;
        let tokens = status.dkim.context("DKIM")?.tokens;
        let mut records = self.records().await?;
        for (index, token) in tokens.iter().enumerate() {
            records = records.into_iter().map(|record| record.replace(token, &format!("token{index}"))).collect();
        }
        records.sort();
        let shared = format!("mail.{domain} TXT 300");
        let (theirs, mut expected): (Vec<_>, Vec<_>) =
            self.strangers.iter().cloned().partition(|record| record.starts_with(&shared));
        expected.extend([
            format!("_dmarc.{domain} TXT 300 {dmarc}"),
            format!("mail.{domain} MX 300 10 feedback-smtp.eu-west-1.amazonses.com"),
            format!("{} \"v=spf1 include:amazonses.com ~all\"", theirs.first().unwrap_or(&shared)),
        ]);
        expected.extend((0..3).map(|n| format!("token{n}._domainkey.{domain} CNAME 300 token{n}.dkim.amazonses.com")));
        expected.sort();
        assert_eq!(records, expected);
        assert!(status.records.iter().all(|record| record.ours && record.published), "{:?}", status.records);
        assert_eq!(self.mail_from().await?, (format!("mail.{domain}"), "SUCCESS".into(), "REJECT_MESSAGE".into()));
        assert!(!self.identity().await?.feedback_forwarding_status);
        assert!(self.account.refusals().await?.is_empty());
        self.strangers_are_unharmed().await?;
        let mark = self.mark().await?;
        self.reconciles("at the end").await?;
        let writes = self.writes_since(mark).await?;
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(())
    }

    /// Waits until it is Ready, and nothing is on its way any more.
    async fn is_at_work_no_more(&mut self) -> Result<()> {
        let domains = self.domains();
        self.awaits("Ready, and nothing on its way", async || {
            let resource = domains.get(NAME).await?;
            let status = resource.status.context("a status")?;
            let (generation, conditions) = (resource.metadata.generation, &status.conditions);
            let is_true = |name: &str| conditions.iter().any(|one| one.type_ == name && one.status == "True");
            let quiet = is_true("Ready") && !is_true("Reconciling") && status.pending_changes.is_empty();
            ensure!(quiet && status.observed_generation == generation, "{}", told(conditions));
            Ok(())
        })
        .await
    }

    /// Days pass, with their rounds and their daily looks, in which nothing is written, neither to AWS nor to the API
    /// server.
    pub(crate) async fn rests(&mut self) -> Result<()> {
        self.settles().await?;
        let (mark, audit) = (self.mark().await?, self.plane.audit_mark()?);
        for _ in 0..DAYS {
            let reconciled = self.reconciled().await?;
            self.account.advance(DAY).await?;
            self.has_reconciled(reconciled + 1.0).await?;
        }
        let (in_aws, in_the_cluster) = (self.writes_since(mark).await?, self.api_writes_since(audit)?);
        ensure!(in_aws.is_empty() && in_the_cluster.is_empty(), "{in_aws:?} {in_the_cluster:?}");
        Ok(())
    }

    /// The end of every deletion.
    pub(crate) async fn is_gone_without_a_trace(&mut self) -> Result<()> {
        self.is_gone().await?;
        assert_eq!(self.records().await?, self.strangers);
        assert!(!self.has_identity().await?);
        self.strangers_are_unharmed().await
    }
}

/// Tells a story of one domain with the same delays as it goes undisturbed, and then with each of the faults: they are
/// named, and `tell` plays the one that it is given, and looks at the end. Disturbed it takes at most twice the calls to AWS, the
/// throttled ones aside; and then all is at rest.
pub(crate) async fn undisturbed_and_with<F>(
    name: &str,
    faults: &[(&str, F)],
    tell: impl AsyncFn(&mut World, Option<&F>) -> Result<()>,
) -> Result<()> {
    let calls = async |namespace: &str, fault: Option<&F>| {
        let mut calls = 0;
        bare_story(namespace, async |world| {
            world.domain = format!("{name}.example");
            world.account.set_rate(PACE).await?;
            world.zone = world.account.create_zone(&world.domain).await?;
            world.strangers_move_in().await?;
            world.start([])?;
            tell(world, fault).await?;
            calls = world.calls().await?.1;
            if world.domains().get_opt(NAME).await?.is_some() { world.rests().await } else { Ok(()) }
        })
        .await
        .map(|()| calls)
    };
    let disturbed = async {
        let mut disturbed = Vec::new();
        for (when, fault) in faults {
            disturbed.push((when, calls(&format!("{name}-{when}"), Some(fault)).await?));
        }
        Ok(disturbed)
    };
    let (undisturbed, disturbed): (_, Result<Vec<_>>) = futures::join!(calls(name, None), disturbed);
    let undisturbed = undisturbed?;
    for (when, disturbed) in disturbed? {
        println!("{name}-{when}: {disturbed} calls to AWS, and {undisturbed} undisturbed");
        ensure!(disturbed <= 2 * undisturbed, "{name}-{when}: {disturbed} calls to AWS, and {undisturbed} undisturbed");
    }
    Ok(())
}
