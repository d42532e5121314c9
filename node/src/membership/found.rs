//! `init`: a node founds a mesh and takes seat 0.

use pacmesh_protocol::{
    ledger::{
        kinds::{AdmissionV1, SettingV1, SignerV1, Value, Warrant},
        record::{Entry, ReignId},
    },
    names::{MeshName, NodeName, RepositoryName},
    roles::Roles,
    signed::Verify,
};
use pacmesh_signing::{Authority, Ed25519Verifier};
use std::sync::Arc;

use super::{Keys, MembershipError, Standing};
use crate::{
    config::host_name,
    home::Home,
    ledger::{LedgerError, LedgerHandle},
    local::views::{InitView, Named},
    settings, worker,
};

/// Founds a mesh in `home`. Nothing of it counts before the file `membership` is written at the end.
pub async fn found(
    home: &Home,
    name: Option<MeshName>,
    repository: Option<RepositoryName>,
    node_name: Option<NodeName>,
) -> Result<InitView, MembershipError> {
    home.prepare()?;
    if let Some(standing) = Standing::load(home)? {
        return Err(MembershipError::Already {
            mesh: standing.mesh_name.to_string(),
        });
    }
    let node_name = node_name.unwrap_or_else(host_name);
    let keys = Keys::load_or_create(home, &node_name)?;
    let mesh_name = name.unwrap_or_else(|| default_mesh_name(&repository));
    let repository = match repository {
        Some(repository) => repository,
        None => repository_named(&mesh_name),
    };
    // An authority that an unfinished attempt stored has founded nothing yet, and is taken up again.
    let authority = match Authority::load(&keys.secrets)? {
        Some(authority) => authority,
        None => {
            let authority = Authority::generate()?;
            authority.store(&keys.secrets)?;
            authority
        }
    };
    let mesh = authority.mesh();
    let entries = founding_entries(&keys, &authority, &node_name, &mesh_name, &repository)?;
    let verify: Arc<dyn Verify> = Arc::new(Ed25519Verifier);
    let ledger = LedgerHandle::open(&home.ledger(), mesh, keys.node.clone(), verify).await?;
    let reign = ReignId {
        term: 0,
        node: keys.node.id(),
        incarnation: ledger.incarnation(),
    };
    let written = write(&ledger, reign, entries).await;
    ledger.close().await;
    written?;
    Standing::new(mesh, mesh_name.clone(), Vec::new()).store(home)?;
    Ok(InitView {
        mesh: Named {
            id: mesh.to_string(),
            name: mesh_name.to_string(),
        },
        stanza: settings::stanza(&repository, &["http://localhost:7480".to_owned()]),
        repository: repository.to_string(),
        recovery_code: authority.recovery_code().to_string(),
    })
}

/// The admission goes into a record of its own: it is part of every credential, and those are short.
async fn write(ledger: &LedgerHandle, reign: ReignId, entries: [Vec<Entry>; 2]) -> Result<(), LedgerError> {
    for part in entries {
        ledger.append(part, reign, None).await?;
    }
    Ok(())
}

/// The founder's first two records: its admission with its certificate, and the settings that the mesh starts with.
fn founding_entries(
    keys: &Keys,
    authority: &Authority,
    node_name: &NodeName,
    mesh_name: &MeshName,
    repository: &RepositoryName,
) -> Result<[Vec<Entry>; 2], MembershipError> {
    let node = keys.node.id();
    let founding = authority.found(node, mesh_name.clone())?;
    let certificate = keys.package.certificate();
    let admission = AdmissionV1 {
        seat: 0,
        name: node_name.clone(),
        roles: Roles::PEER,
        warrant: Warrant::Founding(founding),
        signer: Some(certificate.fingerprint()),
    };
    let signer = SignerV1 {
        generation: 0,
        distrusted: false,
        certificate: certificate.as_bytes().to_vec(),
        node: Some(node),
    };
    let setting = |name: String, value: &str| {
        SettingV1 {
            version: 1,
            value: value.to_owned(),
        }
        .entry(&name)
    };
    let entrance = vec![admission.entry(&node)?, signer.entry(&certificate.fingerprint())?];
    let settings = vec![
        setting(settings::REPOSITORIES.to_owned(), repository.as_str())?,
        setting(settings::arches_of(repository), std::env::consts::ARCH)?,
        setting(settings::MAKEPKG_CONF.to_owned(), worker::DEFAULT_MAKEPKG_CONF)?,
    ];
    Ok([entrance, settings])
}

fn default_mesh_name(repository: &Option<RepositoryName>) -> MeshName {
    let name = repository.as_ref().map_or("pacmesh", |name| name.as_str());
    name.parse()
        .unwrap_or_else(|_| unreachable!("a repository name is a mesh name"))
}

fn repository_named(mesh: &MeshName) -> RepositoryName {
    mesh.as_str()
        .parse()
        .or_else(|_| "pacmesh".parse())
        .unwrap_or_else(|_| unreachable!("'pacmesh' is a repository name"))
}
