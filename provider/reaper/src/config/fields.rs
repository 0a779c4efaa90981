//! Literal HCL: the attributes of a body or object, each taken by name, and values of the types that settings have.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::Choices;
use hcl_edit::Span;
use hcl_edit::expr::{Expression, Object, ObjectKey};
use hcl_edit::structure::{Body, Structure};

use super::report::Report;

/// What is said of anything that would have to be evaluated.
const NOT_LITERAL: &str = "only literal values are read here, no variables, functions, templates or other expressions";

/// The attributes of a body or object. One that is `null` is as good as not there.
pub(super) struct Fields<'a> {
    path: String,
    items: BTreeMap<String, Item<'a>>,
}

/// A value, and where it stands: at its attribute, or in a list.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    /// What leads to it: `pools.lab1.url`.
    pub(super) path: String,
    /// Where its attribute begins.
    pub(super) offset: usize,
    value: &'a Expression,
}

impl<'a> Fields<'a> {
    /// The attributes of a file.
    pub(super) fn of_body(body: &'a Body, report: &mut Report<'_>) -> Self {
        let mut fields = Self {
            path: String::new(),
            items: BTreeMap::new(),
        };
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = attribute.key.as_str();
                    fields.add(name, start(&attribute.key), &attribute.value, report);
                }
                Structure::Block(block) => {
                    let name = block.ident.as_str();
                    let text = format!("a block has no meaning here; an attribute is written `{name} = ...`");
                    report.fail(start(&block.ident), name, text);
                }
            }
        }
        fields
    }

    /// The attributes of an object.
    fn of_object(object: &'a Object, path: &str, report: &mut Report<'_>) -> Self {
        let mut fields = Self {
            path: path.to_owned(),
            items: BTreeMap::new(),
        };
        for (key, value) in object {
            match key {
                ObjectKey::Ident(name) => fields.add(name.as_str(), start(name), value.expr(), report),
                ObjectKey::Expression(Expression::String(name)) => {
                    fields.add(name.as_str(), start(name), value.expr(), report);
                }
                ObjectKey::Expression(other) => report.fail(start(other), path, NOT_LITERAL),
            }
        }
        fields
    }

    fn add(&mut self, name: &str, offset: usize, value: &'a Expression, report: &mut Report<'_>) {
        let item = Item {
            path: below(&self.path, name),
            offset,
            value,
        };
        if value.is_null() {
            return;
        }
        if self.items.contains_key(name) {
            report.fail(offset, &item.path, "is there twice");
        }
        self.items.insert(name.to_owned(), item);
    }

    /// Complains of all attributes that are not among these.
    pub(super) fn expect(&self, known: &[&str], report: &mut Report<'_>) {
        for (name, item) in &self.items {
            if !known.contains(&name.as_str()) {
                let choices = Choices::new(name, known.iter().map(|name| (*name).to_owned()));
                let meant = choices.meant().map(|meant| format!("; did you mean {meant:?}?"));
                let text = format!("there is no such attribute{}", meant.unwrap_or_default());
                report.fail(item.offset, &item.path, text);
            }
        }
    }

    /// The attribute of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Item<'a>> {
        self.items.get(name)
    }

    /// All attributes, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Item<'a>)> {
        self.items.iter().map(|(name, item)| (name.as_str(), item))
    }
}

impl<'a> Item<'a> {
    /// A text.
    pub(super) fn text(&self, report: &mut Report<'_>) -> Option<String> {
        match self.value {
            Expression::String(text) => Some(text.as_str().to_owned()),
            other => self.is_not("a string", other, report),
        }
    }

    /// A text that is not empty.
    pub(super) fn name(&self, report: &mut Report<'_>) -> Option<String> {
        let text = self.text(report)?;
        if text.is_empty() {
            report.fail(self.offset, &self.path, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// True or false.
    pub(super) fn flag(&self, report: &mut Report<'_>) -> Option<bool> {
        match self.value {
            Expression::Bool(flag) => Some(*flag.value()),
            other => self.is_not("true or false", other, report),
        }
    }

    /// A whole number, at least 1.
    pub(super) fn count(&self, report: &mut Report<'_>) -> Option<u32> {
        match self.value {
            Expression::Number(number) => {
                let count = number.value().as_u64().and_then(|number| u32::try_from(number).ok());
                let count = count.filter(|count| *count > 0);
                if count.is_none() {
                    let text = format!("must be a whole number from 1 to {}", u32::MAX);
                    report.fail(self.offset, &self.path, text);
                }
                count
            }
            other => self.is_not("a whole number", other, report),
        }
    }

    /// A duration.
    pub(super) fn duration(&self, report: &mut Report<'_>) -> Option<Duration> {
        let text = self.text(report)?;
        let failed = |error| report.fail(self.offset, &self.path, format!("{error}"));
        fleet::duration::parse(&text).map_err(failed).ok()
    }

    /// A list; each item with its number in its path.
    pub(super) fn list(&self, report: &mut Report<'_>) -> Option<Vec<Item<'a>>> {
        match self.value {
            Expression::Array(array) => Some(
                (0..)
                    .zip(array)
                    .map(|(index, value): (usize, _)| Item {
                        path: format!("{}[{index}]", self.path),
                        offset: start(value),
                        value,
                    })
                    .collect(),
            ),
            other => self.is_not("a list", other, report),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, report: &mut Report<'_>) -> Option<Vec<String>> {
        let items = self.list(report)?;
        // All are looked at before one that is none spoils the list.
        let texts: Vec<Option<String>> = items.iter().map(|item| item.text(report)).collect();
        texts.into_iter().collect()
    }

    /// An object.
    pub(super) fn fields(&self, report: &mut Report<'_>) -> Option<Fields<'a>> {
        match self.value {
            Expression::Object(object) => Some(Fields::of_object(object, &self.path, report)),
            other => self.is_not("an object", other, report),
        }
    }

    /// Checks that a value which is not used is literal all the same.
    pub(super) fn ignore(&self, report: &mut Report<'_>) {
        match self.value {
            Expression::Object(_) => {
                if let Some(fields) = self.fields(report) {
                    fields.items.values().for_each(|item| item.ignore(report));
                }
            }
            Expression::Array(_) => {
                let items = self.list(report).unwrap_or_default();
                items.iter().for_each(|item| item.ignore(report));
            }
            value if is_scalar(value) => {}
            _ => report.fail(self.offset, &self.path, NOT_LITERAL),
        }
    }

    /// Complains of a value of another type, or one that is not literal at all.
    fn is_not<T>(&self, expected: &str, value: &Expression, report: &mut Report<'_>) -> Option<T> {
        if is_scalar(value) || matches!(value, Expression::Array(_) | Expression::Object(_)) {
            report.fail(self.offset, &self.path, format!("must be {expected}"));
        } else {
            report.fail(self.offset, &self.path, NOT_LITERAL);
        }
        None
    }
}

fn is_scalar(value: &Expression) -> bool {
    matches!(
        value,
        Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) | Expression::String(_)
    )
}

/// Where something begins; all that was parsed knows it.
fn start(of: &impl Span) -> usize {
    of.span().map_or(0, |span| span.start)
}

/// A path one step further.
fn below(path: &str, name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    match (path.is_empty(), is_plain) {
        (true, _) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (false, false) => format!("{path}[{name:?}]"),
    }
}
