//! The schema of a page: one line per attribute, in groups, and a section for each nested object.

use cty::Value;

use super::words::type_words;
use crate::rule::quoted;
use crate::schema::{Attribute, Kind, Nesting, Presence, Replace};

const WRITE_ONLY: &str =
    "[Write-only](https://developer.hashicorp.com/terraform/language/resources/ephemeral#write-only-arguments)";

/// Whether the page is of something that can be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface {
    Resource,
    Settings,
}

/// The paragraphs that follow the heading of the schema.
pub(super) fn paragraphs(attributes: &[Attribute], surface: Surface) -> Vec<String> {
    let groups = groups(attributes, &[], surface).into_iter();
    let mut paragraphs: Vec<String> = groups
        .flat_map(|(title, rows)| [format!("### {title}"), rows])
        .collect();
    paragraphs.extend(nested_sections(attributes, &[], surface));
    paragraphs
}

/// The sections of nested objects; those inside one follow it.
fn nested_sections(attributes: &[Attribute], parents: &[&str], surface: Surface) -> Vec<String> {
    let mut sections = Vec::new();
    for (_, members) in by_group(attributes) {
        for attribute in members.into_iter().filter(|attribute| !attribute.nested().is_empty()) {
            let path: Vec<&str> = parents.iter().copied().chain([attribute.name.as_str()]).collect();
            sections.push(format!(
                "<a id=\"{}\"></a>\n### Nested Schema for `{}`",
                anchor(&path),
                path.join(".")
            ));
            let groups = groups(attribute.nested(), &path, surface).into_iter();
            sections.extend(groups.flat_map(|(title, rows)| [format!("{title}:"), rows]));
            sections.extend(nested_sections(attribute.nested(), &path, surface));
        }
    }
    sections
}

fn groups(attributes: &[Attribute], parents: &[&str], surface: Surface) -> Vec<(&'static str, String)> {
    let groups = by_group(attributes)
        .into_iter()
        .filter(|(_, members)| !members.is_empty());
    let lines = |members: Vec<&Attribute>| {
        members
            .into_iter()
            .map(|row| line(row, parents, surface))
            .collect::<Vec<_>>()
    };
    groups
        .map(|(title, members)| (title, lines(members).join("\n")))
        .collect()
}

/// Attributes by who sets them, in each group by name.
fn by_group(attributes: &[Attribute]) -> [(&'static str, Vec<&Attribute>); 3] {
    let group = |title: &'static str, belongs: fn(Presence) -> bool| {
        let mut members: Vec<&Attribute> = attributes
            .iter()
            .filter(|attribute| belongs(attribute.presence))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        (title, members)
    };
    [
        group("Required", |presence| presence == Presence::Required),
        group("Optional", |presence| {
            matches!(presence, Presence::Optional | Presence::OptionalComputed)
        }),
        group("Read-Only", |presence| presence == Presence::Computed),
    ]
}

fn line(attribute: &Attribute, parents: &[&str], surface: Surface) -> String {
    let mut words = vec![kind_words(attribute)];
    let marks = [
        (attribute.sensitive, "Sensitive"),
        (attribute.deprecated.is_some(), "Deprecated"),
        (attribute.write_only, WRITE_ONLY),
    ];
    words.extend(
        marks
            .into_iter()
            .filter(|(applies, _)| *applies)
            .map(|(_, mark)| mark.to_owned()),
    );
    let mut sentences = vec![attribute.description.trim().replace('\n', " ")];
    sentences.extend(said_by_table(attribute, surface));
    if !attribute.nested().is_empty() {
        let path: Vec<&str> = parents.iter().copied().chain([attribute.name.as_str()]).collect();
        sentences.push(format!("(see [below for nested schema](#{}))", anchor(&path)));
    }
    sentences.retain(|sentence| !sentence.is_empty());
    let line = format!("- `{}` ({}) {}", attribute.name, words.join(", "), sentences.join(" "));
    line.trim_end().to_owned()
}

/// What the row says beside its description.
fn said_by_table(attribute: &Attribute, surface: Surface) -> Vec<String> {
    let is_text = attribute.value_type() == cty::Type::String;
    let mut sentences: Vec<String> = Vec::new();
    sentences.extend(attribute.rules.iter().filter_map(|rule| rule.sentence(is_text)));
    if let Some(default) = attribute.default.as_ref().filter(|_| !attribute.sensitive) {
        sentences.push(format!("Default {}.", shown(default)));
    }
    match (surface, &attribute.replace) {
        (Surface::Settings, _) | (Surface::Resource, Replace::Never) => {}
        (Surface::Resource, Replace::Always) => sentences.push("A change replaces the resource.".to_owned()),
        (Surface::Resource, Replace::IfConfigured) => {
            sentences.push("A change of the configured value replaces the resource.".to_owned());
        }
        (Surface::Resource, Replace::If(_, text)) => {
            sentences.push(format!("A change replaces the resource if {text}."))
        }
    }
    sentences.extend(
        attribute
            .deprecated
            .as_ref()
            .map(|instead| format!("**Deprecated:** {instead}.")),
    );
    sentences
}

fn shown(default: &Value) -> String {
    match default {
        Value::String(_) => quoted(default),
        other => format!("`{other}`"),
    }
}

fn kind_words(attribute: &Attribute) -> String {
    match &attribute.kind {
        Kind::Plain(ty) => type_words(ty),
        Kind::Nested(Nesting::Single, _) => "Attributes".to_owned(),
        Kind::Nested(Nesting::List, _) => "Attributes List".to_owned(),
        Kind::Nested(Nesting::Set, _) => "Attributes Set".to_owned(),
        Kind::Nested(Nesting::Map, _) => "Attributes Map".to_owned(),
    }
}

fn anchor(path: &[&str]) -> String {
    format!("nestedatt--{}", path.join("--"))
}
