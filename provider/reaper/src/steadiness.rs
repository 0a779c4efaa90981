//! Whether a pool's clock and coordinator stand still: only then is its word about the time to be acted on.
//!
//! A constant difference between the coordinator's clock and the reaper's own is no harm, since leases are written and judged
//! by the former alone. A difference that changes is: one of the two clocks has jumped, and for a while nobody knows which.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use xenapi::Uuid;

use crate::rails::Rail;

/// How long everything must have stood still, in seconds.
const CALM_SECONDS: i64 = 300;
/// By how many seconds a clock may move within that time.
const TOLERATED_SECONDS: i64 = 120;
/// A constant difference beyond this is worth a warning.
pub const SKEW_SECONDS: i64 = 120;

/// One look at both clocks. Times are in seconds; the own clock's zero does not matter as long as it never jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What the own clock showed.
    pub own: i64,
    /// What the coordinator's clock showed, since 1970.
    pub pool: i64,
}

/// What has been seen of a pool's clock and coordinator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steadiness {
    #[serde(default)]
    readings: VecDeque<Reading>,
    #[serde(default, with = "coordinator")]
    coordinator: Option<Uuid>,
    #[serde(default)]
    changed_at: Option<i64>,
}

impl Reading {
    /// A look at the coordinator's clock at a moment of one's own.
    pub fn new(own: i64, pool: Timestamp) -> Self {
        Self {
            own,
            pool: pool.as_second(),
        }
    }

    fn offset(&self) -> i64 {
        self.pool.saturating_sub(self.own)
    }
}

impl Steadiness {
    /// Takes in a look at the clocks, and who the coordinator was.
    pub fn observe(&mut self, reading: Reading, coordinator: Uuid) {
        self.forget_the_future(reading.own);
        let is_other = self.coordinator.is_some_and(|known| known != coordinator);
        if is_other {
            self.changed_at = Some(reading.own);
        }
        self.coordinator = Some(coordinator);
        self.readings.push_back(reading);
        let calm_since = reading.own.saturating_sub(CALM_SECONDS);
        // The last reading from before stays: what came after it is measured by it.
        while self.readings.get(1).is_some_and(|second| second.own <= calm_since) {
            self.readings.pop_front();
        }
    }

    /// An own clock that was set back leaves looks behind that are still to come. What they showed is as good as seen just now:
    /// else one wrong hour would hold everything back until it has passed.
    fn forget_the_future(&mut self, own: i64) {
        for reading in self.readings.iter_mut().filter(|reading| reading.own > own) {
            let pool = own.saturating_add(reading.offset());
            *reading = Reading { own, pool };
        }
        self.readings.make_contiguous().sort_by_key(|reading| reading.own);
        self.changed_at = self.changed_at.map(|at| at.min(own));
    }

    /// What holds the pool back at this moment of the own clock.
    pub fn rails(&self, own: i64) -> Vec<Rail> {
        let mut rails = Vec::new();
        let since_change = self.changed_at.map(|at| own.saturating_sub(at));
        if let Some(elapsed) = since_change.filter(|elapsed| (0..CALM_SECONDS).contains(elapsed)) {
            rails.push(Rail::CoordinatorChanged {
                remaining_seconds: CALM_SECONDS - elapsed,
            });
        }
        let by_seconds = self.movement();
        if by_seconds.saturating_abs() > TOLERATED_SECONDS {
            rails.push(Rail::ClockMoved { by_seconds });
        }
        rails
    }

    /// The largest movement among the readings, with its sign.
    fn movement(&self) -> i64 {
        let offsets = || self.readings.iter().map(Reading::offset);
        let Some(last) = offsets().next_back() else { return 0 };
        offsets()
            .map(|offset| last.saturating_sub(offset))
            .max_by_key(|movement| movement.saturating_abs())
            .unwrap_or_default()
    }

    /// The present difference: how far the coordinator's clock is ahead.
    pub fn skew_seconds(&self) -> Option<i64> {
        self.readings.back().map(Reading::offset)
    }

    /// The same seen by another clock of one's own that is so many seconds ahead of the one used so far.
    #[must_use]
    pub fn on_clock_ahead_by(mut self, seconds: i64) -> Self {
        for reading in &mut self.readings {
            reading.own = reading.own.saturating_add(seconds);
        }
        self.changed_at = self.changed_at.map(|at| at.saturating_add(seconds));
        self
    }
}

mod coordinator {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use xenapi::Uuid;

    pub(super) fn serialize<S: Serializer>(uuid: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
        match uuid {
            Some(uuid) => serializer.collect_str(uuid),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| text.parse().map_err(|_| D::Error::custom("not a UUID")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_bytes([1; 16]);
    const B: Uuid = Uuid::from_bytes([2; 16]);

    fn names(steadiness: &Steadiness, own: i64) -> Vec<&'static str> {
        steadiness.rails(own).iter().map(Rail::name).collect()
    }

    fn observed(readings: &[(i64, i64)]) -> Steadiness {
        let mut steadiness = Steadiness::default();
        for (own, pool) in readings {
            steadiness.observe(Reading { own: *own, pool: *pool }, A);
        }
        steadiness
    }

    #[test]
    fn a_constant_difference_is_no_movement() {
        let steadiness = observed(&[(0, 10_000), (60, 10_060), (10_000, 20_000)]);
        assert_eq!(names(&steadiness, 10_000), [""; 0]);
        assert_eq!(steadiness.skew_seconds(), Some(10_000));
    }

    #[test]
    fn a_jump_holds_until_it_is_five_minutes_old() {
        for jump in [-7200, 121, 7200] {
            let mut steadiness = observed(&[(0, 0), (3600, 3600 + jump)]);
            assert_eq!(names(&steadiness, 3600), ["clock-moved"]);
            steadiness.observe(
                Reading {
                    own: 3890,
                    pool: 3890 + jump,
                },
                A,
            );
            assert_eq!(names(&steadiness, 3890), ["clock-moved"]);
            steadiness.observe(
                Reading {
                    own: 3901,
                    pool: 3901 + jump,
                },
                A,
            );
            assert_eq!(names(&steadiness, 3901), [""; 0]);
        }
        assert_eq!(names(&observed(&[(0, 0), (3600, 3720)]), 3600), [""; 0]);
    }

    #[test]
    fn a_clock_that_jumps_there_and_back_has_moved() {
        let steadiness = observed(&[(0, 0), (10, 7210), (20, 20)]);
        assert_eq!(names(&steadiness, 20), ["clock-moved"]);
    }

    #[test]
    fn an_own_clock_that_was_a_year_ahead_is_forgotten_after_five_minutes() {
        let year = 31_536_000;
        let mut steadiness = observed(&[(year, 100), (year + 3600, 3700)]);
        for minute in 0..5 {
            let now = 3760 + minute * 60;
            steadiness.observe(Reading { own: now, pool: now }, A);
            assert_eq!(names(&steadiness, now), ["clock-moved"], "{minute}");
        }
        for minute in 5..500 {
            let now = 3760 + minute * 60;
            steadiness.observe(Reading { own: now, pool: now }, A);
        }
        assert_eq!(names(&steadiness, 3760 + 499 * 60), [""; 0]);
        assert!(steadiness.readings.len() < 10, "{}", steadiness.readings.len());
    }

    #[test]
    fn a_new_coordinator_has_to_stand_still_first() {
        let mut steadiness = observed(&[(0, 0)]);
        steadiness.observe(Reading { own: 100, pool: 100 }, B);
        assert_eq!(names(&steadiness, 100), ["coordinator-changed"]);
        assert_eq!(names(&steadiness, 399), ["coordinator-changed"]);
        assert_eq!(names(&steadiness, 400), [""; 0]);
    }

    #[test]
    fn what_is_remembered_goes_on_on_another_clock() {
        let steadiness = observed(&[(1000, 1000)]);
        let text = serde_json::to_string(&steadiness).unwrap();
        let read: Steadiness = serde_json::from_str(&text).unwrap();
        assert_eq!(read, steadiness);
        let mut moved = read.on_clock_ahead_by(-900);
        moved.observe(Reading { own: 200, pool: 1100 }, A);
        assert_eq!(names(&moved, 200), [""; 0]);
        moved.observe(Reading { own: 300, pool: 9000 }, A);
        assert_eq!(names(&moved, 300), ["clock-moved"]);
    }
}
