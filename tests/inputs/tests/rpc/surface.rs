//! The calls of the protocol: how a message of each is drawn, and what its answer says.

use cty::{Type, Value};
use prost::{DecodeError, Message};
use proto::tfplugin6::diagnostic::Severity;
use proto::tfplugin6::{
    Diagnostic, apply_resource_change, call_function, configure_provider, get_functions, get_metadata,
    get_provider_schema, get_resource_identity_schemas, import_resource_state, list_resource, move_resource_state,
    open_ephemeral_resource, plan_resource_change, read_data_source, read_resource, stop_provider,
    upgrade_resource_identity, upgrade_resource_state, validate_data_resource_config, validate_list_resource_config,
    validate_provider_config, validate_resource_config,
};

use crate::draw::{Draw, block_type, packed};

/// A call.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// Whether it may ask a pool.
    pub(crate) asks_pools: bool,
    pub(crate) message: fn(&mut Draw) -> Vec<u8>,
    pub(crate) said: fn(&[u8]) -> Result<Said, DecodeError>,
}

/// What an answer says.
pub(crate) enum Said {
    /// It is of a kind that has no words for errors.
    Nothing,
    /// These errors.
    Errors(Vec<String>),
}

/// A line of the table: name, message and response, and how errors are told.
macro_rules! call {
    ($name:literal, $module:ident, $said:ident, $asks:literal, |$draw:ident| $request:expr) => {
        Call {
            name: $name,
            asks_pools: $asks,
            message: |$draw| {
                let request: $module::Request = $request;
                request.encode_to_vec()
            },
            said: |bytes| $module::Response::decode(bytes).map(|answer| $said!(answer)),
        }
    };
}

/// Of a stream the first event is judged; one without events has the status of a missing answer.
const LIST_RESOURCE: Call = Call {
    name: "ListResource",
    asks_pools: true,
    message: |draw| {
        let (type_name, ty) = draw.list_resource();
        let request = list_resource::Request {
            type_name,
            config: draw.block(&ty),
            include_resource_object: draw.mutator.below(2) == 0,
            limit: [0, 1, 100, -1, i64::MAX, i64::MIN][draw.mutator.below(6)],
        };
        request.encode_to_vec()
    },
    said: |bytes| list_resource::Event::decode(bytes).map(|event| Said::Errors(errors(&event.diagnostic))),
};

macro_rules! diagnostics {
    ($answer:ident) => {
        Said::Errors(errors(&$answer.diagnostics))
    };
}

macro_rules! nothing {
    ($answer:ident) => {{
        drop($answer);
        Said::Nothing
    }};
}

macro_rules! function_error {
    ($answer:ident) => {
        Said::Errors($answer.error.into_iter().map(|error| error.text).collect())
    };
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<String> {
    let errors = diagnostics.iter().filter(|one| one.severity() != Severity::Warning);
    errors.map(|one| format!("{}: {}", one.summary, one.detail)).collect()
}

/// All calls; of those that are not offered some, which are answered alike.
pub(crate) const CALLS: &[Call] = &[
    call!("GetMetadata", get_metadata, diagnostics, false, |_draw| {
        get_metadata::Request {}
    }),
    call!("GetProviderSchema", get_provider_schema, diagnostics, false, |_draw| {
        get_provider_schema::Request {}
    }),
    call!(
        "GetResourceIdentitySchemas",
        get_resource_identity_schemas,
        diagnostics,
        false,
        |_draw| { get_resource_identity_schemas::Request {} }
    ),
    call!("GetFunctions", get_functions, diagnostics, false, |_draw| {
        get_functions::Request {}
    }),
    call!(
        "ValidateProviderConfig",
        validate_provider_config,
        diagnostics,
        false,
        |draw| {
            let ty = draw.provider();
            validate_provider_config::Request {
                config: draw.block(&ty),
            }
        }
    ),
    call!(
        "ValidateResourceConfig",
        validate_resource_config,
        diagnostics,
        false,
        |draw| {
            let (type_name, ty) = draw.resource();
            validate_resource_config::Request {
                type_name,
                config: draw.block(&ty),
                client_capabilities: draw.client(),
            }
        }
    ),
    call!(
        "ValidateDataResourceConfig",
        validate_data_resource_config,
        diagnostics,
        false,
        |draw| {
            let (type_name, ty) = draw.data_source();
            validate_data_resource_config::Request {
                type_name,
                config: draw.block(&ty),
            }
        }
    ),
    call!(
        "ValidateListResourceConfig",
        validate_list_resource_config,
        diagnostics,
        false,
        |draw| {
            let (type_name, ty) = draw.list_resource();
            validate_list_resource_config::Request {
                type_name,
                config: draw.block(&ty),
                include_resource_object: draw.block(&Type::Bool),
                limit: draw.block(&Type::Number),
            }
        }
    ),
    LIST_RESOURCE,
    call!(
        "UpgradeResourceState",
        upgrade_resource_state,
        diagnostics,
        false,
        |draw| {
            let (type_name, ty) = draw.resource();
            let version = [0, 0, 0, 1, -1, i64::MAX][draw.mutator.below(6)];
            upgrade_resource_state::Request {
                type_name,
                version,
                raw_state: draw.stored(&ty),
            }
        }
    ),
    call!(
        "UpgradeResourceIdentity",
        upgrade_resource_identity,
        diagnostics,
        false,
        |draw| {
            let (type_name, ty) = draw.resource();
            upgrade_resource_identity::Request {
                type_name,
                version: 0,
                raw_identity: draw.stored(&ty),
            }
        }
    ),
    call!("ConfigureProvider", configure_provider, diagnostics, false, |draw| {
        let ty = draw.provider();
        configure_provider::Request {
            terraform_version: draw.text(),
            config: draw.block(&ty),
            client_capabilities: draw.client(),
        }
    }),
    call!("ReadResource", read_resource, diagnostics, true, |draw| {
        let (type_name, ty) = draw.resource();
        read_resource::Request {
            type_name,
            current_state: draw.block(&ty),
            private: draw.private(),
            provider_meta: draw.block(&Type::Dynamic),
            client_capabilities: draw.client(),
            current_identity: draw.identity(),
        }
    }),
    call!("PlanResourceChange", plan_resource_change, diagnostics, true, |draw| {
        let (type_name, ty) = draw.resource();
        let config = draw.block(&ty);
        // As a host does it, the proposal is mostly the configuration.
        let proposed = if draw.mutator.below(4) == 0 {
            draw.block(&ty)
        } else {
            config.clone()
        };
        let prior = if draw.mutator.below(2) == 0 {
            draw.block(&ty)
        } else {
            Some(null(&ty))
        };
        plan_resource_change::Request {
            type_name,
            prior_state: prior,
            proposed_new_state: proposed,
            config,
            prior_private: draw.private(),
            provider_meta: None,
            client_capabilities: draw.client(),
            prior_identity: draw.identity(),
            planned_private: draw.private(),
        }
    }),
    call!(
        "ApplyResourceChange",
        apply_resource_change,
        diagnostics,
        true,
        |draw| {
            let (type_name, ty) = draw.resource();
            let prior = if draw.mutator.below(2) == 0 {
                draw.block(&ty)
            } else {
                Some(null(&ty))
            };
            let planned = if draw.mutator.below(3) == 0 {
                Some(null(&ty))
            } else {
                draw.block(&ty)
            };
            apply_resource_change::Request {
                type_name,
                prior_state: prior,
                planned_state: planned,
                config: draw.block(&ty),
                planned_private: draw.private(),
                provider_meta: None,
                planned_identity: draw.identity(),
            }
        }
    ),
    call!(
        "ImportResourceState",
        import_resource_state,
        diagnostics,
        true,
        |draw| {
            let (type_name, _) = draw.resource();
            import_resource_state::Request {
                type_name,
                id: draw.text(),
                client_capabilities: draw.client(),
                identity: draw.identity(),
            }
        }
    ),
    call!("ReadDataSource", read_data_source, diagnostics, true, |draw| {
        let (type_name, ty) = draw.data_source();
        read_data_source::Request {
            type_name,
            config: draw.block(&ty),
            provider_meta: None,
            client_capabilities: draw.client(),
        }
    }),
    call!("CallFunction", call_function, function_error, false, |draw| {
        if draw.mutator.below(4) == 0 {
            return ttl(draw).encode_to_vec();
        }
        let ty = [Type::String, Type::Dynamic, Type::list(Type::Dynamic)][draw.mutator.below(3)].clone();
        let count = [1, 1, 1, 0, 2, 5][draw.mutator.below(6)];
        call_function::Request {
            name: draw.function(),
            arguments: (0..count).filter_map(|_| draw.block(&ty)).collect(),
        }
    }),
    call!("MoveResourceState", move_resource_state, diagnostics, false, |draw| {
        let (target_type_name, ty) = draw.resource();
        move_resource_state::Request {
            source_provider_address: draw.text(),
            source_type_name: draw.text(),
            source_state: draw.stored(&ty),
            target_type_name,
            ..Default::default()
        }
    }),
    call!(
        "OpenEphemeralResource",
        open_ephemeral_resource,
        diagnostics,
        false,
        |draw| {
            let (type_name, ty) = draw.resource();
            open_ephemeral_resource::Request {
                type_name,
                config: draw.block(&ty),
                client_capabilities: draw.client(),
            }
        }
    ),
    call!("StopProvider", stop_provider, nothing, false, |_draw| {
        stop_provider::Request {}
    }),
];

fn null(ty: &Type) -> proto::tfplugin6::DynamicValue {
    proto::tfplugin6::DynamicValue {
        msgpack: packed(&Value::Null, ty),
        json: Vec::new(),
    }
}

/// A call of a function with one text, which may be right.
fn ttl(draw: &mut Draw) -> call_function::Request {
    let text = ["1h30m", "2d", "-1h", "soon"][draw.mutator.below(4)];
    call_function::Request {
        name: "parse_ttl".to_owned(),
        arguments: vec![proto::tfplugin6::DynamicValue {
            msgpack: packed(&Value::from(text), &Type::String),
            json: Vec::new(),
        }],
    }
}

/// A configuration of the provider as a message.
pub(crate) fn configure(offered: &get_provider_schema::Response, config: Value) -> Vec<u8> {
    let ty = block_type(offered.provider.as_ref().unwrap());
    let config = proto::tfplugin6::DynamicValue {
        msgpack: packed(&config.canonical(&ty), &ty),
        json: Vec::new(),
    };
    let request = configure_provider::Request {
        config: Some(config),
        ..Default::default()
    };
    request.encode_to_vec()
}
