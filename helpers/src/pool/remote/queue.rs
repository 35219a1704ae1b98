//! Tasks that wait for a worker, in the order in which they came.

use std::collections::VecDeque;

use super::task::{Completed, Task};
use crate::pool::PoolError;

/// Tasks that wait. Those that were taken back from a worker go where they were.
#[derive(Debug, Default)]
pub struct Queue {
    tasks: VecDeque<Task>,
    next_order: u64,
}

impl Queue {
    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Puts a new task at the end.
    pub fn push(&mut self, mut task: Task) {
        task.order = self.next_order;
        self.next_order += 1;
        self.tasks.push_back(task);
    }

    /// Takes the first task out.
    pub fn pop(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// Puts tasks that no worker has begun back to where they were.
    pub fn take_back(&mut self, tasks: Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        for task in tasks.into_iter().rev() {
            task.sink.recalled(task.index);
            self.tasks.push_front(task);
        }
        let queue = self.tasks.make_contiguous();
        queue.sort_by_key(|task| task.order);
    }

    /// Lets all tasks fail with `error`.
    pub fn fail_all(&mut self, error: &PoolError, completed: &mut Completed) {
        let waiting = self.tasks.drain(..);
        completed.extend(waiting.map(|task| task.end(Err(error.clone()))));
    }

    /// Takes out the tasks that nobody wants any more.
    pub fn stop(&mut self, completed: &mut Completed) {
        let (others, stopped): (Vec<Task>, Vec<Task>) =
            self.tasks.drain(..).partition(Task::is_wanted);
        self.tasks = others.into();
        completed.extend(stopped.into_iter().map(|task| {
            let error = PoolError::cancelled("nobody waits for it");
            task.end(Err(error))
        }));
    }
}
