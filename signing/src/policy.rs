//! Which signature lets a package in: the setting `sign.verify`, decided without asking anybody.

use std::fmt;
use std::str::FromStr;

use pacmesh_protocol::ids::Fingerprint;

use crate::keyring::Verified;
use crate::openpgp::VerifyError;

/// The setting `sign.verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Demand {
    /// Whatever comes is taken as it is and never verified, as ahriman does.
    Copy,
    /// A signature may be missing; one that is there must be good and by a trusted key.
    Present,
    /// A good signature by a trusted key, or no entry.
    #[default]
    Required,
}

impl Demand {
    /// Whether signatures are verified at all; where not, [`decide`] is given [`Finding::Unverified`].
    pub fn verifies(self) -> bool {
        self != Demand::Copy
    }
}

/// A word that `sign.verify` does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no value of sign.verify: use required, present or copy")]
pub struct UnknownDemand(String);

impl FromStr for Demand {
    type Err = UnknownDemand;

    fn from_str(text: &str) -> Result<Self, UnknownDemand> {
        match text {
            "required" => Ok(Demand::Required),
            "present" => Ok(Demand::Present),
            "copy" => Ok(Demand::Copy),
            other => Err(UnknownDemand(other.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Demand::Required => "required",
            Demand::Present => "present",
            Demand::Copy => "copy",
        })
    }
}

/// What is known about the signature of an archive.
#[derive(Debug)]
pub enum Finding {
    /// There is none.
    Missing,
    /// There is one, and it was not verified.
    Unverified,
    /// It fits; the signer is trusted or not.
    Good(Verified),
    /// It does not fit.
    Bad(VerifyError),
}

impl From<Result<Verified, VerifyError>> for Finding {
    fn from(outcome: Result<Verified, VerifyError>) -> Self {
        outcome.map_or_else(Finding::Bad, Finding::Good)
    }
}

/// Why a package is kept out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not signed.
    #[error("it has no signature, and sign.verify = required")]
    Missing,
    /// Nobody looked at its signature.
    #[error("its signature was not verified, and sign.verify = {0}")]
    Unverified(Demand),
    /// Its signer is distrusted.
    #[error("it is signed by {0}, which this mesh distrusts")]
    Distrusted(Fingerprint),
    /// Its signature does not verify.
    #[error("its signature does not verify")]
    Bad(#[source] VerifyError),
}

/// Whether a package may enter, and the signer that vouches for it (`None`: nobody does, and none is demanded).
///
/// # Errors
/// The reason for keeping it out.
pub fn decide(demand: Demand, finding: Finding) -> Result<Option<Fingerprint>, Refusal> {
    match (demand, finding) {
        (
            _,
            Finding::Good(Verified {
                signer,
                trusted: true,
            }),
        ) => Ok(Some(signer)),
        (Demand::Copy, _) | (Demand::Present, Finding::Missing) => Ok(None),
        (Demand::Required, Finding::Missing) => Err(Refusal::Missing),
        (_, Finding::Unverified) => Err(Refusal::Unverified(demand)),
        (_, Finding::Good(Verified { signer, .. })) => Err(Refusal::Distrusted(signer)),
        (_, Finding::Bad(error)) => Err(Refusal::Bad(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNER: Fingerprint = Fingerprint([7; 20]);

    fn good(trusted: bool) -> Finding {
        Finding::Good(Verified {
            signer: SIGNER,
            trusted,
        })
    }

    fn bad() -> Finding {
        Finding::Bad(VerifyError::Bad(SIGNER))
    }

    #[test]
    fn inv6_required_takes_only_good_signatures_of_trusted_keys() {
        let decide = |finding| decide(Demand::Required, finding);
        assert!(matches!(decide(good(true)), Ok(Some(SIGNER))));
        assert!(matches!(decide(good(false)), Err(Refusal::Distrusted(SIGNER))));
        assert!(matches!(decide(bad()), Err(Refusal::Bad(_))));
        assert!(matches!(decide(Finding::Missing), Err(Refusal::Missing)));
        assert!(matches!(
            decide(Finding::Unverified),
            Err(Refusal::Unverified(Demand::Required))
        ));
    }

    #[test]
    fn inv6_present_takes_unsigned_packages_but_none_with_a_wrong_signature() {
        let decide = |finding| decide(Demand::Present, finding);
        assert!(matches!(decide(Finding::Missing), Ok(None)));
        assert!(matches!(decide(good(true)), Ok(Some(SIGNER))));
        assert!(matches!(decide(good(false)), Err(Refusal::Distrusted(_))));
        assert!(matches!(decide(bad()), Err(Refusal::Bad(_))));
        assert!(matches!(decide(Finding::Unverified), Err(Refusal::Unverified(_))));
    }

    #[test]
    fn copy_takes_all_and_vouches_for_none_that_it_did_not_verify() {
        assert!(!Demand::Copy.verifies());
        for finding in [Finding::Missing, Finding::Unverified, good(false), bad()] {
            assert!(matches!(decide(Demand::Copy, finding), Ok(None)));
        }
    }

    #[test]
    fn the_setting_reads_as_it_prints_and_is_strict_by_default() {
        for demand in [Demand::Required, Demand::Present, Demand::Copy] {
            assert_eq!(demand.to_string().parse(), Ok(demand));
        }
        assert!("maybe".parse::<Demand>().is_err());
        assert_eq!(Demand::default(), Demand::Required);
    }
}
