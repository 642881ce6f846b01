//! Accounts, their clocks and their logs.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sts::config::AppName;
use jiff::SignedDuration;
use ses_operator_rig::aws::{Aws, Clock, Fault, FaultKind, Service};

use crate::common::{DOMAIN, HOUR, REGION, create_identity, dkim, swift_account, verified_domain};

#[tokio::test]
async fn the_key_tells_the_account_and_a_role_leads_into_another() -> Result<()> {
    let (one, other) = (swift_account().await?, swift_account().await?);
    let me = one.sts().get_caller_identity().send().await?;
    assert_eq!(me.account(), Some(one.id()));

    let role = format!("arn:aws:iam::{}:role/dns", other.id());
    let assumed = one.sts().assume_role().role_arn(role).role_session_name("story").send().await?;
    let keys = assumed.credentials.context("keys")?;
    let keys = aws_credential_types::Credentials::new(
        keys.access_key_id,
        keys.secret_access_key,
        Some(keys.session_token),
        None,
        "role",
    );
    let there = one.route53().config().to_builder().credentials_provider(keys).build();
    let there = aws_sdk_route53::Client::from_conf(there);
    there.create_hosted_zone().name(DOMAIN).caller_reference("from one").send().await?;
    assert_eq!(other.route53().list_hosted_zones().send().await?.hosted_zones.len(), 1);
    assert!(one.route53().list_hosted_zones().send().await?.hosted_zones.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_program_is_told_all_it_needs() -> Result<()> {
    let account = Aws::shared().await?.account();
    let environment = account.environment(REGION);
    let told = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert!(told("AWS_ACCESS_KEY_ID").is_some_and(|key| key.starts_with(&format!("AKIA{}", account.id()))));
    assert_eq!(told("AWS_ENDPOINT_URL"), Some(Aws::shared().await?.endpoint()));
    assert_eq!(told("AWS_REGION"), Some(REGION));
    Ok(())
}

#[tokio::test]
async fn time_jumps_and_runs() -> Result<()> {
    let account = swift_account().await?;
    let before = account.clock().await?;
    let after = account.advance(60 * 24 * HOUR).await?;
    assert_eq!(after.now.duration_since(before.now).as_hours(), 60 * 24);
    assert!(after.version > before.version);
    let pace = account.set_rate(60.0).await?.rate;
    assert!((pace - 60.0).abs() < f64::EPSILON);
    Ok(())
}

/// What the operator does to follow the clock: ask for the change after the version it knows.
#[tokio::test]
async fn a_follower_hears_of_a_change_at_once() -> Result<()> {
    let account = swift_account().await?;
    let known = account.clock().await?.version;
    let url = format!("{}?after={known}&wait=60", account.clock_url());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let follow = tokio::spawn(async move { http.get(url).send().await?.json::<serde_json::Value>().await });
    // Let it arrive and wait; had it not, it would be answered at once as well.
    for _ in 0..5 {
        account.clock().await?;
    }
    let changed = account.advance(HOUR).await?;
    let heard = tokio::time::timeout(Duration::from_secs(30), follow).await???;
    assert_eq!(heard["version"], changed.version);
    Ok(())
}

#[tokio::test]
async fn a_wrong_clock_is_wrong_by_the_same_and_moves_with_the_right_one() -> Result<()> {
    let account = swift_account().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let read = async |url: &str| Ok::<Clock, anyhow::Error>(http.get(url).send().await?.json().await?);
    for hours in [6, -6] {
        let url = account.wrong_clock_url(SignedDuration::from_hours(hours));
        let (wrong, right) = (read(&url).await?, account.clock().await?);
        assert_eq!(wrong.now.duration_since(right.now).as_hours(), hours);
        account.advance(HOUR).await?;
        assert_eq!(read(&url).await?.now.duration_since(wrong.now).as_hours(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn every_request_is_on_record() -> Result<()> {
    let account = swift_account().await?;
    let zone = verified_domain(&account).await?;
    let requests = account.requests().await?;
    let operations: Vec<&str> = requests.iter().map(|request| request.operation.as_str()).collect();
    let write = "ChangeResourceRecordSets";
    assert_eq!(operations, ["CreateHostedZone", "CreateEmailIdentity", write, write, write]);

    let last = requests.last().context("a request")?;
    assert_eq!((last.target.as_deref(), last.status, last.mutation), (Some(zone.as_str()), 200, true));
    assert_eq!(last.zone, Some(zone.clone()));
    assert_eq!((last.changes[0].action.as_str(), last.changes[0].kind.as_str()), ("UPSERT", "CNAME"));
    dkim(&account, DOMAIN).await?;
    let read = account.requests_since(last.seq).await?;
    assert_eq!((read.len(), read[0].target.as_deref(), read[0].mutation), (1, Some(DOMAIN), false));
    assert_eq!(read[0].zone, None);
    assert!(read[0].to_string().contains("eu-west-1 200 GetEmailIdentity example.com"), "{}", read[0]);
    Ok(())
}

#[tokio::test]
async fn the_record_names_who_asked_and_when_it_was_done_on_the_walls_clock() -> Result<()> {
    let account = swift_account().await?;
    account.advance(60 * 24 * HOUR).await?;
    let config = account.sts().config().to_builder().app_name(AppName::new("first")?).build();
    aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await?;
    account.sts().get_caller_identity().send().await?;
    let late = Duration::from_millis(50);
    account.fault(Fault::new(Service::Sts, FaultKind::Latency).times(1).lasting(late)).await?;
    account.sts().get_caller_identity().send().await?;
    account.fault(Fault::new(Service::Sts, FaultKind::Drop)).await?;
    account.sts().get_caller_identity().send().await.err().context("it is dropped")?;

    let [named, nameless, slow, dropped] = &account.requests().await?[..] else { anyhow::bail!("four requests") };
    assert_eq!((named.sender.as_deref(), &nameless.sender), (Some("first"), &None));
    let done = slow.done.context("it was done")?;
    assert!(done.duration_since(slow.arrived).unsigned_abs() >= late && slow.arrived > nameless.arrived, "{slow:?}");
    assert!(slow.at.duration_since(slow.arrived) > SignedDuration::from_hours(59 * 24), "one time is the account's");
    assert_eq!(dropped.done, None);
    Ok(())
}

#[tokio::test]
async fn a_forced_status_lies_over_the_true_one() -> Result<()> {
    let account = swift_account().await?;
    verified_domain(&account).await?;
    account.force_dkim(REGION, DOMAIN, Some("TEMPORARY_FAILURE")).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "TEMPORARY_FAILURE");
    account.advance(HOUR).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "TEMPORARY_FAILURE");
    account.force_dkim(REGION, DOMAIN, None).await?;
    assert_eq!(dkim(&account, DOMAIN).await?, "SUCCESS");
    Ok(())
}

#[tokio::test]
async fn the_control_api_says_what_it_does_not_know() -> Result<()> {
    let account = swift_account().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = account.clock_url().replace("/clock", "/clocks");
    let answer = http.get(url).send().await?;
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await?.contains("GET /rig/<account>/clock"));
    let error = account.force_dkim(REGION, "nobody.example", None).await.err().context("there is no such identity")?;
    assert!(format!("{error:#}").contains("nobody.example"), "{error:#}");
    create_identity(&account, DOMAIN).await?;
    Ok(())
}
