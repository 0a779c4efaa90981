//! [`Number`]: a number of any precision that compares by value.
//!
//! Terraform computes with a mantissa of 512 bits and sends what fits neither a 64-bit integer nor a float as decimal
//! text. A number that passes through here must come back the same, so it is an integer or a decimal, never a float.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bigdecimal::{BigDecimal, ToPrimitive};

/// The largest decimal exponent accepted, either way; beyond it comparing would cost memory without bound.
const MAX_EXPONENT: i64 = 10_000;

/// A number of any precision.
#[derive(Clone, Debug)]
pub struct Number(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Integer(i64),
    /// What is no 64-bit integer: the value without trailing zeros, and the text it came as, if that is JSON.
    Decimal(Box<(BigDecimal, String)>),
}

/// Says why a text or a float is not a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is not a decimal number.
    #[error("{0:?} is not a number")]
    NotANumber(String),
    /// The number has more digits or a larger exponent than is accepted.
    #[error("a number may have {MAX_EXPONENT} digits at most before and after the point")]
    TooLarge,
}

impl Number {
    /// Makes the number whose shortest decimal text is that of the float: `0.1`, not `0.1000000000000000055…`. Terraform
    /// compares numbers by that text, too.
    ///
    /// # Errors
    /// If the float is infinite or not a number.
    pub fn from_f64(float: f64) -> Result<Number, NumberError> {
        if float.is_finite() {
            float.to_string().parse()
        } else {
            Err(NumberError::NotANumber(float.to_string()))
        }
    }

    /// The number as integer, if it is one and fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Integer(integer) => Some(*integer),
            Repr::Decimal(_) => None,
        }
    }

    /// The number as unsigned integer, if it is one and fits.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Integer(integer) => u64::try_from(*integer).ok(),
            Repr::Decimal(decimal) if decimal.0.is_integer() => decimal.0.to_u64(),
            Repr::Decimal(_) => None,
        }
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
            Repr::Integer(integer) => *integer as f64,
            Repr::Decimal(decimal) => decimal.1.parse().unwrap_or(f64::NAN),
        }
    }

    /// Says whether the number has no fraction.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        match &self.0 {
            Repr::Integer(_) => true,
            Repr::Decimal(decimal) => decimal.0.is_integer(),
        }
    }

    fn to_decimal(&self) -> BigDecimal {
        match &self.0 {
            Repr::Integer(integer) => BigDecimal::from(*integer),
            Repr::Decimal(decimal) => decimal.0.clone(),
        }
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Number, NumberError> {
        if let Ok(integer) = text.parse::<i64>() {
            return Ok(Number::from(integer));
        }
        let limit = usize::try_from(MAX_EXPONENT).unwrap_or(usize::MAX);
        if text.len() > 2 * limit || exponent(text).is_none_or(|exponent| exponent.abs() > MAX_EXPONENT) {
            return Err(NumberError::TooLarge);
        }
        let decimal = BigDecimal::from_str(text)
            .map_err(|_| NumberError::NotANumber(text.to_owned()))?
            .normalized();
        match decimal.is_integer().then(|| decimal.to_i64()).flatten() {
            Some(integer) => Ok(Number::from(integer)),
            None => {
                let text = if is_json(text) {
                    text.to_owned()
                } else {
                    decimal.to_string()
                };
                Ok(Number(Repr::Decimal(Box::new((decimal, text)))))
            }
        }
    }
}

/// Says whether the text is a number in JSON, too: `+1.5`, `.5` and `1_000.5` are not.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

/// The exponent that the text names: 0 without one, nothing if it is beyond all bounds.
fn exponent(text: &str) -> Option<i64> {
    match text.split_once(['e', 'E']) {
        Some((_, exponent)) if exponent.len() > 8 => None,
        Some((_, exponent)) => Some(exponent.parse().unwrap_or(0)),
        None => Some(0),
    }
}

impl From<i64> for Number {
    fn from(integer: i64) -> Number {
        Number(Repr::Integer(integer))
    }
}

impl From<u64> for Number {
    fn from(integer: u64) -> Number {
        match i64::try_from(integer) {
            Ok(integer) => Number::from(integer),
            Err(_) => Number(Repr::Decimal(Box::new((
                BigDecimal::from(integer).normalized(),
                integer.to_string(),
            )))),
        }
    }
}

impl fmt::Display for Number {
    /// Writes the text that the number came as.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Integer(integer) => write!(f, "{integer}"),
            Repr::Decimal(decimal) => f.write_str(&decimal.1),
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Integer(a), Repr::Integer(b)) => a.cmp(b),
            (Repr::Decimal(a), Repr::Decimal(b)) => a.0.cmp(&b.0),
            (Repr::Integer(_), Repr::Decimal(b)) => self.to_decimal().cmp(&b.0),
            (Repr::Decimal(a), Repr::Integer(_)) => a.0.cmp(&other.to_decimal()),
        }
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Repr::Integer(integer) => integer.hash(state),
            Repr::Decimal(decimal) => decimal.0.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_compare_by_value_and_keep_their_text() {
        let equal = [
            ("1", "1.0"),
            ("0.5", "5e-1"),
            ("100", "1e2"),
            ("12345678901234567890", "12345678901234567890.0"),
        ];
        for (a, b) in equal {
            assert_eq!(number(a), number(b));
        }
        let ascending = [
            "-1e400",
            "-9223372036854775808",
            "-0.1",
            "0",
            "0.09",
            "0.1",
            "9223372036854775807",
            "9223372036854775808",
            "1e400",
        ];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert_eq!(number("0.50").to_string(), "0.50");
        assert_eq!(number("+0.50").to_string(), "0.5");
        assert_eq!(number(".5").to_string(), "0.5");
    }

    #[test]
    fn a_float_stands_for_its_shortest_text() {
        assert_eq!(Number::from_f64(0.1), Ok(number("0.1")));
        assert_eq!(Number::from_f64(-0.0), Ok(Number::from(0i64)));
        assert!(Number::from_f64(f64::NAN).is_err());
        assert!(Number::from_f64(f64::INFINITY).is_err());
    }

    #[test]
    fn integers_are_given_only_when_exact() {
        assert_eq!(number("3.0").to_i64(), Some(3));
        assert_eq!(number("3.5").to_i64(), None);
        assert_eq!(number("18446744073709551615").to_u64(), Some(u64::MAX));
        assert_eq!(Number::from(u64::MAX), number("18446744073709551615"));
        assert_eq!(number("-1").to_u64(), None);
        assert!(number("1e400").is_integer());
    }

    #[test]
    fn what_is_no_number_is_refused_without_cost() {
        for text in ["", "a", "1x", "--1", "0x10", "1e", "NaN", "inf"] {
            assert!(
                matches!(text.parse::<Number>(), Err(NumberError::NotANumber(_))),
                "{text}"
            );
        }
        for text in ["1e99999999999", "1e-20000", "1e20000"] {
            assert_eq!(text.parse::<Number>(), Err(NumberError::TooLarge), "{text}");
        }
    }
}
