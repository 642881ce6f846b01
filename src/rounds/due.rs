//! When a zone is read. Pure.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use crate::dns::ZoneId;

/// How often each zone is read.
pub const ZONE_ROUND: SignedDuration = SignedDuration::from_mins(60);

/// When a zone is read the next time after `after`, whose oldest record has stood as it does since `since`.
///
/// What was written within the hour is known, and looked at when the hour is over. From then on the time follows from the
/// zone's ID: the zones are spread over the hour, and a restart moves none.
pub fn next(zone: &ZoneId, since: Timestamp, after: Timestamp) -> Timestamp {
    let first = since.checked_add(ZONE_ROUND).unwrap_or(since);
    // A status may say any time: one that has not come yet is no reason not to look.
    if since <= after && first > after { first } else { by_id(zone, after) }
}

fn by_id(zone: &ZoneId, after: Timestamp) -> Timestamp {
    let mut hasher = DefaultHasher::new();
    zone.hash(&mut hasher);
    let hour = ZONE_ROUND.as_secs();
    let place = i64::try_from(hasher.finish() % hour.unsigned_abs()).unwrap_or_default();
    let left = (place - after.as_second()).rem_euclid(hour);
    after + SignedDuration::from_secs(if left == 0 { hour } else { left })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn start() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn zone(number: usize) -> ZoneId {
        ZoneId(format!("Z{number}"))
    }

    #[test]
    fn each_zone_is_read_once_an_hour_and_they_are_spread_over_it() {
        let long_ago = start() - ZONE_ROUND * 24;
        let mut in_a_minute = Vec::new();
        let mut read = BTreeMap::new();
        for minute in 0..120 {
            let (last, now) = (start() + MINUTE * minute, start() + MINUTE * (minute + 1));
            let due: Vec<ZoneId> = (0..600).map(zone).filter(|zone| next(zone, long_ago, last) <= now).collect();
            in_a_minute.push(due.len());
            due.into_iter().for_each(|zone| *read.entry(zone).or_insert(0) += 1);
        }
        assert_eq!(read.len(), 600);
        assert!(read.values().all(|times| *times == 2), "twice in two hours");
        assert!(in_a_minute.iter().all(|zones| *zones < 30), "ten a minute on average: {in_a_minute:?}");
    }

    #[test]
    fn a_zone_that_was_just_written_is_read_an_hour_later_and_then_at_its_own_time() {
        for number in 0..100 {
            let zone = zone(number);
            let looks: Vec<Timestamp> =
                std::iter::successors(Some(start()), |after| Some(next(&zone, start(), *after))).take(5).collect();
            assert_eq!(looks[1], start() + ZONE_ROUND);
            assert!(looks[2] > looks[1] && looks[2] <= looks[1] + ZONE_ROUND, "what is promised is kept: {looks:?}");
            assert_eq!(looks[3], looks[2] + ZONE_ROUND);
            assert_eq!(looks[4], looks[3] + ZONE_ROUND);
        }
    }

    #[test]
    fn a_record_that_is_said_to_stand_since_tomorrow_keeps_no_zone_from_being_read() {
        for since in [start() + ZONE_ROUND * 24, start() + MINUTE, Timestamp::MAX] {
            assert!(next(&zone(1), since, start()) <= start() + ZONE_ROUND, "{since}");
        }
    }
}
