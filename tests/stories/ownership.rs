//! What is ours, and who says so.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use ses_operator::api::SesDomainStatus;

use crate::world::{HOUR, NAME, REGION, World, full, story, with};

async fn delete(world: &World) -> Result<()> {
    world.domains().delete(NAME, &DeleteParams::default()).await?;
    Ok(())
}

/// Replaces the whole status, as who may write it could.
async fn forge(world: &World, status: Value) -> Result<()> {
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(json!([{"op": "replace", "path": "/status", "value": status}]))?);
    world.domains().patch_status(NAME, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn an_identity_of_others_is_left_alone_unless_it_is_adopted() -> Result<()> {
    story("adopted", async |world| {
        world.account.sesv2(REGION).create_email_identity().email_identity(&world.domain).send().await?;
        let mark = world.mark().await?;
        world.apply(full()).await?;
        let told = world.sees_because("Ready", "False", "IdentityNotOurs").await?;
        assert!(told.contains("exists already") && told.contains("adoptionPolicy to Adopt"), "{told}");
        world.sees("Stalled", "True").await?;
        assert!(world.writes_since(mark).await?.is_empty());

        world.apply(with(full(), json!({"adoptionPolicy": "Adopt"}))).await?;
        world.sees("Ready", "True").await?;
        world.event("IdentityAdopted", "it stays when this resource is deleted").await?;
        delete(world).await?;
        world.is_gone().await?;
        assert!(world.has_identity().await?);
        assert!(world.records().await?.is_empty(), "the records were ours");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_identity_of_another_cluster_is_left_alone() -> Result<()> {
    story("clusters", async |world| {
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.kill()?;
        let mark = world.mark().await?;
        world.start(["--cluster-id=elsewhere"])?;
        world.reconciles("elsewhere").await?;
        let told = world.sees_because("Ready", "False", "IdentityNotOurs").await?;
        assert!(told.contains("belongs to the SesDomain clusters/domain of the cluster"), "{told}");
        let before = world.identity().await?.tags().iter().find(|tag| tag.key() == "ses-operator.dev/cluster").cloned();
        let flag = format!("--cluster-id={};", before.context("the tag of the cluster")?.value());
        assert!(told.contains(&flag), "{told}");
        assert!(world.writes_since(mark).await?.is_empty());

        // The twin: with its own name it works again.
        world.restart()?;
        world.account.advance(HOUR).await?;
        world.sees("Ready", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_domain_moves_to_another_cluster_by_retain_and_adopt_and_not_a_record_is_touched() -> Result<()> {
    story("to-the-west", async |world| {
        world.kill()?;
        world.start(["--cluster-id=east"])?;
        world.apply(with(full(), json!({"deletionPolicy": "Retain"}))).await?;
        world.sees("Ready", "True").await?;
        let (records, dmarc) = (world.records().await?, world.status().await?.dmarc);
        delete(world).await?;
        world.is_gone().await?;
        world.kill()?;

        let mark = world.mark().await?;
        world.start(["--cluster-id=west"])?;
        world.apply(full()).await?;
        let told = world.sees_because("Ready", "False", "IdentityNotOurs").await?;
        let left = "was left behind by the SesDomain to-the-west/domain of the cluster east";
        assert!(told.contains(left) && told.contains("set spec.adoptionPolicy to Adopt"), "{told}");
        assert!(world.writes_since(mark).await?.is_empty());

        world.apply(with(full(), json!({"adoptionPolicy": "Adopt"}))).await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.records().await?, records);
        assert_eq!(world.status().await?.dmarc.map(|dmarc| dmarc.stage), dmarc.map(|dmarc| dmarc.stage));
        let tags = world.identity().await?.tags().to_vec();
        let value = |key: &str| tags.iter().find(|tag| tag.key() == key).map(|tag| tag.value().to_owned());
        assert_eq!(value("ses-operator.dev/cluster").as_deref(), Some("west"));
        assert_eq!(value("ses-operator.dev/released"), None, "it is nobody else's to adopt");
        let writes: Vec<String> = world.writes_since(mark).await?.into_iter().map(|write| write.operation).collect();
        let tags_alone = writes.iter().all(|write| write == "TagResource" || write == "UntagResource");
        assert!(tags_alone && !writes.is_empty(), "{writes:?}");

        // What was adopted stays.
        delete(world).await?;
        world.is_gone().await?;
        assert_eq!(world.records().await?, records);
        assert!(world.has_identity().await?);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_forged_status_reaches_nothing_that_could_not_be_ours() -> Result<()> {
    story("forged", async |world| {
        let (account, zone) = (world.account.clone(), world.zone.clone());
        let theirs = [
            ("forged.example", "MX", "10 mx.elsewhere.example"),
            ("www.forged.example", "CNAME", "elsewhere.example"),
            ("key._domainkey.forged.example", "CNAME", "key.elsewhere.example"),
            ("_dmarc.other.forged.example", "TXT", "\"v=DMARC1; p=none\""),
        ];
        for (name, kind, value) in theirs {
            account.write_record(&zone, name, kind, &[value]).await?;
        }
        let before = world.records().await?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.kill()?;

        let identity = world.identity().await?;
        let mut status = serde_json::to_value(world.status().await?)?;
        status["region"] = json!("us-east-1");
        status["identity"]["tags"] = json!(["ses-operator.dev/name", "ses-operator.dev/records"]);
        let purposes = ["MailFromMx", "Dkim", "Dkim", "Dmarc"];
        for ((name, kind, value), purpose) in theirs.into_iter().zip(purposes) {
            let value = value.trim_matches('"');
            let forged = json!({
                "purpose": purpose, "name": name, "type": kind, "value": value, "ttl": 300, "hostedZoneId": zone,
                "ours": true, "published": true, "since": "2026-01-01T00:00:00Z",
            });
            status["records"].as_array_mut().into_iter().for_each(|records| records.push(forged.clone()));
        }
        forge(world, status).await?;
        world.start([])?;
        world.reconciles("forged").await?;
        world.sees("Ready", "True").await?;
        assert_eq!(world.status().await?.region.as_deref(), Some(REGION));
        assert_eq!(world.identity().await?.tags(), identity.tags());
        delete(world).await?;
        world.is_gone().await?;
        // Ours are gone, theirs are not.
        assert_eq!(world.records().await?, before);
        Ok(())
    })
    .await
}

/// By the operator that runs: no clock is moved, and nobody asks for a look.
#[tokio::test]
async fn a_status_that_somebody_else_writes_becomes_what_it_was() -> Result<()> {
    story("rewritten", async |world| {
        // A walk would begin anew, and say so.
        let stage = json!({"stages": [{"name": "reject", "policy": "Reject"}]});
        world.apply(with(full(), json!({"dmarcPolicy": stage}))).await?;
        world.sees("Ready", "True").await?;
        world.settles().await?;
        let before = world.status().await?;
        let whole = serde_json::to_value(&before)?;
        let mut added = whole.clone();
        added["plan"] = json!(["- everything"]);
        added["conditions"].as_array_mut().context("conditions")?.push(json!({
            "type": "Blessed", "status": "True", "reason": "Magic", "message": "by hand",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }));
        let mut denied = whole;
        denied["conditions"][0]["status"] = json!("False");
        let mark = world.mark().await?;
        for forged in [added, denied, json!({})] {
            let (audit, erased) = (world.plane.audit_mark()?, forged == json!({}));
            forge(world, forged).await?;
            let domains = world.domains();
            world
                .awaits("the status to be as it was", async || {
                    let status = domains.get(NAME).await?.status.unwrap_or_default();
                    ensure!(said(&status) == said(&before), "{status:#?}");
                    Ok(())
                })
                .await?;
            if erased {
                continue;
            }
            // One answer, though the watch shows that one as well.
            let (plane, namespace) = (world.plane, world.namespace.clone());
            world
                .awaits("the answer to be logged", async || {
                    let mut writes = crate::world::api_writes(plane, audit, &namespace)?;
                    writes.retain(|write| !write.ends_with(" events"));
                    ensure!(writes == ["patch sesdomains/status"; 2], "{writes:?}");
                    Ok(())
                })
                .await?;
        }
        assert!(world.writes_since(mark).await?.is_empty());
        Ok(())
    })
    .await
}

/// A status without the times since when something is so: who has taken them away has taken them away.
fn said(status: &SesDomainStatus) -> Value {
    fn forget(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !matches!(name.as_str(), "since" | "lastTransitionTime" | "until"));
                fields.values_mut().for_each(forget);
            }
            Value::Array(values) => values.iter_mut().for_each(forget),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut status = serde_json::to_value(status).unwrap_or_default();
    forget(&mut status);
    status
}

#[tokio::test]
async fn a_deletion_without_a_status_removes_what_the_tags_say_is_ours() -> Result<()> {
    story("wiped", async |world| {
        world.account.write_record(&world.zone, "mail.wiped.example", "TXT", &["\"owner=somebody\""]).await?;
        let before = world.records().await?;
        world.apply(full()).await?;
        world.sees("Ready", "True").await?;
        world.kill()?;
        forge(world, json!({})).await?;
        delete(world).await?;
        world.start([])?;
        world.is_gone().await?;
        assert_eq!(world.records().await?, before);
        assert!(!world.has_identity().await?);
        Ok(())
    })
    .await
}
