//! The control API's HTTP.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Speaks to the control API of one account.
#[derive(Clone, Debug)]
pub(super) struct Control {
    base: String,
    http: Client,
}

impl Control {
    pub(super) fn new(endpoint: &str, account: &str) -> Self {
        // Whoever runs the tests may live behind a proxy, which knows nothing of our loopback.
        let http = Client::builder().no_proxy().build().unwrap_or_default();
        Self { base: format!("{endpoint}/rig/{account}"), http }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(super) async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    pub(super) async fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn delete<A: DeserializeOwned>(&self, path: &str) -> Result<A> {
        self.ask(Method::DELETE, path, None::<&()>).await
    }

    async fn ask<A: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<A> {
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.context("the AWS of the rig does not answer")?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "the AWS of the rig refused: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("{path} answered {text}"))
    }
}
