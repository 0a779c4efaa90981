//! [`Served`]: a provider as calls find it: by name, with the types of its values at hand.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cty::Type;
use engine::{diagnostics::Diagnostic, schema::Schema};
use proto::tfplugin6::get_provider_schema;

use crate::provider::{DataSource, Function, ListResource, Provider, Resource};

/// A provider as calls find it.
pub(crate) struct Served {
    pub(crate) provider: Arc<dyn Provider>,
    provider_type: OnceLock<Type>,
    resources: HashMap<&'static str, Offered<dyn Resource>>,
    data_sources: HashMap<&'static str, Offered<dyn DataSource>>,
    list_resources: HashMap<&'static str, Offered<dyn ListResource>>,
    /// The answer to `GetProviderSchema`, which the host asks for once per process.
    pub(crate) schema: OnceLock<get_provider_schema::Response>,
}

/// Something the provider offers, and the type of its values.
pub(crate) struct Offered<T: ?Sized> {
    pub(crate) item: Arc<T>,
    ty: OnceLock<Type>,
}

impl<T: ?Sized> Offered<T> {
    fn new(item: &Arc<T>) -> Offered<T> {
        Offered {
            item: Arc::clone(item),
            ty: OnceLock::new(),
        }
    }
}

impl Offered<dyn Resource> {
    pub(crate) fn schema(&self) -> &Schema {
        self.item.schema()
    }

    pub(crate) fn ty(&self) -> &Type {
        self.ty.get_or_init(|| self.item.schema().value_type())
    }
}

impl Offered<dyn DataSource> {
    pub(crate) fn schema(&self) -> &Schema {
        self.item.schema()
    }

    pub(crate) fn ty(&self) -> &Type {
        self.ty.get_or_init(|| self.item.schema().value_type())
    }
}

impl Offered<dyn ListResource> {
    pub(crate) fn schema(&self) -> &Schema {
        self.item.schema()
    }

    pub(crate) fn ty(&self) -> &Type {
        self.ty.get_or_init(|| self.item.schema().value_type())
    }
}

impl Served {
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Served {
        Served {
            resources: provider
                .resources()
                .iter()
                .map(|item| (item.type_name(), Offered::new(item)))
                .collect(),
            data_sources: provider
                .data_sources()
                .iter()
                .map(|item| (item.type_name(), Offered::new(item)))
                .collect(),
            list_resources: provider
                .list_resources()
                .iter()
                .map(|item| (item.type_name(), Offered::new(item)))
                .collect(),
            provider,
            provider_type: OnceLock::new(),
            schema: OnceLock::new(),
        }
    }

    /// The type of the provider block.
    pub(crate) fn provider_type(&self) -> &Type {
        self.provider_type.get_or_init(|| self.provider.schema().value_type())
    }

    pub(crate) fn resource(&self, name: &str) -> Result<&Offered<dyn Resource>, Diagnostic> {
        self.resources
            .get(name)
            .ok_or_else(|| self.not_offered("resource", name))
    }

    pub(crate) fn data_source(&self, name: &str) -> Result<&Offered<dyn DataSource>, Diagnostic> {
        self.data_sources
            .get(name)
            .ok_or_else(|| self.not_offered("data source", name))
    }

    pub(crate) fn list_resource(&self, name: &str) -> Result<&Offered<dyn ListResource>, Diagnostic> {
        self.list_resources
            .get(name)
            .ok_or_else(|| self.not_offered("list resource", name))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Arc<dyn Function>> {
        self.provider
            .functions()
            .iter()
            .find(|function| function.signature().name == name)
    }

    fn not_offered(&self, kind: &str, name: &str) -> Diagnostic {
        let (provider, version) = (self.provider.name(), self.provider.version());
        Diagnostic::error(
            format!("Unknown {kind} type"),
            format!("The provider {provider} {version} has no {kind} {name:?}."),
        )
    }
}
