//! [`Function`]: something that is only computed.

use cty::Value;
use engine::function::Signature;

/// A pure function: the same arguments always give the same result. It is called on a provider that is not configured.
pub trait Function: Send + Sync + 'static {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// Computes the result.
    ///
    /// # Errors
    ///
    /// If an argument is not acceptable.
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError>;
}

/// Why a function failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// What is wrong, as a sentence.
    pub text: String,
    /// The argument at fault, counted from 0.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// An error that concerns one argument.
    #[must_use]
    pub fn argument(index: usize, text: impl Into<String>) -> FunctionError {
        FunctionError {
            text: text.into(),
            argument: Some(index),
        }
    }

    /// An error that concerns the call as a whole.
    #[must_use]
    pub fn call(text: impl Into<String>) -> FunctionError {
        FunctionError {
            text: text.into(),
            argument: None,
        }
    }
}
