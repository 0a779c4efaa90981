//! [`Draft`]: a plan in the making, open to what only the resource knows.

use cty::{Path, Value};

use super::base::{self, Before};
use super::{collapse, replace, unknown};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::matching::means_same;
use crate::schema::{Attribute, Schema};

/// What a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There is no object yet.
    Create,
    /// Something changes; maybe so that a new object is needed.
    Update,
    /// The object goes.
    Delete,
    /// Nothing changes.
    NoOp,
}

/// A plan in the making. The table has been applied; what is set, kept, or marked here is pinned, and the table applied
/// again around it.
#[derive(Clone, Debug)]
pub struct Draft<'s> {
    schema: &'s Schema,
    config: Value,
    prior: Value,
    /// The planned value, its sets in the order of the configuration.
    unordered: Value,
    planned: Value,
    pins: Vec<(Path, Pin)>,
    replace: Vec<Path>,
    /// What the user is told with the plan.
    pub diagnostics: Diagnostics,
}

#[derive(Clone, Debug)]
enum Pin {
    Set(Value),
    Keep,
    Unknown,
}

/// A finished plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The state that the apply shall reach; null if the object goes.
    pub planned: Value,
    /// The changes that need a new object; empty unless this is an update.
    pub requires_replace: Vec<Path>,
    /// What the user is told.
    pub diagnostics: Diagnostics,
}

impl<'s> Draft<'s> {
    /// Plans by the table. A null configuration means that the object goes, a null prior that there is none yet.
    #[must_use]
    pub fn new(schema: &'s Schema, config: Value, prior: Value) -> Draft<'s> {
        let ty = schema.value_type();
        let mut draft = Draft {
            schema,
            config: config.canonical(&ty),
            prior: prior.canonical(&ty),
            unordered: Value::Null,
            planned: Value::Null,
            pins: Vec::new(),
            replace: Vec::new(),
            diagnostics: Diagnostics::new(),
        };
        draft.apply_table();
        draft
    }

    /// The configuration; null if the object goes.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The state before; null if there is no object yet.
    #[must_use]
    pub fn prior(&self) -> &Value {
        &self.prior
    }

    /// The planned state as it is now.
    #[must_use]
    pub fn planned(&self) -> &Value {
        &self.planned
    }

    /// What the plan does as it is now.
    #[must_use]
    pub fn action(&self) -> Action {
        match (&self.config, &self.prior) {
            (Value::Null, _) => Action::Delete,
            (_, Value::Null) => Action::Create,
            (_, prior) if *prior == self.planned => Action::NoOp,
            _ => Action::Update,
        }
    }

    /// Says whether an attribute is planned to be another than before; unknown counts as another.
    #[must_use]
    pub fn is_changed(&self, name: &str) -> bool {
        self.planned.get(name) != self.prior.get(name)
    }

    /// Plans this value for a computed attribute. A value that by the attribute's equality means the same as the one
    /// there was leaves that one.
    pub fn set(&mut self, path: impl Into<Path>, value: impl Into<Value>) {
        self.pin(path.into(), Pin::Set(value.into()));
    }

    /// Plans the value there was for a computed attribute: null where there was none.
    pub fn keep(&mut self, path: impl Into<Path>) {
        self.pin(path.into(), Pin::Keep);
    }

    /// Plans a computed attribute as known only after apply.
    pub fn mark_unknown(&mut self, path: impl Into<Path>) {
        self.pin(path.into(), Pin::Unknown);
    }

    /// Asks for a new object because of the change at the path. Without a change there, nothing is asked: core would not
    /// heed it.
    pub fn require_replace(&mut self, path: impl Into<Path>) {
        let path = path.into();
        if self.planned.at(&path).is_none() && self.prior.at(&path).is_none() && self.action() == Action::Update {
            self.diagnostics.push(astray(&path));
        }
        self.replace.push(path);
    }

    /// The changes that need a new object: by the table and as asked for.
    #[must_use]
    pub fn requires_replace(&self) -> Vec<Path> {
        match self.action() {
            Action::Create | Action::Delete | Action::NoOp => Vec::new(),
            Action::Update => {
                let roots = replace::Roots {
                    config: &self.config,
                    prior: &self.prior,
                    planned: &self.planned,
                };
                let root = replace::Place {
                    config: &self.config,
                    before: Before::of(&self.prior),
                    planned: &self.unordered,
                    path: Path::root(),
                    collection: None,
                };
                let mut paths = replace::paths(roots, &self.schema.attributes, &root);
                paths.extend(
                    self.replace
                        .iter()
                        .filter(|path| self.planned.at(path) != self.prior.at(path))
                        .cloned(),
                );
                paths.sort();
                paths.dedup();
                paths
            }
        }
    }

    /// Finishes the plan.
    #[must_use]
    pub fn finish(self) -> Plan {
        let requires_replace = self.requires_replace();
        let mut diagnostics = self.diagnostics;
        diagnostics.extend(collapse::check(&self.schema.attributes, &self.unordered));
        Plan {
            planned: self.planned,
            requires_replace,
            diagnostics,
        }
    }

    fn pin(&mut self, path: Path, pin: Pin) {
        if self.action() == Action::Delete {
            return;
        }
        let leads = path.steps().split_last().is_some_and(|(_, parents)| {
            let parent = self.unordered.at(&parents.iter().cloned().collect());
            parent.is_some_and(Value::is_set) && self.unordered.at(&path).is_some()
        });
        if !leads || collapse::leads_into_a_set(&self.schema.attributes, &path) {
            self.diagnostics.push(astray(&path));
            return;
        }
        self.pins.retain(|(pinned, _)| !path.contains(pinned));
        self.pins.push((path, pin));
        self.apply_table();
    }

    fn apply_table(&mut self) {
        if self.config.is_null() {
            return;
        }
        let ty = self.schema.value_type();
        let before = Before::of(&self.prior);
        let mut planned = base::object(&self.schema.attributes, &self.config, before);
        for (path, pin) in &self.pins {
            planned.set_at(path, self.pinned(path, pin));
        }
        let changes = self.prior.is_null() || planned.clone().canonical(&ty) != self.prior;
        if changes {
            let is_pinned = |path: &Path| self.pins.iter().any(|(pinned, _)| pinned == path);
            unknown::mark(
                &self.schema.attributes,
                &self.config,
                before,
                &mut planned,
                &Path::root(),
                &is_pinned,
            );
        }
        self.planned = planned.clone().canonical(&ty);
        self.unordered = planned;
    }

    fn pinned(&self, path: &Path, pin: &Pin) -> Value {
        let before = self.prior.at(path);
        match pin {
            Pin::Keep => before.cloned().unwrap_or(Value::Null),
            Pin::Unknown => Value::unknown(),
            Pin::Set(value) => {
                let same = |attribute: &Attribute, before: &&Value| means_same(attribute, value, before);
                let attribute = collapse::attribute_at(&self.schema.attributes, path);
                attribute
                    .and_then(|attribute| before.filter(|before| same(attribute, before)))
                    .unwrap_or(value)
                    .clone()
            }
        }
    }
}

fn astray(path: &Path) -> Diagnostic {
    let detail = format!(
        "The plan names {path}, which leads nowhere or into a set. This is a bug of the provider: please report it."
    );
    Diagnostic::error("Invalid path in a plan", detail)
}
