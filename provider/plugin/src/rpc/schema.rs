//! What the provider offers: `GetMetadata`, `GetProviderSchema`.

use engine::{diagnostics::Diagnostic, oracle::Owner};
use proto::tfplugin6::{ServerCapabilities, get_metadata, get_provider_schema};

use super::check;
use crate::{
    calls::Call,
    provider::{Context, Saved},
    served::Served,
    wire,
};

/// What this server understands.
const CAPABILITIES: ServerCapabilities = ServerCapabilities {
    plan_destroy: true,
    // The host may keep the schema over several processes.
    get_provider_schema_optional: true,
    move_resource_state: true,
    generate_resource_config: false,
};

impl Call for get_metadata::Request {
    type Answer = get_metadata::Response;

    const NAME: &'static str = "GetMetadata";

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        let provider = &served.provider;
        get_metadata::Response {
            server_capabilities: Some(CAPABILITIES),
            resources: provider
                .resources()
                .iter()
                .map(|resource| get_metadata::ResourceMetadata {
                    type_name: resource.type_name().to_owned(),
                })
                .collect(),
            data_sources: provider
                .data_sources()
                .iter()
                .map(|source| get_metadata::DataSourceMetadata {
                    type_name: source.type_name().to_owned(),
                })
                .collect(),
            list_resources: provider
                .list_resources()
                .iter()
                .map(|list| get_metadata::ListResourceMetadata {
                    type_name: list.type_name().to_owned(),
                })
                .collect(),
            functions: provider
                .functions()
                .iter()
                .map(|function| get_metadata::FunctionMetadata {
                    name: function.signature().name.clone(),
                })
                .collect(),
            ..get_metadata::Response::default()
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        get_metadata::Response {
            diagnostics: wire::diagnostics([why]),
            ..get_metadata::Response::default()
        }
    }
}

impl Call for get_provider_schema::Request {
    type Answer = get_provider_schema::Response;

    const NAME: &'static str = "GetProviderSchema";

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        served.schema.get_or_init(|| schema_of(served)).clone()
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        get_provider_schema::Response {
            diagnostics: wire::diagnostics([why]),
            ..get_provider_schema::Response::default()
        }
    }
}

fn schema_of(served: &Served) -> get_provider_schema::Response {
    let provider = &served.provider;
    let resources = provider
        .resources()
        .iter()
        .map(|resource| (resource.type_name(), resource.schema()));
    let data_sources = provider
        .data_sources()
        .iter()
        .map(|source| (source.type_name(), source.schema()));
    let list_resources = provider
        .list_resources()
        .iter()
        .map(|list| (list.type_name(), list.schema()));
    let mut found = check::schema("the provider block", Owner::Provider, provider.schema());
    found.extend(
        resources
            .clone()
            .flat_map(|(name, schema)| check::schema(name, Owner::Resource, schema)),
    );
    found.extend(
        data_sources
            .clone()
            .flat_map(|(name, schema)| check::schema(name, Owner::DataSource, schema)),
    );
    found.extend(list_resources.clone().flat_map(|(name, schema)| {
        check::list(
            name,
            schema,
            served.resource(name).ok().map(|resource| resource.schema()),
        )
    }));
    found.extend(
        provider
            .functions()
            .iter()
            .flat_map(|function| check::signature(function.signature())),
    );
    get_provider_schema::Response {
        provider: Some(wire::schema(provider.schema())),
        resource_schemas: resources
            .map(|(name, schema)| (name.to_owned(), wire::schema(schema)))
            .collect(),
        data_source_schemas: data_sources
            .map(|(name, schema)| (name.to_owned(), wire::schema(schema)))
            .collect(),
        list_resource_schemas: list_resources
            .map(|(name, schema)| (name.to_owned(), wire::schema(schema)))
            .collect(),
        functions: super::functions::all(served),
        diagnostics: wire::diagnostics(found),
        server_capabilities: Some(CAPABILITIES),
        ..get_provider_schema::Response::default()
    }
}
