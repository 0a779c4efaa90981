//! Which element of a nested collection was which before.
//!
//! Lists go by place, maps by key. The elements of a set have neither: an element of the configuration belongs to an
//! element of the state that could have come from it. Several may qualify for one, so the pairs are a maximum matching;
//! to take the first that fits would leave elements without partner that have one, and show a change where there is none.
//! With `match_elements_by` an attribute tells elements apart, in lists and sets alike.

use cty::Value;

use crate::schema::{Attribute, Kind, Nesting};

/// Says for each element of `new` which of `old` it corresponds to.
pub(crate) fn pairs(
    attribute: &Attribute,
    nesting: Nesting,
    new: &[Value],
    old: &[Value],
    fits: impl Fn(&Value, &Value) -> bool,
) -> Vec<Option<usize>> {
    match (nesting, &attribute.match_by) {
        (Nesting::Set, None) => maximum(new, old, fits),
        (Nesting::Set, Some(key)) => {
            let mut pairs = maximum(new, old, |new, old| same_key(key, new, old) && fits(new, old));
            pair_rest(&mut pairs, new, old, |new, old| same_key(key, new, old));
            pairs
        }
        (Nesting::List | Nesting::Single | Nesting::Map, Some(key)) => {
            let mut pairs = vec![None; new.len()];
            pair_rest(&mut pairs, new, old, |new, old| same_key(key, new, old));
            pairs
        }
        (Nesting::List | Nesting::Single | Nesting::Map, None) => (0..new.len())
            .map(|index| (index < old.len()).then_some(index))
            .collect(),
    }
}

fn same_key(key: &str, new: &Value, old: &Value) -> bool {
    let key_of_new = new.get(key);
    key_of_new.is_set() && key_of_new == old.get(key)
}

/// Pairs those that have no partner yet with the first that fits and is free.
fn pair_rest(pairs: &mut [Option<usize>], new: &[Value], old: &[Value], fits: impl Fn(&Value, &Value) -> bool) {
    let mut taken: Vec<bool> = (0..old.len()).map(|index| pairs.contains(&Some(index))).collect();
    for (pair, new) in pairs.iter_mut().zip(new).filter(|(pair, _)| pair.is_none()) {
        let partner = old
            .iter()
            .zip(&mut taken)
            .enumerate()
            .find(|(_, (old, taken))| !**taken && fits(new, old));
        if let Some((index, (_, taken))) = partner {
            *taken = true;
            *pair = Some(index);
        }
    }
}

/// Pairs as many as can be paired (augmenting paths), and of the old ones the first. So an element of the configuration
/// that becomes known between plan and apply never takes from another what was planned for it: it can only add to the old
/// elements that have a partner.
fn maximum(new: &[Value], old: &[Value], fits: impl Fn(&Value, &Value) -> bool) -> Vec<Option<usize>> {
    let mut by_detail: Vec<(usize, &Value)> = new.iter().enumerate().collect();
    by_detail.sort_by_key(|(_, new)| std::cmp::Reverse(details(new)));
    let fitting = |old: &Value| {
        let (exact, others): (Vec<_>, Vec<_>) = by_detail
            .iter()
            .filter(|(_, new)| fits(new, old))
            .partition(|(_, new)| is_verbatim(new, old));
        exact.into_iter().chain(others).map(|(index, _)| index).collect()
    };
    let candidates: Vec<Vec<usize>> = old.iter().map(fitting).collect();
    let mut pairs = vec![None; new.len()];
    for index in 0..old.len() {
        augment(index, &candidates, &mut pairs, &mut vec![false; new.len()]);
    }
    pairs
}

/// Says whether a new value is the old one to the letter, as far as that is known: it has the best claim among those that only mean the same.
fn is_verbatim(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (_, Value::Unknown(_)) => true,
        (Value::List(new), Value::List(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| is_verbatim(new, old))
        }
        (Value::Map(new), Value::Map(old)) => {
            new.len() == old.len()
                && new
                    .iter()
                    .all(|(key, new)| old.get(key).is_some_and(|old| is_verbatim(new, old)))
        }
        (new, old) => new == old,
    }
}

/// How much a value says. Who says most about an old element has the best claim to it; another that fits says less, and
/// can still become something else.
fn details(value: &Value) -> usize {
    match value.inner() {
        Value::Null | Value::Unknown(_) => 0,
        Value::List(elements) => 1 + elements.iter().map(details).sum::<usize>(),
        Value::Map(elements) => elements.values().map(details).sum(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Dynamic(_) => 1,
    }
}

/// Finds a partner for `old`, if need be by finding another for the one who has it now.
fn augment(old: usize, candidates: &[Vec<usize>], pairs: &mut [Option<usize>], visited: &mut [bool]) -> bool {
    for &new in candidates.get(old).into_iter().flatten() {
        if visited
            .get_mut(new)
            .is_none_or(|visited| std::mem::replace(visited, true))
        {
            continue;
        }
        let holder = pairs.get(new).copied().flatten();
        if holder.is_none_or(|holder| augment(holder, candidates, pairs, visited)) {
            if let Some(pair) = pairs.get_mut(new) {
                *pair = Some(old);
            }
            return true;
        }
    }
    false
}

/// Says whether every element of `a` has its own partner in `b`.
pub(crate) fn all_paired(a: &[Value], b: &[Value], fits: impl Fn(&Value, &Value) -> bool) -> bool {
    maximum(a, b, fits).iter().all(Option::is_some)
}

/// Says whether an object in the state could have come from one in the configuration: every configured attribute has its
/// value, or one that means the same, and what is not configured is what the provider may fill in. Unknown values are
/// nobody's.
pub(crate) fn came_from(attributes: &[Attribute], config: &Value, prior: &Value) -> bool {
    object_came_from(attributes, config, prior, Unknowns::Differ)
}

/// Says whether the configuration of an element may turn out to be that of an earlier one, once its unknown values are
/// known.
pub(crate) fn may_continue(attribute: &Attribute, config: &Value, prior: &Value) -> bool {
    match &attribute.match_by {
        Some(key) => config.get(key).is_unknown(),
        None => object_came_from(attribute.nested(), config, prior, Unknowns::Match),
    }
}

/// What an unknown value is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknowns {
    Differ,
    Match,
}

fn object_came_from(attributes: &[Attribute], config: &Value, prior: &Value, unknowns: Unknowns) -> bool {
    match (config, prior) {
        (Value::Map(_), Value::Map(_)) => attributes.iter().all(|attribute| {
            let (config, prior) = (config.get(&attribute.name), prior.get(&attribute.name));
            attribute.write_only || value_came_from(attribute, config, prior, unknowns)
        }),
        (Value::Unknown(_), _) => unknowns == Unknowns::Match,
        (config, prior) => config == prior,
    }
}

fn value_came_from(attribute: &Attribute, config: &Value, prior: &Value, unknowns: Unknowns) -> bool {
    match (config, &attribute.default, &attribute.kind) {
        (Value::Null, Some(default), _) => means_same(attribute, default, prior),
        (Value::Null, None, _) => attribute.presence.is_computed() || prior.is_null(),
        (Value::Unknown(_), ..) => unknowns == Unknowns::Match,
        (config, _, Kind::Plain(_)) => {
            means_same(attribute, config, prior) || unknowns == Unknowns::Match && !config.is_wholly_known()
        }
        (config, _, Kind::Nested(nesting, inside)) => nested_came_from(*nesting, inside, config, prior, unknowns),
    }
}

fn nested_came_from(
    nesting: Nesting,
    attributes: &[Attribute],
    config: &Value,
    prior: &Value,
    unknowns: Unknowns,
) -> bool {
    let came_from = |config: &Value, prior: &Value| object_came_from(attributes, config, prior, unknowns);
    match (nesting, config, prior) {
        (Nesting::Single, config, prior) => came_from(config, prior),
        (Nesting::List, Value::List(config), Value::List(prior)) => {
            config.len() == prior.len() && config.iter().zip(prior).all(|(config, prior)| came_from(config, prior))
        }
        (Nesting::Set, Value::List(config), Value::List(prior)) => {
            let as_many = config.len() == prior.len() || unknowns == Unknowns::Match && config.len() > prior.len();
            as_many && all_paired(prior, config, |prior, config| came_from(config, prior))
        }
        (Nesting::Map, Value::Map(config), Value::Map(prior)) => {
            let same = |(key, config): (&String, &Value)| prior.get(key).is_some_and(|prior| came_from(config, prior));
            config.len() == prior.len() && config.iter().all(same)
        }
        (Nesting::List | Nesting::Set | Nesting::Map, ..) => false,
    }
}

/// Says whether two values of an attribute are equal, or mean the same by the equality of its row.
pub(crate) fn means_same(attribute: &Attribute, a: &Value, b: &Value) -> bool {
    a == b
        || attribute
            .equality
            .is_some_and(|equality| equality.same(a, b, &attribute.value_type()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equality::Equality;

    fn disks(match_by: Option<&str>) -> Attribute {
        let disks = Attribute::object_set(
            "disks",
            vec![
                Attribute::string("name"),
                Attribute::string("id").optional_computed(),
                Attribute::string("ttl").equality(Equality::Duration),
            ],
        );
        match match_by {
            Some(name) => disks.match_elements_by(name),
            None => disks,
        }
    }

    fn disk(name: &str, id: Option<&str>, ttl: &str) -> Value {
        Value::object([("name", name.into()), ("id", id.into()), ("ttl", ttl.into())])
    }

    fn pair(attribute: &Attribute, nesting: Nesting, new: &[Value], old: &[Value]) -> Vec<Option<usize>> {
        pairs(attribute, nesting, new, old, |new, old| {
            came_from(attribute.nested(), new, old)
        })
    }

    #[test]
    fn an_element_of_a_set_goes_with_one_that_could_have_come_from_it() {
        let new = [disk("a", None, "60m"), disk("b", None, "1h"), disk("c", None, "1h")];
        let old = [
            disk("b", Some("2"), "60m"),
            disk("a", Some("1"), "1h"),
            disk("d", Some("3"), "1h"),
        ];
        assert_eq!(pair(&disks(None), Nesting::Set, &new, &old), [Some(1), Some(0), None]);
    }

    #[test]
    fn the_one_that_fits_many_leaves_the_only_one_to_the_other() {
        let new = [disk("a", None, "1h"), disk("a", Some("1"), "1h")];
        let old = [disk("a", Some("1"), "1h"), disk("a", Some("2"), "1h")];
        assert_eq!(pair(&disks(None), Nesting::Set, &new, &old), [Some(1), Some(0)]);
    }

    #[test]
    fn a_key_finds_elements_that_changed_or_moved() {
        let new = [disk("b", None, "2h"), disk("a", None, "1h"), disk("a", None, "3h")];
        let old = [disk("a", Some("1"), "3h"), disk("b", Some("2"), "1h")];
        assert_eq!(
            pair(&disks(Some("name")), Nesting::Set, &new, &old),
            [Some(1), None, Some(0)]
        );
        assert_eq!(
            pair(&disks(Some("name")), Nesting::List, &new, &old),
            [Some(1), Some(0), None]
        );
        assert_eq!(pair(&disks(None), Nesting::List, &new, &old), [Some(0), Some(1), None]);
    }
}
