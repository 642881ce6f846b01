//! What every call to AWS has in common.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use super::{CALL_TIMEOUT, errors};
use crate::cloud::{AsOf, CloudError, ErrorKind, Region};
use crate::leadership::WritePermit;
use crate::quota::Caller;
use crate::quota::limiters::Limiters;
use crate::telemetry::metrics::Metrics;

/// The one way by which calls are sent.
///
/// An operation is named as IAM names it, `ses:CreateEmailIdentity`; the object is what the call is for.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    permit: WritePermit,
    metrics: Arc<Metrics>,
    limiters: Limiters,
    region: Option<Region>,
}

impl Calls {
    pub(super) fn new(permit: WritePermit, metrics: Arc<Metrics>, limiters: Limiters) -> Self {
        Self { permit, metrics, limiters, region: None }
    }

    /// The same, for the calls to SES in a Region: each has quotas of its own.
    pub(crate) fn in_region(&self, region: &Region) -> Self {
        Self { region: Some(region.clone()), ..self.clone() }
    }

    /// A call that changes nothing. `call` makes it, and may be asked to make it again.
    pub(crate) async fn read<T, E, F>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Fn() -> F,
    ) -> AsOf<Result<T, CloudError>>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.in_turn(operation, || self.send(operation, object, Box::pin(call()))).await
    }

    /// A call that changes something: it is sent only while the permit outlasts its timeout.
    pub(crate) async fn write<T, E, F>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Fn() -> F,
    ) -> AsOf<Result<T, CloudError>>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let send = || async {
            // After the wait for its turn, which may have outlasted the lease.
            if self.permit.lasts_for(CALL_TIMEOUT) {
                return self.send(operation, object, Box::pin(call())).await;
            }
            let error = CloudError {
                kind: ErrorKind::NotLeading,
                operation,
                object: object.to_owned(),
                message: "not sent: this replica does not hold the lease for long enough".to_owned(),
            };
            self.note(operation, object, Some(&error), Duration::ZERO);
            Err(error)
        };
        self.in_turn(operation, send).await
    }

    /// Sends when the quota that the operation spends from has a turn for the caller.
    async fn in_turn<T, F>(&self, operation: &'static str, send: impl Fn() -> F) -> AsOf<Result<T, CloudError>>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let limiter = match (operation.split_once(':'), &self.region) {
            (Some(("ses", _)), Some(region)) => self.limiters.ses(region, operation),
            (Some(("route53", _)), _) => self.limiters.route53(),
            _ => return AsOf { time: self.limiters.now(), answer: send().await },
        };
        let caller = Caller::current();
        let send = |waited| {
            self.metrics.waited(caller.class, waited);
            send()
        };
        limiter.send(&caller, send).await
    }

    /// The call is boxed: it takes kilobytes, which would else be part of every future around this one, and several times.
    async fn send<T, E>(
        &self,
        operation: &'static str,
        object: &str,
        call: Pin<Box<impl Future<Output = Result<T, SdkError<E>>>>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let sent = Instant::now();
        let answer = call.await.map_err(|error| errors::cloud_error(operation, object, &error));
        self.note(operation, object, answer.as_ref().err(), sent.elapsed());
        answer
    }

    fn note(&self, operation: &'static str, object: &str, error: Option<&CloudError>, took: Duration) {
        let outcome = error.map_or("ok", |error| error.kind.as_label());
        let error = error.map(|error| error.message.as_str());
        tracing::debug!(operation, object, outcome, error, took = ?took, "AWS call");
        let (service, name) = operation.split_once(':').unwrap_or(("aws", operation));
        self.metrics.aws_call(service, name, outcome, took);
    }
}
