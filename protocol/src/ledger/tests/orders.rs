//! Every order is total: antisymmetric, transitive, and equal only for one record (FORMATS, "Kinds, keys and orders").

use std::cmp::Ordering;

use proptest::prelude::*;

use super::world::*;
use crate::{
    ids::{NodeId, RecordHash},
    ledger::{
        kinds::JobState,
        order::{Fact, Rank},
        record::{Entry, Position, ReignId, Tail},
    },
    names::PackageVersion,
    roles::Roles,
};

fn assert_total<T: Ord + std::fmt::Debug>(items: &[T]) {
    for a in items {
        for b in items {
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a:?} {b:?}");
            assert_eq!(a.cmp(b) == Ordering::Equal, a == b, "{a:?} {b:?}");
            for c in items {
                if a <= b && b <= c {
                    assert!(a <= c, "{a:?} <= {b:?} <= {c:?}");
                }
            }
        }
    }
}

fn position() -> impl Strategy<Value = Position> {
    (0_u64..3, 0_u64..3, 0_u8..3).prop_map(|(incarnation, sequence, hash)| Position {
        incarnation,
        sequence,
        hash: RecordHash([hash; 32]),
    })
}

fn tail() -> impl Strategy<Value = Tail> {
    (0_u64..3, 0_u8..3, position()).prop_map(|(term, author, position)| Tail {
        reign: ReignId {
            term,
            node: NodeId([author; 32]),
            incarnation: position.incarnation,
        },
        author: NodeId([author; 32]),
        position,
    })
}

/// Values of one kind, as they may meet under one key; a form that is not read among them.
fn entry(kind: u16) -> BoxedStrategy<Entry> {
    let numbers = (
        0_u64..3,
        0_u64..4,
        any::<bool>(),
        prop::option::of(position()),
        version(),
    );
    let read = numbers.prop_map(move |(a, b, flag, cut, version)| {
        let terms = || Terms {
            cut,
            ..Terms::default()
        };
        let states = [
            JobState::Queued,
            failed(),
            JobState::Cancelled,
            JobState::Published,
        ];
        match kind {
            1 => admission(1, a + 1, Roles::PEER),
            2 => edit(
                1,
                a,
                [Roles::PEER, Roles::GUEST, Roles::CLIENT, Roles::NONE][b as usize],
                flag,
            ),
            3 if b == 0 => revocation(1, terms()),
            3 if b == 1 => reinstatement(1, a),
            3 => suspension(1, a, terms()),
            4 => invitation(1, flag),
            5 => signer(a, flag),
            6 => setting("sign.verify", a, ["copy", "present", "required", ""][b as usize]),
            7 => source(a, flag),
            8 => job(1, a, states[b as usize].clone()),
            9 => package("foo", a % 2, flag.then_some(version.as_str())),
            10 => binding("foo", "1-1", &b.to_le_bytes()),
            _ => generation(a),
        }
    });
    prop_oneof![9 => read, 1 => Just(unread(kind, 2, b"k"))].boxed()
}

fn ranks() -> impl Strategy<Value = Vec<Rank>> {
    (1_u16..=11).prop_flat_map(|kind| {
        let rank = (entry(kind), tail()).prop_map(|(entry, tail)| Fact::read(&entry).rank(tail));
        prop::collection::vec(rank, 8)
    })
}

/// Any version of the grammar, with few letters and digits so that they often meet.
fn version() -> impl Strategy<Value = String> {
    "([0-2]:)?[0-2ab]{1,3}([._+][0-2aB]{1,3}){0,3}-[0-2]{1,2}(\\.[0-2])?"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inv2_every_kind_has_a_total_order(ranks in ranks()) {
        assert_total(&ranks);
        for a in &ranks {
            for b in &ranks {
                prop_assert!(a != b || a.tail() == b.tail());
            }
        }
    }

    #[test]
    fn inv2_versions_of_the_grammar_have_a_total_order(texts in prop::collection::vec(version(), 8)) {
        let versions: Vec<PackageVersion> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert_total(&versions);
    }
}

/// All versions of at most four characters over an alphabet that reaches every branch of alpm's comparison.
#[test]
fn inv2_all_short_versions_are_ordered_transitively() {
    let mut texts = vec![String::new()];
    let mut versions: Vec<PackageVersion> = Vec::new();
    for _ in 0..4 {
        let longer = |text: &String| ["0", "1", "a", "b", "."].map(|more| format!("{text}{more}"));
        texts = texts.iter().flat_map(longer).collect();
        versions.extend(texts.iter().filter_map(|text| format!("{text}-1").parse().ok()));
    }
    assert!(versions.len() > 400);
    // Sorted by a comparison that is not transitive, some pair that is far apart stands the wrong way round.
    versions.sort();
    for (at, lower) in versions.iter().enumerate() {
        for higher in &versions[at + 1..] {
            assert_eq!(lower.cmp(higher), Ordering::Less, "{lower} {higher}");
            assert_eq!(higher.cmp(lower), Ordering::Greater, "{lower} {higher}");
        }
    }
}

#[test]
fn ordinary_versions_are_in_the_grammar_and_in_the_order_that_people_expect() {
    let ascending = [
        "1.0.rc1-1",
        "1.0.1-1",
        "1.0.2+2+gabc-1",
        "1.2_3-1",
        "1.2.4-1",
        "1.2.10-1",
        "20240101-1",
        "1:0.1-1",
    ];
    let versions: Vec<PackageVersion> = ascending.iter().map(|text| text.parse().unwrap()).collect();
    assert!(versions.is_sorted(), "{versions:?}");
    for text in [
        "r123.gabcdef-1",
        "1.0.r5.gabc-1.1",
        "1.0+2+gabc-1",
        "2024.01.01-1",
    ] {
        assert!(text.parse::<PackageVersion>().is_ok(), "{text}");
    }
}

fn rank(entry: &Entry) -> Rank {
    let position = Position {
        incarnation: 1,
        sequence: 1,
        hash: RecordHash([0; 32]),
    };
    let reign = ReignId {
        term: 1,
        node: node(0),
        incarnation: 1,
    };
    Fact::read(entry).rank(Tail {
        reign,
        author: node(0),
        position,
    })
}

/// The table of FORMATS, row by row.
#[test]
fn values_are_ordered_as_the_table_says() {
    let low = Terms {
        cut: None,
        ..Terms::default()
    };
    let high = Terms {
        cut: Some(Position {
            incarnation: 1,
            sequence: 1,
            hash: RecordHash([0; 32]),
        }),
        ..Terms::default()
    };
    let rows = [
        vec![
            edit(1, 0, Roles::GUEST, true),
            edit(1, 1, Roles::PEER, false),
            edit(1, 1, Roles::GUEST, false),
            edit(1, 1, Roles::PEER, true),
        ],
        vec![
            suspension(1, 0, high.clone()),
            suspension(1, 0, low.clone()),
            reinstatement(1, 1),
            suspension(1, 1, high.clone()),
            revocation(1, high),
            revocation(1, low),
        ],
        vec![invitation(1, false), invitation(1, true)],
        vec![signer(0, true), signer(1, false), signer(1, true)],
        vec![
            setting("sign.verify", 1, "required"),
            setting("sign.verify", 2, "copy"),
            setting("sign.verify", 2, "present"),
            setting("sign.verify", 2, "required"),
        ],
        vec![source(1, true), source(2, false), source(2, true)],
        vec![
            job(1, 0, JobState::Cancelled),
            job(1, 1, JobState::Queued),
            job(1, 1, failed()),
            job(1, 1, JobState::Cancelled),
            job(1, 0, JobState::Published),
        ],
        vec![
            package("a", 0, None),
            package("a", 1, Some("1.9-1")),
            package("a", 1, Some("1.10-1")),
            package("a", 1, None),
        ],
        vec![generation(1), generation(2)],
    ];
    for row in rows {
        let ranks: Vec<Rank> = row.iter().map(rank).collect();
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{row:?}");
        assert!(rank(&unread(row[0].kind, 2, b"k")) < ranks[0]);
    }
}
