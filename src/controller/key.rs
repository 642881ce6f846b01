//! The name of a resource, as everything that waits for it or waits on it holds it.

use std::fmt;
use std::sync::Arc;

use crate::api::SesDomain;

/// A SesDomain's namespace and name. Clones share their text: at ten thousand resources the store, the alarms and the queue
/// hold the same ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of a name in a namespace.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of a resource.
    pub fn of(resource: &SesDomain) -> Self {
        let metadata = &resource.metadata;
        Self::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
