//! The socket in the state folder.
//!
//! Guarantees: only the user the service runs as gets an answer: the file is 0600, and who connects is asked for; a
//! socket that a crash left behind is replaced, one that somebody listens on is not; what is slow or too long is cut
//! off. Knows no command.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{ANSWER_TIME_MAX, REQUEST_BYTES_MAX, Refusal, Router, line, reachable};

/// Connections at once; more are turned away.
const CONNECTIONS_MAX: usize = 8;
/// How long a connection may take to say what it wants, and to take the answer.
const PEER_TIME_MAX: Duration = Duration::from_secs(5);

/// A running socket.
pub struct Server {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens at `path` and answers from now on, on `runtime`.
    pub fn start(path: &Path, router: Router, runtime: &Handle) -> io::Result<Server> {
        let (address, _folder) = reachable(path)?;
        clear(path, &address)?;
        let listener = std::os::unix::net::UnixListener::bind(&address)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(path)?.uid();
        listener.set_nonblocking(true)?;
        let _entered = runtime.enter();
        let listener = UnixListener::from_std(listener)?;
        let task = runtime.spawn(serve(listener, Arc::new(router), owner));
        Ok(Server { path: path.to_owned(), task })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // What cannot be removed is replaced by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes a socket that nobody listens on.
fn clear(path: &Path, address: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there, which is not a socket"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(address) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another service uses this state folder")),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

async fn serve(listener: UnixListener, router: Arc<Router>, owner: u32) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // A connection that failed before it began is nobody's.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let is_ours = stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0);
        if !is_ours {
            continue;
        }
        let router = Arc::clone(&router);
        match Arc::clone(&room).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(async move {
                    // Whoever goes away early has no use for an answer.
                    let _ = talk(stream, &router).await;
                    drop(place);
                });
            }
            Err(_) => {
                tokio::spawn(async move {
                    let refusal = Refusal::Busy(format!("{CONNECTIONS_MAX} others are asking: try again"));
                    let _ = say(&mut { stream }, &line(&refusal.answer())).await;
                });
            }
        }
    }
}

/// Answers lines until the other side has no more.
async fn talk(stream: UnixStream, router: &Arc<Router>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = Vec::new();
        let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
        let mut limited = (&mut stream).take(limit);
        let read = timeout(PEER_TIME_MAX, limited.read_until(b'\n', &mut request)).await;
        match read {
            Ok(Ok(1..)) if request.last() == Some(&b'\n') => {}
            Ok(Ok(bytes)) if bytes >= REQUEST_BYTES_MAX => {
                let refusal = Refusal::Bad(format!("a request takes at most {REQUEST_BYTES_MAX} bytes"));
                return say(stream.get_mut(), &line(&refusal.answer())).await;
            }
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        }
        let router = Arc::clone(router);
        let answering = tokio::task::spawn_blocking(move || router.answer(&request));
        let answer = match timeout(ANSWER_TIME_MAX, answering).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Refusal::Failed("the command ended by a bug".to_owned()).answer(),
            Err(_) => Refusal::Busy("the service did not get to it in time: try again".to_owned()).answer(),
        };
        say(stream.get_mut(), &line(&answer)).await?;
    }
}

async fn say(stream: &mut UnixStream, line: &[u8]) -> io::Result<()> {
    timeout(PEER_TIME_MAX, stream.write_all(line)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use serde_json::json;

    use super::super::{AskError, ask};
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    }

    fn router() -> Router {
        let mut router = Router::default();
        router.on("echo", |request| Ok(request["text"].clone()));
        router.on("fail", |_| Err(Refusal::Failed("the disk is full".to_owned())));
        router
    }

    #[test]
    fn only_its_owner_may_ask_and_gets_an_answer() {
        let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
        let path = folder.path().join("control.sock");
        assert!(matches!(ask(&path, &json!({"command": "echo"})), Err(AskError::NobodyThere)));
        let server = Server::start(&path, router(), runtime.handle()).expect("a socket");
        assert_eq!(std::fs::metadata(&path).expect("it").permissions().mode() & 0o777, 0o600);
        assert_eq!(ask(&path, &json!({"command": "echo", "text": "x"})).expect("an answer"), json!("x"));
        let told = ask(&path, &json!({"command": "fail"})).expect_err("no");
        assert!(matches!(&told, AskError::Refused { word, .. } if word == "failed"), "{told:?}");
        assert_eq!(told.to_string(), "the disk is full");
        drop(server);
        assert!(!path.exists());
        assert!(matches!(ask(&path, &json!({"command": "echo"})), Err(AskError::NobodyThere)));
    }

    #[test]
    fn a_folder_with_a_long_name_is_as_good_as_any() {
        let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
        let long = folder.path().join("x".repeat(120));
        std::fs::create_dir(&long).expect("a folder");
        let path = long.join("control.sock");
        for _ in 0..2 {
            let server = Server::start(&path, router(), runtime.handle()).expect("a socket");
            assert_eq!(ask(&path, &json!({"command": "echo", "text": "x"})).expect("an answer"), json!("x"));
            assert!(Server::start(&path, router(), runtime.handle()).is_err(), "in use");
            drop(server);
            let (address, _folder) = reachable(&path).expect("the folder");
            drop(std::os::unix::net::UnixListener::bind(address).expect("a socket nobody listens on"));
        }
    }

    #[test]
    fn what_a_crash_left_is_replaced_and_what_is_in_use_or_no_socket_is_not() {
        let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
        let path = folder.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket nobody listens on"));
        let _server = Server::start(&path, router(), runtime.handle()).expect("a socket");
        let error = Server::start(&path, router(), runtime.handle()).err().expect("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let file = folder.path().join("file");
        std::fs::write(&file, "mine").expect("a file");
        assert!(Server::start(&file, router(), runtime.handle()).is_err());
        assert_eq!(std::fs::read(&file).expect("it is still there"), b"mine");
    }

    #[test]
    fn who_is_silent_or_says_too_much_holds_nobody_up() {
        let (folder, runtime) = (tempfile::tempdir().expect("a folder"), runtime());
        let path = folder.path().join("control.sock");
        let _server = Server::start(&path, router(), runtime.handle()).expect("a socket");
        let mut loud = UnixStream::connect(&path).expect("a connection");
        loud.write_all(&vec![b'x'; REQUEST_BYTES_MAX]).expect("sent");
        let mut answer = String::new();
        // It may be reset once it was answered, for it says more than is read.
        let _ = loud.read_to_string(&mut answer);
        assert!(answer.contains("a request takes at most"), "{answer}");
        let silent: Vec<UnixStream> =
            (0..CONNECTIONS_MAX).map(|_| UnixStream::connect(&path).expect("a connection")).collect();
        let told = ask(&path, &json!({"command": "echo", "text": "x"})).expect_err("no room");
        assert!(told.to_string().contains("others are asking"), "{told}");
        drop(silent);
    }
}
