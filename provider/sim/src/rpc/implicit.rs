//! Methods that follow from the data model alone: getters, setters, records, queries.

use std::sync::Arc;

use super::{Args, Call};
use crate::db::filter::Filter;
use crate::db::{Cls, Ref};
use crate::failure::{Failure, Outcome};
use crate::operations;
use crate::pool::State;
use crate::schema::{Schema, Type};
use crate::value::{Map, Value};

/// Serves a method without behaviour of its own.
pub(super) fn call(state: &mut State, call: &Call, args: &Args) -> Outcome<Value> {
    let cls = call.cls;
    match call.name.as_str() {
        "get_all" => Ok(Value::from(
            state.db.all(cls).map(|(r, _)| r.clone()).collect::<Vec<_>>(),
        )),
        "get_all_records" => Ok(records(state, cls, &Filter::Const(true))),
        "get_all_records_where" => Ok(records(state, cls, &Filter::parse(cls, args.str(0))?)),
        "get_all_where" => {
            let filter = Filter::parse(cls, args.str(0))?;
            let found = state.db.all(cls).filter(|(r, record)| filter.matches(r, record));
            Ok(Value::from(found.map(|(r, _)| r.clone()).collect::<Vec<_>>()))
        }
        "get_record" => Ok(Value::Record(state.db.record(cls, &args.reference(0))?.clone())),
        "get_by_uuid" => {
            let found = state.db.by_uuid(cls, args.str(0));
            found
                .map(Value::from)
                .ok_or_else(|| Failure::new("UUID_INVALID", [cls.name(), args.str(0)]))
        }
        "get_by_name_label" => {
            let found = state
                .db
                .all(cls)
                .filter(|(_, record)| record.str("name_label") == args.str(0));
            Ok(Value::from(found.map(|(r, _)| r.clone()).collect::<Vec<_>>()))
        }
        name => accessor(state, cls, name, args),
    }
}

fn records(state: &State, cls: Cls, filter: &Filter) -> Value {
    let found = state.db.all(cls).filter(|(r, record)| filter.matches(r, record));
    Value::Map(
        found
            .map(|(r, record)| (r.to_arc(), Value::Record(record.clone())))
            .collect(),
    )
}

fn accessor(state: &mut State, cls: Cls, name: &str, args: &Args) -> Outcome<Value> {
    let class = Schema::get().class(cls);
    let field = |prefix: &str| {
        let field = name.strip_prefix(prefix)?;
        class.index(field).map(|_| field)
    };
    let target = args.reference(0);
    if let Some(field) = field("get_") {
        return state.db.get(cls, &target, field).cloned();
    }
    if let Some(field) = field("set_") {
        let value = args.get(1).clone();
        check_text(&value)?;
        check_enum(&class.field(field).map_or(Type::Void, |f| f.ty.clone()), field, &value)?;
        state.db.set(cls, &target, field, value)?;
    } else if let Some(field) = field("add_to_") {
        add_to(state, cls, &target, field, args)?;
    } else if let Some(field) = field("remove_from_") {
        let key = args.str(1).to_owned();
        state.db.edit_map(cls, &target, field, |map| {
            map.remove(key.as_str());
        })?;
    } else if let Some(field) = field("add_") {
        let mut items = state.db.get(cls, &target, field)?.as_set().to_vec();
        if !items.contains(args.get(1)) {
            items.push(args.get(1).clone());
        }
        state.db.set(cls, &target, field, Value::Set(items))?;
    } else if let Some(field) = field("remove_") {
        let items = state.db.get(cls, &target, field)?.as_set();
        let items = items.iter().filter(|item| *item != args.get(1)).cloned().collect();
        state.db.set(cls, &target, field, Value::Set(items))?;
    } else {
        return Err(Failure::new("NOT_IMPLEMENTED", [&format!("{}.{name}", cls.name())]));
    }
    if cls == Cls::Vm && name.ends_with("blocked_operations") {
        operations::refresh(&mut state.db, cls, &target);
    }
    Ok(Value::Void)
}

fn add_to(state: &mut State, cls: Cls, target: &Ref, field: &str, args: &Args) -> Outcome<()> {
    let key = printable(args.str(1));
    let current = state.db.get(cls, target, field)?;
    if current.key(&key).is_some() {
        return Err(Failure::new(
            "MAP_DUPLICATE_KEY",
            [cls.name(), field, target.as_str(), &key],
        ));
    }
    if key.is_empty() {
        return Err(Failure::new("FIELD_TYPE_ERROR", [field]));
    }
    let value = match args.get(2) {
        Value::Str(text) => Value::str(&printable(text)),
        other => other.clone(),
    };
    state.db.edit_map(cls, target, field, |map| {
        map.insert(Arc::from(key.as_str()), value);
    })
}

fn is_xml(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r')
}

/// Keys and values are cut silently at the first character that XML cannot hold.
fn printable(text: &str) -> String {
    text.chars().take_while(|c| is_xml(*c)).collect()
}

fn check_text(value: &Value) -> Outcome<()> {
    let bad = |text: &str| text.chars().any(|c| !is_xml(c));
    let map_bad = |map: &Map| map.iter().any(|(k, v)| bad(k) || bad(v.as_str()));
    let is_bad = match value {
        Value::Str(text) => bad(text),
        Value::Map(map) => map_bad(map),
        _ => false,
    };
    if is_bad {
        Err(Failure::new("INVALID_VALUE", ["Invalid UTF-8 string in parameter", ""]))
    } else {
        Ok(())
    }
}

fn check_enum(ty: &Type, field: &str, value: &Value) -> Outcome<()> {
    let Type::Enum(name) = ty else { return Ok(()) };
    let known = Schema::get().enumeration(name);
    if known.iter().any(|k| k == value.as_str()) {
        return Ok(());
    }
    Err(Failure::internal(&format!(
        "Failure(\"{field}: {} is not a {name}\")",
        value.as_str()
    )))
}
