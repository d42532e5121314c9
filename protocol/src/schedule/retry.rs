//! When a failure is the job's own (FORMATS, "Numbers"): the same class on two workers, or nobody else could try.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ids::NodeId, work::FailureClass};

/// How many distinct workers must see the same class of failure.
const WITNESSES: usize = 2;

/// Whether a job is to fail after a failure of `class`, given all its own failures so far, the last one included, and
/// those who could try it now. A worker's fault is never the job's (invariant 4).
pub(crate) fn is_final(
    failures: &BTreeMap<NodeId, BTreeSet<FailureClass>>,
    class: FailureClass,
    mut capable: impl Iterator<Item = NodeId>,
) -> bool {
    if class.is_workers_fault() {
        return false;
    }
    let witnesses = failures
        .values()
        .filter(|classes| classes.contains(&class))
        .count();
    witnesses >= WITNESSES || capable.all(|worker| failures.contains_key(&worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKERS: [NodeId; 3] = [NodeId([1; 32]), NodeId([2; 32]), NodeId([3; 32])];

    fn failed(by: &[(usize, FailureClass)]) -> BTreeMap<NodeId, BTreeSet<FailureClass>> {
        let mut failures: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (worker, class) in by {
            failures.entry(WORKERS[*worker]).or_default().insert(*class);
        }
        failures
    }

    #[test]
    fn the_same_class_on_two_workers_is_final_and_another_class_is_not() {
        use FailureClass::{Build, Check};
        let same = failed(&[(0, Build), (1, Build)]);
        let other = failed(&[(0, Build), (1, Check)]);
        let again = failed(&[(0, Build)]);
        assert!(is_final(&same, Build, WORKERS.into_iter()));
        assert!(!is_final(&other, Check, WORKERS.into_iter()));
        assert!(!is_final(&again, Build, WORKERS.into_iter()));
    }

    #[test]
    fn where_nobody_else_could_try_one_failure_is_final() {
        use FailureClass::{Build, Check};
        let once = failed(&[(0, Build)]);
        assert!(is_final(&once, Build, WORKERS[..1].iter().copied()));
        assert!(is_final(&once, Build, std::iter::empty()));
        assert!(!is_final(&once, Build, WORKERS[..2].iter().copied()));
        let all = failed(&[(0, Build), (1, Check)]);
        assert!(is_final(&all, Check, WORKERS[..2].iter().copied()));
    }

    #[test]
    fn inv4_a_workers_fault_is_never_final() {
        use FailureClass::{Disk, Lost, Memory, Sandbox};
        for class in [Disk, Sandbox, Memory, Lost] {
            assert!(!is_final(
                &failed(&[(0, class), (1, class)]),
                class,
                std::iter::empty()
            ));
        }
    }
}
