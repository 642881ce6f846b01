//! The least time that AWS leaves, and the most polls that a verification may cost.

use jiff::Timestamp;
use ses_operator_rig::aws::VerifiedIdentity;

use crate::domains::Layout;
use crate::run::Run;

/// The least time, in virtual seconds.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// N × fewest calls ÷ rate, of the bucket that takes longest. The rates are the operator's limits: what it leaves to
    /// others of AWS's quotas is no waste.
    pub buckets: f64,
    /// Until the change of the domain that was verified last was served.
    pub insync: f64,
    /// That domain's verification.
    pub delay: f64,
}

impl Bound {
    /// The bound of a run, by what was drawn for its identities.
    pub fn of(run: &Run, identities: &[VerifiedIdentity]) -> Self {
        let last = identities.iter().max_by_key(|identity| verified(identity).map(|(at, _)| at));
        Self {
            buckets: buckets(run),
            insync: last.and_then(|identity| identity.insync).unwrap_or_default(),
            delay: last.and_then(verified).map_or(0.0, |(_, delay)| delay),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.buckets + self.insync + self.delay
    }
}

/// Of the bucket that takes longest: one create, one MAIL FROM put, one get; and for a zone of its own a list, a change and
/// its look.
pub fn buckets(run: &Run) -> f64 {
    let (ses, route53) = run.share.rates();
    let count = run.count as f64;
    let of_ses = if run.one_bucket { 3.0 * count / ses } else { count / ses };
    let of_route53 = if run.layout == Layout::Own { 3.0 * count / route53 } else { 0.0 };
    of_ses.max(of_route53)
}

/// When the later of the two verifications succeeded, and the delay that was drawn for it.
fn verified(identity: &VerifiedIdentity) -> Option<(Timestamp, f64)> {
    let both = [Some(identity.dkim), identity.mail_from];
    let done = both.into_iter().flatten().filter_map(|one| Some((one.verified?, one.delay)));
    done.max_by_key(|(at, _)| *at)
}

/// At most 1 + ⌈log2(D / 60 s)⌉ for a verification that takes D seconds.
pub fn polls_allowed(delay: f64) -> i64 {
    1 + (delay / 60.0).log2().ceil().max(0.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Share;

    #[test]
    fn the_longest_bucket_counts() {
        let run = |layout, one_bucket, share| Run { one_bucket, share, ..Run::new("any", layout, 90, 1.0) };
        for (layout, one_bucket, share, seconds) in [
            (Layout::Own, false, Share::Default, 100.0),
            (Layout::Shared, false, Share::Default, 100.0),
            (Layout::Own, true, Share::Default, 300.0),
            (Layout::Own, false, Share::Whole, 90.0),
        ] {
            assert!((buckets(&run(layout, one_bucket, share)) - seconds).abs() < 1e-9, "{layout:?} {share:?}");
        }
    }

    #[test]
    fn a_poll_more_is_allowed_for_each_doubling_of_the_delay() {
        let polls = [(1.0, 1), (60.0, 1), (61.0, 2), (120.0, 2), (900.0, 5), (21_600.0, 10)];
        assert_eq!(polls.map(|(delay, _)| polls_allowed(delay)), polls.map(|(_, allowed)| allowed));
    }
}
