//! Step three: carry out the changes in their order, and stop at the first failure.

use crate::cloud::{CloudError, ErrorKind};
use crate::dns::snapshot::Dns;
use crate::dns::writer::Accepted;
use crate::dns::{DnsProvider, ZoneId};
use crate::reconcile::plan::Change;
use crate::reconcile::subject::Subject;
use crate::ses::IdentityService;
use crate::ses::snapshot::Identities;

/// What was carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The changes that were made, in their order.
    pub made: Vec<Change>,
    /// The changes that DNS has accepted, each with its zone.
    pub accepted: Vec<(ZoneId, Accepted)>,
    /// The failure that ended it.
    pub failure: Option<CloudError>,
}

/// Carries out the changes. `before` are those that were made earlier in this reconcile: to make one of them again would be
/// to believe a read that is older than it.
pub async fn apply<S: IdentityService, D: DnsProvider>(
    subject: &Subject<'_>,
    changes: &[Change],
    before: &[Change],
    identities: &Identities<S>,
    dns: &Dns<D>,
) -> Applied {
    let key = subject.key();
    let mut applied = Applied::default();
    for change in changes {
        if before.contains(change) {
            applied.failure = Some(CloudError {
                kind: ErrorKind::Busy,
                operation: "ses:GetEmailIdentity",
                object: subject.domain().to_string(),
                message: "the answer shows nothing yet of what was changed a moment ago".to_owned(),
            });
            break;
        }
        let answer = match change {
            Change::CreateIdentity(new) => identities.create(&key, new).await,
            Change::ChangeIdentity { change, .. } => identities.change(&key, change).await,
            Change::DeleteIdentity => identities.delete(&key).await,
            Change::ChangeRecords { zone, changes } => match dns.change(zone, changes).await {
                Ok(accepted) => {
                    applied.accepted.push((zone.clone(), accepted));
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        match answer {
            Ok(()) => applied.made.push(change.clone()),
            Err(error) => {
                // Whoever was overtaken looks again at everything.
                if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) {
                    identities.forget(&key);
                    dns.forget(&subject.domain()).await;
                }
                applied.failure = Some(error);
                break;
            }
        }
    }
    applied
}
