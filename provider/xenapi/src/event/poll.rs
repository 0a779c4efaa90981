//! One call of `event.from`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Change, ChangeOp, Delta, EventClass, Token};
use crate::error::{Error, ErrorKind, Outcome};
use crate::record::{decode_any, fields_of};
use crate::retry::Caller;
use crate::session::Session;
use crate::transport::{Call, Collect, Repeat};
use crate::wire::{Emitted, Shape, Value, WireError};

const METHOD: &str = "event.from";
/// Beyond the waiting time, for the way there and back and for a large answer.
const SLACK: Duration = Duration::from_secs(30);

/// What a record that cannot be decoded means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The answer is worth nothing.
    Fatal,
    /// The reader of that one object reads it by itself.
    Left,
}

/// Reads from a token on, or everything, on whatever session there is.
pub(super) async fn read_all(caller: &Caller, pool: &str, classes: &[EventClass]) -> Result<Delta, Error> {
    let mut gathered = Gathered::new(Broken::Fatal);
    let call = call(classes, "", Duration::ZERO);
    let (value, generation) = caller.call_on(call, &mut gathered).await?;
    delta(gathered, value, generation).map_err(|text| malformed(pool, text))
}

/// Reads from a token on, on exactly this session, waiting for something to happen.
pub(super) async fn read_on(
    caller: &Caller,
    pool: &str,
    session: &Session,
    classes: &[EventClass],
    token: &str,
    wait: Duration,
) -> Result<Delta, Error> {
    let mut gathered = Gathered::new(Broken::Left);
    let call = call(classes, token, wait);
    let value = caller.once(session, &call, &mut gathered).await?;
    delta(gathered, value, session.generation).map_err(|text| malformed(pool, text))
}

fn call(classes: &[EventClass], token: &str, wait: Duration) -> Call {
    let mut fields: Vec<&'static str> = classes.iter().flat_map(|class| fields_of(*class)).copied().collect();
    fields.sort_unstable();
    fields.dedup();
    Call {
        method: METHOD,
        params: vec![
            Value::set(classes.iter().map(|class| class.as_str())),
            Value::text(token),
            Value::seconds(wait),
        ],
        shape: Shape::Events(fields),
        limit: wait + SLACK,
        repeat: Repeat::Idempotent,
        object: None,
    }
}

fn malformed(pool: &str, text: String) -> Error {
    Error::new(ErrorKind::Malformed(text), Outcome::Rejected, pool, METHOD)
}

fn delta(gathered: Gathered, mut value: Value, generation: u64) -> Result<Delta, String> {
    let token = match value.take_member("token") {
        Some(Value::Text(text)) if !text.is_empty() => Arc::from(text),
        Some(_) | None => return Err("the answer holds no token".to_owned()),
    };
    Ok(Delta {
        changes: gathered.changes,
        token: Token {
            text: token,
            generation,
        },
        counts: counts(value.take_member("valid_ref_counts")),
    })
}

fn counts(value: Option<Value>) -> BTreeMap<String, i64> {
    let members = match value {
        Some(Value::Struct(members)) => members,
        Some(_) | None => Vec::new(),
    };
    let count = |value: Value| match value {
        Value::Int(count) => Some(count),
        Value::Text(text) => text.trim().parse().ok(),
        Value::Bool(_) | Value::Float(_) | Value::Time(_) | Value::Array(_) | Value::Struct(_) => None,
    };
    members
        .into_iter()
        .filter_map(|(class, value)| count(value).map(|count| (class.to_ascii_lowercase(), count)))
        .collect()
}

struct Gathered {
    changes: Vec<Change>,
    broken: Broken,
}

impl Gathered {
    fn new(broken: Broken) -> Self {
        Self {
            changes: Vec::new(),
            broken,
        }
    }
}

impl Collect for Gathered {
    fn restart(&mut self) -> bool {
        self.changes.clear();
        true
    }

    fn take(&mut self, part: Emitted) -> Result<(), WireError> {
        let Emitted::Event(event) = part else { return Ok(()) };
        self.changes.extend(change(event, self.broken)?);
        Ok(())
    }
}

/// Reads one event; those of classes that were not asked for are left out.
fn change(mut event: Value, broken: Broken) -> Result<Option<Change>, WireError> {
    let mut text = |name: &str| match event.take_member(name) {
        Some(Value::Text(text)) => Ok(text),
        Some(_) | None => Err(WireError::Record(format!("an event has no text {name}"))),
    };
    let class = text("class")?;
    let object = text("ref")?;
    let operation = text("operation")?;
    let Some(class) = EventClass::parse(&class) else {
        return Ok(None);
    };
    let op = match operation.as_str() {
        "add" => ChangeOp::Add,
        "mod" => ChangeOp::Mod,
        "del" => ChangeOp::Del,
        other => return Err(WireError::Record(format!("an event has the operation {other:.40}"))),
    };
    let record = match (op, event.take_member("snapshot")) {
        (ChangeOp::Del, _) | (ChangeOp::Add | ChangeOp::Mod, None) => None,
        (ChangeOp::Add | ChangeOp::Mod, Some(snapshot)) => match decode_any(class, &object, snapshot) {
            Ok(record) => Some(record),
            Err(_) if broken == Broken::Left => None,
            Err(error) => return Err(WireError::Record(error.to_string())),
        },
    };
    Ok(Some(Change {
        class,
        op,
        object,
        record,
    }))
}
