//! What goes wrong on the way, and who may write.

use ses_operator::telemetry::metrics::{Census, Load};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join;
use ses_operator::aws::CALL_TIMEOUT;
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::{DnsProvider, RecordChange, RecordSet, RecordType, ZoneId};
use ses_operator::ses::IdentityService;
use ses_operator_rig::aws::{Fault, FaultKind, Service, Settings};

use crate::common::{Cloud, failure, key, kind, name, plain_identity};

#[tokio::test]
async fn each_fault_is_of_its_kind_and_tried_once_but_for_throttling() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = ZoneId(cloud.account.create_zone("example.com").await?);
    let set = RecordSet::new(name("a.example.com"), RecordType::Txt, 300, vec!["\"x\"".to_owned()]);
    let create = [RecordChange::Create(set)];
    for (fault, expected) in [
        (FaultKind::Throttle, ErrorKind::Throttled),
        (FaultKind::Denied, ErrorKind::Denied),
        (FaultKind::TokenExpired, ErrorKind::Unauthenticated),
        (FaultKind::SignatureExpired, ErrorKind::Unauthenticated),
        (FaultKind::ServerError, ErrorKind::Unavailable),
        (FaultKind::Drop, ErrorKind::Unavailable),
        (FaultKind::Hang, ErrorKind::Unavailable),
        (FaultKind::PriorRequestNotComplete, ErrorKind::Busy),
    ] {
        // A throttled call was not carried out: it waits for another turn a few times.
        let tries = if fault == FaultKind::Throttle { 8 } else { 1 };
        let for_both = |service| Fault::new(service, fault).lasting(Duration::from_millis(50));
        cloud.account.fault(for_both(Service::Route53)).await?;
        if fault != FaultKind::PriorRequestNotComplete {
            cloud.account.fault(for_both(Service::Ses)).await?;
            let before = cloud.account.requests().await?.len();
            assert_eq!(kind(cloud.ses.get(&key("example.com")).await)?, expected, "{fault:?}");
            let created = cloud.ses.create(&key("example.com"), &plain_identity()).await;
            assert_eq!(kind(created)?, expected, "{fault:?}");
            assert_eq!(kind(cloud.ses.delete(&key("example.com")).await)?, expected, "{fault:?}");
            assert_eq!(cloud.account.requests().await?.len(), before + 3 * tries, "{tries} requests a call: {fault:?}");
        }
        let before = cloud.account.requests().await?.len();
        assert_eq!(kind(cloud.route53.hosted_zones().await)?, expected, "{fault:?}");
        assert_eq!(kind(cloud.route53.subtree(&zone, &name("example.com")).await)?, expected, "{fault:?}");
        assert_eq!(kind(cloud.route53.change(&zone, &create).await)?, expected, "{fault:?}");
        assert_eq!(cloud.account.requests().await?.len(), before + 3 * tries, "{tries} requests a call: {fault:?}");
        cloud.account.clear_faults().await?;
    }
    cloud.route53.change(&zone, &create).await?;
    cloud.ses.create(&key("example.com"), &plain_identity()).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_denied_is_told_in_words_that_stay_the_same() -> Result<()> {
    let cloud = Cloud::new().await?;
    cloud.account.fault(Fault::new(Service::Ses, FaultKind::Denied)).await?;
    let first = failure(cloud.ses.create(&key("example.com"), &plain_identity()).await)?;
    assert!(first.message.contains("ses:CreateEmailIdentity on resource: arn:aws:ses:eu-west-1:"), "{first}");
    let second = failure(cloud.ses.create(&key("example.com"), &plain_identity()).await)?;
    assert_eq!(first, second);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_unavailable_though_the_call_was_carried_out() -> Result<()> {
    let cloud = Cloud::new().await?;
    let lost = Fault::new(Service::Ses, FaultKind::LostAnswer).operation("CreateEmailIdentity").times(1);
    cloud.account.fault(lost).await?;
    let created = cloud.ses.create(&key("example.com"), &plain_identity()).await;
    assert_eq!(kind(created)?, ErrorKind::Unavailable);
    assert!(cloud.ses.get(&key("example.com")).await?.answer.is_some());
    Ok(())
}

#[tokio::test]
async fn no_call_outlasts_the_timeout() -> Result<()> {
    let cloud = Cloud::new().await?;
    for service in [Service::Ses, Service::Route53] {
        cloud.account.fault(Fault::new(service, FaultKind::Hang).lasting(CALL_TIMEOUT * 2)).await?;
    }
    let sent = Instant::now();
    let domain = key("example.com");
    let (identity, zones) = join(cloud.ses.get(&domain), cloud.route53.hosted_zones()).await;
    let took = sent.elapsed();
    assert!(took >= CALL_TIMEOUT && took < CALL_TIMEOUT + Duration::from_secs(5), "{took:?}");
    let (identity, zones) = (failure(identity)?, failure(zones)?);
    assert_eq!((identity.kind, zones.kind), (ErrorKind::Unavailable, ErrorKind::Unavailable));
    assert_eq!(identity.to_string(), "ses:GetEmailIdentity for example.com: no answer within 10 s");
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_throttled_a_few_times_is_carried_out_once_and_each_try_is_counted() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = ZoneId(cloud.account.create_zone("example.com").await?);
    let set = RecordSet::new(name("a.example.com"), RecordType::Txt, 300, vec!["\"x\"".to_owned()]);
    for service in [Service::Ses, Service::Route53] {
        cloud.account.fault(Fault::new(service, FaultKind::Throttle).times(3)).await?;
    }
    cloud.ses.create(&key("example.com"), &plain_identity()).await?;
    cloud.route53.change(&zone, &[RecordChange::Create(set)]).await?;
    let metrics = cloud.metrics.render(Census::default(), &Load::default());
    for (service, operation) in [("ses", "CreateEmailIdentity"), ("route53", "ChangeResourceRecordSets")] {
        for (outcome, count) in [("throttled", 3), ("ok", 1)] {
            let series = format!(
                "ses_operator_aws_calls_total{{service=\"{service}\",operation=\"{operation}\",outcome=\"{outcome}\"}} {count}\n"
            );
            assert!(metrics.contains(&series), "{series} in {metrics}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_quotas_of_aws_are_told_as_throttling() -> Result<()> {
    let cloud = Cloud::new().await?;
    cloud.account.settings(Settings::default().quotas_of_aws()).await?;
    for _ in 0..10 {
        if let Err(error) = cloud.ses.get(&key("example.com")).await {
            assert_eq!(error.kind, ErrorKind::Throttled);
            return Ok(());
        }
    }
    anyhow::bail!("never throttled")
}

#[tokio::test]
async fn a_change_is_not_sent_unless_the_lease_outlasts_it() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = ZoneId(cloud.account.create_zone("example.com").await?);
    let set = RecordSet::new(name("a.example.com"), RecordType::Txt, 300, vec!["\"x\"".to_owned()]);
    let create = [RecordChange::Create(set)];
    let before = cloud.account.requests().await?.len();
    cloud.permit.extend(Instant::now() + CALL_TIMEOUT - Duration::from_secs(1));
    let key = key("example.com");
    assert_eq!(kind(cloud.ses.create(&key, &plain_identity()).await)?, ErrorKind::NotLeading);
    assert_eq!(kind(cloud.ses.delete(&key).await)?, ErrorKind::NotLeading);
    assert_eq!(kind(cloud.route53.change(&zone, &create).await)?, ErrorKind::NotLeading);
    assert_eq!(cloud.account.requests().await?.len(), before);

    assert_eq!(cloud.ses.get(&key).await?.answer, None, "reading is for everyone");
    cloud.permit.extend(Instant::now() + CALL_TIMEOUT * 2);
    cloud.ses.create(&key, &plain_identity()).await?;
    Ok(())
}

#[tokio::test]
async fn calls_are_counted_by_what_became_of_them() -> Result<()> {
    let cloud = Cloud::new().await?;
    cloud.ses.create(&key("example.com"), &plain_identity()).await?;
    cloud.ses.get(&key("example.org")).await?;
    cloud.route53.hosted_zones().await?;
    assert_eq!(cloud.aws.account().await?, cloud.account.id());
    assert_eq!(cloud.aws.account().await?, cloud.account.id());
    let metrics = cloud.metrics.render(Census::default(), &Load::default());
    for (service, operation, outcome) in [
        ("ses", "CreateEmailIdentity", "ok"),
        ("ses", "GetEmailIdentity", "not_found"),
        ("route53", "ListHostedZonesByName", "ok"),
        ("sts", "GetCallerIdentity", "ok"),
    ] {
        let series = format!(
            "ses_operator_aws_calls_total{{service=\"{service}\",operation=\"{operation}\",outcome=\"{outcome}\"}} 1\n"
        );
        assert!(metrics.contains(&series), "{series} in {metrics}");
    }
    assert_eq!(cloud.requests("GetCallerIdentity").await?.len(), 1, "the account is asked for once");
    Ok(())
}
