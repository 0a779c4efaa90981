//! `Validate...Config`: the table first, then what goes beyond it. The provider is not configured, and values may be
//! unknown.

use cty::Value;
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    schema::Schema,
    validate::{self, WriteOnly},
};
use proto::tfplugin6::{
    ClientCapabilities, validate_data_resource_config, validate_list_resource_config, validate_provider_config,
    validate_resource_config,
};

use super::list;

use crate::{
    calls::{Call, Subject},
    provider::{Context, Saved},
    served::Served,
    wire,
};

/// Checks a configuration by its table.
fn by_table(schema: &Schema, config: &Value, cx: &Context) -> Diagnostics {
    let write_only = if cx.write_only_allowed {
        WriteOnly::Allowed
    } else {
        WriteOnly::Refused
    };
    validate::config(schema, config, write_only)
}

impl Call for validate_provider_config::Request {
    type Answer = validate_provider_config::Response;

    const NAME: &'static str = "ValidateProviderConfig";

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        let found = async {
            let config = wire::decode(self.config.as_ref(), served.provider_type())?;
            let mut found = by_table(served.provider.schema(), &config, cx);
            found.extend(served.provider.validate(&config, cx).await);
            Ok(found)
        };
        let found = found.await.unwrap_or_else(|error: Diagnostic| error.into());
        validate_provider_config::Response {
            diagnostics: wire::diagnostics(found),
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        validate_provider_config::Response {
            diagnostics: wire::diagnostics([why]),
        }
    }
}

impl Call for validate_resource_config::Request {
    type Answer = validate_resource_config::Response;

    const NAME: &'static str = "ValidateResourceConfig";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    fn client(&self) -> Option<&ClientCapabilities> {
        self.client_capabilities.as_ref()
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        let found = async {
            let resource = served.resource(&self.type_name)?;
            let config = wire::decode(self.config.as_ref(), resource.ty())?;
            let mut found = by_table(resource.schema(), &config, cx);
            found.extend(resource.item.validate(&config, cx).await);
            Ok(found)
        };
        let found = found.await.unwrap_or_else(|error: Diagnostic| error.into());
        validate_resource_config::Response {
            diagnostics: wire::diagnostics(found),
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        validate_resource_config::Response {
            diagnostics: wire::diagnostics([why]),
        }
    }
}

impl Call for validate_data_resource_config::Request {
    type Answer = validate_data_resource_config::Response;

    const NAME: &'static str = "ValidateDataResourceConfig";

    fn subject(&self) -> Subject<'_> {
        Subject::DataSource(&self.type_name)
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        let found = async {
            let source = served.data_source(&self.type_name)?;
            let config = wire::decode(self.config.as_ref(), source.ty())?;
            let mut found = by_table(source.schema(), &config, cx);
            found.extend(source.item.validate(&config, cx).await);
            Ok(found)
        };
        let found = found.await.unwrap_or_else(|error: Diagnostic| error.into());
        validate_data_resource_config::Response {
            diagnostics: wire::diagnostics(found),
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        validate_data_resource_config::Response {
            diagnostics: wire::diagnostics([why]),
        }
    }
}

impl Call for validate_list_resource_config::Request {
    type Answer = validate_list_resource_config::Response;

    const NAME: &'static str = "ValidateListResourceConfig";

    fn subject(&self) -> Subject<'_> {
        Subject::ListResource(&self.type_name)
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        let found = async {
            let config = list::filters(self.config.as_ref(), served, &self.type_name)?;
            let listed = served.list_resource(&self.type_name)?;
            let mut found = by_table(listed.schema(), &config, cx);
            found.extend(listed.item.validate(&config, cx).await);
            Ok(found)
        };
        let found = found.await.unwrap_or_else(|error: Diagnostic| error.into());
        validate_list_resource_config::Response {
            diagnostics: wire::diagnostics(found),
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        validate_list_resource_config::Response {
            diagnostics: wire::diagnostics([why]),
        }
    }
}
