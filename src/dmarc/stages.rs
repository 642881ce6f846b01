//! The walk through the stages.
//!
//! A stage begins when its record is served, and the next one when `minDuration` has passed and DKIM and MAIL FROM are
//! verified. Nothing here makes a policy weaker by itself: only `activeStage` does, and a person writes that.

use jiff::{SignedDuration, Timestamp};

use super::record::{Record, render, stage_strength};
use crate::api::spec::{Advancement, DmarcPolicy, DmarcStage};
use crate::api::status::DmarcState;

/// What the walk is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The DMARC record that the zone holds, when it holds exactly one.
    pub published: Option<&'a Record>,
    /// What the status remembers.
    pub remembered: Option<&'a DmarcState>,
    /// Whether DKIM, and MAIL FROM where one is asked for, are verified.
    pub verified: bool,
    /// The time.
    pub now: Timestamp,
}

/// Where the walk stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk<'a> {
    /// The stage whose record should be published. `None` and held: the stage enforces, and verification comes first.
    /// `None` and not held: what is published is stricter than every stage.
    pub stage: Option<&'a DmarcStage>,
    /// When the stage will have lasted long enough, if another one follows by itself.
    pub until: Option<Timestamp>,
    /// Whether the next stage is due and waits for verification alone.
    pub held: bool,
}

/// Where the walk stands now.
pub fn walk<'a>(policy: &'a DmarcPolicy, evidence: Evidence<'_>) -> Walk<'a> {
    let standing = |stage| Walk { stage: Some(stage), until: None, held: false };
    if let Some(pinned) = policy.active_stage.as_ref().and_then(|name| stage_named(policy, name)) {
        return standing(pinned);
    }
    let (index, current) = match current(policy, evidence) {
        Standing::Remembered(index, stage) => (index, stage),
        Standing::Found(index, stage) => {
            let published = evidence.published.map_or((0, 100), Record::strength);
            if stage_strength(stage) > published && !evidence.verified {
                return Walk { stage: None, until: None, held: true };
            }
            (index, stage)
        }
        Standing::StricterThanAll => return Walk { stage: None, until: None, held: false },
    };
    let next = policy.stages.get(index + 1);
    let (Some(next), Advancement::Automatic) = (next, policy.advancement) else {
        return standing(current);
    };
    let Some(until) = end_of(current, evidence.remembered) else {
        return standing(current);
    };
    let due = evidence.now >= until;
    if due && evidence.verified { standing(next) } else { Walk { stage: Some(current), until: Some(until), held: due } }
}

/// When a stage that began at `since` will have lasted long enough.
fn end_of(stage: &DmarcStage, remembered: Option<&DmarcState>) -> Option<Timestamp> {
    let began = remembered.filter(|state| state.stage == stage.name)?.since.as_ref()?.0;
    let duration = parse_duration(stage.min_duration.as_deref()?)?;
    began.checked_add(duration).ok()
}

/// Where the walk goes on from.
enum Standing<'a> {
    /// The stage that the status remembers, and rightly so.
    Remembered(usize, &'a DmarcStage),
    /// The stage that fits what is published; the first one where nothing is.
    Found(usize, &'a DmarcStage),
    /// What is published is stricter than every stage.
    StricterThanAll,
}

/// The stage that the domain is in: the remembered one, else the one that was published, else the first.
fn current<'a>(policy: &'a DmarcPolicy, evidence: Evidence<'_>) -> Standing<'a> {
    let stages = || policy.stages.iter().enumerate();
    let means = |stage: &DmarcStage, published: &Record| {
        Record::parse(&render(policy, stage)).is_some_and(|record| record.means_the_same_as(published))
    };
    let remembered = evidence.remembered.and_then(|state| stages().find(|(_, stage)| stage.name == state.stage));
    if let Some((index, stage)) = remembered {
        // A later stage's very record: the cluster was restored from a backup that is older than the walk, which must not go
        // back. Stages may be alike.
        let published = evidence.published.filter(|published| !means(stage, published));
        let later = published.and_then(|published| stages().skip(index + 1).find(|(_, later)| means(later, published)));
        return later.map_or(Standing::Remembered(index, stage), |(index, stage)| Standing::Found(index, stage));
    }
    let found = match evidence.published {
        None => stages().next(),
        Some(published) => {
            let means_it = |stage: &DmarcStage| means(stage, published);
            // A record of the user's own, or of stages that were renamed: go on where nothing becomes weaker.
            let exact = stages().find(|(_, stage)| means_it(stage));
            exact.or_else(|| stages().find(|(_, stage)| stage_strength(stage) >= published.strength()))
        }
    };
    found.map_or(Standing::StricterThanAll, |(index, stage)| Standing::Found(index, stage))
}

fn stage_named<'a>(policy: &'a DmarcPolicy, name: &str) -> Option<&'a DmarcStage> {
    policy.stages.iter().find(|stage| stage.name == name)
}

/// Reads `30d`, `12h`, `90m` or `45s`.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok()?;
    let seconds = match unit {
        "d" => 86_400,
        "h" => 3_600,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    const DAY: i64 = 86_400;

    fn policy() -> DmarcPolicy {
        serde_json::from_value(serde_json::json!({"stages": [
            {"name": "monitor", "policy": "None", "minDuration": "30d"},
            {"name": "quarantine", "policy": "Quarantine", "minDuration": "30d"},
            {"name": "reject", "policy": "Reject"},
        ]}))
        .expect("a policy")
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * DAY).expect("a time")
    }

    fn remembered(stage: &str, since: Option<i64>) -> DmarcState {
        DmarcState { stage: stage.into(), since: since.map(|days| Time(at(days))), until: None }
    }

    fn stage_at(
        policy: &DmarcPolicy,
        state: Option<&DmarcState>,
        published: Option<&str>,
        verified: bool,
        day: i64,
    ) -> String {
        let published = published.and_then(Record::parse);
        let evidence = Evidence { published: published.as_ref(), remembered: state, verified, now: at(day) };
        let walk = walk(policy, evidence);
        format!("{}{}", walk.stage.map_or("-", |stage| &stage.name), if walk.held { " held" } else { "" })
    }

    #[test]
    fn sixty_days_from_none_to_reject() {
        let policy = policy();
        assert_eq!(stage_at(&policy, None, None, false, 0), "monitor");
        let monitor = remembered("monitor", Some(0));
        assert_eq!(stage_at(&policy, Some(&monitor), None, true, 29), "monitor");
        assert_eq!(stage_at(&policy, Some(&monitor), None, true, 30), "quarantine");
        let quarantine = remembered("quarantine", Some(30));
        assert_eq!(stage_at(&policy, Some(&quarantine), None, true, 59), "quarantine");
        assert_eq!(stage_at(&policy, Some(&quarantine), None, true, 60), "reject");
        assert_eq!(stage_at(&policy, Some(&remembered("reject", Some(60))), None, true, 900), "reject");
    }

    #[test]
    fn a_stage_that_is_due_waits_for_verification() {
        assert_eq!(stage_at(&policy(), Some(&remembered("monitor", Some(0))), None, false, 31), "monitor held");
    }

    #[test]
    fn a_stage_does_not_end_before_its_record_is_served() {
        assert_eq!(stage_at(&policy(), Some(&remembered("monitor", None)), None, true, 900), "monitor");
    }

    #[test]
    fn an_enforcing_first_stage_waits_for_verification() {
        let mut policy = policy();
        policy.stages.remove(0);
        assert_eq!(stage_at(&policy, None, None, false, 0), "- held");
        assert_eq!(stage_at(&policy, None, None, true, 0), "quarantine");
    }

    #[test]
    fn what_is_published_is_not_made_stricter_before_verification() {
        let mut policy = policy();
        policy.stages.remove(0);
        assert_eq!(stage_at(&policy, None, Some("v=DMARC1; p=none"), false, 0), "- held");
        assert_eq!(stage_at(&policy, None, Some("v=DMARC1; p=none"), true, 0), "quarantine");
        assert_eq!(stage_at(&policy, None, Some("v=DMARC1; p=quarantine"), false, 0), "quarantine");
    }

    #[test]
    fn a_record_that_is_stricter_than_every_stage_is_not_weakened() {
        let mut policy = policy();
        policy.stages.pop();
        assert_eq!(stage_at(&policy, None, Some("v=DMARC1; p=reject"), true, 0), "-");
    }

    #[test]
    fn a_lost_status_is_found_again_from_the_published_record_and_never_weaker() {
        let policy = policy();
        for (published, stage) in [
            ("v=DMARC1; p=quarantine", "quarantine"),
            ("v=DMARC1; p=reject", "reject"),
            ("v=DMARC1; p=quarantine; pct=100", "quarantine"),
            ("v=DMARC1; p=reject; rua=mailto:a@b.c", "reject"),
            ("v=DMARC1; p=none; rua=mailto:a@b.c", "monitor"),
        ] {
            assert_eq!(stage_at(&policy, None, Some(published), false, 0), stage, "{published}");
        }
    }

    #[test]
    fn a_status_that_is_older_than_the_walk_takes_it_not_back() {
        let (policy, monitor) = (policy(), remembered("monitor", Some(0)));
        for (published, stage) in [
            ("v=DMARC1; p=quarantine", "quarantine"),
            ("v=DMARC1; p=reject", "reject"),
            ("v=DMARC1; p=none", "monitor"),
            ("v=DMARC1; p=reject; rua=mailto:a@b.c", "monitor"),
        ] {
            assert_eq!(stage_at(&policy, Some(&monitor), Some(published), true, 29), stage, "{published}");
        }
        // It began at a time that nobody knows any more, and so lasts from now on.
        assert_eq!(stage_at(&policy, Some(&monitor), Some("v=DMARC1; p=quarantine"), true, 900), "quarantine");
        let quarantine = remembered("quarantine", Some(30));
        assert_eq!(stage_at(&policy, Some(&quarantine), Some("v=DMARC1; p=none"), true, 31), "quarantine");
    }

    #[test]
    fn of_stages_that_are_alike_the_remembered_one_lasts_its_time() {
        let mut policy = policy();
        policy.stages[1].policy = policy.stages[0].policy;
        let monitor = remembered("monitor", Some(0));
        assert_eq!(stage_at(&policy, Some(&monitor), Some("v=DMARC1; p=none"), true, 29), "monitor");
    }

    #[test]
    fn a_stage_that_was_renamed_is_found_by_its_strength() {
        assert_eq!(
            stage_at(&policy(), Some(&remembered("old", Some(0))), Some("v=DMARC1; p=quarantine"), true, 0),
            "quarantine"
        );
    }

    #[test]
    fn a_pinned_stage_stays_a_weaker_one_too() {
        let mut policy = policy();
        policy.active_stage = Some("monitor".into());
        assert_eq!(
            stage_at(&policy, Some(&remembered("reject", Some(0))), Some("v=DMARC1; p=reject"), true, 900),
            "monitor"
        );
    }

    #[test]
    fn manual_advancement_stays() {
        let mut policy = policy();
        policy.advancement = Advancement::Manual;
        assert_eq!(stage_at(&policy, Some(&remembered("monitor", Some(0))), None, true, 900), "monitor");
    }

    #[test]
    fn durations_are_read_and_nonsense_is_not() {
        for (text, seconds) in [
            ("30d", Some(30 * DAY)),
            ("12h", Some(43_200)),
            ("90m", Some(5_400)),
            ("45s", Some(45)),
            ("d", None),
            ("5w", None),
            ("", None),
        ] {
            assert_eq!(parse_duration(text).map(|duration| duration.as_secs()), seconds, "{text}");
        }
    }
}
