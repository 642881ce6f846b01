//! What the operator says when it can't start: one line that tells what is wrong and what to do.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use ses_operator_rig::aws::{Account, Aws, Fault, FaultKind, Service};
use ses_operator_rig::control_plane::ControlPlane;

use crate::cluster::cluster;
use crate::world::{PROGRAM, REGION};

/// `ses-operator run` with nothing in its environment but this, and these arguments.
async fn run(environment: Vec<(String, String)>, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(PROGRAM);
    command.arg("run").args(arguments).env_clear().envs(environment);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// Tries to start, and checks that it ends with one line of these words.
async fn ends_with(environment: Vec<(String, String)>, arguments: &[&str], words: &[&str]) -> Result<()> {
    let output = run(environment, arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("ses-operator: ")).collect();
    ensure!(output.status.code() == Some(1), "it ended with {}: {said}", output.status);
    let [line] = last[..] else { anyhow::bail!("not one line: {said}") };
    let missing: Vec<_> = words.iter().filter(|word| !line.contains(**word)).collect();
    ensure!(missing.is_empty(), "without {missing:?}: {line}");
    // Whatever is logged besides is not an error's back trace.
    ensure!(said.lines().count() <= 3, "{said}");
    Ok(())
}

/// An environment in which it starts.
async fn sound(plane: &ControlPlane, account: &Account) -> Result<Vec<(String, String)>> {
    let kubeconfig = plane.kubeconfig().display().to_string();
    Ok([account.environment(REGION), vec![("KUBECONFIG".to_owned(), kubeconfig)]].concat())
}

fn without(environment: &[(String, String)], names: &[&str]) -> Vec<(String, String)> {
    environment.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect()
}

fn with(environment: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let mut changed = without(environment, &[name]);
    changed.push((name.to_owned(), value.to_owned()));
    changed
}

#[tokio::test]
async fn without_a_cluster() -> Result<()> {
    let plane = cluster().await?;
    let account = Aws::shared().await?.account();
    let environment = sound(plane, &account).await?;
    let nowhere = with(&without(&environment, &["KUBECONFIG"]), "HOME", "/nonexistent");
    ends_with(nowhere, &[], &["no cluster was found", "set KUBECONFIG", "or run in a pod"]).await?;

    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let config = std::fs::read_to_string(plane.kubeconfig())?;
    let closed = plane.folder().join("closed.kubeconfig");
    std::fs::write(&closed, config.replace(&plane.server(), &format!("https://127.0.0.1:{port}")))?;
    let closed = with(&environment, "KUBECONFIG", &closed.display().to_string());
    ends_with(closed, &[], &["can't list SesDomains", "can't be reached", "check the address and the network"]).await
}

#[tokio::test]
async fn without_permission_in_the_cluster() -> Result<()> {
    let plane = cluster().await?;
    let account = Aws::shared().await?.account();
    plane.kubectl("-n default create serviceaccount nobody".split(' ')).await?;
    let nobody = plane.kubeconfig_for("default", "nobody").await?.display().to_string();
    let environment = with(&sound(plane, &account).await?, "KUBECONFIG", &nobody);
    let words =
        ["can't list SesDomains", "cannot list resource", "grant the operator's ServiceAccount the chart's RBAC"];
    ends_with(environment, &[], &words).await
}

/// A control plane of its own, since the others have the definition.
#[tokio::test]
async fn without_the_custom_resource_definition() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let account = Aws::shared().await?.account();
    let environment = sound(&plane, &account).await?;
    let words = ["the CustomResourceDefinition of SesDomain is not installed", "ses-operator crd | kubectl apply -f -"];
    ends_with(environment, &[], &words).await
}

#[tokio::test]
async fn without_a_region_or_credentials_or_an_answer_of_aws() -> Result<()> {
    let plane = cluster().await?;
    let account = Aws::shared().await?.account();
    let environment = sound(plane, &account).await?;
    let no_region = without(&environment, &["AWS_REGION"]);
    ends_with(no_region, &[], &["no AWS Region is configured", "set --region, or AWS_REGION"]).await?;

    let no_keys = without(&environment, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    ends_with(no_keys, &[], &["no AWS credentials found", "EKS Pod Identity or IRSA"]).await?;

    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let closed = with(&environment, "AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    ends_with(closed, &[], &["AWS STS in eu-west-1 cannot be reached", "HTTPS_PROXY and NO_PROXY"]).await?;

    account.fault(Fault::new(Service::Sts, FaultKind::Denied)).await?;
    ends_with(environment, &[], &["AWS refuses sts:GetCallerIdentity", "check the operator's credentials"]).await
}

#[tokio::test]
async fn with_arguments_that_can_not_be() -> Result<()> {
    let plane = cluster().await?;
    let account = Aws::shared().await?.account();
    let environment = sound(plane, &account).await?;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = taken.local_addr()?.to_string();
    let words = ["can't listen on", &address, "choose another --bind-address"];
    ends_with(environment.clone(), &["--bind-address", &address], &words).await?;
    ends_with(environment.clone(), &["--log-level", "a=b=c"], &["--log-level", "write it as info"]).await?;

    let output = run(environment, &["--no-such-flag"]).await?;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).context("text")?;
    assert!(said.contains("unexpected argument '--no-such-flag'"), "{said}");
    Ok(())
}
