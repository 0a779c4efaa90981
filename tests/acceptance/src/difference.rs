//! What differs between two JSON documents, for people.

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// More lines than this help nobody.
const SHOWN: usize = 40;
/// Nor do longer ones.
const WIDTH: usize = 300;

/// One line for each place that differs; empty when the documents are equal.
#[must_use]
pub fn difference(before: &Json, after: &Json) -> String {
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    let rest = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    for line in &mut lines {
        if let Some((end, _)) = line.char_indices().nth(WIDTH) {
            line.truncate(end);
            line.push_str(" ...");
        }
    }
    if rest > 0 {
        lines.push(format!("... and {rest} more"));
    }
    lines.join("\n")
}

fn compare(path: &str, before: &Json, after: &Json, lines: &mut Vec<String>) {
    match (before, after) {
        (Json::Object(old), Json::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = format!("{path}/{key}");
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(&path, old, new, lines),
                    (Some(old), None) => lines.push(format!("- {path}: {old}")),
                    (None, Some(new)) => lines.push(format!("+ {path}: {new}")),
                    (None, None) => {}
                }
            }
        }
        (Json::Array(old), Json::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}/{index}"), old, new, lines);
            }
        }
        (Json::Array(old), Json::Array(new)) => {
            let known = lines.len();
            let lost = old.iter().filter(|item| !new.contains(item));
            lines.extend(lost.map(|item| format!("- {path}[]: {item}")));
            let gained = new.iter().filter(|item| !old.contains(item));
            lines.extend(gained.map(|item| format!("+ {path}[]: {item}")));
            if lines.len() == known {
                lines.push(format!("~ {path}[]: {} items -> {}", old.len(), new.len()));
            }
        }
        _ if before == after => {}
        _ => lines.push(format!("~ {path}: {before} -> {after}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::difference;

    #[test]
    fn names_each_place_once() {
        let before = json!({"a": 1, "b": [1, 2], "c": {"d": "x"}});
        assert_eq!(difference(&before, &before), "");
        let after = json!({"a": 2, "b": [1, 2, 3], "e": null});
        assert_eq!(
            difference(&before, &after),
            "~ /a: 1 -> 2\n+ /b[]: 3\n- /c: {\"d\":\"x\"}\n+ /e: null"
        );
    }

    #[test]
    fn a_list_that_only_repeats_differs_all_the_same() {
        assert_eq!(difference(&json!([[1, 1]]), &json!([[1]])), "~ /0[]: 2 items -> 1");
    }
}
