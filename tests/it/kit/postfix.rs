//! A real Postfix in private folders: STARTTLS and authentication required, all mail into one maildir.
//!
//! Guarantees: its own port, queue, configuration and user database; nothing of the machine's own mail
//! system is read or touched. Needs root, because Postfix's master does, and the packages `postfix`,
//! `libsasl2-modules` and `sasl2-bin`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Server, free_port, has_program, tail, wait_until};
use super::tls::Authority;

/// User of the submission port.
pub const USER: &str = "walletwatch";
/// Its password.
pub const PASSWORD: &str = "canary-mail-password";

/// A running mail server.
pub struct Postfix {
    /// The port on `localhost`.
    pub port: u16,
    /// The CA to trust.
    pub ca_file: PathBuf,
    maildir: PathBuf,
    _server: Server,
    _folder: TempDir,
}

/// The mail server of this test binary.
pub fn postfix() -> &'static Postfix {
    static POSTFIX: OnceLock<Postfix> = OnceLock::new();
    POSTFIX.get_or_init(Postfix::start)
}

impl Postfix {
    /// Starts one of its own.
    pub fn start() -> Postfix {
        for program in ["postfix", "saslpasswd2"] {
            assert!(has_program(program), "{program} is missing: apt-get install postfix libsasl2-modules sasl2-bin");
        }
        let folder = tempfile::Builder::new().prefix("walletwatch-postfix-").tempdir().expect("a temporary folder");
        let root = folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("permissions");
        let authority = Authority::create(root);
        let port = free_port();
        let (uid, gid) = user_ids("postfix");
        let maildir = root.join("mail");
        for (name, owner) in [("etc", None), ("queue", None), ("data", Some(uid)), ("mail", Some(uid)), ("sasl", None)]
        {
            fs::create_dir(root.join(name)).expect("a folder");
            if owner.is_some() {
                chown(root.join(name), owner, Some(gid)).expect("an owner");
            }
        }
        write_configuration(root, &authority, port, (uid, gid));
        create_user(&root.join("sasl"), gid);
        let etc = root.join("etc");
        let check = Command::new("postfix").arg("-c").arg(&etc).arg("check").output().expect("postfix check");
        assert!(check.status.success(), "postfix check: {}", String::from_utf8_lossy(&check.stderr));
        let log = root.join("postfix.out");
        let line = |verb: &str| format!("postfix -c '{}' {verb}", etc.display());
        // Postfix's master detaches itself from the shell that started it: only its own word ends it.
        let server = Server::start("postfix", &format!("exec {}", line("start-fg")), &line("stop"), root, &log);
        wait_until("postfix greets", Duration::from_secs(30), || {
            greets(port).then_some(()).or_else(|| {
                let text = tail(&log);
                assert!(!text.contains("fatal:"), "postfix did not start:\n{text}");
                None
            })
        });
        Postfix { port, ca_file: authority.ca_file, maildir, _server: server, _folder: folder }
    }

    /// Every mail delivered so far, whole, in no order.
    pub fn mails(&self) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.maildir.join("all/new")) else { return Vec::new() };
        entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok()).collect()
    }
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("220")
}

fn user_ids(name: &str) -> (u32, u32) {
    let id = |flag: &str| {
        let output = Command::new("id").args([flag, name]).output().expect("id");
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("there is no user {name}"))
    };
    (id("-u"), id("-g"))
}

fn write_configuration(root: &Path, authority: &Authority, port: u16, (uid, gid): (u32, u32)) {
    let at = root.display();
    let main = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {at}/queue\n\
         data_directory = {at}/data\n\
         mail_owner = postfix\n\
         maillog_file = {at}/postfix.log\n\
         maillog_file_prefixes = /\n\
         myhostname = localhost\n\
         mydestination =\n\
         inet_interfaces = loopback-only\n\
         inet_protocols = ipv4\n\
         smtputf8_enable = yes\n\
         smtpd_tls_security_level = encrypt\n\
         smtpd_tls_cert_file = {cert}\n\
         smtpd_tls_key_file = {key}\n\
         smtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_path = smtpd\n\
         smtpd_tls_auth_only = yes\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
         smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n\
         smtpd_client_connection_rate_limit = 0\n\
         smtpd_client_connection_count_limit = 0\n\
         smtpd_client_message_rate_limit = 0\n\
         virtual_mailbox_domains = static:all\n\
         virtual_mailbox_base = {at}/mail\n\
         virtual_mailbox_maps = static:all/\n\
         virtual_minimum_uid = 1\n\
         virtual_uid_maps = static:{uid}\n\
         virtual_gid_maps = static:{gid}\n",
        cert = authority.cert_file.display(),
        key = authority.key_file.display(),
    );
    let master = format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\n\
         proxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\n\
         showq unix n - n - - showq\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         discard unix - - n - - discard\n\
         local unix - n n - - local\n\
         virtual unix - n n - - virtual\n\
         anvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    );
    fs::write(root.join("etc/main.cf"), main).expect("main.cf");
    fs::write(root.join("etc/master.cf"), master).expect("master.cf");
    let sasl = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {at}/sasl/sasldb2\nmech_list: PLAIN LOGIN\n"
    );
    // Debian's Postfix reads it from its own configuration folder, whatever `cyrus_sasl_config_path` says.
    fs::create_dir(root.join("etc/sasl")).expect("a folder");
    fs::write(root.join("etc/sasl/smtpd.conf"), sasl).expect("smtpd.conf");
}

fn create_user(folder: &Path, gid: u32) {
    let database = folder.join("sasldb2");
    let mut child = Command::new("saslpasswd2")
        .args(["-p", "-c", "-u", "localhost", "-f"])
        .arg(&database)
        .arg(USER)
        .stdin(Stdio::piped())
        .spawn()
        .expect("saslpasswd2");
    child.stdin.take().expect("its input").write_all(PASSWORD.as_bytes()).expect("the password");
    assert!(child.wait().expect("saslpasswd2").success(), "saslpasswd2 failed");
    chown(&database, None, Some(gid)).expect("an owner");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o640)).expect("permissions");
}
