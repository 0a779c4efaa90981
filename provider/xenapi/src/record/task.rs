//! Tasks: asynchronous calls in progress.

use super::{TextMap, class, open_enum};
use crate::uuid::Uuid;

open_enum! {
    /// Where a task stands. Progress may show 1 before the status changes: only the status counts.
    TaskStatus {
        /// In progress.
        Pending = "pending",
        /// Done; the result is set.
        Success = "success",
        /// Failed; the error is set.
        Failure = "failure",
        /// About to stop.
        Cancelling = "cancelling",
        /// Stopped.
        Cancelled = "cancelled",
    }
}

class! {
    /// An asynchronous call in progress.
    Task = "task", Task, TaskRecord {
        uuid: Uuid = "uuid",
        name_label: String = "name_label" or default,
        status: TaskStatus = "status",
        progress: f64 = "progress" or default,
        /// An XML fragment that holds the call's result.
        result: String = "result" or default,
        /// Code and parameters of the failure.
        error_info: Vec<String> = "error_info" or default,
        other_config: TextMap = "other_config" or default,
    }
}
