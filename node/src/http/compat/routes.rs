//! Every route of the shim in one table: what it needs, what it is for, who serves it. The router, the rights and the
//! published description all follow from it.

use axum::http::Method;
use futures::future::BoxFuture;

use super::{
    actions, answer::Outcome, call::Call, changes, dependencies, distributed, docs, events, info, login,
    logs, metrics, packages, pages, patches, status, stream, update, upload,
};
use crate::compat::role::Role;

/// Serves a call.
pub(super) type Handler = fn(Call) -> BoxFuture<'static, Outcome>;

/// When a route is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// Always.
    Always,
    /// Unless only the service is served (`http.service_only`).
    Status,
    /// Where archives may be uploaded (`http.archive_upload`).
    Upload,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    /// GET stands for HEAD, too.
    pub(super) method: Verb,
    /// With `{name}` for one segment.
    pub(super) path: &'static str,
    /// Who may.
    pub(super) needs: Role,
    /// When it is there.
    pub(super) there: There,
    /// For the description.
    pub(super) about: &'static str,
    /// The code of success.
    pub(super) code: u16,
    /// Who serves it.
    pub(super) serve: Handler,
}

/// The methods that routes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    pub(super) fn serves(self, method: &Method) -> bool {
        match self {
            Self::Get => *method == Method::GET || *method == Method::HEAD,
            Self::Post => *method == Method::POST,
            Self::Delete => *method == Method::DELETE,
        }
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $needs:ident $there:ident $code:literal $about:literal $kind:tt $handler:path;)*) => {
        &[$(Route {
            method: Verb::$method,
            path: $path,
            needs: Role::$needs,
            there: There::$there,
            about: $about,
            code: $code,
            serve: |call| begin!($kind $handler, call),
        }),*]
    };
}

/// `=>` stands before handlers that wait for something, `=` before those that know at once.
macro_rules! begin {
    (=> $handler:path, $call:ident) => {
        Box::pin($handler($call))
    };
    (= $handler:path, $call:ident) => {
        Box::pin(std::future::ready($handler($call)))
    };
}

/// All of them.
pub(super) const ROUTES: &[Route] = routes! {
    Get "/" Unauthorized Always 200 "A page for people" = pages::index;
    Get "/index.html" Unauthorized Always 200 "A page for people" = pages::index;
    Get "/favicon.ico" Unauthorized Always 302 "Where the icon is" = pages::favicon;
    Get "/static/favicon.ico" Unauthorized Always 200 "The icon" = pages::icon;
    Get "/metrics" Unauthorized Always 200 "OpenMetrics" = metrics::get;
    Get "/api-docs" Unauthorized Always 200 "This description, for people" = docs::page;
    Get "/api-docs/swagger.json" Unauthorized Always 200 "This description" = docs::json;
    Get "/api/v1/info" Unauthorized Always 200 "What this server is" = info::v1;
    Get "/api/v2/info" Unauthorized Always 200 "What this server is" = info::v2;
    Get "/api/v1/metrics" Unauthorized Always 200 "OpenMetrics" = metrics::get;
    Post "/api/v1/login" Unauthorized Always 302 "Log in" => login::login;
    Post "/api/v1/logout" Unauthorized Always 302 "Log out" = login::logout;
    Get "/api/v1/repositories" Read Always 200 "All repositories" = info::repositories;
    Get "/api/v1/status" Read Status 200 "How the service stands" => status::get;
    Post "/api/v1/status" Full Status 204 "Say how the service stands" => status::post;
    Get "/api/v1/packages" Read Status 200 "All packages" => packages::list;
    Post "/api/v1/packages" Full Status 204 "Read packages again" = packages::reload;
    Get "/api/v1/packages/{package}" Read Status 200 "One package" => packages::get;
    Post "/api/v1/packages/{package}" Full Status 204 "Say how a package stands" => packages::post;
    Delete "/api/v1/packages/{package}" Full Status 204 "Forget and remove a package" => packages::delete;
    Get "/api/v1/packages/{package}/archives" Reporter Status 200 "Versions that are kept" => packages::archives;
    Get "/api/v1/packages/{package}/changes" Reporter Status 200 "What changed last" => changes::get;
    Post "/api/v1/packages/{package}/changes" Full Status 204 "Say what changed" => changes::post;
    Get "/api/v1/packages/{package}/dependencies" Reporter Status 200 "Where files come from" => dependencies::get;
    Post "/api/v1/packages/{package}/dependencies" Full Status 204 "Say where files come from" => dependencies::post;
    Post "/api/v1/packages/{package}/hold" Full Status 204 "Hold or release a package" => packages::hold;
    Get "/api/v1/packages/{package}/logs" Reporter Status 200 "The log as one text" => logs::get_v1;
    Post "/api/v1/packages/{package}/logs" Full Status 204 "Add a line" => logs::post;
    Delete "/api/v1/packages/{package}/logs" Full Status 204 "Remove logs" = logs::delete;
    Get "/api/v2/packages/{package}/logs" Reporter Status 200 "The lines of the log" => logs::get_v2;
    Get "/api/v1/packages/{package}/patches" Reporter Status 200 "All patches" => patches::list;
    Post "/api/v1/packages/{package}/patches" Full Status 204 "Set a patch" => patches::post;
    Get "/api/v1/packages/{package}/patches/{patch}" Reporter Status 200 "One patch" => patches::get;
    Delete "/api/v1/packages/{package}/patches/{patch}" Full Status 204 "Remove a patch" => patches::delete;
    Get "/api/v1/events" Full Always 200 "The audit log" = events::list;
    Post "/api/v1/events" Full Always 204 "Add to the audit log" => events::post;
    Get "/api/v1/events/stream" Read Always 200 "Events as they happen" = stream::get;
    Get "/api/v1/distributed" Full Always 200 "Workers that registered themselves" = distributed::list;
    Post "/api/v1/distributed" Full Always 204 "Register a worker" => distributed::post;
    Delete "/api/v1/distributed" Full Always 204 "Forget all workers" = distributed::delete;
    Post "/api/v1/service/add" Full Always 200 "Build packages" => actions::add;
    Post "/api/v1/service/request" Reporter Always 200 "Ask for packages" => actions::request;
    Post "/api/v1/service/update" Full Always 200 "Publish what was uploaded" => update::post;
    Post "/api/v1/service/rebuild" Full Always 200 "Build again what depends on a package" => actions::rebuild;
    Post "/api/v1/service/remove" Full Always 200 "Remove packages" => actions::remove;
    Get "/api/v1/service/process/{process}" Reporter Always 200 "Whether a process runs" = actions::process;
    Post "/api/v1/service/upload" Full Upload 201 "Upload archives and signatures" => upload::post;
    Get "/api/v1/service/config" Full Always 200 "All settings" = actions::config;
    Post "/api/v1/service/config" Full Always 204 "Read settings again" = actions::reload_config;
    Delete "/api/v1/service/logs" Full Always 204 "Keep the newest logs only" => logs::rotate;
};

/// The variable parts of `path` under a pattern; one segment each, and decoded only after it was split off.
pub(super) fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut there) = (pattern.split('/'), path.split('/'));
    let mut parts = Vec::new();
    loop {
        match (wanted.next(), there.next()) {
            (None, None) => return Some(parts),
            (Some(wanted), Some(there)) if wanted.starts_with('{') && !there.is_empty() => {
                let decoded = percent_encoding::percent_decode_str(there).decode_utf8_lossy();
                parts.push(decoded.into_owned());
            }
            (Some(wanted), Some(there)) if wanted == there => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_however_it_is_written() {
        let pattern = "/api/v1/packages/{package}";
        let name = |path: &str| matches(pattern, path).map(|parts| parts.concat());
        assert_eq!(name("/api/v1/packages/libc%2B%2B").as_deref(), Some("libc++"));
        assert_eq!(
            name("/api/v1/packages/a%2Fb").as_deref(),
            Some("a/b"),
            "refused later, by its slash"
        );
        assert_eq!(name("/api/v1/packages/a/b"), None);
        assert_eq!(name("/api/v1/packages/"), None);
        assert_eq!(name("/api/v1/packages"), None);
    }

    #[test]
    fn no_two_routes_are_one() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| other.method == route.method && other.path == route.path;
            assert!(ROUTES[at + 1..].iter().find(same).is_none(), "{route:?}");
        }
    }
}
