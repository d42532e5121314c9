//! Merging forgets in what order and in what portions records came (invariant 2).

use proptest::prelude::*;

use super::{generated::*, world::*};
use crate::ledger::{Ledger, record::Record};

fn assert_equal(ours: &mut Ledger, theirs: &mut Ledger) {
    assert_eq!(hashes(ours), hashes(theirs));
    assert_eq!(ours.tree().root(), theirs.tree().root());
    assert_eq!(ours.view(), theirs.view());
}

fn deliver<'a>(bundles: impl IntoIterator<Item = &'a Bundle>) -> Ledger {
    let mut ledger = empty();
    for bundle in bundles {
        merge_batch(&mut ledger, bundle.clone());
    }
    ledger
}

/// A ledger that holds what one has and learns what another has.
fn joined(ours: &Ledger, theirs: &Ledger) -> Ledger {
    let mut ledger = empty();
    merge_batch(&mut ledger, ours.records().cloned().collect());
    merge_batch(&mut ledger, theirs.records().cloned().collect());
    ledger
}

/// Bundles, a permutation of them, and after which of them a portion ends.
fn arrivals() -> impl Strategy<Value = (Vec<Bundle>, Vec<Bundle>, Vec<bool>)> {
    arrivals_of(bundles)
}

fn arrivals_of(
    bundles: fn(&[Deed]) -> Vec<Bundle>,
) -> impl Strategy<Value = (Vec<Bundle>, Vec<Bundle>, Vec<bool>)> {
    deeds()
        .prop_map(move |deeds| bundles(&deeds))
        .prop_flat_map(|bundles| {
            let ends = prop::collection::vec(any::<bool>(), bundles.len());
            (Just(bundles.clone()), Just(bundles).prop_shuffle(), ends)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inv2_any_order_and_any_portions_of_the_same_records_end_in_the_same_ledger(
        (written, arrived, ends) in arrivals()
    ) {
        let mut expected = deliver(&written);
        let mut ledger = empty();
        let mut portion: Vec<Record> = Vec::new();
        for (bundle, end) in arrived.into_iter().zip(ends) {
            portion.extend(bundle);
            if end {
                merge_batch(&mut ledger, std::mem::take(&mut portion));
            }
        }
        merge_batch(&mut ledger, portion);
        assert_equal(&mut ledger, &mut expected);
    }

    #[test]
    fn inv2_merging_is_associative_commutative_and_idempotent(
        (_, arrived, marks) in arrivals(),
        more in prop::collection::vec(any::<bool>(), 41),
    ) {
        let part = |number: usize| {
            let pick = arrived.iter().zip(marks.iter().zip(&more));
            deliver(pick.filter(|(_, (x, y))| usize::from(**x) + usize::from(**y) == number).map(|(bundle, _)| bundle))
        };
        let (a, b, c) = (part(0), part(1), part(2));
        assert_equal(&mut joined(&a, &b), &mut joined(&b, &a));
        assert_equal(&mut joined(&joined(&a, &b), &c), &mut joined(&a, &joined(&b, &c)));
        assert_equal(&mut joined(&a, &a), &mut deliver(&[a.records().cloned().collect()]));
    }

    /// Verdicts that come without the records below their cut, as a thief of a key may send them: two nodes may then keep
    /// different records, until they meet.
    #[test]
    fn inv2_two_nodes_that_exchange_all_they_hold_are_equal_whatever_reached_them(
        (written, arrived, marks) in arrivals(),
        more in prop::collection::vec(any::<bool>(), 41),
    ) {
        let loose = |bundles: &[Bundle], marks: &[bool]| {
            let picked = bundles.iter().zip(marks).filter(|(_, mark)| **mark);
            let heads: Vec<Record> = picked.map(|(bundle, _)| bundle[0].clone()).collect();
            ledger_of(&heads)
        };
        let (ours, theirs) = (loose(&written, &marks), loose(&arrived, &more));
        let mut met = joined(&ours, &theirs);
        assert_equal(&mut met, &mut joined(&theirs, &ours));
        let again = joined(&met, &theirs);
        prop_assert_eq!(hashes(&again), hashes(&joined(&again, &ours)));
    }

    /// What a horizon took that is void by now comes back from whoever holds it.
    #[test]
    fn inv2_two_nodes_that_meet_again_are_equal_whoever_spoke_of_a_horizon(
        (_, arrived, marks) in arrivals_of(bundles_with_any_horizon),
        more in prop::collection::vec(any::<bool>(), 41),
    ) {
        let some = |marks: &[bool]| deliver(arrived.iter().zip(marks).filter(|(_, mark)| **mark).map(|(bundle, _)| bundle));
        let (ours, theirs) = (some(&marks), some(&more));
        let (ours, theirs) = (joined(&ours, &theirs), joined(&theirs, &ours));
        assert_equal(&mut joined(&ours, &theirs), &mut joined(&theirs, &ours));
    }

    /// The tree leads two nodes to exactly the records that one of them lacks.
    #[test]
    fn the_tree_names_exactly_the_differing_records((written, _, marks) in arrivals()) {
        let ours = deliver(&written);
        let theirs = deliver(written.iter().zip(marks).filter(|(_, mark)| *mark).map(|(bundle, _)| bundle));
        let (ours, theirs) = (ours.tree(), theirs.tree());
        let mut found = std::collections::BTreeSet::new();
        for first in (0..=255).filter(|n| ours.top()[usize::from(*n)] != theirs.top()[usize::from(*n)]) {
            let (one, other) = (ours.branch(first), theirs.branch(first));
            for second in (0..=255).filter(|n| one[usize::from(*n)] != other[usize::from(*n)]) {
                found.extend(ours.leaf(first, second));
                found.extend(theirs.leaf(first, second));
            }
        }
        let all = |tree: &crate::ledger::tree::DigestTree| tree.hashes().copied().collect::<std::collections::BTreeSet<_>>();
        let (one, other) = (all(ours), all(theirs));
        let lacking: std::collections::BTreeSet<_> = one.symmetric_difference(&other).copied().collect();
        // A leaf is named by two bytes of the hash: whatever shares them with a differing record comes along.
        let leaves: std::collections::BTreeSet<_> = lacking.iter().map(|hash| [hash.0[0], hash.0[1]]).collect();
        let expected = one.union(&other).filter(|hash| leaves.contains(&[hash.0[0], hash.0[1]])).copied().collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(ours.root() == theirs.root(), lacking.is_empty());
    }
}

#[test]
fn a_superseded_verdict_stays_so_that_its_cut_does_not_depend_on_what_came_first() {
    let mut world = World::with_masters(2);
    let low = world.write(1, [setting("x", 1, "low")]);
    let high = world.write(1, [setting("x", 2, "high")]);
    let first = world.write(0, [suspension(1, 0, &low)]);
    let second = world.write(0, [suspension(1, 2, &high)]);
    let mut one = ledger_of(&world.records);
    let mut other = empty();
    merge_batch(&mut other, world.records[..2].to_vec());
    merge_batch(&mut other, vec![second, high.clone(), low.clone()]);
    merge_batch(&mut other, vec![first, low.clone()]);
    // Alone, the outranked record was dropped before the verdict came; its bundle brings it back.
    merge_batch(&mut one, vec![low]);
    assert_equal(&mut one, &mut other);
    assert_eq!(one.view().setting("x"), Some("high"));
}

#[test]
fn a_record_stays_while_one_of_its_entries_is_kept() {
    let mut world = World::with_masters(1);
    let both = world.write(0, [setting("x", 1, "a"), setting("y", 1, "a")]);
    world.write(0, [setting("x", 2, "b")]);
    assert!(world.ledger().contains(&both.hash()));
    world.write(0, [setting("y", 2, "b")]);
    assert!(!world.ledger().contains(&both.hash()));
}
