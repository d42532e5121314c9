//! Signing keys, and how a pacman comes to trust them.

use std::{io::Read, path::Path};

use super::{Failure, KeysCommand, print, show};
use crate::{
    home::Home,
    local::{
        Client, LocalReply, LocalRequest,
        views::{PacmanView, SignerView},
    },
};

/// Longest certificate that is read, in bytes.
const CERTIFICATE_LIMIT: u64 = 256 << 10;

pub(super) async fn run(home: &Home, command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::List(json) => list(home, json.json).await,
        KeysCommand::Export => match Client::ask(home, &LocalRequest::ExportKeys).await?.next().await? {
            LocalReply::Bytes(bytes) => print::raw(&bytes),
            other => Err(show::unexpected(other)),
        },
        KeysCommand::Import { file } | KeysCommand::Trust { file } => {
            let request = LocalRequest::TrustKey {
                certificate: read(&file)?,
            };
            show::done(Client::ask(home, &request).await?).await
        }
        KeysCommand::Distrust { fingerprint } => {
            show::done(Client::ask(home, &LocalRequest::DistrustKey { fingerprint }).await?).await
        }
    }
}

async fn list(home: &Home, json: bool) -> Result<(), Failure> {
    match Client::ask(home, &LocalRequest::Keys).await?.next().await? {
        LocalReply::Keys(keys) if json => print::json(&keys),
        LocalReply::Keys(keys) => {
            let row = |key: SignerView| {
                let trust = if key.trusted { "trusted" } else { "distrusted" };
                vec![
                    key.fingerprint,
                    trust.to_owned(),
                    key.node.unwrap_or_else(|| "-".to_owned()),
                    key.user_id,
                ]
            };
            print::table(
                &["FINGERPRINT", "TRUST", "NODE", "USER ID"],
                keys.into_iter().map(row).collect(),
            )
        }
        other => Err(show::unexpected(other)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let named = |error: std::io::Error| {
        Failure::Failed(format!(
            "cannot read {}: {error}: name a file with an OpenPGP certificate",
            file.display()
        ))
    };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(CERTIFICATE_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(named)?;
    } else {
        std::fs::File::open(file)
            .map_err(named)?
            .take(CERTIFICATE_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(named)?;
    }
    Ok(bytes)
}

pub(super) async fn setup_pacman(home: &Home) -> Result<(), Failure> {
    match Client::ask(home, &LocalRequest::SetupPacman)
        .await?
        .next()
        .await?
    {
        LocalReply::Pacman(view) => show_pacman(&view),
        other => Err(show::unexpected(other)),
    }
}

fn show_pacman(view: &PacmanView) -> Result<(), Failure> {
    print::line("# 1. Type this as root: it adds the keys and signs them locally.")?;
    print::line("pacman-key --add - <<'EOF'")?;
    print::line(view.keys.trim_end())?;
    print::line("EOF")?;
    for fingerprint in &view.fingerprints {
        print::line(format!("pacman-key --lsign-key {fingerprint}"))?;
    }
    print::line("")?;
    print::line("# 2. Add this to /etc/pacman.conf, above the repositories that it should win over:")?;
    print::line(view.stanza.trim_end())
}
