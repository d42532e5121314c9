//! From a request to its handler: which route, who asks, whether that is allowed. Then the rules for all answers.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};

use super::{
    Door,
    answer::{Answer, Failure},
    call::{Call, Who},
    finish::{self, Asked},
    routes::{self, ROUTES, Route, There},
    sessions,
};
use crate::{
    compat::role::{self, Role},
    http::listener::Peer,
    settings::Settings,
};

/// What a path leads to.
enum Found {
    Route(&'static Route, Vec<String>),
    /// The path is served, by these methods.
    OtherMethods(Vec<&'static str>),
    Nothing,
}

/// Serves a request, whatever it is.
pub(super) async fn serve(door: Arc<Door>, request: Request<Body>) -> Response {
    let asked = Asked::of(&request);
    let started = std::time::Instant::now();
    let (answer, route) = answer(&door, request).await;
    door.meters
        .count(route, answer.status.as_u16(), started.elapsed());
    let origins = door.rooms.ledger.view();
    finish::finish(&asked, Settings(&origins).cors_origins(), answer)
}

async fn answer(door: &Arc<Door>, request: Request<Body>) -> (Answer, &'static str) {
    if *request.method() == Method::OPTIONS {
        return (finish::preflight(request.headers()), "OPTIONS");
    }
    let path = request.uri().path();
    match find(door, request.method(), path) {
        Found::OtherMethods(allowed) => (wrong_method(&allowed), "wrong method"),
        Found::Nothing => match canonical(door, &request) {
            Some(answer) => (answer, "redirect"),
            None => (unrouted(door, &request), "unrouted"),
        },
        Found::Route(route, parts) => {
            let is_login = route.path.ends_with("/login") || route.path.ends_with("/logout");
            let wants_json = wants_json(request.headers());
            let answer = match attend(door, route, parts, request).await {
                Ok(answer) => answer,
                Err(failure) if is_login && failure.status == StatusCode::UNAUTHORIZED && !wants_json => {
                    let page = format!("<html><body>401: {}</body></html>", failure.reason);
                    Answer {
                        status: StatusCode::UNAUTHORIZED,
                        ..Answer::html(page)
                    }
                }
                Err(failure) => failure.answer(),
            };
            (answer, route.path)
        }
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT) == Some(&HeaderValue::from_static("application/json"))
}

async fn attend(
    door: &Arc<Door>,
    route: &'static Route,
    parts: Vec<String>,
    request: Request<Body>,
) -> Result<Answer, Failure> {
    let peer = request
        .extensions()
        .get::<Peer>()
        .copied()
        .unwrap_or(Peer::Unknown);
    let who = who(door, &request, peer);
    let is_open = Settings(&door.rooms.ledger.view()).allow_read_only();
    role::judge(who.role(), route.needs, is_open)?;
    (route.serve)(Call::new(door.clone(), who, peer, parts, request)).await
}

fn who(door: &Door, request: &Request<Body>, peer: Peer) -> Who {
    match peer {
        Peer::Local => Who::Local,
        _ => sessions::who(door, request.headers()),
    }
}

fn find(door: &Door, method: &Method, path: &str) -> Found {
    let view = door.rooms.ledger.view();
    let settings = Settings(&view);
    let is_there = |route: &&Route| match route.there {
        There::Always => true,
        There::Status => !settings.service_only(),
        There::Upload => settings.archive_upload(),
    };
    let mut allowed = Vec::new();
    for route in ROUTES.iter().filter(is_there) {
        let Some(parts) = routes::matches(route.path, path) else {
            continue;
        };
        if route.method.serves(method) {
            return Found::Route(route, parts);
        }
        allowed.push(route.method.name());
        if route.method == routes::Verb::Get {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        Found::Nothing
    } else {
        allowed.sort_unstable();
        Found::OtherMethods(allowed)
    }
}

fn wrong_method(allowed: &[&str]) -> Answer {
    let answer = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    match HeaderValue::from_str(&allowed.join(",")) {
        Ok(allowed) => answer.with(header::ALLOW, allowed),
        Err(_) => answer,
    }
}

/// A path that is served without its last slashes leads there.
fn canonical(door: &Door, request: &Request<Body>) -> Option<Answer> {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    // Two slashes at the front would name another server.
    if trimmed == path || trimmed.is_empty() || trimmed.starts_with("//") {
        return None;
    }
    if matches!(find(door, request.method(), trimmed), Found::Nothing) {
        return None;
    }
    let to = match request.uri().query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    Some(Answer::redirect(StatusCode::PERMANENT_REDIRECT, &to))
}

/// Nobody without full access learns what is not there.
fn unrouted(door: &Door, request: &Request<Body>) -> Answer {
    let peer = request
        .extensions()
        .get::<Peer>()
        .copied()
        .unwrap_or(Peer::Unknown);
    let who = who(door, request, peer);
    match role::judge(who.role(), Role::Full, false) {
        Ok(()) => Failure::unknown("Not Found").answer(),
        Err(denied) => Failure::from(denied).answer(),
    }
}
