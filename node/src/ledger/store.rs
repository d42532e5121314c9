//! The file `ledger.redb`: records by hash as they came, what this node knows of its own writing, and small values
//! of other rooms. Every commit is synced when it returns.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
};

use pacmesh_protocol::{
    codec,
    ids::{Incarnation, MeshId, NodeId, RecordHash},
    ledger::record::{RECORD_LIMIT, Record},
    signed::Signed,
};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};
use serde::{Deserialize, Serialize};

use super::error::LedgerError;
use crate::clock;

/// Record hash to encoded [`Signed`].
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// What the file is: [`FORMAT_KEY`] and [`OWNER_KEY`].
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
/// Small values of other rooms, by name.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The format of the file, as u32 in little-endian; readable by every version.
const FORMAT_KEY: &str = "format";
/// The encoded [`Owner`].
const OWNER_KEY: &str = "owner";
/// The format that this binary writes.
const FORMAT: u32 = 1;
/// Greatest length of an encoded [`Owner`], in bytes.
const OWNER_LIMIT: usize = 1024;
/// Greatest length of a stored record, in bytes: its body, the signature and two lengths.
const STORED_LIMIT: usize = RECORD_LIMIT + 128;
/// Memory for pages, in bytes: all records are held in memory anyway (redb's own default is 1 GiB).
const CACHE: usize = 4 << 20;

/// Whose file it is, and where its own writing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) mesh: MeshId,
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    /// Of the last record of this incarnation; 0 for none.
    pub(super) sequence: u64,
    /// The last record of whatever incarnation.
    pub(super) last: RecordHash,
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) put: BTreeMap<RecordHash, Record>,
    pub(super) delete: BTreeSet<RecordHash>,
    pub(super) meta: BTreeMap<String, Vec<u8>>,
    pub(super) owner: Option<Owner>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty() && self.meta.is_empty() && self.owner.is_none()
    }

    pub(super) fn changes_records(&self) -> bool {
        !self.put.is_empty() || !self.delete.is_empty()
    }
}

/// The open file; other processes are locked out as long as it lives.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the file and begins a new incarnation, synced.
    pub(super) fn open(path: &Path, mesh: MeshId, node: NodeId) -> Result<(Self, Owner), LedgerError> {
        let database = Builder::new()
            .set_cache_size(CACHE)
            .create(path)
            .map_err(|error| refused(path, error))?;
        let (store, owner) = Self::begin(database, path, mesh, node)?;
        store.sync_folder()?;
        Ok((store, owner))
    }

    /// Checks whose file an open database is and begins a new incarnation, synced.
    pub(super) fn begin(
        database: Database,
        path: &Path,
        mesh: MeshId,
        node: NodeId,
    ) -> Result<(Self, Owner), LedgerError> {
        let store = Self {
            database,
            path: path.to_owned(),
        };
        if store.is_new()? {
            store.make_tables()?;
        }
        store.check_format()?;
        let mut owner = store.owner()?.unwrap_or(Owner {
            mesh,
            node,
            incarnation: 0,
            sequence: 0,
            last: RecordHash::NONE,
        });
        if owner.mesh != mesh {
            return Err(LedgerError::OtherMesh {
                path: store.path,
                found: owner.mesh,
                wanted: mesh,
            });
        }
        if owner.node != node {
            return Err(LedgerError::OtherNode {
                path: store.path,
                found: owner.node,
                wanted: node,
            });
        }
        owner.incarnation = owner.incarnation.saturating_add(1).max(clock::wall_ms() / 1000);
        owner.sequence = 0;
        store.commit(&Changes {
            owner: Some(owner),
            ..Changes::default()
        })?;
        Ok((store, owner))
    }

    /// All records, as they were verified before they were kept.
    pub(super) fn records(&self) -> Result<Vec<Record>, LedgerError> {
        let read = self.database.begin_read().map_err(|error| self.disk(error))?;
        let table = read.open_table(RECORDS).map_err(|error| self.disk(error))?;
        let mut records = Vec::new();
        for row in table.iter().map_err(|error| self.disk(error))? {
            let (key, value) = row.map_err(|error| self.disk(error))?;
            let signed: Signed =
                codec::decode(value.value(), STORED_LIMIT).map_err(|error| self.damaged(error))?;
            let record = Record::trusted(signed).map_err(|error| self.damaged(error))?;
            if record.hash().as_bytes() != key.value() {
                return Err(self.damaged("a record is not what its name says"));
            }
            records.push(record);
        }
        Ok(records)
    }

    /// A value of another room.
    pub(super) fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.value(META, key)
    }

    /// Applies all changes or none; synced when it returns.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), LedgerError> {
        let write = self.database.begin_write().map_err(|error| self.disk(error))?;
        {
            let mut records = write.open_table(RECORDS).map_err(|error| self.disk(error))?;
            for hash in &changes.delete {
                records
                    .remove(hash.as_bytes().as_slice())
                    .map_err(|error| self.disk(error))?;
            }
            for (hash, record) in &changes.put {
                let bytes = codec::encode(record.signed(), STORED_LIMIT)?;
                records
                    .insert(hash.as_bytes().as_slice(), bytes.as_slice())
                    .map_err(|error| self.disk(error))?;
            }
            let mut meta = write.open_table(META).map_err(|error| self.disk(error))?;
            for (key, value) in &changes.meta {
                meta.insert(key.as_str(), value.as_slice())
                    .map_err(|error| self.disk(error))?;
            }
            if let Some(owner) = &changes.owner {
                let mut about = write.open_table(ABOUT).map_err(|error| self.disk(error))?;
                let bytes = codec::encode(owner, OWNER_LIMIT)?;
                about
                    .insert(OWNER_KEY, bytes.as_slice())
                    .map_err(|error| self.disk(error))?;
            }
        }
        write.commit().map_err(|error| self.disk(error))
    }

    /// Whether nobody has written to the file; a foreign one has other tables and stays as it is.
    fn is_new(&self) -> Result<bool, LedgerError> {
        let read = self.database.begin_read().map_err(|error| self.disk(error))?;
        let mut tables = read.list_tables().map_err(|error| self.disk(error))?;
        Ok(tables.next().is_none())
    }

    fn make_tables(&self) -> Result<(), LedgerError> {
        let write = self.database.begin_write().map_err(|error| self.disk(error))?;
        {
            write.open_table(RECORDS).map_err(|error| self.disk(error))?;
            write.open_table(META).map_err(|error| self.disk(error))?;
            let mut about = write.open_table(ABOUT).map_err(|error| self.disk(error))?;
            about
                .insert(FORMAT_KEY, FORMAT.to_le_bytes().as_slice())
                .map_err(|error| self.disk(error))?;
        }
        write.commit().map_err(|error| self.disk(error))
    }

    fn check_format(&self) -> Result<(), LedgerError> {
        let bytes = self.value(ABOUT, FORMAT_KEY)?.unwrap_or_default();
        let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) else {
            return Err(self.damaged("its format is not a number"));
        };
        match u32::from_le_bytes(bytes) {
            found if found > FORMAT => Err(LedgerError::Newer {
                path: self.path.clone(),
                found,
                known: FORMAT,
            }),
            _ => Ok(()),
        }
    }

    fn owner(&self) -> Result<Option<Owner>, LedgerError> {
        self.value(ABOUT, OWNER_KEY)?
            .map(|bytes| codec::decode(&bytes, OWNER_LIMIT))
            .transpose()
            .map_err(|error| self.damaged(error))
    }

    fn value(
        &self,
        table: TableDefinition<'_, &'static str, &'static [u8]>,
        key: &str,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let read = self.database.begin_read().map_err(|error| self.disk(error))?;
        let table = read.open_table(table).map_err(|error| self.disk(error))?;
        let value = table.get(key).map_err(|error| self.disk(error))?;
        Ok(value.map(|bytes| bytes.value().to_vec()))
    }

    /// A new file's name must survive a power cut as its bytes do.
    fn sync_folder(&self) -> Result<(), LedgerError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.disk(StorageError::Io(error)))
    }

    fn disk(&self, error: impl Into<redb::Error>) -> LedgerError {
        broken(&self.path, error.into())
    }

    fn damaged(&self, reason: impl ToString) -> LedgerError {
        LedgerError::Damaged {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

fn refused(path: &Path, error: DatabaseError) -> LedgerError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            LedgerError::InUse { path }
        }
        DatabaseError::UpgradeRequired(version) => LedgerError::Damaged {
            path,
            reason: format!("its file format {version} is not read"),
        },
        DatabaseError::RepairAborted => LedgerError::Damaged {
            path,
            reason: "it cannot be repaired".into(),
        },
        error => broken(&path, error.into()),
    }
}

fn broken(path: &Path, error: redb::Error) -> LedgerError {
    let path = path.to_owned();
    match error {
        redb::Error::Corrupted(reason) => LedgerError::Damaged { path, reason },
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => LedgerError::Damaged {
            path,
            reason: error.to_string(),
        },
        redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. } => LedgerError::Damaged {
            path,
            reason: "its tables are not those of a ledger".into(),
        },
        error => LedgerError::Disk {
            path,
            source: Box::new(error),
        },
    }
}
