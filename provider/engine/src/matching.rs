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

/// Pairs as many as can be paired (augmenting paths).
fn maximum(new: &[Value], old: &[Value], fits: impl Fn(&Value, &Value) -> bool) -> Vec<Option<usize>> {
    let candidates: Vec<Vec<usize>> = new
        .iter()
        .map(|new| {
            old.iter()
                .enumerate()
                .filter(|(_, old)| fits(new, old))
                .map(|(index, _)| index)
                .collect()
        })
        .collect();
    let mut partner_of_old = vec![None; old.len()];
    for index in 0..new.len() {
        augment(index, &candidates, &mut partner_of_old, &mut vec![false; old.len()]);
    }
    let mut pairs = vec![None; new.len()];
    for (old, partner) in partner_of_old.into_iter().enumerate() {
        if let Some(pair) = partner.and_then(|new: usize| pairs.get_mut(new)) {
            *pair = Some(old);
        }
    }
    pairs
}

/// Finds a partner for `new`, if need be by finding another for the one who has it now.
fn augment(new: usize, candidates: &[Vec<usize>], partner_of_old: &mut [Option<usize>], visited: &mut [bool]) -> bool {
    for &old in candidates.get(new).into_iter().flatten() {
        if visited
            .get_mut(old)
            .is_none_or(|visited| std::mem::replace(visited, true))
        {
            continue;
        }
        let holder = partner_of_old.get(old).copied().flatten();
        if holder.is_none_or(|holder| augment(holder, candidates, partner_of_old, visited)) {
            if let Some(partner) = partner_of_old.get_mut(old) {
                *partner = Some(new);
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
/// value, or one that means the same, and what is not configured is what the provider may fill in.
pub(crate) fn came_from(attributes: &[Attribute], config: &Value, prior: &Value) -> bool {
    match (config, prior) {
        (Value::Map(_), Value::Map(_)) => attributes.iter().all(|attribute| {
            let (config, prior) = (config.get(&attribute.name), prior.get(&attribute.name));
            attribute.write_only || value_came_from(attribute, config, prior)
        }),
        (config, prior) => config == prior,
    }
}

fn value_came_from(attribute: &Attribute, config: &Value, prior: &Value) -> bool {
    match (config, &attribute.default, &attribute.kind) {
        (Value::Null, Some(default), _) => means_same(attribute, default, prior),
        (Value::Null, None, _) => attribute.presence.is_computed() || prior.is_null(),
        (Value::Unknown(_), ..) => false,
        (config, _, Kind::Plain(_)) => means_same(attribute, config, prior),
        (config, _, Kind::Nested(nesting, attributes)) => nested_came_from(*nesting, attributes, config, prior),
    }
}

fn nested_came_from(nesting: Nesting, attributes: &[Attribute], config: &Value, prior: &Value) -> bool {
    match (nesting, config, prior) {
        (Nesting::Single, config, prior) => came_from(attributes, config, prior),
        (Nesting::List, Value::List(config), Value::List(prior)) => {
            config.len() == prior.len()
                && config
                    .iter()
                    .zip(prior)
                    .all(|(config, prior)| came_from(attributes, config, prior))
        }
        (Nesting::Set, Value::List(config), Value::List(prior)) => {
            config.len() == prior.len()
                && all_paired(config, prior, |config, prior| came_from(attributes, config, prior))
        }
        (Nesting::Map, Value::Map(config), Value::Map(prior)) => {
            config.len() == prior.len()
                && config
                    .iter()
                    .all(|(key, config)| prior.get(key).is_some_and(|prior| came_from(attributes, config, prior)))
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
