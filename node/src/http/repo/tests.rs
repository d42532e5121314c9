//! The repository listener, asked by curl and by pacman as clients ask it.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::repository::layout::{Holding, Layout};
use crate::repository::testfarm::{FOUNDED, Farm};
use crate::repository::testkit::{Gpg, Pacman, Sample, output, run};

/// FOUNDED + 1 as an HTTP date, the second before it and the second after it.
const SHOWN_AT: &str = "Tue, 14 Nov 2023 22:13:21 GMT";
const BEFORE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const AFTER: &str = "Tue, 14 Nov 2023 22:13:22 GMT";

/// What a node without storage would stream: by file name, or nothing in reach.
#[derive(Default)]
struct Replicas(Option<Vec<(String, Vec<u8>)>>);

#[async_trait]
impl Fallback for Replicas {
    async fn open(&self, _: &GenerationKey, file: &PublicFile) -> Result<Option<Remote>, Unavailable> {
        let Some(files) = &self.0 else {
            return Err(Unavailable);
        };
        Ok(files
            .iter()
            .find(|(name, _)| *name == file.file_name())
            .map(|(_, bytes)| {
                let chunks: Vec<_> = bytes
                    .chunks(1000)
                    .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
                    .collect();
                Remote {
                    length: bytes.len() as u64,
                    bytes: Box::pin(futures::stream::iter(chunks)),
                }
            }))
    }
}

/// A listener on loopback; it ends with the value.
struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<io::Result<()>>>,
}

impl Served {
    fn start(farm: &Farm, layout: &Layout, replicas: Replicas, bounds: Bounds) -> Self {
        let state = RepositoryState {
            root: farm.root(),
            catalogue: layout.catalogue(),
            fallback: Arc::new(replicas),
            keyring: Arc::new(|| Some("-----BEGIN PGP PUBLIC KEY BLOCK-----\n".to_owned())),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let address = listener.local_addr().unwrap();
        let until = async move { drop(stopped.await) };
        let task = runtime.spawn(listener::serve(listener, router(state), bounds, until));
        Self {
            address,
            stop: Some(stop),
            runtime: Some(runtime),
            task: Some(task),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Status and body of a request by real curl, which sends the path as it is.
    fn get(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        let (head, body) = self.raw(path, arguments);
        (status(&head), String::from_utf8_lossy(&body).into_owned())
    }

    /// Head and body.
    fn raw(&self, path: &str, arguments: &[&str]) -> (String, Vec<u8>) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "20", "--path-as-is", "-D", "-", "--globoff"])
            .args(arguments);
        let got = output(curl.arg(self.url(path))).stdout;
        let end = got
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("{path}: no answer"));
        (
            String::from_utf8_lossy(&got[..end]).to_lowercase(),
            got[end + 4..].to_vec(),
        )
    }

    fn stop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn status(head: &str) -> u16 {
    head.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const FILE: &str = "/farm/x86_64/lib++-1:1.0-1-x86_64.pkg.tar.zst";

fn farm() -> (Farm, Layout) {
    let mut farm = Farm::new();
    let mut sample = Sample::new("lib++", "1:1.0-1");
    // Bytes that do not compress, so that the archive takes several reads and chunks.
    let noise: Vec<u8> = (0_u32..300_000)
        .map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[0])
        .collect();
    sample.files.push(("usr/noise".into(), noise));
    farm.publish_signed(&sample, |_| Some(b"signature".to_vec()));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    (farm, layout)
}

fn served() -> (Farm, Layout, Served) {
    let (farm, layout) = farm();
    let served = Served::start(&farm, &layout, Replicas::default(), Bounds::default());
    (farm, layout, served)
}

/// The archive's own bytes.
fn archive(farm: &Farm) -> Vec<u8> {
    fs::read(farm.root().join(&FILE[1..])).unwrap()
}

#[test]
fn a_file_is_served_under_both_prefixes_and_both_spellings_of_its_epoch() {
    let (farm, _layout, served) = served();
    let bytes = archive(&farm);
    for path in [
        FILE.to_owned(),
        format!("/repo{FILE}"),
        FILE.replace(':', "%3A"),
        FILE.replace('+', "%2B"),
    ] {
        let (head, body) = served.raw(&path, &[]);
        assert_eq!((status(&head), body == bytes), (200, true), "{path}");
        assert!(
            head.contains(&format!("content-length: {}", bytes.len())),
            "{head}"
        );
        assert!(
            head.contains("content-type: application/zstd") && head.contains("last-modified: "),
            "{head}"
        );
    }
    assert_eq!(served.get(&format!("{FILE}.sig"), &[]), (200, "signature".into()));
    for ending in ["db", "files", "db.tar.zst", "files.tar.zst"] {
        assert_eq!(
            served
                .raw(&format!("/farm/x86_64/farm.{ending}"), &[])
                .0
                .split(' ')
                .nth(1),
            Some("200"),
            "{ending}"
        );
    }
}

#[test]
fn a_repository_may_be_called_repo() {
    let (mut farm, _) = farm();
    farm.key.repository = "repo".parse().unwrap();
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    let served = Served::start(&farm, &layout, Replicas::default(), Bounds::default());
    assert_eq!(served.get("/repo/x86_64/repo.db", &["-o", "/dev/null"]).0, 200);
    assert_eq!(
        served.get("/repo/repo/x86_64/repo.db", &["-o", "/dev/null"]).0,
        200
    );
    assert_eq!(
        served.get("/repo/farm/x86_64/farm.db", &["-o", "/dev/null"]).0,
        200
    );
}

#[test]
fn inv7_nothing_but_names_of_the_repository_is_found() {
    let (farm, _layout, served) = served();
    fs::write(farm.home.path().join("secret"), "secret").unwrap();
    fs::write(farm.root().join("farm/x86_64/README"), "x").unwrap();
    for path in [
        "/farm/x86_64/../../../secret",
        "/farm/x86_64/..%2f..%2f..%2fsecret",
        "/farm/..%2f..%2f/secret",
        "/../../etc/passwd",
        "/farm/x86_64/%2e%2e/%2e%2e/secret",
        "/farm/x86_64/farm.db%00",
        "/farm/x86_64%2ffarm.db",
        "/farm%2fx86_64/farm.db",
        "/farm/x86_64/README",
        "/farm/x86_64/.shown",
        "/farm/x86_64/.shown/farm.db",
        "/farm/x86_64/",
        "/farm/x86_64",
        "/farm/x86_64/farm.db.sig",
        "/farm/x86_64/farm.files.sig",
        "/farm/x86_64/other.db",
        "/farm/aarch64/farm.db",
        "/farm/x86_64/ghost-1-1-any.pkg.tar.zst",
        "/%ff/x86_64/farm.db",
    ] {
        let (code, body) = served.get(path, &[]);
        assert!(
            matches!(code, 400 | 404) && !body.contains("secret") && !body.contains("root:"),
            "{path}: {code} {body}"
        );
    }
}

#[test]
fn inv3_a_placed_archive_is_not_served_before_a_generation_names_it() {
    let (mut farm, mut layout, served) = served();
    let name = farm.publish(&Sample::new("early", "1-1"));
    farm.place(&mut layout).unwrap();
    assert_eq!(
        served
            .get(&format!("/farm/x86_64/{name}"), &["-o", "/dev/null"])
            .0,
        404
    );
    farm.show(&mut layout, 2).unwrap();
    assert_eq!(
        served
            .get(&format!("/farm/x86_64/{name}"), &["-o", "/dev/null"])
            .0,
        200
    );
}

#[test]
fn inv3_a_client_that_has_the_same_or_a_newer_database_keeps_it() {
    let (_farm, _layout, served) = served();
    let path = "/farm/x86_64/farm.db";
    for (since, expected) in [(BEFORE, 200), (SHOWN_AT, 304), (AFTER, 304)] {
        let header = format!("If-Modified-Since: {since}");
        let (head, body) = served.raw(path, &["-H", &header]);
        assert_eq!(
            (status(&head), body.is_empty()),
            (expected, expected == 304),
            "{since}"
        );
    }
    let (head, _) = served.raw(path, &[]);
    assert!(
        head.contains(&format!("last-modified: {}", SHOWN_AT.to_lowercase())),
        "{head}"
    );
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let (farm, _layout, served) = served();
    let (head, body) = served.raw(FILE, &["-I", "-o", "/dev/null"]);
    assert_eq!((status(&head), body.len()), (200, 0));
    assert!(
        head.contains(&format!("content-length: {}", archive(&farm).len())),
        "{head}"
    );
}

#[test]
fn other_methods_are_refused() {
    let (_farm, _layout, served) = served();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", FILE, "/keyring.asc", "/nothing"] {
            let (head, _) = served.raw(path, &["-X", method, "-d", "x"]);
            assert_eq!(status(&head), 405, "{method} {path}");
            assert!(head.contains("allow: get"), "{head}");
        }
    }
}

/// Ranges behave alike from disk and from elsewhere.
fn check_ranges(served: &Served, bytes: &[u8]) {
    let last = bytes.len() - 1;
    for (range, expected) in [
        ("0-9".to_owned(), &bytes[..10]),
        ("150000-".to_owned(), &bytes[150_000..]),
        ("-7".to_owned(), &bytes[last - 6..]),
        (format!("{last}-{last}"), &bytes[last..]),
    ] {
        let (head, body) = served.raw(FILE, &["-r", &range]);
        assert_eq!((status(&head), body == expected), (206, true), "{range}: {head}");
        assert!(head.contains("content-range: bytes "), "{head}");
    }
    let (head, _) = served.raw(FILE, &["-r", &format!("{}-", bytes.len())]);
    assert_eq!(status(&head), 416);
    let (head, body) = served.raw(FILE, &["-r", "0-9,20-29"]);
    assert_eq!((status(&head), body == bytes), (200, true), "{head}");
    let (head, body) = served.raw(FILE, &["-r", "0-9", "-H", "If-Range: \"x\""]);
    assert_eq!((status(&head), body == bytes), (200, true), "{head}");
}

#[test]
fn a_resumed_download_gets_the_rest() {
    let (farm, _layout, served) = served();
    check_ranges(&served, &archive(&farm));
    let partial = farm.home.path().join("partial");
    fs::write(&partial, &archive(&farm)[..100_000]).unwrap();
    run(Command::new("curl")
        .args(["-s", "-C", "-", "-o"])
        .arg(&partial)
        .arg(served.url(FILE)));
    assert_eq!(fs::read(&partial).unwrap(), archive(&farm));
}

#[test]
fn an_archive_that_is_not_here_comes_from_elsewhere_or_is_unavailable() {
    let (farm, layout, served) = served();
    let (bytes, here) = (archive(&farm), farm.root().join(&FILE[1..]));
    fs::remove_file(&here).unwrap();
    let (head, _) = served.raw(FILE, &[]);
    assert_eq!(status(&head), 503);
    assert!(head.contains("retry-after: "), "{head}");

    let file = FILE.rsplit('/').next().unwrap().to_owned();
    let replicas = Replicas(Some(vec![(file, bytes.clone())]));
    let served = Served::start(&farm, &layout, replicas, Bounds::default());
    let (head, body) = served.raw(FILE, &[]);
    assert_eq!((status(&head), body == bytes), (200, true));
    assert!(
        head.contains(&format!("content-length: {}", bytes.len())),
        "{head}"
    );
    assert_eq!(served.raw(FILE, &["-I", "-o", "/dev/null"]).1.len(), 0);
    check_ranges(&served, &bytes);

    let nobody = Served::start(&farm, &layout, Replicas(Some(vec![])), Bounds::default());
    assert_eq!(nobody.get(FILE, &[]).0, 404);
}

#[test]
fn an_unsigned_archive_that_is_here_has_no_signature_elsewhere() {
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("a", "1-1"));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    let served = Served::start(&farm, &layout, Replicas::default(), Bounds::default());
    let signature = format!("/farm/x86_64/{}", name.signature());
    assert_eq!(served.get(&signature, &[]).0, 404);
    fs::remove_file(farm.root().join("farm/x86_64").join(name.to_string())).unwrap();
    assert_eq!(served.get(&signature, &[]).0, 503);
}

#[test]
fn the_page_and_the_keys_are_there() {
    let (_farm, _layout, served) = served();
    let (code, page) = served.get("/", &[]);
    assert_eq!(code, 200);
    assert!(
        page.contains("[farm]") && page.contains(&served.url("/$repo/$arch")),
        "{page}"
    );
    assert!(served.get("/keyring.asc", &[]).1.starts_with("-----BEGIN PGP"));
}

#[test]
fn real_pacman_installs_over_http_and_does_not_fetch_twice() {
    let gpg = Gpg::new();
    let mut farm = Farm::new();
    farm.publish_signed(&Sample::new("app", "2:1.0-1").lines("depend = lib++\n"), |path| {
        Some(gpg.sign(path))
    });
    farm.publish_signed(&Sample::new("lib++", "1.0-1"), |path| Some(gpg.sign(path)));
    let mut layout = farm.layout();
    farm.show(&mut layout, 1).unwrap();
    let served = Served::start(&farm, &layout, Replicas::default(), Bounds::default());
    let pacman = Pacman::new("farm", &served.url("/$repo/$arch"), "Required DatabaseOptional");
    let keys = farm.home.path().join("keys.asc");
    fs::write(&keys, gpg.export()).unwrap();
    pacman.trust(&keys, &gpg.fingerprint);
    pacman.run(&["-Sy"]);
    let again = pacman.all_said(&["-Sy", "--debug"]);
    assert!(again.contains("response code 304"), "{again}");
    pacman.run(&["-S", "app"]);
    assert!(pacman.run(&["-Q"]).contains("app 2:1.0-1"));

    farm.publish_signed(&Sample::new("app", "2:1.1-1"), |path| Some(gpg.sign(path)));
    farm.show(&mut layout, 2).unwrap();
    pacman.run(&["-Syu"]);
    assert!(pacman.run(&["-Q"]).contains("app 2:1.1-1"));
}

#[test]
fn inv3_readers_meet_whole_generations_while_they_change() {
    let (mut farm, mut layout, served) = served();
    let url = served.url("/farm/x86_64");
    let script = r#"for i in $(seq 40); do
        f=$(curl -sf "$0/farm.db" | bsdtar -xOf - '*/desc' | grep -A1 FILENAME | tail -n +2 | grep pkg.tar) || exit 3
        for n in $f; do curl -sf -o /dev/null "$0/$n" || { echo "$n"; exit 4; }; done
    done"#;
    let mut reader = Command::new("bash")
        .args(["-c", script])
        .arg(&url)
        .spawn()
        .unwrap();
    let mut number = 1;
    let code = loop {
        if let Some(code) = reader.try_wait().unwrap() {
            break code;
        }
        number += 1;
        farm.publish(&Sample::new("moving", &format!("{number}-1")));
        farm.show(&mut layout, number).unwrap();
    };
    assert!(code.success() && number > 3, "{code}");
}

/// Opens a connection and says `words`.
async fn say(served: &Served, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    stream
}

fn tight() -> Bounds {
    Bounds {
        connections: 1,
        head: Duration::from_millis(300),
        stall: Duration::from_millis(500),
        grace: Duration::from_millis(200),
    }
}

/// Holds the only seat with a connection that says `words`, and waits until another client is served.
fn another_is_served_beside(served: &Served, words: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let answer = runtime.block_on(async {
        let idle = say(served, words).await;
        let mut second = say(
            served,
            "GET /keyring.asc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(30), second.read_to_string(&mut answer));
        read.await.expect("the seat is free in time").unwrap();
        drop(idle);
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn inv5_a_client_that_says_nothing_loses_its_seat() {
    let (farm, layout) = farm();
    let served = Served::start(&farm, &layout, Replicas::default(), tight());
    for words in [
        "",
        "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        another_is_served_beside(&served, words);
    }
}

/// A farm that shows an archive of 64 MiB, more than any socket buffer holds, which comes from elsewhere.
fn huge(bounds: Bounds) -> (Farm, Served) {
    const SIZE: u64 = 64 << 20;
    let mut farm = Farm::new();
    let name = farm.publish(&Sample::new("lib++", "1:1.0-1"));
    let mut made = farm.make(1);
    made.archives.get_mut(&name).unwrap().size = SIZE;
    let mut layout = farm.layout();
    layout
        .show(
            &farm.key,
            made.new_generation(),
            Holding::Elsewhere,
            FOUNDED,
            |_| false,
        )
        .unwrap();
    let replicas = Replicas(Some(vec![(name.to_string(), vec![7; SIZE as usize])]));
    let served = Served::start(&farm, &layout, replicas, bounds);
    (farm, served)
}

#[test]
fn inv5_a_reader_that_takes_nothing_loses_its_seat() {
    let (_farm, served) = huge(tight());
    another_is_served_beside(&served, &format!("GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n"));
}

#[test]
fn inv3_another_file_from_elsewhere_is_not_passed_on() {
    let (farm, layout, _) = served();
    fs::remove_file(farm.root().join(&FILE[1..])).unwrap();
    let file = FILE.rsplit('/').next().unwrap().to_owned();
    let served = Served::start(
        &farm,
        &layout,
        Replicas(Some(vec![(file, vec![7; 100])])),
        Bounds::default(),
    );
    assert_eq!(served.get(FILE, &[]).0, 503);
}

#[test]
fn shutdown_waits_no_longer_than_the_grace() {
    let bounds = Bounds {
        grace: Duration::from_millis(300),
        ..Bounds::default()
    };
    let (_farm, mut served) = huge(bounds);
    let runtime = served.runtime.take().unwrap();
    runtime.block_on(async {
        let mut stalled = say(&served, &format!("GET {FILE} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let mut first = [0; 12];
        stalled.read_exact(&mut first).await.unwrap();
        let started = Instant::now();
        served.stop();
        let ended = tokio::time::timeout(Duration::from_secs(10), served.task.take().unwrap()).await;
        ended.expect("it ends").unwrap().unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_generation_without_archives_here_is_shown_from_elsewhere() {
    let mut farm = Farm::new();
    let sample = Sample::new("a", "1-1");
    let name = farm.publish(&sample);
    let mut layout = farm.layout();
    let made = farm.make(1);
    layout
        .show(
            &farm.key,
            made.new_generation(),
            Holding::Elsewhere,
            FOUNDED,
            |_| false,
        )
        .unwrap();
    let bytes = fs::read(farm.home.path().join("blobs").join(name.to_string())).unwrap();
    let replicas = Replicas(Some(vec![(name.to_string(), bytes)]));
    let served = Served::start(&farm, &layout, replicas, Bounds::default());
    let pacman = Pacman::new("farm", &served.url("/$repo/$arch"), "Never");
    pacman.run(&["-Sy", "a"]);
    assert!(pacman.run(&["-Q"]).contains("a 1-1"));
}
