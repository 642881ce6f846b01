//! On whose behalf a call is made, and how urgent it is.

use std::future::Future;
use std::sync::Arc;

/// How urgent work is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What a user just made or changed, or asked to be looked at.
    Changed,
    /// What a user wants gone.
    Deletion,
    /// What somebody else changed behind our back, and every other write.
    Repair,
    /// Looks at what SES or Route 53 is still busy with.
    Pending,
    /// Looks at what was well the last time.
    Sweep,
}

impl Class {
    /// All classes, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Changed, Self::Deletion, Self::Repair, Self::Pending, Self::Sweep];

    /// The value of the `class` label in metrics.
    pub fn as_label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Deletion => "deletion",
            Self::Repair => "repair",
            Self::Pending => "pending",
            Self::Sweep => "sweep",
        }
    }
}

/// On whose behalf a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// How urgent it is.
    pub class: Class,
    /// The namespace of the resource; empty for what serves all.
    pub namespace: Arc<str>,
}

tokio::task_local! {
    static CALLER: Caller;
}

impl Caller {
    /// A caller.
    pub fn new(class: Class, namespace: impl Into<Arc<str>>) -> Self {
        Self { class, namespace: namespace.into() }
    }

    /// For what is read once for all: whoever is most urgent may wait for it, whoever asked first.
    pub fn for_all() -> Self {
        Self::new(Class::Changed, "")
    }

    /// The caller of the work that runs now, when others may wait until it is done.
    pub fn in_front() -> Self {
        Self { class: Class::Changed, ..Self::current() }
    }

    /// The caller of the work that runs now; a sweep on everybody's behalf where nobody is named.
    pub fn current() -> Self {
        CALLER.try_with(Clone::clone).unwrap_or_else(|_| Self::new(Class::Sweep, ""))
    }

    /// Does work on this caller's behalf: every call in it waits in the caller's place of the queue.
    ///
    /// It goes with the work as a span of the log does, so that no trait of a service has to carry it.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CALLER.scope(self, work)
    }
}
