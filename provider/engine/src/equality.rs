//! [`Equality`]: when two different texts mean the same, so that a difference in spelling is no change.

use cty::{Type, Value};

use crate::duration;

/// When two texts mean the same. On collections it holds element by element.
#[derive(Clone, Copy, Debug)]
pub enum Equality {
    /// Durations of the same length: `60m` and `1h`.
    Duration,
    /// The same network: `10.0.0.7/8` and `10.0.0.0/8`.
    Cidr,
    /// The same address: `::1` and `0:0:0:0:0:0:0:1`.
    Ip,
    /// The same JSON, whatever the order of keys and the spaces.
    Json,
    /// The same letters in another case.
    CaseInsensitive,
    /// The same instant: `2026-01-01T00:00:00Z` and `2026-01-01T01:00:00+01:00`.
    Timestamp,
    /// What the function says.
    Custom(fn(&str, &str) -> bool),
}

impl Equality {
    /// Says whether two values of the type mean the same: equal, or of the same shape with texts that mean the same.
    #[must_use]
    pub fn same(self, a: &Value, b: &Value, ty: &Type) -> bool {
        match (a, b, ty) {
            (Value::String(a), Value::String(b), _) => a == b || self.same_text(a, b),
            // One element may be spelled in several ways, so sets are the same if each covers the other.
            (Value::List(a), Value::List(b), Type::Set(element)) => {
                let covers = |a: &[Value], b: &[Value]| b.iter().all(|b| a.iter().any(|a| self.same(a, b, element)));
                covers(a, b) && covers(b, a)
            }
            (Value::List(a), Value::List(b), Type::List(element)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b, element))
            }
            (Value::Map(a), Value::Map(b), Type::Map(element)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, a)| b.get(key).is_some_and(|b| self.same(a, b, element)))
            }
            (a, b, _) => a == b,
        }
    }

    fn same_text(self, a: &str, b: &str) -> bool {
        match self {
            Equality::Duration => equal(a, b, |text| duration::parse(text).ok()),
            Equality::Cidr => equal(a, b, |text| text.parse::<ipnet::IpNet>().ok().map(|net| net.trunc())),
            Equality::Ip => equal(a, b, |text| text.parse::<std::net::IpAddr>().ok()),
            Equality::Json => equal(a, b, |text| cty::json::decode_untyped(text.as_bytes()).ok()),
            Equality::CaseInsensitive => a.to_lowercase() == b.to_lowercase(),
            Equality::Timestamp => equal(a, b, |text| text.parse::<jiff::Timestamp>().ok()),
            Equality::Custom(same) => same(a, b),
        }
    }
}

/// Texts that mean nothing are the same as no other.
fn equal<T: PartialEq>(a: &str, b: &str, meaning: impl Fn(&str) -> Option<T>) -> bool {
    matches!((meaning(a), meaning(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_by_meaning() {
        let prefix = Equality::Custom(|a, b| a.get(..1) == b.get(..1));
        let cases = [
            (Equality::Duration, "60m", "1h", true),
            (Equality::Duration, "60m", "61m", false),
            (Equality::Duration, "soon", "later", false),
            (Equality::Cidr, "10.1.2.3/8", "10.0.0.0/8", true),
            (Equality::Cidr, "10.0.0.0/8", "10.0.0.0/9", false),
            (Equality::Ip, "::1", "0:0:0:0:0:0:0:1", true),
            (Equality::Json, r#"{"a":1,"b":[2]}"#, r#"{ "b": [2.0], "a": 1 }"#, true),
            (Equality::Json, r#"{"a":1}"#, r#"{"a":2}"#, false),
            (Equality::CaseInsensitive, "Größe", "GRÖSSE", false),
            (Equality::CaseInsensitive, "ABC", "abc", true),
            (
                Equality::Timestamp,
                "2026-01-01T00:00:00Z",
                "2026-01-01T01:00:00+01:00",
                true,
            ),
            (prefix, "abc", "axy", true),
        ];
        for (equality, a, b, expected) in cases {
            assert_eq!(
                equality.same(&Value::from(a), &Value::from(b), &Type::String),
                expected,
                "{equality:?} {a} {b}"
            );
        }
    }

    #[test]
    fn collections_are_compared_element_by_element() {
        let same =
            |a: [&str; 2], b: [&str; 2], ty: &Type| Equality::Duration.same(&Value::list(a), &Value::list(b), ty);
        let (list, set) = (Type::list(Type::String), Type::set(Type::String));
        assert!(same(["60m", "2d"], ["1h", "48h"], &list));
        assert!(!same(["60m", "2d"], ["48h", "1h"], &list));
        assert!(same(["60m", "2d"], ["48h", "1h"], &set));
        assert!(same(["60m", "1h"], ["1h", "3600s"], &set));
        assert!(!same(["60m", "2d"], ["60m", "1h"], &set));
        assert!(!Equality::Duration.same(&Value::Null, &Value::from("1h"), &Type::String));
        assert!(!Equality::Duration.same(&Value::unknown(), &Value::from("1h"), &Type::String));
    }
}
