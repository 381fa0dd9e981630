//! A real Kafka broker (KRaft, one node), without containers.
//!
//! Guarantees: one broker for the test binary, up when [`broker`] returns; three listeners: one in clear, one
//! with TLS and every SASL mechanism, one with TLS for clients with a certificate. `KAFKA_BOOTSTRAP` uses a broker that is there instead. The jars come from Maven
//! Central, by `deploy/kafka/pom.xml`, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::process::{Server, free_port, has_program, tail, wait_until};
use super::proxy::Proxy;
use super::tls::Authority;

/// User and password of the SASL listener.
pub const SASL_USER: &str = "walletwatch";
/// See [`SASL_USER`].
pub const SASL_PASSWORD: &str = "canary-kafka-password";

/// A running broker.
pub struct Broker {
    /// `HOST:PORT` of the listener in clear.
    pub bootstrap: String,
    /// The listeners with TLS; `None` for a broker that was there.
    pub secure: Option<Secure>,
    server: Option<Server>,
    log: PathBuf,
    _folder: Option<TempDir>,
}

/// The listeners with TLS.
pub struct Secure {
    /// `HOST:PORT` of the one with SASL: SCRAM, PLAIN and OAUTHBEARER with unsigned tokens.
    pub sasl: String,
    /// `HOST:PORT` of the one that asks for a client's certificate.
    pub mutual: String,
    /// Who vouches for the broker and for its clients.
    pub authority: Authority,
}

/// The broker of this test binary.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| match std::env::var("KAFKA_BOOTSTRAP") {
        Ok(bootstrap) => Broker { bootstrap, secure: None, server: None, log: PathBuf::new(), _folder: None },
        Err(_) => Broker::start(),
    })
}

impl Broker {
    /// Starts a broker of its own, for tests that stop it.
    pub fn start() -> Broker {
        Self::start_with(None)
    }

    /// The same, with one more listener in clear, which can be reached only through this proxy: whoever begins there is
    /// told no other address.
    pub fn start_behind(proxy: &Proxy) -> Broker {
        Self::start_with(Some(proxy))
    }

    fn start_with(proxy: Option<&Proxy>) -> Broker {
        assert!(has_program("java"), "Kafka needs a Java runtime (17 or newer): install one, or set KAFKA_BOOTSTRAP");
        let libs = jars();
        let folder = tempfile::Builder::new().prefix("walletwatch-kafka-").tempdir().expect("a temporary folder");
        let authority = Authority::create(folder.path());
        let ports @ [clear, sasl, mutual, _] = std::array::from_fn(|_| free_port());
        let properties = folder.path().join("server.properties");
        let mut text = server_properties(folder.path(), &authority, ports);
        if let Some(proxy) = proxy {
            let behind = free_port();
            text = with_listener(&text, &ports, behind, proxy.port);
            proxy.to(behind);
        }
        fs::write(&properties, text).expect("server.properties");
        format_storage(&libs, &properties);
        let log = folder.path().join("kafka.log");
        let command = format!(
            "exec java -Xmx512m -XX:+UseSerialGC -cp '{}/*' kafka.Kafka '{}'",
            libs.display(),
            properties.display()
        );
        let server = Server::start("kafka", &command, "kill -TERM $server", folder.path(), &log);
        let bootstrap = format!("127.0.0.1:{clear}");
        wait_for_broker(&bootstrap, &log);
        Broker {
            bootstrap,
            secure: Some(Secure {
                sasl: format!("localhost:{sasl}"),
                mutual: format!("localhost:{mutual}"),
                authority,
            }),
            server: Some(server),
            log,
            _folder: Some(folder),
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.server.as_mut().expect("a broker of our own").kill();
    }

    /// Starts it again on its folder, and waits until it answers.
    pub fn start_again(&mut self) {
        self.server.as_mut().expect("a broker of our own").start_again();
        wait_for_broker(&self.bootstrap, &self.log);
    }

    /// Creates a topic with `partitions` partitions that no other test uses: `name` with a number behind.
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let topic = format!("{name}.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&topic, partitions);
        topic
    }

    /// Creates a topic of exactly this name.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().expect("an admin client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let results = runtime
            .block_on(
                admin.create_topics([&new], &AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)))),
            )
            .expect("create topics");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("topic {topic}: {error}"));
        }
        // The controller has it; the broker that is asked learns of it a moment later.
        wait_until(&format!("the broker knows {topic}"), Duration::from_secs(30), || {
            let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
            let found = metadata.topics().first()?;
            (found.error().is_none() && found.partitions().len() == partitions.unsigned_abs() as usize).then_some(())
        });
    }
}

/// The folder with the broker's jars, brought once.
fn jars() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka");
    let libs = folder.join("libs");
    if !libs.join("done").exists() {
        assert!(has_program("mvn"), "Kafka's jars are missing and there is no mvn to bring them: install maven");
        let status = Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"])
            .current_dir(&folder)
            .status()
            .expect("mvn");
        assert!(status.success(), "mvn could not bring Kafka's jars into {}", libs.display());
        fs::write(libs.join("done"), "").expect("a mark");
    }
    libs
}

fn format_storage(libs: &Path, properties: &Path) {
    let scram = |mechanism: &str| format!("{mechanism}=[name={SASL_USER},password={SASL_PASSWORD}]");
    let output = Command::new("java")
        .args(["-cp", &format!("{}/*", libs.display()), "kafka.tools.StorageTool", "format", "--standalone"])
        .args(["-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", &properties.display().to_string()])
        .args(["--add-scram", &scram("SCRAM-SHA-256"), "--add-scram", &scram("SCRAM-SHA-512")])
        .output()
        .expect("java");
    assert!(output.status.success(), "kafka-storage format: {}", String::from_utf8_lossy(&output.stderr));
}

fn server_properties(folder: &Path, authority: &Authority, ports: [u16; 4]) -> String {
    let [clear, sasl, mutual, controller] = ports;
    let one_line = |pem: &str| pem.trim().replace('\n', "\\n");
    // Records carry event times of other years: the broker must neither refuse nor expire them.
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=CLEAR://127.0.0.1:{clear},SASL://localhost:{sasl},MUTUAL://localhost:{mutual},\
         CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=CLEAR:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=CLEAR\n\
         sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER\n\
         listener.name.sasl.scram-sha-256.sasl.jaas.config={security}.scram.ScramLoginModule required;\n\
         listener.name.sasl.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;\n\
         listener.name.sasl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required \
         user_{SASL_USER}=\"{SASL_PASSWORD}\";\n\
         listener.name.sasl.oauthbearer.sasl.jaas.config=\
         {security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.certificate.chain={chain}\n\
         ssl.keystore.key={key}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.certificates={ca}\n\
         listener.name.mutual.ssl.client.auth=required\n\
         log.dirs={folder}/logs\n\
         auto.create.topics.enable=false\n\
         offsets.topic.num.partitions=4\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.message.timestamp.after.max.ms=9223372036854775807\n\
         log.message.timestamp.before.max.ms=9223372036854775807\n\
         log.retention.ms=-1\n\
         log.segment.bytes=67108864\n\
         log.cleaner.dedupe.buffer.size=4194304\n",
        security = "org.apache.kafka.common.security",
        chain = one_line(&authority.cert_pem),
        key = one_line(&authority.key_pem),
        ca = one_line(&authority.ca_pem),
        folder = folder.display()
    )
}

/// One more listener, which tells its clients the proxy's port.
fn with_listener(properties: &str, ports: &[u16; 4], behind: u16, proxy: u16) -> String {
    let [clear, sasl, mutual, _] = ports;
    properties
        .replace("listeners=CLEAR", &format!("listeners=BEHIND://127.0.0.1:{behind},CLEAR"))
        .replace("protocol.map=CLEAR", "protocol.map=BEHIND:PLAINTEXT,CLEAR")
        + &format!(
            "advertised.listeners=BEHIND://127.0.0.1:{proxy},CLEAR://127.0.0.1:{clear},SASL://localhost:{sasl},\
             MUTUAL://localhost:{mutual}\n"
        )
}

fn wait_for_broker(bootstrap: &str, log: &Path) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).set("log_level", "0").create().expect("a client");
    let up = || match consumer.fetch_metadata(None, Duration::from_millis(500)) {
        Ok(metadata) => (!metadata.brokers().is_empty()).then_some(()),
        Err(_) if fs::read_to_string(log).is_ok_and(|l| l.contains("FATAL") || l.contains("Exiting Kafka")) => {
            panic!("kafka did not start:\n{}", tail(log))
        }
        Err(_) => None,
    };
    wait_until("kafka answers", Duration::from_secs(90), up);
}
