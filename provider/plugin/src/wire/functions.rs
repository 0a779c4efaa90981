//! Signatures of functions.

use engine::function::{Parameter, Signature};
use proto::tfplugin6::{self as wire, StringKind, function};

/// A signature.
pub(crate) fn function(signature: &Signature) -> wire::Function {
    wire::Function {
        parameters: signature.parameters.iter().map(parameter).collect(),
        variadic_parameter: signature.variadic.as_ref().map(parameter),
        r#return: Some(function::Return {
            r#type: signature.returns.to_json().into_bytes(),
        }),
        summary: signature.summary.clone(),
        description: signature.description.clone(),
        description_kind: StringKind::Markdown.into(),
        deprecation_message: String::new(),
    }
}

fn parameter(parameter: &Parameter) -> function::Parameter {
    function::Parameter {
        name: parameter.name.clone(),
        r#type: parameter.ty.to_json().into_bytes(),
        allow_null_value: parameter.allow_null,
        allow_unknown_values: parameter.allow_unknown,
        description: parameter.description.clone(),
        description_kind: StringKind::Markdown.into(),
    }
}
