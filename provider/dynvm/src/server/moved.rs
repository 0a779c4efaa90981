//! Moves: a VM that another provider made becomes a `dynvm_server` by a `moved` block.
//!
//! Of the other's state only what surely means the same is taken over; all else is read from the VM's pool, as after an import. A VM
//! without a lease becomes a server by an explicit `ttl` only.

use cty::Value;
use engine::moved::Mover;
use fleet::Uuid;

/// What can be moved here.
pub(super) static MOVERS: [Mover; 2] = [
    Mover {
        providers: &["xenserver/xenserver"],
        resource: "xenserver_vm",
        begin: xenserver,
    },
    Mover {
        providers: &["vatesfr/xenorchestra", "terra-farm/xenorchestra"],
        resource: "xenorchestra_vm",
        begin: xenorchestra,
    },
];

fn xenserver(vm: &Value) -> Result<Value, String> {
    begun(vm, "uuid", "vcpus", "static_mem_max")
}

/// Xen Orchestra calls a VM by its UUID.
fn xenorchestra(vm: &Value) -> Result<Value, String> {
    let tags = match vm.get("tags").as_list() {
        None | Some([]) => Value::Null,
        // dynvm's own are marks and no tags.
        Some(tags) => Value::set(tags.iter().filter(|tag| !is_mark(tag)).cloned()),
    };
    Ok(begun(vm, "id", "cpus", "memory_max")?.with("tags", tags))
}

fn is_mark(tag: &Value) -> bool {
    tag.as_str().is_none_or(|tag| tag.starts_with("dynvm"))
}

fn begun(vm: &Value, id: &str, cpus: &str, memory_bytes: &str) -> Result<Value, String> {
    let uuid = vm.get(id).as_str().and_then(|id| id.parse::<Uuid>().ok());
    let uuid = uuid.ok_or_else(|| format!("its `{id}` is no UUID of a VM"))?;
    let memory_mib = vm.get(memory_bytes).as_u64().map(|bytes| bytes >> 20);
    Ok(Value::object([
        ("id", Value::from(uuid.to_string())),
        ("name", vm.get("name_label").clone()),
        ("cpus", vm.get(cpus).clone()),
        ("memory_mib", memory_mib.into()),
        ("tags", Value::Null),
    ]))
}

#[cfg(test)]
mod tests {
    use engine::moved::{Source, state};

    use super::*;

    const VM: &str = "0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10";

    fn moved(provider: &str, resource: &str, json: &str) -> Result<Value, String> {
        let source = Source { provider, resource };
        state(&super::super::schema::table(), &MOVERS, source, json.as_bytes())
            .map_err(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_vm_of_xenserver_keeps_its_name_and_size() {
        let json = format!(
            r#"{{"id":"{VM}","uuid":"{VM}","name_label":"web","vcpus":4,"static_mem_max":2147483648,"template_name":"t","hard_drive":[]}}"#
        );
        let state = moved("registry.terraform.io/xenserver/xenserver", "xenserver_vm", &json).expect("a state");
        for (name, expected) in [
            ("id", VM.into()),
            ("name", "web".into()),
            ("cpus", 4.into()),
            ("memory_mib", 2048.into()),
            ("power_state", "running".into()),
            ("pool", Value::Null),
            ("ttl", Value::Null),
            ("tags", Value::Null),
        ] {
            assert_eq!(state.get(name), &expected, "{name}");
        }
    }

    #[test]
    fn a_vm_of_xen_orchestra_keeps_its_tags_too() {
        let json = format!(
            r#"{{"id":"{VM}","name_label":"web","cpus":2,"memory_max":1073741824,"tags":["web","dynvm:x"],"network":[{{"device":"0"}}]}}"#
        );
        for provider in [
            "registry.terraform.io/vatesfr/xenorchestra",
            "registry.opentofu.org/terra-farm/xenorchestra",
        ] {
            let state = moved(provider, "xenorchestra_vm", &json).expect("a state");
            assert_eq!(
                (state.get("tags"), state.get("memory_mib")),
                (&Value::set(["web"]), &1024.into())
            );
        }
    }

    #[test]
    fn what_is_no_vm_is_refused() {
        let of = |json: &str| moved("registry.terraform.io/xenserver/xenserver", "xenserver_vm", json).unwrap_err();
        assert!(of(r#"{"uuid":"web"}"#).contains("`uuid` is no UUID"));
        let error = moved("registry.terraform.io/hashicorp/aws", "aws_instance", "{}").unwrap_err();
        assert!(
            error.contains("xenserver_vm of xenserver/xenserver; xenorchestra_vm of"),
            "{error}"
        );
    }
}
