//! Repeated measurements of one thing.

/// Values in ascending order; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// The values in any order; none without a value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// The middle one, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let at = |index: usize| self.0.get(index).copied().unwrap_or_default();
        let half = self.0.len() / 2;
        if self.0.len().is_multiple_of(2) {
            f64::midpoint(at(half.saturating_sub(1)), at(half))
        } else {
            at(half)
        }
    }

    /// The least and the greatest.
    pub(crate) fn range(&self) -> (f64, f64) {
        let first = self.0.first().copied().unwrap_or_default();
        (first, self.0.last().copied().unwrap_or(first))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The median of values of which there is at least one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Sample::of(values).map_or(f64::NAN, |sample| sample.median())
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn the_median_does_not_care_about_order() {
        let check = |values: &[f64], median: f64, range: (f64, f64)| {
            let sample = Sample::of(values.iter().copied()).unwrap();
            assert_eq!((sample.median(), sample.range()), (median, range), "{values:?}");
        };
        check(&[7.0], 7.0, (7.0, 7.0));
        check(&[9.0, 1.0, 2.0], 2.0, (1.0, 9.0));
        check(&[4.0, 1.0, 2.0, 9.0], 3.0, (1.0, 9.0));
        assert!(Sample::of([]).is_none());
    }
}
