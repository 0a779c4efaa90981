//! `GetResourceIdentitySchemas`, `UpgradeResourceIdentity`, and the identity that other answers carry.
//!
//! A host saves what an answer says of the identity, nothing included: whoever leaves it out makes the host forget it. So
//! each answer about an object that exists repeats what the request knew, if it has nothing better.

use cty::Value;
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    identity::IdentitySchema,
    oracle::Occasion,
    private::Private,
    upgrade,
};
use proto::tfplugin6::{ResourceIdentityData, get_resource_identity_schemas, upgrade_resource_identity};

use super::check;
use crate::{
    calls::{Call, Subject},
    provider::{Context, Resource, Saved},
    served::{Offered, Served},
    wire,
};

/// The identity of an object that exists, as the resource tells it, or else as the host knows it from before. What cannot be
/// told is complained of, but never at the cost of the state.
pub(super) fn of(
    resource: &Offered<dyn Resource>,
    (state, private): (&Value, &Private),
    before: Option<&ResourceIdentityData>,
    occasion: Occasion,
    found: &mut Diagnostics,
) -> Option<ResourceIdentityData> {
    let schema = resource.schema().identity.as_ref()?;
    let known = wire::decode_identity(before, schema).unwrap_or_else(|error| {
        found.push(error);
        Value::Null
    });
    let identity = resource.item.identify(state, private).unwrap_or_else(|| known.clone());
    found.extend(check::identity(schema, &known, &identity, occasion));
    if identity.is_null() {
        return None;
    }
    match wire::encode_identity(&identity, schema) {
        Ok(identity) => Some(identity),
        Err(error) => {
            found.push(error);
            before.cloned()
        }
    }
}

/// The same of what is there after a failure: as far as it is known, without further complaint.
pub(super) fn of_remains(
    resource: &Offered<dyn Resource>,
    (state, private): (&Value, &Private),
    before: Option<&ResourceIdentityData>,
) -> Option<ResourceIdentityData> {
    let told = || {
        let schema = resource.schema().identity.as_ref()?;
        let identity = resource.item.identify(state, private)?;
        wire::encode_identity(&identity, schema).ok()
    };
    told().or_else(|| before.cloned())
}

impl Call for get_resource_identity_schemas::Request {
    type Answer = get_resource_identity_schemas::Response;

    const NAME: &'static str = "GetResourceIdentitySchemas";

    // Their rules were checked with the rest of the schema: an error here breaks the whole provider.
    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        let resources = served.provider.resources().iter();
        let identity_schemas = resources.filter_map(|resource| {
            let schema = resource.schema().identity.as_ref()?;
            Some((resource.type_name().to_owned(), wire::identity_schema(schema)))
        });
        get_resource_identity_schemas::Response {
            identity_schemas: identity_schemas.collect(),
            diagnostics: Vec::new(),
        }
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        get_resource_identity_schemas::Response {
            diagnostics: wire::diagnostics([why]),
            ..get_resource_identity_schemas::Response::default()
        }
    }
}

impl Call for upgrade_resource_identity::Request {
    type Answer = upgrade_resource_identity::Response;

    const NAME: &'static str = "UpgradeResourceIdentity";

    fn subject(&self) -> Subject<'_> {
        Subject::Resource(&self.type_name)
    }

    async fn answer(&self, served: &Served, _: &Context) -> Self::Answer {
        upgraded(self, served).unwrap_or_else(not_upgraded)
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        not_upgraded(why.into())
    }
}

fn not_upgraded(found: Diagnostics) -> upgrade_resource_identity::Response {
    upgrade_resource_identity::Response {
        upgraded_identity: None,
        diagnostics: wire::diagnostics(found),
    }
}

fn upgraded(
    request: &upgrade_resource_identity::Request,
    served: &Served,
) -> Result<upgrade_resource_identity::Response, Diagnostics> {
    let resource = served.resource(&request.type_name)?;
    let schema = declared(resource, &request.type_name)?;
    let raw = request.raw_identity.as_ref().map(|raw| raw.json.as_slice());
    let identity = upgrade::identity(schema, request.version, raw.unwrap_or_default())?;
    let found = check::identity(schema, &Value::Null, &identity, Occasion::Found);
    Ok(upgrade_resource_identity::Response {
        upgraded_identity: Some(wire::encode_identity(&identity, schema)?),
        diagnostics: wire::diagnostics(found),
    })
}

/// The identity's schema of a resource that must have one.
pub(super) fn declared<'a>(
    resource: &'a Offered<dyn Resource>,
    type_name: &str,
) -> Result<&'a IdentitySchema, Diagnostic> {
    resource.schema().identity.as_ref().ok_or_else(|| {
        let detail = format!("{type_name} has no identity beside its state.");
        Diagnostic::error("Resource without an identity", detail)
    })
}
