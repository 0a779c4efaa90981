//! Roles, from least to most, which of them a call needs, and what each may do.
//!
//! A call without any role is for the local superuser alone, whom nothing is checked for.

use std::sync::OnceLock;

use crate::db::Cls;
use crate::schema::{Message, Schema};
use crate::value::Value;

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

    /// Whether the role may call a method.
    pub(crate) fn allows(self, message: &Message) -> bool {
        message.role.is_some_and(|least| self >= least)
    }

    /// The names of all permissions of the role, sorted: what `session.rbac_permissions` holds.
    pub(crate) fn permissions(self) -> &'static Value {
        static SETS: [OnceLock<Value>; 6] = [const { OnceLock::new() }; 6];
        #[expect(clippy::indexing_slicing, reason = "one set per variant")]
        SETS[self as usize].get_or_init(|| {
            let mut names = Vec::new();
            for cls in Cls::ALL {
                let messages = Schema::get().class(*cls).messages.iter();
                let allowed = messages.filter(|(_, message)| self.allows(message));
                names.extend(allowed.map(|(name, _)| permission(*cls, name)));
            }
            names.sort_unstable();
            Value::strings(names)
        })
    }
}

/// The name of the permission to call a method, such as `vm.hard_shutdown`.
pub(crate) fn permission(cls: Cls, method: &str) -> String {
    format!("{}.{method}", cls.name()).to_lowercase()
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

    #[test]
    fn permissions_grow_with_the_role() {
        let has = |role: Role, name: &str| role.permissions().as_set().contains(&Value::str(name));
        assert!(has(Role::ReadOnly, "event.from") && has(Role::ReadOnly, "vm.get_all_records_where"));
        assert!(!has(Role::ReadOnly, "vm.hard_shutdown") && has(Role::VmOperator, "vm.hard_shutdown"));
        assert!(has(Role::VmOperator, "vm.add_tags") && !has(Role::VmOperator, "vm.add_to_other_config"));
        assert!(has(Role::VmAdmin, "vdi.destroy") && !has(Role::VmAdmin, "vm.start_on"));
        assert!(!has(Role::VmPowerAdmin, "pool.add_to_other_config") && has(Role::PoolOperator, "pool.add_tags"));
        assert!(
            !has(Role::PoolAdmin, "session.change_password"),
            "the superuser's alone"
        );
    }
}
