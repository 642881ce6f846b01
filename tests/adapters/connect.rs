//! Configuration and credentials as the SDK finds them, and what is said when there are none.
//!
//! The environment is the process's, so each of these starts a process of its own: this program, for one test of it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use ses_operator::aws::Aws;
use ses_operator::leadership::WritePermit;
use ses_operator::telemetry::metrics::Metrics;
use ses_operator_rig::aws::{Account, Fault, FaultKind, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::common::REGION;

const MARK: &str = "became of it: ";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test]
#[ignore = "the other tests start it, in environments of their making"]
async fn in_this_environment() {
    let connected = async {
        let aws =
            Aws::connect(None, WritePermit::alone(), Arc::new(Metrics::default()), crate::common::unlimited()).await?;
        Ok::<_, ses_operator::aws::ConnectError>(format!("{} in {}", aws.account().await?, aws.region()))
    };
    println!("\n{MARK}{}", connected.await.unwrap_or_else(|error| error.to_string()));
}

/// What becomes of a connection in that environment.
async fn connect_in(environment: &[(String, String)]) -> Result<String> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", "connect::in_this_environment", "--ignored", "--nocapture"])
        .env_clear()
        .envs(environment.iter().cloned())
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let told = text.lines().find_map(|line| line.strip_prefix(MARK));
    told.map(str::to_owned).with_context(|| format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

async fn account() -> Result<Account> {
    Ok(ses_operator_rig::aws::Aws::shared().await?.account())
}

/// The account's environment, with some variables set anew (or removed, by an empty value).
fn environment(account: &Account, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut environment = account.environment(REGION);
    environment.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let set = changes.iter().filter(|(_, value)| !value.is_empty());
    environment.extend(set.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    environment
}

const NO_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

#[tokio::test]
async fn region_keys_and_endpoint_come_from_the_environment() -> Result<()> {
    let account = account().await?;
    let told = connect_in(&environment(&account, &[])).await?;
    assert_eq!(told, format!("{} in {REGION}", account.id()));
    let only_sts = [("AWS_ENDPOINT_URL", NOWHERE), ("AWS_ENDPOINT_URL_STS", &endpoint(&account))];
    let told = connect_in(&environment(&account, &only_sts)).await?;
    assert_eq!(told, format!("{} in {REGION}", account.id()));
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_told_in_one_line() -> Result<()> {
    let account = account().await?;
    let told = connect_in(&environment(&account, &[("AWS_REGION", "")])).await?;
    assert_eq!(told, "no AWS Region is configured: set --region, or AWS_REGION in the environment");
    let told = connect_in(&environment(&account, &NO_KEYS)).await?;
    assert_eq!(
        told,
        "no AWS credentials found: give the operator's service account a role (EKS Pod Identity or IRSA), or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    );
    let told = connect_in(&environment(&account, &[("AWS_ENDPOINT_URL", NOWHERE)])).await?;
    assert!(told.starts_with("AWS STS in eu-west-1 cannot be reached: "), "{told}");
    assert!(told.contains("refused"), "{told}");
    account.fault(Fault::new(Service::Sts, FaultKind::Denied)).await?;
    let told = connect_in(&environment(&account, &[])).await?;
    assert!(told.starts_with("AWS refuses sts:GetCallerIdentity: "), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_role_is_assumed_with_the_service_accounts_token() -> Result<()> {
    let account = account().await?;
    let token = TokenFile::new(&account)?;
    let role = format!("arn:aws:iam::{}:role/ses-operator", account.id());
    let with_role = |file: &str| {
        let changes = [&NO_KEYS[..], &[("AWS_ROLE_ARN", &role), ("AWS_WEB_IDENTITY_TOKEN_FILE", file)]].concat();
        environment(&account, &changes)
    };
    let told = connect_in(&with_role(&token.path())).await?;
    assert_eq!(told, format!("{} in {REGION}", account.id()));

    let told = connect_in(&with_role("/nowhere/token")).await?;
    assert!(told.starts_with("the AWS credentials cannot be loaded: "), "{told}");
    assert!(told.contains("AWS_WEB_IDENTITY_TOKEN_FILE") && told.contains("No such file"), "{told}");
    let denied = Fault::new(Service::Sts, FaultKind::Denied).operation("AssumeRoleWithWebIdentity");
    account.fault(denied).await?;
    let told = connect_in(&with_role(&token.path())).await?;
    assert!(told.starts_with("the AWS credentials cannot be loaded: the role cannot be assumed: "), "{told}");
    assert!(told.contains("(AccessDenied)"), "{told}");
    Ok(())
}

#[tokio::test]
async fn pod_identity_hands_out_credentials_for_its_token() -> Result<()> {
    let account = account().await?;
    let keys = account.environment(REGION).into_iter().collect::<std::collections::BTreeMap<_, _>>();
    let token = TokenFile::new(&account)?;
    let body = format!(
        r#"{{"AccessKeyId":"{}","SecretAccessKey":"secret","Token":"t","Expiration":"2999-01-01T00:00:00Z"}}"#,
        keys["AWS_ACCESS_KEY_ID"]
    );
    let (agent, mut asked) = listen(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await?;
    let url = format!("http://{agent}/v1/credentials");
    let changes = [
        &NO_KEYS[..],
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token.path())],
    ];
    let told = connect_in(&environment(&account, &changes.concat())).await?;
    assert_eq!(told, format!("{} in {REGION}", account.id()));
    assert!(asked.recv().await.context("nobody asked")?.to_lowercase().contains("authorization: a token"));
    Ok(())
}

#[tokio::test]
async fn aws_is_reached_through_the_proxy_that_the_environment_names() -> Result<()> {
    let account = account().await?;
    let (proxy, mut asked) = listen("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned()).await?;
    let url = format!("http://{proxy}");
    let told = connect_in(&environment(&account, &[("AWS_ENDPOINT_URL", ""), ("HTTPS_PROXY", &url)])).await?;
    assert!(
        asked.recv().await.context("nobody asked")?.starts_with("CONNECT sts.eu-west-1.amazonaws.com:443 "),
        "{told}"
    );
    assert!(told.starts_with("AWS STS in eu-west-1 cannot be reached: "), "{told}");

    for (no_proxy, direct) in [("", false), ("127.0.0.1", true)] {
        let changes = [("HTTP_PROXY", NOWHERE), ("NO_PROXY", no_proxy)];
        let told = connect_in(&environment(&account, &changes)).await?;
        assert_eq!(told == format!("{} in {REGION}", account.id()), direct, "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn fips_and_dual_stack_endpoints_are_used_when_asked_for() -> Result<()> {
    let account = account().await?;
    for (setting, host) in [
        ("AWS_USE_FIPS_ENDPOINT", "sts-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "sts.us-east-1.api.aws"),
    ] {
        let (proxy, mut asked) = listen("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned()).await?;
        let url = format!("http://{proxy}");
        let changes = [("AWS_ENDPOINT_URL", ""), ("HTTPS_PROXY", &url), (setting, "true"), ("AWS_REGION", "us-east-1")];
        connect_in(&environment(&account, &changes)).await?;
        let asked = asked.recv().await.context("nobody asked")?;
        assert!(asked.starts_with(&format!("CONNECT {host}:443 ")), "{asked}");
    }
    Ok(())
}

fn endpoint(account: &Account) -> String {
    let environment = account.environment(REGION);
    environment.into_iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").map(|(_, url)| url).unwrap_or_default()
}

/// Answers all requests alike, and tells what they were.
async fn listen(answer: String) -> Result<(String, UnboundedReceiver<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let (tell, asked) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await?;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                anyhow::ensure!(stream.read_buf(&mut request).await? > 0, "cut off");
            }
            tell.send(String::from_utf8(request)?)?;
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
        }
        #[expect(unreachable_code, reason = "it names the type of what ends the loop")]
        Ok::<(), anyhow::Error>(())
    });
    Ok((address, asked))
}

/// A token as the kubelet projects it.
struct TokenFile(PathBuf);

impl TokenFile {
    fn new(account: &Account) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ses-operator-token-{}-{}", std::process::id(), account.id()));
        std::fs::write(&path, "a token")?;
        Ok(Self(path))
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
