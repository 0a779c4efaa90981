//! Seeded chance. Each actor has dice of its own, so that none moves another's numbers.

/// A small generator (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of one actor of a run.
    pub(crate) fn new(seed: u64, actor: u64) -> Self {
        let mut dice = Self(seed);
        let base = dice.next();
        Self(base ^ actor.wrapping_mul(0xD6E8_FEB8_6659_FD93))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from one bound to the other, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        let width = most.saturating_sub(least).saturating_add(1);
        least + self.next().checked_rem(width).unwrap_or_default()
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.between(1, 100) <= chance
    }

    /// One of some things, each as often as its weight says.
    ///
    /// # Panics
    /// There is none.
    pub(crate) fn weighted<T: Copy>(&mut self, things: &[(u64, T)]) -> T {
        let sum = things.iter().map(|(weight, _)| weight).sum::<u64>();
        let mut left = self.between(1, sum);
        for (weight, thing) in things {
            match left.checked_sub(*weight) {
                None | Some(0) => return *thing,
                Some(rest) => left = rest,
            }
        }
        unreachable!("the weights add up")
    }

    /// One of some things.
    ///
    /// # Panics
    /// There is none.
    #[expect(clippy::expect_used, reason = "a fault of the soak itself")]
    pub(crate) fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        let most = things.len().saturating_sub(1) as u64;
        let at = usize::try_from(self.between(0, most)).unwrap_or_default();
        *things.get(at).expect("there is one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_actor_of_the_same_seed_throws_the_same() {
        let throws = |seed, actor| {
            let mut dice = Dice::new(seed, actor);
            [(); 5].map(|()| dice.between(0, 1000))
        };
        assert_eq!(throws(7, 1), throws(7, 1));
        assert_ne!(throws(7, 1), throws(7, 2));
        assert_ne!(throws(7, 1), throws(8, 1));
    }

    #[test]
    fn weights_are_heeded_and_bounds_included() {
        let mut dice = Dice::new(1, 1);
        let mut seen = [0; 3];
        for _ in 0..1000 {
            seen[dice.weighted(&[(90, 0), (0, 1), (10, 2)])] += 1;
            assert!((3..=5).contains(&dice.between(3, 5)));
        }
        assert!(seen[0] > 800 && seen[1] == 0 && seen[2] > 20, "{seen:?}");
    }
}
