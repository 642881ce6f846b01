//! The watch: it fills the store.

use std::pin::pin;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher;

use super::store::{Form, Sighting, Store};
use crate::api::SesDomain;

/// So many resources are listed with one request: a page is held in memory twice, as text and parsed.
const PAGE: u32 = 100;

/// Watches for ever, takes in what is seen and tells of it.
///
/// kube's watcher goes on from the last version that it was shown. That is not enough after an interruption: should etcd
/// have been restored meanwhile, nothing is shown until versions have passed that one, and never what was changed back. So
/// it begins anew, with a listing, and it does so, too, when an answer to a request shows that something was missed.
pub(super) async fn watch<F: Form>(domains: &Api<SesDomain>, store: &Store<F>, mut sees: impl FnMut(Sighting)) {
    let mut backoff = watcher::DefaultBackoff::default();
    loop {
        // Not `any_semantic`: such a listing may be older than what is known, and has all resources on one page.
        let config = watcher::Config::default().page_size(PAGE);
        let mut events = pin!(watcher(domains.clone(), config));
        let interrupted = loop {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Ok(event) => store.observe(event).into_iter().for_each(&mut sees),
                    Err(error) => break Some(error),
                },
                () = store.contradicted() => break None,
            }
        };
        match interrupted {
            Some(error) => {
                tracing::warn!("the watch was interrupted: {error}");
                tokio::time::sleep(backoff.next().unwrap_or_default()).await;
            }
            None => {
                tracing::warn!("the API server holds another version than the watch has shown: all are listed anew")
            }
        }
    }
}
