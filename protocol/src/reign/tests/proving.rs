//! What a document must show.

use super::kit::*;
use crate::{
    membership::record::MEMBER_LIMIT,
    reign::{DocumentError, VerifiedReign, document::Document, verify_document},
};

fn judge(document: &Document) -> Result<VerifiedReign, DocumentError> {
    verify_document(document, &MESH, &Toy(0), |node| *node != id(8))
}

#[test]
fn a_claim_with_grants_of_more_than_half_is_a_proof() {
    let verified = judge(&document(3, 1, &[1, 2, 3], &[1, 3])).unwrap();
    let asked = [1, 2, 3].map(id).to_vec();
    let expected = VerifiedReign {
        reign: reign(3, 1),
        grants: 2,
        asked,
    };
    assert_eq!(verified, expected);
}

#[test]
fn too_few_grants_or_not_the_claimants_own_prove_nothing() {
    for granters in [&[1][..], &[2, 3], &[]] {
        let judged = judge(&document(3, 1, &[1, 2, 3], granters));
        assert!(
            matches!(judged, Err(DocumentError::NoMajority { .. })),
            "{judged:?}"
        );
    }
    assert!(
        judge(&document(3, 1, &[1, 2], &[1])).is_err(),
        "half is no majority"
    );
}

#[test]
fn grants_count_once_and_only_of_those_asked_and_for_this_claim() {
    let mut foreign = document(3, 1, &[1, 2, 3], &[1]);
    foreign.grants.push(grant(&claim(4, 1, &[1, 2, 3]), 2));
    for wrong in [
        document(3, 1, &[1, 2, 3], &[1, 1]),
        document(3, 1, &[1, 2, 3], &[1, 4]),
        foreign,
    ] {
        assert!(matches!(judge(&wrong), Err(DocumentError::Grant { .. })));
    }
}

#[test]
fn inv5_every_signature_and_every_bound_is_checked() {
    let mut forged = document(3, 1, &[1, 2, 3], &[1, 2]);
    forged.grants[1].signature = forged.grants[0].signature;
    assert!(matches!(judge(&forged), Err(DocumentError::Signature { node }) if node == id(2)));

    let mut forged = document(3, 1, &[1, 2, 3], &[1, 2]);
    forged.claim.signature = forged.grants[0].signature;
    assert!(matches!(judge(&forged), Err(DocumentError::Signature { node }) if node == id(1)));

    for asked in [&[2, 1][..], &[1, 1], &[2, 3]] {
        assert!(matches!(
            judge(&document(3, 1, asked, &[1])),
            Err(DocumentError::Asked { .. })
        ));
    }
    let crowd: Vec<u8> = (1..=255).collect();
    assert!(crowd.len() < MEMBER_LIMIT && judge(&document(3, 1, &crowd, &crowd[..200])).is_err());
    let truncated = Document {
        claim: claim(3, 1, &[1]),
        grants: vec![],
    };
    assert!(judge(&truncated).is_err());
}

#[test]
fn only_entitled_members_make_a_reign() {
    assert!(matches!(
        judge(&document(3, 8, &[1, 8], &[1, 8])),
        Err(DocumentError::NotEntitled { .. })
    ));
    assert!(
        judge(&document(3, 1, &[1, 2, 8], &[1, 2])).is_ok(),
        "an unknown asked one only raises the bar"
    );
}

#[test]
fn inv1_only_a_verified_document_raises_the_highest_reign() {
    let mut desk = Desk::new(2, &[1, 2, 3]);
    desk.alive(&[1, 3]);
    desk.show(1, &document(50, 1, &[1, 2, 3], &[1]));
    desk.hear(1, Some(reign(60, 1)));
    desk.ask(&claim(70, 1, &[1, 2, 3]), 1);
    assert_eq!(desk.machine.highest_reign(), None);
    desk.show(3, &document(2, 1, &[1, 2, 3], &[1, 3]));
    assert_eq!(desk.machine.highest_reign(), Some(reign(2, 1)));
}
