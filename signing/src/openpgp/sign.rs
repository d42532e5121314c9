//! A node's package key: a v4 EdDSA key that gpg 2.2 and pacman 6.0 can read, and the signatures that it makes.
//!
//! The creation time is part of an OpenPGP fingerprint, so it is kept beside the secret, and the certificate's own
//! signature bears it too: certificate and fingerprint are a pure function of what the key file holds.

use std::fmt;
use std::io::{self, Read};

use ed25519_dalek::Signer as _;
use pacmesh_protocol::ids::Fingerprint;
use pgp::composed::{SignedKeyDetails, SignedPublicKey};
use pgp::crypto::ed25519::{Mode, SecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{
    Features, KeyFlags, PacketTrait, PubKeyInner, PublicKey, SignatureConfig, SignatureType, Subpacket,
    SubpacketData, UserId,
};
use pgp::ser::Serialize;
use pgp::types::{
    EddsaLegacyPublicParams, KeyDetails, KeyId, KeyVersion, Mpi, PacketHeaderVersion, Password, PublicParams,
    SignatureBytes, SigningKey, Timestamp,
};

use crate::key_file::{KeyContent, KeyFile};
use crate::openpgp::Certificate;
use crate::openpgp::cert::fingerprint_of;
use crate::secret::{SecretError, SecretsDir, Seed};

/// Greatest length of a user id in bytes; keeps the certificate far below the 4 KiB of a knock (FORMATS).
pub const USER_ID_MAX: usize = 256;

/// Digest of all signatures made here: EdDSA over SHA-512, as gpg does by itself.
const HASH: HashAlgorithm = HashAlgorithm::Sha512;

pub(crate) const FILE: KeyFile = KeyFile {
    name: "openpgp.key",
    kind: "openpgp",
    fields: &["created", "user"],
};

/// Why a key or signature was not made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The data to sign could not be read to its end.
    #[error("cannot read what is to be signed")]
    Data(#[source] io::Error),
    /// The user id is empty, too long or has control characters.
    #[error("{0:?} cannot be the name on a signing key: 1 to {USER_ID_MAX} bytes without control characters")]
    UserId(String),
    /// Unix time in seconds does not fit OpenPGP's 32 bits: the clock is wrong.
    #[error("{0} s after 1970 is no time that OpenPGP can write: check this machine's clock")]
    Time(u64),
    /// The key file could not be read or written.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The OpenPGP library refused to encode the key or signature.
    #[error("the OpenPGP library refused to {doing}")]
    Encoding {
        /// What was asked of it.
        doing: &'static str,
        /// Its answer.
        source: Box<pgp::errors::Error>,
    },
}

impl SignError {
    fn encoding(doing: &'static str) -> impl FnOnce(pgp::errors::Error) -> Self {
        move |source| SignError::Encoding {
            doing,
            source: Box::new(source),
        }
    }
}

/// The OpenPGP key with which this node signs the packages that it built. Made for signing and certifying, without
/// an expiry: trust in it is the mesh's decision (signer entries), not the calendar's.
pub struct PackageKey {
    signer: Signer,
    seed: Seed,
    user_id: String,
    certificate: Certificate,
}

impl PackageKey {
    /// Makes a new key for `user_id` (as `Name <mail>`), created at `created` (Unix time in seconds).
    ///
    /// # Errors
    /// When the user id or time does not fit OpenPGP, or the kernel gives no random bytes.
    pub fn generate(user_id: &str, created: u64) -> Result<Self, SignError> {
        Self::from_parts(Seed::generate()?, user_id, created)
    }

    /// Reads `openpgp.key`; `None` when this node has none yet.
    ///
    /// # Errors
    /// When the file is loose, foreign or damaged.
    pub fn load(dir: &SecretsDir) -> Result<Option<Self>, SignError> {
        FILE.load(dir)?
            .map(|content| Self::from_content(dir, content))
            .transpose()
    }

    /// Writes `openpgp.key`, which must not exist.
    ///
    /// # Errors
    /// When there is one already (it stays) or the file system refuses.
    pub fn store(&self, dir: &SecretsDir) -> Result<(), SignError> {
        Ok(FILE.create(dir, &self.content())?)
    }

    /// The node's key, made and stored at the first call.
    ///
    /// # Errors
    /// As [`load`](Self::load), [`generate`](Self::generate) and [`store`](Self::store).
    pub fn load_or_create(dir: &SecretsDir, user_id: &str, created: u64) -> Result<Self, SignError> {
        let make = || Self::generate(user_id, created).map(|key| key.content());
        Self::from_content(dir, FILE.load_or_create(dir, make)?)
    }

    fn content(&self) -> KeyContent {
        let created = self.signer.public.created_at().as_secs().to_string();
        KeyContent {
            seed: self.seed.clone(),
            fields: vec![created, self.user_id.clone()],
        }
    }

    fn from_content(dir: &SecretsDir, content: KeyContent) -> Result<Self, SignError> {
        let KeyContent { seed, fields } = content;
        let [created, user_id] = fields.as_slice() else {
            return Err(FILE.damaged(dir, "missing lines").into());
        };
        let created = created.parse().map_err(|_| FILE.damaged(dir, "a damaged time"))?;
        Self::from_parts(seed, user_id, created)
    }

    pub(crate) fn from_parts(seed: Seed, user_id: &str, created: u64) -> Result<Self, SignError> {
        if user_id.is_empty() || user_id.len() > USER_ID_MAX || user_id.contains(char::is_control) {
            return Err(SignError::UserId(user_id.chars().take(USER_ID_MAX).collect()));
        }
        let created = timestamp(created)?;
        let signer = Signer::new(&seed, created)?;
        let certificate = certify(&signer, user_id, usage())?;
        Ok(PackageKey {
            signer,
            seed,
            user_id: user_id.to_owned(),
            certificate,
        })
    }

    /// The public side, to be trusted by others.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Names the key everywhere: in signer entries, in signatures, in `pacman-key --list-keys`.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// Signs all bytes of `data` as they stream by; the result is what `<archive>.sig` holds: one binary signature
    /// packet with the fingerprint of its issuer. `at` is the time of signing; a clock that stands before the key's
    /// creation is lifted to it, because gpg refuses a signature older than its key.
    ///
    /// # Errors
    /// When `data` cannot be read or `at` does not fit OpenPGP.
    pub fn sign_detached(&self, data: impl Read, at: u64) -> Result<Vec<u8>, SignError> {
        self.sign_at(data, timestamp(at)?.max(self.signer.public.created_at()))
    }

    pub(super) fn sign_at(&self, mut data: impl Read, at: Timestamp) -> Result<Vec<u8>, SignError> {
        let doing = "sign a package";
        let mut config = SignatureConfig::v4(SignatureType::Binary, self.signer.algorithm(), HASH);
        self.signer
            .name_issuer(&mut config, at)
            .map_err(SignError::encoding(doing))?;
        let mut hasher = config.into_hasher().map_err(SignError::encoding(doing))?;
        io::copy(&mut data, &mut hasher).map_err(SignError::Data)?;
        let signature = hasher
            .sign(&self.signer, &Password::empty())
            .map_err(SignError::encoding(doing))?;
        let mut bytes = Vec::with_capacity(signature.write_len_with_header());
        signature
            .to_writer_with_header(&mut bytes)
            .map_err(SignError::encoding(doing))?;
        Ok(bytes)
    }
}

impl fmt::Debug for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackageKey")
            .field("fingerprint", &self.fingerprint())
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

fn timestamp(seconds: u64) -> Result<Timestamp, SignError> {
    u32::try_from(seconds)
        .map(Timestamp::from_secs)
        .map_err(|_| SignError::Time(seconds))
}

/// What a package key may be used for.
fn usage() -> KeyFlags {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(true);
    flags
}

/// Binds the user id to the key by the self-signature that every certificate needs.
fn certify(signer: &Signer, user_id: &str, flags: KeyFlags) -> Result<Certificate, SignError> {
    let doing = "make a certificate";
    let build = || -> pgp::errors::Result<SignedPublicKey> {
        let id = UserId::from_str(PacketHeaderVersion::New, user_id)?;
        let mut config = SignatureConfig::v4(SignatureType::CertPositive, signer.algorithm(), HASH);
        signer.name_issuer(&mut config, signer.public.created_at())?;
        config.hashed_subpackets.extend([
            Subpacket::regular(SubpacketData::KeyFlags(flags))?,
            Subpacket::regular(SubpacketData::Features(Features::default()))?,
            Subpacket::regular(SubpacketData::IsPrimary(true))?,
        ]);
        let signature =
            config.sign_certification(signer, &signer.public, &Password::empty(), id.tag(), &id)?;
        let details = SignedKeyDetails::new(vec![], vec![], vec![id.into_signed(signature)], vec![]);
        Ok(SignedPublicKey::new(signer.public.clone(), details, vec![]))
    };
    let key = build().map_err(SignError::encoding(doing))?;
    let fingerprint = fingerprint_of(&key).expect("the key was made as version 4");
    let bytes = key.to_bytes().map_err(SignError::encoding(doing))?;
    Ok(Certificate::from_own_parts(key, fingerprint, user_id, bytes))
}

/// The secret as rPGP wants to meet it: a public packet, and someone who signs digests for it.
struct Signer {
    public: PublicKey,
    key: ed25519_dalek::SigningKey,
}

impl Signer {
    fn new(seed: &Seed, created: Timestamp) -> Result<Self, SignError> {
        let build = || {
            let secret = SecretKey::try_from_bytes(*seed.expose(), Mode::EdDSALegacy)?;
            let params = PublicParams::EdDSALegacy(EddsaLegacyPublicParams::from(&secret));
            let algorithm = PublicKeyAlgorithm::EdDSALegacy;
            PublicKey::from_inner(PubKeyInner::new(
                KeyVersion::V4,
                algorithm,
                created,
                None,
                params,
            )?)
        };
        let public = build().map_err(SignError::encoding("make a key"))?;
        Ok(Signer {
            public,
            key: seed.signing_key(),
        })
    }

    fn name_issuer(&self, config: &mut SignatureConfig, at: Timestamp) -> pgp::errors::Result<()> {
        config.hashed_subpackets = vec![
            Subpacket::regular(SubpacketData::IssuerFingerprint(self.public.fingerprint()))?,
            Subpacket::regular(SubpacketData::SignatureCreationTime(at))?,
        ];
        config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
            self.public.legacy_key_id(),
        ))?];
        Ok(())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl KeyDetails for Signer {
    fn version(&self) -> KeyVersion {
        self.public.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.public.legacy_key_id()
    }

    fn fingerprint(&self) -> pgp::types::Fingerprint {
        self.public.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.public.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.public.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        None
    }

    fn public_params(&self) -> &PublicParams {
        self.public.public_params()
    }
}

impl SigningKey for Signer {
    fn sign(&self, _: &Password, _: HashAlgorithm, digest: &[u8]) -> pgp::errors::Result<SignatureBytes> {
        // RFC 9580, 5.2.3.3: EdDSA signs the digest as its message; R and S go out as two integers.
        let signature = self.key.sign(digest);
        Ok(SignatureBytes::Mpis(vec![
            Mpi::from_slice(signature.r_bytes()),
            Mpi::from_slice(signature.s_bytes()),
        ]))
    }

    fn hash_alg(&self) -> HashAlgorithm {
        HASH
    }
}

#[cfg(test)]
impl PackageKey {
    /// A certificate of this key that does not allow it to sign data.
    pub(super) fn certificate_without_sign_flag(&self) -> Certificate {
        certify(&self.signer, &self.user_id, KeyFlags::default()).unwrap()
    }

    /// A binding of a foreign key as a signing subkey, as a thief would make it: without the back signature.
    pub(super) fn bind_subkey_without_consent(
        &self,
        subkey: &pgp::packet::PublicSubkey,
    ) -> pgp::packet::Signature {
        let kind = SignatureType::SubkeyBinding;
        let mut config = SignatureConfig::v4(kind, self.signer.algorithm(), HASH);
        self.signer
            .name_issuer(&mut config, self.signer.created_at())
            .unwrap();
        config
            .hashed_subpackets
            .push(Subpacket::regular(SubpacketData::KeyFlags(usage())).unwrap());
        config
            .sign_subkey_binding(&self.signer, &self.signer.public, &Password::empty(), subkey)
            .unwrap()
    }
}
