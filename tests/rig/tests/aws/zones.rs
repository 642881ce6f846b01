//! How Route 53 names, orders and pages.

use anyhow::{Context, Result};

use crate::common::{DOMAIN, account, apply, create, refusal, swift_account};

#[tokio::test]
async fn names_come_back_in_lower_case_and_escaped() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone("Example.COM").await?;
    apply(&account, &zone, vec![create("*.EXAMPLE.com", "TXT", &["\"a\""])?]).await?;
    let list = account.route53().list_resource_record_sets().hosted_zone_id(&zone).send().await?;
    let names: Vec<&str> = list.resource_record_sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["example.com.", "example.com.", "\\052.example.com."]);
    Ok(())
}

#[tokio::test]
async fn record_sets_are_ordered_by_reversed_labels() -> Result<()> {
    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    for name in ["z.example.com", "a.z.example.com", "m.example.com", "z.a.example.com"] {
        apply(&account, &zone, vec![create(name, "TXT", &["\"a\""])?]).await?;
    }
    let records = account.zone_records(&zone).await?;
    let names: Vec<&str> = records.iter().filter_map(|line| line.split(' ').next()).skip(2).collect();
    assert_eq!(names, ["z.a.example.com", "m.example.com", "z.example.com", "a.z.example.com"]);

    let list = account.route53().list_resource_record_sets().hosted_zone_id(&zone).start_record_name("n.example.com");
    let from_there = list.send().await?.resource_record_sets;
    assert_eq!(from_there.first().context("a record set")?.name, "z.example.com.");
    Ok(())
}

#[tokio::test]
async fn zones_by_name_start_at_the_name_and_go_on() -> Result<()> {
    let account = swift_account().await?;
    for name in ["example.net", DOMAIN, "b.example.com", "example.org"] {
        account.create_zone(name).await?;
    }
    let names = async |start: &str, most: i32| {
        let list = account.route53().list_hosted_zones_by_name().dns_name(start).max_items(most).send().await?;
        let names = list.hosted_zones.into_iter().map(|zone| zone.name).collect::<Vec<_>>();
        anyhow::Ok((names, list.next_dns_name))
    };
    let (found, _) = names("a.example.com", 100).await?;
    assert_eq!(found, ["b.example.com.", "example.net.", "example.org."], "none of that name, but its neighbours");
    let (first, next) = names(DOMAIN, 1).await?;
    assert_eq!((first, next.as_deref()), (vec!["example.com.".to_owned()], Some("b.example.com.")));
    Ok(())
}

#[tokio::test]
async fn a_listing_that_lags_shows_what_was() -> Result<()> {
    use ses_operator_rig::aws::Settings;
    use std::time::Duration;

    let account = swift_account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.advance(Duration::from_secs(60)).await?;
    account.settings(Settings::default().read_lag(Duration::from_secs(5))).await?;
    apply(&account, &zone, vec![create(DOMAIN, "TXT", &["\"a\""])?]).await?;
    assert_eq!(account.zone_records(&zone).await?.len(), 2);
    account.advance(Duration::from_secs(5)).await?;
    assert_eq!(account.zone_records(&zone).await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_zone_is_deleted_only_when_it_is_empty() -> Result<()> {
    let account = account().await?;
    let zone = account.create_zone(DOMAIN).await?;
    account.write_record(&zone, DOMAIN, "TXT", &["\"a\""]).await?;
    let delete = || account.route53().delete_hosted_zone().id(&zone);
    assert_eq!(refusal(delete().send().await)?.0, "HostedZoneNotEmpty");
    account.delete_record(&zone, DOMAIN, "TXT").await?;
    delete().send().await?;
    assert_eq!(refusal(account.route53().get_hosted_zone().id(&zone).send().await)?.0, "NoSuchHostedZone");
    Ok(())
}
