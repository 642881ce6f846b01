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
    /// The stage that the status remembers.
    Remembered(usize, &'a DmarcStage),
    /// The stage that fits what is published; the first one where nothing is.
    Found(usize, &'a DmarcStage),
    /// What is published is stricter than every stage.
    StricterThanAll,
}

/// The stage that the domain is in: the remembered one, else the one that was published, else the first.
fn current<'a>(policy: &'a DmarcPolicy, evidence: Evidence<'_>) -> Standing<'a> {
    let stages = || policy.stages.iter().enumerate();
    let means_it = |stage: &DmarcStage, published: &Record| {
        Record::parse(&render(policy, stage)).is_some_and(|record| record.means_the_same_as(published))
    };
    let remembered = evidence.remembered.and_then(|state| stages().find(|(_, stage)| stage.name == state.stage));
    if let Some((index, stage)) = remembered {
        // The status may be a backup's, of before the walk went on.
        let later = evidence.published.and_then(|published| {
            stages()
                .skip(index + 1)
                .find(|(later, stage)| means_it(stage, published) && may_have_come_to(policy, index, *later, evidence))
        });
        return later.map_or(Standing::Remembered(index, stage), |(index, stage)| Standing::Found(index, stage));
    }
    let found = match evidence.published {
        None => stages().next(),
        Some(published) => {
            // A record of the user's own, or of stages that were renamed: go on where nothing becomes weaker.
            let exact = stages().find(|(_, stage)| means_it(stage, published));
            exact.or_else(|| stages().find(|(_, stage)| stage_strength(stage) >= published.strength()))
        }
    };
    found.map_or(Standing::StricterThanAll, |(index, stage)| Standing::Found(index, stage))
}

/// Whether the walk may have gone on from the remembered stage to a later one since: then that one's record is ours, and
/// else somebody's edit. Where a person advances it, it may have gone at any time.
fn may_have_come_to(policy: &DmarcPolicy, from: usize, to: usize, evidence: Evidence<'_>) -> bool {
    if policy.advancement == Advancement::Manual {
        return true;
    }
    let Some(began) = evidence.remembered.and_then(|state| state.since.as_ref()).map(|since| since.0) else {
        return true;
    };
    let lasts = |stage: &DmarcStage| parse_duration(stage.min_duration.as_deref()?);
    let earliest = policy.stages[from..to]
        .iter()
        .try_fold(began, |at, stage| at.checked_add(lasts(stage).unwrap_or_default()).ok());
    earliest.is_some_and(|earliest| earliest <= evidence.now)
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
    fn a_stage_remembered_from_a_backup_gives_way_to_a_later_one_that_the_walk_may_have_come_to() {
        let policy = policy();
        let manual = DmarcPolicy { advancement: Advancement::Manual, ..policy.clone() };
        let (quarantine, reject) = (Some("v=DMARC1; p=quarantine"), Some("v=DMARC1; p=reject"));
        let (begun, on_its_way) = (remembered("monitor", Some(0)), remembered("monitor", None));
        for (case, policy, state, published, day, stage) in [
            ("in time", &policy, &begun, reject, 60, "reject"),
            ("too early: somebody's edit", &policy, &begun, reject, 59, "monitor"),
            ("too early: somebody's edit", &policy, &begun, quarantine, 29, "monitor"),
            ("whatever the time", &policy, &on_its_way, reject, 1, "reject"),
            ("a person advances it", &manual, &begun, reject, 1, "reject"),
            ("another record", &policy, &begun, Some("v=DMARC1; p=reject; sp=none"), 25, "monitor"),
        ] {
            assert_eq!(stage_at(policy, Some(state), published, false, day).replace(" held", ""), stage, "{case}");
        }
        let late = remembered("reject", Some(60));
        assert_eq!(stage_at(&policy, Some(&late), quarantine, true, 99), "reject", "an earlier one is no backup's");
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
