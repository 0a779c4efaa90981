//! Diagnostics and the paths they point to.

use cty::{Path, Step};
use engine::diagnostics::{Diagnostic, Severity};
use proto::tfplugin6::{
    AttributePath,
    attribute_path::{self, step::Selector},
    diagnostic,
};

/// Messages for the user. Each is logged on the way.
pub(crate) fn diagnostics(diagnostics: impl IntoIterator<Item = Diagnostic>) -> Vec<proto::tfplugin6::Diagnostic> {
    diagnostics.into_iter().map(one).collect()
}

fn one(diagnostic: Diagnostic) -> proto::tfplugin6::Diagnostic {
    let Diagnostic {
        severity,
        summary,
        detail,
        path,
    } = diagnostic;
    let path = path.filter(|path| !path.is_root());
    let diagnostic_attribute = path.as_ref().map(ToString::to_string).unwrap_or_default();
    let severity = match severity {
        Severity::Error => {
            tracing::error!(diagnostic_summary = %summary, diagnostic_detail = %detail, %diagnostic_attribute, "answering an error");
            diagnostic::Severity::Error
        }
        Severity::Warning => {
            tracing::warn!(diagnostic_summary = %summary, diagnostic_detail = %detail, %diagnostic_attribute, "answering a warning");
            diagnostic::Severity::Warning
        }
    };
    // The host shows the line of a top-level attribute, but only the resource's header for anything inside one.
    let is_inside = path.as_ref().is_some_and(|path| path.steps().len() > 1);
    let detail = if is_inside && !detail.contains(&diagnostic_attribute) {
        format!("{detail}\n\nWhere: {diagnostic_attribute}")
    } else {
        detail
    };
    proto::tfplugin6::Diagnostic {
        severity: severity.into(),
        summary,
        detail,
        attribute: path.as_ref().map(self::path),
    }
}

/// A path. An element of a set is named by its position, which no host can follow.
pub(crate) fn path(path: &Path) -> AttributePath {
    let selector = |step: &Step| match step {
        Step::Attribute(name) => Selector::AttributeName(name.clone()),
        Step::Index(index) => Selector::ElementKeyInt(*index),
        Step::Key(key) => Selector::ElementKeyString(key.clone()),
    };
    AttributePath {
        steps: path
            .steps()
            .iter()
            .map(|step| attribute_path::Step {
                selector: Some(selector(step)),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_shown_is_said() {
        let top = one(Diagnostic::error("Bad", "It is bad.").at("name"));
        assert_eq!(top.detail, "It is bad.");
        assert_eq!(top.severity(), diagnostic::Severity::Error);
        let inside = one(Diagnostic::warning("Bad", "It is bad.").at(Path::from("pools").key("lab1").attribute("url")));
        assert_eq!(inside.detail, "It is bad.\n\nWhere: pools[\"lab1\"].url");
        assert_eq!(inside.severity(), diagnostic::Severity::Warning);
        let steps: Vec<_> = inside
            .attribute
            .unwrap()
            .steps
            .into_iter()
            .filter_map(|step| step.selector)
            .collect();
        assert_eq!(
            steps,
            [
                Selector::AttributeName("pools".into()),
                Selector::ElementKeyString("lab1".into()),
                Selector::AttributeName("url".into())
            ],
            "whole: cut to `pools`, the host would print the expression there, passwords in it included"
        );
    }

    #[test]
    fn the_root_is_no_place() {
        assert_eq!(
            one(Diagnostic::error("Bad", "It is bad.").at(Path::root())).attribute,
            None
        );
    }
}
