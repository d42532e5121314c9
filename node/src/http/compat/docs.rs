//! The description of the API (OpenAPI 3.1), made of the table of routes: what is not served is not described, and the
//! other way round.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    info::VERSION,
    routes::{ROUTES, Route, There, Verb},
};
use crate::compat::role::Role;

pub(super) fn json(_: Call) -> Outcome {
    Ok(Answer::json(&description()))
}

pub(super) fn page(_: Call) -> Outcome {
    let mut rows = String::new();
    for route in ROUTES {
        let (method, path, needs, about) = (route.method.name(), route.path, route.needs.name(), route.about);
        let _ = write!(
            rows,
            "<tr><td>{method}</td><td><code>{path}</code></td><td>{needs}</td><td>{about}</td></tr>"
        );
    }
    Ok(Answer::html(format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>API</title></head><body><h1>API</h1>\
         <p><a href=\"/api-docs/swagger.json\">OpenAPI</a></p><table>{rows}</table></body></html>"
    )))
}

/// The whole description.
pub(super) fn description() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.name().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "pacmesh, as clients of ahriman see it", "version": VERSION},
        "paths": paths,
        "components": {
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": super::sessions::COOKIE}},
            "schemas": {
                "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let error = json!({"description": "Why not", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
    let mut responses = json!({route.code.to_string(): {"description": "Done"}});
    if route.needs != Role::Unauthorized {
        responses["401"] = error.clone();
        responses["403"] = error.clone();
    }
    if route.method == Verb::Post {
        responses["400"] = error.clone();
    }
    if route.path.contains('{') {
        responses["404"] = error;
    }
    let mut operation = json!({"summary": route.about, "responses": responses});
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if route.method == Verb::Post {
        let content = match route.there {
            There::Upload => json!({"multipart/form-data": {"schema": {"type": "object", "properties": {
                "package": {"type": "string", "format": "binary"}, "signature": {"type": "string", "format": "binary"},
            }}}}),
            _ => json!({"application/json": {"schema": {"type": "object"}}}),
        };
        operation["requestBody"] = json!({"content": content});
    }
    if route.needs != Role::Unauthorized {
        operation["security"] = json!([{"session": []}]);
        operation["x-permission"] = route.needs.name().into();
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let of_text = |name: &str, place: &str| json!({"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}});
    let mut parameters: Vec<Value> = in_path.map(|name| of_text(name, "path")).collect();
    let of_a_place = ["/status", "/packages", "/events", "/service/"]
        .iter()
        .any(|part| route.path.contains(part));
    if of_a_place && !route.path.contains("/patches") {
        parameters.push(of_text("architecture", "query"));
        parameters.push(of_text("repository", "query"));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let description = description();
        let paths = description["paths"].as_object().unwrap();
        let described: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(described, ROUTES.len());
        for route in ROUTES {
            let operation = &paths[route.path][route.method.name().to_lowercase()];
            assert!(
                operation["responses"].get(route.code.to_string()).is_some(),
                "{}",
                route.path
            );
            let variable = route.path.matches('{').count();
            let in_path = operation["parameters"].as_array().map_or(0, |parameters| {
                parameters
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .count()
            });
            assert_eq!(in_path, variable, "{}", route.path);
        }
    }
}
