//! Calls on tasks.

use super::Objects;
use crate::error::Error;
use crate::record::Task;
use crate::reference::Ref;

impl Objects<'_, Task> {
    /// Asks a task to stop; best effort.
    ///
    /// # Errors
    /// The call failed.
    pub async fn cancel(self, task: &Ref<Task>) -> Result<(), Error> {
        self.set("task.cancel", task, Vec::new()).await
    }

    /// Deletes a task's record; a pending one is marked and goes when it ends.
    ///
    /// # Errors
    /// `is_gone_object` if it is gone already.
    pub async fn destroy(self, task: &Ref<Task>) -> Result<(), Error> {
        self.set("task.destroy", task, Vec::new()).await
    }
}
