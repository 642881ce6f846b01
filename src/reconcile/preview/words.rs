//! The lines that people read, in the style of a diff. Pure.

use super::difference::{Act, Cause, Difference, IdentityDifference, RecordDifference};
use super::{Await, Preview, Step};
use crate::api::status::{MOST_PLAN_LINES, PLAN_LINE_LENGTH, PlanLine};
use crate::dns::{RecordSet, RecordType, text};

/// How much would be done at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Identities to create, to change and to delete.
    pub identities: [usize; 3],
    /// Record sets to create, to change and to delete.
    pub records: [usize; 3],
    /// What a person must mend.
    pub conflicts: usize,
}

impl Tally {
    /// How much a preview comes to.
    pub fn of(preview: &Preview) -> Self {
        let difference = &preview.now.difference;
        let mut tally = Self { conflicts: preview.now.problems.len(), ..Self::default() };
        if let Some(identity) = &difference.identity {
            tally.identities[place(identity.act)] += 1;
        }
        for record in &difference.records {
            tally.records[place(record.act())] += 1;
        }
        tally
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let add = |one: [usize; 3], other: [usize; 3]| std::array::from_fn(|index| one[index] + other[index]);
        Self {
            identities: add(self.identities, other.identities),
            records: add(self.records, other.records),
            conflicts: self.conflicts + other.conflicts,
        }
    }

    /// Whether anything would be changed.
    pub fn changes_something(&self) -> bool {
        self.identities.iter().chain(&self.records).any(|count| *count > 0)
    }
}

fn place(act: Act) -> usize {
    match act {
        Act::Create => 0,
        Act::Change => 1,
        Act::Delete => 2,
    }
}

fn sign(act: Act) -> char {
    match act {
        Act::Create => '+',
        Act::Change => '~',
        Act::Delete => '-',
    }
}

/// The last line: `Plan: 1 identity to create, 6 records to create, 0 to change, 0 to delete; 1 conflict`.
pub fn summary(tally: &Tally) -> String {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let verbs = ["create", "change", "delete"];
    let mut parts: Vec<String> = Vec::new();
    for (number, verb) in tally.identities.iter().zip(verbs).filter(|(number, _)| **number > 0) {
        parts.push(format!("{} to {verb}", count(*number, "identity", "identities")));
    }
    let [create, change, delete] = tally.records;
    parts.push(format!("{} to create", count(create, "record", "records")));
    parts.push(format!("{change} to change"));
    parts.push(format!("{delete} to delete"));
    let done = if tally.changes_something() { parts.join(", ") } else { "nothing to do".to_owned() };
    let conflicts = match tally.conflicts {
        0 => String::new(),
        some => format!("; {}", count(some, "conflict", "conflicts")),
    };
    format!("Plan: {done}{conflicts}")
}

/// The lines of a preview without the last one.
pub fn lines(preview: &Preview) -> Vec<String> {
    let steps = std::iter::once(&preview.now).chain(&preview.later);
    steps.flat_map(|step| of_step(step, preview.suspended)).collect()
}

/// The lines for the status, which holds a bounded number of them, none longer than a bounded length.
pub fn for_status(preview: &Preview) -> Vec<PlanLine> {
    let mut lines = lines(preview);
    if lines.len() >= MOST_PLAN_LINES {
        let left_out = lines.len() - (MOST_PLAN_LINES - 2);
        lines.truncate(MOST_PLAN_LINES - 2);
        lines.push(format!("… and {left_out} lines more: `ses-operator plan` shows them"));
    }
    lines.push(summary(&Tally::of(preview)));
    lines.iter().map(|line| PlanLine(shortened(line))).collect()
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= PLAN_LINE_LENGTH {
        return line.to_owned();
    }
    line.chars().take(PLAN_LINE_LENGTH - 1).chain(['…']).collect()
}

fn of_step(step: &Step, suspended: bool) -> Vec<String> {
    let mut lines: Vec<String> = step.awaits.iter().map(|awaits| wait(awaits, step.is_empty(), suspended)).collect();
    lines.extend(difference(&step.difference));
    lines.extend(step.problems.iter().map(|problem| format!("! {}: {}", problem.reason, problem.message)));
    lines.extend(step.notes.iter().map(|note| format!("# {note}")));
    lines
}

/// What a step waits for: the head of what follows, or a line by itself where nothing is done afterwards.
fn wait(awaits: &Await, empty: bool, suspended: bool) -> String {
    let what = match awaits {
        Await::Served => "Route 53 serves the records (usually within 60 seconds)".to_owned(),
        Await::Verified { dkim, mail_from } => {
            let mail_from = mail_from.as_ref().map(|domain| format!("the MAIL FROM domain {domain}"));
            let what: Vec<String> = dkim.then(|| "DKIM".to_owned()).into_iter().chain(mail_from).collect();
            format!("SES has verified {} (usually minutes, at most 72 hours)", what.join(" and "))
        }
        Await::Stage { ends, lasts, begins, at, begun } => {
            let earliest = match (begun, suspended) {
                (true, _) => format!(", not before {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
                (false, false) => format!(", not before {}", at.strftime("%Y-%m-%d")),
                (false, true) => String::new(),
            };
            format!("the DMARC stage {ends} has lasted {lasts}{earliest}: the stage {begins}")
        }
    };
    if empty { format!("waits until {what}") } else { format!("once {what}:") }
}

fn difference(difference: &Difference) -> Vec<String> {
    let mut lines: Vec<String> = difference.identity.iter().flat_map(identity).collect();
    let (foreseen, others): (Vec<&RecordDifference>, Vec<_>) =
        difference.records.iter().partition(|record| record.is_foreseen_dkim());
    if let Some((first, set)) = foreseen.first().and_then(|first| Some((first, first.set()?))) {
        lines.push(format!(
            "+ {} DKIM CNAME records below {} (TTL {}, zone {}), named by tokens that SES gives at creation",
            foreseen.len(),
            set.name.as_str().split_once('.').map_or("", |(_, below)| below),
            set.ttl.unwrap_or_default(),
            first.zone
        ));
    }
    lines.extend(others.into_iter().filter_map(record));
    lines
}

fn identity(difference: &IdentityDifference) -> Vec<String> {
    let head = format!("{} SES identity {}", sign(difference.act), difference.domain);
    std::iter::once(head).chain(difference.settings.iter().map(|setting| format!("    {setting}"))).collect()
}

/// `~ TXT _dmarc.example.com (TTL 300, zone Z1): "old" → "new"`.
fn record(difference: &RecordDifference) -> Option<String> {
    let set = difference.set()?;
    let values = |set: Option<&RecordSet>, without: Option<&RecordSet>| {
        let stays = |value: &&String| without.is_none_or(|other| !other.values.contains(value));
        let of_set = set.iter().flat_map(|set| &set.values).filter(stays);
        of_set.map(|value| readable(&set_type(difference), value)).collect::<Vec<_>>().join(", ")
    };
    let (before, after) = (difference.before.as_ref(), difference.after.as_ref());
    let (old, new) = (values(before, after), values(after, before));
    let both = before.zip(after);
    let stay =
        both.map_or(0, |(before, after)| before.values.iter().filter(|value| after.values.contains(value)).count());
    let what = match (old.as_str(), new.as_str()) {
        ("", "") => String::new(),
        (old, "") if both.is_some() => format!(": without {old}"),
        ("", new) if both.is_some() => format!(": with {new}"),
        (old, "") => format!(": {old}"),
        ("", new) => format!(": {new}"),
        (old, new) => format!(": {old} → {new}"),
    };
    let stays = match stay {
        0 => String::new(),
        1 => "; the other value stays".to_owned(),
        more => format!("; the other {more} values stay"),
    };
    // Where the values stay as they are, only the TTL changes.
    let stays = if what.is_empty() { String::new() } else { stays };
    let cause = match difference.cause {
        None => "",
        Some(Cause::Drifted) if difference.act() == Act::Create => " (ours, and was removed by somebody else)",
        Some(Cause::Drifted) => " (ours, and was changed by somebody else)",
        Some(Cause::Overwritten) => " (not ours, and spec.dns.onConflict is Overwrite)",
        Some(Cause::Merged) => " (not ours: our term is put into it)",
    };
    Some(format!(
        "{} {} {} (TTL {}, zone {}){what}{stays}{cause}",
        sign(difference.act()),
        set.record_type,
        set.name,
        ttl(before, after),
        difference.zone
    ))
}

fn set_type(difference: &RecordDifference) -> RecordType {
    difference.set().map_or(RecordType::Txt, |set| set.record_type.clone())
}

fn ttl(before: Option<&RecordSet>, after: Option<&RecordSet>) -> String {
    let of = |set: Option<&RecordSet>| set.and_then(|set| set.ttl).map(|ttl| ttl.to_string());
    match (of(before), of(after)) {
        (Some(before), Some(after)) if before != after => format!("{before} → {after}"),
        (before, after) => after.or(before).unwrap_or_else(|| "none".to_owned()),
    }
}

/// A value as a person reads it: a TXT value is one text, however many strings DNS cuts it into.
fn readable(record_type: &RecordType, value: &str) -> String {
    match record_type {
        RecordType::Txt => format!("\"{}\"", text::unquote(value)),
        RecordType::Cname | RecordType::Mx | RecordType::Ns | RecordType::Other(_) => value.to_owned(),
    }
}
