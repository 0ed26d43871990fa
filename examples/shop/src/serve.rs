//! A process of the shop, from its start to its end.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::admin::Admin;
use crate::faults::{Effects, Keeper};
use crate::load::Load;
use crate::options::{Ready, ServeOptions};
use crate::service::Parts;
use crate::{Role, ShopError, process};

/// How long the answer to the order for a restart has to get away.
const ANSWER_FIRST: Duration = Duration::from_millis(50);

/// How long a process that is started again waits for its port: while it is closed, a client's own end may be there.
const PORT_TAKEN: Duration = Duration::from_secs(3);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a process of the shop as `file` says, which [`Shop::start`](crate::Shop::start) wrote, until it gets SIGTERM or
/// SIGINT. Says on standard output where it serves.
///
/// # Errors
/// When a port is taken or a file can't be used.
pub fn serve(file: &Path) -> Result<(), ShopError> {
    let options = ServeOptions::read(file)?;
    let token = options.token()?;
    // The terminal's end must not be the shop's; and the shop's orderer's end must be, where it was lent.
    if options.leased {
        std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(end_with_stdin)
            .map_err(ShopError::System)?;
    } else {
        let _ = rustix::process::setsid();
    }
    // A new service has nothing; one that was started again finds what it had on the disk.
    if options.restarts == 0 {
        let _ = fs::remove_dir_all(&options.folder);
    }
    fs::create_dir_all(&options.folder).map_err(ShopError::file(&options.folder))?;

    let folder = options.folder.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    runtime.map_err(ShopError::System)?.block_on(run(file, options, token))?;
    let _ = fs::remove_dir_all(folder);
    Ok(())
}

/// Until it is to end. Where it is to be started again, this returns only if that fails.
async fn run(file: &Path, mut options: ServeOptions, token: String) -> Result<(), ShopError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ShopError::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ShopError::System)?;
    let away = std::mem::take(&mut options.away_seconds);
    tokio::time::sleep(Duration::try_from_secs_f64(away).unwrap_or_default()).await;
    let patience = if options.restarts == 0 { Duration::ZERO } else { PORT_TAKEN };
    let (orders, admin_address) = bind(options.admin, patience).await?;
    let started = Instant::now();
    let mut admin = Admin {
        role: options.role,
        restarts: options.restarts,
        started,
        token,
        keeper: None,
        load: None,
        again: watch::Sender::new(None),
    };
    let mut listen = admin_address;
    match options.role {
        Role::Service(service) => {
            let (listener, address) = bind(options.listen, patience).await?;
            listen = address;
            let effects = Arc::new(Effects::new());
            let keeper = Keeper::new(service, options.folder.clone(), Arc::clone(&effects));
            for kept in std::mem::take(&mut options.faults) {
                if let Err(error) = keeper.resume(kept).await {
                    let _ = writeln!(io::stderr(), "{error}");
                }
            }
            admin.keeper = Some(keeper);
            let parts = Parts::new(service, options.clone(), effects, address);
            let serve = move || {
                if let Err(error) = parts.run(listener) {
                    let _ = writeln!(io::stderr(), "{error}");
                    end_this_process();
                }
            };
            std::thread::Builder::new().name("serve".to_owned()).spawn(serve).map_err(ShopError::System)?;
        }
        Role::Load => {
            let load = Rc::new(Load::new(&options)?);
            tokio::task::spawn_local(Rc::clone(&load).run());
            admin.load = Some(load);
        }
    }
    orders.set_nonblocking(true).map_err(ShopError::System)?;
    let orders = TcpListener::from_std(orders).map_err(ShopError::System)?;
    let ready = Ready { listen, admin: admin_address };
    announce(&ready);
    let admin = Rc::new(admin);
    let again = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        away = told_to_start_again(&admin) => away,
        () = Rc::clone(&admin).serve(orders) => None,
    };
    match &admin.keeper {
        Some(keeper) if again.is_some() => options.faults = keeper.leave().await,
        Some(keeper) => keeper.end_all().await,
        None => {}
    }
    if let Some(away) = again {
        options.listen = ready.listen;
        options.admin = ready.admin;
        options.restarts += 1;
        options.away_seconds = away.as_secs_f64();
        // Here and not by the caller: what `leave` left is undone when this function ends.
        start_again(file, &options)?;
    }
    Ok(())
}

/// How long it is to be away.
async fn told_to_start_again(admin: &Admin) -> Option<Duration> {
    let _ = admin.again.subscribe().wait_for(Option::is_some).await;
    tokio::time::sleep(ANSWER_FIRST).await;
    *admin.again.borrow()
}

/// With SO_REUSEADDR, as the standard library does: a port that was closed a moment ago can be opened again.
async fn bind(address: SocketAddr, patience: Duration) -> Result<(StdListener, SocketAddr), ShopError> {
    let failed = |reason| ShopError::Listen { address, reason };
    let began = Instant::now();
    let listener = loop {
        match StdListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < patience => {
                tokio::time::sleep(LOOK).await;
            }
            bound => break bound.map_err(failed)?,
        }
    };
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Whoever started it may have gone since, which is no error.
fn announce(ready: &Ready) {
    let mut out = io::stdout().lock();
    let _ = serde_json::to_writer(&mut out, ready);
    let _ = out.write_all(b"\n").and_then(|()| out.flush());
}

/// The same process with a new program: what a deploy looks like from outside, while its number stays. Returns only if that fails.
fn start_again(file: &Path, options: &ServeOptions) -> Result<(), ShopError> {
    options.write(file)?;
    let error = Command::new(&options.program).args(&options.arguments).arg(file).exec();
    Err(ShopError::File { path: options.program.clone(), reason: error })
}

/// The other end of standard input is closed when whoever holds it ends, however that comes.
fn end_with_stdin() {
    let mut nothing = [0; 64];
    while io::stdin().read(&mut nothing).is_ok_and(|length| length > 0) {}
    end_this_process();
}

fn end_this_process() {
    process::send(std::process::id(), Signal::TERM);
}
