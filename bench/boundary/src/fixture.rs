//! A host without its sockets: a registry with the benchmark's plugin, and one session.

use std::{
    error::Error,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use auth::{certificate::Certificate, identity::Identity, key_file::KeyFile, keyring::Keyring};
use clap::Parser as _;
use dropin_host::{
    commands::builtins,
    config::Arguments,
    runtime::{
        client_handle::ClientHandle, client_memory::ClientMemory, clients::Sessions,
        context::Shared, shutdown::Shutdown,
    },
};
use plugin_engine::{
    files::{kind::FileKind, shadow_copy::ShadowDir, trust_policy::TrustPolicy},
    live::{
        generation::Generation,
        host_services::PluginServices,
        library::{Layout, Library},
        manifest::CommandFacts,
    },
    plugin_control::PluginControl,
    registry::{Command, LiveRegistry, Registry, Target},
};
use telemetry::{
    log_throttle::{LineBudget, Throttle},
    metrics::Metrics,
};
use tempfile::TempDir;

use crate::error::BoundaryError;

/// The plugin's `nop`, as clients send it.
pub const NOP: &[u8] = b"*1\r\n$3\r\nnop\r\n";

/// A host without its sockets.
pub struct Fixture {
    /// The host's shared context.
    pub shared: Arc<Shared>,
    /// Its registry: the built-ins and the plugin's commands.
    pub registry: Arc<LiveRegistry>,
    /// The identity of a client on this machine.
    pub identity: Identity,
    listener: TcpListener,
    // The plugin may use its directory until the end.
    _folder: TempDir,
}

impl Fixture {
    /// Loads the plugin as the host does, without the probe.
    pub fn new(plugin: &Path) -> Result<Self, BoundaryError> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.tempdir().map_err(of("create a folder"))?;
        let place = folder.path().display().to_string();
        let config =
            Arguments::try_parse_from(["host", "--state-dir", &place, "--plugins", &place])
                .map_err(of("read the host's flags"))?
                .serve;
        let (shutdown, _) = Shutdown::new(Duration::from_secs(1), Duration::from_secs(1));
        let trust_policy = TrustPolicy::for_folder(folder.path(), &(&config.plugin_trust).into())
            .map_err(of("admit plugins"))?;
        let key_file = KeyFile::new(folder.path().to_owned());
        let shared = Arc::new(Shared {
            keyring: Keyring::open(key_file).map_err(of("open the keys"))?,
            certificate: Certificate::own(folder.path()).map_err(of("create a certificate"))?,
            sessions: Sessions::default(),
            membership: Default::default(),
            client_memory: ClientMemory::new(config.bounds.max_memory_clients),
            metrics: Arc::default(),
            rejected: Throttle::default(),
            events: Arc::default(),
            plugin_control: PluginControl::new().0,
            shutdown: Arc::new(shutdown),
            started: Instant::now(),
            state_dir: folder.path().to_owned(),
            crashed: None,
            config,
        });
        let shadows = ShadowDir::open(folder.path().join("copies")).map_err(of("keep a copy"))?;
        let shadow = Arc::new(
            shadows
                .copy(plugin, FileKind::Library, &trust_policy)
                .map_err(of("copy the plugin"))?,
        );
        let library =
            Library::open(shadow.path(), Layout::Approved).map_err(of("open the plugin"))?;
        let manifest = library.manifest();
        let services = PluginServices {
            name: manifest.name.clone(),
            data_dir: folder.path().join("data"),
            started: shared.started,
            lines: LineBudget::default(),
        };
        let live = library.create(services).map_err(of("start the plugin"))?;
        let generation =
            Arc::new(Generation::new(manifest, 1, "bench".into(), Arc::new(live), shadow));
        let mut commands = builtins::commands(&shared.metrics);
        commands.extend(generation.commands(&shared.metrics));
        let registry = Registry::new(commands, vec![generation]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(of("listen"))?;
        let peer = listener.local_addr().map_err(of("listen"))?;
        let identity = Identity::of(peer, shared.config.access.trust);
        let registry = Arc::new(LiveRegistry::from_pointee(registry));
        Ok(Self { shared, registry, identity, listener, _folder: folder })
    }

    /// Returns a connection: the session's end and the client's.
    pub fn connect(&self) -> Result<(Arc<ClientHandle>, TcpStream), BoundaryError> {
        let address = self.listener.local_addr().map_err(of("connect"))?;
        let client = TcpStream::connect(address).map_err(of("connect"))?;
        client.set_nodelay(true).map_err(of("connect"))?;
        let (stream, peer) = self.listener.accept().map_err(of("connect"))?;
        Ok((Arc::new(ClientHandle::new(1, peer, stream)), client))
    }
}

/// Creates a registry of this many commands of the host. Also returns names in it, 100 or all.
///
/// `memcmp` takes longer where both addresses together look like the end of a page, which holds for
/// every eighth pair. Many names contain nearly the same share of such pairs at any address.
pub fn registry_of(count: usize) -> (Registry, Vec<String>) {
    let name = |number: usize| format!("c{number:05}");
    let metrics = Metrics::default();
    let command = |number| {
        let facts = CommandFacts { name: name(number), ..CommandFacts::default() };
        Arc::new(Command::new(facts, None, &metrics, Target::Builtin(0)))
    };
    let names = (0..count).step_by((count / 100).max(1)).map(name).collect();
    (Registry::new((0..count).map(command).collect(), Vec::new()), names)
}

pub fn of<E: Into<Box<dyn Error + Send + Sync>>>(
    operation: &'static str,
) -> impl Fn(E) -> BoundaryError {
    move |error| BoundaryError::Host(operation, error.into())
}
