//! A kernel that is warm before anybody wants it.
//!
//! It listens at a socket in the file system. Who connects is told `warm` in a line, as soon as it is, and may hand
//! the kernel over at any time, by a line with the contents of a connection file. The answer is `bound`, and the kernel listens
//! at the ports of that connection; or `failed:` and why, and it may be handed over to somebody else.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::Result;
use crate::server::{Backend, Sockets, serve};

/// Waits at the socket for somebody who wants the kernel, and serves them.
pub async fn wait(place: &Path, backend: Backend) -> Result<()> {
    let listener = UnixListener::bind(place)
        .map_err(|error| format!("cannot listen at {}: {error}", place.display()))?;
    loop {
        let (client, _) = listener.accept().await?;
        if let Ok(Some(sockets)) = talk(client, &backend).await {
            drop(listener);
            let _ = std::fs::remove_file(place);
            return serve(sockets, backend).await;
        }
    }
}

/// Talks with one who may want the kernel; nothing if they have gone away.
async fn talk(client: UnixStream, backend: &Backend) -> Result<Option<Sockets>> {
    let (read, mut write) = client.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut readiness = backend.readiness();
    let mut has_told = false;
    loop {
        tokio::select! {
            ready = readiness.wait_for(|ready| *ready), if !has_told => {
                if ready.is_err() {
                    return Ok(None);
                }
                has_told = true;
                write.write_all(b"warm\n").await?;
            }
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(None) };
                match take(&line).await {
                    Ok(sockets) => {
                        write.write_all(b"bound\n").await?;
                        return Ok(Some(sockets));
                    }
                    Err(error) => write.write_all(format!("failed: {error}\n").as_bytes()).await?,
                }
            }
        }
    }
}

async fn take(connection: &str) -> Result<Sockets> {
    Sockets::bind(&serde_json::from_str(connection)?).await
}
