//! Conversions from Rust's types into a [`Value`].

use super::Value;
use crate::Number;

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::string(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::string(text.as_str())
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Value {
        Value::Bool(bool)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        Value::Number(number)
    }
}

impl From<i32> for Value {
    fn from(integer: i32) -> Value {
        Value::Number(Number::from(i64::from(integer)))
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Value {
        Value::Number(Number::from(integer))
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Value {
        Value::Number(Number::from(i64::from(integer)))
    }
}

impl From<u64> for Value {
    fn from(integer: u64) -> Value {
        Value::Number(Number::from(integer))
    }
}

impl From<usize> for Value {
    fn from(integer: usize) -> Value {
        Value::Number(Number::from(integer as u64))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Value {
        option.map_or(Value::Null, Into::into)
    }
}
