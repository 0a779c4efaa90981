//! `GetFunctions` and `CallFunction`.

use std::collections::HashMap;

use cty::Value;
use engine::{
    diagnostics::Diagnostic,
    function::{Parameter, Signature},
};
use proto::tfplugin6::{self as proto6, call_function, get_functions};

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, FunctionError, Saved},
    served::Served,
    wire,
};

/// All functions, by name.
pub(super) fn all(served: &Served) -> HashMap<String, proto6::Function> {
    let one = |signature: &Signature| (signature.name.clone(), wire::function(signature));
    served
        .provider
        .functions()
        .iter()
        .map(|function| one(function.signature()))
        .collect()
}

impl Call for get_functions::Request {
    type Answer = get_functions::Response;

    const NAME: &'static str = "GetFunctions";

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        get_functions::Response {
            functions: all(served),
            ..get_functions::Response::default()
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        get_functions::Response {
            diagnostics: wire::diagnostics([why]),
            ..get_functions::Response::default()
        }
    }
}

impl Call for call_function::Request {
    type Answer = call_function::Response;

    const NAME: &'static str = "CallFunction";

    fn subject(&self) -> Subject<'_> {
        Subject::Function(&self.name)
    }

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        call(self, served).unwrap_or_else(|error| {
            let argument = error.argument.and_then(|index| i64::try_from(index).ok());
            tracing::error!(error = %error.text, "a function failed");
            let error = proto6::FunctionError {
                text: error.text,
                function_argument: argument,
            };
            call_function::Response {
                result: None,
                error: Some(error),
            }
        })
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        let error = proto6::FunctionError {
            text: format!("{}: {}", why.summary, why.detail),
            function_argument: None,
        };
        call_function::Response {
            result: None,
            error: Some(error),
        }
    }
}

fn call(request: &call_function::Request, served: &Served) -> Result<call_function::Response, FunctionError> {
    let unknown = || FunctionError::call(format!("The provider has no function {}.", request.name));
    let function = served.function(&request.name).ok_or_else(unknown)?;
    let signature = function.signature();
    let arguments = arguments(request, signature)?;
    let result = function.call(&arguments)?.canonical(&signature.returns);
    check::function(signature, &arguments, &result)?;
    let result = wire::encode(&result, &signature.returns).map_err(|error| FunctionError::call(error.detail))?;
    Ok(call_function::Response {
        result: Some(result),
        error: None,
    })
}

fn arguments(request: &call_function::Request, signature: &Signature) -> Result<Vec<Value>, FunctionError> {
    let (given, least) = (request.arguments.len(), signature.parameters.len());
    if given < least || (given > least && signature.variadic.is_none()) {
        return Err(FunctionError::call(format!(
            "The function {} takes {least} arguments, {given} were given.",
            signature.name
        )));
    }
    let parameters = signature
        .parameters
        .iter()
        .chain(std::iter::repeat_n(signature.variadic.as_ref(), given - least).flatten());
    let decode = |(index, (argument, parameter)): (usize, (&proto6::DynamicValue, &Parameter))| {
        wire::decode(Some(argument), &parameter.ty).map_err(|error| FunctionError::argument(index, error.detail))
    };
    request
        .arguments
        .iter()
        .zip(parameters)
        .enumerate()
        .map(decode)
        .collect()
}
