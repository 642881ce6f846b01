//! Faults hit what they should, in the service's own words.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ses_operator_rig::aws::{Account, Fault, FaultKind, Service, Settings};

use crate::common::{DOMAIN, REGION, create_identity, identity, refusal, swift_account};

#[tokio::test]
async fn each_service_has_its_own_errors() -> Result<()> {
    let account = swift_account().await?;
    for (kind, ses, other) in [
        (FaultKind::Throttle, "TooManyRequestsException", "Throttling"),
        (FaultKind::Denied, "AccessDeniedException", "AccessDenied"),
        (FaultKind::TokenExpired, "ExpiredTokenException", "ExpiredToken"),
        (FaultKind::SignatureExpired, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (FaultKind::ServerError, "InternalServiceErrorException", "InternalFailure"),
    ] {
        for service in [Service::Ses, Service::Route53, Service::Sts] {
            account.fault(Fault::new(service, kind).times(1)).await?;
        }
        assert_eq!(refusal(account.sesv2(REGION).get_account().send().await)?.0, ses);
        assert_eq!(refusal(account.route53().list_hosted_zones().send().await)?.0, other);
        assert_eq!(refusal(account.sts().get_caller_identity().send().await)?.0, other);
    }
    account.fault(Fault::new(Service::Route53, FaultKind::PriorRequestNotComplete).times(1)).await?;
    assert_eq!(refusal(account.route53().list_hosted_zones().send().await)?.0, "PriorRequestNotComplete");
    account.sesv2(REGION).get_account().send().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_denied_is_named() -> Result<()> {
    let account = swift_account().await?;
    let deny = Fault::new(Service::Ses, FaultKind::Denied).operation("GetEmailIdentity").matching("b.example");
    let fault = account.fault(deny).await?;
    create_identity(&account, "a.example").await?;
    create_identity(&account, "b.example").await?;
    identity(&account, "a.example").await?;
    let read = account.sesv2(REGION).get_email_identity().email_identity("b.example").send().await;
    let (_, message) = refusal(read)?;
    assert!(
        message.contains("is not authorized to perform: ses:GetEmailIdentity on resource: arn:aws:ses:"),
        "{message}"
    );
    account.remove_fault(&fault).await?;
    identity(&account, "b.example").await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_clock_is_told_in_other_words_each_time() -> Result<()> {
    let account = swift_account().await?;
    account.fault(Fault::new(Service::Route53, FaultKind::SignatureExpired)).await?;
    let first = refusal(account.route53().list_hosted_zones().send().await)?.1;
    account.advance(Duration::from_secs(1)).await?;
    let second = refusal(account.route53().list_hosted_zones().send().await)?.1;
    assert!(first.starts_with("Signature expired: 2") && first.contains(" is now earlier than 2"), "{first}");
    assert_ne!(first, second);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_was_done_and_a_dropped_one_was_not() -> Result<()> {
    let account = swift_account().await?;
    for (kind, exists) in [(FaultKind::Drop, false), (FaultKind::Hang, false), (FaultKind::LostAnswer, true)] {
        let fault = Fault::new(Service::Ses, kind).operation("CreateEmailIdentity").times(1);
        account.fault(fault.lasting(Duration::from_millis(50))).await?;
        let (code, _) = refusal(account.sesv2(REGION).create_email_identity().email_identity(DOMAIN).send().await)?;
        assert_eq!(code, "", "there was no answer to a {kind:?}");
        assert_eq!(identity(&account, DOMAIN).await.is_ok(), exists, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_answer_is_an_answer() -> Result<()> {
    let account = swift_account().await?;
    let late = Duration::from_millis(50);
    account.fault(Fault::new(Service::Ses, FaultKind::Latency).times(1).lasting(late)).await?;
    let asked = Instant::now();
    create_identity(&account, DOMAIN).await?;
    assert!(asked.elapsed() >= late);
    let request = account.requests().await?.pop().context("a request")?;
    assert_eq!((request.status, request.fault.as_deref()), (200, Some("latency")));
    Ok(())
}

#[tokio::test]
async fn faults_can_be_cleared() -> Result<()> {
    let account = swift_account().await?;
    account.fault(Fault::new(Service::Route53, FaultKind::Throttle)).await?;
    assert!(account.create_zone(DOMAIN).await.is_err());
    assert!(account.create_zone(DOMAIN).await.is_err());
    account.clear_faults().await?;
    account.create_zone(DOMAIN).await?;
    Ok(())
}

#[tokio::test]
async fn a_probability_is_drawn_from_the_seed() -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let account = swift_account().await?;
        account.settings(Settings::default().seed(3)).await?;
        account.fault(Fault::new(Service::Ses, FaultKind::ServerError).probability(0.5)).await?;
        let mut outcomes = Vec::new();
        for _ in 0..20 {
            outcomes.push(account.sesv2(REGION).get_account().send().await.is_ok());
        }
        runs.push(outcomes);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false), "{:?}", runs[0]);
    Ok(())
}

#[tokio::test]
async fn ses_takes_one_request_a_second_for_each_operation_and_region() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().quotas_of_aws()).await?;
    let (taken, code) = until_throttled(&account).await?;
    assert_eq!((taken, code.as_str()), (2, "TooManyRequestsException"));
    account.sesv2("us-east-1").get_account().send().await?;
    account.sesv2(REGION).list_email_identities().send().await?;
    account.advance(Duration::from_secs(1)).await?;
    assert_eq!(until_throttled(&account).await?.0, 1);
    Ok(())
}

#[tokio::test]
async fn ses_may_have_one_bucket_for_all_operations_of_a_region() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().quotas_of_aws().one_bucket_for_all_of_ses()).await?;
    account.sesv2(REGION).list_email_identities().send().await?;
    let (taken, code) = until_throttled(&account).await?;
    assert_eq!((taken, code.as_str()), (1, "TooManyRequestsException"));
    account.sesv2("us-east-1").get_account().send().await?;
    Ok(())
}

#[tokio::test]
async fn route_53_takes_five_requests_a_second_over_all() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().quotas_of_aws()).await?;
    for _ in 0..3 {
        account.route53().list_hosted_zones().send().await?;
        account.route53().list_hosted_zones_by_name().send().await?;
    }
    let (code, message) = refusal(account.route53().list_hosted_zones().send().await)?;
    assert_eq!((code.as_str(), message.as_str()), ("Throttling", "Rate exceeded"));
    Ok(())
}

async fn until_throttled(account: &Account) -> Result<(usize, String)> {
    for taken in 0.. {
        let asked = account.sesv2(REGION).get_account().send().await;
        if asked.is_err() {
            return Ok((taken, refusal(asked)?.0));
        }
    }
    anyhow::bail!("never throttled")
}
