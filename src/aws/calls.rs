//! What every call to AWS has in common.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use super::{CALL_TIMEOUT, errors};
use crate::cloud::{CloudError, ErrorKind};
use crate::leadership::WritePermit;
use crate::telemetry::metrics::Metrics;

/// The one way by which calls are sent.
///
/// An operation is named as IAM names it, `ses:CreateEmailIdentity`; the object is what the call is for.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    permit: WritePermit,
    metrics: Arc<Metrics>,
}

impl Calls {
    pub(super) fn new(permit: WritePermit, metrics: Arc<Metrics>) -> Self {
        Self { permit, metrics }
    }

    /// A call that changes nothing.
    pub(crate) async fn read<T, E>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.send(operation, object, call).await
    }

    /// A call that changes something: it is sent only while the permit outlasts its timeout.
    pub(crate) async fn write<T, E>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // A future does nothing before it is awaited, so it is not too late to ask.
        if self.permit.lasts_for(CALL_TIMEOUT) {
            return self.send(operation, object, call).await;
        }
        let error = CloudError {
            kind: ErrorKind::NotLeading,
            operation,
            object: object.to_owned(),
            message: "not sent: this replica does not hold the lease for long enough".to_owned(),
        };
        self.note(operation, object, Some(&error), Duration::ZERO);
        Err(error)
    }

    async fn send<T, E>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl Future<Output = Result<T, SdkError<E>>>,
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
