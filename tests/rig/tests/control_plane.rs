//! The rig's control plane is a real one, guards itself, and leaves nothing behind.

use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Resource};
use serde::Deserialize;
use ses_operator_rig::control_plane::ControlPlane;
use ses_operator_rig::control_plane::credentials::ADMIN;
use ses_operator_rig::control_plane::relay::Way;
use ses_operator_rig::leash::Leashed;
use ses_operator_rig::operator::Operator;
use ses_operator_rig::wait::until;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_api_server_answers_with_the_pinned_version() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let version = plane.client().await?.apiserver_version().await?;
    assert_eq!((version.git_version.as_str(), version.minor.as_str()), ("v1.36.3", "36"));
    let kubectl = plane.kubectl(["version"]).await?;
    assert!(kubectl.contains("Client Version: v1.36.3") && kubectl.contains("Server Version: v1.36.3"), "{kubectl}");
    Ok(())
}

#[tokio::test]
async fn helm_installs_into_it() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    assert!(plane.helm(["version", "--short"]).await?.starts_with("v4.3.1"));
    let chart = plane.folder().join("chart");
    std::fs::create_dir_all(chart.join("templates"))?;
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: tiny\nversion: 1.0.0\n")?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n";
    std::fs::write(chart.join("templates/map.yaml"), map)?;

    let chart = chart.display().to_string();
    plane.helm(["install", "tried", &chart, "--namespace", "helm", "--create-namespace"]).await?;

    assert_eq!(plane.kubectl("-n helm get configmap tried -o name".split(' ')).await?, "configmap/tried\n");
    Ok(())
}

#[tokio::test]
async fn a_removed_namespace_goes_with_all_that_is_in_it() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let client = plane.client().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    create(&namespaces, "doomed").await?;
    let maps: Api<ConfigMap> = Api::namespaced(client, "doomed");
    create(&maps, "inside").await?;

    namespaces.delete("doomed", &DeleteParams::default()).await?;

    until("the namespace to go", SOON, async || gone(namespaces.get_opt("doomed").await?)).await?;
    assert!(maps.get_opt("inside").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_removed_owner_owned_is_removed() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let client = plane.client().await?;
    create(&Api::<Namespace>::all(client.clone()), "owners").await?;
    let maps: Api<ConfigMap> = Api::namespaced(client, "owners");
    let owner = create(&maps, "owner").await?;
    let owned = ObjectMeta {
        name: Some("owned".to_owned()),
        owner_references: Some(vec![owner.owner_ref(&()).context("the owner has a UID")?]),
        ..Default::default()
    };
    maps.create(&PostParams::default(), &ConfigMap { metadata: owned, ..Default::default() }).await?;

    maps.delete("owner", &DeleteParams::default()).await?;

    until("the owned to go", SOON, async || gone(maps.get_opt("owned").await?)).await
}

#[tokio::test]
async fn a_service_account_may_only_do_what_a_role_lets_it() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    create(&Api::<Namespace>::all(plane.client().await?), "roles").await?;
    create(&Api::<ServiceAccount>::namespaced(plane.client().await?, "roles"), "reader").await?;
    let reader = plane.client_for(&plane.kubeconfig_for("roles", "reader").await?).await?;
    let maps: Api<ConfigMap> = Api::namespaced(reader.clone(), "roles");
    let secrets: Api<Secret> = Api::namespaced(reader, "roles");
    assert_eq!(refusal(maps.list(&ListParams::default()).await), Some(403));

    plane.kubectl("-n roles create role reader --verb=list --resource=configmaps".split(' ')).await?;
    plane.kubectl("-n roles create rolebinding reader --role=reader --serviceaccount=roles:reader".split(' ')).await?;

    until("the role to be heard of", SOON, async || Ok(maps.list(&ListParams::default()).await?)).await?;
    assert_eq!(refusal(secrets.list(&ListParams::default()).await), Some(403));
    Ok(())
}

#[tokio::test]
async fn a_stranger_is_not_let_in() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let admins = std::fs::read_to_string(plane.kubeconfig())?;
    let token =
        admins.lines().find(|line| line.trim().starts_with("token:")).context("the administrator has a token")?;
    let forged = plane.folder().join("forged.kubeconfig");
    std::fs::write(&forged, admins.replace(token, "    token: \"guessed\""))?;
    let anonymous = plane.folder().join("anonymous.kubeconfig");
    std::fs::write(&anonymous, admins.replace(token, ""))?;

    for stranger in [forged, anonymous] {
        let namespaces: Api<Namespace> = Api::all(plane.client_for(&stranger).await?);
        assert_eq!(refusal(namespaces.list(&ListParams::default()).await), Some(401), "{}", stranger.display());
    }
    Ok(())
}

#[tokio::test]
async fn every_write_is_in_the_audit_log() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let client = plane.client().await?;
    create(&Api::<Namespace>::all(client.clone()), "audited").await?;
    let leases: Api<Lease> = Api::namespaced(client, "audited");
    let mark = plane.audit_mark()?;

    create(&leases, "counted").await?;
    leases.get("counted").await?;
    assert_eq!(refusal(create(&leases, "counted").await), Some(409));

    let of_ours = || -> Result<Vec<(String, u16, bool)>> {
        let ours =
            plane.audit_since(mark)?.into_iter().filter(|entry| entry.namespace == "audited" && entry.user == ADMIN);
        Ok(ours
            .map(|entry| (format!("{} {}/{}", entry.verb, entry.resource, entry.name), entry.code, entry.writes()))
            .collect())
    };
    let expected = [
        ("create leases/counted".to_owned(), 201, true),
        ("get leases/counted".to_owned(), 200, false),
        ("create leases/counted".to_owned(), 409, true),
    ];
    until("the three requests to be logged", SOON, async || {
        let seen = of_ours()?;
        ensure!(seen == expected, "{seen:?}");
        Ok(())
    })
    .await
}

/// A control plane of its own, since the others would notice.
#[tokio::test]
async fn the_api_server_forgets_nothing_when_it_is_killed() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let namespaces: Api<Namespace> = Api::all(plane.client().await?);
    create(&namespaces, "kept").await?;

    plane.stop_api_server()?;
    assert!(namespaces.get("kept").await.is_err(), "a killed server answers");
    plane.start_api_server().await?;

    namespaces.get("kept").await?;
    plane.restart_api_server().await?;
    namespaces.delete("kept", &DeleteParams::default()).await?;
    let look = async || gone(namespaces.get_opt("kept").await?);
    until("the controllers to be back, and the namespace to go", SOON, look).await
}

/// A control plane of its own, since the others would notice.
#[tokio::test]
async fn what_came_after_a_backup_is_undone_when_it_is_restored() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let namespaces: Api<Namespace> = Api::all(plane.client().await?);
    let version = |namespace: Namespace| -> Result<u64> {
        Ok(namespace.metadata.resource_version.context("a version")?.parse::<u64>()?)
    };
    create(&namespaces, "before").await?;
    let backup = plane.back_up()?;
    let maps: Api<ConfigMap> = Api::namespaced(plane.client().await?, "before");
    for number in 0..60 {
        create(&maps, &format!("map-{number}")).await?;
    }
    let after = version(create(&namespaces, "after").await?)?;

    plane.restore(&backup).await?;

    let gone = namespaces.get_opt("after").await?;
    assert!(gone.is_none() && namespaces.get_opt("before").await?.is_some(), "{gone:?}");
    let anew = create(&namespaces, "anew").await?;
    assert!(version(anew.clone())? < after, "versions go on from the backup's: {anew:?}, and {after} before");
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await?, "anew");
    until("the controllers to be back", SOON, async || Ok(accounts.get("default").await?)).await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_is_cut_for_its_own_client_alone() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let relay = plane.relay().await?;
    let by_relay: Api<Namespace> = Api::all(plane.client_for(relay.kubeconfig()).await?);
    let direct: Api<Namespace> = Api::all(plane.client().await?);
    by_relay.get("default").await?;

    relay.set(Way::Broken);
    let told = by_relay.get("default").await;
    assert!(told.is_err() && refusal(told).is_none(), "it is told, and not by the server");
    direct.get("default").await?;

    relay.set(Way::Silent);
    let mut asked = std::pin::pin!(by_relay.get("default"));
    for _ in 0..5 {
        let answered = futures::future::poll_immediate(&mut asked).await;
        assert!(answered.is_none(), "{answered:?}");
        direct.get("default").await?;
    }
    relay.set(Way::Open);
    asked.await?;
    Ok(())
}

#[tokio::test]
async fn nothing_outlives_a_killed_owner() -> Result<()> {
    #[derive(Deserialize)]
    struct Held {
        processes: Vec<u32>,
        folder: PathBuf,
    }
    let mut owner = Command::new(env!("CARGO_BIN_EXE_rig"));
    let mut owner = owner.arg("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(owner.stdout.take().context("piped")?).read_line(&mut line)?;
    let held: Held = serde_json::from_str(&line)?;
    assert_eq!(held.processes.len(), 3);
    assert!(held.processes.iter().all(|id| alive(*id)) && held.folder.is_dir());

    owner.kill()?;
    owner.wait()?;

    until("the processes and the folder to go", SOON, async || {
        let left: Vec<_> = held.processes.iter().filter(|id| alive(**id)).collect();
        ensure!(left.is_empty() && !held.folder.exists(), "{left:?} run, folder: {}", held.folder.exists());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_leashed_program_keeps_its_environment_log_and_status() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let log = plane.folder().join("leashed.log");
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo "$GIVEN ${HOME-none}"; echo "$0" >&2; exit 7"#, "two words"]);
    command.env("GIVEN", "given").env_remove("HOME");
    let status = Leashed::spawn(&command, &log)?.wait()?;
    assert_eq!(status.code(), Some(7));
    assert_eq!(std::fs::read_to_string(&log)?, "given none\ntwo words\n");
    Ok(())
}

/// Stands in for the operator: says what it was given, leaves a child behind, and takes its leave when asked to.
const STAND_IN: &str = r#"#!/bin/sh
trap 'echo "farewell"; exit 3' TERM
(trap 'echo "from the child too"; exit' TERM; tail -f /dev/null & wait) &
echo "$@; $GIVEN; $KUBECONFIG"
wait
"#;

#[tokio::test]
async fn an_operator_is_told_who_it_is_and_when_to_end() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let program = plane.folder().join("stand-in");
    std::fs::write(&program, STAND_IN)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700))?;
    let builder = Operator::builder(plane, &program).arguments(["--flag"]).environment([("GIVEN", "given")]);
    let said = async |operator: &Operator| {
        let spoken = async || operator.log().lines().next().map(str::to_owned).context("it has said nothing");
        until("the operator to speak", SOON, spoken).await
    };

    let asked = builder.clone().log_file(plane.folder().join("asked.log")).start()?;
    let expected = format!("run --log-format=text --flag; given; {}", plane.kubeconfig().display());
    assert_eq!(said(&asked).await?, expected);
    let log = asked.log_file().to_owned();
    let stopped = asked.stop(SOON).await?;
    assert_eq!(stopped.status.code(), Some(3));
    assert!(stopped.took < SOON);
    until("it and what it left behind to take their leave", SOON, async || {
        let log = std::fs::read_to_string(&log)?;
        ensure!(log == format!("{expected}\nfarewell\nfrom the child too\n"), "{log}");
        Ok(())
    })
    .await?;

    let killed = builder.log_file(plane.folder().join("killed.log")).start()?;
    said(&killed).await?;
    let (id, log) = (killed.id(), killed.log_file().to_owned());
    killed.kill()?;
    assert!(!alive(id) && !std::fs::read_to_string(log)?.contains("farewell"));
    Ok(())
}

#[tokio::test]
async fn a_wait_in_vain_says_what_was_seen_last() {
    let started = Instant::now();
    let error = until("Godot", Duration::from_millis(250), async || -> Result<()> { anyhow::bail!("a tree") }).await;
    let error = error.expect_err("nobody came").to_string();
    assert_eq!(error, "waited 0.2 s for Godot; last seen: a tree");
    assert!(started.elapsed() < SOON);
}

async fn create<K>(api: &Api<K>, name: &str) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = ()> + Default + Clone + serde::Serialize + serde::de::DeserializeOwned + Debug,
{
    let mut object = K::default();
    object.meta_mut().name = Some(name.to_owned());
    api.create(&PostParams::default(), &object).await
}

fn refusal<T>(answer: Result<T, kube::Error>) -> Option<u16> {
    match answer {
        Err(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// Whether a process is there, or a zombie of it; the leash leaves none.
fn alive(id: u32) -> bool {
    Command::new("sh").args(["-c", &format!("kill -0 {id} 2>&-")]).status().is_ok_and(|status| status.success())
}

fn gone<T: Debug>(found: Option<T>) -> Result<()> {
    ensure!(found.is_none(), "it is still there: {found:?}");
    Ok(())
}
