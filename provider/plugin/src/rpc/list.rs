//! `ListResource`. The answer is a stream of events, one for each object; the host stops at the first that carries an error.

use cty::Value;
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    oracle::Occasion,
};
use proto::tfplugin6::{DynamicValue, list_resource};

use super::{check, identity};
use crate::{
    calls::{Call, Subject},
    provider::{Context, ListRequest, Listed, Resource, Saved},
    served::{Offered, Served},
    wire,
};

impl Call for list_resource::Request {
    type Answer = Vec<list_resource::Event>;

    const NAME: &'static str = "ListResource";

    fn subject(&self) -> Subject<'_> {
        Subject::ListResource(&self.type_name)
    }

    async fn answer(&self, served: &Served, cx: &Context) -> Self::Answer {
        answer(self, served, cx).await.unwrap_or_else(nothing)
    }

    fn lost(&self, _: &Served, _: Option<Saved>, why: Diagnostic) -> Self::Answer {
        nothing(why.into())
    }
}

fn nothing(found: Diagnostics) -> Vec<list_resource::Event> {
    vec![list_resource::Event {
        diagnostic: wire::diagnostics(found),
        ..list_resource::Event::default()
    }]
}

async fn answer(
    request: &list_resource::Request,
    served: &Served,
    cx: &Context,
) -> Result<Vec<list_resource::Event>, Diagnostics> {
    let list = served.list_resource(&request.type_name)?;
    let resource = served.resource(&request.type_name)?;
    let wanted = ListRequest {
        config: filters(request.config.as_ref(), served, &request.type_name)?,
        with_state: request.include_resource_object,
    };
    let found = list.item.list(wanted, cx).await?;
    found
        .into_iter()
        .take(limit(request.limit))
        .map(|listed| event(resource, &request.type_name, listed))
        .collect()
}

/// How many objects the host reads. It has a limit of its own and always sends it; without one there is none.
fn limit(limit: i64) -> usize {
    usize::try_from(limit)
        .ok()
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX)
}

/// The filters. A user who wrote no block of them set none.
pub(super) fn filters(config: Option<&DynamicValue>, served: &Served, name: &str) -> Result<Value, Diagnostic> {
    let list = served.list_resource(name)?;
    let config = wire::decode(config, list.ty())?;
    Ok(if config.is_null() {
        list.schema().empty()
    } else {
        config
    })
}

fn event(
    resource: &Offered<dyn Resource>,
    type_name: &str,
    listed: Listed,
) -> Result<list_resource::Event, Diagnostics> {
    let schema = identity::declared(resource, type_name)?;
    let mut found = check::identity(schema, &Value::Null, &listed.identity, Occasion::Found);
    let state = listed.state.map(|state| {
        let (state, _) = wire::without_unknowns(state.canonical(resource.ty()));
        found.extend(check::import(resource.schema(), &state));
        wire::encode(&state, resource.ty())
    });
    Ok(list_resource::Event {
        identity: Some(wire::encode_identity(&listed.identity, schema)?),
        display_name: listed.display_name,
        resource_object: state.transpose()?,
        diagnostic: wire::diagnostics(found),
    })
}
