//! Moves: what another provider kept of an object becomes the beginning of a state here.
//!
//! Only the identifier has to be right: the host reads the object right afterwards.

use cty::{Value, json};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::schema::Schema;
use crate::upgrade;

/// Takes over the states of one foreign resource.
#[derive(Clone, Copy, Debug)]
pub struct Mover {
    /// The providers that have it, as `namespace/type`: one provider stands in several registries.
    pub providers: &'static [&'static str],
    /// The name of the resource.
    pub resource: &'static str,
    /// Makes what is certain of the new state, or says why it cannot. What it leaves out is at its default.
    pub begin: fn(&Value) -> Result<Value, String>,
}

/// Where a state comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The provider's address, as `registry.example.com/namespace/type`.
    pub provider: &'a str,
    /// The name of the resource.
    pub resource: &'a str,
}

/// Makes the beginning of a state of what another provider stored.
///
/// # Errors
/// If no mover knows the resource, or what it makes of the state does not fit the schema.
pub fn state(schema: &Schema, movers: &[Mover], source: Source<'_>, raw_json: &[u8]) -> Result<Value, Diagnostics> {
    let mover = movers.iter().find(|mover| mover.knows(source));
    let mover = mover.ok_or_else(|| unknown(movers, source))?;
    let failed = |reason: String| {
        let detail = format!("The state of a {} cannot be taken over: {reason}.", source.resource);
        Diagnostics::from(Diagnostic::error("State not moved", detail))
    };
    let stored = json::decode_untyped(raw_json).map_err(|error| failed(error.to_string()))?;
    let begun = (mover.begin)(&stored).map_err(failed)?;
    let begun = begun.as_map().into_iter().flatten();
    let state = begun.fold(schema.defaults(), |state, (name, value)| {
        state.with(name.as_str(), value.clone())
    });
    upgrade::complete(state, &schema.value_type()).map_err(|error| failed(error.to_string()))
}

impl Mover {
    fn knows(&self, source: Source<'_>) -> bool {
        let address = source.provider.split_once('/').map(|(_, address)| address);
        self.resource == source.resource && address.is_some_and(|address| self.providers.contains(&address))
    }
}

fn unknown(movers: &[Mover], source: Source<'_>) -> Diagnostics {
    let known: Vec<String> = movers
        .iter()
        .map(|mover| format!("{} of {}", mover.resource, mover.providers.join(" or ")))
        .collect();
    let known = match known.as_slice() {
        [] => "nothing can".to_owned(),
        known => format!("these can: {}", known.join("; ")),
    };
    let Source { provider, resource } = source;
    let detail = format!("A {resource} of {provider} cannot be moved here, {known}.");
    Diagnostic::error("Resource cannot be moved", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Attribute;

    fn moved(provider: &str, resource: &str, json: &str) -> Result<Value, String> {
        let schema = Schema::new(vec![
            Attribute::string("id").computed(),
            Attribute::integer("size").optional_computed().default(1),
            Attribute::string("note").optional(),
        ]);
        let movers = [Mover {
            providers: &["acme/cloud", "old/cloud"],
            resource: "cloud_vm",
            begin: |vm| match vm.get("uuid").as_str() {
                Some(id) => Ok(Value::object([("id", Value::from(id))])),
                None => Err("`uuid` is missing".to_owned()),
            },
        }];
        let source = Source { provider, resource };
        state(&schema, &movers, source, json.as_bytes())
            .map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_certain_is_taken_over_and_the_rest_is_at_its_default() {
        let expected = Value::object([("id", "u".into()), ("size", Value::from(1)), ("note", Value::Null)]);
        for provider in ["registry.terraform.io/acme/cloud", "registry.opentofu.org/old/cloud"] {
            let state = moved(provider, "cloud_vm", r#"{"uuid":"u","disks":[{"size":1}]}"#);
            assert_eq!(state, Ok(expected.clone()));
        }
    }

    #[test]
    fn what_cannot_be_moved_is_told_with_what_can() {
        let from = "registry.terraform.io/acme/cloud";
        for (provider, resource) in [
            (from, "cloud_disk"),
            ("registry.terraform.io/evil/cloud", "cloud_vm"),
            ("", "cloud_vm"),
        ] {
            let error = moved(provider, resource, "{}").unwrap_err();
            assert!(error.contains("cloud_vm of acme/cloud or old/cloud"), "{error}");
        }
        for (json, expected) in [("{}", "`uuid` is missing"), ("nonsense", "malformed")] {
            let error = moved(from, "cloud_vm", json).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
