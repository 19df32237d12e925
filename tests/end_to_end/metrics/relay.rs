//! A relay before an object store. It passes every request on, until it is told which ones to refuse or
//! to hold back.
//!
//! Each connection has one request: its head is changed to say so. Nothing that is signed is changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to requests whose first line is one of those.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) of: fn(&str) -> bool,
    pub(super) is: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    /// They are refused with this code of S3.
    Refused(&'static str),
    /// They wait for so long, and are passed on.
    Late(Duration),
}

/// A running relay; dropping it ends it.
pub(super) struct Relay {
    endpoint: String,
    fault: Arc<Mutex<Option<Fault>>>,
    _task: JoinSet<()>,
}

/// Longest head of a request.
const HEAD: usize = 64 << 10;

impl Relay {
    /// Relays to the server at this base URL.
    pub(super) async fn before(endpoint: &str) -> Self {
        let upstream = endpoint.strip_prefix("http://").expect("an endpoint").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let fault = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&fault);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while open.try_join_next().is_some() {}
                let (upstream, fault) = (upstream.clone(), Arc::clone(&shared));
                // A program may close its connection at any time, and be killed.
                open.spawn(async move { drop(relayed(client, &upstream, &fault).await) });
            }
        });
        Self { endpoint, fault, _task: task }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn has(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    pub(super) fn is_well(&self) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

async fn relayed(mut client: TcpStream, upstream: &str, fault: &Mutex<Option<Fault>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let end = loop {
        if client.read_buf(&mut request).await? == 0 || request.len() > HEAD {
            return Ok(());
        }
        if let Some(end) = memchr::memmem::find(&request, b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
    let found = fault.lock().unwrap_or_else(PoisonError::into_inner).filter(|fault| (fault.of)(line));
    match found.map(|fault| fault.is) {
        None => {}
        Some(What::Refused(code)) => {
            let error = format!("<Error><Code>{code}</Code><Message>refused</Message></Error>");
            let length = error.len();
            let body = if line.starts_with("HEAD") { "" } else { error.as_str() };
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            client.write_all(answer.as_bytes()).await?;
            return client.shutdown().await;
        }
        Some(What::Late(time)) => tokio::time::sleep(time).await,
    }
    let mut server = TcpStream::connect(upstream).await?;
    let fields = fields.split("\r\n").filter(|field| !field.to_ascii_lowercase().starts_with("connection:"));
    let fields: Vec<&str> = [line, "connection: close"].into_iter().chain(fields).collect();
    server.write_all(fields.join("\r\n").as_bytes()).await?;
    server.write_all(&request[end..]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
