//! What a whole scrape costs the agent's thread in CPU: request, socket, body, parser. The target runs in a thread of its
//! own, which isn't counted.
//!
//! Criterion is no help here: it measures time, and most of a scrape's time is the target's. The kernel knows how long a
//! thread was on a CPU, its system calls included, to the nanosecond.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use larnax_collect::Source;
use larnax_collect::scrape::{ScrapeOptions, ScrapeSource, target_url};
use larnax_core::{Batch, Schema, SystemClock};

/// Scrapes that are measured, and before them those that warm up.
const SCRAPES: u32 = 200;

/// Between scrapes, so that each starts on a thread that slept, as in life.
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let body = exposition(500);
    let length = body.len();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    measure(&format!("{length} bytes, one piece"), vec![whole.into_bytes()]);
    // Go's server flushes its buffer of 4 KiB as a chunk whenever it is full.
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()];
    for chunk in body.as_bytes().chunks(4096) {
        pieces.push([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    pieces.push(b"0\r\n\r\n".to_vec());
    measure(&format!("{length} bytes, chunks of 4 KiB"), pieces);
}

fn measure(what: &str, reply: Vec<Vec<u8>>) {
    let address = serve(reply);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = target_url("http", &address.to_string(), "/metrics", &[]).expect("a URL");
    let options = ScrapeOptions::new(url, Duration::from_secs(5));
    let mut source = ScrapeSource::new(options, Rc::new(SystemClock)).expect("good options");
    let mut batch = Batch::new(Schema::new(Vec::new()).expect("an empty schema"));
    let mut start = 0;
    runtime.block_on(async {
        for round in 0..2 * SCRAPES {
            tokio::time::sleep(PAUSE).await;
            if round == SCRAPES {
                start = cpu_nanos();
            }
            source.collect(&mut batch).await.expect("a good scrape");
        }
    });
    let micros = (cpu_nanos() - start) as f64 / 1e3 / f64::from(SCRAPES);
    let series = batch.schema().len();
    println!("{what}, {series} series: {micros:.0} µs of CPU per scrape");
}

/// How long this thread has been on a CPU.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number")
}

/// A target in a thread of its own.
fn serve(reply: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        if let Ok((mut stream, _)) = listener.accept() {
            while read_request(&mut stream) && reply.iter().all(|piece| stream.write_all(piece).is_ok()) {}
        }
    });
    address
}

fn read_request(stream: &mut TcpStream) -> bool {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
    }
    true
}

/// A body like that of node_exporter: families of five series with help and type, about 116 bytes per series.
fn exposition(series: usize) -> String {
    let mut body = String::new();
    for i in 0..series {
        if i % 5 == 0 {
            let family = i / 5;
            let _ = writeln!(
                body,
                "# HELP node_example_family_{family}_seconds_total Seconds that something took, as a"
            );
            let _ = writeln!(body, "# TYPE node_example_family_{family}_seconds_total counter");
        }
        let _ = writeln!(
            body,
            "node_example_family_{}_seconds_total{{cpu=\"{}\",mode=\"something_with_a_name\"}} {}",
            i / 5,
            i % 5,
            i as f64 * 1234.567
        );
    }
    body
}
