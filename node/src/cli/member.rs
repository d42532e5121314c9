//! Founding, entering, leaving and administering a mesh.

use std::{
    io::{IsTerminal, Read, Write},
    time::Duration,
};

use pacmesh_protocol::{
    names::{MeshName, NodeName, RepositoryName},
    roles::Roles,
};

use super::{AuthorityFile, Failure, NodeCommand, print, show};
use crate::{
    config::{Config, Overrides},
    error::chain,
    home::Home,
    local::{
        Client, LocalReply, LocalRequest,
        request::NodeAction,
        views::{InitView, JoinView},
    },
    membership,
};

/// Longest token, in characters (FORMATS, "Entering and meeting").
const TOKEN_LIMIT: u64 = 512;
/// Longest text of a key that is read from standard input.
const KEY_LIMIT: u64 = 64 << 10;

pub(super) async fn init(
    home: &Home,
    name: Option<MeshName>,
    repository: Option<RepositoryName>,
    json: bool,
) -> Result<(), Failure> {
    let view = if Client::is_running(home).await {
        match Client::ask(home, &LocalRequest::Init { name, repository })
            .await?
            .next()
            .await?
        {
            LocalReply::Founded(view) => *view,
            other => return Err(show::unexpected(other)),
        }
    } else {
        membership::found(home, name, repository, Some(node_name(home)?))
            .await
            .map_err(|error| Failure::Failed(chain(&error)))?
    };
    if json {
        print::json(&view)
    } else {
        show_founded(&view)
    }
}

/// The name that the daemon of this home would use.
fn node_name(home: &Home) -> Result<NodeName, Failure> {
    let name = std::env::var("PACMESH_NAME").ok();
    Ok(Config::resolve(
        home.clone(),
        Overrides {
            name,
            ..Overrides::default()
        },
    )?
    .name)
}

fn show_founded(view: &InitView) -> Result<(), Failure> {
    print::line(format!(
        "Founded the mesh '{}' with the repository '{}'.",
        view.mesh.name, view.repository
    ))?;
    print::line("")?;
    print::line("Two things matter now, both are in this node's secrets/ folder and nowhere else:")?;
    print::line("  the authority key, which alone can invite and revoke, and this node's own keys.")?;
    print::line(
        "The recovery code is that key in letters: where the key is lost, 'pacmesh invite --authority FILE'",
    )?;
    print::line("takes a file with it on any machine of the mesh. Write it down, away from this machine:")?;
    print::line("")?;
    print::line(format!("    {}", view.recovery_code))?;
    print::line("")?;
    print::line(
        "For pacman.conf on machines that install from the mesh ('pacmesh setup-pacman --print' tells the keys):",
    )?;
    print::line("")?;
    view.stanza
        .lines()
        .try_for_each(|text| print::line(format!("    {text}")))?;
    print::line("")?;
    print::line("Next: 'pacmesh invite' for the next machine, 'pacmesh build DIR' for the first package.")
}

pub(super) async fn invite(
    home: &Home,
    roles: Roles,
    expires: Duration,
    uses: u32,
    authority: AuthorityFile,
    json: bool,
) -> Result<(), Failure> {
    let request = LocalRequest::Invite {
        roles,
        expires,
        uses,
        authority: authority.read()?,
    };
    let mut client = Client::ask(home, &request).await?;
    match client.next().await? {
        LocalReply::Invited(view) if json => print::json(&view),
        LocalReply::Invited(view) => {
            if print::on_terminal() {
                print::line(format!(
                    "Type 'pacmesh join' on the other machine and paste this line (good for {} until {}):",
                    if view.uses == 1 {
                        "one machine".to_owned()
                    } else {
                        format!("{} machines", view.uses)
                    },
                    view.expires_at
                ))?;
            }
            print::line(view.token)
        }
        other => Err(show::unexpected(other)),
    }
}

pub(super) async fn join(home: &Home, token: Option<String>, json: bool) -> Result<(), Failure> {
    let token = match token.as_deref() {
        Some("-") => read_token()?,
        Some(token) => token.to_owned(),
        None => {
            if std::io::stdin().is_terminal() {
                write!(std::io::stderr(), "Token: ")?;
            }
            read_token()?
        }
    };
    let token = token.trim().to_owned();
    let view = if Client::is_running(home).await {
        match Client::ask(home, &LocalRequest::Join { token })
            .await?
            .next()
            .await?
        {
            LocalReply::Joined(view) => view,
            other => return Err(show::unexpected(other)),
        }
    } else {
        membership::join(home, &token, Some(node_name(home)?))
            .await
            .map_err(|error| Failure::Failed(chain(&error)))?
    };
    if json {
        print::json(&view)
    } else {
        show_joined(&view)
    }
}

fn show_joined(view: &JoinView) -> Result<(), Failure> {
    print::line(format!(
        "Joined the mesh '{}' as '{}' ({}).",
        view.mesh.name,
        view.node.name,
        view.roles.join(", ")
    ))
}

fn read_token() -> Result<String, Failure> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(TOKEN_LIMIT * 2);
    if std::io::stdin().is_terminal() {
        std::io::BufRead::read_line(&mut input, &mut text)?;
    } else {
        input.read_to_string(&mut text)?;
    }
    text.split_whitespace()
        .next_back()
        .map(str::to_owned)
        .ok_or_else(|| Failure::Usage("no token came: type 'pacmesh invite' on a member for one".to_owned()))
}

pub(super) async fn leave(home: &Home) -> Result<(), Failure> {
    show::done(Client::ask(home, &LocalRequest::Leave).await?).await
}

pub(super) async fn lead(home: &Home, node: String) -> Result<(), Failure> {
    show::done(Client::ask(home, &LocalRequest::Lead { node }).await?).await
}

pub(super) async fn node(home: &Home, command: NodeCommand) -> Result<(), Failure> {
    let (node, action) = match command {
        NodeCommand::Drain { node } => (node, NodeAction::Drain),
        NodeCommand::Resume { node } => (node, NodeAction::Resume),
        NodeCommand::Suspend { node, quarantine } => (
            node,
            NodeAction::Suspend {
                quarantine_since_ms: quarantine.since_ms,
            },
        ),
        NodeCommand::Revoke {
            node,
            authority,
            quarantine,
        } => (
            node,
            NodeAction::Revoke {
                authority: authority.read()?,
                quarantine_since_ms: quarantine.since_ms,
            },
        ),
        NodeCommand::Reinstate { node, authority } => (
            node,
            NodeAction::Reinstate {
                authority: authority.read()?,
            },
        ),
    };
    show::done(Client::ask(home, &LocalRequest::Node { node, action }).await?).await
}

impl AuthorityFile {
    fn read(self) -> Result<Option<String>, Failure> {
        let Some(path) = self.authority else {
            return Ok(None);
        };
        let text = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin().take(KEY_LIMIT))
        } else {
            std::fs::read_to_string(&path)
        };
        text.map(Some).map_err(|error| {
            Failure::Failed(format!(
                "cannot read {}: {error}: name the file with the authority key or the recovery code",
                path.display()
            ))
        })
    }
}
