//! Answers that cannot be understood.

use crate::record::DecodeError;

/// An answer that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("{0}")]
    Json(String),
    #[error("the answer is no JSON object")]
    NoObject,
    #[error("it is no UTF-8")]
    Utf8,
    #[error("the element <{0}> stands where it cannot")]
    Unexpected(String),
    #[error("text stands where it cannot")]
    StrayText,
    #[error("{text:?} is no {expected}")]
    Literal { expected: &'static str, text: String },
    #[error("the entity &{0}; is not allowed")]
    Entity(String),
    #[error("a document type is not allowed")]
    DocumentType,
    #[error("more than {0} levels deep")]
    TooDeep(usize),
    #[error("one record or value takes more than {0} bytes")]
    TooBig(usize),
    #[error("the answer ends early")]
    Truncated,
    #[error("the answer holds no value")]
    Empty,
    #[error("something follows the answer")]
    Trailing,
    #[error("the server reports a fault")]
    Fault,
    #[error("{0}")]
    Shape(&'static str),
    #[error("it is no {0}")]
    Type(&'static str),
    #[error("no value follows a name near {0:?}: a map key may hold `</name>`, which pools do not escape")]
    Name(String),
    #[error("{0}")]
    Record(#[from] DecodeError),
    /// A visitor refused what it was shown. Whoever asked knows what was expected, and says so; what was found may be a secret.
    #[error("it has another type")]
    Mismatch,
}

impl WireError {
    pub(super) fn unexpected(tag: &str) -> Self {
        Self::Unexpected(tag.chars().take(100).collect())
    }
}

impl serde::de::Error for WireError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Mismatch
    }
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        match error.classify() {
            // Its text quotes what was found.
            Category::Data => Self::Mismatch,
            Category::Eof => Self::Truncated,
            Category::Io | Category::Syntax => Self::Json(error.to_string()),
        }
    }
}
