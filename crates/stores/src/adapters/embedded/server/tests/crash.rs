//! The state before and after a restart.

use super::client::*;
use crate::adapters::embedded::server::*;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn a_restart_keeps_what_was_answered_for_and_removes_the_rest() {
    let world = world().await;
    let (keys, key) = (world.server.credentials().clone(), upload("part.zip"));
    world.put(&key, b"kept").await.unwrap();
    // A killed process leaves a file that no transaction named.
    std::fs::write(data(&world.directory).join("blobs/0123456789ABCDEF0123456789ABCDEF"), b"half an upload")
        .unwrap();
    assert_eq!(world.files(), 2);
    let world = world.again().await;
    assert_eq!(world.files(), 1);
    assert_eq!(world.get(&key, None).await.as_deref(), Ok(&b"kept"[..]));
    let again = world.server.credentials();
    assert!(*again == keys && *again == Credentials::read(&data(&world.directory)).unwrap());
    assert_eq!(world.put(&key, b"again").await, Err("PreconditionFailed".to_owned()));
}

#[tokio::test]
async fn one_process_serves_a_directory() {
    let world = world().await;
    let queue = Arc::new(world.database.queue());
    let second = EmbeddedS3::start(&data(&world.directory), loopback(), queue, &[]).await;
    let error = second.err().unwrap();
    assert!(matches!(error, PortError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    assert_eq!(world.put(&upload("a"), b"x").await, Ok(()), "the first one is not disturbed");
}

#[tokio::test]
async fn files_are_their_owners_only() {
    let world = world().await;
    world.put(&upload("secret.zip"), b"x").await.unwrap();
    let root = data(&world.directory);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&root), mode(&root.join("blobs"))), (0o700, 0o700));
    for directory in [&root, &root.join("blobs")] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir() || mode(&path) == 0o600, "{}", path.display());
            assert!(!path.to_string_lossy().contains("secret"), "{}", path.display());
        }
    }
    std::fs::write(root.join("credentials.json"), "{").unwrap();
    assert!(matches!(Credentials::read(&root), Err(PortError::Corrupt { .. })));
    assert!(matches!(Credentials::read(&root.join("none")), Err(PortError::NotFound(_))));
}

/// Requests in progress complete when the server is stopped; later ones are not accepted.
#[tokio::test]
async fn stopping_lets_requests_end() {
    let world = world().await;
    let key = upload("part.zip");
    let request = world.presigned(&key, 5).await;
    let (uri, headers) = (request.uri().to_owned(), signed(&request));
    let rest = uri.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let mut stream = TcpStream::connect(host).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, format!("{head}\r\n123").as_bytes()).await.unwrap();
    while world.files() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let host = host.to_owned();
    let World { directory, server, .. } = world;
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"45").await.unwrap();
    let mut reply = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut reply).await.unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
    stopping.await.unwrap();
    assert!(TcpStream::connect(&host).await.is_err());
    assert_eq!(world_in(directory).await.get(&key, None).await.as_deref(), Ok(&b"12345"[..]));
}
