//! Seeded: whatever goes wrong on the way, the same end.
//!
//! Each seed draws a domain's whole life: a spec, a zone with other people's records, edits, the deletion. It is played
//! twice, once in peace and once with calls that fail, answers that are lost and an operator that dies; both must come to
//! the same end, do no harm, say what is so, leave nothing behind, and then rest.

use jiff::SignedDuration;

use crate::cloud::faults::Strike;
use crate::mutants::Mutant;
use crate::random::Random;
use crate::seeds::{self, Playing};
use crate::simulation::{NAME, Simulation, hours, minutes};
use crate::story::{Story, Turn};
use crate::truth;
use crate::workers::on_all_threads;

/// Half a minute or so on two cores in a debug build. More are asked for with `make simulate SEEDS=n`.
const SEEDS: u64 = 150;
/// How long each act of a story lasts: whatever went wrong at first is over by then.
const AN_ACT: SignedDuration = SignedDuration::from_mins(130);
/// How long things go wrong.
const TROUBLE: SignedDuration = SignedDuration::from_mins(30);

#[test]
fn whatever_goes_wrong_the_end_is_the_same() {
    let seeds = seeds::asked("SEED", SEEDS, 1);
    let played = on_all_threads(&seeds, |seed| {
        let _playing = Playing { name: "SEED", test: "whatever_goes_wrong_the_end", seed: *seed };
        play(*seed, Mutant::None)
    });
    seeds::must_pass("SEED", &seeds, &played);
}

/// Plays a seed and answers with the number of reconciles; panics where the operator does harm or the ends differ.
pub fn play(seed: u64, mutant: Mutant) -> usize {
    let story = Story::draw(seed);
    let (mut peace, mut war) = (story.start(mutant), story.start(mutant));
    peace.pass(AN_ACT);
    wage(&mut war, seed, story.intruder.is_none());
    compare(seed, "set up", &mut peace, &mut war);
    for (number, turn) in (1..).zip(&story.turns) {
        if peace.state().told {
            println!("{turn}");
        }
        turn.take(&mut peace);
        turn.take(&mut war);
        peace.pass(AN_ACT);
        wage(&mut war, seed ^ (0xABCD * number), false);
        compare(seed, &turn.to_string(), &mut peace, &mut war);
        if matches!(turn, Turn::Delete) {
            for simulation in [&peace, &war] {
                assert!(simulation.is_gone(NAME), "seed {seed} does not go\n{}", simulation.describe());
            }
        }
    }
    peace.operator.reconciles + war.operator.reconciles
}

/// An act that begins with much that goes wrong.
///
/// The status may be lost while nothing has been let go: what is obsolete is known from the status alone. Not where a
/// request lands late as well: a stage's record that an operator sent before it died and its status was lost is a
/// stranger's edit to the next one. Nor where somebody else writes a record just before us, which the tags claim for us.
fn wage(simulation: &mut Simulation, seed: u64, loses_status: bool) {
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
    if draw.once_in(8) {
        let half = began + minutes(20);
        simulation.state().faults.throttle(draw.clone(), began + minutes(10), half);
    }
    for _ in 0..draw.between(0, 4) {
        simulation.pass(minutes(draw.between(1, 7)));
        if loses_status && draw.once_in(4) {
            simulation.api.edit(NAME, |resource| resource.status = None);
        }
        if draw.once_in(3) {
            simulation.take_over();
        } else {
            simulation.operator.restart();
        }
    }
    simulation.pass((until.duration_since(simulation.now())).max(SignedDuration::ZERO));
    simulation.state().lag = SignedDuration::ZERO;
    simulation.api.kept().watch_lag = SignedDuration::ZERO;
    let left = (began + AN_ACT).duration_since(simulation.now());
    simulation.pass(left);
    simulation.state().faults.clear();
}

/// Both have come to the same end, which is a good one, and rest there.
fn compare(seed: u64, when: &str, peace: &mut Simulation, war: &mut Simulation) {
    if war.state().faults.landed_late && peace.end() != war.end() {
        // What landed after everything was settled is found by the daily look.
        peace.pass(hours(25));
        war.pass(hours(25));
    }
    peace.no_harm();
    war.no_harm();
    let differences = peace.end().differences(&war.end());
    assert!(differences.is_empty(), "seed {seed}, {when}, in peace | in war: {differences:#?}\n{}", war.describe());
    for simulation in [peace, war] {
        truth::must_be_told(simulation);
        simulation.no_orphans();
        simulation.rests_for(minutes(30));
    }
}
