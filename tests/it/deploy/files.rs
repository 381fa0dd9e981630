//! Image and compose file: what they name is there. No builder runs here, so what can be known without one is.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{path, said, text, texts, yaml};

const COMPOSE: &str = "deploy/compose.yaml";
const DOCKERFILE: &str = "deploy/Dockerfile";

/// The sources of `COPY` out of the repository.
fn copied(dockerfile: &str) -> Vec<&str> {
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let ours = copies.filter(|rest| !rest.contains("--from="));
    ours.flat_map(|rest| rest.split_whitespace().rev().skip(1).collect::<Vec<_>>()).collect()
}

/// Whether a path is `folder` or lies in it.
fn lies_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn what_the_image_copies_is_there_and_not_ignored() {
    let (dockerfile, ignored) = (text(DOCKERFILE), text(".dockerignore"));
    assert!(ignored.lines().any(|line| line == "*"), "everything is left out but what is named");
    let kept: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let copied = copied(&dockerfile);
    assert!(copied.contains(&"src") && copied.contains(&"Cargo.lock"), "{copied:?}");
    for source in &copied {
        assert!(path(source).exists(), "COPY {source}: it is not there");
        assert!(kept.iter().any(|kept| lies_in(source, kept)), "COPY {source}: .dockerignore leaves it out");
    }
    for kept in kept {
        assert!(copied.iter().any(|source| lies_in(source, kept)), ".dockerignore: nobody copies {kept}");
    }
    let toml: toml::Table = text("Cargo.toml").parse().expect("TOML");
    let rust = toml["package"]["rust-version"].as_str().expect("a version");
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-")), "Rust {rust}");
    for target in ["bench", "test"].iter().filter_map(|kind| toml[*kind].as_array()).flatten() {
        let name = target["name"].as_str().expect("a name");
        let file = target.get("path").and_then(toml::Value::as_str).map_or(format!("benches/{name}.rs"), str::to_owned);
        assert!(dockerfile.contains(&file), "Cargo refuses a package without {file}");
    }
    assert!(dockerfile.lines().any(|line| line == "USER 65532:65532"), "not root");
}

#[test]
fn what_the_program_includes_is_copied_into_the_image() {
    let dockerfile = text(DOCKERFILE);
    let copied = copied(&dockerfile);
    let mut included = 0;
    for file in sources(&path("src")) {
        let text = std::fs::read_to_string(&file).expect("a source");
        let shipped = text.split("#[cfg(test)]").next().expect("a beginning");
        for found in shipped.split("include_str!(").skip(1).chain(shipped.split("include_bytes!(").skip(1)) {
            // Of what is put together: its beginning, a folder.
            let name = found.split('"').nth(1).expect("a path");
            let target = plain(&file.parent().expect("a folder").join(name));
            let target = target.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("in the repository");
            let target = target.to_str().expect("UTF-8");
            assert!(copied.iter().any(|source| lies_in(target, source)), "{}: {target}", file.display());
            included += 1;
        }
    }
    assert!(included > 10, "{included}");
}

/// The Rust files of the program, without its tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_test = |path: &Path| path.file_stem().and_then(|s| s.to_str()).is_some_and(|s| s.ends_with("tests"));
    let (folders, files): (Vec<_>, Vec<_>) = entries.filter(|path| !is_test(path)).partition(|path| path.is_dir());
    let mut all: Vec<_> = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect();
    all.extend(folders.iter().flat_map(|folder| sources(folder)));
    all
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
        plain
    })
}

/// The volumes of a service: what stands here, what it is called there.
fn volumes(service: &Value) -> Vec<(&str, &str)> {
    let parts =
        texts(&service["volumes"]).into_iter().map(|volume| (volume, volume.splitn(3, ':').collect::<Vec<_>>()));
    parts.map(|(volume, parts)| (parts[0], *parts.get(1).unwrap_or_else(|| panic!("{volume}")))).collect()
}

#[test]
fn what_the_compose_file_names_is_there() {
    let compose = yaml(COMPOSE);
    let services = compose["services"].as_object().expect("services");
    let wanted = ["kafka", "walletwatch", "mail", "traffic", "prometheus", "grafana"];
    assert!(wanted.iter().all(|name| services.contains_key(*name)), "{:?}", services.keys());
    let deploy = path("deploy");
    for (name, service) in services {
        let image = service["image"].as_str().expect("an image");
        assert!(image == "walletwatch" || image.contains(':') && !image.ends_with(":latest"), "{name}: {image}");
        if let Some(build) = service["build"].as_object() {
            let context = plain(&deploy.join(build["context"].as_str().expect("a context")));
            assert_eq!(context, path("").components().as_path(), "{name}");
            assert!(context.join(build["dockerfile"].as_str().expect("a file")).exists(), "{name}");
        }
        for (source, _) in volumes(service) {
            match source.starts_with('.') {
                true => assert!(deploy.join(source).exists(), "{name}: {source} is not there"),
                false => assert!(compose["volumes"].get(source).is_some(), "{name}: no volume {source}"),
            }
        }
        let before: Vec<&str> = match &service["depends_on"] {
            Value::Object(before) => before.keys().map(String::as_str).collect(),
            list => texts(list),
        };
        assert!(before.iter().all(|other| services.contains_key(*other)), "{name}: {before:?}");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to the world");
        }
    }
    let scraped = text("deploy/compose/prometheus.yml");
    assert!(scraped.contains("job_name: walletwatch") && scraped.contains("walletwatch:9464"));
}

#[test]
fn the_configuration_of_the_compose_file_is_right_where_it_is_mounted() {
    let compose = yaml(COMPOSE);
    let service = &compose["services"]["walletwatch"];
    let mut config = text("deploy/compose/walletwatch.toml");
    assert!(config.contains("listen = \"0.0.0.0:9464\""), "Prometheus asks from another container");
    let mounted = volumes(service);
    assert!(mounted.contains(&("./compose/walletwatch.toml", "/etc/walletwatch/walletwatch.toml")), "{mounted:?}");
    // What is mounted there stands here.
    for (here, there) in mounted {
        config = config.replace(there, &plain(&path("deploy").join(here)).display().to_string());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("walletwatch.toml");
    std::fs::write(&file, config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_walletwatch"));
    let output = command.args(["check", "--config"]).arg(&file).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn the_traffic_of_the_compose_file_is_asked_for_as_the_command_says() {
    let compose = yaml(COMPOSE);
    let command = texts(&compose["services"]["traffic"]["command"]);
    let help = Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(["generate", "--help"]).output().expect("it runs");
    let help = said(&help);
    assert_eq!(command[0], "generate");
    for word in &command[1..] {
        let (flag, value) = word.split_once('=').expect("--flag=value");
        assert!(help.contains(&format!("{flag} <")) && !value.is_empty(), "generate has no {flag}");
    }
    assert!(command.iter().any(|word| word.starts_with("--speed=")), "as fast as it can is no traffic");
    // Every value is one the command takes: of so many records it is the number that is refused.
    let args = command.iter().map(|word| match word.split_once('=') {
        Some(("--events", _)) => "--events=0",
        Some(("--brokers", _)) => "--out=/dev/null",
        _ => *word,
    });
    let output = Command::new(env!("CARGO_BIN_EXE_walletwatch")).args(args).output().expect("it runs");
    assert!(said(&output).contains("the number of events must be 1"), "{}", said(&output));
}
