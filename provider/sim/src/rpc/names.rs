//! Names of methods: `VM.start`, `VM_start`, `Async.VM.start`.

use crate::db::Cls;
use crate::schema::{Message, Schema, Type};
use crate::value::{Map, Value};

/// A method that exists.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) cls: Cls,
    /// Without class and `Async.`.
    pub(crate) name: String,
    pub(crate) is_async: bool,
    pub(crate) message: &'static Message,
}

impl Call {
    /// `VM.start`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.cls.name(), self.name)
    }
}

/// Finds the method of this name.
pub(crate) fn parse(method: &str) -> Option<Call> {
    let rest = method.strip_prefix("Async.").or_else(|| method.strip_prefix("Async_"));
    let (is_async, plain) = (rest.is_some(), rest.unwrap_or(method));
    // Several classes may begin alike (`VM`, `VM_metrics`): the longest that has the message is meant.
    let mut found: Option<Call> = None;
    for cls in Cls::ALL {
        let Some(name) = plain.strip_prefix(cls.name()).and_then(|t| t.strip_prefix(['.', '_'])) else {
            continue;
        };
        let Some(message) = Schema::get().class(*cls).messages.get(name) else {
            continue;
        };
        if found.as_ref().is_none_or(|f| f.cls.name().len() < cls.name().len()) {
            found = Some(Call {
                cls: *cls,
                name: name.to_owned(),
                is_async,
                message,
            });
        }
    }
    found
}

/// Whether the method can run as a task, which also gives its plain form a task row.
pub(crate) fn has_async(call: &Call) -> bool {
    let no_class = matches!(
        call.cls,
        Cls::Session | Cls::Event | Cls::Task | Cls::Blob | Cls::Message
    );
    // The model calls constructors and destructors implicit, yet they work.
    let works = !call.message.implicit || matches!(call.name.as_str(), "create" | "destroy");
    !no_class && works && !is_accessor(call.cls, &call.name)
}

/// Whether the method only reads or writes a field.
fn is_accessor(cls: Cls, name: &str) -> bool {
    let class = Schema::get().class(cls);
    let prefixes = ["get_", "set_", "add_to_", "remove_from_", "add_", "remove_"];
    let fields = prefixes.iter().filter_map(|p| name.strip_prefix(p));
    let own = [
        "set_VCPUs_max",
        "set_VCPUs_at_startup",
        "set_ha_restart_priority",
        "set_HVM_shadow_multiplier",
    ];
    !own.contains(&name) && fields.into_iter().any(|f| class.index(f).is_some())
}

/// How many of the last parameters may be left out.
pub(crate) fn optional(call: &Call) -> usize {
    match (call.cls, call.name.as_str()) {
        (Cls::Session, "login_with_password") => 2,
        (Cls::Vm, "snapshot") => 1,
        (Cls::Vm, "migrate_send" | "assert_can_migrate") => {
            if call.name == "migrate_send" {
                2
            } else {
                1
            }
        }
        (Cls::Vdi, "clone" | "snapshot") => 1,
        (Cls::Vdi, "copy") => 2,
        (Cls::Host, "disable" | "evacuate") => {
            if call.name == "disable" {
                1
            } else {
                2
            }
        }
        (Cls::Pool, "sync_updates") => 2,
        (Cls::Task, "create") => 0,
        _ => 0,
    }
}

/// What a parameter is that was left out.
pub(crate) fn default(name: &str, ty: &Type) -> Value {
    match (name, ty) {
        ("version", _) => Value::str("1.1"),
        ("auto_enable", _) => Value::Bool(true),
        (_, Type::Map(_)) => Value::Map(Map::new()),
        _ => ty.default(None),
    }
}

/// Every method, as `system.listMethods` names them.
pub(crate) fn all() -> Vec<String> {
    let mut names = Vec::new();
    for cls in Cls::ALL {
        for (name, message) in &Schema::get().class(*cls).messages {
            let call = Call {
                cls: *cls,
                name: name.clone(),
                is_async: false,
                message,
            };
            if has_async(&call) {
                names.push(format!("Async.{}", call.full_name()));
            }
            names.push(call.full_name());
        }
    }
    names.push("system.listMethods".to_owned());
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_method() {
        for spelling in ["VM.start", "VM_start", "Async.VM.start", "Async.VM_start"] {
            let call = parse(spelling).unwrap();
            assert_eq!(
                (call.full_name().as_str(), call.is_async),
                ("VM.start", spelling.starts_with("Async"))
            );
        }
        assert_eq!(parse("VM_metrics_get_all").unwrap().cls, Cls::VmMetrics);
        assert_eq!(parse("VM_get_metrics").unwrap().cls, Cls::Vm);
        assert!(parse("VM.fly").is_none());
    }

    #[test]
    fn getters_and_sessions_have_no_task() {
        let is = |name: &str| has_async(&parse(name).unwrap());
        assert!(is("VM.clone") && is("VM.set_memory_limits") && is("VDI.destroy") && is("host.get_servertime"));
        assert!(!is("VM.get_name_label") && !is("VM.set_name_label") && !is("VM.add_to_other_config"));
        assert!(!is("session.logout") && !is("event.from") && !is("task.create") && !is("VM.get_all_records"));
    }
}
