//! `user`: who may log in at the HTTP side.

use std::io::IsTerminal;

use super::{Failure, UserCommand, print, show, unseen::ask};
use crate::{
    home::Home,
    local::{Client, LocalReply, LocalRequest, Password},
};

pub(super) async fn run(home: &Home, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, role } => {
            let password = Password::new(ask("Password: ")?);
            if std::io::stdin().is_terminal() && Password::new(ask("The same again: ")?) != password {
                let reason = "the two passwords differ: nothing was changed, try again";
                return Err(Failure::Failed(reason.to_owned()));
            }
            let request = LocalRequest::AddUser {
                name,
                access: role,
                password,
            };
            show::done(Client::ask(home, &request).await?).await
        }
        UserCommand::Remove { name } => {
            show::done(Client::ask(home, &LocalRequest::RemoveUser { name }).await?).await
        }
        UserCommand::List(json) => match Client::ask(home, &LocalRequest::Users).await?.next().await? {
            LocalReply::Users(users) if json.json => print::json(&users),
            LocalReply::Users(users) => {
                let rows = users.into_iter().map(|user| vec![user.name, user.role]);
                print::table(&["USER", "ROLE"], rows.collect())
            }
            other => Err(show::unexpected(other)),
        },
    }
}
