//! A mail server on the loopback, as small as can be: takes mail by SMTP and keeps it in files.
//!
//! So the demo's mails go the way they go in production: outbox, worker, connection, SMTP, reply 250.
//! Guarantees: 250 is said once the mail is in its files (`.eml`, and the HTML part beside it). No server for
//! anybody's use: it has no TLS, asks nobody's name and delivers nowhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::fact::{Fact, Letter, Teller};

/// Longest command, bytes (RFC 5321: 512).
const COMMAND_BYTES_MAX: u64 = 1024;
/// Longest mail, bytes.
const MAIL_BYTES_MAX: usize = 1024 * 1024;

/// Where mails go.
struct Mailbox {
    folder: PathBuf,
    teller: Teller,
    kept: AtomicU64,
}

/// Starts it on a free port; it ends with the runtime.
pub fn start(folder: PathBuf, teller: Teller, runtime: &Handle) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mails = Arc::new(Mailbox { folder, teller, kept: AtomicU64::new(0) });
    let _inside = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mails = Arc::clone(&mails);
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &mails).await {
                    tracing::warn!(%error, "the demo's mail server lost a connection");
                }
            });
        }
    });
    Ok(address)
}

/// One connection, from greeting to farewell.
async fn converse(stream: TcpStream, mails: &Mailbox) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 demo ESMTP\r\n").await?;
    let mut to = String::new();
    loop {
        let mut line = String::new();
        if (&mut stream).take(COMMAND_BYTES_MAX).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-demo\r\n250 8BITMIME\r\n",
            "HELO" | "MAIL" | "RSET" | "NOOP" => b"250 OK\r\n",
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                b"250 OK\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 Go ahead\r\n").await?;
                let Some(mail) = read_mail(&mut stream).await? else { return Ok(()) };
                mails.keep(&to, &mail)?;
                b"250 Kept\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 Bye\r\n").await?;
                return Ok(());
            }
            _ => b"502 Not here\r\n",
        };
        stream.write_all(reply).await?;
    }
}

/// Up to the line with a dot alone; a dot doubled at the beginning of a line was one. `None` where the
/// connection ends before that.
async fn read_mail(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut mail = Vec::new();
    loop {
        let start = mail.len();
        if stream.read_until(b'\n', &mut mail).await? == 0 {
            return Ok(None);
        }
        if mail.len() > MAIL_BYTES_MAX {
            return Err(std::io::Error::other("a mail is too long"));
        }
        match mail.get(start..) {
            Some(b".\r\n") => {
                mail.truncate(start);
                return Ok(Some(mail));
            }
            Some([b'.', ..]) => _ = mail.remove(start),
            _ => {}
        }
    }
}

impl Mailbox {
    fn keep(&self, to: &str, mail: &[u8]) -> std::io::Result<()> {
        let number = self.kept.fetch_add(1, Ordering::Relaxed) + 1;
        let file = format!("mails/{number:03}.eml");
        std::fs::write(self.folder.join(&file), mail)?;
        let text = String::from_utf8_lossy(mail);
        if let Some(html) = part(&text, "text/html") {
            std::fs::write(self.folder.join(format!("mails/{number:03}.html")), html)?;
        }
        // Nobody listens any more at the very end.
        let _ = self.teller.tell(Fact::Mail(Letter { to: to.to_owned(), text: subject(&text), file }));
        Ok(())
    }
}

/// A base64 part of the kind of mail that we write.
fn part(mail: &str, kind: &str) -> Option<Vec<u8>> {
    let headed = mail.split(&format!("Content-Type: {kind}")).nth(1)?;
    let body = headed.split_once("\r\n\r\n")?.1.split("\r\n--").next()?;
    let encoded: String = body.split_whitespace().collect();
    STANDARD.decode(encoded).ok()
}

/// The subject, unfolded and decoded.
fn subject(mail: &str) -> String {
    let head = mail.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.split("\r\n").skip_while(|line| !line.to_ascii_lowercase().starts_with("subject:"));
    let first = lines.next().and_then(|line| line.split_once(':')).map_or("", |(_, text)| text.trim());
    let folded = lines.take_while(|line| line.starts_with([' ', '\t'])).map(str::trim);
    let words = std::iter::once(first).chain(folded).flat_map(|line| line.split(' '));
    let mut subject = String::new();
    let mut after_encoded = false;
    for word in words {
        let lower = word.to_ascii_lowercase();
        let is_encoded = lower.starts_with("=?utf-8?b?") && lower.ends_with("?=");
        // Blanks between two encoded words are no part of the text.
        let is_parted = !(is_encoded && after_encoded);
        if is_parted && !subject.is_empty() {
            subject.push(' ');
        }
        let encoded = word.get(10..word.len().saturating_sub(2)).unwrap_or_default();
        match STANDARD.decode(encoded) {
            Ok(bytes) if is_encoded => subject.push_str(&String::from_utf8_lossy(&bytes)),
            _ => subject.push_str(word),
        }
        after_encoded = is_encoded;
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_decoded() {
        let of = |text: &str| subject(&format!("From: a\r\n{text}\r\nTo: b\r\n\r\nSubject: no\r\n"));
        assert_eq!(of("Subject: Unusual sign-in"), "Unusual sign-in");
        assert_eq!(of("Subject: =?utf-8?b?5oKo55qE?=\r\n =?utf-8?b?6LSm5oi3?= x"), "您的账户 x");
        assert_eq!(of("X: y"), "");
    }

    #[test]
    fn a_mail_is_kept_as_it_was_sent() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("mails")).expect("made");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (teller, told) = Teller::new(std::time::Instant::now());
        let address = start(folder.path().to_owned(), teller, runtime.handle()).expect("a server");
        let html = STANDARD.encode("<p>您好</p>");
        let body = format!(
            "Subject: Hello\r\n\r\n--=x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--=x--\r\n.dot\r\n"
        );
        runtime.block_on(async {
            let mut stream = BufReader::new(TcpStream::connect(address).await.expect("connected"));
            let stuffed = body.replace("\r\n.", "\r\n..");
            let sent = format!("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@w.example>\r\nDATA\r\n{stuffed}.\r\nQUIT\r\n");
            stream.write_all(sent.as_bytes()).await.expect("written");
            let mut said = String::new();
            stream.read_to_string(&mut said).await.expect("answers");
            assert!(said.ends_with("354 Go ahead\r\n250 Kept\r\n221 Bye\r\n"), "{said}");
        });
        assert_eq!(std::fs::read_to_string(folder.path().join("mails/001.eml")).expect("a mail"), body);
        assert_eq!(std::fs::read_to_string(folder.path().join("mails/001.html")).expect("a page"), "<p>您好</p>");
        match told.recv().expect("a fact") {
            (_, Fact::Mail(mail)) => assert_eq!((mail.to.as_str(), mail.text.as_str()), ("u@w.example", "Hello")),
            fact => panic!("{fact:?}"),
        }
    }
}
