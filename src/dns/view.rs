//! What is known of one zone, and how old it is. Pure.
//!
//! A zone is read whole where that costs no more calls than the look-ups of single domains have cost since; in a zone of
//! 10,000 records the few names of one domain are looked up.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::{RecordChange, RecordSet, RecordType, Subtree};
use crate::domain_name::DomainName;

/// What Route 53 gives in one page.
pub const PAGE: usize = 300;

/// Record sets in the order of their names' labels from the right, so that what is below a name stands together. No key
/// is kept beside the name: a zone may hold 10,000 of them.
#[derive(Clone, Debug, Default)]
struct Sets(Vec<RecordSet>);

/// What is known of one zone.
#[derive(Clone, Debug, Default)]
pub struct ZoneView {
    whole: Option<Whole>,
    parts: HashMap<DomainName, Part>,
    /// Calls that were spent on parts since the zone was read whole.
    spent: usize,
    /// How many sets the zone held when it was read whole, and those that we have added since: the list of zones may be older.
    held: usize,
    /// Names below a domain that were looked for once more, and in vain.
    confirmed: HashMap<DomainName, Vec<DomainName>>,
    /// The domains for which it was read, and that may ask again.
    readers: HashSet<DomainName>,
}

#[derive(Clone, Debug)]
struct Whole {
    read_at: Timestamp,
    sets: Sets,
    /// Names below which something has turned out otherwise.
    distrusted: Vec<DomainName>,
}

/// What is known of one domain in a zone that was not read whole.
#[derive(Clone, Debug)]
pub struct Part {
    /// When it was read.
    pub read_at: Timestamp,
    /// The sets at the domain and below it.
    pub subtree: Subtree,
    /// The sets of names that the subtree does not show.
    pub looked_up: BTreeMap<DomainName, Vec<RecordSet>>,
}

impl Part {
    /// Whether it tells what stands at a name. `root` is the domain that it is of.
    pub fn shows(&self, root: &DomainName, name: &DomainName) -> bool {
        (self.subtree.complete && name.is_within(root))
            || self.looked_up.contains_key(name)
            || self.subtree.record_sets.iter().any(|set| &set.name == name)
    }

    fn record_sets(&self) -> Vec<RecordSet> {
        let listed = self.subtree.record_sets.iter().filter(|set| !self.looked_up.contains_key(&set.name));
        listed.chain(self.looked_up.values().flatten()).cloned().collect()
    }

    fn fold(&mut self, change: &RecordChange) {
        let set = set_of(change);
        let sets = self.looked_up.get_mut(&set.name).unwrap_or(&mut self.subtree.record_sets);
        fold(sets, change);
    }
}

impl Whole {
    /// The sets at `root` and below it, and the delegations and aliases above it, which hide them.
    fn around(&self, root: &DomainName) -> Vec<RecordSet> {
        let below = self.sets.from(root).iter().take_while(|set| set.name.is_within(root));
        let above = root.self_and_ancestors().skip(1).collect::<Vec<_>>();
        let above = above.iter().flat_map(|name| self.sets.at(name));
        let hides = |set: &&RecordSet| matches!(set.record_type, RecordType::Ns | RecordType::Cname);
        below.chain(above.filter(hides)).cloned().collect()
    }
}

impl Sets {
    fn new(mut sets: Vec<RecordSet>) -> Self {
        // Route 53 answers in nearly this order: sorting costs little.
        sets.sort_by(|one, other| order(&one.name, &other.name));
        sets.shrink_to_fit();
        Self(sets)
    }

    /// All sets from a name on.
    fn from(&self, name: &DomainName) -> &[RecordSet] {
        &self.0[self.0.partition_point(|set| order(&set.name, name).is_lt())..]
    }

    /// The sets of one name.
    fn at(&self, name: &DomainName) -> impl Iterator<Item = &RecordSet> {
        self.from(name).iter().take_while(move |set| set.name == *name)
    }

    fn fold(&mut self, change: &RecordChange) {
        let set = set_of(change);
        let start = self.0.len() - self.from(&set.name).len();
        let place = self.at(&set.name).position(|other| other.record_type == set.record_type);
        if let Some(place) = place {
            self.0.remove(start + place);
        }
        if matches!(change, RecordChange::Create(_)) {
            self.0.insert(start, set.clone());
        }
    }
}

/// The order of two names by their labels from the right.
fn order(one: &DomainName, other: &DomainName) -> Ordering {
    one.as_str().rsplit('.').cmp(other.as_str().rsplit('.'))
}

fn set_of(change: &RecordChange) -> &RecordSet {
    let (RecordChange::Create(set) | RecordChange::Delete(set)) = change;
    set
}

fn fold(sets: &mut Vec<RecordSet>, change: &RecordChange) {
    let set = set_of(change);
    sets.retain(|other| !other.is_at(&set.name, &set.record_type));
    if matches!(change, RecordChange::Create(_)) {
        sets.push(set.clone());
    }
}

impl ZoneView {
    /// The record sets around `root` as they were at `not_before` or later, and when they were read; nothing where they
    /// must be read, or where `names` are not surely among them.
    pub fn answer(
        &self,
        root: &DomainName,
        names: &[DomainName],
        not_before: Timestamp,
    ) -> Option<(Vec<RecordSet>, Timestamp)> {
        let whole = self
            .whole
            .as_ref()
            .filter(|whole| whole.read_at >= not_before && !whole.distrusted.iter().any(|name| root.is_within(name)));
        if let Some(whole) = whole {
            return Some((whole.around(root), whole.read_at));
        }
        let part = self.part(root, not_before)?;
        names.iter().all(|name| part.shows(root, name)).then(|| (part.record_sets(), part.read_at))
    }

    /// What is known of a domain by itself, if it was read at `not_before` or later.
    pub fn part(&self, root: &DomainName, not_before: Timestamp) -> Option<&Part> {
        self.parts.get(root).filter(|part| part.read_at >= not_before)
    }

    /// Whether reading the whole zone, of so many record sets, costs no more calls than the look-ups since the last time.
    pub fn prefers_whole(&self, record_sets: usize) -> bool {
        record_sets.max(self.held).div_ceil(PAGE) <= 1 + self.spent
    }

    /// The whole zone was read.
    pub fn take_whole(&mut self, record_sets: Vec<RecordSet>, read_at: Timestamp) {
        let held = record_sets.len();
        let sets = Sets::new(record_sets);
        let readers = std::mem::take(&mut self.readers);
        *self = Self { whole: Some(Whole { read_at, sets, distrusted: Vec::new() }), held, readers, ..Self::default() };
    }

    /// A domain was read by itself, with so many calls.
    pub fn take_part(&mut self, root: DomainName, part: Part, calls: usize) {
        self.confirmed.remove(&root);
        self.parts.insert(root, part);
        self.spent += calls;
    }

    /// The names that must be looked for once more where they were not found: one of each answer that lacks them. An
    /// answer for many names may have come back empty; that of one name is its own.
    pub fn unconfirmed(&self, root: &DomainName, names: &[DomainName]) -> Vec<DomainName> {
        let is_whole = |whole: &Whole| !whole.distrusted.iter().any(|name| root.is_within(name));
        let part = self.parts.get(root).filter(|_| !self.whole.as_ref().is_some_and(is_whole));
        let is_alone = |name: &&DomainName| part.is_some_and(|part| part.looked_up.contains_key(*name));
        let (alone, together): (Vec<&DomainName>, Vec<&DomainName>) = names.iter().partition(is_alone);
        let confirmed = self.confirmed.get(root).map(Vec::as_slice).unwrap_or_default();
        let is_open = |name: &&DomainName| !confirmed.contains(name);
        let together = together.first().copied().filter(|_| !together.iter().any(|name| confirmed.contains(name)));
        alone.into_iter().filter(is_open).chain(together).cloned().collect()
    }

    /// A name was looked for once more, and in vain.
    pub fn confirm(&mut self, root: &DomainName, name: DomainName) {
        self.confirmed.entry(root.clone()).or_default().push(name);
    }

    /// What we wrote.
    pub fn fold(&mut self, changes: &[RecordChange]) {
        for change in changes {
            let name = &set_of(change).name;
            self.held = match change {
                RecordChange::Create(_) => self.held + 1,
                RecordChange::Delete(_) => self.held.saturating_sub(1),
            };
            if let Some(whole) = &mut self.whole {
                whole.sets.fold(change);
            }
            for (_, part) in self.parts.iter_mut().filter(|(root, _)| name.is_within(root)) {
                part.fold(change);
            }
        }
    }

    /// Something at `root` or below it has turned out otherwise.
    pub fn distrust(&mut self, root: &DomainName) {
        self.confirmed.retain(|of, _| !of.is_within(root));
        self.parts.retain(|part, _| !part.is_within(root));
        if let Some(whole) = &mut self.whole
            && !whole.distrusted.contains(root)
        {
            whole.distrusted.push(root.clone());
        }
    }

    /// Somebody reads at `root`, and may ask again.
    pub fn enter(&mut self, root: &DomainName) {
        if !self.readers.contains(root) {
            self.readers.insert(root.clone());
        }
    }

    /// Whoever reads at `root` will not ask again. Tells whether he was the last: then nothing is left.
    pub fn leave(&mut self, root: &DomainName) -> bool {
        self.readers.remove(root);
        self.parts.remove(root);
        self.confirmed.remove(root);
        let last = self.readers.is_empty();
        if last {
            self.clear();
        }
        last
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        *self = Self { readers: std::mem::take(&mut self.readers), held: self.held, ..Self::default() };
    }

    /// Forgets what was read before `time`. Tells whether anything is left.
    pub fn prune(&mut self, time: Timestamp) -> bool {
        self.whole = self.whole.take().filter(|whole| whole.read_at >= time);
        self.parts.retain(|_, part| part.read_at >= time);
        let (whole, parts) = (self.whole.is_some(), &self.parts);
        self.confirmed.retain(|root, _| whole || parts.contains_key(root));
        self.whole.is_some() || !self.parts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn set(name: &str, record_type: RecordType) -> RecordSet {
        RecordSet::new(DomainName::new(name), record_type, 300, vec!["x".into()])
    }

    fn view(sets: &[(&str, RecordType)]) -> ZoneView {
        let mut view = ZoneView::default();
        view.take_whole(sets.iter().map(|(name, kind)| set(name, kind.clone())).collect(), at(0));
        view
    }

    fn names(view: &ZoneView, root: &str, not_before: i64) -> Option<Vec<String>> {
        let (sets, _) = view.answer(&DomainName::new(root), &[], at(not_before))?;
        Some(sets.iter().map(|set| format!("{} {}", set.name, set.record_type)).collect())
    }

    #[test]
    fn of_the_whole_zone_a_domain_sees_what_is_below_it_and_what_hides_it() {
        use RecordType::{Cname, Mx, Ns, Txt};
        let view = view(&[
            ("example.com", Ns),
            ("example.com", Mx),
            ("a.example.com", Txt),
            ("_dmarc.a.example.com", Txt),
            ("aa.example.com", Txt),
            ("b.example.com", Cname),
        ]);
        let a = ["a.example.com TXT", "_dmarc.a.example.com TXT", "example.com NS"];
        assert_eq!(names(&view, "a.example.com", 0), Some(a.map(str::to_owned).to_vec()));
        let below_an_alias = ["b.example.com CNAME", "example.com NS"];
        assert_eq!(names(&view, "x.b.example.com", 0), Some(below_an_alias.map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_was_read_for_several_is_forgotten_once_the_last_of_them_has_left() {
        let mut view = view(&[("a.example.com", RecordType::Txt)]);
        let [a, b] = ["a.example.com", "b.example.com"].map(DomainName::new);
        for root in [&a, &b, &a] {
            view.enter(root);
        }
        assert!(!view.leave(&a));
        assert!(names(&view, "a.example.com", 0).is_some());
        assert!(!view.leave(&a), "it has left before");
        assert!(view.leave(&b));
        assert_eq!(names(&view, "a.example.com", 0), None);
    }

    #[test]
    fn what_is_too_old_or_has_turned_out_otherwise_is_no_answer() {
        let mut view = view(&[("a.example.com", RecordType::Txt)]);
        assert_eq!(names(&view, "a.example.com", 1), None);
        view.distrust(&DomainName::new("a.example.com"));
        assert_eq!(names(&view, "a.example.com", 0), None);
        assert_eq!(names(&view, "x.a.example.com", 0), None);
        assert!(names(&view, "b.example.com", 0).is_some(), "its neighbours are as they were");
    }

    #[test]
    fn what_we_wrote_is_seen_without_reading() {
        let mut view = view(&[("a.example.com", RecordType::Txt)]);
        view.fold(&[
            RecordChange::Delete(set("a.example.com", RecordType::Txt)),
            RecordChange::Create(set("b.a.example.com", RecordType::Mx)),
        ]);
        assert_eq!(names(&view, "a.example.com", 0), Some(vec!["b.a.example.com MX".to_owned()]));
    }

    #[test]
    fn a_zone_that_has_grown_by_what_we_wrote_is_as_large_as_that_whatever_the_list_of_zones_says() {
        let mut view = view(&[("example.com", RecordType::Ns)]);
        assert!(view.prefers_whole(2));
        let changes: Vec<RecordChange> = (0..6000)
            .map(|number| RecordChange::Create(set(&format!("d{number}.example.com"), RecordType::Txt)))
            .collect();
        view.fold(&changes);
        assert!(!view.prefers_whole(2));
        view.prune(at(1));
        assert!(!view.prefers_whole(2), "also when what was read is forgotten");
        view.fold(&changes.iter().map(|change| RecordChange::Delete(set_of(change).clone())).collect::<Vec<_>>());
        assert!(view.prefers_whole(2));
    }

    #[test]
    fn a_large_zone_is_read_whole_once_the_look_ups_have_cost_as_much() {
        let mut view = ZoneView::default();
        assert!(view.prefers_whole(300));
        let asked = (0..100).take_while(|number| {
            let whole = view.prefers_whole(10_000);
            let subtree = Subtree { record_sets: vec![], complete: true };
            let part = Part { read_at: at(0), subtree, looked_up: BTreeMap::new() };
            view.take_part(DomainName::new(&format!("d{number}.example.com")), part, 1);
            !whole
        });
        assert_eq!(asked.count(), 33);
    }
}
