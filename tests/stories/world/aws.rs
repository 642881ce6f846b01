//! What a story asks of its AWS account.

use anyhow::{Context, Result, ensure};
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput as Identity;
use ses_operator_rig::aws::{Fault, FaultKind, Request, Service};

use super::{OPERATOR, REGION, World};

impl World {
    /// The records of the story's zone without its own NS and SOA: `NAME TYPE TTL VALUE …`.
    pub(crate) async fn records(&self) -> Result<Vec<String>> {
        self.records_of(&self.zone).await
    }

    /// The same of any zone.
    pub(crate) async fn records_of(&self, zone: &str) -> Result<Vec<String>> {
        let all = self.account.zone_records(zone).await?;
        let own = |record: &String| [" NS ", " SOA "].iter().any(|kind| record.contains(kind));
        Ok(all.into_iter().filter(|record| !own(record)).collect())
    }

    /// What receivers find, joined.
    pub(crate) async fn public(&self, name: &str, kind: &str) -> Result<String> {
        Ok(self.account.resolve(name, kind).await?.values.join(" | "))
    }

    /// The SES identity of the story's domain.
    pub(crate) async fn identity(&self) -> Result<Identity> {
        Ok(self.account.sesv2(REGION).get_email_identity().email_identity(&self.domain).send().await?)
    }

    /// Whether there is an SES identity of the story's domain.
    pub(crate) async fn has_identity(&self) -> Result<bool> {
        match self.account.sesv2(REGION).get_email_identity().email_identity(&self.domain).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|it| it.is_not_found_exception()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A place in the log of AWS calls.
    pub(crate) async fn mark(&self) -> Result<u64> {
        Ok(self.account.requests().await?.last().map_or(0, |request| request.seq))
    }

    /// The calls since then that would change something: the story's own ones too.
    pub(crate) async fn writes_since(&self, mark: u64) -> Result<Vec<Request>> {
        let requests = self.account.requests_since(mark).await?;
        Ok(requests.into_iter().filter(|request| request.mutation).collect())
    }

    /// How many calls the operators of this story have made: those that AWS throttled, and the others.
    pub(crate) async fn calls(&self) -> Result<(usize, usize)> {
        let requests = self.account.requests().await?;
        let sent = requests.iter().filter(|request| request.sender.as_deref() == Some(OPERATOR));
        let is_throttled =
            |request: &&Request| matches!(request.error.as_deref(), Some("Throttling" | "TooManyRequestsException"));
        let (throttled, others): (Vec<_>, Vec<_>) = sent.partition(is_throttled);
        Ok((throttled.len(), others.len()))
    }

    /// How often an operation was called since then.
    pub(crate) async fn count_since(&self, mark: u64, operation: &str) -> Result<usize> {
        let requests = self.account.requests_since(mark).await?;
        Ok(requests.iter().filter(|request| request.operation == operation).count())
    }

    /// Waits until an operation was called since then, whatever the answer.
    pub(crate) async fn calls_since(&mut self, mark: u64, operation: &str) -> Result<()> {
        let account = self.account.clone();
        self.awaits(&format!("a call of {operation}"), async || {
            let requests = account.requests_since(mark).await?;
            let operations: Vec<&str> = requests.iter().map(|request| request.operation.as_str()).collect();
            ensure!(operations.contains(&operation), "{operations:?}");
            Ok(())
        })
        .await
    }

    /// Waits until anything was called since then, whatever the answer.
    pub(crate) async fn awaits_call_after(&mut self, mark: u64) -> Result<()> {
        let account = self.account.clone();
        self.awaits("any call", async || {
            ensure!(!account.requests_since(mark).await?.is_empty(), "there is none");
            Ok(())
        })
        .await
    }

    /// Plays a fault on every request of every service.
    pub(crate) async fn down(&self, kind: FaultKind) -> Result<()> {
        for service in [Service::Ses, Service::Route53, Service::Sts] {
            self.account.fault(Fault::new(service, kind)).await?;
        }
        Ok(())
    }

    /// Waits until SES says this of the MAIL FROM domain: its name, its status, its behavior.
    pub(crate) async fn mail_from(&self) -> Result<(String, String, String)> {
        let attributes = self.identity().await?.mail_from_attributes.context("attributes of MAIL FROM")?;
        let status = attributes.mail_from_domain_status.as_str().to_owned();
        Ok((attributes.mail_from_domain, status, attributes.behavior_on_mx_failure.as_str().to_owned()))
    }

    /// Delegates a name to a zone of its own, and returns that zone.
    pub(crate) async fn delegate(&self, name: &str) -> Result<String> {
        let child = self.account.create_zone(name).await?;
        let zone = self.account.route53().get_hosted_zone().id(&child).send().await?;
        let servers = zone.delegation_set.context("name servers")?.name_servers;
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        self.account.write_record(&self.zone, name, "NS", &servers).await?;
        Ok(child)
    }
}
