//! The expressions of `get_all_records_where`: `field "col" = "lit"`, `and`, `or`, `not`, parentheses, `true`, `false`.
//!
//! Columns are the database's names: namespaces joined by two underscores (`name__label`). `not` binds loosest. Literals
//! are compared with the text that the database would write.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Cls, Record, Ref};
use crate::failure::{Failure, Outcome};
use crate::schema::Schema;
use crate::value::Value;

/// A parsed expression.
#[derive(Debug, PartialEq)]
pub(crate) enum Filter {
    Const(bool),
    Equal(Operand, Operand),
    /// A long `or` over one column, which is how clients read many objects at once.
    OneOf(String, HashSet<String>),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Operand {
    Field(String),
    Literal(String),
}

impl Filter {
    /// Parses an expression over the columns of a class.
    pub(crate) fn parse(cls: Cls, text: &str) -> Outcome<Self> {
        let tokens = lex(text)?;
        let mut parser = Parser {
            cls,
            tokens: &tokens,
            at: 0,
        };
        let filter = parser.or()?;
        if parser.at == tokens.len() {
            Ok(filter)
        } else {
            Err(bad(text))
        }
    }

    pub(crate) fn matches(&self, reference: &Ref, record: &Record) -> bool {
        match self {
            Self::Const(b) => *b,
            Self::Equal(Operand::Field(field), Operand::Literal(text)) => is_equal(field, text, reference, record),
            Self::Equal(a, b) => a.text(reference, record) == b.text(reference, record),
            Self::OneOf(field, texts) => match column(field, reference, record) {
                Column::Text(text) => texts.contains(text),
                Column::Value(value) => texts.contains(&value.db_string()),
            },
            Self::Not(a) => !a.matches(reference, record),
            Self::And(a, b) => a.matches(reference, record) && b.matches(reference, record),
            Self::Or(a, b) => a.matches(reference, record) || b.matches(reference, record),
        }
    }

    fn or_with(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Equal(Operand::Field(a), Operand::Literal(x)),
                Self::Equal(Operand::Field(b), Operand::Literal(y)),
            ) if a == b => Self::OneOf(a, HashSet::from([x, y])),
            (Self::OneOf(a, mut texts), Self::Equal(Operand::Field(b), Operand::Literal(y))) if a == b => {
                texts.insert(y);
                Self::OneOf(a, texts)
            }
            (a, b) => Self::Or(Box::new(a), Box::new(b)),
        }
    }
}

impl Operand {
    fn text(&self, reference: &Ref, record: &Record) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Field(field) => match column(field, reference, record) {
                Column::Text(text) => text.to_owned(),
                Column::Value(value) => value.db_string(),
            },
        }
    }
}

enum Column<'a> {
    Text(&'a str),
    Value(&'a Value),
}

fn column<'a>(field: &str, reference: &'a Ref, record: &'a Record) -> Column<'a> {
    if field == "_ref" {
        return Column::Text(reference.as_str());
    }
    match record.get(field) {
        Value::Str(text) => Column::Text(text),
        Value::Bool(b) => Column::Text(if *b { "true" } else { "false" }),
        other => Column::Value(other),
    }
}

fn is_equal(field: &str, text: &str, reference: &Ref, record: &Record) -> bool {
    match column(field, reference, record) {
        Column::Text(value) => value == text,
        Column::Value(value) => value.db_string() == text,
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(Arc<str>),
    Text(String),
    Equal,
    Open,
    Close,
}

fn bad(text: &str) -> Failure {
    Failure::internal(&format!(
        "Db_filter.Expression_error({text}, Stdlib.Parsing.Parse_error)"
    ))
}

fn lex(text: &str) -> Outcome<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = match first {
            '=' | '(' | ')' => {
                tokens.push(match first {
                    '=' => Token::Equal,
                    '(' => Token::Open,
                    _ => Token::Close,
                });
                1
            }
            '"' | '\'' => {
                let body = rest.get(1..).unwrap_or_default();
                let end = body.find(first).ok_or_else(|| bad(text))?;
                tokens.push(Token::Text(body.get(..end).unwrap_or_default().to_owned()));
                end + 2
            }
            c if c.is_ascii_alphabetic() => {
                let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
                tokens.push(Token::Word(Arc::from(rest.get(..end).unwrap_or_default())));
                end
            }
            _ => return Err(bad(text)),
        };
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    cls: Cls,
    tokens: &'a [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek_word(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(w)) if **w == *word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(found);
        found
    }

    fn or(&mut self) -> Outcome<Filter> {
        let mut filter = self.and()?;
        while self.take_word("or") {
            filter = filter.or_with(self.and()?);
        }
        Ok(filter)
    }

    fn and(&mut self) -> Outcome<Filter> {
        let mut filter = self.unary()?;
        while self.take_word("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.unary()?));
        }
        Ok(filter)
    }

    fn unary(&mut self) -> Outcome<Filter> {
        if self.take_word("not") {
            return Ok(Filter::Not(Box::new(self.or()?)));
        }
        if self.take_word("true") {
            return Ok(Filter::Const(true));
        }
        if self.take_word("false") {
            return Ok(Filter::Const(false));
        }
        if self.take(&Token::Open) {
            let filter = self.or()?;
            return if self.take(&Token::Close) {
                Ok(filter)
            } else {
                Err(bad(")"))
            };
        }
        let left = self.operand()?;
        if !self.take(&Token::Equal) {
            return Err(bad("="));
        }
        Ok(Filter::Equal(left, self.operand()?))
    }

    fn operand(&mut self) -> Outcome<Operand> {
        let is_field = self.take_word("field");
        let Some(Token::Text(text)) = self.tokens.get(self.at) else {
            return Err(bad("operand"));
        };
        self.at += 1;
        if !is_field {
            return Ok(Operand::Literal(text.clone()));
        }
        column_field(self.cls, text).map(Operand::Field)
    }
}

/// The field that a database column holds.
fn column_field(cls: Cls, column: &str) -> Outcome<String> {
    if column == "_ref" {
        return Ok(column.to_owned());
    }
    let field = column.replacen("__", "_", 1);
    let exists = Schema::get().class(cls).index(&field).is_some();
    if exists && (column != field) == is_namespaced(cls, &field) {
        return Ok(field);
    }
    Err(Failure::internal(&format!(
        "Db_exn.DBCache_NotFound(\"missing column\", \"{}\", \"{column}\")",
        cls.name()
    )))
}

/// Whether the data model declares the field inside a namespace, which doubles the underscore in the column.
fn is_namespaced(cls: Cls, field: &str) -> bool {
    let prefixes: &[&str] = match cls {
        Cls::Vm => &["name_", "memory_", "VCPUs_", "actions_", "PV_", "HVM_"],
        Cls::VmMetrics => &["memory_", "VCPUs_"],
        Cls::Host => &["name_", "API_version_", "memory_"],
        Cls::HostMetrics => &["memory_"],
        Cls::Vbd | Cls::Vif => &["qos_"],
        Cls::Pif => &["ip_configuration_mode_"],
        _ => &["name_"],
    };
    prefixes.iter().any(|prefix| field.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expr: &str, expect: bool) {
        let fields = vec![
            ("name_label", Value::str("web")),
            ("is_a_template", Value::Bool(true)),
            ("tags", Value::strings(["a", "b"])),
            ("memory_static_max", Value::Int(7)),
        ];
        let record = Record::new(Cls::Vm, fields);
        let filter = Filter::parse(Cls::Vm, expr).unwrap();
        assert_eq!(filter.matches(&Ref::new("OpaqueRef:1"), &record), expect, "{expr}");
    }

    #[test]
    fn expressions_match() {
        check(r#"field "name__label"="web""#, true);
        check(
            r#"field "name__label" = "web" and field "is_a_template"="false""#,
            false,
        );
        check(r#"field "memory__static_max"="7" and true"#, true);
        check(r#"field "tags"="('a' 'b')""#, true);
        check(
            r#"field "_ref"="OpaqueRef:2" or field "_ref"="OpaqueRef:3" or field "_ref"="OpaqueRef:1""#,
            true,
        );
        check(r#"field "other_config"="()""#, true);
        check(
            r#"(not (field "name__label"="x")) and (field "is_a_template"="true")"#,
            true,
        );
    }

    #[test]
    fn not_binds_loosest() {
        check(r#"not false and false"#, true);
        check(r#"(not false) and false"#, false);
    }

    #[test]
    fn mistakes_fail() {
        for expr in [
            "",
            "field \"name_label\"=\"x\"",
            "field \"nope\"=\"x\"",
            "true true",
            "field name=\"x\"",
            "\"x",
        ] {
            assert_eq!(
                Filter::parse(Cls::Vm, expr).unwrap_err().code,
                "INTERNAL_ERROR",
                "{expr}"
            );
        }
    }
}
