//! Pages for people: as little as says where they are.

use axum::http::{HeaderValue, StatusCode, header};

use super::{
    answer::{Answer, Outcome},
    call::Call,
};

const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><circle cx=\"4\" cy=\"4\" r=\"3\"/><circle cx=\"12\" cy=\"5\" r=\"3\"/><circle cx=\"7\" cy=\"12\" r=\"3\"/></svg>";

/// Workers come here after each login, and only want it to answer.
pub(super) fn index(call: Call) -> Outcome {
    let view = call.view();
    let mesh = view.mesh_name().map_or("mesh", |name| name.as_str());
    Ok(Answer::html(format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{mesh}</title></head><body>\
         <h1>{mesh}</h1><p>A pacmesh node. Clients of ahriman may use it as their server: \
         <a href=\"/api-docs\">what it serves</a>.</p></body></html>"
    )))
}

pub(super) fn favicon(_: Call) -> Outcome {
    Ok(Answer::redirect(StatusCode::FOUND, "/static/favicon.ico"))
}

pub(super) fn icon(_: Call) -> Outcome {
    let answer = Answer::text(StatusCode::OK, ICON);
    Ok(answer.with(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")))
}
