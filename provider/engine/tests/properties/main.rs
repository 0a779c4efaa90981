//! For any schema, any configuration with unknown and null values, and any prior state: plan, plan again with everything
//! known, apply, read and plan once more never break a rule of core, and the last plan is empty.

mod apply;
mod choices;
mod schemas;
mod values;

use cty::{Path, Value, msgpack};
use engine::diagnostics::Diagnostics;
use engine::oracle::{self, Outcome, Owner};
use engine::plan::{Action, Draft, Plan, plan};
use engine::schema::Schema;
use engine::validate::{self, WriteOnly};
use engine::{apply as applied, refresh};
use proptest::prelude::*;

use choices::Choices;

/// A schema with a configuration (and what its unknown values turn out to be) and a state before.
#[derive(Debug)]
struct World {
    schema: Schema,
    config: Value,
    known: Value,
    prior: Value,
}

impl World {
    fn of(bytes: &[u8]) -> World {
        let mut choices = Choices::new(bytes);
        let schema = schemas::schema(&mut choices);
        let ty = schema.value_type();
        let config = values::config(&mut choices, &schema).canonical(&ty);
        let known = values::resolved(&mut choices, &schema, &config).canonical(&ty);
        let prior = if choices.chance(70) {
            values::state(&mut choices, &schema).canonical(&ty)
        } else {
            Value::Null
        };
        World {
            schema,
            config,
            known,
            prior,
        }
    }

    /// Sets of which two elements become the same by their defaults are refused, and so must not be applied.
    fn is_refused(&self) -> bool {
        let refused = |config: &Value, prior: &Value| {
            plan(&self.schema, config.clone(), prior.clone())
                .diagnostics
                .has_errors()
        };
        [&self.config, &self.known].iter().any(|config| {
            refused(config, &Value::Null)
                || refused(config, &self.prior)
                || validate::config(&self.schema, config, WriteOnly::Allowed).has_errors()
        })
    }
}

fn ok<T: std::fmt::Display>(violations: &[T], world: &World, what: &str, value: &Value) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{lines:#?}\n{what}: {value}\nconfig: {}\nprior: {}\n{:#?}",
        world.config,
        world.prior,
        world.schema
    );
}

/// Plans as core does: again without a prior state if a new object is needed. The plan comes with the state that it
/// starts from.
fn planned(world: &World, config: &Value, prior: &Value) -> (Plan, Value) {
    let plan = plan(&world.schema, config.clone(), prior.clone());
    let found = oracle::check_plan(&world.schema, prior, config, &plan.planned, &plan.requires_replace);
    ok(&found, world, "planned", &plan.planned);
    if plan.requires_replace.is_empty() {
        (plan, prior.clone())
    } else {
        planned(world, config, &Value::Null)
    }
}

/// Plans twice, applies, reads; gives the state after.
fn carried_out(world: &World, choices: &mut Choices<'_>) -> Value {
    let (first, start) = planned(world, &world.config, &world.prior);
    let second = plan(&world.schema, world.known.clone(), start.clone());
    ok(
        &oracle::check_plan(
            &world.schema,
            &start,
            &world.known,
            &second.planned,
            &second.requires_replace,
        ),
        world,
        "final",
        &second.planned,
    );
    ok(
        &oracle::check_final_plan(&world.schema, &start, &first, &second),
        world,
        "final",
        &second.planned,
    );

    let made = apply::honest(choices, &world.schema, &second.planned);
    let state = applied::settle(&world.schema, &second.planned, apply::respelled(&world.schema, &made));
    ok(
        &oracle::check_apply(&world.schema, &second.planned, &state, Outcome::Succeeded),
        world,
        "applied",
        &state,
    );

    let read = refresh::settle(&world.schema, &state, apply::respelled(&world.schema, &state));
    ok(&oracle::check_read(&world.schema, &read), world, "read", &read);
    assert_eq!(read, state, "a read that finds the same changes nothing");
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_global_rejects: 20000, ..ProptestConfig::default() })]

    #[test]
    fn schemas_are_sound(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = World::of(&bytes);
        ok(&oracle::check_schema(&world.schema, Owner::Resource), &world, "schema", &Value::Null);
        let ty = world.schema.value_type();
        for value in [&world.config, &world.known, &world.prior] {
            let encoded = msgpack::encode(value, &ty);
            prop_assert_eq!(encoded.and_then(|bytes| msgpack::decode(&bytes, &ty)), Ok(value.clone()));
        }
    }

    #[test]
    fn no_rule_is_broken_and_the_second_plan_is_empty(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = World::of(&bytes);
        prop_assume!(!world.is_refused());
        let mut choices = Choices::new(&bytes);
        let state = carried_out(&world, &mut choices);
        let again = Draft::new(&world.schema, world.known.clone(), state.clone());
        prop_assert_eq!(again.action(), Action::NoOp, "state: {}\nplanned: {}\n{:#?}", state, again.planned(), world);
        let again = again.finish();
        prop_assert!(again.diagnostics.is_empty(), "{:?}\nstate: {}\nknown: {}\n{:#?}", again.diagnostics, state, world.known, world.schema);
        prop_assert_eq!((again.planned, again.requires_replace), (state, vec![]));
    }

    #[test]
    fn a_hook_that_keeps_to_computed_attributes_breaks_no_rule(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let world = World::of(&bytes);
        prop_assume!(!world.is_refused());
        let mut choices = Choices::new(&bytes);
        let mut draft = Draft::new(&world.schema, world.config.clone(), world.prior.clone());
        for attribute in &world.schema.attributes {
            let path = Path::from(attribute.name.as_str());
            if attribute.presence.is_computed() && world.config.get(&attribute.name).is_null() {
                match choices.below(4) {
                    0 => draft.keep(&path),
                    1 => draft.mark_unknown(&path),
                    2 => draft.set(&path, values::any_of(&mut choices, attribute)),
                    _ => draft.require_replace(&path),
                }
            }
        }
        let plan = draft.finish();
        prop_assume!(!plan.diagnostics.has_errors());
        let found = oracle::check_plan(&world.schema, &world.prior, &world.config, &plan.planned, &plan.requires_replace);
        ok(&found, &world, "planned", &plan.planned);
    }

    #[test]
    fn a_destroy_is_null(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let world = World::of(&bytes);
        let plan = plan(&world.schema, Value::Null, world.prior.clone());
        prop_assert_eq!(plan, Plan { planned: Value::Null, requires_replace: vec![], diagnostics: Diagnostics::new() });
    }
}
