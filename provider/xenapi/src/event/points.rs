//! How far each lane has been told.

use std::time::Duration;

use tokio::time::Instant;

use super::Token;
use super::tempo::Lane;

/// The point up to which each lane has been told, and when it was: of all lanes, or of none.
#[derive(Debug, Default)]
pub(super) struct Points(Option<Told>);

#[derive(Debug)]
struct Told {
    far: Point,
    near: Point,
    prompt: Point,
}

#[derive(Clone, Debug)]
struct Point {
    token: Token,
    since: Instant,
}

impl Points {
    /// From where on the next call for a lane goes.
    pub(super) fn of(&self, lane: Lane) -> Option<&Token> {
        self.point(lane).map(|point| &point.token)
    }

    /// How long ago a lane was told.
    pub(super) fn age(&self, lane: Lane) -> Option<Duration> {
        self.point(lane).map(|point| point.since.elapsed())
    }

    /// Says whether a lane was told longer ago than that.
    pub(super) fn is_older(&self, than: Duration) -> bool {
        let mut ages = Lane::ALL.into_iter().filter_map(|lane| self.age(lane));
        ages.any(|age| age > than)
    }

    /// Notes that a call has told one lane. Those with nobody in them have missed nothing: whoever comes there goes on from here.
    pub(super) fn told(&mut self, lane: Lane, token: Token, is_manned: impl Fn(Lane) -> bool) {
        let point = Point::now(token);
        let Some(told) = &mut self.0 else { return };
        for other in Lane::ALL {
            if lane.includes(other) || !is_manned(other) {
                *told.at(other) = point.clone();
            }
        }
    }

    /// Begins anew: all go on from here.
    pub(super) fn begin(&mut self, token: Token) {
        let point = Point::now(token);
        self.0 = Some(Told {
            far: point.clone(),
            near: point.clone(),
            prompt: point,
        });
    }

    /// There is nothing to go on from any more.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    fn point(&self, lane: Lane) -> Option<&Point> {
        let told = self.0.as_ref()?;
        Some(match lane {
            Lane::Far => &told.far,
            Lane::Near => &told.near,
            Lane::Prompt => &told.prompt,
        })
    }
}

impl Told {
    fn at(&mut self, lane: Lane) -> &mut Point {
        match lane {
            Lane::Far => &mut self.far,
            Lane::Near => &mut self.near,
            Lane::Prompt => &mut self.prompt,
        }
    }
}

impl Point {
    fn now(token: Token) -> Self {
        Self {
            token,
            since: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn token(number: u8) -> Token {
        Token::new(Arc::from(number.to_string()), 1)
    }

    #[test]
    fn a_call_tells_its_own_lane_those_in_it_and_those_without_anybody() {
        let check = |lane, manned: &[Lane], expect: [u8; 3]| {
            let mut points = Points::default();
            points.begin(token(1));
            points.told(lane, token(2), |lane| manned.contains(&lane));
            let at = Lane::ALL.map(|lane| points.of(lane).cloned());
            assert_eq!(at, expect.map(|number| Some(token(number))), "{lane:?} of {manned:?}");
        };
        check(Lane::Far, &Lane::ALL, [2, 1, 1]);
        check(Lane::Near, &Lane::ALL, [1, 2, 2]);
        check(Lane::Prompt, &Lane::ALL, [1, 1, 2]);
        check(Lane::Prompt, &[Lane::Prompt], [2, 2, 2]);
        check(Lane::Far, &[Lane::Far, Lane::Prompt], [2, 2, 1]);
    }

    #[test]
    fn without_a_beginning_nobody_can_have_been_told() {
        let mut points = Points::default();
        points.told(Lane::Near, token(2), |_| true);
        assert!(points.of(Lane::Near).is_none());
        points.begin(token(1));
        points.forget();
        assert!(Lane::ALL.iter().all(|lane| points.of(*lane).is_none()));
    }
}
