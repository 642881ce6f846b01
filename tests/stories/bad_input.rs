//! What users may ask for, to the edges of it.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::world::{REGION, full, story, with};

#[tokio::test]
async fn names_and_tags_may_be_as_long_as_aws_takes_them() -> Result<()> {
    story("edges", async |world| {
        let label = "a".repeat(63);
        let of_209 =
            format!("{label}.{label}.{label}.{}.edges.example", "a".repeat(209 - 3 * 64 - ".edges.example".len()));
        assert_eq!(of_209.len(), 209);
        let tags: Map<String, Value> = (0..43).map(|n| (format!("key-{n}"), json!("v".repeat(256)))).collect();
        let cases = [
            ("idn", json!({"domain": "xn--bcher-kva.edges.example"})),
            ("labels-of-63", json!({"domain": format!("{label}.{label}.edges.example"), "mailFromSubdomain": label})),
            ("characters-209", json!({"domain": of_209, "mailFromSubdomain": "a".repeat(43)})),
            ("mail-from-of-labels", json!({"domain": "labels.edges.example", "mailFromSubdomain": "bounce.eu.mail"})),
            ("tags-43", json!({"domain": "tags.edges.example", "tags": tags})),
            ("zone-is-domain", json!({"domain": "edges.example"})),
        ];
        for (name, fields) in &cases {
            world.apply_as(name, with(full(), fields.clone())).await?;
        }
        for (name, fields) in &cases {
            world.sees_of(name, "Ready", "True").await.with_context(|| format!("the case {name}"))?;
            let domain = fields["domain"].as_str().context("a domain")?;
            let identity = world.account.sesv2(REGION).get_email_identity().email_identity(domain).send().await?;
            assert!(identity.verified_for_sending_status, "{name}");
        }
        let tagged =
            world.account.sesv2(REGION).get_email_identity().email_identity("tags.edges.example").send().await?;
        let users = tagged.tags().iter().filter(|tag| tag.key.starts_with("key-")).count();
        assert_eq!(users, 43, "{:?}", tagged.tags());
        let mx = world.public("bounce.eu.mail.labels.edges.example", "MX").await?;
        assert_eq!(mx, "10 feedback-smtp.eu-west-1.amazonses.com");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_second_who_wants_a_domain_is_told_who_has_it() -> Result<()> {
    story("taken", async |world| {
        world.apply_as("first", json!({"domain": "taken.example"})).await?;
        world.sees_of("first", "Ready", "True").await?;
        let mark = world.mark().await?;
        world.apply_as("second", json!({"domain": "taken.example", "mailFromSubdomain": "mail"})).await?;
        let told = world.sees_of("second", "Ready", "False").await?;
        assert_eq!(told.reason, "DomainTaken");
        assert_eq!(
            told.message,
            "the SesDomain taken/first has the domain taken.example already: delete one of the two"
        );
        world.sees_of("second", "Stalled", "True").await?;
        assert!(world.writes_since(mark).await?.is_empty());
        world.sees_of("first", "Ready", "True").await?;

        // Deleting the second takes nothing from the first; and when the first goes, the way is free.
        let domains = world.domains();
        domains.delete("second", &Default::default()).await?;
        world
            .awaits("the second to go", async || {
                anyhow::ensure!(domains.get_opt("second").await?.is_none(), "it is there");
                Ok(())
            })
            .await?;
        assert!(world.writes_since(mark).await?.is_empty());
        world.apply_as("third", json!({"domain": "taken.example", "mailFromSubdomain": "mail"})).await?;
        world.sees_of("third", "Stalled", "True").await?;
        domains.delete("first", &Default::default()).await?;
        world.sees_of("third", "Ready", "True").await?;
        assert_eq!(world.records().await?.len(), 5);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn filters_bound_what_anybody_may_ask_for() -> Result<()> {
    crate::world::bare_story("filtered", async |world| {
        world.zone = world.account.create_zone(&world.domain).await?;
        let other = world.account.create_zone("other.filtered.example").await?;
        let zone = format!("--zone-filter={}", world.zone);
        world.start(["--domain-filter=filtered.example", "--exclude-domain=no.filtered.example", &zone])?;
        let cases = [
            ("outside", "elsewhere.example", Some("is outside of the operator's --domain-filter")),
            ("looks-alike", "notfiltered.example", Some("is outside of the operator's --domain-filter")),
            ("excluded", "a.no.filtered.example", Some("within --exclude-domain")),
            ("other-zone", "other.filtered.example", Some("is outside of the operator's --zone-filter")),
            ("inside", "yes.filtered.example", None),
        ];
        for (name, domain, _) in cases {
            world.apply_as(name, json!({ "domain": domain })).await?;
        }
        for (name, _, refusal) in cases {
            match refusal {
                Some(words) => {
                    let told = world.sees_of(name, "Stalled", "True").await?;
                    assert_eq!(told.reason, "Filtered", "{name}: {}", told.message);
                    assert!(told.message.contains(words), "{name}: {}", told.message);
                }
                None => {
                    world.sees_of(name, "Ready", "True").await?;
                }
            }
        }
        assert!(world.records_of(&other).await?.is_empty());
        let identities = world.account.sesv2(REGION).list_email_identities().send().await?;
        let names: Vec<_> = identities.email_identities().iter().filter_map(|it| it.identity_name.clone()).collect();
        assert_eq!(names, ["yes.filtered.example"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_aws_has_not_got_is_told() -> Result<()> {
    story("missing", async |world| {
        world.apply_as("china", json!({"domain": "china.missing.example", "region": "cn-north-1"})).await?;
        let told = world.sees_of("china", "Stalled", "True").await?;
        assert_eq!(told.reason, "RegionUnsupported");

        world.apply(json!({"configurationSetName": "missing-set"})).await?;
        let told = world.sees_because("Ready", "False", "Rejected").await?;
        assert!(told.contains("missing-set"), "{told}");
        world.sees("Stalled", "True").await?;

        let set = world.account.sesv2(REGION).create_configuration_set().configuration_set_name("missing-set");
        set.send().await?;
        world.account.advance(crate::world::HOUR).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.identity().await?.configuration_set_name.as_deref(), Some("missing-set"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_suspended_resource_changes_nothing_in_aws() -> Result<()> {
    story("suspended", async |world| {
        let mark = world.mark().await?;
        world.apply(with(full(), json!({"suspend": true}))).await?;
        let told = world.sees("Ready", "False").await?;
        assert!(told.message.contains("spec.suspend is true"), "{}", told.message);
        world.reconciles("suspended").await?;
        assert!(world.writes_since(mark).await?.is_empty());
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}
