//! Judging a knock: the member at the door checks what only it can see, the master checks the rest.
//!
//! The clock is asked here and nowhere else in membership: an invitation's expiry is judged once, by the admitting
//! master, and never again from a time that somebody wrote into a record.

use pacmesh_protocol::codec;
use pacmesh_protocol::entry::{CERTIFICATE_LIMIT, CarriedKnock, KNOCK_LIMIT, Knock, KnockBinding};
use pacmesh_protocol::ids::{MeshId, NodeId};
use pacmesh_protocol::ledger::kinds::InvitationStatementV1;
use pacmesh_protocol::ledger::record::VALUE_LIMIT;
use pacmesh_protocol::signed::{Purpose, Verify, message};

use crate::node_key::{Ed25519Verifier, is_usable};
use crate::openpgp::{Certificate, CertificateError};

/// How far the clocks of inviter and master may differ, in milliseconds (FORMATS, "Numbers": ± 120 s).
pub const CLOCK_TOLERANCE_MS: u64 = 120_000;

/// Why a knock is not answered with an admission.
#[derive(Debug, thiserror::Error)]
pub enum KnockError {
    /// The knock names another joiner or member than the session's ends.
    #[error("the knock was made for another session: join again")]
    OtherSession,
    /// The authority of this mesh did not sign the invitation.
    #[error("the token is of another mesh, or forged: ask for one with `pacmesh invite`")]
    OtherMesh,
    /// The proof was not made by the invitation's key over this session.
    #[error("the knock does not prove possession of the token")]
    Proof,
    /// Too late.
    #[error("the token expired {} s ago: ask for a new one with `pacmesh invite`", late_ms / 1000)]
    Expired {
        /// By how much, in milliseconds.
        late_ms: u64,
    },
    /// As many nodes entered by it as it allows.
    #[error("the token was used up ({uses} of {uses}): ask for a new one with `pacmesh invite`")]
    UsedUp {
        /// How many it allows.
        uses: u32,
    },
    /// The key of the joiner is none.
    #[error("the key of the joining node is not usable: let it make a new one")]
    Key,
    /// The joiner's OpenPGP certificate is too long for a knock.
    #[error("an OpenPGP key of {0} bytes is too long to join with (at most {CERTIFICATE_LIMIT})")]
    LongCertificate(usize),
    /// The joiner's OpenPGP certificate is not one.
    #[error("the joining node's OpenPGP key is not usable")]
    Certificate(#[source] CertificateError),
}

/// A joiner that may be admitted: what the admission may say of it.
#[derive(Debug)]
pub struct Entrant {
    /// The invitation that it proved to hold; its roles are the most that an admission may give.
    pub terms: InvitationStatementV1,
    /// The certificate that it will sign packages with, if it showed one.
    pub certificate: Option<Certificate>,
}

/// For the member at the door: what the proof must cover in the session between `joiner` (the other end's TLS key) and
/// `member` (this node), whose exporter is `exporter`.
///
/// # Errors
/// When the knock names another joiner.
pub fn check_binding(
    knock: Knock,
    joiner: NodeId,
    member: NodeId,
    exporter: [u8; 32],
) -> Result<CarriedKnock, KnockError> {
    // Read without belief: the master verifies the statement; a lie here makes the proof fail there.
    let terms: InvitationStatementV1 = knock
        .invitation
        .peek(VALUE_LIMIT)
        .map_err(|_| KnockError::OtherMesh)?;
    if knock.node != joiner {
        return Err(KnockError::OtherSession);
    }
    let binding = KnockBinding {
        invitation: terms.invitation,
        joiner,
        member,
        exporter,
    };
    Ok(CarriedKnock { knock, binding })
}

/// For the master: whether the joiner may be admitted at `now_ms` (Unix time in milliseconds), when `used(invitation)`
/// nodes other than the joiner have entered by its invitation.
///
/// # Errors
/// A distinct reason for each refusal; the texts may be shown to the joiner.
pub fn judge_knock(
    carried: &CarriedKnock,
    mesh: &MeshId,
    now_ms: u64,
    used: impl FnOnce(&InvitationStatementV1) -> u32,
) -> Result<Entrant, KnockError> {
    let CarriedKnock { knock, binding } = carried;
    let terms: InvitationStatementV1 = knock
        .invitation
        .open(
            Purpose::Invitation,
            mesh,
            mesh.as_bytes(),
            &Ed25519Verifier,
            VALUE_LIMIT,
        )
        .map_err(|_| KnockError::OtherMesh)?;
    if binding.joiner != knock.node || binding.invitation != terms.invitation {
        return Err(KnockError::OtherSession);
    }
    let body = codec::encode(binding, KNOCK_LIMIT).map_err(|_| KnockError::Proof)?;
    let covered = message(Purpose::Join, mesh, &body);
    if !Ed25519Verifier.verify(terms.invitation.as_bytes(), &covered, &knock.proof) {
        return Err(KnockError::Proof);
    }
    if !is_usable(knock.node.as_bytes()) {
        return Err(KnockError::Key);
    }
    let late_ms = now_ms.saturating_sub(terms.expires_ms);
    if late_ms > CLOCK_TOLERANCE_MS {
        return Err(KnockError::Expired { late_ms });
    }
    if used(&terms) >= terms.uses {
        return Err(KnockError::UsedUp { uses: terms.uses });
    }
    let certificate = read_certificate(&knock.certificate)?;
    Ok(Entrant { terms, certificate })
}

fn read_certificate(bytes: &[u8]) -> Result<Option<Certificate>, KnockError> {
    match bytes.len() {
        0 => Ok(None),
        1..=CERTIFICATE_LIMIT => Certificate::parse(bytes)
            .map(Some)
            .map_err(KnockError::Certificate),
        long => Err(KnockError::LongCertificate(long)),
    }
}

#[cfg(test)]
mod tests {
    use pacmesh_protocol::roles::Roles;
    use pacmesh_protocol::signed::Signature;

    use super::*;
    use crate::test_keys;

    const EXPIRES: u64 = 1_790_000_000_000;
    const EXPORTER: [u8; 32] = [9; 32];

    fn mesh() -> MeshId {
        test_keys::authority(1).mesh()
    }

    fn joiner() -> NodeId {
        test_keys::node(2).id()
    }

    fn member() -> NodeId {
        test_keys::node(1).id()
    }

    fn knock() -> Knock {
        let invitation = test_keys::invitation(1, 7, Roles::PEER, EXPIRES, 1);
        let certificate = test_keys::package_key(2).certificate().as_bytes().to_vec();
        invitation
            .knock(
                joiner(),
                "laptop".parse().unwrap(),
                certificate,
                member(),
                EXPORTER,
            )
            .unwrap()
    }

    fn carried(knock: Knock) -> CarriedKnock {
        check_binding(knock, joiner(), member(), EXPORTER).unwrap()
    }

    fn judged(carried: &CarriedKnock) -> Result<Entrant, KnockError> {
        judge_knock(carried, &mesh(), EXPIRES, |_| 0)
    }

    #[test]
    fn a_holder_of_an_invitation_may_enter_with_its_roles_and_certificate() {
        let entrant = judged(&carried(knock())).unwrap();
        assert_eq!(entrant.terms.roles, Roles::PEER);
        let expected = test_keys::package_key(2);
        assert_eq!(entrant.certificate.as_ref(), Some(expected.certificate()));
        let without = test_keys::invitation(1, 7, Roles::PEER, EXPIRES, 1)
            .knock(joiner(), "laptop".parse().unwrap(), vec![], member(), EXPORTER)
            .unwrap();
        assert!(judged(&carried(without)).unwrap().certificate.is_none());
    }

    #[test]
    fn a_proof_is_worthless_in_another_session_for_another_key_or_at_another_member() {
        let other = test_keys::node(3).id();
        assert!(matches!(
            check_binding(knock(), other, member(), EXPORTER),
            Err(KnockError::OtherSession)
        ));
        let replayed = check_binding(knock(), joiner(), member(), [8; 32]).unwrap();
        assert!(matches!(judged(&replayed), Err(KnockError::Proof)));
        let elsewhere = check_binding(knock(), joiner(), other, EXPORTER).unwrap();
        assert!(matches!(judged(&elsewhere), Err(KnockError::Proof)));
        let mut stolen = knock();
        stolen.node = other;
        let stolen = check_binding(stolen, other, member(), EXPORTER).unwrap();
        assert!(matches!(judged(&stolen), Err(KnockError::Proof)));
    }

    #[test]
    fn a_carrier_cannot_exchange_what_the_proof_covers() {
        let mut changed = carried(knock());
        changed.binding.joiner = test_keys::node(3).id();
        assert!(matches!(judged(&changed), Err(KnockError::OtherSession)));
        let mut changed = carried(knock());
        changed.binding.invitation = test_keys::invitation(1, 8, Roles::PEER, EXPIRES, 1).id();
        assert!(matches!(judged(&changed), Err(KnockError::OtherSession)));
        let mut changed = carried(knock());
        changed.knock.proof = Signature::from_bytes(&[1; 64]);
        assert!(matches!(judged(&changed), Err(KnockError::Proof)));
    }

    #[test]
    fn an_invitation_of_another_mesh_is_refused() {
        let foreign = test_keys::authority(2).mesh();
        let error = judge_knock(&carried(knock()), &foreign, EXPIRES, |_| 0).unwrap_err();
        assert!(matches!(error, KnockError::OtherMesh), "{error}");
    }

    #[test]
    fn an_invitation_ends_with_its_time_and_its_uses() {
        let carried = carried(knock());
        let at = |now_ms, used| judge_knock(&carried, &mesh(), now_ms, |_| used);
        assert!(
            at(EXPIRES + CLOCK_TOLERANCE_MS, 0).is_ok(),
            "clocks differ a little"
        );
        let late = at(EXPIRES + CLOCK_TOLERANCE_MS + 1, 0).unwrap_err();
        assert!(matches!(late, KnockError::Expired { late_ms: 120_001 }), "{late}");
        assert!(matches!(at(EXPIRES, 1), Err(KnockError::UsedUp { uses: 1 })));
    }

    #[test]
    fn inv5_certificates_that_are_long_or_none_are_refused() {
        let with = |certificate: Vec<u8>| {
            let mut knock = knock();
            knock.certificate = certificate;
            judged(&carried(knock))
        };
        assert!(matches!(
            with(vec![0x99; CERTIFICATE_LIMIT + 1]),
            Err(KnockError::LongCertificate(_))
        ));
        assert!(matches!(
            with(b"garbage".to_vec()),
            Err(KnockError::Certificate(_))
        ));
    }

    #[test]
    fn a_key_that_verifies_nothing_may_not_enter() {
        let mut weak = [0; 32];
        weak[0] = 1;
        let weak = NodeId(weak);
        let knock = test_keys::invitation(1, 7, Roles::PEER, EXPIRES, 1)
            .knock(weak, "laptop".parse().unwrap(), vec![], member(), EXPORTER)
            .unwrap();
        let carried = check_binding(knock, weak, member(), EXPORTER).unwrap();
        assert!(matches!(judged(&carried), Err(KnockError::Key)));
    }
}
