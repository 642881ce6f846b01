//! What is imported by the thousand is as true as what was made by calls.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use ses_operator_rig::aws::{ImportedIdentity, ImportedRecord, ImportedZone, Settings};

use crate::common::{
    DOMAIN, HOUR, MAIL_FROM, OUR_MX, REGION, dkim, identity, mail_from, swift_account, verified_domain,
};

const TOKENS: [&str; 3] = ["aaa", "bbb", "ccc"];

#[tokio::test]
async fn what_the_zone_served_all_the_time_is_verified_and_what_it_lacks_is_not() -> Result<()> {
    let account = swift_account().await?;
    let cname =
        |token: &&str| record(&format!("{token}._domainkey.{DOMAIN}"), "CNAME", &format!("{token}.dkim.amazonses.com"));
    let records = TOKENS.iter().map(cname).chain([record(MAIL_FROM, "MX", OUR_MX)]).collect();
    let zone = ImportedZone { name: DOMAIN.to_owned(), records };
    let identities = [imported(DOMAIN), imported("without.example.com")];
    let zones = account.import(REGION, 240 * HOUR, &[zone], &identities).await?;

    assert_eq!(
        (dkim(&account, DOMAIN).await?.as_str(), mail_from(&account, DOMAIN).await?.as_str()),
        ("SUCCESS", "SUCCESS")
    );
    assert_eq!(dkim(&account, "without.example.com").await?, "FAILED");
    let tags = identity(&account, DOMAIN).await?.tags.unwrap_or_default();
    assert_eq!(tags.iter().map(|tag| tag.key.as_str()).collect::<Vec<_>>(), ["owner"]);
    let listed = account.zone_records(zones.get(DOMAIN).context("the zone's ID")?).await?;
    assert!(listed.contains(&format!("{MAIL_FROM} MX 300 {OUR_MX}")), "{listed:#?}");
    Ok(())
}

#[tokio::test]
async fn what_was_drawn_for_an_identity_can_be_read() -> Result<()> {
    let account = swift_account().await?;
    account.settings(Settings::default().insync(30..=30).dkim(200..=200)).await?;
    verified_domain(&account).await?;
    let told = async || account.identities().await?.pop().context("an identity");
    assert_eq!(told().await?.dkim.verified, None);
    account.advance(Duration::from_secs(231)).await?;
    let told = told().await?;
    assert_eq!((told.name.as_str(), told.insync, told.dkim.delay), (DOMAIN, Some(30.0), 200.0));
    let verified = told.dkim.verified.context("verified by now")?;
    assert!((230..=231).contains(&verified.duration_since(told.created).as_secs()), "{told:?}");
    assert!(told.mail_from.is_none());
    Ok(())
}

fn record(name: &str, kind: &str, value: &str) -> ImportedRecord {
    ImportedRecord { name: name.to_owned(), kind: kind.to_owned(), ttl: 300, values: vec![value.to_owned()] }
}

fn imported(name: &str) -> ImportedIdentity {
    ImportedIdentity {
        name: name.to_owned(),
        tokens: TOKENS.map(str::to_owned).to_vec(),
        mail_from: Some(format!("mail.{name}")),
        tags: BTreeMap::from([("owner".to_owned(), "me".to_owned())]),
    }
}
