//! Zones and record sets.

use anyhow::Result;
use aws_sdk_route53::types::{
    Change, ChangeAction, ChangeBatch, HostedZoneConfig, ResourceRecord, ResourceRecordSet, RrType, Vpc, VpcRegion,
};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use ses_operator::cloud::ErrorKind;
use ses_operator::dns::{DnsProvider, HostedZone, RecordChange, RecordSet, RecordType, ZoneId};

use crate::common::{Cloud, failure, kind, name};

fn txt(at: &str, text: &str) -> RecordSet {
    RecordSet::new(name(at), RecordType::Txt, 300, vec![format!("\"{text}\"")])
}

async fn zone(cloud: &Cloud) -> Result<ZoneId> {
    Ok(ZoneId(cloud.account.create_zone("example.com").await?))
}

#[tokio::test]
async fn all_public_zones_are_listed_over_several_pages() -> Result<()> {
    let cloud = Cloud::new().await?;
    let names: Vec<String> = (0..103).map(|number| format!("z{number:03}.example.com")).collect();
    let expected: Vec<HostedZone> = stream::iter(&names)
        .map(|zone| async {
            anyhow::Ok(HostedZone {
                id: ZoneId(cloud.account.create_zone(zone).await?),
                name: name(zone),
                record_sets: 2,
            })
        })
        .buffered(8)
        .try_collect::<Vec<_>>()
        .await?;
    let private = HostedZoneConfig::builder().private_zone(true).build();
    let network = Vpc::builder().vpc_id("vpc-1").vpc_region(VpcRegion::EuWest1).build();
    let create = cloud.account.route53().create_hosted_zone().name("z050.example.com").caller_reference("private");
    create.hosted_zone_config(private).vpc(network).send().await?;

    let mut zones = cloud.route53.hosted_zones().await?.answer;
    zones.sort_by_key(|zone| zone.name.clone());
    assert_eq!(zones, expected);
    assert_eq!(cloud.requests("ListHostedZonesByName").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_batch_is_written_in_the_order_given_and_comes_into_sync() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = zone(&cloud).await?;
    let old = txt("_dmarc.example.com", "v=DMARC1; p=none");
    let new = txt("_dmarc.example.com", "v=DMARC1; p=quarantine");
    cloud.route53.change(&zone, &[RecordChange::Create(old.clone())]).await?;

    let swap = [RecordChange::Delete(old), RecordChange::Create(new.clone())];
    let change = cloud.route53.change(&zone, &swap).await?;
    assert!(!change.contains('/'), "{change}");
    assert!(cloud.route53.is_in_sync(&change).await?.answer);
    assert_eq!(cloud.route53.record_sets(&zone, &new.name).await?.answer, [new]);
    let request = cloud.requests("ChangeResourceRecordSets").await?.pop();
    let actions: Vec<String> = request.iter().flat_map(|it| &it.changes).map(|it| it.action.clone()).collect();
    assert_eq!(actions, ["DELETE", "CREATE"]);

    let unknown = failure(cloud.route53.is_in_sync("C0000000000000").await)?;
    assert_eq!((unknown.kind, unknown.operation), (ErrorKind::NotFound, "route53:GetChange"));
    Ok(())
}

#[tokio::test]
async fn what_changed_under_us_is_a_conflict() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = zone(&cloud).await?;
    let set = txt("_dmarc.example.com", "v=DMARC1; p=none");
    let create = [RecordChange::Create(set.clone())];
    cloud.route53.change(&zone, &create).await?;

    let mut shorter = set.clone();
    shorter.ttl = Some(60);
    let alias = RecordSet::new(set.name.clone(), RecordType::Cname, 300, vec!["elsewhere.example.com".into()]);
    for (lost, words) in [
        (RecordChange::Create(set.clone()), "already exists"),
        (RecordChange::Create(alias), "conflict"),
        (RecordChange::Delete(txt("_dmarc.example.com", "other")), "do not match"),
        (RecordChange::Delete(shorter), "do not match"),
        (RecordChange::Delete(txt("gone.example.com", "x")), "not found"),
    ] {
        let refused = failure(cloud.route53.change(&zone, std::slice::from_ref(&lost)).await)?;
        assert_eq!(refused.kind, ErrorKind::Conflict, "{lost:?}: {refused}");
        assert!(refused.message.contains(words), "{refused}");
    }

    let foreign = RecordChange::Create(txt("example.org", "x"));
    assert_eq!(kind(cloud.route53.change(&zone, &[foreign]).await)?, ErrorKind::Rejected);
    let elsewhere = ZoneId("Z000000000000".into());
    assert_eq!(kind(cloud.route53.change(&elsewhere, &create).await)?, ErrorKind::NotFound);
    Ok(())
}

#[tokio::test]
async fn a_subtree_is_whole_when_it_fits_into_one_page() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = zone(&cloud).await?;
    let ours =
        [txt("b.example.com", "root"), txt("_dmarc.b.example.com", "below"), txt("x.y.b.example.com", "far below")];
    let others = [txt("a.example.com", "before"), txt("bb.example.com", "after"), txt("b-b.example.com", "beside")];
    let many = (0..310).map(|number| txt(&format!("r{number:03}.example.com"), "one of many"));
    let all: Vec<RecordChange> = ours.iter().chain(&others).cloned().chain(many).map(RecordChange::Create).collect();
    cloud.route53.change(&zone, &all).await?;

    let subtree = cloud.route53.subtree(&zone, &name("b.example.com")).await?.answer;
    assert!(subtree.complete, "what was cut off lies elsewhere");
    let mut found = subtree.record_sets;
    found.sort_by_key(|set| set.name.clone());
    let mut expected = ours.to_vec();
    expected.sort_by_key(|set| set.name.clone());
    assert_eq!(found, expected);

    let whole = cloud.route53.subtree(&zone, &name("example.com")).await?.answer;
    assert!(!whole.complete);
    assert_eq!(whole.record_sets.len(), 300);
    let last = cloud.route53.subtree(&zone, &name("r309.example.com")).await?.answer;
    assert!(last.complete);
    assert_eq!(last.record_sets.len(), 1);
    let none = cloud.route53.subtree(&zone, &name("c.example.com")).await?.answer;
    assert_eq!((none.record_sets, none.complete), (vec![], true));
    assert_eq!(cloud.requests("ListResourceRecordSets").await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn one_name_is_read_with_all_its_types_and_nothing_else() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = zone(&cloud).await?;
    let mail = name("mail.example.com");
    let mx =
        RecordSet::new(mail.clone(), RecordType::Mx, 300, vec!["10 feedback-smtp.eu-west-1.amazonses.com".to_owned()]);
    let spf = txt("mail.example.com", "v=spf1 include:amazonses.com ~all");
    let sets = [mx.clone(), spf.clone(), txt("below.mail.example.com", "other")];
    cloud.route53.change(&zone, &sets.map(RecordChange::Create)).await?;
    assert_eq!(cloud.route53.record_sets(&zone, &mail).await?.answer, [mx, spf]);
    assert_eq!(cloud.route53.record_sets(&zone, &name("none.example.com")).await?.answer, []);
    let apex: Vec<RecordType> = cloud
        .route53
        .record_sets(&zone, &name("example.com"))
        .await?
        .answer
        .into_iter()
        .map(|set| set.record_type)
        .collect();
    assert_eq!(apex, [RecordType::Ns, RecordType::Other("SOA".into())]);
    Ok(())
}

#[tokio::test]
async fn a_name_with_more_sets_than_a_page_is_read_to_its_end() -> Result<()> {
    let cloud = Cloud::new().await?;
    let zone = zone(&cloud).await?;
    let weighted = |number: u16| {
        let value = ResourceRecord::builder().value(format!("\"{number}\"")).build()?;
        let set = ResourceRecordSet::builder().name("many.example.com").r#type(RrType::Txt).ttl(60);
        let set = set.weight(1).set_identifier(format!("{number:03}")).resource_records(value).build()?;
        anyhow::Ok(Change::builder().action(ChangeAction::Create).resource_record_set(set).build()?)
    };
    let changes = (0..305).map(weighted).collect::<Result<Vec<_>>>()?;
    let batch = ChangeBatch::builder().set_changes(Some(changes)).build()?;
    cloud.account.route53().change_resource_record_sets().hosted_zone_id(&zone.0).change_batch(batch).send().await?;

    let sets = cloud.route53.record_sets(&zone, &name("many.example.com")).await?.answer;
    assert_eq!(sets.len(), 305);
    assert!(sets.iter().all(|set| set.routed), "none of them can be ours");
    assert!(!cloud.route53.subtree(&zone, &name("many.example.com")).await?.answer.complete);
    Ok(())
}
