//! [`CodecError`]: what was wrong with bytes or a value, and where.

use crate::{NumberError, Path, Type, TypeError};

/// Says what could not be encoded or decoded, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", place(.path))]
pub struct CodecError {
    /// Where, as far as it is known.
    pub path: Path,
    /// What.
    pub problem: Problem,
}

fn place(path: &Path) -> String {
    if path.is_root() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The value is of another kind than the type.
    #[error("{expected} is required, found {found}")]
    Mismatch {
        /// The type that was asked for.
        expected: Type,
        /// What stood there, in words.
        found: String,
    },
    /// An object lacks attributes, or a tuple elements.
    #[error("{expected} elements are required, {found} given")]
    Count {
        /// How many the type has.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// An object has an attribute that the type does not know.
    #[error("unsupported attribute {0:?}")]
    UnknownAttribute(String),
    /// A number is none.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// A type inside a dynamic value is none.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// The bytes end too early or have not the form of the format.
    #[error("malformed input: {0}")]
    Malformed(String),
    /// Bytes follow after the value.
    #[error("{0} bytes follow after the value")]
    Trailing(usize),
    /// The value nests deeper than is accepted.
    #[error("values may nest {} levels at most", crate::types::MAX_DEPTH)]
    TooDeep,
    /// JSON, which has no unknown values, was asked to hold one.
    #[error("an unknown value cannot be written as JSON")]
    UnknownValue,
}

impl CodecError {
    pub(crate) fn at(path: &Path, problem: impl Into<Problem>) -> CodecError {
        CodecError {
            path: path.clone(),
            problem: problem.into(),
        }
    }

    pub(crate) fn mismatch(path: &Path, expected: &Type, found: impl Into<String>) -> CodecError {
        CodecError::at(
            path,
            Problem::Mismatch {
                expected: expected.clone(),
                found: found.into(),
            },
        )
    }
}
