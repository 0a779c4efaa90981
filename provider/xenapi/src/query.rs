//! Filters for `get_all_records_where`.
//!
//! The server's grammar has no escapes, so a literal with a double quote cannot be written; and its `not` binds loosest, so
//! everything is put in parentheses here.

use std::fmt;

use crate::reference::Ref;

/// A condition on the columns of one class. Columns are the pool's database names: namespaces are joined by two underscores
/// (`name__label`, `memory__static_max`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

/// The literal cannot be written in a filter: read more and choose among the records instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be written in a filter")]
pub struct UnquotableLiteral(pub String);

impl Filter {
    /// Matches every record.
    pub fn all() -> Self {
        Self("true".to_owned())
    }

    /// Matches no record.
    pub fn none() -> Self {
        Self("false".to_owned())
    }

    /// Matches records whose column has this text: names, UUIDs, and enums as on the wire.
    ///
    /// # Errors
    /// The text holds a double quote, or a character that XML cannot carry.
    pub fn eq(column: &'static str, literal: &str) -> Result<Self, UnquotableLiteral> {
        let is_writable = literal.chars().all(|c| c != '"' && c != '\\' && !c.is_control());
        if is_writable {
            Ok(Self::raw(column, literal))
        } else {
            Err(UnquotableLiteral(literal.chars().take(100).collect()))
        }
    }

    /// Matches records whose column holds this UUID.
    pub fn uuid(uuid: crate::Uuid) -> Self {
        Self::raw("uuid", &uuid.to_string())
    }

    /// Matches records whose column refers to this object; the column `_ref` is the record's own reference.
    pub fn refers<C>(column: &'static str, object: &Ref<C>) -> Self {
        Self::raw(column, object.as_str())
    }

    /// Matches records whose column refers to one of these objects.
    pub fn refers_any<'a, C: 'a>(column: &'static str, objects: impl IntoIterator<Item = &'a Ref<C>>) -> Self {
        Self::any(objects.into_iter().map(|object| Self::refers(column, object)))
    }

    /// Matches records whose flag is set.
    pub fn is_true(column: &'static str) -> Self {
        Self::raw(column, "true")
    }

    /// Matches records whose flag is not set.
    pub fn is_false(column: &'static str) -> Self {
        Self::raw(column, "false")
    }

    /// Matches records whose set or map is empty.
    pub fn is_empty(column: &'static str) -> Self {
        Self::raw(column, "()")
    }

    /// Matches what both match.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(format!("({} and {})", self.0, other.0))
    }

    /// Matches what either matches.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(format!("({} or {})", self.0, other.0))
    }

    /// Matches what this does not match.
    #[must_use]
    pub fn negate(self) -> Self {
        Self(format!("(not {})", self.0))
    }

    /// Matches what any of these matches; none of none.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(filters, " or ").unwrap_or_else(Self::none)
    }

    /// Matches what all of these match; everything for none.
    pub fn every(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(filters, " and ").unwrap_or_else(Self::all)
    }

    fn joined(filters: impl IntoIterator<Item = Self>, word: &str) -> Option<Self> {
        let mut text = String::from("(");
        for (at, filter) in filters.into_iter().enumerate() {
            if at > 0 {
                text.push_str(word);
            }
            text.push_str(&filter.0);
        }
        text.push(')');
        (text.len() > 2).then_some(Self(text))
    }

    fn raw(column: &'static str, literal: &str) -> Self {
        Self(format!("(field \"{column}\"=\"{literal}\")"))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::reference::Ref;

    #[test]
    fn writes_the_servers_grammar() {
        let filter = Filter::eq("name__label", "a b")
            .unwrap()
            .and(Filter::is_false("is_a_template").negate());
        assert_eq!(
            filter.to_string(),
            r#"((field "name__label"="a b") and (not (field "is_a_template"="false")))"#
        );
        let refs = [Ref::<()>::new("OpaqueRef:a"), Ref::new("OpaqueRef:b")];
        assert_eq!(
            Filter::refers_any("_ref", &refs).to_string(),
            r#"((field "_ref"="OpaqueRef:a") or (field "_ref"="OpaqueRef:b"))"#
        );
        assert_eq!(Filter::any([]).to_string(), "false");
        assert_eq!(Filter::every([]).to_string(), "true");
    }

    #[test]
    fn refuses_what_cannot_be_quoted() {
        for literal in ["a\"b", "a\\b", "a\nb", "\u{1}"] {
            assert!(Filter::eq("name__label", literal).is_err(), "{literal:?}");
        }
        assert!(Filter::eq("name__label", "tmpl-win16dc - PATCHED (1) ä < &").is_ok());
    }
}
