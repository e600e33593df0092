//! Questions outside the cluster domain go, unchanged, to the name servers above.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// How long one name server may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name servers to ask, in order. With none, nothing outside the cluster domain is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    servers: Vec<SocketAddr>,
}

impl Upstream {
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// The `nameserver` lines of a resolv.conf; lines that do not parse are passed over.
    pub fn from_resolv_conf(text: &str) -> Self {
        let addresses = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok())?
        });
        Self { servers: addresses.map(|address| SocketAddr::new(address, 53)).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The first answer any server gives within its time, as it was sent. `None`: nobody answered.
    pub async fn ask(&self, message: &[u8], stream: bool) -> Option<Vec<u8>> {
        for server in &self.servers {
            let answer =
                async { if stream { over_tcp(*server, message).await } else { over_udp(*server, message).await } };
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "a name server above failed"),
                Err(_) => tracing::debug!(%server, "a name server above did not answer"),
            }
        }
        None
    }
}

async fn over_udp(server: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // The identifier is the client's own random one; another's answer is not ours.
        if length >= 2 && message.len() >= 2 && buffer[..2] == message[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(message).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_from_resolv_conf() {
        let text = "# above\nsearch example.org\nnameserver 192.0.2.1\nnameserver bad\nnameserver 2001:db8::1\noptions ndots:5\n";
        let servers = vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(Upstream::from_resolv_conf(text), Upstream::new(servers));
    }

    #[tokio::test]
    async fn the_first_server_that_answers_is_heard() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(b"xx someone else's", from).await.unwrap();
            server.send_to(&buffer[..length], from).await.unwrap();
        });
        let answer = Upstream::new(vec![address]).ask(b"\x12\x34 question", false).await;
        assert_eq!(answer.as_deref(), Some(&b"\x12\x34 question"[..]));
        assert_eq!(Upstream::default().ask(b"\x12\x34", false).await, None);
    }
}
