//! Roles, from least to most, and which of them a call needs.

/// A static role. The order of the variants is the order of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    ReadOnly,
    VmOperator,
    VmAdmin,
    VmPowerAdmin,
    PoolOperator,
    PoolAdmin,
}

impl Role {
    /// The role of this XenAPI name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "read-only" => Self::ReadOnly,
            "vm-operator" => Self::VmOperator,
            "vm-admin" => Self::VmAdmin,
            "vm-power-admin" => Self::VmPowerAdmin,
            "pool-operator" => Self::PoolOperator,
            "pool-admin" => Self::PoolAdmin,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_grows_with_the_order() {
        let names = [
            "read-only",
            "vm-operator",
            "vm-admin",
            "vm-power-admin",
            "pool-operator",
            "pool-admin",
        ];
        let roles: Vec<_> = names.iter().map(|n| Role::parse(n).unwrap()).collect();
        assert!(roles.is_sorted());
        assert_eq!(Role::parse("root"), None);
    }
}
