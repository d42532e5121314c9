//! Logging in and out. Hashing a password is work that strangers can ask for: it is done beside everything else, by few
//! at a time, and those who guess wait longer with each mistake.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use axum::http::{HeaderValue, StatusCode, header};
use pacmesh_signing::{account::Account, session::Session};
use serde::Deserialize;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    answer::{Answer, Failure, Outcome},
    call::{Call, Who},
    sessions::{COOKIE, MAX_AGE},
};
use crate::{clock, compat::slow::Mistakes, http::listener::Peer};

/// So many passwords are hashed at once.
const AT_ONCE: usize = 2;
/// Most logins that wait for their turn.
const WAITING: usize = 64;
/// How long a login may wait for its turn.
const TURN: Duration = Duration::from_secs(10);
/// A password that was right is known again for so long: one run of a worker logs in five times.
const KNOWN: Duration = Duration::from_secs(600);
/// Most passwords that are known again.
const REMEMBERED: usize = 256;

/// What is needed to judge logins.
pub(super) struct LoginDesk {
    turns: Semaphore,
    waiting: Semaphore,
    state: Mutex<State>,
    /// Drawn at each start, so that what is remembered is worth nothing elsewhere.
    key: [u8; 32],
}

#[derive(Debug, Default)]
struct State {
    mistakes: Mistakes,
    known: BTreeMap<[u8; 32], std::time::Instant>,
}

impl std::fmt::Debug for LoginDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginDesk").finish_non_exhaustive()
    }
}

impl LoginDesk {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        // Without randomness nothing is known again; `rand` would end the process instead.
        let drawn = getrandom::fill(&mut key).is_ok();
        Self {
            turns: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(if drawn { WAITING } else { 0 }),
            state: Mutex::default(),
            key,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names a password of an account without telling it.
    fn name(&self, account: &Account, password: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&account.stamp()).update(password.as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn is_known(&self, name: &[u8; 32]) -> bool {
        self.state()
            .known
            .get(name)
            .is_some_and(|since| since.elapsed() < KNOWN)
    }

    fn remember(&self, name: [u8; 32]) {
        let mut state = self.state();
        state.known.retain(|_, since| since.elapsed() < KNOWN);
        if state.known.len() < REMEMBERED {
            state.known.insert(name, std::time::Instant::now());
        }
    }

    /// Whether `password` is that of `account`.
    async fn judge(
        &self,
        address: Option<IpAddr>,
        account: Option<Arc<Account>>,
        password: String,
    ) -> Result<bool, Failure> {
        let busy = || {
            Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many logins at once: try again",
            )
        };
        let _seat = self.waiting.try_acquire().map_err(|_| busy())?;
        let wait = address.map_or(Duration::ZERO, |address| {
            self.state().mistakes.wait(address, clock::now())
        });
        tokio::time::sleep(wait).await;
        let name = account.as_ref().map(|account| self.name(account, &password));
        if name.is_some_and(|name| self.is_known(&name)) {
            return Ok(true);
        }
        let Ok(Ok(_turn)) = timeout(TURN, self.turns.acquire()).await else {
            return Err(busy());
        };
        let hashed = tokio::task::spawn_blocking(move || match account {
            Some(account) => account.fits(&password),
            None => {
                Account::pretend(&password);
                false
            }
        });
        let fits = hashed.await.unwrap_or(false);
        if let (true, Some(name)) = (fits, name) {
            self.remember(name);
        }
        if let Some(address) = address {
            let mut state = self.state();
            match fits {
                true => state.mistakes.right(address),
                false => state.mistakes.wrong(address, clock::now()),
            }
        }
        Ok(fits)
    }
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

pub(super) async fn login(mut call: Call) -> Outcome {
    let Credentials { username, password } = call.body().await?;
    let directory = call.door.users.directory(&call.door.rooms);
    let account = directory.user(&username).cloned();
    let address = match call.peer {
        Peer::Address(address) => Some(address.ip()),
        _ => None,
    };
    let fits = call.door.logins.judge(address, account.clone(), password).await?;
    let (true, Some(account), Some(key)) = (fits, account, directory.session_key()) else {
        return Err(Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
    };
    let session = Session {
        user: account.name().to_owned(),
        stamp: account.stamp(),
        expires: clock::wall_ms() / 1000 + MAX_AGE,
    };
    let token = key
        .issue(&session)
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(home(&format!("{COOKIE}=\"{token}\""), MAX_AGE))
}

pub(super) fn logout(call: Call) -> Outcome {
    match call.who {
        Who::User { .. } => Ok(home(&format!("{COOKIE}=\"\""), 0)),
        _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "I'm a teapot")),
    }
}

/// To the page, with a cookie.
fn home(cookie: &str, max_age: u64) -> Answer {
    let expires = SystemTime::now() + Duration::from_secs(max_age);
    let expires = httpdate::fmt_http_date(expires);
    let cookie = format!("{cookie}; expires={expires}; HttpOnly; Max-Age={max_age}; Path=/; SameSite=Lax");
    let answer = Answer::redirect(StatusCode::FOUND, "/");
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => answer.with(header::SET_COOKIE, cookie),
        Err(_) => answer,
    }
}
