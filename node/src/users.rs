//! The users of the HTTP side: sealed entries of the ledger, opened by nodes that may lead.
//!
//! The name of an entry is a hash of the user's name, so that a guest does not even hold who there is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use pacmesh_protocol::{
    ids::MeshId,
    ledger::{door::SealedV1, view::View},
    wire::Change,
};
use pacmesh_signing::{
    account::{Access, Account},
    sealed,
    session::SessionKey,
};

use crate::{error::chain, master::carry, rooms::Rooms};

/// The entry of the key that sessions are sealed with.
const SESSION: &str = "http.session";
/// How entries of users begin.
const USER: &str = "user/";
/// Most users of a mesh.
const MANY: usize = 1000;

fn entry_of(mesh: &MeshId, name: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("pacmesh 2026-11-26 entry of a user");
    hasher.update(mesh.as_bytes()).update(name.as_bytes());
    let hash = hasher.finalize().to_hex();
    format!("{USER}{}", &hash[..32])
}

/// What this node could open.
#[derive(Debug, Default)]
pub struct Directory {
    users: BTreeMap<String, Arc<Account>>,
    session: Option<Arc<SessionKey>>,
}

impl Directory {
    /// A user.
    pub fn user(&self, name: &str) -> Option<&Arc<Account>> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.users.values()
    }

    /// What sessions are sealed with; `None` while there are no users.
    pub fn session_key(&self) -> Option<&Arc<SessionKey>> {
        self.session.as_ref()
    }
}

#[derive(Debug, Default)]
struct Opened {
    /// Of which view.
    view: Option<Arc<View>>,
    accounts: BTreeMap<String, (u64, Option<Arc<Account>>)>,
    session: Option<(u64, Option<Arc<SessionKey>>)>,
    directory: Arc<Directory>,
}

/// The directory as of the newest view. What did not change is not opened again.
#[derive(Debug, Default)]
pub struct Users {
    /// Held for look-ups and for opening what is new, never over an await.
    opened: Mutex<Opened>,
}

impl Users {
    /// Who there is now.
    pub fn directory(&self, rooms: &Rooms) -> Arc<Directory> {
        let view = rooms.ledger.view();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.view.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &view)) {
            opened.look(rooms, view);
        }
        opened.directory.clone()
    }
}

impl Opened {
    fn look(&mut self, rooms: &Rooms, view: Arc<View>) {
        let sealed: BTreeMap<&str, &SealedV1> = view.all_sealed().collect();
        self.accounts
            .retain(|entry, _| sealed.contains_key(entry.as_str()));
        let mut changed = false;
        for (name, value) in &sealed {
            if *name == SESSION
                && self
                    .session
                    .as_ref()
                    .is_none_or(|(version, _)| *version != value.version)
            {
                let key = open(rooms, name, value).and_then(|bytes| SessionKey::from_bytes(&bytes));
                self.session = Some((value.version, key.map(Arc::new)));
                changed = true;
            }
            let is_user = name.starts_with(USER);
            if is_user
                && self
                    .accounts
                    .get(*name)
                    .is_none_or(|(version, _)| *version != value.version)
            {
                let account = open(rooms, name, value).and_then(|bytes| Account::decode(&bytes).ok());
                self.accounts
                    .insert((*name).to_owned(), (value.version, account.map(Arc::new)));
                changed = true;
            }
        }
        if changed || self.view.is_none() {
            let accounts = self.accounts.values().filter_map(|(_, account)| account.clone());
            self.directory = Arc::new(Directory {
                users: accounts
                    .map(|account| (account.name().to_owned(), account))
                    .collect(),
                session: self.session.as_ref().and_then(|(_, key)| key.clone()),
            });
        }
        self.view = Some(view);
    }
}

fn open(rooms: &Rooms, name: &str, value: &SealedV1) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let secret = value.secret.as_ref()?;
    match sealed::open(&rooms.keys.node, secret, name, &rooms.mesh) {
        Ok(bytes) => Some(bytes),
        Err(sealed::SealError::NotForUs) => None,
        Err(error) => {
            tracing::warn!(secret = name, error = chain(&error), "a secret cannot be opened");
            None
        }
    }
}

/// Makes a user, or gives it another password and role.
pub async fn add(rooms: &Arc<Rooms>, account: Account) -> Result<(), String> {
    let view = rooms.ledger.view();
    let entry = entry_of(&rooms.mesh, account.name());
    if view.sealed(&entry).is_none() && view.all_sealed().count() >= MANY {
        return Err(format!(
            "there are {MANY} users already: 'pacmesh user remove' some first"
        ));
    }
    let content = account.encode().map_err(|error| chain(&error))?;
    put(rooms, entry, Some(&content)).await?;
    if view.sealed(SESSION).is_none_or(|sealed| sealed.secret.is_none()) {
        let key = SessionKey::generate().map_err(|error| chain(&error))?;
        let made = put(rooms, SESSION.to_owned(), Some(key.as_bytes())).await;
        if made.is_err() && rooms.ledger.view().sealed(SESSION).is_none() {
            return made;
        }
    }
    Ok(())
}

/// Removes a user; its sessions end with it.
pub async fn remove(rooms: &Arc<Rooms>, name: &str) -> Result<(), String> {
    let entry = entry_of(&rooms.mesh, name);
    let view = rooms.ledger.view();
    if view.sealed(&entry).is_none_or(|sealed| sealed.secret.is_none()) {
        return Err(format!("there is no user '{name}': see 'pacmesh user list'"));
    }
    put(rooms, entry, None).await
}

/// All users and what they may do.
pub fn list(rooms: &Rooms) -> Vec<(String, Access)> {
    let directory = Users::default().directory(rooms);
    directory
        .users()
        .map(|account| (account.name().to_owned(), account.access()))
        .collect()
}

async fn put(rooms: &Arc<Rooms>, name: String, content: Option<&[u8]>) -> Result<(), String> {
    let view = rooms.ledger.view();
    let masters = view.master_capable().into_keys();
    let secret = content
        .map(|content| sealed::seal(content, &name, &rooms.mesh, masters))
        .transpose()
        .map_err(|error| chain(&error))?;
    let seen = view.sealed(&name).map_or(0, |sealed| sealed.version);
    carry(rooms, Change::Seal { name, seen, secret }).await?;
    Ok(())
}
