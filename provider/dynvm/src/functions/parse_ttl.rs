//! `parse_ttl`: a duration as `dynvm_server` takes it, in seconds.

use cty::{Type, Value};
use engine::function::{Parameter, Signature};
use plugin::provider::{Function, FunctionError};

/// The function.
pub(super) struct ParseTtl(Signature);

impl ParseTtl {
    pub(super) fn new() -> Self {
        Self(Signature {
            name: "parse_ttl".to_owned(),
            summary: "The seconds of a ttl.".to_owned(),
            description: "Reads a duration as `ttl` and `timeouts` take it (`90m`, `1h30m`, `2d`; seconds to days, above 0) and gives its seconds, for \
                          sums and comparisons in a module."
                .to_owned(),
            parameters: vec![Parameter::new("ttl", Type::String, "The duration.")],
            variadic: None,
            returns: Type::Number,
        })
    }
}

impl Function for ParseTtl {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let text = arguments.first().and_then(Value::as_str).unwrap_or_default();
        let duration = engine::duration::parse(text).map_err(|error| FunctionError::argument(0, error.to_string()))?;
        if duration.subsec_nanos() == 0 {
            Ok(duration.as_secs().into())
        } else {
            Err(FunctionError::argument(0, "must be in whole seconds, as a ttl is"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_in_seconds_or_what_is_wrong_with_it() {
        let check = |text: &str, expect: Option<u64>| {
            let found = ParseTtl::new().call(&[text.into()]);
            assert_eq!(found.as_ref().ok().and_then(Value::as_u64), expect, "{text}: {found:?}");
            assert_eq!(
                found.err().and_then(|error| error.argument),
                expect.map_or(Some(0), |_| None),
                "{text}"
            );
        };
        check("90m", Some(5400));
        check("1h30m", Some(5400));
        check("2d", Some(172_800));
        for wrong in ["", "soon", "0s", "-1h", "1500ms", "1 month"] {
            check(wrong, None);
        }
    }
}
