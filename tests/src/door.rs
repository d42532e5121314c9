//! A client that speaks to a node as clients of ahriman do: cookies with their quotes, names quoted with "plus", uploads
//! as one multipart request for each archive.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

use crate::cluster::{COMMAND, Node};

/// What stands behind every path that is about a repository.
pub const PLACE: &str = "architecture=x86_64&repository=farm";
/// The user that tests make.
pub const USER: &str = "builder";
/// Its password.
pub const PASSWORD: &str = "correct horse";
const BOUNDARY: &str = "531df300c40fb519399690701f96f547";

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// Panics unless the code is this one.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A client with or without a session.
#[derive(Debug, Clone)]
pub struct Client {
    address: String,
    cookie: Option<String>,
}

impl Client {
    /// Somebody who is not logged in.
    pub fn anonymous(node: &Node) -> Self {
        Self {
            address: node.api.clone(),
            cookie: None,
        }
    }

    /// Makes a user with full access, and logs in.
    #[track_caller]
    pub fn full(node: &Node) -> Self {
        add_user(node, USER, PASSWORD, "full");
        Self::login(node, USER, PASSWORD)
    }

    /// Logs in.
    #[track_caller]
    pub fn login(node: &Node, user: &str, password: &str) -> Self {
        let mut client = Self::anonymous(node);
        let answer = client.try_login(user, password).is(302);
        client.cookie = answer.header("set-cookie").and_then(cookie_of);
        assert!(client.cookie.is_some(), "no cookie: {:?}", answer.headers);
        client
    }

    /// Tries to log in.
    pub fn try_login(&self, user: &str, password: &str) -> Answer {
        let body = serde_json::json!({"username": user, "password": password});
        self.post("/api/v1/login", &body)
    }

    /// The same client at another node.
    pub fn at(&self, node: &Node) -> Self {
        Self {
            address: node.api.clone(),
            cookie: self.cookie.clone(),
        }
    }

    /// The same client with another cookie.
    pub fn with_cookie(&self, cookie: &str) -> Self {
        Self {
            cookie: Some(cookie.to_owned()),
            ..self.clone()
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    /// POST of anything.
    pub fn post_bytes(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &[("Content-Type", content_type)], body)
    }

    /// Uploads files, each under the name of its part.
    pub fn upload(&self, files: &[(&str, &Path)]) -> Answer {
        let named = files.iter().map(|(part, path)| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a file name");
            (
                *part,
                name.to_owned(),
                std::fs::read(path).expect("a file to upload"),
            )
        });
        let parts: Vec<_> = named.collect();
        self.upload_bytes(&parts)
    }

    /// Uploads bytes under names.
    pub fn upload_bytes(&self, parts: &[(&str, String, Vec<u8>)]) -> Answer {
        let (content_type, body) = multipart(parts);
        self.post_bytes(&format!("/api/v1/service/upload?{PLACE}"), &content_type, &body)
    }

    /// Asks for a manual update and polls its process to the end; gives how often it was alive.
    #[track_caller]
    pub fn update(&self) -> usize {
        let body = serde_json::json!({"aur": false, "local": false, "manual": true});
        let started = self
            .post(&format!("/api/v1/service/update?{PLACE}"), &body)
            .is(200);
        let id = started.json()["process_id"]
            .as_str()
            .expect("a process")
            .to_owned();
        let mut alive = 0;
        crate::wait::wait_for("the end of an update", COMMAND, || {
            let answer = self.get(&format!("/api/v1/service/process/{id}"));
            alive += usize::from(answer.status == 200);
            (answer.status == 404).then_some(())
        });
        alive
    }

    /// The package and status of a base; `None` if it is unknown.
    #[track_caller]
    pub fn package(&self, base: &str) -> Option<Value> {
        let answer = self.get(&format!("/api/v1/packages/{}?{PLACE}", quote(base)));
        if answer.status == 404 {
            return None;
        }
        let list = answer.is(200).json();
        Some(list[0].clone())
    }

    /// Its cookie, as it sends it.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap_or_default()
    }

    /// Sends a request on a connection of its own and reads the answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        head += "User-Agent: ahriman/2.22.1 python-requests/2.34.2 python/3.14.10\r\nAccept: */*\r\n";
        if let Some(cookie) = &self.cookie {
            head += &format!("Cookie: {cookie}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" && method != "HEAD" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).expect("to send a request");
        // A server that refuses early closes before it read everything.
        let _ = stream.write_all(body);
        read_answer(&mut stream, method == "HEAD")
    }

    /// A connection to the node.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the API of a node");
        stream.set_read_timeout(Some(COMMAND)).expect("a socket");
        stream
            .set_write_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        stream
    }
}

/// Makes a user.
#[track_caller]
pub fn add_user(node: &Node, user: &str, password: &str, role: &str) {
    let words = ["user", "add", user, "--role", role];
    node.cli_with_input(&words, &format!("{password}\n")).ok();
}

/// A multipart body as Python's requests builds it.
pub fn multipart(parts: &[(&str, String, Vec<u8>)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (part, name, bytes) in parts {
        body.extend(format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        ).into_bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

/// A name as a segment of a path.
pub fn quote(name: &str) -> String {
    let quoted = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    });
    quoted.collect()
}

/// `name="value"` of a Set-Cookie, with its quotes: so Python sends it back.
fn cookie_of(header: &str) -> Option<String> {
    header.split(';').next().map(str::to_owned)
}

fn read_answer(stream: &mut TcpStream, is_head: bool) -> Answer {
    let mut bytes = Vec::new();
    // A server that refused a long body resets the connection behind its answer.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a status line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let rest = &bytes[end + 4..];
    let body = match (is_head, chunked) {
        (true, _) => Vec::new(),
        (_, true) => unchunked(rest),
        _ => rest.to_vec(),
    };
    Answer {
        status,
        headers,
        body,
    }
}

/// RFC 9112, 7.1.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && end + 2 + size <= bytes.len()) else {
            break;
        };
        body.extend(&bytes[end + 2..end + 2 + size]);
        bytes = bytes.get(end + 2 + size + 2..).unwrap_or_default();
    }
    body
}
