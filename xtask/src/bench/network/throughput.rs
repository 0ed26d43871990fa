//! How many requests a second the application answers at most: customers who ask again as soon as they are answered.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Customers. Twice as many as a service works for at once.
const CUSTOMERS: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is far smaller.
const MOST: usize = 16 << 10;

/// Requests a second in each of several times, one after the other.
pub(super) fn measure(web: SocketAddr, each: Duration, times: usize) -> Result<Vec<f64>> {
    // Connections are opened, and the processors as warm as they get.
    round(web, each / 2)?;
    (0..times).map(|_| round(web, each)).collect()
}

fn round(web: SocketAddr, time: Duration) -> Result<f64> {
    let began = Instant::now();
    let customers: Vec<_> =
        (0..CUSTOMERS).map(|_| thread::spawn(move || customer(web, began + time))).collect();
    let mut answers = 0;
    for customer in customers {
        match customer.join() {
            Ok(answered) => answers += answered?,
            Err(_) => bail!("a customer broke off"),
        }
    }
    Ok(answers as f64 / began.elapsed().as_secs_f64())
}

/// How often he was answered well.
fn customer(web: SocketAddr, until: Instant) -> io::Result<usize> {
    let mut connection = TcpStream::connect_timeout(&web, PATIENCE)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = format!("POST / HTTP/1.1\r\nHost: {web}\r\nContent-Length: 0\r\n\r\n");
    let (mut answer, mut answered) = (Vec::new(), 0);
    while Instant::now() < until {
        connection.write_all(request.as_bytes())?;
        answer.clear();
        while !is_whole(&answer) {
            let mut part = [0; 1024];
            let length = connection.read(&mut part)?;
            if length == 0 || answer.len() > MOST {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&part[..length]);
        }
        answered += usize::from(answer.starts_with(b"HTTP/1.1 200"));
    }
    Ok(answered)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_all_of_its_body_is_there() {
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"));
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"));
    }
}
