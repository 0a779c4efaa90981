//! Seeded randomness: the same world and the same calls give the same UUIDs and MAC seeds.

use std::time::Duration;

use uuid::Builder;

use crate::db::Ref;
use crate::world::Span;

/// A small generator (splitmix64); not for secrets.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    pub(crate) fn uuid(&mut self) -> String {
        let bytes = (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes();
        Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// A reference: never equal to the object's UUID.
    pub(crate) fn reference(&mut self) -> Ref {
        Ref::new(&format!("OpaqueRef:{}", self.uuid()))
    }

    pub(crate) fn span(&mut self, span: Span) -> Duration {
        let width_us = span.max_ms.saturating_sub(span.min_ms).saturating_mul(1000);
        Duration::from_micros(span.min_ms.saturating_mul(1000) + self.below(width_us + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        assert_eq!(a.uuid(), b.uuid());
        let span = a.span(Span::new(5, 9));
        assert!((5..=9).contains(&span.as_millis()));
        assert_ne!(a.reference(), a.reference());
    }
}
