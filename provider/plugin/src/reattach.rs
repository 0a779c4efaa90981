//! Started by hand, for a debugger: the host is told to attach instead of starting a provider of its own.

use std::path::Path;

use serde_json::json;

/// The variable that tells a host to attach.
pub const VARIABLE: &str = "TF_REATTACH_PROVIDERS";

/// What the variable must hold for a provider of that address, as JSON.
#[must_use]
pub fn value(address: &str, process: u32, socket: &Path) -> String {
    let provider = json!({
        "Protocol": "grpc",
        // Left out, it would be read as 5.
        "ProtocolVersion": 6,
        "Pid": process,
        // Without it Terraform takes the process for one of its own, and panics.
        "Test": true,
        "Addr": { "Network": "unix", "String": socket.to_string_lossy() },
    });
    json!({ address: provider }).to_string()
}

/// What is printed for a person.
pub(crate) fn instructions(address: &str, process: u32, socket: &Path) -> String {
    let value = value(address, process, socket).replace('\'', r"'\''");
    format!(
        "The provider runs until Ctrl-C. To use it, set this where Terraform or OpenTofu runs:\n\n    \
         export {VARIABLE}='{value}'\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_can_take_it_over() {
        let text = instructions("registry.terraform.io/acme/corner", 42, Path::new("/tmp/it's/s"));
        let quoted = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("export TF_REATTACH_PROVIDERS="))
            .unwrap();
        let json = quoted.trim_matches('\'').replace(r"'\''", "'");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let provider = &value["registry.terraform.io/acme/corner"];
        assert_eq!(provider["Test"], true);
        assert_eq!(provider["ProtocolVersion"], 6);
        assert_eq!(provider["Pid"], 42);
        assert_eq!(provider["Addr"]["String"], "/tmp/it's/s");
    }
}
