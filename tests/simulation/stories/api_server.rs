//! What the API server shows is late, lost, forged, or of a time that has not been.

use jiff::SignedDuration;
use serde_json::json;
use ses_operator::api::SesDomainStatus;
use ses_operator::cloud::ErrorKind;

use crate::api_server::Snapshot;
use crate::cloud::Intruder;
use crate::cloud::faults::Strike;
use crate::simulation::{NAME, Simulation, ZONE, hours, manifest, minutes};

const OTHER: &str = "other";

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Two settled domains with zones of their own.
fn with_another() -> Simulation {
    let mut simulation = Simulation::settled(json!({}));
    simulation.state().zones.add("Z-other", "other.example");
    simulation.apply(OTHER, of_other(json!({})));
    simulation.pass(hours(3));
    assert!(simulation.condition_of(OTHER, "Ready").starts_with("True"), "{}", simulation.describe());
    simulation
}

fn of_other(fields: serde_json::Value) -> ses_operator::api::SesDomainSpec {
    let mut spec = manifest(fields);
    spec.domain = "other.example".to_owned();
    spec
}

#[test]
fn a_status_that_somebody_takes_away_or_forges_is_written_anew_at_once() {
    type Forge = fn(&mut SesDomainStatus);
    let forgeries: [(&str, Forge); 3] = [
        ("taken away", |status| *status = SesDomainStatus::default()),
        ("a condition", |status| status.conditions[0].status = "False".to_owned()),
        ("a claim less", |status| drop(status.records.pop())),
    ];
    for (case, forge) in forgeries {
        let mut simulation = Simulation::settled(json!({}));
        let (end, aws) = (simulation.end(), simulation.writes().0);
        for _ in 0..3 {
            simulation.api.edit(NAME, |resource| forge(resource.status.get_or_insert_default()));
            simulation.pass(minutes(5));
            let differences = end.differences(&simulation.end());
            assert!(differences.is_empty(), "{case}: {differences:#?}\n{}", simulation.describe());
        }
        assert_eq!(simulation.writes().0, aws, "{case}");
        simulation.rests();
    }
}

#[test]
fn our_own_statuses_wake_nobody_however_late_the_watch_shows_them() {
    for (lag, travel) in [(0, (0, 0)), (0, (100, 900)), (30, (0, 0)), (30, (100, 900))] {
        let mut simulation = Simulation::settled(json!({}));
        simulation.api.kept().watch_lag = seconds(lag);
        simulation.state().delays.travel = travel;
        let (reconciles, writes) = (simulation.operator.reconciles, simulation.writes().1);
        for look in 0..5 {
            simulation.request(&format!("look {look}"));
            simulation.pass(minutes(2));
        }
        assert_eq!(simulation.writes().1, writes + 5, "lag {lag} s, travel {travel:?}");
        let looks = simulation.operator.reconciles - reconciles;
        // The annotation is looked at once it is shown, and the story itself looks at once.
        let expected = if lag == 0 { 5 } else { 10 };
        assert_eq!(looks, expected, "lag {lag} s, travel {travel:?}");
    }
}

#[test]
fn a_status_that_somebody_goes_on_writing_costs_few_looks_and_is_right_in_the_end() {
    let mut simulation = Simulation::settled(json!({}));
    let (end, reconciles, writes) = (simulation.end(), simulation.operator.reconciles, simulation.writes().1);
    for second in 0..720 {
        let account = format!("{second:012}");
        simulation.api.edit(NAME, |resource| resource.status.get_or_insert_default().account = Some(account));
        simulation.pass(seconds(10));
    }
    let (looks, answers) = (simulation.operator.reconciles - reconciles, simulation.writes().1 - writes);
    assert!(looks <= 25 && answers <= 25, "{looks} looks and {answers} statuses in two hours");
    simulation.pass(minutes(15));
    assert_eq!(end.differences(&simulation.end()), [""; 0]);
    simulation.rests();
}

/// A settled domain of which it is to be told that AWS refused something, which is over by now.
fn with_something_untrue_to_tell() -> Simulation {
    let simulation = Simulation::settled(json!({}));
    simulation.strike("ses:GetEmailIdentity", 1, Strike::Refuse(ErrorKind::Denied));
    simulation
}

#[test]
fn a_status_whose_writer_was_told_nothing_is_looked_at_when_the_watch_shows_it() {
    for lag in [0, 1, 5, 60, 300] {
        let mut simulation = with_something_untrue_to_tell();
        let end = simulation.end();
        simulation.api.kept().watch_lag = seconds(lag);
        simulation.strike("api:PatchStatus", 1, Strike::LoseAnswer);
        simulation.operator.wake(NAME);
        let is_untrue = |simulation: &Simulation| !simulation.is("Ready", "True");
        assert!(simulation.until(minutes(1), is_untrue), "lag {lag} s\n{}", simulation.describe());
        simulation.pass(minutes(10));
        let differences = end.differences(&simulation.end());
        assert!(differences.is_empty(), "lag {lag} s: {differences:#?}\n{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn a_status_that_lands_after_its_writer_died_is_looked_at_by_its_successor() {
    for late in [1, 20, 70, 400] {
        let mut simulation = with_something_untrue_to_tell();
        let end = simulation.end();
        simulation.strike("api:PatchStatus", 1, Strike::LandLate(seconds(late)));
        simulation.operator.wake(NAME);
        let landed = |simulation: &Simulation| !simulation.is("Ready", "True");
        assert!(simulation.until(minutes(10), landed), "it lands after {late} s\n{}", simulation.describe());
        simulation.pass(minutes(2));
        let differences = end.differences(&simulation.end());
        assert!(differences.is_empty(), "{late} s: {differences:#?}\n{}", simulation.describe());
        simulation.rests();
    }
}

/// What an administrator does to etcd, and whether the operator is restarted then.
type Restore = fn(&mut Simulation, &Snapshot);
const RESTORES: [(&str, Restore); 2] = [
    ("while the operator runs", |simulation, snapshot| simulation.api.restore(snapshot)),
    ("with a restart", |simulation, snapshot| {
        simulation.api.restore(snapshot);
        simulation.operator.restart();
    }),
];

#[test]
fn etcd_restored_to_any_time_of_a_roll_out_leads_to_the_same_end() {
    let mut simulation = Simulation::new();
    let mut snapshots = Vec::new();
    simulation.apply(NAME, manifest(json!({})));
    for _ in 0..20 {
        snapshots.push(simulation.api.snapshot());
        simulation.pass(seconds(20));
    }
    simulation.until_ready();
    simulation.pass(hours(2));
    let (end, aws) = (simulation.end(), simulation.writes().0);
    for (case, restore) in RESTORES {
        for (number, snapshot) in snapshots.iter().enumerate() {
            restore(&mut simulation, snapshot);
            simulation.pass(minutes(10));
            let differences = end.differences(&simulation.end());
            assert!(differences.is_empty(), "{case}, {number}: {differences:#?}\n{}", simulation.describe());
            assert_eq!(simulation.writes().0, aws, "{case}, {number}: nothing is written in AWS");
        }
        simulation.rests();
    }
}

#[test]
fn etcd_restored_to_before_an_edit_undoes_the_edit() {
    let edits = [
        json!({"mailFromSubdomain": "bounce"}),
        json!({"dns": {"ttl": 60}}),
        json!({"mxFailureBehavior": null}),
        json!({"dmarcPolicy": {"aggregateReportUris": ["mailto:other@example.com"]}}),
    ];
    for (case, restore) in RESTORES {
        for edit in &edits {
            let mut simulation = Simulation::settled(json!({}));
            let (end, snapshot) = (simulation.end(), simulation.api.snapshot());
            simulation.change(edit.clone());
            simulation.pass(hours(3));
            assert_ne!(end.differences(&simulation.end()), [""; 0], "{edit}");
            restore(&mut simulation, &snapshot);
            // Restarted, it believes the status, and finds at the daily look what no list shows.
            simulation.pass(hours(27));
            let differences = end.differences(&simulation.end());
            assert!(differences.is_empty(), "{case}, {edit}: {differences:#?}\n{}", simulation.describe());
            simulation.rests();
        }
    }
}

#[test]
fn a_restore_under_way_leaves_nobody_writing_over_a_version_that_has_not_been() {
    for after in [0, 300, 700, 1100, 1500, 1900, 2300, 2700] {
        let mut simulation = Simulation::settled(json!({}));
        simulation.pass(hours(1));
        let (end, snapshot) = (simulation.end(), simulation.api.snapshot());
        simulation.state().delays.travel = (200, 400);
        for look in 0..3 {
            simulation.request(&format!("look {look}"));
        }
        simulation.tamper("mail.example.com", "MX", &[]);
        simulation.request("and repair");
        simulation.pass(SignedDuration::from_millis(after));
        let patches = simulation.calls("api:PatchStatus");
        simulation.api.restore(&snapshot);
        simulation.pass(minutes(90));
        let patches = simulation.calls("api:PatchStatus") - patches;
        assert!(patches <= 10, "{patches} statuses after {after} ms\n{}", simulation.describe());
        assert_eq!(end.differences(&simulation.end()), [""; 0], "after {after} ms\n{}", simulation.describe());
        simulation.rests();
    }
}

#[test]
fn a_resource_that_the_restored_etcd_never_had_is_let_go_and_one_that_was_deleted_comes_back() {
    for (case, restore) in RESTORES {
        let mut simulation = Simulation::settled(json!({}));
        let (end, snapshot) = (simulation.end(), simulation.api.snapshot());
        simulation.delete(NAME);
        simulation.pass(minutes(10));
        assert!(simulation.is_gone(NAME) && simulation.identity().is_none());
        simulation.state().zones.add("Z-other", "other.example");
        simulation.apply(OTHER, of_other(json!({})));
        simulation.pass(hours(3));
        restore(&mut simulation, &snapshot);
        simulation.pass(hours(27));
        assert!(simulation.is("Ready", "True") && simulation.identity().is_some(), "{case}\n{}", simulation.describe());
        let ends = simulation.end();
        let differences = end.differences(&ends);
        let of_first: Vec<_> = differences.iter().filter(|line| !line.contains("other.example")).collect();
        assert!(of_first.is_empty(), "{case}: {of_first:#?}\n{}", simulation.describe());
        // It stands in AWS, of which nobody knows any more, and nothing happens to it.
        assert!(simulation.state().identities.get("other.example").is_some());
        simulation.rests();
    }
}

#[test]
fn a_watch_that_does_not_notice_the_restore_is_begun_anew_as_soon_as_an_answer_shows_it() {
    let mut simulation = with_another();
    let (end, snapshot) = (simulation.end(), simulation.api.snapshot());
    for ttl in [60, 120, 180] {
        simulation.apply(OTHER, of_other(json!({"dns": {"ttl": ttl}})));
        simulation.pass(hours(1));
    }
    simulation.request("a version more");
    simulation.pass(minutes(5));
    simulation.api.restore_unnoticed(&snapshot);
    simulation.pass(minutes(30));
    assert_eq!(simulation.values("mail.example.com", "MX").len(), 1);
    let shown = |simulation: &Simulation| simulation.status_of(OTHER).records.iter().all(|entry| entry.ttl == 300);
    assert!(shown(&simulation), "the status was restored");
    assert!(simulation.describe().contains("_dmarc.other.example TXT Some(180)"), "and AWS was not");
    // The next status of any resource is refused, and tells of it.
    simulation.tamper("mail.example.com", "MX", &[]);
    simulation.pass(hours(3));
    assert_eq!(end.differences(&simulation.end()), [""; 0], "{}", simulation.describe());
    simulation.rests();
}

#[test]
fn what_a_watch_has_lost_is_found_when_it_lists_anew() {
    let mut simulation = with_another();
    let (end, aws) = (simulation.end(), simulation.writes().0);
    simulation.api.interrupt_watches(minutes(10));
    // One is changed, taken away and made anew, the other's status is lost.
    simulation.apply(NAME, manifest(json!({"dns": {"ttl": 60}})));
    simulation.api.replace(NAME, manifest(json!({})));
    simulation.api.edit(OTHER, |resource| resource.status = None);
    simulation.pass(minutes(9));
    assert_eq!(simulation.status(), SesDomainStatus::default(), "nobody has seen it");
    simulation.pass(minutes(6));
    assert_eq!(end.differences(&simulation.end()), [""; 0], "{}", simulation.describe());
    assert_eq!(simulation.writes().0, aws, "nothing is written in AWS");
    simulation.api.interrupt_watches(minutes(10));
    simulation.delete(NAME);
    simulation.pass(minutes(9));
    assert!(!simulation.is_gone(NAME));
    simulation.pass(minutes(6));
    assert!(simulation.is_gone(NAME) && simulation.identity().is_none(), "{}", simulation.describe());
    simulation.no_harm();
}

#[test]
fn nothing_rests_on_a_status_that_may_have_been_written_over_by_one_whose_answer_was_lost() {
    for call in 0..8 {
        let mut simulation = Simulation::new();
        simulation.state().lag = seconds(60);
        simulation.api.kept().watch_lag = seconds(60);
        // It makes the first change be refused, so that a status says less than the one before.
        simulation.state().intruder = Some(Intruder {
            zone: ZONE,
            name: "_dmarc.example.com",
            record_type: "TXT",
            value: "\"v=DMARC1; p=none; rua=mailto:they@example.com\"",
            protected: true,
        });
        simulation.state().faults.add("api:PatchStatus", call, 1, Strike::LoseAnswer);
        simulation.apply(NAME, manifest(json!({})));
        simulation.pass(hours(3));
        assert_eq!(simulation.state().faults.struck, 1, "at call {call}");
        simulation.no_harm();
    }
}
