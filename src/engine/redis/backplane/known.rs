//! What servers and their data are, as probes found them: by partition, since in a Cluster a server
//! that takes over from another is one at another address.

use std::collections::HashMap;
use std::sync::Arc;

/// What a probe finds: the generation of the server, and the mark of its data.
pub(super) type Found = (String, String);

/// Why the last changes may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The data is another.
    Data,
    /// The server is another, or was started again.
    Server,
}

/// What was found last. Bounded by the number of partitions.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The generation of the server of each partition.
    generations: HashMap<u16, Arc<str>>,
    /// The marks, by the partition in which they are; one moves with its partition.
    marks: HashMap<u16, String>,
}

impl Known {
    /// Takes what was found of a server with these partitions, by the mark in one of them; returns
    /// what is another than before.
    pub(super) fn take(
        &mut self,
        partitions: &[u16],
        marked: u16,
        (generation, mark): Found,
    ) -> Option<Change> {
        let before = self.marks.insert(marked, mark.clone());
        let is_lost = before.is_some_and(|before| before != mark);
        if is_lost {
            // What else it had is lost with it; no second loss is found by that.
            self.marks.retain(|at, _| *at == marked || !partitions.contains(at));
        }
        // Partitions that come to a server which was there before were moved with all that they
        // have. One that was not has taken over, as far as can be known.
        let was_there = self.generations.values().any(|known| **known == *generation);
        let generation: Arc<str> = generation.into();
        let mut is_another = false;
        for partition in partitions {
            let before = self.generations.insert(*partition, Arc::clone(&generation));
            is_another |= before.is_some_and(|before| before != generation);
        }
        if is_lost {
            return Some(Change::Data);
        }
        (is_another && !was_there).then_some(Change::Server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(generation: &str, mark: &str) -> Found {
        (generation.to_owned(), mark.to_owned())
    }

    /// Two servers with two partitions each.
    fn two() -> Known {
        let mut known = Known::default();
        assert_eq!(known.take(&[0, 1], 0, found("a", "of a")), None);
        assert_eq!(known.take(&[2, 3], 2, found("b", "of b")), None);
        known
    }

    #[test]
    fn a_server_that_is_as_before_changes_nothing() {
        assert_eq!(two().take(&[0, 1], 0, found("a", "of a")), None);
    }

    #[test]
    fn a_server_that_was_started_again_is_another() {
        assert_eq!(two().take(&[0, 1], 0, found("c", "of a")), Some(Change::Server));
    }

    #[test]
    fn data_with_another_mark_is_lost_and_once() {
        let mut known = two();
        assert_eq!(known.take(&[0, 1], 1, found("a", "of 1")), None);
        assert_eq!(known.take(&[0, 1], 0, found("a", "new")), Some(Change::Data));
        assert_eq!(known.take(&[0, 1], 1, found("a", "new of 1")), None);
    }

    #[test]
    fn a_server_that_takes_over_is_found_by_any_partition_and_once() {
        let mut known = two();
        // A redirection names it before the map does.
        assert_eq!(known.take(&[1], 1, found("c", "of 1")), Some(Change::Server));
        assert_eq!(known.take(&[0, 1], 1, found("c", "of 1")), None);
        assert_eq!(known.take(&[0, 1], 0, found("c", "of a")), None);
    }

    #[test]
    fn a_partition_that_moves_to_a_server_that_was_there_is_no_loss() {
        let mut known = two();
        assert_eq!(known.take(&[0, 2, 3], 2, found("b", "of b")), None);
        assert_eq!(known.take(&[1], 1, found("a", "of 1")), None);
        assert_eq!(known.take(&[0, 2, 3], 0, found("b", "of a")), None);
    }
}
