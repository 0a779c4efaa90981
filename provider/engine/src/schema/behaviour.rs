//! How an attribute behaves in a plan: [`OnUpdate`] and [`Replace`].

use cty::Value;

/// What an update plans for a computed attribute that is null in the configuration. A create always plans unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnUpdate {
    /// Unknown, as soon as anything at all changes.
    #[default]
    Unknown,
    /// The value there is.
    Keep,
    /// The value there is, unless one of these attributes beside it changes.
    UnknownWhenChanged(Vec<String>),
}

/// When a change of an attribute needs a new object.
#[derive(Clone, Debug, Default)]
pub enum Replace {
    /// Never.
    #[default]
    Never,
    /// On any change, also to unknown.
    Always,
    /// When the configuration asks for the change.
    IfConfigured,
    /// When the function says so. The text says for the docs when that is.
    If(fn(&Change<'_>) -> bool, String),
}

/// A change of one attribute, as [`Replace::If`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The attribute in the configuration.
    pub config: &'a Value,
    /// The attribute before; never equal to `planned`.
    pub prior: &'a Value,
    /// The attribute after; maybe unknown.
    pub planned: &'a Value,
    /// The whole configuration.
    pub root_config: &'a Value,
    /// The whole object before.
    pub root_prior: &'a Value,
    /// The whole object after.
    pub root_planned: &'a Value,
}
