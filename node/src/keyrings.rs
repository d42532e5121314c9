//! The OpenPGP certificates of the mesh: all of them, and those that clients need.

use std::collections::BTreeSet;

use pacmesh_protocol::{
    ids::{Fingerprint, NodeId},
    ledger::{kinds::SignerV1, view::View},
};
use pacmesh_signing::Keyring;

use crate::error::chain;

/// All certificates, with their trust.
pub fn all(view: &View) -> Keyring {
    of(view.signers())
}

/// Those that a client needs: no guest's, whose signatures are replaced, unless something in force was signed with it
/// before the node became one.
pub fn for_clients(view: &View) -> Keyring {
    let signed: BTreeSet<Fingerprint> = view
        .all_releases()
        .filter_map(|(_, release)| release.signer)
        .collect();
    of(view.signers().filter(|(fingerprint, signer)| {
        signed.contains(fingerprint) || !signer.node.is_some_and(|node| is_guest(view, &node))
    }))
}

/// Whether a member builds, and nothing else.
pub fn is_guest(view: &View, node: &NodeId) -> bool {
    view.member(node).is_some_and(|member| member.roles.is_guest())
}

fn of<'a>(signers: impl Iterator<Item = (&'a Fingerprint, &'a SignerV1)>) -> Keyring {
    let entries =
        signers.map(|(fingerprint, signer)| (*fingerprint, signer.certificate.as_slice(), signer.distrusted));
    let (keyring, unreadable) = Keyring::from_entries(entries);
    for error in unreadable {
        tracing::warn!(error = chain(&error), "a certificate of the mesh cannot be read");
    }
    keyring
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pacmesh_protocol::{
        ids::{Digest, JobId, Sha256},
        ledger::{
            Ledger,
            kinds::{PackageKey, PackageV1, ReleaseV1, Value},
            record::{Entry, Record},
        },
        roles::Roles,
    };
    use pacmesh_signing::{Ed25519Verifier, test_keys};

    use super::*;

    fn signer(number: u8) -> Entry {
        let key = test_keys::package_key(number);
        SignerV1 {
            generation: 0,
            distrusted: false,
            certificate: key.certificate().as_bytes().to_vec(),
            node: Some(test_keys::node(number).id()),
        }
        .entry(&key.fingerprint())
        .unwrap()
    }

    /// A package that node `number` signed.
    fn package(number: u8) -> Entry {
        let key = PackageKey {
            repository: "farm".parse().unwrap(),
            arch: "x86_64".parse().unwrap(),
            name: "one".parse().unwrap(),
        };
        let release = ReleaseV1 {
            version: "1-1".parse().unwrap(),
            base: "one".parse().unwrap(),
            file: "one-1-1-x86_64.pkg.tar.zst".parse().unwrap(),
            size: 1,
            sha256: Sha256([0; 32]),
            archive: Digest([1; 32]),
            signature: Some(Digest([2; 32])),
            signer: Some(test_keys::package_key(number).fingerprint()),
            meta: Digest([3; 32]),
            job: JobId([4; 32]),
            worker: test_keys::node(number).id(),
            built_at: 1,
        };
        PackageV1 {
            generation: 0,
            release: Some(release),
        }
        .entry(&key)
        .unwrap()
    }

    /// Whether clients are given the keys of node 1, which founded, and of node 3, a guest.
    fn given(entries: Vec<Entry>) -> [bool; 2] {
        let mesh = test_keys::authority(1).mesh();
        let mut ledger = Ledger::new(mesh, test_keys::node(1).id(), Arc::new(Ed25519Verifier));
        let path = test_keys::admitted(1, &test_keys::founder(1, 1), 1, 3, 1, Roles::GUEST);
        for link in path.links {
            ledger.merge(Record::verify(link, &mesh, &Ed25519Verifier).unwrap());
        }
        ledger.merge(test_keys::record(1, 1, entries));
        let keyring = for_clients(&ledger.view());
        [1, 3].map(|number| keyring.is_trusted(&test_keys::package_key(number).fingerprint()))
    }

    #[test]
    fn inv6_clients_are_given_no_guests_keys_but_those_that_signed_what_is_in_force() {
        assert_eq!(given(vec![signer(1), signer(3)]), [true, false]);
        assert_eq!(given(vec![signer(1), signer(3), package(3)]), [true, true]);
    }
}
