//! A XenAPI failure: a code and its parameters, as they travel.

use std::borrow::Cow;

use crate::db::{Cls, Ref};

/// What a call fails with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Cow<'static, str>,
    pub(crate) params: Vec<String>,
}

/// What handlers return.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new<const N: usize>(code: &'static str, params: [&str; N]) -> Self {
        Self {
            code: Cow::Borrowed(code),
            params: params.iter().map(|p| (*p).to_owned()).collect(),
        }
    }

    pub(crate) fn handle_invalid(cls: Cls, reference: &Ref) -> Self {
        Self::new("HANDLE_INVALID", [cls.name(), reference.as_str()])
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::new("INTERNAL_ERROR", [message])
    }

    /// A failure that a test names.
    pub(crate) fn injected(code: String, params: Vec<String>) -> Self {
        Self {
            code: Cow::Owned(code),
            params,
        }
    }

    /// Code and parameters in one list, as `ErrorDescription` and `task.error_info` have them.
    pub(crate) fn description(&self) -> Vec<String> {
        std::iter::once(self.code.to_string())
            .chain(self.params.iter().cloned())
            .collect()
    }
}
