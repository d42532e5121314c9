//! Judging what a worker reports: names, version, architecture, hashes and signatures, before anything is recorded.

use std::{collections::BTreeSet, fs::File, sync::Arc};

use pacmesh_protocol::{
    codec,
    ids::{Digest, Fingerprint, NodeId},
    names::PackageName,
    schedule::VerifyError,
    work::{BuiltPackage, Outcome, Probe, Report},
};
use pacmesh_signing::{
    Keyring,
    policy::{Demand, Finding, decide},
};

use super::{catalogs::META_LIMIT, copies};
use crate::{
    blobs::BlobStore,
    clock,
    error::chain,
    keyrings,
    master::Copies,
    repository::{archive, meta::PackageMeta},
    rooms::Rooms,
    settings::Settings,
};

/// Greatest length of a detached signature, in bytes.
const SIGNATURE_LIMIT: u64 = 16 << 10;

/// A finished attempt that may be published.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    /// What it made.
    pub(super) packages: Vec<VerifiedPackage>,
    /// Replicas that hold every blob of it.
    pub(super) copies: Copies,
}

/// One package that may be published.
#[derive(Debug, Clone)]
pub(super) struct VerifiedPackage {
    /// As reported, and found true.
    pub(super) built: BuiltPackage,
    /// The base that it says it belongs to.
    pub(super) base: PackageName,
    /// Who signed it.
    pub(super) signer: Option<Fingerprint>,
    /// Blob of its metadata.
    pub(super) meta: Digest,
    /// Seconds since 1970.
    pub(super) built_at: u64,
}

/// Fetches and checks all that a report names, and has replicas keep it.
pub(super) async fn verify(
    rooms: &Arc<Rooms>,
    worker: NodeId,
    report: &Report,
    probe: &Probe,
    tree: Digest,
) -> Result<Verified, VerifyError> {
    let mismatch = |text: String| VerifyError::Mismatch(text);
    let Outcome::Built(built) = &report.outcome else {
        return Err(mismatch("the attempt did not finish".to_owned()));
    };
    check_names(built, report, probe).map_err(mismatch)?;
    let mut blobs: Vec<Digest> = built
        .iter()
        .flat_map(|p| [Some(p.archive), p.signature])
        .flatten()
        .collect();
    blobs.extend(report.log);
    let missing = rooms.obtain(&blobs, &[worker]).await;
    if !missing.is_empty() {
        return Err(VerifyError::Unreachable(format!(
            "{} of its blobs are out of reach",
            missing.len()
        )));
    }
    let view = rooms.ledger.view();
    let (keyring, demand) = (Arc::new(keyrings::all(&view)), Settings(&view).verify());
    let mut packages = Vec::new();
    for package in built {
        let mut checked = check(&rooms.blobs, package.clone(), keyring.clone(), demand).await?;
        if checked.base != probe.base {
            return Err(mismatch(format!(
                "{} says that it is of the base {}, and its PKGBUILD is {}: see pkgbase",
                package.file, checked.base, probe.base
            )));
        }
        if keyrings::is_guest(&view, &worker) {
            sign_instead(rooms, &keyring, &mut checked).await?;
            blobs.extend(checked.built.signature);
        }
        blobs.push(checked.meta);
        packages.push(checked);
    }
    blobs.push(tree);
    let copies = copies::keep(rooms, blobs, vec![worker]).await;
    if copies.holders.is_empty() {
        return Err(VerifyError::Unreachable(
            "no storage in reach keeps a copy".to_owned(),
        ));
    }
    Ok(Verified { packages, copies })
}

/// Replaces the signature of a guest, whose key no client knows, by this node's own.
async fn sign_instead(
    rooms: &Rooms,
    keyring: &Keyring,
    package: &mut VerifiedPackage,
) -> Result<(), VerifyError> {
    let key = rooms.keys.package.clone();
    let signer = key.fingerprint();
    if !keyring.is_trusted(&signer) {
        return Err(VerifyError::Mismatch(
            "a guest's signature is replaced by the master's, whose key is not trusted: have another node lead with 'pacmesh lead'"
                .to_owned(),
        ));
    }
    let failed = |error: String| VerifyError::Unreachable(format!("it cannot be signed: {error}"));
    let path = rooms
        .blobs
        .path(&package.built.archive)
        .ok_or_else(|| failed("the archive vanished".to_owned()))?;
    let signed = tokio::task::spawn_blocking(move || {
        let archive = File::open(path).map_err(|error| error.to_string())?;
        key.sign_detached(archive, clock::wall_ms() / 1000)
            .map_err(|error| chain(&error))
    });
    let signature = signed
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(failed)?;
    let kept = rooms.blobs.own().put_bytes(signature).await;
    package.built.signature = Some(kept.map_err(|error| failed(chain(&error)))?);
    package.signer = Some(signer);
    Ok(())
}

/// Published are exactly the names of the probe, and `-debug` (DESIGN, "Building").
fn check_names(built: &[BuiltPackage], report: &Report, probe: &Probe) -> Result<(), String> {
    let debug: PackageName = format!("{}-debug", probe.base)
        .parse()
        .map_err(|_| "no debug name".to_owned())?;
    let mut seen = BTreeSet::new();
    for package in built {
        let name = package.file.name();
        if !seen.insert(name.clone()) {
            return Err(format!("{name} came out twice: see pkgname in the PKGBUILD"));
        }
        if Some(package.file.version()) != report.version.as_ref() {
            return Err(format!("{} has not the version of its attempt", package.file));
        }
        let promised = probe.packages.iter().find(|promised| promised.name == *name);
        match promised {
            Some(promised) if promised.arch != *package.file.arch() => {
                return Err(format!(
                    "{} should be of architecture {}",
                    package.file, promised.arch
                ));
            }
            None if *name != debug => return Err(format!("{name} is not named by the PKGBUILD")),
            _ => {}
        }
    }
    match probe
        .packages
        .iter()
        .find(|promised| !seen.contains(&promised.name))
    {
        Some(missing) => Err(format!(
            "{} did not come out: see its package function",
            missing.name
        )),
        None => Ok(()),
    }
}

/// Reads an archive, and judges what was said of it and its signature.
pub(super) async fn check(
    blobs: &BlobStore,
    built: BuiltPackage,
    keyring: Arc<Keyring>,
    demand: Demand,
) -> Result<VerifiedPackage, VerifyError> {
    let path = blobs
        .path(&built.archive)
        .ok_or_else(|| VerifyError::Unreachable("an archive vanished while it was verified".to_owned()))?;
    let signature = match &built.signature {
        Some(signature) => Some(
            blobs
                .read(signature, SIGNATURE_LIMIT)
                .await
                .map_err(|error| VerifyError::Mismatch(format!("its signature cannot be used: {error}")))?,
        ),
        None => None,
    };
    let file = built.file.clone();
    let (expected, size, digest) = (built.sha256, built.size, built.archive);
    let judged =
        tokio::task::spawn_blocking(move || -> Result<(PackageMeta, Option<Fingerprint>), String> {
            let meta = archive::read(&path).map_err(|error| chain(&error))?;
            meta.matches(&file).map_err(|error| error.to_string())?;
            if meta.sha256 != expected || meta.compressed_size != size || meta.blake3 != digest {
                return Err(format!("{file} has other hashes than its worker reported"));
            }
            let finding = match &signature {
                None => Finding::Missing,
                Some(_) if !demand.verifies() => Finding::Unverified,
                Some(signature) => {
                    let data = File::open(&path).map_err(|error| error.to_string())?;
                    keyring.verify(data, signature, clock::wall_ms() / 1000).into()
                }
            };
            let signer = decide(demand, finding).map_err(|refusal| format!("{file}: {}", chain(&refusal)))?;
            Ok((meta, signer))
        })
        .await
        .map_err(|error| VerifyError::Unreachable(error.to_string()))?;
    let (meta, signer) = judged.map_err(VerifyError::Mismatch)?;
    let built_at = u64::try_from(meta.build_date).unwrap_or_default();
    let bytes = codec::encode(&meta, META_LIMIT).map_err(|error| VerifyError::Mismatch(error.to_string()))?;
    let base = meta.base;
    let meta = blobs
        .own()
        .put_bytes(bytes)
        .await
        .map_err(|error| VerifyError::Unreachable(format!("its metadata cannot be kept: {error}")))?;
    Ok(VerifiedPackage {
        built,
        base,
        signer,
        meta,
        built_at,
    })
}
