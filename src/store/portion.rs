//! Divides a backlog among the instances that share a database.
//!
//! Without this, all instances look at the same oldest executions, and most of what one looks at is begun by
//! another. It is no claim: an execution is claimed when it begins, by whichever instance is first.

use std::time::Duration;

use crate::model::Id;

/// What is due for longer belongs to every instance's portion. So nothing waits for an instance that is busy.
pub(super) const LATE: Duration = Duration::from_secs(30);

/// The executions that one of several instances begins before the others do: by their ids, counted modulo the
/// number of instances. If instances disagree about that number, they compete, and each execution still
/// begins once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    /// From 0.
    pub(super) number: i64,
    /// How many there are; 0: not known yet, so nothing belongs to this instance.
    pub(super) of: i64,
}

impl Portion {
    /// All executions.
    pub(super) const ALL: Self = Self { number: 0, of: 1 };
    /// No execution.
    #[cfg(feature = "postgres")]
    pub(super) const NONE: Self = Self { number: 0, of: 0 };

    /// Reads what belongs to it, with `read`. If that is fewer than `enough`, or without `enough`, reads
    /// everything. Also returns whether there are other portions, which were not read.
    pub(super) fn read_first<T, E>(
        self,
        enough: Option<u32>,
        read: impl Fn(Self) -> Result<Vec<T>, E>,
    ) -> Result<(Vec<T>, bool), E> {
        if let Some(enough) = enough.filter(|_| self.of > 1) {
            let own = read(self)?;
            if enough as usize <= own.len() {
                return Ok((own, true));
            }
        }
        Ok((read(Self::ALL)?, false))
    }

    /// Whether the execution belongs to it.
    pub(super) const fn contains(self, id: Id) -> bool {
        self.of > 0 && id.rem_euclid(self.of) == self.number
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn each_execution_belongs_to_one_of_the_portions() {
        for id in [0, 1, 5, 6, i64::MAX] {
            assert!(Portion::ALL.contains(id) && !Portion::NONE.contains(id));
            let of_three = (0..3).filter(|number| Portion { number: *number, of: 3 }.contains(id));
            assert_eq!(of_three.count(), 1, "{id}");
        }
    }
}
