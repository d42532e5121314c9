//! `backup` and `restore`: files and passphrases are the caller's, read and written with the caller's own rights.

use std::{
    fs::File,
    io::{IsTerminal, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use pacmesh_signing::backup::{BACKUP_LIMIT, Passphrase};
use zeroize::Zeroizing;

use super::{Failure, print, show, unseen::ask};
use crate::{
    error::chain,
    home::Home,
    local::{Client, LocalReply, LocalRequest, views::RestoreView},
    membership::{self, MembershipError},
};

pub(super) async fn back_up(home: &Home, file: &Path) -> Result<(), Failure> {
    // Before anything is asked: a passphrase that was typed twice for nothing annoys.
    if file.symlink_metadata().is_ok() {
        return Err(exists(file));
    }
    let passphrase = ask_twice()?;
    let running = Client::is_running(home).await;
    let sealed = if running {
        receive(Client::ask(home, &LocalRequest::Backup { passphrase }).await?).await?
    } else {
        membership::back_up(home, passphrase).await.map_err(failed)?
    };
    write_new(file, &sealed)?;
    if running {
        show::done(Client::ask(home, &LocalRequest::BackupKept).await?).await?;
    } else {
        membership::backup_kept(home).await.map_err(failed)?;
    }
    print::line(format!(
        "Wrote {}. Keep it and its passphrase away from this machine; 'pacmesh restore' makes this node of it again.",
        file.display()
    ))
}

async fn receive(mut client: Client) -> Result<Vec<u8>, Failure> {
    let mut sealed = Vec::new();
    loop {
        match client.next().await? {
            LocalReply::Bytes(piece) if sealed.len() + piece.len() <= BACKUP_LIMIT => sealed.extend(piece),
            LocalReply::Done(_) => return Ok(sealed),
            other => return Err(show::unexpected(other)),
        }
    }
}

pub(super) async fn restore(home: &Home, file: &Path, json: bool) -> Result<(), Failure> {
    let sealed = read(file)?;
    let passphrase = passphrase(ask("Passphrase of the backup: ")?)?;
    let view = if Client::is_running(home).await {
        let mut client = Client::ask(home, &LocalRequest::Restore { passphrase }).await?;
        client.send(sealed.as_slice()).await?;
        match client.next().await? {
            LocalReply::Restored(view) => *view,
            other => return Err(show::unexpected(other)),
        }
    } else {
        membership::restore(home, sealed, passphrase)
            .await
            .map_err(failed)?
    };
    if json {
        print::json(&view)
    } else {
        show_restored(&view)
    }
}

fn show_restored(view: &RestoreView) -> Result<(), Failure> {
    print::line(format!(
        "This machine is '{}' of the mesh '{}' again.",
        view.node.name, view.mesh.name
    ))?;
    if view.authority {
        print::line("The authority key came with it: 'pacmesh invite' works here.")?;
    }
    for path in &view.aside {
        print::line(format!("A key that was here was moved to {path}."))?;
    }
    print::line("Only one machine may use these keys: never start the old one again.")
}

fn failed(error: MembershipError) -> Failure {
    Failure::Failed(chain(&error))
}

fn exists(file: &Path) -> Failure {
    Failure::Failed(format!(
        "{} exists already and is never overwritten: name a new file",
        file.display()
    ))
}

/// Whole or not at all, for its owner alone, and never over another file.
fn write_new(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(file),
        _ => Failure::Failed(format!(
            "cannot write {}: {error}: name a file in a folder that is yours",
            file.display()
        )),
    };
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".pacmesh-backup.")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(refused)?;
    temporary.write_all(bytes).map_err(refused)?;
    temporary.as_file().sync_all().map_err(refused)?;
    temporary
        .persist_noclobber(file)
        .map_err(|error| refused(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(refused)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let refused = |error: std::io::Error| {
        Failure::Failed(format!(
            "cannot read {}: {error}: name the file that 'pacmesh backup' wrote",
            file.display()
        ))
    };
    let mut bytes = Vec::new();
    // One byte more than any backup has, so that a longer file is found out.
    File::open(file)
        .map_err(refused)?
        .take(BACKUP_LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(refused)?;
    if bytes.len() > BACKUP_LIMIT {
        return Err(Failure::Failed(format!(
            "{} is longer than any backup: name the file that 'pacmesh backup' wrote",
            file.display()
        )));
    }
    Ok(bytes)
}

fn ask_twice() -> Result<Passphrase, Failure> {
    let first = passphrase(ask("Passphrase for the backup: ")?)?;
    if std::io::stdin().is_terminal() && passphrase(ask("The same again: ")?)? != first {
        return Err(Failure::Failed(
            "the two passphrases differ: nothing was written, try again".to_owned(),
        ));
    }
    Ok(first)
}

fn passphrase(text: Zeroizing<String>) -> Result<Passphrase, Failure> {
    Passphrase::new(text).map_err(|error| Failure::Usage(error.to_string()))
}
