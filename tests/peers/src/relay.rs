//! A connection in between, to be cut.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Passes every connection on to an address, as a proxy on the way does; the address can be changed, and what is open cut.
///
/// ```no_run
/// use larnax_test_peers::Relay;
///
/// let relay = Relay::to("127.0.0.1:7677".parse()?);
/// println!("edges connect to {}", relay.address());
/// relay.cut();
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    /// None refuses.
    to: Option<SocketAddr>,
    open: HashMap<SocketAddr, [TcpStream; 2]>,
    ended: bool,
}

impl Relay {
    /// One that passes on to `to`.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn to(to: SocketAddr) -> Relay {
        Relay::at((Ipv4Addr::LOCALHOST, 0).into(), to)
    }

    /// One that listens at `address` and passes on to `to`.
    ///
    /// # Panics
    /// When it can't listen there.
    pub fn at(address: SocketAddr, to: SocketAddr) -> Relay {
        let listener = TcpListener::bind(address);
        let listening = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening.unwrap_or_else(|error| panic!("no relay at {address}: {error}"));
        let state = Arc::new(Mutex::new(State { to: Some(to), open: HashMap::new(), ended: false }));
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || accept(&listener, &shared));
        Relay { address, state, accepting: Some(accepting) }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection that is open; new ones are passed on.
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in state.open.drain().flat_map(|(_, streams)| streams) {
            // One that has ended is as good as cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts, and passes on to another address from now on; none refuses.
    pub fn redirect(&self, to: Option<SocketAddr>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).to = to;
        self.cut();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.cut();
        // So that it looks.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Mutex<State>>) {
    for stream in listener.incoming() {
        let to = {
            let state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            state.to
        };
        // Whoever connects sees a connection that ends.
        if let (Ok(stream), Some(to)) = (stream, to) {
            let _ = join(&stream, to, shared);
        }
    }
}

fn join(one: &TcpStream, to: SocketAddr, shared: &Mutex<State>) -> io::Result<()> {
    let other = TcpStream::connect(to)?;
    let held = [one.try_clone()?, other.try_clone()?];
    shared.lock().unwrap_or_else(PoisonError::into_inner).open.insert(one.peer_addr()?, held);
    for (mut from, mut into) in
        [(one.try_clone()?, other.try_clone()?), (other.try_clone()?, one.try_clone()?)]
    {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut into);
            let _ = into.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
