//! Seeded: whatever goes wrong on the way, the same end.
//!
//! A story is a domain's whole life: a spec, a zone with other people's records, edits, the deletion. It is played once in
//! peace, and by each of its seeds with calls that fail, answers that are lost and an operator that dies; all must come to
//! the same end, do no harm, say what is so, leave nothing behind, and then rest.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::SignedDuration;
use ses_operator::cloud::ErrorKind;

use crate::cloud::faults::Strike;
use crate::end::End;
use crate::mutants::Mutant;
use crate::random::Random;
use crate::seeds::{self, Playing};
use crate::simulation::{NAME, Simulation, minutes};
use crate::story::{AN_ACT, Story, Turn};
use crate::truth;
use crate::workers::on_all_threads;

/// Half a minute or so on two cores in a debug build. More are asked for with `make simulate SEEDS=n`.
const SEEDS: u64 = 150;
/// How much longer an act lasts where something was left to the daily look.
const A_DAY: SignedDuration = SignedDuration::from_hours(25);
/// So many seeds in a row are wars of one story, which is played in peace once.
pub const WARS: u64 = 4;
/// How long things go wrong.
const TROUBLE: SignedDuration = SignedDuration::from_mins(30);

#[test]
fn whatever_goes_wrong_the_end_is_the_same() {
    let seeds = seeds::asked("SEED", SEEDS, 1);
    let stories: Vec<&[u64]> = seeds.chunk_by(|one, other| one / WARS == other / WARS).collect();
    let played = on_all_threads(&stories, |seeds| {
        let peace = {
            let _playing = playing(seeds[0]);
            in_peace(&Story::draw(seeds[0] / WARS), Mutant::None, &[])
        };
        let wars = seeds.iter().map(|seed| {
            let war = || {
                let _playing = playing(*seed);
                in_war(*seed, &peace, Mutant::None).operator.reconciles
            };
            catch_unwind(AssertUnwindSafe(war)).ok()
        });
        let mut played: Vec<Option<usize>> = wars.collect();
        played[0] = played[0].map(|reconciles| reconciles + peace.reconciles);
        played
    });
    let of_each = |(seeds, played): (&&[u64], Option<Vec<_>>)| played.unwrap_or_else(|| vec![None; seeds.len()]);
    let played: Vec<Option<usize>> = stories.iter().zip(played).flat_map(of_each).collect();
    seeds::must_pass("SEED", &seeds, &played);
}

#[test]
fn a_seed_goes_the_same_way_each_time() {
    let courses = |seed: u64| {
        let story = Story::draw(seed / WARS);
        let war = in_war(seed, &in_peace(&story, Mutant::None, &[]), Mutant::None);
        let state = war.state();
        (state.course, state.calls.clone(), war.api.kept().writes, war.operator.deaths)
    };
    let seeds = 1000..1024;
    let (first, second): (Vec<_>, Vec<_>) =
        (seeds.clone().map(courses).collect(), seeds.clone().map(courses).collect());
    assert_eq!(first, second);
    let different: BTreeSet<u64> = first.iter().map(|(course, ..)| *course).collect();
    assert_eq!(different.len(), seeds.count(), "each seed goes its own way");
}

fn playing(seed: u64) -> Playing {
    Playing { name: "SEED", test: "whatever_goes_wrong_the_end", seed }
}

/// Plays a seed; panics where the operator does harm or the ends differ.
pub fn play(seed: u64, mutant: Mutant) {
    let peace = in_peace(&Story::draw(seed / WARS), mutant, &[]);
    in_war(seed, &peace, mutant);
}

/// What a story comes to where nothing goes wrong.
struct Peace {
    /// The end of each act.
    ends: Vec<End>,
    reconciles: usize,
}

/// Plays a story in peace. After some acts a day more passes.
fn in_peace(story: &Story, mutant: Mutant, longer: &[usize]) -> Peace {
    let mut peace = story.start(mutant);
    let mut ends = Vec::new();
    for (act, turn) in story.acts().enumerate() {
        begin(turn, &mut peace);
        peace.pass(turn.map_or(AN_ACT, Turn::lasts));
        if longer.contains(&act) {
            peace.pass(A_DAY);
        }
        peace.no_harm();
        peace.no_orphans();
        ends.push(peace.end());
        must_be_good(turn, &mut peace);
    }
    Peace { ends, reconciles: peace.operator.reconciles }
}

/// Plays a seed's war against the peace of its story.
fn in_war(seed: u64, peace: &Peace, mutant: Mutant) -> Simulation {
    let story = Story::draw(seed / WARS);
    let mut war = story.start(mutant);
    let (mut longer, mut longer_peace) = (Vec::new(), None);
    for ((act, turn), number) in story.acts().enumerate().zip(0..) {
        begin(turn, &mut war);
        let lasts = turn.map_or(AN_ACT, Turn::lasts);
        let found_late = wage(&mut war, seed ^ (0xABCD * number), lasts, turn.is_none() && story.intruder.is_none());
        let as_long = longer_peace.as_ref().unwrap_or(peace);
        let found_late = found_late || war.state().faults.landed_late;
        let differences = as_long.ends[act].differences(&war.end());
        let claims_more = differences.iter().all(|difference| difference.contains(" example.com tags: "));
        if !differences.is_empty() && (found_late || claims_more) {
            // What landed after everything was settled, or what an old read did not show, is found by the daily look; so is
            // a claim that stayed in the tags, which a restarted operator does not ask for. And a stage that a fast clock
            // began in the future lasts until then.
            war.pass(A_DAY);
            longer.push(act);
            longer_peace = Some(in_peace(&story, mutant, &longer));
        }
        war.no_harm();
        war.no_orphans();
        let as_long = longer_peace.as_ref().unwrap_or(peace);
        let differences = as_long.ends[act].differences(&war.end());
        let when = turn.map_or_else(|| "set up".to_owned(), ToString::to_string);
        assert!(differences.is_empty(), "seed {seed}, {when}, in peace | in war: {differences:#?}\n{}", war.describe());
        must_be_good(turn, &mut war);
    }
    war
}

/// An act begins with what people do, but for the first one.
fn begin(turn: Option<&Turn>, simulation: &mut Simulation) {
    let Some(turn) = turn else { return };
    if simulation.state().told {
        println!("{turn}");
    }
    turn.take(simulation);
}

/// The end of an act is a good one, and it rests there.
fn must_be_good(turn: Option<&Turn>, simulation: &mut Simulation) {
    truth::must_be_told(simulation);
    simulation.rests_for(minutes(30));
    if matches!(turn, Some(Turn::Delete)) {
        assert!(simulation.is_gone(NAME), "it does not go\n{}", simulation.describe());
    }
}

/// An act that begins with much that goes wrong. Tells whether something may have been left to the daily look: a clock was
/// wrong, or reads were old.
///
/// The status may be lost, or etcd restored, while nothing has been let go: what is obsolete is known from the status alone.
/// Not where a request lands late as well: a stage's record that an operator sent before it died and its status was lost is
/// a stranger's edit to the next one. Nor where somebody else writes a record just before us, which the tags claim for us;
/// nor where reads are old, and may not show yet what the tags claimed a moment before the status was lost; nor where the
/// clock is wrong: by that a DMARC stage that a restored status does not know may not have begun yet. Nor is a zone read as
/// empty then: the tags claim what was about to be made where somebody else's stands.
fn wage(simulation: &mut Simulation, seed: u64, lasts: SignedDuration, loses_status: bool) -> bool {
    let mut draw = Random::seeded(!seed);
    let began = simulation.now();
    let until = began + TROUBLE;
    simulation.state().trouble_until = until;
    let once_in = *draw.one_of(&[2, 3, 5, 10, 30]);
    let late = draw.once_in(2);
    let loses_status = loses_status && !late;
    simulation.state().faults.at_random(draw.clone(), once_in, until, late);
    if draw.once_in(4) {
        // A single blow at one place, as well.
        let strike = *draw.one_of(&[Strike::LoseAnswer, Strike::DieAfter, Strike::DieBefore]);
        let call = usize::try_from(draw.between(0, 20)).expect("small");
        simulation.state().faults.add("", call, 1, strike);
    }
    if draw.once_in(4) {
        // What is read is old.
        simulation.state().lag = SignedDuration::from_secs(draw.between(1, 90));
    }
    if draw.once_in(4) {
        simulation.api.kept().watch_lag = SignedDuration::from_secs(draw.between(1, 90));
    }
    if draw.once_in(4) {
        simulation.api.interrupt_watches(SignedDuration::from_secs(draw.between(1, 600)));
    }
    let mut snapshot = simulation.api.snapshot();
    let mut later = |low, high| began + SignedDuration::from_secs(draw.between(low, high));
    let (time, short) = (later(0, 600), later(0, 1200));
    match draw.between(1, 16) {
        1 | 2 => simulation.state().faults.throttle(draw.clone(), began + minutes(10), began + minutes(20)),
        3 => {
            // The API server is restarted again and again.
            for number in 0..20 {
                let from = time + SignedDuration::from_secs(60 * number);
                let until = from + SignedDuration::from_secs(draw.between(1, 20));
                simulation.state().faults.refuse("api:", from, until, ErrorKind::Unavailable);
            }
        }
        4 => {
            // The credentials expire, and are renewed later.
            for service in ["ses:", "route53:"] {
                simulation.state().faults.refuse(service, time, time.max(short), ErrorKind::Unauthenticated);
            }
        }
        5 => simulation.state().faults.refuse("route53:", time, time.max(short), ErrorKind::Denied),
        _ => {}
    }
    if draw.once_in(4) {
        // What is sent is under way for a while: whoever loses the lease meanwhile may still be heard.
        simulation.state().delays.travel = (10, 300);
    }
    let is_skewed = draw.once_in(8);
    let reads_are_old = !simulation.state().lag.is_zero();
    let loses_status = loses_status && !is_skewed && !reads_are_old;
    if loses_status {
        simulation.state().faults.never_empty = Some("route53:ListResourceRecordSets");
    }
    // By a wrong clock a change whose ID was lost may seem to be under way for long enough. What is said at the end is so.
    simulation.state().watches_words = !is_skewed;
    for _ in 0..draw.between(0, 4) {
        simulation.pass(minutes(draw.between(1, 7)));
        if loses_status {
            match draw.between(1, 8) {
                1 | 2 => simulation.api.edit(NAME, |resource| resource.status = None),
                3 | 4 => simulation.api.restore(&snapshot),
                5 => snapshot = simulation.api.snapshot(),
                _ => {}
            }
        }
        if is_skewed {
            simulation.operator.skew = minutes(draw.between(-300, 300));
        }
        match draw.between(1, 4) {
            1 => simulation.take_over(),
            2 => {}
            _ => simulation.operator.restart(),
        }
    }
    simulation.pass((until.duration_since(simulation.now())).max(SignedDuration::ZERO));
    if is_skewed {
        simulation.operator.skew = SignedDuration::ZERO;
        simulation.operator.restart();
        // What the wrong clock wrote is corrected by the next look, at the latest on the next day.
        simulation.operator.wake(NAME);
    }
    simulation.state().delays.travel = (0, 0);
    simulation.state().lag = SignedDuration::ZERO;
    simulation.api.kept().watch_lag = SignedDuration::ZERO;
    let left = (began + lasts).duration_since(simulation.now());
    simulation.pass(left);
    simulation.state().faults.clear();
    simulation.state().watches_words = true;
    is_skewed || reads_are_old
}
