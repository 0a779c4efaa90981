//! The checked-in code is what the `.proto` files say.

use std::{fs, path::Path};

/// Where the environment asks for the code to be written instead of compared.
const REGENERATE: &str = "REGENERATE";

#[test]
fn generated_code_is_up_to_date() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("src/gen");
    let fresh = std::env::temp_dir().join(format!("proto-gen-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;

    let files = protox::compile(
        ["tfplugin6.proto", "controller.proto", "stdio.proto", "broker.proto"],
        [root],
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        .out_dir(&fresh)
        .compile_fds(files)?;

    let mut stale = Vec::new();
    for name in ["tfplugin6.rs", "plugin.rs"] {
        let (generated, path) = (fs::read_to_string(fresh.join(name))?, target.join(name));
        if std::env::var_os(REGENERATE).is_some() {
            fs::write(path, generated)?;
        } else if fs::read_to_string(path).ok().as_ref() != Some(&generated) {
            stale.push(name);
        }
    }
    fs::remove_dir_all(&fresh)?;
    assert!(
        stale.is_empty(),
        "{stale:?} differ from the .proto files; run with {REGENERATE}=1 to write them"
    );
    Ok(())
}
