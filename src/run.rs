//! `ses-operator run`: options → clients → controller, until SIGTERM or a lost lease.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{self, Either};
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::aws::Aws;
use crate::cli::RunOptions;
use crate::clock::Clock;
use crate::cloud::Region;
use crate::controller::queue::Queue;
use crate::controller::store::Store;
use crate::controller::{self, Controller};
use crate::dns::public::snapshot::PublicNames;
use crate::dns::route53::Route53;
use crate::dns::snapshot::Dns;
use crate::kubernetes;
use crate::leadership::WritePermit;
use crate::leadership::lease::{Lease, LeaseName};
use crate::quota::limiters::Limiters;
use crate::reconcile::Reconciler;
use crate::reconcile::subject::Settings;
use crate::ses::sesv2::SesV2;
use crate::ses::snapshot::Identities;
use crate::start_error::StartError;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{logs, server};

/// After SIGTERM reconciles that are under way may go on for so long.
const GRACE: Duration = Duration::from_secs(8);

/// Runs the operator until it is told to stop.
///
/// # Errors
/// When it can't start, or has lost its lease.
pub fn run(options: RunOptions) -> Result<(), StartError> {
    logs::install(options.log_format, &options.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| StartError::new(format!("can't start the runtime: {error}")))?;
    let outcome = runtime.block_on(operate(options));
    // What still runs is a poll or a probe; a reconcile has had its grace.
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

async fn operate(options: RunOptions) -> Result<(), StartError> {
    let stop = stop_signal()?;
    let (told, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping");
        let _ = told.send(true);
    });
    match future::select(Box::pin(start(&options, stopped.clone())), Box::pin(is_told(stopped.clone()))).await {
        Either::Left((outcome, _)) => outcome,
        // The controller heard it too, and gets its grace.
        Either::Right(((), running)) => tokio::time::timeout(GRACE, running).await.unwrap_or(Ok(())),
    }
}

async fn start(options: &RunOptions, stopped: tokio::sync::watch::Receiver<bool>) -> Result<(), StartError> {
    let clock = clock().await?;
    let metrics = Arc::new(Metrics::default());
    let client = kubernetes::connect().await?;
    let domains = kubernetes::domains(client.clone(), options.namespace.as_deref());
    kubernetes::check_access(&domains).await?;
    let permit = if options.leader_elect { WritePermit::none() } else { WritePermit::alone() };
    let limiters = Limiters::new(options.rates(), clock.clone());
    metrics.show(limiters.clone());
    let aws = Aws::connect(options.scope.region.as_deref(), permit.clone(), Arc::clone(&metrics), limiters)
        .await
        .map_err(|error| StartError::new(error.to_string()))?;
    let account = aws.account().await.map_err(|error| StartError::new(error.to_string()))?;
    let settings = settings(options, &client, account, aws.region().clone()).await?;
    tracing::info!(account = settings.account, region = %settings.default_region, cluster = settings.cluster_id, "connected");

    let (store, queue) = (Store::default(), Queue::default());
    let listener = server::bind(options.bind_address).await?;
    let state = {
        let (store, queue) = (store.clone(), queue.clone());
        move || (store.census(), queue.load())
    };
    let serving = tokio::spawn(server::serve(listener, Arc::clone(&metrics), state));
    let reconciler = Arc::new(Reconciler {
        identities: Identities::new(SesV2::new(&aws, &settings.account), clock.clone()),
        dns: Dns::new(Route53::new(&aws), clock.clone()),
        public: PublicNames::new(options.scope.resolver()?, clock.clone()),
        clock: clock.clone(),
        settings,
    });
    let controller = Controller { client: client.clone(), domains, reconciler, store, queue, metrics, clock };
    let work = controller::run(controller, is_told(stopped.clone()));
    let outcome = if options.leader_elect {
        let name = LeaseName::find(&client, options.lease_namespace.clone());
        Lease::new(client, name, permit).lead(work, is_told(stopped)).await
    } else {
        work.await;
        Ok(())
    };
    serving.abort();
    outcome
}

async fn settings(
    options: &RunOptions,
    client: &Client,
    account: String,
    default_region: Region,
) -> Result<Settings, StartError> {
    let cluster_id = match &options.scope.cluster_id {
        Some(id) => id.clone(),
        None => kubernetes::cluster_id(client).await?,
    };
    Ok(options.scope.settings(account, default_region, cluster_id))
}

/// The clock of this process.
#[cfg(not(feature = "simulated-time"))]
pub(crate) async fn clock() -> Result<Clock, StartError> {
    Ok(Clock::system())
}

#[cfg(feature = "simulated-time")]
pub(crate) async fn clock() -> Result<Clock, StartError> {
    use crate::clock::simulated::{CLOCK_URL, RigClock};
    let Ok(url) = std::env::var(CLOCK_URL) else { return Ok(Clock::system()) };
    let rig = RigClock::follow(url).await.map_err(|error| StartError::new(format!("{CLOCK_URL}: {error}")))?;
    Ok(Clock::following(rig))
}

fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let install = |kind| signal(kind).map_err(|error| StartError::new(format!("can't listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (install(SignalKind::terminate())?, install(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn is_told(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // The sender lives until it has told.
    let _ = stopped.wait_for(|told| *told).await;
}
