//! How a value is shown to people: as HCL, on one line. Not for secrets: the value does not know that it is one.

use std::fmt;

use super::Value;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Unknown(_) => f.write_str("(known after apply)"),
            Value::Bool(bool) => write!(f, "{bool}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::List(elements) => {
                f.write_str("[")?;
                separated(f, elements, |f, element| write!(f, "{element}"))?;
                f.write_str("]")
            }
            Value::Map(elements) if elements.is_empty() => f.write_str("{}"),
            Value::Map(elements) => {
                f.write_str("{ ")?;
                separated(f, elements, |f, (key, element)| match is_identifier(key) {
                    true => write!(f, "{key} = {element}"),
                    false => write!(f, "{key:?} = {element}"),
                })?;
                f.write_str(" }")
            }
            Value::Dynamic(typed) => write!(f, "{}", typed.value),
        }
    }
}

fn separated<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn is_identifier(key: &str) -> bool {
    let is_letter = |char: char| char.is_alphabetic() || char == '_';
    key.chars().next().is_some_and(is_letter)
        && key
            .chars()
            .all(|char| is_letter(char) || char.is_ascii_digit() || char == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_hcl() {
        let nested = Value::object([("a b", Value::list([1, 2])), ("c", Value::unknown())]);
        let cases = [
            (Value::Null, "null"),
            (Value::from("a\"b"), r#""a\"b""#),
            (Value::from(true), "true"),
            (Value::object::<&str>([]), "{}"),
            (nested, r#"{ "a b" = [1, 2], c = (known after apply) }"#),
        ];
        for (value, text) in cases {
            assert_eq!(value.to_string(), text);
        }
    }
}
