//! What no source file contains.

use tidy::{files, shipped, shown, text};

/// A name and the only places whose shipped code may hold it.
const CONFINED: &[(&str, &[&str], &str)] = &[
    (
        "methodResponse",
        &["provider/xenapi/src/wire", "provider/sim/src/wire"],
        "only xenapi::wire knows how answers are written, and the simulator, which has a codec of its own",
    ),
    (
        "proto::",
        &["provider/plugin/", "proto/"],
        "only plugin names protobuf types",
    ),
    (
        "env::var",
        &[
            "provider/dynvm/src/config",
            "provider/reaper/src/config",
            "provider/plugin/src/",
            "tests/",
        ],
        "settings are read from the environment in one place of each program; plugin reads what the protocol passes there",
    ),
    (
        "tokio::spawn",
        &["tests/"],
        "a task belongs to a JoinSet or TaskTracker that somebody waits for",
    ),
];

#[test]
fn names_stay_in_their_rooms() {
    let mut strays = Vec::new();
    for folder in ["proto", "provider", "tests"] {
        for file in files(folder, ".rs") {
            let name = shown(&file);
            if name.starts_with("tests/tidy") || name.contains("/tests/") || name.contains("/examples/") {
                continue;
            }
            let source = text(&file);
            for (word, rooms, why) in CONFINED {
                let outside = !rooms.iter().any(|room| name.starts_with(room));
                if outside && shipped(&source).lines().any(|line| holds(line, word)) {
                    strays.push(format!("{name}: `{word}` ({why})"));
                }
            }
        }
    }
    assert!(strays.is_empty(), "{strays:#?}");
}

/// Whether a line of code (not of comment) holds the word, not as the tail of a longer name.
fn holds(line: &str, word: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//")
        && code
            .match_indices(word)
            .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[test]
fn files_are_small_enough_to_be_known_by_name() {
    let long: Vec<String> = ["proto", "provider", "tests"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .map(|file| (shown(&file), text(&file).lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_rust_file_starts_with_what_it_is() {
    let silent: Vec<String> = ["proto", "provider", "tests"]
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .filter(|file| !text(file).starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert!(silent.is_empty(), "no module doc: {silent:#?}");
}

#[test]
fn every_rust_file_belongs_to_a_module() {
    let mut forgotten = Vec::new();
    for folder in ["proto/src", "provider", "tests"] {
        for file in files(folder, ".rs") {
            let name = shown(&file);
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_root = matches!(stem.as_str(), "lib" | "main")
                || name.contains("/src/bin/")
                || file.parent().is_some_and(|folder| {
                    ["tests", "examples", "benches", "fuzz_targets"]
                        .iter()
                        .any(|roots| folder.ends_with(roots))
                });
            if is_root {
                continue;
            }
            let (owner, module) = if stem == "mod" {
                let folder = file.parent().unwrap_or(&file);
                (
                    folder.parent().unwrap_or(folder).to_path_buf(),
                    folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                )
            } else {
                (file.parent().unwrap_or(&file).to_path_buf(), stem)
            };
            if !declared(&owner, &module) {
                forgotten.push(name);
            }
        }
    }
    assert!(forgotten.is_empty(), "no `mod` names {forgotten:#?}");
}

/// Whether a file that can own modules of `folder` declares `module`.
fn declared(folder: &std::path::Path, module: &str) -> bool {
    let owner_by_name = folder.with_extension("rs");
    let mut owners = vec![owner_by_name];
    owners.extend(
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "rs")),
    );
    let wanted = format!("mod {module}");
    owners.iter().any(|owner| {
        text(owner).lines().any(|line| {
            let line = line.trim_end();
            line.ends_with(&format!("{wanted};")) || line.ends_with(&format!("{wanted} {{"))
        }) || text(owner).contains(&format!("/{module}.rs\""))
    })
}

#[test]
fn nothing_unfinished_and_no_path_of_one_machine() {
    let words = [
        "todo!(",
        "unimplemented!(",
        "TODO",
        "FIXME",
        "XXX",
        "#[ignore",
        "thread::sleep",
    ];
    let places = ["/work/", "/root/", "/home/"];
    let mut found = Vec::new();
    for folder in ["proto", "provider", "tests", "docs", "examples"] {
        for ending in [".rs", ".md", ".tf", ".hcl", ".sh", ".py", ".mjs", ".json"] {
            for file in files(folder, ending) {
                let name = shown(&file);
                if name.starts_with("tests/tidy") {
                    continue;
                }
                for (number, line) in text(&file).lines().enumerate() {
                    if words.iter().chain(&places).any(|word| line.contains(word)) {
                        found.push(format!("{name}:{}: {}", number + 1, line.trim()));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
