//! The digest tree forgets what it computed as soon as it changes.

use crate::{ids::RecordHash, ledger::tree::DigestTree};

#[test]
fn the_root_follows_every_change() {
    let hash = |n: u8| RecordHash::of(&[n]);
    let (mut tree, mut other) = (DigestTree::default(), DigestTree::default());
    let empty = tree.root();
    tree.insert(hash(1));
    let one = tree.root();
    assert_ne!(one, empty);
    tree.insert(hash(2));
    assert_ne!(tree.root(), one);
    other.insert(hash(2));
    other.insert(hash(1));
    assert_eq!(tree.root(), other.root());
    tree.remove(&hash(2));
    assert_eq!(tree.root(), one);
    tree.remove(&hash(1));
    assert_eq!(tree.root(), empty);
}
