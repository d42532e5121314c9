//! The composition root: builds the rooms of a node, introduces them to each other, and ends them in order.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use pacmesh_discovery::{Discovery, DiscoveryError};
use pacmesh_protocol::{
    ids::Incarnation,
    membership::NodeRecord,
    names::{Architecture, EnvironmentName},
    signed::Verify,
};
use pacmesh_signing::Ed25519Verifier;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    blobs::{BlobError, BlobStore, Fetcher, Reserve, gc, scrub},
    clocks::{self, Clocks},
    config::{Config, REPOSITORY_PORT},
    error::chain,
    home::{Home, HomeError},
    http::{self, compat::Door, listener::Entrance},
    keyrings,
    ledger::{LedgerError, LedgerHandle},
    links,
    local::server::{LocalError, LocalServer, Office, OfficeCommand},
    master::{MasterHandle, ReignDriver},
    membership::{DoorKeeper, MembershipError, Seat, Standing},
    parting::{self, GRACE},
    repository::{
        self, RepositoryHandle,
        layout::{Layout, LayoutError},
    },
    rooms::Rooms,
    service::Receptionist,
    serving,
    signals::Signals,
    sources::Sources,
    transport::{Transport, TransportConfig, TransportError},
    vitals,
    worker::{WorkerHandle, environment::HostEnvironment},
};

/// How often free pairs of ports are drawn before giving up.
const DRAWS: usize = 64;
/// Most addresses that a node announces (FORMATS, "Numbers").
const ADDRESSES: usize = 8;
/// Between two looks at a disk that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Of the grace of a planned stop, what is left for the goodbye and the end of all tasks.
const LAST: Duration = Duration::from_secs(5);

/// Why a node could not start; nothing runs, and nothing was lost.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another daemon has the home.
    #[error("another pacmesh runs with the home {path}: stop it, or pass another --home")]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// The local socket cannot be opened.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The node's seat in its mesh cannot be read.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The blobs cannot be opened.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The repository's files cannot be opened.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The transport cannot listen.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Discovery cannot listen.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// A listener cannot be opened.
    #[error("cannot listen on {address}: {hint}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What to type.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another machine lives with this node's key.
    #[error(
        "another machine runs with this node's key, so this one has stopped: a home was copied, or restored while the old one runs. Stop the other and 'rm {path}' to start this one again, or move this home away and 'pacmesh join' with a key of its own"
    )]
    Usurped {
        /// What keeps this one stopped.
        path: PathBuf,
    },
    /// The ballot cannot be read.
    #[error(transparent)]
    Reign(#[from] crate::master::ReignError),
    /// The system refuses something basic.
    #[error("the system refuses {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs a node until it is told to stop.
pub async fn run(config: Config) -> Result<(), StartError> {
    config.home.prepare()?;
    let _lock = lock(&config)?;
    let server = LocalServer::bind(&config.home).await?;
    let config = Arc::new(config);
    let (stop, stopped) = watch::channel(false);
    let (shown, rooms) = watch::channel(None);
    let (sender, mut commands) = mpsc::channel(8);
    let (trouble, seen_trouble) = watch::channel(None);
    let office = Office::new(config.clone(), rooms, seen_trouble, sender.clone());
    let serving = tokio::spawn(server.run(office, stopped));
    let mut mesh = Mesh::start_if_seated(&config, &sender).await?;
    shown.send_replace(mesh.as_ref().map(|mesh| mesh.rooms.clone()));
    if mesh.is_none() {
        tracing::info!(home = %config.home.state().display(), "waiting for 'pacmesh init' or 'pacmesh join'");
    }
    let mut signals = Signals::new()?;
    let mut usurped = None;
    loop {
        tokio::select! {
            () = signals.next() => break,
            command = commands.recv() => match command {
                Some(OfficeCommand::Entered) if mesh.is_none() => {
                    mesh = Mesh::start_if_seated(&config, &sender).await?;
                    shown.send_replace(mesh.as_ref().map(|mesh| mesh.rooms.clone()));
                }
                Some(OfficeCommand::Entered) => {}
                Some(OfficeCommand::Usurped { incarnation }) => {
                    usurped = Some(incarnation);
                    break;
                }
                Some(OfficeCommand::Outlived { incarnation }) => {
                    if let Some(old) = mesh.take() {
                        shown.send_replace(None);
                        old.outlive(incarnation).await?;
                        mesh = Mesh::start_if_seated(&config, &sender).await?;
                        shown.send_replace(mesh.as_ref().map(|mesh| mesh.rooms.clone()));
                    }
                }
                Some(OfficeCommand::Left { done }) => {
                    shown.send_replace(None);
                    if let Some(mesh) = mesh.take() {
                        mesh.stop().await;
                    }
                    if let Err(error) = Standing::remove(&config.home) {
                        tracing::warn!(%error, "the membership could not be forgotten");
                    }
                    let _ = done.send(());
                }
                None => break,
            },
            // What the node knows is no longer what it keeps: it begins anew from the disk, once that can be written.
            error = ledger_end(mesh.as_ref()) => {
                tracing::error!(error = chain(&error), "standing still");
                trouble.send_replace(Some(chain(&error)));
                shown.send_replace(None);
                if let Some(mesh) = mesh.take()
                    && tokio::time::timeout(GRACE, mesh.abandon()).await.is_err()
                {
                    tracing::warn!("what was left of the node took too long to stop and was cut short");
                }
            }
            () = tokio::time::sleep(LOOK_AGAIN), if trouble.borrow().is_some() => {
                match Mesh::start_if_seated(&config, &sender).await {
                    Ok(started) => {
                        tracing::info!("going on");
                        mesh = started;
                        trouble.send_replace(None);
                        shown.send_replace(mesh.as_ref().map(|mesh| mesh.rooms.clone()));
                    }
                    Err(error) => {
                        trouble.send_replace(Some(chain(&error)));
                    }
                }
            }
        }
    }
    tracing::info!("stopping");
    if let Some(mesh) = &mesh {
        tokio::select! {
            parted = tokio::time::timeout(GRACE - LAST, parting::before_stop(&mesh.rooms)) => {
                if parted.is_err() {
                    tracing::warn!("handing over took too long and was cut short");
                }
            }
            () = signals.next() => tracing::warn!("told to stop twice: stopping without handing over"),
        }
    }
    shown.send_replace(None);
    stop.send_replace(true);
    if let Some(mesh) = mesh
        && tokio::time::timeout(LAST, mesh.stop()).await.is_err()
    {
        tracing::warn!("the stop took too long and was cut short");
    }
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    match usurped {
        None => Ok(()),
        Some(incarnation) => Err(keep_stopped(&config.home, incarnation)),
    }
}

/// The word stays in the home: whoever starts this node again, by hand or as a service, would only begin a higher life,
/// and the other one would stop instead.
fn keep_stopped(home: &Home, incarnation: Incarnation) -> StartError {
    let path = home.usurped();
    let text = format!(
        "Another machine lives with this node's key (its life {incarnation}). Remove this file when that one is stopped for good.\n"
    );
    if let Err(error) = std::fs::write(&path, text) {
        tracing::error!(path = %path.display(), %error, "this node cannot be kept stopped: do not start it again");
    }
    StartError::Usurped { path }
}

/// Waits until the ledger of a mesh has ended; for ever where there is none.
async fn ledger_end(mesh: Option<&Mesh>) -> LedgerError {
    match mesh {
        Some(mesh) => mesh.rooms.ledger.ended().await,
        None => std::future::pending().await,
    }
}

/// One daemon for one home: held until the process ends, however it ends.
fn lock(config: &Config) -> Result<std::fs::File, StartError> {
    let path = config.home.lock();
    let refused = |source| StartError::System {
        what: "a lock file in the home",
        source,
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(StartError::Busy {
            path: config.home.state().to_owned(),
        }),
    }
}

/// The part of a node that runs while it belongs to a mesh.
struct Mesh {
    rooms: Arc<Rooms>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Ports that were found free, and what was opened on them.
struct Ports {
    discovery: Vec<SocketAddr>,
    transport: Transport,
}

impl Mesh {
    async fn start_if_seated(
        config: &Arc<Config>,
        commands: &mpsc::Sender<OfficeCommand>,
    ) -> Result<Option<Self>, StartError> {
        let Some(seat) = Seat::load(&config.home, &config.name)? else {
            return Ok(None);
        };
        let path = config.home.usurped();
        if path.exists() {
            return Err(StartError::Usurped { path });
        }
        Self::start(config, seat, commands.clone()).await.map(Some)
    }

    async fn start(
        config: &Arc<Config>,
        seat: Seat,
        commands: mpsc::Sender<OfficeCommand>,
    ) -> Result<Self, StartError> {
        let (mesh, keys) = (seat.mesh, seat.keys.clone());
        let node = keys.node.id();
        let verify: Arc<dyn Verify> = Arc::new(Ed25519Verifier);
        let ledger =
            LedgerHandle::open(&config.home.ledger(), mesh, keys.node.clone(), verify.clone()).await?;
        let blobs = BlobStore::open(&config.home.blobs(), Reserve::Standard)?;
        let layout = Layout::open(&config.home.repository())?;
        let (repository, mends) = RepositoryHandle::of(&layout);
        let (master, inbox) = MasterHandle::new();
        let receptionist = Receptionist::default();
        let gate = Arc::new(DoorKeeper::new(mesh, node, ledger.clone(), receptionist.clone()));
        let ports = open_ports(config, &seat, blobs.clone(), gate, Arc::new(receptionist.clone()))?;
        let guest = keyrings::is_guest(&ledger.view(), &node);
        let listener = listen_repository(config, guest).await?;
        let entrances = listen_api(config).await?;
        let served = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let served_port = served.map(|address| address.port());
        let own = own_record(config, &seat, &ledger, &ports, served_port);
        tracing::info!(node = %node.short(), name = %config.name, addresses = ?own.addresses, repository = ?served_port, "node starts");
        let settings = pacmesh_discovery::Config {
            seed: keys.node.transport_seed(),
            mesh,
            listen: ports.discovery.clone(),
            mdns: config.mdns,
            sign: keys.node.clone(),
            verify,
        };
        let (discovery, events) = Discovery::start(settings, own).await?;
        let rooms = Arc::new(Rooms {
            config: (**config).clone(),
            node,
            mesh,
            keys,
            fetcher: Fetcher::new(blobs.clone(), ports.transport.clone()),
            transport: ports.transport,
            ledger,
            blobs,
            discovery,
            master,
            worker: WorkerHandle::new(config.slots),
            repository,
            clocks: Clocks::default(),
            sources: Sources::default(),
        });
        receptionist.open(rooms.clone());
        let driver = ReignDriver::open(rooms.clone(), inbox).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(links::link(
            rooms.clone(),
            events,
            commands,
            seat.standing.addresses.clone(),
            stopped.clone(),
        ));
        tasks.spawn(links::spread(rooms.clone(), stopped.clone()));
        tasks.spawn(vitals::watch(rooms.clone(), stopped.clone()));
        tasks.spawn(clocks::watch(rooms.clone(), stopped.clone()));
        tasks.spawn(driver.run(stopped.clone()));
        tasks.spawn(repository::keep(rooms.clone(), layout, mends, stopped.clone()));
        tasks.spawn(scrub::scrub(rooms.clone(), stopped.clone()));
        if let Some(listener) = listener {
            tasks.spawn(serving::serve(rooms.clone(), listener, stopped.clone()));
        }
        tasks.spawn(Door::open(rooms.clone()).await.run(entrances, stopped.clone()));
        rooms.worker.resume(&rooms).await;
        // Only now is it known what earlier attempts use.
        tasks.spawn(gc::collect(rooms.clone(), stopped));
        Ok(Self { rooms, stop, tasks })
    }

    /// Ends this life, so that the next one begins above `incarnation`.
    async fn outlive(self, incarnation: Incarnation) -> Result<(), StartError> {
        tracing::warn!(
            incarnation,
            "this node was restored from an older state: it begins a new life"
        );
        self.rooms.ledger.learn_incarnation(incarnation).await?;
        if tokio::time::timeout(LAST, self.stop()).await.is_err() {
            tracing::warn!("the stop took too long and was cut short");
        }
        Ok(())
    }

    /// Says goodbye and ends every task, without a ledger to write to.
    async fn abandon(self) {
        self.rooms.discovery.clone().goodbye().await;
        self.end_tasks().await;
    }

    /// Says goodbye, and ends every task of the mesh part. Builds go on by themselves.
    async fn stop(self) {
        self.rooms.discovery.clone().goodbye().await;
        let ledger = self.rooms.ledger.clone();
        self.end_tasks().await;
        ledger.close().await;
    }

    async fn end_tasks(mut self) {
        self.stop.send_replace(true);
        self.rooms.worker.close().await;
        self.rooms.transport.close().await;
        while self.tasks.join_next().await.is_some() {}
    }
}

fn open_ports(
    config: &Config,
    seat: &Seat,
    blobs: BlobStore,
    gate: Arc<DoorKeeper>,
    service: Arc<Receptionist>,
) -> Result<Ports, StartError> {
    let draws = if config.listen.port() == 0 { DRAWS } else { 1 };
    let mut last = None;
    for _ in 0..draws {
        let discovery = match free_port(config.listen) {
            Ok(address) => address,
            Err(source) => {
                let hint = "another node listens there? pass --listen IP:PORT, port 0 draws a free pair";
                return Err(StartError::Listen {
                    address: config.listen,
                    hint,
                    source,
                });
            }
        };
        let Some(port) = discovery.port().checked_add(1) else {
            continue;
        };
        let listen = SocketAddr::new(discovery.ip(), port);
        let settings = TransportConfig {
            seed: seat.keys.node.transport_seed(),
            node: seat.keys.node.id(),
            listen,
        };
        match Transport::bind(&settings, blobs.clone(), gate.clone(), service.clone()) {
            Ok(transport) => {
                return Ok(Ports {
                    discovery: families(discovery),
                    transport,
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(
        || StartError::System {
            what: "a free pair of ports",
            source: io::ErrorKind::AddrInUse.into(),
        },
        StartError::Transport,
    ))
}

/// The address with a port that is free now; discovery takes it a moment later.
fn free_port(wanted: SocketAddr) -> io::Result<SocketAddr> {
    UdpSocket::bind(wanted)?.local_addr()
}

/// libp2p's sockets for IPv6 take no IPv4: a wildcard of both families is two addresses.
fn families(address: SocketAddr) -> Vec<SocketAddr> {
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
        return vec![v4, address];
    }
    vec![address]
}

/// A guest serves nothing unless it was told to.
async fn listen_repository(config: &Config, guest: bool) -> Result<Option<TcpListener>, StartError> {
    let address = match config.http_repo {
        Some(address) => address,
        None if guest => return Ok(None),
        None => SocketAddr::from((Ipv6Addr::UNSPECIFIED, REPOSITORY_PORT)),
    };
    TcpListener::bind(address)
        .await
        .map(Some)
        .map_err(|source| StartError::Listen {
            address,
            hint: "something else listens there? pass --http-repo ADDR, port 0 takes a free one",
            source,
        })
}

async fn listen_api(config: &Config) -> Result<Vec<Entrance>, StartError> {
    http::compat::listen(config).await.map_err(|source| StartError::Listen {
        address: config.http_api,
        hint: "something else listens there? pass --http-api ADDR, port 0 takes a free one; see http.socket in config.toml",
        source,
    })
}

fn own_record(
    config: &Config,
    seat: &Seat,
    ledger: &LedgerHandle,
    ports: &Ports,
    repository_port: Option<u16>,
) -> NodeRecord {
    let view = ledger.view();
    let node = seat.keys.node.id();
    let member = view.member(&node);
    let (environment, arches) = environment();
    NodeRecord {
        node,
        incarnation: ledger.incarnation(),
        sequence: 0,
        name: member.map_or_else(|| config.name.clone(), |member| member.name.clone()),
        addresses: announced(ports),
        repository_port,
        roles: member.map(|member| member.roles).unwrap_or_default(),
        environment,
        arches,
        slots: config.slots,
        running: 0,
        load: 0,
        free_mib: vitals::free_mib(config),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        reign: None,
        ledger: ledger.root(),
        draining: false,
        goodbye: false,
    }
}

/// What this machine can build; one that can build nothing says so by an empty list.
fn environment() -> (EnvironmentName, Vec<Architecture>) {
    let detected = HostEnvironment::detect().and_then(|host| {
        HostEnvironment::check_programs()?;
        Ok(host)
    });
    match detected {
        Ok(host) => (host.name, vec![host.arch]),
        Err(error) => {
            tracing::warn!(%error, "this machine cannot build");
            let none = "host:none"
                .parse()
                .unwrap_or_else(|_| unreachable!("'host:none' is an environment"));
            (none, Vec::new())
        }
    }
}

/// Where others find the transport: where it listens, or for a wildcard every address of this machine.
fn announced(ports: &Ports) -> Vec<SocketAddr> {
    let Ok(listening) = ports.transport.local_addr() else {
        return Vec::new();
    };
    if !listening.ip().is_unspecified() {
        return vec![listening];
    }
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| listening.is_ipv6() || interface.ip().is_ipv4())
        .map(|interface| interface.ip())
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    // On another machine loopback would lead to that machine itself.
    if addresses.iter().any(|ip| !ip.is_loopback()) {
        addresses.retain(|ip| !ip.is_loopback());
    }
    addresses.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    addresses.truncate(ADDRESSES);
    addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, listening.port()))
        .collect()
}
