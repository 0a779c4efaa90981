//! What a pool says, apart from how it is written; and how xapi writes it on each wire.

use crate::Wire;

/// A value of an answer.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// A text, a reference, an enum.
    Text(String),
    Int(i64),
    Flag(bool),
    Number(f64),
    Time(&'static str),
    /// A scalar that stands in XML in this tag, although xapi writes none.
    Tagged(&'static str, &'static str),
    Set(Vec<Said>),
    Map(Vec<(String, Said)>),
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Said {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Said {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<f64> for Said {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<const N: usize> From<[&str; N]> for Said {
    fn from(items: [&str; N]) -> Self {
        Self::Set(items.into_iter().map(Self::from).collect())
    }
}

impl<const N: usize> From<[(&str, Said); N]> for Said {
    fn from(members: [(&str, Said); N]) -> Self {
        Self::Map(
            members
                .into_iter()
                .map(|(name, said)| (name.to_owned(), said))
                .collect(),
        )
    }
}

impl Said {
    pub(super) fn empty_set() -> Self {
        Self::Set(Vec::new())
    }

    pub(super) fn empty_map() -> Self {
        Self::Map(Vec::new())
    }

    /// A map with another value, or none, for one of its members.
    pub(super) fn with(self, name: &str, value: Option<Said>) -> Self {
        let Self::Map(mut members) = self else { panic!("no map") };
        members.retain(|(other, _)| other != name);
        members.extend(value.map(|value| (name.to_owned(), value)));
        Self::Map(members)
    }

    /// The body of a success.
    pub(super) fn success(&self, wire: Wire) -> String {
        match wire {
            Wire::Json => format!(r#"{{"jsonrpc":"2.0","result":{},"id":1}}"#, self.json()),
            Wire::Xml => format!(
                "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
                 <value>Success</value></member><member><name>Value</name>{}</member></struct></value></param></params></methodResponse>",
                self.xml()
            ),
        }
    }

    pub(super) fn json(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Text(text) => quoted(text),
            Self::Int(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => format!("{number:?}"),
            Self::Time(text) | Self::Tagged("string", text) => quoted(text),
            Self::Tagged(_, text) => (*text).to_owned(),
            Self::Set(items) => format!("[{}]", joined(items.iter().map(Self::json).collect())),
            Self::Map(members) => {
                let member = |(name, said): &(String, Self)| format!("{}:{}", quoted(name), said.json());
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }

    /// As ocaml-rpc writes it: names of members are not escaped.
    pub(super) fn xml(&self) -> String {
        let inside = match self {
            Self::Text(text) => escaped(text),
            Self::Int(number) => number.to_string(),
            Self::Flag(flag) => format!("<boolean>{}</boolean>", u8::from(*flag)),
            Self::Number(number) => format!("<double>{number}</double>"),
            Self::Time(text) => format!("<dateTime.iso8601>{text}</dateTime.iso8601>"),
            Self::Tagged(tag, text) => format!("<{tag}>{}</{tag}>", escaped(text)),
            Self::Set(items) => {
                let items: String = items.iter().map(Self::xml).collect();
                format!("<array><data>{items}</data></array>")
            }
            Self::Map(members) => {
                let member =
                    |(name, said): &(String, Self)| format!("<member><name>{name}</name>{}</member>", said.xml());
                format!("<struct>{}</struct>", members.iter().map(member).collect::<String>())
            }
        };
        format!("<value>{inside}</value>")
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn escaped(text: &str) -> String {
    let plain = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    plain.replace('"', "&quot;")
}

/// A host_metrics record.
pub(super) fn host_metrics(free: i64) -> Said {
    Said::from([
        ("uuid", "11111111-2222-3333-4444-555555555555".into()),
        ("memory_total", 68_719_476_736.into()),
        ("memory_free", free.into()),
        ("live", true.into()),
        ("last_updated", Said::Time("20260821T12:34:56Z")),
        ("other_config", Said::empty_map()),
    ])
}

/// A task record.
pub(super) fn task(status: &str, result: &str) -> Said {
    let error_info = match status {
        "failure" => ["SR_BACKEND_FAILURE_44", "", "There is insufficient space", ""].into(),
        _ => Said::empty_set(),
    };
    Said::from([
        ("uuid", "11111111-2222-3333-4444-666666666666".into()),
        ("name_label", "Async.VM.copy".into()),
        ("status", status.into()),
        ("progress", 0.5.into()),
        ("result", result.into()),
        ("error_info", error_info),
    ])
}

/// An answer of `event.from`.
pub(super) fn events(token: &str, items: Vec<Said>) -> super::server::Reply {
    super::server::ok([
        ("events", Said::Set(items)),
        ("valid_ref_counts", [("vm", Said::Tagged("i4", "42"))].into()),
        ("token", token.into()),
    ])
}

/// One event. The snapshot stands before the class, to show that the order of members does not matter.
pub(super) fn event(class: &str, operation: &str, object: &str, snapshot: Option<Said>) -> Said {
    let rest = Said::from([
        ("ref", object.into()),
        ("operation", operation.into()),
        ("class", class.into()),
        ("timestamp", "0.0".into()),
        ("id", "17".into()),
    ]);
    let Said::Map(rest) = rest else { panic!("no map") };
    let snapshot = snapshot.map(|snapshot| ("snapshot".to_owned(), snapshot));
    Said::Map(snapshot.into_iter().chain(rest).collect())
}
