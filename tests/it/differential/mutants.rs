//! The mistakes that `tests/mutants` seeds into the engine: each stands where its line says. Finding them takes a build
//! for each, which that script does.

use std::path::Path;

const MUTANTS: &str = include_str!("../../data/engine_mutants.txt");
const MUTANTS_MIN: usize = 10;

#[test]
fn each_mistake_to_seed_still_has_its_line() {
    let lines: Vec<&str> = MUTANTS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let (mutants, rest) = lines.as_chunks::<4>();
    assert!(rest.is_empty() && mutants.len() >= MUTANTS_MIN, "{} lines", lines.len());
    for [name, file, from, to] in mutants {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
        let (from, to) = (from.strip_prefix("- ").expect(name), to.strip_prefix("+ ").expect(name));
        assert_eq!(text.matches(from).count(), 1, "{name}: `{from}` in {file}");
        assert_ne!(from, to, "{name}");
    }
}
