//! Words for types and texts.

use cty::Type;

/// A type as the lists of attributes name it: `List of String`.
pub(super) fn type_words(ty: &Type) -> String {
    match ty {
        Type::Bool => "Boolean".to_owned(),
        Type::Number => "Number".to_owned(),
        Type::String => "String".to_owned(),
        Type::Dynamic => "Dynamic".to_owned(),
        Type::List(element) => format!("List of {}", type_words(element)),
        Type::Set(element) => format!("Set of {}", type_words(element)),
        Type::Map(element) => format!("Map of {}", type_words(element)),
        Type::Object(_) => "Object".to_owned(),
        Type::Tuple(_) => "Tuple".to_owned(),
    }
}

/// A type as signatures name it: `list of string`.
pub(super) fn type_in_signature(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        other => type_words(other).to_lowercase(),
    }
}

/// The first paragraph of a description without its marks, for the front matter.
pub(super) fn plain_text(markdown: &str) -> String {
    let paragraph = markdown.trim().split("\n\n").next().unwrap_or_default();
    paragraph.chars().filter(|char| !matches!(char, '`' | '*')).collect()
}
